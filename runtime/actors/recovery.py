"""Rebuilds a run from its journal entries: check the chain, decode the records, fold them.

A run whose rebuilding kills the process must not do so for ever. So `run_recovering` is journaled before, and `run_recovered`
after it. A run with an attempt that nothing followed is a *suspect*: perhaps it was that run, perhaps one that was rebuilt at the
same time. Suspects are rebuilt one at a time, after everybody else, so that the next death of the process has one cause.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runtime.actors.binding import BoundPlan
from runtime.errors import JournalDamaged, Overloaded, UnknownRun
from runtime.journal.base import Entry, Journal, RunRow, check_chain
from runtime.journal.writer import JournalReader
from runtime.run.apply import apply
from runtime.run.model import Run, new_run
from runtime.run.records import AnyRecord, RecoveryCause, RunRecovering, RunRetried, RunSubmitted, decode_record

MAX_RECOVERIES: Final = 3
RECOVERY_WINDOW: Final = timedelta(minutes=10)
PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class History:
    """Everything that the journal holds about a run, checked. `head` is the hash of its newest entry."""

    row: RunRow
    records: tuple[AnyRecord, ...]
    head: bytes

    @property
    def pins(self) -> dict[str, str]:
        """The tool versions that the run was submitted with."""
        submitted = self.records[0]
        if not isinstance(submitted, RunSubmitted):
            raise JournalDamaged(f"The journal of run {self.row.run_id} does not begin with its submission.")
        return submitted.tools

    def require_unsuspected(self) -> None:
        """Refuse to rebuild a suspect only because somebody wants to read it: that is done when it is its turn, and counted.

        Raises:
            Overloaded: Its turn is to come.
        """
        if self.suspicion:
            raise Overloaded(
                f"Run {self.row.run_id!r} was being rebuilt when the process was killed, so it is taken up last. Ask again soon.",
                retry_after_s=1,
                run_id=self.row.run_id,
            )

    def fold(self, bound: BoundPlan) -> Run:
        """Return the run that wrote the records."""
        run = new_run(bound.plan, self.row.run_id, bound.policies)
        for record in self.records:
            apply(run, record)
        return run

    @property
    def suspicion(self) -> int:
        """How often the process was killed while the run was being rebuilt, as far as nothing followed."""
        attempts = itertools.takewhile(lambda record: isinstance(record, RunRecovering), reversed(self.records))
        return sum(isinstance(record, RunRecovering) and record.cause == "killed" for record in attempts)

    def is_poisoned(self, cause: RecoveryCause, now: datetime) -> bool:
        """Return whether rebuilding failed too often to be tried again.

        When the process was killed only attempts count that nothing followed: whoever is rebuilt and goes on is healthy,
        however often the process ends. Crashes of the actor itself count as long as they are recent.
        """
        if cause != "crash":
            return self.suspicion >= MAX_RECOVERIES
        since = now - RECOVERY_WINDOW
        latest = itertools.takewhile(lambda record: not isinstance(record, RunRetried), reversed(self.records))
        return sum(_is_crash(record, since) for record in latest) >= MAX_RECOVERIES


def _is_crash(record: AnyRecord, since: datetime) -> bool:
    if not isinstance(record, RunRecovering) or record.cause != "crash":
        return False
    return isinstance(record.timestamp, datetime) and record.timestamp >= since


async def read_history(reader: JournalReader, journal: Journal, row: RunRow) -> History:
    """Read all entries of a run.

    Raises:
        UnknownRun: It was deleted meanwhile.
        JournalDamaged: They contradict each other.
    """
    return await reader.call(_read, journal, row)


def read_histories(journal: Journal, rows: Sequence[RunRow], enough: int) -> list[History]:
    """Read all entries of the first of these runs: of one at least, and of no more once there are `enough` records; blocks.

    Rows do not tell how many records a run has: they are written when its status changes.

    Raises:
        UnknownRun: One was deleted meanwhile.
        JournalDamaged: They contradict each other.
    """
    histories: list[History] = []
    records = 0
    for row in rows:
        histories.append(_read(journal, row))
        records += len(histories[-1].records)
        if records >= enough:
            break
    return histories


def _read(journal: Journal, row: RunRow) -> History:
    entries: list[Entry] = []
    after = 0
    while page := journal.entries(row.number, after=after, limit=PAGE):
        entries += page
        after = page[-1].first_seq + page[-1].count - 1
        if len(page) < PAGE:
            break
    if after < row.last_seq and journal.run(row.run_id) is None:
        raise UnknownRun(row.run_id)
    head = check_chain(row.run_id, entries)
    return History(row, decode_entries(row.run_id, entries), head)


def decode_entries(run_id: str, entries: Sequence[Entry]) -> tuple[AnyRecord, ...]:
    """Return the records of entries in order."""
    try:
        return tuple(decode_record(line) for entry in entries for line in entry.lines)
    except msgspec.MsgspecError as error:
        raise JournalDamaged(f"The journal of run {run_id} holds a record that cannot be read: {error}.") from error
