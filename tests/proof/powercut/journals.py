"""The journal under proof: as it is, with checkpoints more often than usual, or with a bug that the proof has to find."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, get_args

import apsw

from runtime.errors import EngineError
from runtime.journal import Entry, SqliteJournal

Bug = Literal["synchronous_normal", "synchronous_off", "ack_before_commit"]
_PARTS: Final = 8
"""Connections and files of a journal, at least: closing one of them can fail once."""

BUGS: Final[tuple[Bug, ...]] = get_args(Bug)


class EagerJournal(SqliteJournal):
    """Moves pages from the log to the database after every `checkpoint_pages` pages of the log."""

    def __init__(self, path: Path, *, checkpoint_pages: int, bug: Bug | None = None) -> None:
        super().__init__(path)
        self._checkpoint_pages = checkpoint_pages
        self._bug = bug
        self._held: list[Entry] = []

    def open(self) -> int:
        """Open it, and change the settings of its writing connection."""
        epoch = super().open()
        self.writer.wal_autocheckpoint(self._checkpoint_pages)
        if self._bug in ("synchronous_normal", "synchronous_off"):
            self.writer.execute(f"PRAGMA {self._bug.replace('_', ' = ')}")
        return epoch

    @property
    def writer(self) -> apsw.Connection:
        """Its writing connection, while it is open."""
        assert self._writer is not None
        return self._writer

    def commit(self, entries: Sequence[Entry]) -> None:
        """Store all entries; with the bug, only those of the commit before."""
        if self._bug == "ack_before_commit":
            entries, self._held = self._held, list(entries)
        super().commit(entries)

    def close_without_power(self) -> None:
        """Give up what the process has of it; closing may fail at each of its parts, as nothing can be written any more."""
        for _ in range(_PARTS):
            with suppress(EngineError, apsw.Error, OSError):
                self.close()
                return
