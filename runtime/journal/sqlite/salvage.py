"""Saves from a damaged journal what is whole, after the damaged files were copied away.

A run is kept if its row fits its digest, its records fit their chain and its graph is there; everything else is left out and
named in `report.json` beside the copy. Rows are read by their numbers and not by an index, so a damaged index costs nothing,
and a page that cannot be read costs only what is on it.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import apsw

from runtime.journal.sqlite.connections import beside, connect_reader, connect_writer, one, transaction
from runtime.journal.sqlite.rows import ENTRY_COLUMNS, GRAPH_COLUMNS, RUN_VALUES, run_digest
from runtime.journal.sqlite.schema import migrate
from runtime.journal.sqlite.verification import (
    ENTRY_SELECT,
    OLD_RUN_VALUES,
    UNREADABLE,
    JournalReport,
    examine_run,
    fits_its_id,
    verify_journal,
)
from runtime.journal.sqlite.watermark import create_watermark, flush_folder, mark_now, watermark_path

_BEYOND: Final = 10_000
"""How many numbers are tried behind an unreadable page where the highest one cannot be read either."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run or graph that could not be kept. `number` is its number in the journal; its id may be lost."""

    kind: str
    number: int
    identity: str | None
    reason: str


@dataclass(slots=True)
class Salvage:
    """What was done. `folder` holds the damaged files and this as `report.json`."""

    folder: Path
    found: list[str]
    left_out: list[LeftOut] = field(default_factory=list)


def salvage(path: Path, found: JournalReport) -> Salvage:
    """Copy the damaged files into a folder beside them, and put in their place a journal with what is whole.

    Args:
        path: The journal; nobody else has it open.
        found: What a check of it said.
    """
    if found.extent != "full":
        found = verify_journal(path)
    done = Salvage(
        _copied_away(path), [*([found.shortfall] if found.shortfall else []), *(f.what for f in found.faults)]
    )
    has_content = path.exists() and path.stat().st_size > 0
    if found.faults or (has_content and found.journal_id is None):
        journal_id = uuid.uuid4().hex
        saved = beside(path, ".salvaged")
        _rebuild(path, saved, journal_id, done)
        _flush_file(saved)
        for suffix in ("-wal", "-shm"):
            beside(path, suffix).unlink(missing_ok=True)
        saved.replace(path)
        flush_folder(path.parent)
        create_watermark(path, mark_now(journal_id, 0, bytes.fromhex(journal_id), "closed"))
    elif found.journal_id is not None:
        create_watermark(path, mark_now(found.journal_id, found.commits, found.head, "closed"))
    else:  # nothing is left
        watermark_path(path).unlink(missing_ok=True)
        beside(path, "-wal").unlink(missing_ok=True)
    _write_report(done)
    return done


def _copied_away(path: Path) -> Path:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    folder = next(
        folder
        for turn in range(1_000)
        if not (folder := path.parent / f"damaged-{stamp}{f'-{turn}' * (turn > 0)}").exists()
    )
    folder.mkdir(mode=0o700)
    for source in (path, beside(path, "-wal"), watermark_path(path)):
        if source.exists():
            shutil.copy2(source, folder / source.name)
            _flush_file(folder / source.name)
    flush_folder(folder)
    flush_folder(path.parent)
    return folder


def _flush_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_report(done: Salvage) -> None:
    content = {
        "found": done.found,
        "left_out": [asdict(one_left_out) for one_left_out in done.left_out],
    }
    file = done.folder / "report.json"
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _flush_file(file)


def _rebuild(path: Path, saved: Path, journal_id: str, done: Salvage) -> None:
    """Write a new journal with everything of the old one that fits."""
    saved.unlink(missing_ok=True)
    with closing(connect_writer(saved)) as target:
        migrate(target, journal_id)
        target.execute("PRAGMA journal_mode = DELETE")
        try:
            source = connect_reader(path)
            source.execute("PRAGMA writable_schema = ON")  # reads also what is shorter than its header says
        except apsw.Error:
            return  # what is there is no database any more
        with closing(source), transaction(target):
            try:
                epoch = int(one(source, "SELECT epoch FROM owner")[0])
                columns = {str(column[1]) for column in source.execute("PRAGMA table_info(runs)")}
            except (*UNREADABLE, apsw.SQLError, StopIteration):
                epoch, columns = 0, {"digest"}
            graphs = _copy_graphs(source, target, done)
            _copy_entries(source, target)
            _copy_runs(source, target, graphs, done, old="digest" not in columns)
            _drop_orphans(target, done)
            target.execute(
                "UPDATE owner SET entries = (SELECT count(*) FROM journal), "
                "epoch = max(?, (SELECT coalesce(max(epoch), 0) FROM journal))",
                (epoch,),
            )


def _readable(source: apsw.Connection, table: str, key: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield all rows of a table that can be read; `columns` begins with its integer key."""
    place = 0
    try:
        last = int(one(source, f"SELECT coalesce(max({key}), 0) FROM {table}")[0])
    except (*UNREADABLE, apsw.SQLError):
        last = None
    tried = 0
    while place < (last if last is not None else tried + _BEYOND):
        try:
            for row in source.execute(f"SELECT {columns} FROM {table} WHERE {key} > ? ORDER BY {key}", (place,)):
                yield row
                place = tried = row[0]
        except apsw.NotADBError:
            return
        except UNREADABLE:
            place += 1
        except apsw.SQLError:
            return  # the table itself is lost
        else:
            return


def _copy_graphs(source: apsw.Connection, target: apsw.Connection, done: Salvage) -> set[str]:
    kept = set()
    for row in _readable(source, "graphs", "number", f"{GRAPH_COLUMNS}, deleted"):
        number, identity, version, *_, definition, _, _ = row
        if fits_its_id(identity, version, definition):
            target.execute(f"INSERT OR IGNORE INTO graphs ({GRAPH_COLUMNS}, deleted) VALUES (?,?,?,?,?,?,?,?,?,?)", row)
            kept.add(identity)
        else:
            done.left_out.append(LeftOut("graph", number, identity, "its definition does not fit its id"))
    return kept


def _copy_entries(source: apsw.Connection, target: apsw.Connection) -> None:
    rows = _readable(source, "journal", "position", f"position, {ENTRY_COLUMNS}")
    target.executemany(
        f"INSERT OR IGNORE INTO journal ({ENTRY_COLUMNS}) VALUES (?,?,?,?,?,?)", (row[1:] for row in rows)
    )


def _copy_runs(source: apsw.Connection, target: apsw.Connection, graphs: set[str], done: Salvage, *, old: bool) -> None:
    for row in _readable(source, "runs", "number", f"{OLD_RUN_VALUES}, NULL" if old else f"{RUN_VALUES}, digest"):
        number, run_id, graph_id = row[:3]
        reason = _unfit(target, row, has_digest=not old)
        if reason is None and graph_id not in graphs:
            reason = f"its graph {graph_id!r} is lost"
        if reason is None:
            values = (*row[:-1], run_digest(row[:-1]))
            target.execute(f"INSERT OR IGNORE INTO runs ({RUN_VALUES}, digest) VALUES ({', '.join('?' * 13)})", values)
            if target.changes() == 1:
                continue
            reason = "another run has its number, id or key"
        done.left_out.append(LeftOut("run", number, run_id, reason))
        target.execute("DELETE FROM journal WHERE run = ?", (number,))


def _unfit(target: apsw.Connection, row: tuple[Any, ...], *, has_digest: bool) -> str | None:
    report = JournalReport(path=Path(), extent="full")
    try:
        entries = target.execute(f"{ENTRY_SELECT} WHERE run = ? ORDER BY first_seq", (row[0],))
        examine_run(report, row, entries, has_digest=has_digest)
    except UNREADABLE as error:
        return f"it cannot be read ({error})"
    return report.faults[0].what if report.faults else None


def _drop_orphans(target: apsw.Connection, done: Salvage) -> None:
    sql = "SELECT DISTINCT run FROM journal WHERE run NOT IN (SELECT number FROM runs) ORDER BY run"
    numbers: list[Any] = [row[0] for row in target.execute(sql).fetchall()]
    named = {other.number for other in done.left_out if other.kind == "run"}
    for number in numbers:
        if number not in named:
            done.left_out.append(LeftOut("run", number, None, "its row cannot be read"))
        target.execute("DELETE FROM journal WHERE run = ?", (number,))
