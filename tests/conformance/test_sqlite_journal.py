"""What the SQLite journal promises beyond the others: one owner, settings that survive a power cut, clear refusals."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from runtime.errors import EngineError, JournalDamaged, JournalInUse, JournalNewer, JournalUnavailable
from runtime.journal import SqliteJournal
from runtime.journal.base import check_chain
from tests.conformance.entries import chained, row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "work.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(path)
    journal.open()
    yield journal
    journal.close()


def refusal(path: Path) -> EngineError:
    """Return the error that opening the journal raises."""
    with closing(SqliteJournal(path)) as journal, pytest.raises(EngineError) as caught:
        journal.open()
    return caught.value


def change(path: Path, sql: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(sql)


def test_a_journal_in_use_refuses_a_second_owner_and_names_the_first(path: Path, journal: SqliteJournal) -> None:
    with pytest.raises(JournalInUse, match=f"in use by process {os.getpid()}"):
        SqliteJournal(path).open()
    journal.commit(chained(1, 1))


def test_a_closed_journal_can_be_opened_by_the_next_one_at_once(path: Path, journal: SqliteJournal) -> None:
    journal.close()
    following = SqliteJournal(path)
    following.open()
    following.close()


def test_a_commit_is_refused_once_another_owner_has_begun_an_epoch(path: Path, journal: SqliteJournal) -> None:
    journal.commit(chained(1, 1))
    change(path, "UPDATE owner SET epoch = epoch + 1")
    with pytest.raises(JournalUnavailable, match="taken over"):
        journal.commit(chained(2, 1))
    assert journal.counts() == (0, 1)


def test_a_commit_that_fails_in_the_middle_stores_nothing(journal: SqliteJournal) -> None:
    journal.commit(chained(1, 1))
    new, known = chained(2, 1), chained(1, 1)
    with pytest.raises(JournalUnavailable):
        journal.commit([*new, *known])
    assert journal.counts() == (0, 1)
    assert journal.entries(2, after=0, limit=5) == []
    journal.commit(new)
    assert journal.counts() == (0, 2)


def test_a_commit_that_fails_late_in_a_large_batch_stores_nothing(journal: SqliteJournal) -> None:
    batch = [entry for number in range(1, 301) for entry in chained(number, 1)]
    with pytest.raises(JournalUnavailable):
        journal.commit([*batch, batch[0]])
    assert journal.counts() == (0, 0)


def test_two_runs_cannot_have_one_id(journal: SqliteJournal) -> None:
    journal.commit(chained(1, 1))
    with pytest.raises(JournalUnavailable):
        journal.commit([replace(chained(2, 1)[0], row=row(2, run_id="run-1"))])


def test_a_schema_of_a_newer_version_is_refused(path: Path, journal: SqliteJournal) -> None:
    journal.close()
    change(path, "PRAGMA user_version = 99")
    error = refusal(path)
    assert isinstance(error, JournalNewer)
    assert "has schema 99" in error.message
    assert "Start the newer version" in error.message


def test_a_file_that_is_no_database_is_refused_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "work.db"
    path.write_bytes(b"this is no database " * 500)
    error = refusal(path)
    assert isinstance(error, JournalDamaged)
    assert str(path) in error.message
    assert path.read_bytes().startswith(b"this is no database")


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refusal(tmp_path / "file" / "work.db")
    assert isinstance(error, JournalUnavailable)
    assert "cannot be opened" in error.message


def test_a_folder_in_place_of_the_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "work.db").mkdir()
    error = refusal(tmp_path / "work.db")
    assert isinstance(error, JournalUnavailable)
    assert str(tmp_path / "work.db") in error.message


def test_writing_to_a_closed_journal_is_reported(journal: SqliteJournal) -> None:
    journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        journal.commit(chained(1, 1))


def test_the_settings_that_durability_rests_on_are_in_force(journal: SqliteJournal) -> None:
    writer = journal._writer
    assert writer is not None
    assert next(iter(writer.execute("PRAGMA journal_mode"))) == ("wal",)
    assert next(iter(writer.execute("PRAGMA synchronous"))) == (2,)
    assert next(iter(writer.execute("PRAGMA mmap_size"))) == (0,)
    assert journal.durability == "fsync"


def test_readers_cannot_write_and_map_no_memory(journal: SqliteJournal) -> None:
    reader = journal._readers.get()
    try:
        assert next(iter(reader.execute("PRAGMA mmap_size"))) == (0,)
        with pytest.raises(apsw.ReadOnlyError):
            reader.execute("UPDATE owner SET epoch = 9")
    finally:
        journal._readers.put(reader)


def test_a_copy_of_the_files_in_use_holds_every_commit(path: Path, journal: SqliteJournal, tmp_path: Path) -> None:
    """As after a crash: nothing was closed, and the newest commits are in the write-ahead log only."""
    committed = chained(1, 2, 1, 3)
    for entry in committed:
        journal.commit([entry])
    copied = tmp_path / "copied.db"
    shutil.copyfile(path, copied)
    shutil.copyfile(f"{path}-wal", f"{copied}-wal")
    shutil.copyfile(f"{path}.watermark", f"{copied}.watermark")
    copy = SqliteJournal(copied)
    assert copy.open() == 2
    assert check_chain("run-1", copy.entries(1, after=0, limit=10)) == committed[-1].hash
    copy.close()


def test_a_changed_byte_in_the_file_is_seen_when_the_run_is_read(path: Path, journal: SqliteJournal) -> None:
    journal.commit(chained(1, 2, 1))
    change(path, """UPDATE journal SET body = CAST('{"seq":9}' AS BLOB) WHERE first_seq = 3""")
    with pytest.raises(JournalDamaged, match="altered at record 3"):
        check_chain("run-1", journal.entries(1, after=0, limit=10))
