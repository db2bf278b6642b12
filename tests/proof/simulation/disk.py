"""The disk of the simulated world, and an engine's journal on it, with everything that can go wrong between the two.

What is on the disk outlives every engine. A journal belongs to one engine: once that is dead, nothing it says reaches the disk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec
import trio

from runtime.errors import JournalUnavailable, StorageBusy, StorageFull
from runtime.journal import Entry, Journal, MemoryJournal, RunRow

if TYPE_CHECKING:
    from tests.proof.simulation.server import Incarnation

T = TypeVar("T")
_STARTED: Final = b'"event":"step_started"'


class Disk(MemoryJournal):
    """What is durable: entries in the order of their commits, and the attempts that were announced."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[Entry] = []
        self.announced: set[tuple[str, int]] = set()
        self.is_closed = True
        self.full_until = self.busy_until = 0.0
        self.stalled_until = 0.0

    @property
    def epoch(self) -> int:
        """The epoch of whoever opened it last."""
        return self._epoch

    def store(self, entries: Sequence[Entry]) -> None:
        """Keep entries for ever."""
        super().commit(entries)
        self.stored += entries
        for entry in entries:
            if _STARTED in entry.body:
                for line in entry.lines:
                    if _STARTED in line:
                        record = msgspec.json.decode(line)
                        path = f"{record['path']}/" if "path" in record else ""
                        key = f"{record['run_id']}/{path}{record['node']}/{record['iteration']}"
                        self.announced.add((key, record["attempt"]))

    def row(self, number: int) -> RunRow | None:
        """Return the row of a run."""
        return self._rows.get(number)

    def lines_of(self, number: int) -> list[bytes]:
        """Return the records of a run."""
        return [line for entry in self._entries.get(number, ()) for line in entry.lines]


@dataclass(slots=True)
class Accident:
    """What happens to a journal at its N-th operation from now on.

    Attributes:
        operations: How many operations still go well.
        deed: `kill_before`, `kill_after`; or for a commit: `fail`, nothing is stored; `fail_stored`, everything is.
    """

    operations: int
    deed: str


@dataclass(eq=False)
class SimulatedJournal:
    """One engine's journal. Every operation takes some virtual time, before and after it happens."""

    disk: Disk
    incarnation: "Incarnation"
    random: Random
    accident: Accident | None = None
    has_failed: bool = False
    was_killed: bool = field(default=False, init=False)
    blocks: bool = field(default=False, init=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.disk, name)

    def open(self) -> int:
        """Take the disk over from whoever had it."""
        self.was_killed, self.disk.is_closed = not self.disk.is_closed, False
        self.incarnation.epoch = self.disk.open()
        return self.incarnation.epoch

    def close(self) -> None:
        """Note that this was the end that an engine should have, unless it was not."""
        if not (self.has_failed or self.incarnation.was_killed or self.refuses(self.incarnation.epoch)):
            self.disk.is_closed = True

    def commit(self, entries: Sequence[Entry]) -> None:
        """Store entries, if this engine still owns the disk and the disk lets it."""
        if self.refuses(self.incarnation.epoch):
            self.has_failed = True
            raise JournalUnavailable("Another process has taken over the journal; this one may not write any more.")
        self.check_room()
        deed = self._due()
        if deed in ("fail", "fail_stored"):
            self.has_failed = True
            if deed == "fail_stored":
                self.disk.store(entries)
            raise JournalUnavailable("The simulated disk failed.")
        self.disk.store(entries)

    def refuses(self, epoch: int) -> bool:
        """Return whether somebody else has taken over."""
        return epoch != self.disk.epoch

    def check_room(self) -> None:
        """Refuse to write while the disk is full or locked."""
        now = trio.current_time()
        if now < self.disk.full_until:
            raise StorageFull("The simulated disk is full.", retry_after_s=30)
        if now < self.disk.busy_until:
            raise StorageBusy("The simulated file is locked.", retry_after_s=5)

    async def perform(self, function: Callable[..., T], arguments: tuple[object, ...]) -> T:
        """Call a method of this journal as a disk would: after some time, and answering after some more."""
        name = _name(function, arguments)
        is_commit = name == "commit"
        await self._pass_time(is_commit)
        if self._due() == "kill_before":
            self.incarnation.kill()
        self._check_alive()
        if name in ("add_graph", "delete_graph"):
            self.check_room()
        result = function(*arguments)
        if self._due() == "kill_after":
            self.incarnation.kill()
        if self.accident is not None:
            self.accident.operations -= 1
        await self._pass_time(is_commit)
        self._check_alive()
        return result

    def _due(self) -> str | None:
        return self.accident.deed if self.accident is not None and self.accident.operations <= 0 else None

    def _check_alive(self) -> None:
        if self.incarnation.is_dead:
            raise JournalUnavailable("The process was killed.")

    async def _pass_time(self, is_commit: bool) -> None:
        draw = self.random.random()
        if draw < 0.3:
            await trio.sleep(self.random.random() * (0.05 if is_commit else 0.01))
        elif draw < 0.5:
            await trio.lowlevel.checkpoint()
        if is_commit and trio.current_time() < self.disk.stalled_until:
            await trio.sleep_until(self.disk.stalled_until)
        await self.incarnation.thaw()


def _name(function: Callable[..., object], arguments: tuple[object, ...]) -> str:
    """Return the name of what is called, even if the writer has wrapped it."""
    name: str = getattr(function, "__name__", "")
    return getattr(arguments[0], "__name__", "") if name == "_write" else name


def as_journal(journal: SimulatedJournal) -> Journal:
    """Return it as what the engine takes it for."""
    return cast("Journal", journal)
