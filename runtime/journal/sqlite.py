"""The embedded journal: one SQLite file, one writing connection, read-only connections beside it.

Settings and why: WAL with `synchronous=FULL`, because only that keeps acknowledged rows through a power cut (docs/adr/0004);
`BEGIN IMMEDIATE`, because a transaction that upgrades from reading fails at once when another one committed; no memory map,
because a full or failing disk would then end the process. The writing connection is the only one that checkpoints. The
`apsw` package brings its own SQLite, so the machine's version does not matter.

One statement stores many rows, so that the writer's thread asks for the interpreter lock a few times per commit, not for every
row.
"""

import fcntl
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import apsw

from runtime.errors import JournalDamaged, JournalInUse, JournalUnavailable
from runtime.journal.base import Entry, RunFilter, RunRow, StoredGraph

T = TypeVar("T")

READERS: Final = 4
_CHUNKS: Final = (128, 32, 8, 2, 1)
"""Rows per statement: few sizes, so that each statement is prepared once."""

_RUN_COLUMNS: Final = "number, run_id, graph_id, status, submitted_at, started_at, completed_at, last_seq, error"
_GRAPH_COLUMNS: Final = "number, graph_id, version, name, description, nodes, entry_point, definition, created_at"
_ENTRY_COLUMNS: Final = "run, first_seq, count, epoch, body, hash"


class SqliteJournal:
    """A journal in the file `path`; its folder is created if needed."""

    durability = "fsync"
    blocks = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._epoch = 0
        self._lock: IO[str] | None = None
        self._writer: apsw.Connection | None = None
        self._readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()

    def open(self) -> int:
        """Lock the file, bring its schema up to date, and begin a new epoch."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self._path.with_name(self._path.name + ".lock"))
        except OSError as error:
            raise JournalUnavailable(f"The journal {str(self._path)!r} cannot be opened: {error}.") from error
        try:
            with self._reported():
                self._epoch = self._connect()
        except BaseException:
            self.close()
            raise
        return self._epoch

    def _connect(self) -> int:
        self._writer = writer = _connect(self._path, writes=True)
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = FULL")
        _migrate(writer, self._path)
        with _transaction(writer):
            writer.execute("UPDATE owner SET epoch = epoch + 1")
            epoch = int(_one(writer, "SELECT epoch FROM owner")[0])
        for _ in range(READERS):
            self._readers.put(_connect(self._path, writes=False))
        return epoch

    def close(self) -> None:
        """Close all connections and unlock the file."""
        while not self._readers.empty():
            self._readers.get().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # --- writing, by one caller at a time -----------------------------------------------------------------------------

    def commit(self, entries: Sequence[Entry]) -> None:
        """Store all entries in one transaction, provided that this process still owns the journal."""
        rows = {entry.run: entry.row for entry in entries if entry.row is not None}
        with self._write() as connection:
            if int(_one(connection, "SELECT epoch FROM owner")[0]) != self._epoch:
                raise JournalUnavailable("Another process has taken over the journal; this one may not write any more.")
            _insert(connection, _insert_entries, [_entry_values(entry) for entry in entries])
            _insert(connection, _upsert_runs, [_run_values(row) for row in rows.values()])

    def add_graph(self, graph: StoredGraph) -> StoredGraph:
        """Store a graph, or bring it back."""
        with self._write() as connection:
            connection.execute(
                f"INSERT INTO graphs ({_GRAPH_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (graph_id) DO UPDATE SET deleted = 0",
                (
                    graph.graph_id,
                    graph.version,
                    graph.name,
                    graph.description,
                    graph.nodes,
                    graph.entry_point,
                    graph.definition,
                    graph.created_at.isoformat(),
                ),
            )
            sql = f"SELECT {_GRAPH_COLUMNS} FROM graphs WHERE graph_id = ?"
            return _graph(_one(connection, sql, (graph.graph_id,)))

    def delete_graph(self, graph_id: str) -> None:
        """Hide a graph."""
        with self._write() as connection:
            connection.execute("UPDATE graphs SET deleted = 1 WHERE graph_id = ?", (graph_id,))

    # --- reading, by any number of callers ----------------------------------------------------------------------------

    def entries(self, run: int, *, after: int, limit: int) -> list[Entry]:
        """Return the entries behind `after`."""
        sql = (
            f"SELECT {_ENTRY_COLUMNS} FROM journal WHERE run = ?1 AND first_seq >= "
            "coalesce((SELECT max(first_seq) FROM journal WHERE run = ?1 AND first_seq <= ?2), 0) AND first_seq + count > ?2 "
            "ORDER BY first_seq LIMIT ?3"
        )
        rows = self._read(sql, (run, after + 1, limit))
        return [Entry(*row) for row in rows]

    def run(self, run_id: str) -> RunRow | None:
        """Return the row of a run."""
        rows = self._read(f"SELECT {_RUN_COLUMNS}, final_state FROM runs WHERE run_id = ?", (run_id,))
        return _row(rows[0]) if rows else None

    def runs(self, wanted: RunFilter) -> list[RunRow]:
        """Return the rows that `wanted` asks for."""
        tests, values = ["1"], []
        for column, test, value in (
            ("graph_id", "=", wanted.graph_id),
            ("status", "=", wanted.status),
            ("number", "<", wanted.before),
        ):
            if value is not None:
                tests.append(f"{column} {test} ?")
                values.append(value)
        sql = f"SELECT {_RUN_COLUMNS} FROM runs WHERE {' AND '.join(tests)} ORDER BY number DESC LIMIT ?"
        return [_row(row) for row in self._read(sql, (*values, wanted.limit))]

    def unfinished(self) -> list[RunRow]:
        """Return the rows of all runs that have not ended."""
        sql = f"SELECT {_RUN_COLUMNS} FROM runs WHERE completed_at IS NULL ORDER BY number"
        return [_row(row) for row in self._read(sql)]

    def last_run_number(self) -> int:
        """Return the highest number in use."""
        return int(self._read("SELECT coalesce(max(number), 0) FROM runs")[0][0])

    def graph(self, graph_id: str, *, deleted: bool = False) -> StoredGraph | None:
        """Return a graph."""
        sql = f"SELECT {_GRAPH_COLUMNS} FROM graphs WHERE graph_id = ? AND deleted <= ?"
        rows = self._read(sql, (graph_id, int(deleted)))
        return _graph(rows[0]) if rows else None

    def graphs(self, *, before: int | None, limit: int) -> list[StoredGraph]:
        """Return graphs, newest first."""
        sql = f"SELECT {_GRAPH_COLUMNS} FROM graphs WHERE deleted = 0 AND number < ? ORDER BY number DESC LIMIT ?"
        return [_graph(row) for row in self._read(sql, (1 << 62 if before is None else before, limit))]

    def counts(self) -> tuple[int, int]:
        """Return the numbers of graphs and of runs."""
        graphs, runs = self._read(
            "SELECT (SELECT count(*) FROM graphs WHERE deleted = 0), (SELECT count(*) FROM runs)"
        )[0]
        return int(graphs), int(runs)

    # --- inside -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _write(self) -> Iterator[apsw.Connection]:
        if self._writer is None:
            raise JournalUnavailable(f"The journal {str(self._path)!r} is closed.")
        with self._reported(), _transaction(self._writer):
            yield self._writer

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection = self._readers.get()
        try:
            with self._reported():
                return connection.execute(sql, values).fetchall()
        finally:
            self._readers.put(connection)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn SQLite's errors into ours, naming the file."""
        try:
            yield
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise JournalDamaged(f"The journal {str(self._path)!r} is damaged: {error}.") from error
        except apsw.Error as error:
            raise JournalUnavailable(f"The journal {str(self._path)!r} failed: {error}.") from error


def _lock(path: Path) -> IO[str]:
    """Return the open lock file; the system frees the lock when this process ends, however it ends."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        message = f"The journal beside {str(path)!r} is in use by {owner}. One process owns a data directory at a time."
        raise JournalInUse(message) from error
    file.seek(0)
    file.truncate()
    file.write(f"process {os.getpid()}")
    file.flush()
    return file


def _connect(path: Path, *, writes: bool) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE if writes else apsw.SQLITE_OPEN_READONLY
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=64)
    connection.set_busy_timeout(5_000)
    connection.execute("PRAGMA mmap_size = 0")
    return connection


@contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _migrate(connection: apsw.Connection, path: Path) -> None:
    scripts = sorted(
        (file for file in resources.files("runtime.journal.migrations").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    present = int(_one(connection, "PRAGMA user_version")[0])
    if present > len(scripts):
        raise JournalUnavailable(
            f"The journal {str(path)!r} has schema {present}, this version knows up to {len(scripts)}. Start the newer version."
        )
    for number, script in enumerate(scripts[present:], start=present + 1):
        with _transaction(connection):
            connection.execute(script.read_text(encoding="utf-8"))
            connection.execute(f"PRAGMA user_version = {number}")


def _one(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
    row: tuple[Any, ...] = next(iter(connection.execute(sql, values)))
    return row


def _insert(connection: apsw.Connection, statement: Callable[[int], str], rows: Sequence[tuple[Any, ...]]) -> None:
    place = 0
    while place < len(rows):
        size = next(size for size in _CHUNKS if size <= len(rows) - place)
        values = [value for row in rows[place : place + size] for value in row]
        connection.execute(statement(size), values)
        place += size


@lru_cache
def _insert_entries(rows: int) -> str:
    return f"INSERT INTO journal ({_ENTRY_COLUMNS}) VALUES {_places(6, rows)}"


@lru_cache
def _upsert_runs(rows: int) -> str:
    return (
        f"INSERT INTO runs ({_RUN_COLUMNS}, final_state) VALUES {_places(10, rows)} "
        "ON CONFLICT (number) DO UPDATE SET status = excluded.status, started_at = excluded.started_at, "
        "completed_at = excluded.completed_at, last_seq = excluded.last_seq, error = excluded.error, "
        "final_state = excluded.final_state"
    )


def _places(columns: int, rows: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def _entry_values(entry: Entry) -> tuple[Any, ...]:
    return entry.run, entry.first_seq, entry.count, entry.epoch, entry.body, entry.hash


def _run_values(row: RunRow) -> tuple[Any, ...]:
    return (
        row.number,
        row.run_id,
        row.graph_id,
        row.status,
        row.submitted_at.isoformat(),
        row.started_at and row.started_at.isoformat(),
        row.completed_at and row.completed_at.isoformat(),
        row.last_seq,
        row.error,
        row.final_state,
    )


def _row(values: tuple[Any, ...]) -> RunRow:
    number, run_id, graph_id, status, *times, last_seq, error = values[:9]
    submitted, started, completed = (time and datetime.fromisoformat(time) for time in times)
    final_state = values[9] if len(values) > 9 else None
    return RunRow(number, run_id, graph_id, status, submitted, started, completed, last_seq, error, final_state)


def _graph(values: tuple[Any, ...]) -> StoredGraph:
    number, graph_id, version, name, description, nodes, entry_point, definition, created_at = values
    created = datetime.fromisoformat(created_at)
    return StoredGraph(number, graph_id, version, name, description, nodes, entry_point, definition, created)
