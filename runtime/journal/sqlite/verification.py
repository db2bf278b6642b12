"""Reads a whole journal without changing it, and says what does not fit.

Three things are compared: the watermark with the end of the database, the pages and indexes among each other, and every row
with its hash. Rows are streamed in the order of the runs, so memory does not grow with the journal. Whoever calls this while a
server is at work sees one moment of it; the watermark is read before that moment, because it may never be ahead.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Literal

import apsw

from runtime.errors import JournalDamaged
from runtime.ids import graph_id, graph_version
from runtime.journal.base import chain_start
from runtime.journal.sqlite.connections import beside, connect_reader, one, reported
from runtime.journal.sqlite.rows import RUN_VALUES, run_digest
from runtime.journal.sqlite.schema import INTEGRITY, require_known, schema_of
from runtime.journal.sqlite.watermark import Mark, read_mark

Extent = Literal["full", "recent"]
"""`full` reads everything; `recent` the watermark, the graphs, and the runs that have not ended."""

MAX_FAULTS: Final = 1_000

UNREADABLE: Final = (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError, TypeError, ValueError)
"""What reading a row may raise when bytes of it were altered: pages, texts, types."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that does not fit, and the run it belongs to where it belongs to one."""

    what: str
    run_id: str | None = None


@dataclass(slots=True, kw_only=True)
class JournalReport:
    """What a journal holds and what is wrong with it.

    Attributes:
        size_bytes: Of the database and its write-ahead log.
        schema: Its version; 0 for an empty file.
        commits: Changes that were confirmed since the journal has an id.
        watermark: What it must at least hold; None where there is no watermark.
        shortfall: How the end of the database differs from the watermark.
        faults: What does not fit inside; at most 1,000 are listed.
        runs: Number of runs by status.
        unfinished: Runs that have not ended.
        was_killed: The last owner did not end well.
    """

    path: Path
    extent: Extent
    size_bytes: int = 0
    schema: int = 0
    journal_id: str | None = None
    epoch: int = 0
    commits: int = 0
    head: bytes = b""
    watermark: Mark | None = None
    shortfall: str | None = None
    faults: list[Fault] = field(default_factory=list)
    graphs: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    unfinished: int = 0
    entries: int = 0
    records: int = 0
    was_killed: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return self.shortfall is None and not self.faults

    def blame(self, what: str, run_id: str | None = None) -> None:
        """Add a fault."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(what, run_id))

    def damage(self) -> JournalDamaged:
        """Return the error that says what is wrong, in one line."""
        found = ([self.shortfall] if self.shortfall else []) + [fault.what for fault in self.faults]
        more = f" And {len(found) - 1} more; `python -m api verify` lists them." if len(found) > 1 else ""
        ids: dict[str, Any] = next(({"run_id": fault.run_id} for fault in self.faults if fault.run_id), {})
        return JournalDamaged(
            f"The journal {str(self.path)!r} is damaged: {found[0]}{more} Nothing was changed. Restore a backup, or start once "
            "with --accept-data-loss, which keeps a copy and goes on with what is whole.",
            **ids,
        )


def verify_journal(path: Path, extent: Extent = "full") -> JournalReport:
    """Read a journal, which may be in use, and report what it holds and what is wrong with it.

    Raises:
        JournalUnavailable: It cannot be opened or read; a file that is not there is none of these, it is empty.
        JournalNewer: It has a schema that this version does not know.
    """
    report = JournalReport(path=path, extent=extent)
    try:
        report.watermark = read_mark(path)
    except JournalDamaged as error:
        report.shortfall = error.message
    begun = report.watermark is not None and report.watermark.state != "prepared"
    log = beside(path, "-wal")
    log_bytes = log.stat().st_size if log.exists() else 0
    report.size_bytes = log_bytes + (path.stat().st_size if path.exists() else 0)
    if not path.exists() or path.stat().st_size == 0:
        if begun or (log_bytes and report.watermark is None):
            report.shortfall = f"the database is missing or empty, but {_expected(report.watermark)}."
        return report
    with reported(path):
        try:
            connection = connect_reader(path)
            with closing(connection):
                _examine(connection, report, has_log=log_bytes > 0)
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
            report.blame(f"SQLite cannot read it ({error}).")
    return report


_COPY: Final = "A copy of a journal in use has to be made with `python -m api backup`."


def _expected(mark: Mark | None) -> str:
    if mark is None:
        return "its write-ahead log is not"
    return f"the watermark of {mark.written_at:%Y-%m-%d %H:%M:%S} UTC expects {mark.commits} commits"


def _examine(connection: apsw.Connection, report: JournalReport, *, has_log: bool) -> None:
    connection.execute("BEGIN")
    report.schema = schema_of(connection)
    require_known(report.schema, report.path)
    mark = report.watermark
    if report.schema < INTEGRITY:
        report.was_killed = has_log
        if mark is not None and mark.state != "prepared":
            report.shortfall = f"it has schema {report.schema}, but {_expected(mark)}."
        elif mark is None and report.schema == 0:  # its content was in the write-ahead log
            report.shortfall = f"it is empty and without a watermark. {_COPY}"
    else:
        report.was_killed = mark is not None and mark.state == "open"
        _compare_with_watermark(connection, report)
    if report.schema == 0:
        return
    if report.extent == "full":
        for (message,) in connection.execute(f"PRAGMA integrity_check({MAX_FAULTS})"):
            if message != "ok":
                report.blame(f"SQLite finds: {message.strip()}.")
    _guarded(report, "graphs", lambda: _examine_graphs(connection, report))
    _guarded(report, "runs", lambda: _examine_runs(connection, report))
    if report.schema >= INTEGRITY and report.extent == "full" and not report.faults:
        expected = one(connection, "SELECT entries FROM owner")[0]
        if report.entries != expected:
            report.blame(f"it holds {report.entries} entries, its owner's row says {expected}.")


def _guarded(report: JournalReport, table: str, examine: Any) -> None:
    try:
        examine()
    except UNREADABLE as error:
        report.blame(f"a row of the table {table!r} cannot be read ({error}).")


def _compare_with_watermark(connection: apsw.Connection, report: JournalReport) -> None:
    columns = "journal_id, epoch, commits, head, entries, last_deleted"
    owner = next(iter(connection.execute(f"SELECT {columns} FROM owner WHERE id = 1")), None)
    if owner is None:
        report.blame("the row of its owner is missing.")
        return
    if [type(value) for value in owner] != [str, int, int, bytes, int, int]:
        report.blame("the row of its owner was altered.")
        return
    report.journal_id, report.epoch, report.commits, report.head = owner[:4]
    mark = report.watermark
    if report.shortfall is not None:
        return
    if mark is None:
        report.shortfall = f"its watermark is missing, so nobody can tell whether it is complete. {_COPY}"
    elif mark.journal_id != report.journal_id:
        report.shortfall = "the watermark beside it belongs to another journal."
    elif report.commits < mark.commits:
        report.shortfall = f"it ends with commit {report.commits}, but {_expected(mark)}."
    elif report.commits == mark.commits and report.head != mark.head:
        report.shortfall = f"commit {report.commits} is not the one that the watermark knows: its hash differs."


def _examine_graphs(connection: apsw.Connection, report: JournalReport) -> None:
    for number, identity, version, definition, deleted in connection.execute(
        "SELECT number, graph_id, version, definition, deleted FROM graphs ORDER BY number"
    ):
        report.graphs += not deleted
        if not fits_its_id(identity, version, definition):
            report.blame(f"the definition of graph {identity!r} (number {number}) does not fit its id.")


def fits_its_id(identity: str, version: str, definition: bytes) -> bool:
    """Tell whether a graph is what its id says."""
    return graph_version(definition) == version and graph_id(version) == identity


def _examine_runs(connection: apsw.Connection, report: JournalReport) -> None:
    """Walk through rows and entries side by side, both in the order of the runs' numbers."""
    old = report.schema < INTEGRITY
    columns = f"{OLD_RUN_VALUES}, NULL" if old else f"{RUN_VALUES}, digest"
    wanted = "WHERE completed_at IS NULL" if report.extent == "recent" else ""
    rows = connection.execute(f"SELECT {columns} FROM runs {wanted} ORDER BY number")
    groups = _entries(connection, recent=report.extent == "recent")
    number, entries = next(groups, _NO_MORE)
    for row in rows:
        while number < row[0]:
            _orphans(report, number, entries)
            number, entries = next(groups, _NO_MORE)
        report.runs[row[3]] += 1
        report.unfinished += row[6] is None
        if number == row[0]:
            examine_run(report, row, entries, has_digest=not old)
            number, entries = next(groups, _NO_MORE)
        else:
            examine_run(report, row, (), has_digest=not old)
    while number is not _NO_MORE[0]:
        _orphans(report, number, entries)
        number, entries = next(groups, _NO_MORE)


_NO_MORE: Final[tuple[float, Iterable[tuple[Any, ...]]]] = (float("inf"), ())

OLD_RUN_VALUES: Final = (
    "number, run_id, graph_id, status, submitted_at, started_at, completed_at, last_seq, error, NULL, NULL, final_state"
)
"""`RUN_VALUES` in the first schema."""

ENTRY_SELECT: Final = "SELECT run, first_seq, count, body, hash FROM journal INDEXED BY journal_by_run"


def _entries(connection: apsw.Connection, *, recent: bool) -> Iterator[tuple[float, Iterable[tuple[Any, ...]]]]:
    which = "WHERE run IN (SELECT number FROM runs WHERE completed_at IS NULL)" if recent else ""
    return groupby(connection.execute(f"{ENTRY_SELECT} {which} ORDER BY run, first_seq"), key=itemgetter(0))


def _orphans(report: JournalReport, number: float, entries: Iterable[tuple[Any, ...]]) -> None:
    report.entries += sum(1 for _ in entries)
    report.blame(f"there are records of a run with number {number}, but not the run.")


def examine_run(
    report: JournalReport, row: tuple[Any, ...], entries: Iterable[tuple[Any, ...]], *, has_digest: bool
) -> None:
    """Blame a run whose row does not fit its digest, or whose entries do not follow each other.

    Args:
        report: Where faults and numbers are added.
        row: `RUN_VALUES` and the digest.
        entries: Rows of `ENTRY_SELECT`, in order.
        has_digest: Rows of the first schema have none.
    """
    run_id = row[1]
    if has_digest and run_digest(row[:-1]) != row[-1]:
        report.blame(f"the row of run {run_id} was altered: it does not fit its digest.", run_id)
    last_seq, fault = _follow(report, run_id, entries)
    if fault is not None:
        report.blame(
            f"run {run_id} {fault}; the last good record is {last_seq}, its row expects {row[7]} or more.", run_id
        )
    elif last_seq < max(row[7], 1):
        report.blame(f"run {run_id} ends with record {last_seq}, its row expects {max(row[7], 1)} or more.", run_id)
    report.records += last_seq


def _follow(report: JournalReport, run_id: str, entries: Iterable[tuple[Any, ...]]) -> tuple[int, str | None]:
    """Follow the chain of a run; return its last good record and what broke it."""
    head, seq, fault = chain_start(run_id), 1, None
    for _, first_seq, count, body, expected in entries:
        report.entries += 1
        if fault is not None:
            continue
        if first_seq != seq:
            fault = f"has record {first_seq} where record {seq} belongs"
            continue
        if type(body) is not bytes:
            fault = f"was altered at record {seq}: its text is no longer stored as bytes"
            continue
        head = blake2b(head + body, digest_size=16).digest()
        if head != expected or body.count(b"\n") + 1 != count:
            fault = f"was altered at record {seq}: the hash does not fit"
            continue
        seq += count
    return seq - 1, fault
