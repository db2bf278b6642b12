"""The schema of the file, brought up to date step by step, each step whole or not at all.

Invariant: `PRAGMA user_version` is the number of the last step that was made. A released step is never changed.
"""

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Final

import apsw

from runtime.errors import JournalNewer
from runtime.journal.sqlite.connections import one, transaction
from runtime.journal.sqlite.rows import RUN_VALUES, run_digest

INTEGRITY: Final = 2
"""The first schema whose file knows what it must hold."""

_ROWS_AT_ONCE: Final = 1_000


def schema_of(connection: apsw.Connection) -> int:
    """Return the number of the last step that was made; 0 for an empty file."""
    return int(one(connection, "PRAGMA user_version")[0])


def require_known(schema: int, path: Path) -> None:
    """Refuse the schema of a newer version.

    Raises:
        JournalNewer: This version does not know it.
    """
    if schema > len(_scripts()):
        raise JournalNewer(
            f"The journal {str(path)!r} has schema {schema}, this version knows up to {len(_scripts())}. "
            "Start the newer version."
        )


def migrate(connection: apsw.Connection, journal_id: str) -> None:
    """Make all steps that are missing; a journal that has no id yet gets `journal_id`."""
    for number, script in enumerate(_scripts(), start=1):
        if number > schema_of(connection):
            with transaction(connection):
                connection.execute(script)
                if number in _BEHIND_SCRIPT:
                    _BEHIND_SCRIPT[number](connection, journal_id)
                connection.execute(f"PRAGMA user_version = {number}")


def _begin_integrity(connection: apsw.Connection, journal_id: str) -> None:
    connection.execute("UPDATE owner SET journal_id = ?, head = ?", (journal_id, bytes.fromhex(journal_id)))
    number = 0
    select = f"SELECT {RUN_VALUES} FROM runs WHERE number > ? ORDER BY number LIMIT {_ROWS_AT_ONCE}"
    while rows := connection.execute(select, (number,)).fetchall():
        digests = [(run_digest(row), row[0]) for row in rows]
        connection.executemany("UPDATE runs SET digest = ? WHERE number = ?", digests)
        number = int(rows[-1][0])  # type: ignore[arg-type]  # a primary key


_BEHIND_SCRIPT: Final[Mapping[int, Callable[[apsw.Connection, str], None]]] = {INTEGRITY: _begin_integrity}
"""What SQL cannot compute, in the same transaction as the step's script."""


def _scripts() -> list[str]:
    folder = resources.files("runtime.journal.sqlite.migrations")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [file.read_text(encoding="utf-8") for file in files]
