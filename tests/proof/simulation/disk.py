"""The disk of the simulated world, and an engine's journal on it, with everything that can go wrong between the two.

What is on the disk outlives every engine. A journal belongs to one engine: once that is dead, nothing it says reaches the disk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec
import trio

from runtime.errors import JournalUnavailable, StorageBusy, StorageError, StorageFull
from runtime.journal import Entry, Journal, MemoryJournal, RunRow
from runtime.journal.writer import READ_FAILURES_S

if TYPE_CHECKING:
    from tests.proof.simulation.server import Incarnation

T = TypeVar("T")
_STARTED: Final = b'"event":"step_started"'
_RETRIED: Final = b'"event":"run_retried"'
_FORKED: Final = b'"event":"run_forked"'
_PUT_ASIDE: Final = b'"event":"run_dead_lettered"'
_REBUILT: Final = b'"event":"run_recovering"'
_WRITES: Final = ("commit", "settle", "add_graph", "delete_graph", "delete_runs")


@dataclass(frozen=True, slots=True)
class Deleted:
    """A run that was deleted: its row, and how many entries had been stored by then."""

    row: RunRow
    at: int


@dataclass(slots=True)
class Poison:
    """A run whose rebuilding kills the process, so many times more."""

    run: int
    deaths: int


class Disk(MemoryJournal):
    """What is durable: entries in the order of their commits, and the attempts that were announced.

    Attributes:
        announced: For each attempt of which the journal tells, how often its run had been retried by then.
        histories: All entries of each run, also of those that were deleted.
        begun: How many entries had been stored when that run's first one was.
        ends: The row of each end of a run, by the run's number and that of the record that ended it.
        deleted: Runs that were deleted, by number.
        wrong: What was asked of the disk that nobody may ask of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[Entry] = []
        self.announced: dict[tuple[str, int], int] = {}
        self.histories: dict[int, list[Entry]] = {}
        self.begun: dict[int, int] = {}
        self.ends: dict[tuple[int, int], RunRow] = {}
        self.deleted: dict[int, Deleted] = {}
        self.wrong: list[str] = []
        self.poison: Poison | None = None
        self.is_closed = True
        self.full_until = self.busy_until = self.stalled_until = 0.0
        self.unreadable_until = self.unreadable_share = 0.0
        self._retries: dict[int, int] = {}

    @property
    def epoch(self) -> int:
        """The epoch of whoever opened it last."""
        return self._epoch

    def store(self, entries: Sequence[Entry]) -> None:
        """Keep entries for ever."""
        super().commit(entries)
        for entry in entries:
            if entry.run in self.deleted:
                self.wrong.append(f"run {entry.run} was deleted, and goes on, or its number was given out again")
            self.begun.setdefault(entry.run, len(self.stored))
            self.stored.append(entry)
            history = self.histories.setdefault(entry.run, [])
            if _RETRIED in entry.body and not (history and _PUT_ASIDE in history[-1].body):
                self._retries[entry.run] = self._retries.get(entry.run, 0) + 1
            history.append(entry)
            if entry.row is not None and entry.row.completed_at is not None:
                self.ends[entry.run, entry.row.last_seq] = entry.row
            if _STARTED in entry.body:
                self._announce(entry)

    def _announce(self, entry: Entry) -> None:
        """Note which attempts may be made: not those that a fork took over from the other run."""
        retries = self._retries.get(entry.run, 0)
        for line in entry.lines[adopted_by(entry) :]:
            if _STARTED in line:
                record = msgspec.json.decode(line)
                path = f"{record['path']}/" if "path" in record else ""
                key = f"{record['run_id']}/{path}{record['node']}/{record['iteration']}"
                self.announced[key, record["attempt"]] = retries

    def forget(self, numbers: Sequence[int]) -> None:
        """Delete runs."""
        for number in numbers:
            row = self._rows.get(number)
            if row is not None:
                self.deleted[number] = Deleted(row, len(self.stored))
        super().delete_runs(numbers)

    def rows(self) -> list[RunRow]:
        """Return the rows of all runs that there are and were, in the order of their numbers."""
        rows = self._rows | {number: deleted.row for number, deleted in self.deleted.items()}
        return [rows[number] for number in sorted(rows)]

    def has_deleted(self, run_id: str) -> bool:
        """Return whether a run was deleted."""
        return any(deleted.row.run_id == run_id for deleted in self.deleted.values())

    def row(self, number: int) -> RunRow | None:
        """Return the row of a run."""
        return self._rows.get(number)

    def lines_of(self, number: int) -> list[bytes]:
        """Return the records of a run, even of one that was deleted."""
        return [line for entry in self.histories.get(number, ()) for line in entry.lines]

    def kills(self, entries: Sequence[Entry]) -> bool:
        """Return whether the process dies of what it is about to rebuild."""
        poison = self.poison
        if poison is None or poison.deaths <= 0:
            return False
        deadly = [entry.body for entry in entries if entry.run == poison.run and _REBUILT in entry.body]
        if any(b'"cause":"killed"' in body for body in deadly):
            poison.deaths -= 1
        return bool(deadly)


def adopted_by(entry: Entry) -> int:
    """Return how many records of an entry a fork took over from the other run: its own begin with the last `run_forked`."""
    if entry.first_seq != 1 or _FORKED not in entry.body:
        return 0
    return max(place for place, line in enumerate(entry.lines) if _FORKED in line)


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
    failed_reads: list[float] = field(default_factory=list)
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
        self._write(lambda: self.disk.store(entries))
        if self.disk.kills(entries):
            self.incarnation.kill()

    def delete_runs(self, numbers: Sequence[int]) -> None:
        """Delete runs, and note which of them may not be deleted."""
        self._write(lambda: self._delete(numbers))

    def _delete(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            row = self.disk.row(number)
            if row is not None and not self.incarnation.world.may_forget(row):
                self.disk.wrong.append(f"{row.run_id} was deleted, and may not be: {row}")
        self.disk.forget(numbers)

    def _write(self, change: Callable[[], None]) -> None:
        if self.refuses(self.incarnation.epoch):
            self.has_failed = True
            raise JournalUnavailable("Another process has taken over the journal; this one may not write any more.")
        self.check_room()
        deed = self._due()
        if deed in ("fail", "fail_stored"):
            self.has_failed = True
            if deed == "fail_stored":
                change()
            raise JournalUnavailable("The simulated disk failed.")
        change()

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
        is_commit = function == self.commit
        await self._pass_time(is_commit)
        if self._due() == "kill_before":
            self.incarnation.kill()
        self._check_alive()
        name = getattr(function, "__name__", "")
        if name in ("add_graph", "delete_graph"):
            self.check_room()
        if name not in _WRITES:
            self._check_readable()
        result = function(*arguments)
        if self._due() == "kill_after":
            self.incarnation.kill()
        if self.accident is not None:
            self.accident.operations -= 1
        await self._pass_time(is_commit)
        self._check_alive()
        return result

    @property
    def is_failing(self) -> bool:
        """Whether two reads failed so soon one after the other that the engine has to end."""
        reads = self.failed_reads
        return any(after - before < READ_FAILURES_S for before, after in pairwise(reads))

    def _check_readable(self) -> None:
        now = trio.current_time()
        if now < self.disk.unreadable_until and self.random.random() < self.disk.unreadable_share:
            self.failed_reads.append(now)
            raise StorageError("The simulated disk could not be read.")

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


def as_journal(journal: SimulatedJournal) -> Journal:
    """Return it as what the engine takes it for."""
    return cast("Journal", journal)
