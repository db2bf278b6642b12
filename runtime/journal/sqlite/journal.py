"""The embedded journal: one SQLite file, one writing connection, read-only connections beside it.

Every change is one transaction that also counts itself and extends a hash over all changes, in the row of the owner, and is
then noted in the watermark. What the file holds is checked before it is opened for writing, so a journal that is refused is
left as it was found.
"""

import queue
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import apsw

from runtime.errors import JournalUnavailable, StorageBusy, StorageFull
from runtime.journal.base import Entry, RunFilter, RunRow, StoredGraph, chain_next
from runtime.journal.sqlite.connections import beside, connect_reader, connect_writer, one, reported, transaction
from runtime.journal.sqlite.ownership import lock, require_local_disk
from runtime.journal.sqlite.rows import (
    ENTRY_COLUMNS,
    GRAPH_COLUMNS,
    RUN_COLUMNS,
    RUN_VALUES,
    entry_values,
    graph_values,
    insert,
    insert_entries,
    run_row,
    run_values,
    stored_graph,
    upsert_runs,
)
from runtime.journal.sqlite.salvage import Salvage, salvage
from runtime.journal.sqlite.schema import migrate
from runtime.journal.sqlite.verification import Extent, JournalReport, verify_journal
from runtime.journal.sqlite.watermark import Watermark, create_watermark, mark_now

READERS: Final = 4

_ADVANCE: Final = (
    "UPDATE owner SET commits = ?2, entries = entries + ?3, head = ?4 WHERE id = 1 AND epoch = ?1 AND commits = ?2 - 1"
)


class SqliteJournal:
    """A journal in the file `path`; its folder is created if needed.

    Args:
        path: The database; other files stand beside it.
        check: How much is compared with its hashes before the journal is opened.
        accept_data_loss: Whether a damaged journal is copied away and opened with what is whole, instead of being refused.
        allow_network_filesystem: Whether the file may be where locks cannot be relied on.

    Attributes:
        salvaged: What had to be done to open it, if it was damaged and that was accepted.
    """

    durability = "fsync"
    blocks = True

    def __init__(
        self,
        path: Path,
        *,
        check: Extent = "full",
        accept_data_loss: bool = False,
        allow_network_filesystem: bool = False,
    ) -> None:
        self.salvaged: Salvage | None = None
        self._path = path
        self._check: Extent = check
        self._accept_data_loss = accept_data_loss
        self._allow_network_filesystem = allow_network_filesystem
        self._epoch = 0
        self._commits = 0
        self._head = b""
        self._was_killed = False
        self._has_failed = False
        self._lock: IO[str] | None = None
        self._watermark: Watermark | None = None
        self._writer: apsw.Connection | None = None
        self._readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()

    @property
    def was_killed(self) -> bool:
        """Whether the owner before this one did not close the journal."""
        return self._was_killed

    def open(self) -> int:
        """Lock the file, check it, bring its schema up to date, and begin a new epoch."""
        if not self._allow_network_filesystem:
            require_local_disk(self._path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock(beside(self._path, ".lock"))
            with reported(self._path):
                self._epoch = self._connect(self._checked())
        except OSError as error:
            self.close()
            raise JournalUnavailable(f"The journal {str(self._path)!r} cannot be opened: {error}.") from error
        except BaseException:
            self.close()
            raise
        return self._epoch

    def _checked(self) -> JournalReport:
        """Return a report without faults, after saving what can be saved if that is wanted."""
        if beside(self._path, "-journal").exists():
            connect_writer(
                self._path
            ).close()  # power failed while the file was made, and only a writer rolls that back
        report = verify_journal(self._path, self._check)
        was_killed = report.was_killed
        if not report.is_whole:
            if not self._accept_data_loss:
                raise report.damage()
            self.salvaged = salvage(self._path, report)
            report = verify_journal(self._path)
            if not report.is_whole:
                raise report.damage()
        self._was_killed = was_killed
        return report

    def _connect(self, report: JournalReport) -> int:
        journal_id = report.journal_id or uuid.uuid4().hex
        if report.journal_id is None:  # the watermark is there before the journal that may not be without it
            create_watermark(self._path, mark_now(journal_id, 0, bytes.fromhex(journal_id), "prepared"))
        self._writer = writer = connect_writer(self._path)
        # What a power cut left in the log is brought home first. Behind its last whole frame the next one would share a sector
        # with it, and a second cut may take both: SQLite pads for that, but the padding itself may be what the first cut took.
        writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        migrate(writer, journal_id)
        self._commits, self._head = one(writer, "SELECT commits, head FROM owner")
        self._watermark = Watermark(self._path, mark_now(journal_id, self._commits, self._head, "open"))
        with transaction(writer):
            writer.execute("UPDATE owner SET epoch = epoch + 1")
            epoch = int(one(writer, "SELECT epoch FROM owner")[0])
        for _ in range(READERS):
            self._readers.put(connect_reader(self._path))
        self._has_failed = False
        return epoch

    def close(self) -> None:
        """Close all connections and unlock the file."""
        try:
            while not self._readers.empty():
                self._readers.get().close()
            if self._writer is not None:
                self._writer.close()
        except apsw.Error:  # every commit that was reported is on the disk all the same; the next start checks it
            self._has_failed = True
        finally:
            self._writer = None
            if self._watermark is not None:
                self._watermark.close(clean=not self._has_failed)
                self._watermark = None
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    # --- writing, by one caller at a time -----------------------------------------------------------------------------

    def commit(self, entries: Sequence[Entry]) -> None:
        """Store all entries in one transaction, provided that this process still owns the journal."""
        if not entries:
            return
        rows = {entry.run: entry.row for entry in entries if entry.row is not None}
        with self._change(b"".join([entry.hash for entry in entries]), entries=len(entries)) as connection:
            insert(connection, insert_entries, [entry_values(entry) for entry in entries])
            insert(connection, upsert_runs, [run_values(row) for row in rows.values()])

    def add_graph(self, graph: StoredGraph) -> StoredGraph:
        """Store a graph, or bring it back."""
        with self._change(b"add " + graph.graph_id.encode()) as connection:
            connection.execute(
                f"INSERT INTO graphs ({GRAPH_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (graph_id) DO UPDATE SET deleted = 0",
                graph_values(graph),
            )
            return stored_graph(
                one(connection, f"SELECT {GRAPH_COLUMNS} FROM graphs WHERE graph_id = ?", (graph.graph_id,))
            )

    def delete_graph(self, graph_id: str) -> None:
        """Hide a graph."""
        with self._change(b"delete " + graph_id.encode()) as connection:
            connection.execute("UPDATE graphs SET deleted = 1 WHERE graph_id = ?", (graph_id,))

    def delete_runs(self, numbers: Sequence[int]) -> None:
        """Remove runs with all their entries, in one transaction."""
        if not numbers:
            return
        runs = [(number,) for number in numbers]
        with self._change(b"delete " + repr(list(numbers)).encode()) as connection:
            before = connection.total_changes()
            connection.executemany("DELETE FROM journal WHERE run = ?", runs)
            entries = connection.total_changes() - before
            connection.executemany("DELETE FROM runs WHERE number = ?", runs)
            sql = "UPDATE owner SET entries = entries - ?, last_deleted = max(last_deleted, ?)"
            connection.execute(sql, (entries, max(numbers)))

    def settle(self) -> None:
        """Flush the watermark."""
        if self._watermark is not None:
            self._watermark.flush()

    # --- reading, by any number of callers ----------------------------------------------------------------------------

    def entries(self, run: int, *, after: int, limit: int) -> list[Entry]:
        """Return the entries behind `after`."""
        sql = (
            f"SELECT {ENTRY_COLUMNS} FROM journal WHERE run = ?1 AND first_seq >= "
            "coalesce((SELECT max(first_seq) FROM journal WHERE run = ?1 AND first_seq <= ?2), 0) AND first_seq + count > ?2 "
            "ORDER BY first_seq LIMIT ?3"
        )
        rows = self._read(sql, (run, after + 1, limit))
        return [Entry(*row) for row in rows]

    def run(self, run_id: str) -> RunRow | None:
        """Return the row of a run."""
        rows = self._read(f"SELECT {RUN_VALUES} FROM runs WHERE run_id = ?", (run_id,))
        return run_row(rows[0]) if rows else None

    def run_of_key(self, key: str) -> RunRow | None:
        """Return the row of the run that was submitted with that idempotency key."""
        rows = self._read(f"SELECT {RUN_COLUMNS} FROM runs WHERE key = ?", (key,))
        return run_row(rows[0]) if rows else None

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
        sql = f"SELECT {RUN_COLUMNS} FROM runs WHERE {' AND '.join(tests)} ORDER BY number DESC LIMIT ?"
        return [run_row(row) for row in self._read(sql, (*values, wanted.limit))]

    def unfinished(self) -> list[RunRow]:
        """Return the rows of all runs that have not ended."""
        sql = f"SELECT {RUN_COLUMNS} FROM runs WHERE completed_at IS NULL ORDER BY number"
        return [run_row(row) for row in self._read(sql)]

    def ended_runs(self, *, before: datetime | None, beyond: int | None, limit: int) -> list[RunRow]:
        """Return the rows of runs that ended before a time, or are not among the newest `beyond` that ended."""
        newest_too_old = "SELECT completed_at, number FROM runs WHERE completed_at IS NOT NULL"
        sql = (
            f"SELECT {RUN_COLUMNS} FROM runs WHERE completed_at IS NOT NULL AND (completed_at < ?1 OR (completed_at, number) <= "
            f"({newest_too_old} ORDER BY completed_at DESC, number DESC LIMIT 1 OFFSET ?2)) "
            "ORDER BY completed_at, number LIMIT ?3"
        )
        time = "" if before is None else before.astimezone(UTC).isoformat()
        return [run_row(row) for row in self._read(sql, (time, 1 << 62 if beyond is None else beyond, limit))]

    def last_run_number(self) -> int:
        """Return the highest number that a run has or had."""
        sql = "SELECT max(last_deleted, (SELECT coalesce(max(number), 0) FROM runs)) FROM owner"
        return int(self._read(sql)[0][0])

    def graph(self, graph_id: str, *, deleted: bool = False) -> StoredGraph | None:
        """Return a graph."""
        sql = f"SELECT {GRAPH_COLUMNS} FROM graphs WHERE graph_id = ? AND deleted <= ?"
        rows = self._read(sql, (graph_id, int(deleted)))
        return stored_graph(rows[0]) if rows else None

    def graphs(self, *, before: int | None, limit: int) -> list[StoredGraph]:
        """Return graphs, newest first."""
        sql = f"SELECT {GRAPH_COLUMNS} FROM graphs WHERE deleted = 0 AND number < ? ORDER BY number DESC LIMIT ?"
        return [stored_graph(row) for row in self._read(sql, (1 << 62 if before is None else before, limit))]

    def counts(self) -> tuple[int, int]:
        """Return the numbers of graphs and of runs."""
        graphs, runs = self._read(
            "SELECT (SELECT count(*) FROM graphs WHERE deleted = 0), (SELECT count(*) FROM runs)"
        )[0]
        return int(graphs), int(runs)

    # --- inside -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _change(self, what: bytes, *, entries: int = 0) -> Iterator[apsw.Connection]:
        """Make one transaction of the block, counted and chained; the watermark knows it when it is durable.

        Args:
            what: Goes into the journal-wide hash: the hashes of the entries, or what else is changed.
            entries: How many entries the block adds.
        """
        if self._writer is None or self._watermark is None:
            raise JournalUnavailable(f"The journal {str(self._path)!r} is closed.")
        commits, head = self._commits + 1, chain_next(self._head, what)
        try:
            with reported(self._path):
                with transaction(self._writer):
                    self._writer.execute(_ADVANCE, (self._epoch, commits, entries, head))
                    if self._writer.changes() != 1:
                        message = "Another process has taken over the journal; this one may not write any more."
                        raise JournalUnavailable(message)
                    yield self._writer
                self._commits, self._head = commits, head
                self._watermark.note(commits, head)
        except (StorageFull, StorageBusy):
            raise  # nothing was changed, and it can be tried again
        except BaseException:
            self._has_failed = True
            raise

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection = self._readers.get()
        try:
            with reported(self._path):
                return connection.execute(sql, values).fetchall()
        finally:
            self._readers.put(connection)
