"""The embedded journal: one SQLite file that can prove that it is whole.

`journal.py` is the journal; it stands on `connections.py` (how SQLite is used), `rows.py` (what a row is), `schema.py`,
`ownership.py` (one process, one local disk) and `watermark.py` (what the file must at least hold). `verification.py` reads a
whole journal and says what does not fit; `salvage.py` saves what does; `backup.py` copies one that is in use.
"""

from runtime.journal.sqlite.backup import backup_journal
from runtime.journal.sqlite.journal import SqliteJournal
from runtime.journal.sqlite.salvage import Salvage
from runtime.journal.sqlite.verification import Extent, JournalReport, verify_journal

__all__ = ["Extent", "JournalReport", "Salvage", "SqliteJournal", "backup_journal", "verify_journal"]
