"""What a journal holds, as plain values: for the outside record of what was acknowledged, and for what a cut left."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import apsw
from msgspec import structs

from runtime.journal import Entry, RunFilter, RunRow, SqliteJournal, StoredGraph
from runtime.journal.base import check_chain

_ALL: Final = 1_000_000


@dataclass(slots=True)
class World:
    """Runs by number, graphs by id; graphs without their numbers, and whether they are deleted."""

    rows: dict[int, RunRow] = field(default_factory=dict)
    entries: dict[int, tuple[Entry, ...]] = field(default_factory=dict)
    graphs: dict[str, tuple[StoredGraph, bool]] = field(default_factory=dict)

    def with_entries(self, batch: Iterable[Entry]) -> "World":
        """Return the world after a commit."""
        world = World(dict(self.rows), dict(self.entries), self.graphs)
        for entry in batch:
            if entry.row is not None:
                world.rows[entry.run] = entry.row
            bare = structs.replace(entry, row=None)
            world.entries[entry.run] = (*world.entries.get(entry.run, ()), bare)
        return world

    def with_graph(self, graph: StoredGraph, *, deleted: bool = False) -> "World":
        """Return the world after a graph was stored or hidden."""
        return World(self.rows, self.entries, {**self.graphs, graph.graph_id: (replace(graph, number=0), deleted)})

    def without_runs(self, numbers: Iterable[int]) -> "World":
        """Return the world after runs were removed."""
        gone = set(numbers)
        rows = {number: row for number, row in self.rows.items() if number not in gone}
        return World(rows, {number: self.entries[number] for number in rows}, self.graphs)

    @property
    def entry_count(self) -> int:
        """How many entries there are."""
        return sum(map(len, self.entries.values()))


@dataclass(slots=True)
class Found:
    """What the check after one cut found.

    Attributes:
        world: What is there; None if the journal does not open.
        faults: What should not be: its kind (`lost`, `torn`, `altered`, `damaged`) and a sentence.
        acknowledged: Entries that were acknowledged, all of which have to be there.
        unacknowledged: Whether what was on its way when the power failed is there; None if nothing was.
    """

    world: World | None = None
    faults: list[tuple[str, str]] = field(default_factory=list)
    acknowledged: int = 0
    unacknowledged: bool | None = None


def read_world(path: Path, *, graph_ids: Iterable[str] = ()) -> tuple[World, int]:
    """Open the journal as after a reboot, check it whole, and return its content and the epoch that the opening began.

    Args:
        path: The database.
        graph_ids: Graphs that may be there and hidden, so that no list has them.

    Raises:
        EngineError: The journal does not open, or a chain is broken.
        AssertionError: SQLite finds a fault, or rows and entries do not fit together.
    """
    journal = SqliteJournal(path)
    epoch = journal.open()
    try:
        world = World()
        for listed in journal.runs(RunFilter(limit=_ALL)):
            row = journal.run(listed.run_id)
            assert row is not None
            entries = tuple(journal.entries(row.number, after=0, limit=_ALL))
            assert entries, f"run {row.run_id} has a row and no records"
            check_chain(row.run_id, entries)
            world.rows[row.number], world.entries[row.number] = row, entries
        shown = {graph.graph_id: graph for graph in journal.graphs(before=None, limit=_ALL)}
        for graph_id in {*graph_ids, *shown}:
            graph = journal.graph(graph_id, deleted=True)
            if graph is not None:
                world.graphs[graph_id] = (replace(graph, number=0), graph_id not in shown)
        assert journal.counts() == (sum(not hidden for _, hidden in world.graphs.values()), len(world.rows))
        _check_file(path, world.entry_count)
    finally:
        journal.close()
    return world, epoch


def _check_file(path: Path, entries: int) -> None:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        assert connection.pragma("quick_check") == "ok"
        stored = connection.execute("SELECT count(*) FROM journal").get
        assert stored == entries, f"the table has {stored} entries, and the runs {entries}"
    finally:
        connection.close()


def compare(path: Path, before: World, after: World | None) -> tuple[Found, int]:
    """Return what is at `path` after a cut, and its epoch: it has to be `before`, or `after` if something was on its way."""
    found = Found(acknowledged=before.entry_count)
    try:
        world, epoch = read_world(path, graph_ids=(after or before).graphs)
    except Exception as error:  # whatever a damaged file leads to
        found.faults.append(("damaged", f"{type(error).__name__}: {error}"))
        return found, 0
    found.world = world
    if after is not None:
        found.unacknowledged = world == after
    if world not in (before, after):
        found.faults += _differences(before, after or before, world)
    return found, epoch


def _differences(before: World, after: World, world: World) -> list[tuple[str, str]]:
    faults = []
    for number, entries in before.entries.items():
        there = world.entries.get(number, ())
        missing = len(entries) - len(there)
        if not there and number not in after.entries:
            continue  # its removal was on its way
        if missing > 0:
            faults.append(("lost", f"run {number}: the last {missing} of {len(entries)} acknowledged entries are lost"))
        if there[: len(entries)] != entries[: len(there)]:
            faults.append(("altered", f"run {number}: acknowledged entries have other bytes"))
        elif missing <= 0 and world.rows[number] not in (before.rows[number], after.rows[number]):
            faults.append(("altered", f"run {number}: its row is {world.rows[number]}"))
    faults += [
        ("lost", f"graph {graph_id} is {world.graphs.get(graph_id)}")
        for graph_id in before.graphs
        if world.graphs.get(graph_id) not in (before.graphs[graph_id], after.graphs.get(graph_id))
    ]
    return faults or [("torn", "something that was on its way is there in part, or something that nobody wrote")]
