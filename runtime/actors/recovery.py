"""Rebuilds a run from its journal entries: check the chain, decode the records, fold them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from runtime.actors.binding import BoundPlan
from runtime.errors import JournalDamaged
from runtime.journal.base import Entry, Journal, RunRow, check_chain
from runtime.journal.writer import JournalReader
from runtime.run.apply import apply
from runtime.run.model import Run, new_run
from runtime.run.records import AnyRecord, RunRecovered, RunSubmitted, decode_record

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

    def fold(self, bound: BoundPlan) -> Run:
        """Return the run that wrote the records."""
        run = new_run(bound.plan, self.row.run_id, bound.policies)
        for record in self.records:
            apply(run, record)
        return run

    def is_poisoned(self, cause: Literal["restart", "crash"], now: datetime) -> bool:
        """Return whether rebuilding failed too often to be tried again.

        After a restart of the process only attempts count that nothing followed: whoever is rebuilt and goes on is healthy,
        however often the process ends. Crashes of the actor itself count in any case.
        """
        recent = [record for record in self.records if _is_recovery(record, cause, now - RECOVERY_WINDOW)]
        if cause == "restart":
            tail = self.records[-len(recent) :] if recent else ()
            recent = [record for record in tail if isinstance(record, RunRecovered)]
            if len(recent) != len(tail):
                return False
        return len(recent) >= MAX_RECOVERIES


def _is_recovery(record: AnyRecord, cause: str, since: datetime) -> bool:
    if not isinstance(record, RunRecovered) or record.cause != cause:
        return False
    return isinstance(record.timestamp, datetime) and record.timestamp >= since


async def read_history(reader: JournalReader, journal: Journal, row: RunRow) -> History:
    """Read all entries of a run.

    Raises:
        JournalDamaged: They contradict each other.
    """
    entries: list[Entry] = []
    after = 0
    while page := await reader.call(_page, journal, row.number, after):
        entries += page
        after = page[-1].first_seq + page[-1].count - 1
    head = check_chain(row.run_id, entries)
    return History(row, decode_entries(row.run_id, entries), head)


def _page(journal: Journal, run: int, after: int) -> list[Entry]:
    return journal.entries(run, after=after, limit=PAGE)


def decode_entries(run_id: str, entries: Sequence[Entry]) -> tuple[AnyRecord, ...]:
    """Return the records of entries in order."""
    try:
        return tuple(decode_record(line) for entry in entries for line in entry.lines)
    except msgspec.MsgspecError as error:
        raise JournalDamaged(f"The journal of run {run_id} holds a record that cannot be read: {error}.") from error
