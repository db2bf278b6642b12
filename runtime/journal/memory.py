"""A journal in memory: promises order and atomicity, and forgets everything at exit. For tests, trials and benches."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from msgspec import structs

from runtime.journal.base import Entry, RunFilter, RunRow, StoredGraph


class MemoryJournal:
    """Keeps rows, entries and graphs in dicts."""

    durability = "none"
    blocks = False

    def __init__(self) -> None:
        self._epoch = 0
        self._last_deleted = 0
        self._is_open = False
        self.was_killed = False
        self._rows: dict[int, RunRow] = {}
        self._numbers: dict[str, int] = {}
        self._keys: dict[str, int] = {}
        self._unfinished: set[int] = set()
        self._entries: dict[int, list[Entry]] = {}
        self._graphs: dict[str, StoredGraph] = {}
        self._deleted: set[str] = set()

    def open(self) -> int:
        """Return the next epoch; the content of an earlier use is still there."""
        self._epoch += 1
        self.was_killed, self._is_open = self._is_open, True
        return self._epoch

    def close(self) -> None:
        """Note that this use has ended."""
        self._is_open = False

    def commit(self, entries: Sequence[Entry]) -> None:
        """Append to the lists."""
        for entry in entries:
            self._entries.setdefault(entry.run, []).append(entry)
            if entry.row is not None:
                self._rows[entry.run] = entry.row
                self._numbers[entry.row.run_id] = entry.run
                if entry.row.key is not None:
                    self._keys[entry.row.key] = entry.run
                if entry.row.completed_at is None:
                    self._unfinished.add(entry.run)
                else:
                    self._unfinished.discard(entry.run)

    def settle(self) -> None:
        """Do nothing: nothing is left for later."""

    def entries(self, run: int, *, after: int, limit: int) -> list[Entry]:
        """Return the entries behind `after`."""
        found = (entry for entry in self._entries.get(run, ()) if entry.first_seq + entry.count - 1 > after)
        return [entry for entry, _ in zip(found, range(limit), strict=False)]

    def run(self, run_id: str) -> RunRow | None:
        """Return the row of a run."""
        return self._rows.get(self._numbers.get(run_id, 0))

    def run_of_key(self, key: str) -> RunRow | None:
        """Return the row of the run with that idempotency key."""
        number = self._keys.get(key)
        return None if number is None else structs.replace(self._rows[number], final_state=None)

    def runs(self, wanted: RunFilter) -> list[RunRow]:
        """Filter all rows."""
        found: list[RunRow] = []
        for number in reversed(self._rows):
            row = self._rows[number]
            if wanted.before is not None and number >= wanted.before:
                continue
            if wanted.graph_id not in (None, row.graph_id) or wanted.status not in (None, row.status):
                continue
            found.append(structs.replace(row, final_state=None))
            if len(found) == wanted.limit:
                break
        return found

    def unfinished(self) -> list[RunRow]:
        """Return the rows of all runs that have not ended."""
        return [self._rows[number] for number in sorted(self._unfinished)]

    def ended_runs(self, *, before: datetime | None, beyond: int | None, limit: int) -> list[RunRow]:
        """Sort all ended runs by their ends."""
        ended = sorted(
            ((row.completed_at, row.number, row) for row in self._rows.values() if row.completed_at is not None),
            key=lambda one: one[:2],
        )
        kept = len(ended) if beyond is None else beyond
        old = [
            structs.replace(row, final_state=None)
            for place, (end, _, row) in enumerate(ended)
            if (before is not None and end < before) or place < len(ended) - kept
        ]
        return old[:limit]

    def delete_runs(self, numbers: Sequence[int]) -> None:
        """Forget runs."""
        self._last_deleted = max((self._last_deleted, *numbers))
        for number in numbers:
            row = self._rows.pop(number, None)
            if row is not None:
                self._entries.pop(number, None)
                self._unfinished.discard(number)
                del self._numbers[row.run_id]
                if row.key is not None:
                    self._keys.pop(row.key, None)

    def last_run_number(self) -> int:
        """Return the highest number that a run has or had."""
        return max(self._last_deleted, max(self._rows, default=0))

    def add_graph(self, graph: StoredGraph) -> StoredGraph:
        """Store a graph, or bring it back."""
        self._deleted.discard(graph.graph_id)
        return self._graphs.setdefault(graph.graph_id, replace(graph, number=len(self._graphs) + 1))

    def graph(self, graph_id: str, *, deleted: bool = False) -> StoredGraph | None:
        """Return a graph."""
        return None if graph_id in self._deleted and not deleted else self._graphs.get(graph_id)

    def graphs(self, *, before: int | None, limit: int) -> list[StoredGraph]:
        """Return graphs, newest first."""
        there = [graph for graph in self._graphs.values() if graph.graph_id not in self._deleted]
        return [graph for graph in reversed(there) if before is None or graph.number < before][:limit]

    def delete_graph(self, graph_id: str) -> None:
        """Hide a graph."""
        self._deleted.add(graph_id)

    def counts(self) -> tuple[int, int]:
        """Return the numbers of graphs and of runs."""
        return len(self._graphs) - len(self._deleted & self._graphs.keys()), len(self._rows)
