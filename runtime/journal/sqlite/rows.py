"""Rows: their columns, how they are written and read, and the digest that an altered row does not fit.

One statement stores many rows, so that the writer's thread asks for the interpreter lock a few times per commit, not for every
row.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import apsw
import msgspec

from runtime.journal.base import Entry, RunRow, StoredGraph

RUN_COLUMNS: Final = (
    "number, run_id, graph_id, status, submitted_at, started_at, completed_at, last_seq, error, key, request"
)
GRAPH_COLUMNS: Final = "number, graph_id, version, name, description, nodes, entry_point, definition, created_at"
ENTRY_COLUMNS: Final = "run, first_seq, count, epoch, body, hash"

RUN_VALUES: Final = f"{RUN_COLUMNS}, final_state"
"""Everything that a run's digest covers, in its order."""

_CHUNKS: Final = (128, 32, 8, 2, 1)
"""Rows per statement: few sizes, so that each statement is prepared once."""

_encode_values = msgspec.msgpack.Encoder().encode


def run_digest(values: tuple[Any, ...]) -> bytes:
    """Return BLAKE2b-16 over the values of `RUN_VALUES` as they are stored."""
    return blake2b(_encode_values(values), digest_size=16).digest()


def insert(connection: apsw.Connection, statement: Callable[[int], str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Store rows with the statement that `statement` returns for each number of them."""
    place = 0
    while place < len(rows):
        size = next(size for size in _CHUNKS if size <= len(rows) - place)
        values = [value for row in rows[place : place + size] for value in row]
        connection.execute(statement(size), values)
        place += size


@lru_cache
def insert_entries(rows: int) -> str:
    """Return the statement that appends so many entries."""
    return f"INSERT INTO journal ({ENTRY_COLUMNS}) VALUES {_places(6, rows)}"


@lru_cache
def upsert_runs(rows: int) -> str:
    """Return the statement that adds or renews so many rows of runs."""
    return (
        f"INSERT INTO runs ({RUN_VALUES}, digest) VALUES {_places(13, rows)} "
        "ON CONFLICT (number) DO UPDATE SET status = excluded.status, started_at = excluded.started_at, "
        "completed_at = excluded.completed_at, last_seq = excluded.last_seq, error = excluded.error, "
        "key = excluded.key, request = excluded.request, final_state = excluded.final_state, digest = excluded.digest"
    )


def _places(columns: int, rows: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def entry_values(entry: Entry) -> tuple[Any, ...]:
    """Return the values of `ENTRY_COLUMNS`."""
    return entry.run, entry.first_seq, entry.count, entry.epoch, entry.body, entry.hash


def run_values(row: RunRow) -> tuple[Any, ...]:
    """Return the values of `RUN_VALUES` and their digest."""
    values = (
        row.number,
        row.run_id,
        row.graph_id,
        row.status,
        row.submitted_at.isoformat(),
        row.started_at and row.started_at.isoformat(),
        row.completed_at and row.completed_at.isoformat(),
        row.last_seq,
        row.error,
        row.key,
        row.request,
        row.final_state,
    )
    return *values, run_digest(values)


def run_row(values: Sequence[Any]) -> RunRow:
    """Return the row with the values of `RUN_COLUMNS` or `RUN_VALUES`."""
    number, run_id, graph_id, status, *times, last_seq, error, key, request = values[:11]
    submitted, started, completed = (time and datetime.fromisoformat(time) for time in times)
    final_state = values[11] if len(values) > 11 else None
    return RunRow(
        number, run_id, graph_id, status, submitted, started, completed, last_seq, error, final_state, key, request
    )


def graph_values(graph: StoredGraph) -> tuple[Any, ...]:
    """Return the values of `GRAPH_COLUMNS` behind its number."""
    return (
        graph.graph_id,
        graph.version,
        graph.name,
        graph.description,
        graph.nodes,
        graph.entry_point,
        graph.definition,
        graph.created_at.isoformat(),
    )


def stored_graph(values: tuple[Any, ...]) -> StoredGraph:
    """Return the graph with the values of `GRAPH_COLUMNS`."""
    number, graph_id, version, name, description, nodes, entry_point, definition, created_at = values
    created = datetime.fromisoformat(created_at)
    return StoredGraph(number, graph_id, version, name, description, nodes, entry_point, definition, created)
