"""How SQLite is used: the settings of a connection, transactions, and what its errors mean for the engine.

Settings and why: WAL with `synchronous=FULL`, because only that keeps acknowledged rows through a power cut (docs/adr/0004);
`BEGIN IMMEDIATE`, because a transaction that upgrades from reading fails at once when another one committed; no memory map,
because a full or failing disk would then end the process. The `apsw` package brings its own SQLite, so the machine's version
does not matter.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import apsw

from runtime.errors import EngineError, JournalDamaged, JournalUnavailable, StorageBusy, StorageError, StorageFull

BUSY_TIMEOUT_MS: Final = 5_000

FULL_RETRY_S: Final = 30
BUSY_RETRY_S: Final = 5

_READ_FAILED: Final = {
    apsw.SQLITE_IOERR_READ,
    apsw.SQLITE_IOERR_SHORT_READ,
    apsw.SQLITE_IOERR_CORRUPTFS,  # what a read gets that the system answers with EIO
    apsw.SQLITE_IOERR_DATA,
    apsw.SQLITE_IOERR_IN_PAGE,
}
_SHARED_MEMORY_FAILED: Final = {
    apsw.SQLITE_IOERR_SHMSIZE,
    apsw.SQLITE_IOERR_SHMOPEN,
    apsw.SQLITE_IOERR_SHMMAP,
}


def beside(path: Path, suffix: str) -> Path:
    """Return the file that belongs to a journal, such as `work.db-wal`."""
    return path.with_name(path.name + suffix)


def connect_writer(path: Path) -> apsw.Connection:
    """Open the one connection that writes and checkpoints; the file is made if it is missing."""
    connection = _connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def connect_reader(path: Path) -> apsw.Connection:
    """Open a connection that cannot change the file, also not by tidying up when it is closed."""
    connection = _connect(path, apsw.SQLITE_OPEN_READONLY)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return connection


def _connect(path: Path, flags: int) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=64)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.execute("PRAGMA mmap_size = 0")
    return connection


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Commit what the block writes, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(apsw.Error):  # what went wrong first is what counts
                connection.execute("ROLLBACK")
        raise


def one(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Return the first row of a query that has one."""
    row: tuple[Any, ...] = next(iter(connection.execute(sql, values)))
    return row


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, naming the file."""
    try:
        yield
    except apsw.Error as error:
        raise meaning(path, error) from error


def meaning(path: Path, error: apsw.Error) -> EngineError:
    """Return what an error of SQLite means: wait, stop, or refuse."""
    what = f"The journal {str(path)!r}"
    extended = getattr(error, "extendedresult", 0)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return JournalDamaged(f"{what} is damaged: {error}. `python -m api verify` says more.")
    if isinstance(error, apsw.FullError) or (extended in _SHARED_MEMORY_FAILED and _is_full(path)):
        return StorageFull(
            f"{what} cannot grow: there is no space left on its disk. Make room; it goes on by itself.",
            retry_after_s=FULL_RETRY_S,
        )
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StorageBusy(
            f"{what} is locked by another program, longer than {BUSY_TIMEOUT_MS // 1000} s. End that program.",
            retry_after_s=BUSY_RETRY_S,
        )
    if extended in _READ_FAILED:
        return StorageError(f"{what} could not be read: {error}. See the system's log about the disk.")
    return JournalUnavailable(f"{what} failed: {error}.")


def _is_full(path: Path) -> bool:
    """Tell whether the disk has less room than one more piece of the shared memory needs (32 KiB)."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 32_768
