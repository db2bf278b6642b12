"""What is remembered: the contract of a journal, the group-commit writer, and the implementations side by side."""

from runtime.journal.base import Entry, Journal, RunFilter, RunRow, StoredGraph
from runtime.journal.memory import MemoryJournal
from runtime.journal.sqlite import JournalReport, Salvage, SqliteJournal, backup_journal, verify_journal
from runtime.journal.writer import JournalReader, JournalWriter, RunAppender

__all__ = [
    "Entry",
    "Journal",
    "JournalReader",
    "JournalReport",
    "JournalWriter",
    "MemoryJournal",
    "RunAppender",
    "RunFilter",
    "RunRow",
    "Salvage",
    "SqliteJournal",
    "StoredGraph",
    "backup_journal",
    "verify_journal",
]
