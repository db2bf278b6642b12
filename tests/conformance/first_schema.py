"""Writes a journal as the first version of the schema had it, without any of what came later."""

from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from tests.conformance.entries import chained, row, stored

_SCRIPT: Final = Path(__file__).parents[2] / "runtime" / "journal" / "sqlite" / "migrations" / "0001_initial.sql"


def make_first_schema(path: Path, *, runs: int = 2) -> None:
    """Make the file, with so many completed runs of four records each."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(_SCRIPT.read_text() + "PRAGMA user_version = 1; BEGIN")
        graph = stored("a")
        connection.execute(
            "INSERT INTO graphs VALUES (1, ?, ?, 'a', '', 2, 'a', ?, '2030-01-01T12:00:00+00:00', 0)",
            (graph.graph_id, graph.version, graph.definition),
        )
        for number in range(1, runs + 1):
            line = row(number, "completed", graph_id=graph.graph_id)
            assert line.completed_at is not None
            times = (line.submitted_at.isoformat(), line.completed_at.isoformat())
            connection.execute(
                "INSERT INTO runs VALUES (?, ?, ?, 'completed', ?, NULL, ?, 4, 'é', ?)",
                (number, line.run_id, graph.graph_id, *times, b"{}"),
            )
            connection.executemany(
                "INSERT INTO journal (run, first_seq, count, epoch, body, hash) VALUES (?, ?, ?, ?, ?, ?)",
                [(e.run, e.first_seq, e.count, e.epoch, e.body, e.hash) for e in chained(number, 2, 2)],
            )
        connection.execute("COMMIT")
