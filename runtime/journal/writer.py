"""Group commit: whatever runs append while one commit is on its way to the disk goes into the next one, together.

One task owns the writing side. There is no timer: a single run waits for one commit, a thousand busy runs share one. What was
appended is reported as committed in the order of appending, and never before it is durable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
from anyio import to_thread

from runtime.journal.base import Entry, Journal, RunRow, chain_next, chain_start

T = TypeVar("T")

MAX_BACKLOG_ENTRIES: Final = 2_000
MAX_BACKLOG_BYTES: Final = 8 << 20
"""What may wait for the disk; beyond it `JournalWriter.room` holds the appending runs back."""


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    committed: Callable[[], None]


class JournalWriter:
    """Commits entries in batches. `run` is its task; everything else may be called by any task of the same loop.

    Attributes:
        has_failed: `run` ended before its time, so nothing will be committed any more.
    """

    def __init__(self, journal: Journal, epoch: int) -> None:
        self.epoch = epoch
        self._journal = journal
        self._queue: list[_Waiting] = []
        self._bytes = 0
        self._wake = anyio.Event()
        self._room = anyio.Event()
        self._idle = anyio.Event()
        self._closing = False
        self.has_failed = False
        self._turn = anyio.CapacityLimiter(1)

    def append(self, entry: Entry, committed: Callable[[], None]) -> None:
        """Queue an entry; `committed` is called in the event loop once it is durable."""
        self._queue.append(_Waiting(entry, committed))
        self._bytes += len(entry.body)
        self._wake.set()

    @property
    def is_full(self) -> bool:
        """Whether more is waiting than should."""
        return len(self._queue) > MAX_BACKLOG_ENTRIES or self._bytes > MAX_BACKLOG_BYTES

    async def room(self) -> None:
        """Wait until the backlog is below its bound."""
        while self.is_full:
            await self._room.wait()

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a writing method of the journal between two commits."""
        return await _off_loop(self._journal, self._turn, function, *arguments)

    async def run(self) -> None:
        """Commit until `aclose`.

        Raises:
            JournalUnavailable: A commit failed. Nothing after it is reported as committed; the engine has to stop.
        """
        try:
            await self._commit_until_closed()
        except BaseException:
            self.has_failed = True
            raise
        finally:
            self._idle.set()

    async def _commit_until_closed(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._queue:
                batch, self._queue, self._bytes = self._queue, [], 0
                self._room.set()
                self._room = anyio.Event()
                await self.call(self._journal.commit, [waiting.entry for waiting in batch])
                for waiting in batch:
                    waiting.committed()
            if self._closing:
                return

    async def aclose(self) -> None:
        """Commit what is queued and end `run`."""
        self._closing = True
        self._wake.set()
        await self._idle.wait()


class JournalReader:
    """Reads a journal off the event loop; any number of tasks at once."""

    def __init__(self, journal: Journal, threads: int = 4) -> None:
        self._journal = journal
        self._limiter = anyio.CapacityLimiter(threads)

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a reading method of the journal."""
        return await _off_loop(self._journal, self._limiter, function, *arguments)


async def _off_loop(
    journal: Journal, limiter: anyio.CapacityLimiter, function: Callable[..., T], *arguments: object
) -> T:
    if not journal.blocks:
        return function(*arguments)
    return await to_thread.run_sync(function, *arguments, limiter=limiter)


class RunAppender:
    """The writing end of one run: numbers its entries, chains them, hands them to the writer.

    Attributes:
        head: Hash of the newest entry.
    """

    def __init__(self, writer: JournalWriter, number: int, run_id: str) -> None:
        self.number = number
        self._writer = writer
        self.head = chain_start(run_id)

    def resume(self, head: bytes) -> None:
        """Go on behind the entry with that hash."""
        self.head = head

    def append(self, first_seq: int, lines: Sequence[bytes], row: RunRow | None, committed: Callable[[], None]) -> None:
        """Append the encoded records of one decision."""
        body = b"\n".join(lines)
        self.head = chain_next(self.head, body)
        entry = Entry(self.number, first_seq, len(lines), self._writer.epoch, body, self.head, row)
        self._writer.append(entry, committed)
