"""Known bugs, to be put into the engine by tests alone: a proof that cannot find them proves nothing.

    with acknowledge_before_commit():
        ...  # whoever looks for lost acknowledgements must find one now

`docs/testing.md` says which proof finds which.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final
from unittest.mock import patch

import apsw

from runtime.actors.live import LiveRun
from runtime.actors.supervisor import Supervisor
from runtime.journal import Entry, JournalWriter
from runtime.journal.sqlite import connections, journal
from runtime.submissions import Submissions


@contextmanager
def acknowledge_before_commit() -> Iterator[None]:
    """Answer submissions and commands as soon as they are decided."""

    async def confirm(_supervisor: Supervisor, _live: LiveRun, _seq: int) -> None:
        return

    with patch.object(Supervisor, "confirm", confirm):
        yield


@contextmanager
def publish_before_commit() -> Iterator[None]:
    """Show records, and call tools, when their commit begins and not when it has ended."""
    waiting: dict[bytes, Callable[[], None]] = {}
    append, commit = JournalWriter.append, JournalWriter._commit

    def append_quietly(writer: JournalWriter, entry: Entry, committed: Callable[[], None]) -> None:
        waiting[entry.hash] = committed
        append(writer, entry, lambda: None)

    async def commit_late(writer: JournalWriter, entries: list[Entry]) -> bool:
        for entry in entries:
            waiting.pop(entry.hash)()
        return await commit(writer, entries)

    with patch.object(JournalWriter, "append", append_quietly), patch.object(JournalWriter, "_commit", commit_late):
        yield


@contextmanager
def no_epoch_check() -> Iterator[None]:
    """Let an owner that was replaced go on writing."""
    unfenced = "UPDATE owner SET commits = ?2, entries = entries + ?3, head = ?4 WHERE id = 1 AND ?1 = ?1"
    with patch.object(journal, "_ADVANCE", unfenced):
        yield


@contextmanager
def synchronous_normal() -> Iterator[None]:
    """Return from a commit before the disk has it."""
    connect = connections.connect_writer

    def connect_hastily(*arguments: Any) -> apsw.Connection:
        connection = connect(*arguments)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    with patch.object(journal, "connect_writer", connect_hastily):
        yield


@contextmanager
def skipped_deduplication() -> Iterator[None]:
    """Take every submission for a new one, whatever its idempotency key."""

    async def stored(_submissions: Submissions, _key: str) -> None:
        return

    with patch.object(Submissions, "_stored", stored), patch.object(Submissions, "_live", lambda *_: None):
        yield


BUGS: Final[Sequence[Callable[[], AbstractContextManager[None]]]] = (
    acknowledge_before_commit,
    publish_before_commit,
    no_epoch_check,
    synchronous_normal,
    skipped_deduplication,
)
