"""The contract of a journal: what it stores, in which order, and what it promises about it.

An *entry* holds the records of one decision about one run, so a decision is stored whole or not at all. Entries of a run follow
each other without gaps and form a hash chain; every entry carries the epoch of the process that wrote it. Methods block and
raise `JournalUnavailable`; `writer.py` keeps them off the event loop. `tests/conformance/` holds for every implementation.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from runtime.errors import JournalDamaged


@dataclass(frozen=True, slots=True)
class StoredGraph:
    """A graph as it was accepted. `definition` is its canonical JSON; `number` orders graphs by their creation."""

    number: int
    graph_id: str
    version: str
    name: str
    description: str
    nodes: int
    entry_point: str
    definition: bytes
    created_at: datetime


class RunRow(Struct, frozen=True):
    """The line of a run in the index: what lists need, and the end state, without reading the records.

    Attributes:
        number: Orders runs by their submission; never used twice.
        last_seq: Records stored when the row was written; the newest entry may go beyond it.
        final_state: The encoded state of a run that has ended.
        key: The idempotency key that the run was submitted with.
        request: Digest of what was submitted under that key.
    """

    number: int
    run_id: str
    graph_id: str
    status: str
    submitted_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    last_seq: int = 0
    error: str | None = None
    final_state: bytes | None = None
    key: str | None = None
    request: bytes | None = None


class Entry(Struct, frozen=True):
    """The records `first_seq` … `first_seq + count - 1` of a run as lines of JSON, and the run's row where that changed."""

    run: int
    first_seq: int
    count: int
    epoch: int
    body: bytes
    hash: bytes
    row: RunRow | None = None

    @property
    def lines(self) -> list[bytes]:
        """The records, encoded."""
        return self.body.split(b"\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs a list shows: newest first, numbered below `before`, at most `limit`."""

    graph_id: str | None = None
    status: str | None = None
    before: int | None = None
    limit: int = 50


class Journal(Protocol):
    """What an implementation offers. Opened once, used by one writer at a time and any number of readers, closed once."""

    @property
    def durability(self) -> str:
        """`fsync`: what `commit` returned from survives a power cut; `none`: nothing survives the process."""
        ...

    @property
    def blocks(self) -> bool:
        """Whether calls wait for a disk and so belong into a thread."""
        ...

    @property
    def was_killed(self) -> bool:
        """Whether the last owner ended without closing it; known once it is open."""
        ...

    def open(self) -> int:
        """Take ownership and return the epoch, higher than that of every owner before.

        Raises:
            JournalInUse: Another process owns it.
        """
        ...

    def close(self) -> None:
        """Give up ownership; safe to call twice."""
        ...

    def commit(self, entries: Sequence[Entry]) -> None:
        """Store all entries, or none; they are durable when this returns.

        Raises:
            JournalUnavailable: Nothing is known to be stored; an entry may not be committed again.
        """
        ...

    def settle(self) -> None:
        """Flush what `commit` may leave for later, now that there is time. Entries are no part of that."""
        ...

    def entries(self, run: int, *, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries that hold a record after `after`, oldest first."""
        ...

    def run(self, run_id: str) -> RunRow | None:
        """Return the row of a run."""
        ...

    def run_of_key(self, key: str) -> RunRow | None:
        """Return the row of the run that was submitted with that idempotency key, without its `final_state`."""
        ...

    def runs(self, wanted: RunFilter) -> list[RunRow]:
        """Return rows without their `final_state`, newest first."""
        ...

    def unfinished(self) -> list[RunRow]:
        """Return the rows of all runs that have not ended, oldest first."""
        ...

    def ended_runs(self, *, before: datetime | None, beyond: int | None, limit: int) -> list[RunRow]:
        """Return up to `limit` rows of runs that may be forgotten, without their `final_state`, the earliest end first.

        Args:
            before: Runs that ended before this time; None for no such runs.
            beyond: Runs that are not among the newest so many that have ended; None for no such runs.
            limit: How many at most.
        """
        ...

    def delete_runs(self, numbers: Sequence[int]) -> None:
        """Remove runs with all their entries, all of them or none; numbers of no run are ignored.

        Raises:
            JournalUnavailable: Nothing is known to be removed.
        """
        ...

    def last_run_number(self) -> int:
        """Return the highest number that a run has or had, 0 if there was none."""
        ...

    def add_graph(self, graph: StoredGraph) -> StoredGraph:
        """Store a graph and return it with its number; one that was deleted appears again, one that is there stays as it is."""
        ...

    def graph(self, graph_id: str, *, deleted: bool = False) -> StoredGraph | None:
        """Return a graph; with `deleted`, also one that was deleted, which its runs still follow."""
        ...

    def graphs(self, *, before: int | None, limit: int) -> list[StoredGraph]:
        """Return graphs numbered below `before`, newest first."""
        ...

    def delete_graph(self, graph_id: str) -> None:
        """Hide a graph from every list; nothing happens if there is none."""
        ...

    def counts(self) -> tuple[int, int]:
        """Return the numbers of graphs and of runs."""
        ...


def chain_start(run_id: str) -> bytes:
    """Return what the first entry of a run is chained to."""
    return hashlib.blake2b(run_id.encode(), digest_size=16).digest()


def chain_next(head: bytes, body: bytes) -> bytes:
    """Return the hash of an entry: BLAKE2b over the hash before it and its body."""
    return hashlib.blake2b(head + body, digest_size=16).digest()


def check_chain(run_id: str, entries: Sequence[Entry]) -> bytes:
    """Return the hash of the newest entry, given all entries of a run.

    Raises:
        JournalDamaged: A record is missing, altered or out of order.
    """
    head, seq = chain_start(run_id), 1
    for entry in entries:
        if entry.first_seq != seq:
            message = f"The journal of run {run_id} has record {entry.first_seq} where record {seq} belongs."
            raise JournalDamaged(message, run_id=run_id)
        head = chain_next(head, entry.body)
        if head != entry.hash:
            message = (
                f"The journal of run {run_id} was altered at record {seq}: its hash does not fit the records before it."
            )
            raise JournalDamaged(message, run_id=run_id)
        seq += entry.count
    return head
