"""Group commit: whatever runs append while one commit is on its way to the disk goes into the next one, together.

One task owns the writing side. There is no timer: a single run waits for one commit, a thousand busy runs share one. What was
appended is reported as committed in the order of appending, and never before it is durable.

A disk that is full and a file that somebody else holds locked are waited for: the batch is kept and tried again, so the runs it
belongs to neither fail nor end, they only wait. Every other failure to write ends the writer, and with it the engine: after a
failed flush nobody knows what the disk holds, and asking again may be answered with success (fsyncgate, LWN 752063).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
from anyio import to_thread

from runtime.errors import JournalDamaged, JournalUnavailable, StorageBusy, StorageError, StorageFull, StorageSlow
from runtime.journal.base import Entry, Journal, RunRow, chain_next, chain_start

T = TypeVar("T")

MAX_BACKLOG_ENTRIES: Final = 2_000
MAX_BACKLOG_BYTES: Final = 8 << 20
"""What may wait for the disk; beyond it `JournalWriter.room` holds the appending runs back."""

READER_THREADS: Final = 4

RETRY_S: Final = 1.0
"""How often a commit is tried again that found the disk full or the file locked."""

SETTLE_S: Final = 1.0
"""How long nothing may be queued before the journal is let settle."""

READ_FAILURES_S: Final = 10.0
"""Two reads that fail within this time are a failing disk, not an accident."""


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    committed: Callable[[], None]


class JournalWriter:
    """Commits entries in batches. `run` is its task; everything else may be called by any task of the same loop.

    Attributes:
        has_failed: `run` ended before its time, so nothing will be committed any more.
        slow_s: How long a commit may be on its way before the disk counts as slow.
    """

    def __init__(self, journal: Journal, epoch: int, slow_s: float = 2.0) -> None:
        self.epoch = epoch
        self.slow_s = slow_s
        self._journal = journal
        self._queue: list[_Waiting] = []
        self._bytes = 0
        self._wake = anyio.Event()
        self._room = anyio.Event()
        self._idle = anyio.Event()
        self._closing = False
        self._stop = anyio.Event()
        self.has_failed = False
        self._turn = anyio.CapacityLimiter(1)
        self._refusal: StorageFull | StorageBusy | None = None
        self._begun: float | None = None
        self._failure: Exception | None = None

    @property
    def trouble(self) -> JournalUnavailable | None:
        """Why nothing can be committed just now, although it can later: the disk is full, locked by another, or slow."""
        if self._refusal is not None:
            return self._refusal
        if self._begun is not None and anyio.current_time() - self._begun > self.slow_s:
            return self.slowness
        return None

    @property
    def slowness(self) -> StorageSlow:
        """What is told to whoever waited in vain for a commit."""
        return StorageSlow(
            f"The disk did not confirm within {self.slow_s:g} s. What was asked for may still happen: look for it, or send "
            "the request again with the same Idempotency-Key.",
            retry_after_s=2,
        )

    def append(self, entry: Entry, committed: Callable[[], None]) -> None:
        """Queue an entry; `committed` is called in the event loop once it is durable."""
        self._queue.append(_Waiting(entry, committed))
        self._bytes += len(entry.body)
        self._wake.set()

    @property
    def is_full(self) -> bool:
        """Whether more is waiting than should."""
        return len(self._queue) > MAX_BACKLOG_ENTRIES or self._bytes > MAX_BACKLOG_BYTES

    @property
    def backlog(self) -> tuple[int, int]:
        """How many entries, and how many bytes, wait for the disk."""
        return len(self._queue), self._bytes

    async def room(self) -> None:
        """Wait until the backlog is below its bound."""
        while self.is_full:
            await self._room.wait()

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a writing method of the journal between two commits.

        Raises:
            JournalUnavailable: It cannot write now, and nothing was changed; or writing failed, and `run` ends as well.
        """
        if self.trouble is not None:
            raise self.trouble
        try:
            return await self._call(function, *arguments)
        finally:
            if self._failure is not None:
                self._wake.set()

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        return await _off_loop(self._journal, self._turn, self._write, function, *arguments)

    def _write(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a method of the journal, in a thread and by turns: after one that failed nothing is written any more."""
        if self._failure is not None:
            raise self._failure
        try:
            return function(*arguments)
        except (StorageFull, StorageBusy, StorageError):
            raise  # nothing was written
        except Exception as failure:
            self._failure = failure
            raise

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
            await self._wait_for_work()
            self._wake = anyio.Event()
            if self._failure is not None:
                raise self._failure
            while self._queue:
                batch, self._queue, self._bytes = self._queue, [], 0
                self._room.set()
                self._room = anyio.Event()
                if not await self._commit([waiting.entry for waiting in batch]):
                    return
                for waiting in batch:
                    waiting.committed()
            if self._closing:
                return

    async def _wait_for_work(self) -> None:
        """Wait until something is queued, and let the journal settle when nothing has been for a while."""
        if self._journal.blocks:
            with anyio.move_on_after(SETTLE_S):
                await self._wake.wait()
            if not self._wake.is_set():
                await self._call(self._journal.settle)
        await self._wake.wait()

    async def _commit(self, entries: list[Entry]) -> bool:
        """Commit entries, however long that takes; give up only when the engine closes, and then none of them is stored."""
        while True:
            self._begun = self._begun or anyio.current_time()
            try:
                await self._call(self._journal.commit, entries)
            except (StorageFull, StorageBusy) as refusal:
                self._refusal = refusal
                if self._closing:
                    self.has_failed = True
                    return False
                with anyio.move_on_after(RETRY_S):
                    await self._stop.wait()
            else:
                self._refusal = self._begun = None
                return True

    async def aclose(self) -> None:
        """Commit what is queued and end `run`."""
        self._closing = True
        self._stop.set()
        self._wake.set()
        await self._idle.wait()


class JournalReader:
    """Reads a journal off the event loop; any number of tasks at once."""

    def __init__(self, journal: Journal, threads: int = READER_THREADS) -> None:
        self._journal = journal
        self._limiter = anyio.CapacityLimiter(threads)
        self._failed_at = -READ_FAILURES_S
        self._is_failing = anyio.Event()

    @property
    def busy(self) -> int:
        """Threads that read just now."""
        return self._limiter.borrowed_tokens

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a reading method of the journal.

        Raises:
            StorageError: The disk did not let it be read.
            JournalDamaged: What was read contradicts itself; after a failed read that may be a consequence of it.
        """
        try:
            return await _off_loop(self._journal, self._limiter, function, *arguments)
        except (StorageError, JournalDamaged) as error:
            now = anyio.current_time()
            if now - self._failed_at < READ_FAILURES_S:
                self._is_failing.set()
            if isinstance(error, StorageError):
                self._failed_at = now
            raise

    async def watch(self) -> None:
        """End the engine once reads fail again and again.

        Raises:
            JournalUnavailable: Two have failed within `READ_FAILURES_S`.
        """
        await self._is_failing.wait()
        raise JournalUnavailable(
            f"The journal could not be read twice within {READ_FAILURES_S:g} s: the disk is failing."
        )


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
