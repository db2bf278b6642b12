"""Copies a journal that may be in use: one moment of it, checked, with a watermark of its own."""

import os
from contextlib import closing
from pathlib import Path

import apsw

from runtime.errors import InvalidInput, JournalUnavailable, StorageFull
from runtime.journal.sqlite.connections import beside, connect_reader, reported
from runtime.journal.sqlite.verification import JournalReport, verify_journal
from runtime.journal.sqlite.watermark import create_watermark, flush_folder, mark_now, read_mark, watermark_path


def backup_journal(path: Path, target: Path) -> JournalReport:
    """Copy a journal into a new file, which is there only when it is whole, and return what it holds.

    The copy is one file and its watermark. Put in the place of a journal, under its names, it passes every check.

    Raises:
        InvalidInput: The target is there already, or its folder is not.
        JournalDamaged: The journal is, so there is nothing to be relied on.
        JournalUnavailable: The journal cannot be read, or the target cannot be written.
    """
    for taken in (target, watermark_path(target)):
        if taken.exists():
            raise InvalidInput(f"{str(taken)!r} is there already; a backup never replaces one. Name another file.")
    if not path.exists():
        raise JournalUnavailable(f"There is no journal {str(path)!r} to make a backup of.")
    if not target.parent.is_dir():
        raise InvalidInput(f"There is no folder {str(target.parent)!r} to put the backup in. Make it first.")
    partial = beside(target, ".partial")
    try:
        report = _copy(path, partial)
        if report.watermark is not None:
            watermark_path(partial).replace(watermark_path(target))
        partial.replace(target)
        flush_folder(target.parent)
    except OSError as error:
        raise JournalUnavailable(f"The backup {str(target)!r} cannot be written: {error}.") from error
    finally:
        partial.unlink(missing_ok=True)
        watermark_path(partial).unlink(missing_ok=True)
    report.path = target
    return report


def _copy(path: Path, partial: Path) -> JournalReport:
    partial.unlink(missing_ok=True)
    expected = read_mark(path)  # before the copy, which then may hold more but not less
    with reported(path), closing(connect_reader(path)) as connection:
        try:
            connection.execute("VACUUM INTO ?", (str(partial),))
        except apsw.FullError as error:
            raise StorageFull(
                f"There is no space for the backup in {str(partial.parent)!r}. Make room there."
            ) from error
    if expected is not None:
        create_watermark(partial, expected)
    report = verify_journal(partial)
    if not report.is_whole:
        report.path = path
        raise report.damage()
    if report.journal_id is not None:
        create_watermark(partial, mark_now(report.journal_id, report.commits, report.head, "closed"))
    partial.chmod(0o600)  # it has all states, and leaves the folder that only its owner can read
    descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return report
