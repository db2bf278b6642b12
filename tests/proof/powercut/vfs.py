"""Lets SQLite write to a simulated disk: a VFS through which the process uses its files as always, and which notes each change.

Files are really there, in a folder in memory, so that several connections share one database in WAL mode with locks and shared
memory of the ordinary VFS. No sync reaches them: what is durable, only the simulated disk knows.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from tests.proof.powercut.disk import PowerCut, SimulatedDisk

_NAME: Final = "powercut"
_REAL: Final = "unix"
_FOLDER_SYNCED: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
"""Files with which SQLite's own VFS for Unix syncs the folder, too, when it first syncs one that it opened for writing."""


class _File(apsw.VFSFile):
    def __init__(self, disk: SimulatedDisk, path: str, handle: Any, flags: list[int]) -> None:
        self._disk = disk
        name = Path(path).name
        self._content = disk.content(name)
        if self._content is None:
            self._content = disk.create(name)
        self._names_unsynced = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _FOLDER_SYNCED)
        super().__init__(_REAL, handle, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        assert self._content is not None
        self._disk.write(self._content, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        assert self._content is not None
        self._disk.truncate(self._content, newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        assert self._content is not None
        self._disk.sync(self._content)
        if self._names_unsynced:
            self._disk.sync_names()
            self._names_unsynced = False

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return self._disk.device.characteristics

    def xSectorSize(self) -> int:  # noqa: N802
        return self._disk.device.sector_size


class _Vfs(apsw.VFS):
    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk
        super().__init__(_NAME, _REAL)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or flags[0] & apsw.SQLITE_OPEN_DELETEONCLOSE:
            return apsw.VFSFile(_REAL, name, flags)  # temporary: nobody looks for it after a cut
        return _File(self._disk, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        name = Path(filename).name
        if self._disk.content(name) is not None:
            self._disk.delete(name)
        super().xDelete(filename, False)
        if syncdir:
            self._disk.sync_names()


def _ignore_cuts(unraisable: Any) -> None:
    """Show what cannot be raised, unless it is a power cut amid a call of SQLite that reports no errors."""
    if not isinstance(unraisable.exc_value, PowerCut):
        sys.__unraisablehook__(unraisable)


@contextmanager
def sqlite_on(disk: SimulatedDisk) -> Iterator[None]:
    """Let every database that this process opens meanwhile be on the disk."""
    vfs, shown = _Vfs(disk), sys.unraisablehook
    apsw.set_default_vfs(_NAME)
    sys.unraisablehook = _ignore_cuts
    try:
        yield
    finally:
        sys.unraisablehook = shown
        apsw.set_default_vfs(_REAL)
        vfs.unregister()
