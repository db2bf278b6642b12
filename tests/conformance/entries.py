"""Short ways to write down journal entries, rows and graphs."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from runtime.ids import graph_id, graph_version
from runtime.journal import Entry, RunRow, StoredGraph
from runtime.journal.base import chain_next, chain_start

NOON: Final = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def row(number: int, status: str = "running", **keys: Any) -> RunRow:
    submitted = NOON + timedelta(seconds=number)
    completed = NOON + timedelta(hours=1) if status == "completed" else None
    values: dict[str, Any] = {
        "run_id": f"run-{number}",
        "graph_id": "graph-1",
        "status": status,
        "submitted_at": submitted,
        "completed_at": completed,
    }
    return RunRow(number, **{**values, **keys})


def chained(number: int, *counts: int, epoch: int = 1) -> list[Entry]:
    """Return the entries of a run, of so many records each; the first one has the run's row."""
    head, seq, entries = chain_start(f"run-{number}"), 1, []
    for count in counts:
        body = b"\n".join(b'{"seq":%d}' % place for place in range(seq, seq + count))
        head = chain_next(head, body)
        entries.append(Entry(number, seq, count, epoch, body, head, row(number) if seq == 1 else None))
        seq += count
    return entries


def stored(name: str) -> StoredGraph:
    definition = b'{"name":"%s"}' % name.encode()
    version = graph_version(definition)
    return StoredGraph(0, graph_id(version), version, name, f"About {name}", 2, "a", definition, NOON)
