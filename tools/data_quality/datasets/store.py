"""Datasets by name: what clients upload, download, list and delete. Beside them may lie files that the operator put there.

A dataset is a plain file in the folder, so that tools and people find it by its name. An uploaded one is also an object in
`.store` (see `tools.objects`), which stays for a day after its name got other content, for runs that pinned it. What is known of
an upload lies in `.store/names` and counts only as long as the file is the very object it tells of; so a crash between the two, or
somebody who copies over the file, can make it unknown but never wrong.

Invariant: a name appears, changes and goes at once; what was not read to its end as a table changes nothing.
"""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import msgspec
import polars as pl

from tools.data_quality.datasets import files, limits
from tools.data_quality.datasets.dataset import check_row
from tools.data_quality.datasets.limits import invalid
from tools.data_quality.datasets.references import STORE
from tools.objects import NAME, Incoming, ObjectStore, make_folder, open_regular, sync_folder, write_whole

KEPT_S: Final = 86_400.0
"""How long a content is kept that no name stands for any more: time for runs that pinned it to read it."""

SWEEP_EVERY_S: Final = 600.0

Change = Literal["created", "replaced", "unchanged"]


class DatasetInfo(msgspec.Struct, frozen=True):
    """A dataset as the list shows it. Of a file that was not uploaded, only `name`, `bytes` and `modified_at` are known.

    Attributes:
        columns: Their number; in `.ndjson` files, of all keys that occur.
        bytes: Size of the file.
        modified_at: When the content was uploaded or written, in UTC.
    """

    name: str
    sha256: str | None
    rows: int | None
    columns: int | None
    bytes: int
    modified_at: datetime


class _Entry(msgspec.Struct, frozen=True):
    """What is remembered of an upload: it holds for the file of that inode, size and time of change, and for no other."""

    info: DatasetInfo
    mtime_ns: int


_decode: Final = msgspec.json.Decoder(_Entry).decode


class DatasetStore:
    """The datasets in one folder, which is made when the first one comes. Every method blocks; any thread may call it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = folder / STORE / "names"
        self._objects = ObjectStore(folder / STORE)
        self._publishing = threading.Lock()
        self._swept_at = -SWEEP_EVERY_S

    def receive(self) -> Incoming:
        """Begin an upload of at most `limits.FILE_BYTES`; whoever calls this discards it in the end."""
        return self._objects.receive(limits.FILE_BYTES)

    def put(self, name: str, incoming: Incoming) -> tuple[DatasetInfo, Change, list[str]]:
        """Let `name` stand for an upload, if that is a table; return what it is, what changed, and notes about reading it.

        Raises:
            ToolError: `DATASET_INVALID` or `DATASET_TOO_LARGE`; nothing was changed.
            IsADirectoryError: The name is that of a folder.
            OSError: The disk is full, or failed.
        """
        incoming.seal()
        rows, columns, notes = inspect(incoming.path.read_bytes(), name)
        target, now = self._folder / name, datetime.now(UTC)
        info = DatasetInfo(name, incoming.sha256, rows, columns, incoming.size_bytes, now)
        make_folder(self._names)
        with self._publishing:  # of two at once, one is first with both the file and what is known of it
            known = self._known(name, _lstat(target))
            if known is not None and known.sha256 == info.sha256:
                return known, "unchanged", notes
            if target.is_dir() and not target.is_symlink():
                raise IsADirectoryError(str(target))
            change: Change = "replaced" if os.path.lexists(target) else "created"
            self._objects.hold(incoming, target)
            entry = _Entry(info, target.lstat().st_mtime_ns)
            write_whole(self._names / f"{name}.json", msgspec.json.encode(entry))
        self.sweep_sometimes()
        return info, change, notes

    def open(self, name: str) -> tuple[DatasetInfo, BufferedReader] | None:
        """Open a dataset for reading, its digest known; whoever calls this closes it. None if there is no such dataset."""
        if not is_name(name):
            return None
        try:
            stream = open_regular(self._folder / name)
        except OSError:
            return None
        try:
            info = self._known(name, os.fstat(stream.fileno()))
            if info is None:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                info = msgspec.structs.replace(_seen(name, os.fstat(stream.fileno())), sha256=digest)
                stream.seek(0)
        except BaseException:
            stream.close()
            raise
        return info, stream

    def listing(self, after: str, limit: int) -> list[DatasetInfo]:
        """Return up to `limit` datasets by name, those behind the name `after`."""
        found = []
        for name in self._all_names():
            if name > after:
                status = _lstat(self._folder / name)
                if status is not None and stat.S_ISREG(status.st_mode):
                    found.append(self._known(name, status) or _seen(name, status))
                if len(found) == limit:
                    break
        return found

    def delete(self, name: str) -> bool:
        """Remove a dataset; return whether there was one. What runs have pinned stays for them."""
        if not is_name(name):
            return False
        with self._publishing:
            status = _lstat(self._folder / name)
            if status is None or not stat.S_ISREG(status.st_mode):
                return False
            (self._folder / name).unlink()
            (self._names / f"{name}.json").unlink(missing_ok=True)
            sync_folder(self._folder)
        self.sweep_sometimes()
        return True

    def sweep_sometimes(self) -> None:
        """Remove contents that no name has stood for during a day, unless that was done in the last ten minutes."""
        if time.monotonic() - self._swept_at >= SWEEP_EVERY_S:
            self._swept_at = time.monotonic()
            self._objects.sweep(KEPT_S)

    def _known(self, name: str, status: os.stat_result | None) -> DatasetInfo | None:
        """Return what the upload of `name` told, if the file of that status is still what was uploaded."""
        try:
            with open_regular(self._names / f"{name}.json") as stream:
                entry = _decode(stream.read())
            uploaded = self._objects.path_of(entry.info.sha256 or "").lstat()
        except (OSError, msgspec.MsgspecError):
            return None
        is_same = (
            status is not None
            and os.path.samestat(status, uploaded)
            and (status.st_size, status.st_mtime_ns) == (entry.info.bytes, entry.mtime_ns)
        )
        return entry.info if is_same else None

    def _all_names(self) -> Iterator[str]:
        with suppress(FileNotFoundError):
            yield from sorted(name for name in os.listdir(self._folder) if is_name(name))


def is_name(name: str) -> bool:
    """Tell whether a dataset may be called that: 1 to 120 of `A-Z a-z 0-9 . _ -`, no dot first, and an ending that is known."""
    return NAME.fullmatch(name) is not None and PurePosixPath(name).suffix in files.SUFFIXES


def inspect(data: bytes, name: str) -> tuple[int, int, list[str]]:
    """Read a file as tools will; return its rows, its columns, and notes.

    Raises:
        ToolError: `DATASET_INVALID` or `DATASET_TOO_LARGE`.
    """
    if PurePosixPath(name).suffix in files.JSON_SUFFIXES:
        lines, notes = files.json_rows(data, name)
        return (*_count(lines), notes)
    table, notes = files.parse(data, name)
    assert isinstance(table, pl.DataFrame)  # noqa: S101 - as every file that is not JSON
    for series in table:
        if series.dtype == pl.String:
            _check_cell(series.name, series.str.len_bytes().max())
    return table.height, table.width, notes


def _count(lines: Iterable[object]) -> tuple[int, int]:
    """Return the number of rows and of columns; one row is in memory at a time, for objects take much more than their text."""
    columns: dict[str, None] = {}
    rows = 0
    for row in lines:
        check_row(rows, row)
        assert isinstance(row, dict)  # noqa: S101 - checked
        rows += 1
        columns.update(dict.fromkeys(row))
        limits.check("columns", len(columns), limits.COLUMNS)
        for column, cell in row.items():
            if isinstance(cell, str):
                _check_cell(column, len(cell.encode("utf-8", "surrogatepass")))
    if not columns:
        raise invalid("it has no row that names a column")
    limits.check("cells", len(columns) * rows, limits.CELLS)
    return rows, len(columns)


def _check_cell(column: str, size: object) -> None:
    limits.check(f"bytes in one cell of {column[:120]!r}", size if isinstance(size, int) else 0, limits.CELL_BYTES)


def _lstat(path: Path) -> os.stat_result | None:
    with suppress(OSError):
        return path.lstat()
    return None


def _seen(name: str, status: os.stat_result) -> DatasetInfo:
    """Return what the folder tells of a file."""
    return DatasetInfo(name, None, None, None, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
