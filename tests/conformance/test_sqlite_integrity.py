"""What the SQLite journal notices when its files were altered, cut, exchanged or left behind, and what it saves of them."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from runtime.errors import InvalidInput, JournalDamaged, JournalUnavailable, StorageBusy, StorageError, StorageFull
from runtime.journal import SqliteJournal, backup_journal, verify_journal
from runtime.journal.base import check_chain
from runtime.journal.sqlite.connections import meaning
from runtime.journal.sqlite.watermark import Mark, Watermark, create_watermark, mark_now, read_mark
from tests.conformance.entries import chained, row, stored
from tests.conformance.first_schema import make_first_schema

GRAPH = stored("a").graph_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.db"


def fill(journal: SqliteJournal, first: int, last: int) -> None:
    """Commit runs of four records one by one; every second one has ended."""
    for number in range(first, last + 1):
        begin, end = chained(number, 2, 2)
        status = "running" if number % 2 else "completed"
        state = None if number % 2 else b'{"text": "%s"}' % (b"x" * 300)
        journal.commit([replace(begin, row=row(number, graph_id=GRAPH))])
        journal.commit([replace(end, row=row(number, status, graph_id=GRAPH, last_seq=4, final_state=state))])


@pytest.fixture
def filled(path: Path) -> Path:
    """A journal of 40 runs, closed."""
    journal = SqliteJournal(path)
    journal.open()
    journal.add_graph(stored("a"))
    fill(journal, 1, 40)
    journal.close()
    return path


@pytest.fixture
def killed(filled: Path, tmp_path: Path) -> Path:
    """A journal of 60 runs whose owner was killed: 20 of them are in the write-ahead log only."""
    journal = SqliteJournal(filled)
    journal.open()
    fill(journal, 41, 60)
    folder = tmp_path / "killed"
    folder.mkdir()
    for suffix in ("", "-wal", ".watermark"):
        shutil.copyfile(f"{filled}{suffix}", folder / f"work.db{suffix}")
    journal.close()
    return folder / "work.db"


def change(path: Path, sql: str, values: tuple[Any, ...] = ()) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(sql, values)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def files(folder: Path) -> dict[str, bytes]:
    """Return what a journal consists of; a log without content is none."""
    found = (file for file in folder.iterdir() if file.suffix in (".db", ".watermark", ".db-wal"))
    return {file.name: content for file in found if (content := file.read_bytes()) or file.suffix != ".db-wal"}


def refusal(path: Path) -> JournalDamaged:
    """Return the error of opening, after seeing that nothing was changed."""
    before = files(path.parent)
    with closing(SqliteJournal(path)) as journal, pytest.raises(JournalDamaged) as caught:
        journal.open()
    after = files(path.parent)
    assert {name: after[name] for name in before} == before
    assert str(path) in caught.value.message
    assert "--accept-data-loss" in caught.value.message
    return caught.value


def accepted(path: Path) -> tuple[SqliteJournal, dict[str, Any]]:
    """Open with data loss accepted; return the journal, still open, and what it reports."""
    journal = SqliteJournal(path, accept_data_loss=True)
    journal.open()
    assert journal.salvaged is not None
    report: dict[str, Any] = json.loads((journal.salvaged.folder / "report.json").read_text())
    return journal, report


def whole_runs(journal: SqliteJournal) -> list[int]:
    """Return the numbers of all runs, oldest first, after following their chains."""
    found = []
    for number in range(1, journal.last_run_number() + 1):
        known = journal.run(f"run-{number}")
        if known is not None:
            assert check_chain(known.run_id, journal.entries(number, after=0, limit=99))
            found.append(number)
    return found


# --- whole journals ---------------------------------------------------------------------------------------------------


def test_a_journal_whose_owner_was_killed_opens_with_everything(killed: Path) -> None:
    with closing(SqliteJournal(killed)) as journal:
        journal.open()
        assert journal.was_killed
        assert whole_runs(journal) == list(range(1, 61))


def test_a_report_says_what_the_journal_holds(killed: Path) -> None:
    report = verify_journal(killed)
    assert report.is_whole
    assert report.was_killed
    assert (report.graphs, report.entries, report.records) == (1, 120, 240)
    assert dict(report.runs) == {"running": 30, "completed": 30}
    assert report.unfinished == 30
    assert report.watermark is not None
    assert report.commits == report.watermark.commits == 121


def test_verifying_changes_nothing_and_works_beside_a_writer(path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        journal.open()
        journal.add_graph(stored("a"))
        fill(journal, 1, 3)
        before = files(path.parent)
        assert verify_journal(path).entries == 6
        assert files(path.parent) == before
        fill(journal, 4, 4)


def test_a_journal_of_the_first_schema_is_brought_up_to_date_and_guarded_from_then_on(path: Path) -> None:
    make_first_schema(path)
    with closing(SqliteJournal(path)) as journal:
        journal.open()
        assert not journal.was_killed
        assert whole_runs(journal) == [1, 2]
        assert journal.run("run-2") == row(2, "completed", graph_id=GRAPH, last_seq=4, final_state=b"{}", error="é")
    assert verify_journal(path).is_whole
    change(path, "UPDATE runs SET status = 'failed' WHERE number = 2")
    assert "run-2" in refusal(path).message


def test_an_altered_journal_of_the_first_schema_is_refused_before_it_is_changed(path: Path) -> None:
    make_first_schema(path)
    change(path, "UPDATE journal SET body = body || 'x' WHERE run = 2 AND first_seq = 3")
    assert "run-2" in refusal(path).message
    assert verify_journal(path).schema == 1


# --- altered journals -------------------------------------------------------------------------------------------------

ALTERATIONS = {
    "a record": (
        'UPDATE journal SET body = CAST(\'{"seq":9}\n{"seq":4}\' AS BLOB) WHERE run = 7 AND first_seq = 3',
        "run-7",
    ),
    "the newest records of a run": ("DELETE FROM journal WHERE run = 7 AND first_seq = 3", "run-7"),
    "all records of a run": ("DELETE FROM journal WHERE run = 7", "run-7"),
    "records of two runs exchanged": (
        "UPDATE journal SET run = 99 WHERE run = 7 AND first_seq = 3; "
        "UPDATE journal SET run = 7 WHERE run = 8 AND first_seq = 3; UPDATE journal SET run = 8 WHERE run = 99",
        "run-7",
    ),
    "a count": ("UPDATE journal SET count = 3 WHERE run = 7 AND first_seq = 3", "run-7"),
    "a status": ("UPDATE runs SET status = 'failed' WHERE number = 7", "run-7"),
    "an end": ("UPDATE runs SET completed_at = submitted_at WHERE number = 7", "run-7"),
    "a final state": ("UPDATE runs SET final_state = CAST('{}' AS BLOB) WHERE number = 8", "run-8"),
    "a digest": ("UPDATE runs SET digest = zeroblob(16) WHERE number = 7", "run-7"),
    "a type": ("UPDATE journal SET body = CAST(body AS TEXT) WHERE run = 7", "run-7"),
    "a run": ("DELETE FROM runs WHERE number = 7", "number 7"),
    "a graph": ('UPDATE graphs SET definition = CAST(\'{"name":"b"}\' AS BLOB)', GRAPH),
    "the number of commits": ("UPDATE owner SET commits = commits - 1", "the watermark of"),
    "the hash of the newest commit": ("UPDATE owner SET head = zeroblob(16)", "its hash differs"),
    "the id": ("UPDATE owner SET journal_id = hex(zeroblob(16))", "another journal"),
    "the owner": ("DELETE FROM owner", "the row of its owner is missing"),
    "the type of a number of the owner": ("UPDATE owner SET commits = 'many'", "the row of its owner was altered"),
    "the type of a number that is read late": (
        "UPDATE owner SET last_deleted = 'x'",
        "the row of its owner was altered",
    ),
    "whole runs": (
        "DELETE FROM journal WHERE run = 7; DELETE FROM runs WHERE number = 7",
        "holds 78 entries, its owner's row says 80",
    ),
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_whatever_was_altered_is_refused_and_named(filled: Path, what: str) -> None:
    sql, named = ALTERATIONS[what]
    change(filled, sql)
    assert named in refusal(filled).message


def test_an_index_that_hides_a_run_is_noticed(filled: Path) -> None:
    with closing(apsw.Connection(str(filled))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
        connection.execute("PRAGMA writable_schema = ON")
        sql = "SELECT sql FROM sqlite_schema WHERE name = 'runs_unfinished'"
        (kept,) = next(iter(connection.execute(sql)))
        renamed = (
            "UPDATE sqlite_schema SET sql = replace(sql, 'completed_at IS NULL', ?) WHERE name = 'runs_unfinished'"
        )
        connection.execute(renamed, ("completed_at IS NULL AND 0",))
    with closing(apsw.Connection(str(filled))) as connection:
        connection.execute("REINDEX runs_unfinished")
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'runs_unfinished'", (kept,))
    assert "runs_unfinished" in refusal(filled).message


def test_every_bit_that_flips_in_the_file_is_harmless_or_noticed(killed: Path, tmp_path: Path) -> None:
    """Harmless is what belongs to no row: such a journal opens with everything that was in it."""
    expected = [(number, f"run-{number}") for number in range(1, 61)]
    for suffix in ("", "-wal"):
        size = Path(f"{killed}{suffix}").stat().st_size
        for turn, place in enumerate(range(4321, size, size // 20)):
            folder = tmp_path / f"flipped{suffix}{turn}"
            shutil.copytree(killed.parent, folder)
            flip(folder / f"work.db{suffix}", place)
            with closing(SqliteJournal(folder / "work.db")) as journal:
                try:
                    journal.open()
                except JournalDamaged:
                    continue
                assert [(number, f"run-{number}") for number in whole_runs(journal)] == expected, (suffix, place)


def test_a_recent_check_sees_the_end_and_unfinished_runs_only(filled: Path) -> None:
    change(filled, ALTERATIONS["a final state"][0])
    with closing(SqliteJournal(filled, check="recent")) as journal:
        journal.open()
    change(filled, ALTERATIONS["a record"][0])
    with closing(SqliteJournal(filled, check="recent")) as journal, pytest.raises(JournalDamaged, match="run-7"):
        journal.open()


# --- shortened journals -----------------------------------------------------------------------------------------------


def cut_log(path: Path) -> None:
    log = Path(f"{path}-wal")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])


def remove_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def flip_log(path: Path) -> None:
    log = Path(f"{path}-wal")
    flip(log, log.stat().st_size // 2)


def remove_watermark(path: Path) -> None:
    Path(f"{path}.watermark").unlink()


def spoil_watermark(path: Path) -> None:
    for place in (20, 4096 + 20):
        flip(Path(f"{path}.watermark"), place)


SHORTER = [cut_log, remove_log, flip_log]


@pytest.mark.parametrize("spoil", SHORTER)
def test_a_shortened_journal_is_refused_with_what_it_has_and_what_it_should_have(
    killed: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(killed)
    message = refusal(killed).message
    assert "it ends with commit" in message
    assert "expects 121 commits" in message


@pytest.mark.parametrize("spoil", SHORTER)
def test_a_shortened_journal_goes_on_after_its_loss_was_accepted_and_a_copy_is_kept(
    killed: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(killed)
    damaged = files(killed.parent)
    journal, report = accepted(killed)
    kept = whole_runs(journal)
    assert kept == list(range(1, len(kept) + 1))
    assert 40 <= len(kept) < 60
    assert journal.salvaged is not None
    assert files(journal.salvaged.folder) == damaged
    assert "expects 121 commits" in report["found"][0]
    fill(journal, 90, 92)
    journal.close()
    assert verify_journal(killed).is_whole


@pytest.mark.parametrize("spoil", [remove_watermark, spoil_watermark])
def test_a_journal_without_its_watermark_is_refused_until_that_is_accepted(
    filled: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(filled)
    assert "watermark" in refusal(filled).message
    journal, _ = accepted(filled)
    assert whole_runs(journal) == list(range(1, 41))
    journal.close()
    assert verify_journal(filled).is_whole


@pytest.mark.parametrize("left", [None, b""], ids=["missing", "empty"])
def test_a_database_that_is_gone_is_not_taken_for_a_new_one(killed: Path, left: bytes | None) -> None:
    killed.unlink()
    if left is not None:
        killed.write_bytes(left)
    assert "missing or empty" in refusal(killed).message
    journal, _ = accepted(killed)
    assert journal.counts() == (0, 0)
    journal.close()


def test_a_copy_of_a_database_whose_content_was_in_its_log_is_not_taken_for_a_new_one(path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        journal.open()
        fill(journal, 1, 2)
        copy = path.parent / "copied.db"
        shutil.copyfile(path, copy)
    with closing(SqliteJournal(copy)) as journal, pytest.raises(JournalDamaged, match="empty and without a watermark"):
        journal.open()
    journal, _ = accepted(copy)
    assert journal.counts() == (0, 0)
    journal.close()


@pytest.mark.parametrize("schema", [0, 1])
def test_a_schema_number_that_was_altered_is_noticed_and_costs_nothing(filled: Path, schema: int) -> None:
    change(filled, f"PRAGMA user_version = {schema}")
    assert f"it has schema {schema}" in refusal(filled).message
    journal, _ = accepted(filled)
    assert whole_runs(journal) == list(range(1, 41))
    journal.close()


def test_an_older_copy_of_the_database_is_refused(filled: Path, tmp_path: Path) -> None:
    shutil.copyfile(filled, tmp_path / "older")
    with closing(SqliteJournal(filled)) as journal:
        journal.open()
        fill(journal, 41, 41)
    shutil.copyfile(tmp_path / "older", filled)
    assert "ends with commit 81" in refusal(filled).message


# --- saving what is whole ---------------------------------------------------------------------------------------------


def test_only_what_is_damaged_is_left_out_and_named(filled: Path) -> None:
    change(filled, ALTERATIONS["a record"][0])
    change(filled, "UPDATE runs SET status = 'failed' WHERE number = 12")
    change(filled, "DELETE FROM runs WHERE number = 20")
    journal, report = accepted(filled)
    assert whole_runs(journal) == [n for n in range(1, 41) if n not in (7, 12, 20)]
    assert [(lost["number"], lost["identity"]) for lost in report["left_out"]] == [
        (7, "run-7"),
        (12, "run-12"),
        (20, None),
    ]
    assert journal.graph(GRAPH) is not None
    fill(journal, 41, 42)
    journal.close()
    assert verify_journal(filled).is_whole


def test_runs_of_a_graph_that_is_damaged_are_left_out(filled: Path) -> None:
    change(filled, ALTERATIONS["a graph"][0])
    journal, report = accepted(filled)
    assert journal.counts() == (0, 0)
    assert {lost["kind"] for lost in report["left_out"]} == {"graph", "run"}
    journal.close()


def test_pages_that_cannot_be_read_cost_only_the_runs_on_them(filled: Path) -> None:
    with closing(apsw.Connection(str(filled))) as connection:
        sql = "SELECT pageno FROM dbstat WHERE name = 'runs' AND pagetype = 'leaf' ORDER BY pageno LIMIT 1 OFFSET 1"
        (page,) = next(iter(connection.execute(sql)))
    content = bytearray(filled.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    filled.write_bytes(content)
    refusal(filled)
    journal, report = accepted(filled)
    kept = whole_runs(journal)
    assert 0 < len(kept) < 40
    assert {lost["number"] for lost in report["left_out"]} == set(range(1, 41)) - set(kept)
    journal.close()


def test_an_epoch_after_salvage_is_higher_than_any_before(filled: Path) -> None:
    change(filled, "UPDATE owner SET epoch = 41")
    change(filled, "UPDATE runs SET status = 'failed' WHERE number = 12")
    with closing(SqliteJournal(filled, accept_data_loss=True)) as journal:
        assert journal.open() > 41


def test_a_file_that_is_no_database_any_more_is_replaced_when_that_is_accepted(filled: Path) -> None:
    filled.write_bytes(b"this is no database " * 500)
    refusal(filled)
    journal, _ = accepted(filled)
    assert journal.counts() == (0, 0)
    journal.close()


def test_accepting_data_loss_changes_nothing_where_nothing_is_lost(filled: Path) -> None:
    with closing(SqliteJournal(filled, accept_data_loss=True)) as journal:
        journal.open()
        assert journal.salvaged is None
        assert whole_runs(journal) == list(range(1, 41))
    assert not list(filled.parent.glob("damaged-*"))


# --- backups ----------------------------------------------------------------------------------------------------------


def test_a_backup_of_a_journal_in_use_opens_with_every_commit_before_it(filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    with closing(SqliteJournal(filled)) as journal:
        journal.open()
        fill(journal, 41, 50)
        assert backup_journal(filled, target).entries == 100
        fill(journal, 51, 52)
    assert sorted(file.name for file in tmp_path.glob("copy.db*")) == ["copy.db", "copy.db.watermark"]
    with closing(SqliteJournal(target)) as restored:
        restored.open()
        assert not restored.was_killed
        assert whole_runs(restored) == list(range(1, 51))


def test_a_backup_never_replaces_a_file(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(InvalidInput, match="already"):
        backup_journal(filled, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"


@pytest.mark.parametrize("spoil", [cut_log, remove_watermark, lambda path: change(path, ALTERATIONS["a status"][0])])
def test_a_damaged_journal_gives_no_backup(killed: Path, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(killed)
    with pytest.raises(JournalDamaged):
        backup_journal(killed, tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy.db*"))


def test_a_backup_of_nothing_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="no journal"):
        backup_journal(path, tmp_path / "copy.db")


# --- the watermark ----------------------------------------------------------------------------------------------------


@pytest.fixture
def mark() -> Mark:
    return mark_now("ab" * 16, 3, b"h" * 16, "prepared")


def test_a_torn_write_leaves_the_mark_that_was_flushed_before_it(path: Path, mark: Mark) -> None:
    create_watermark(path, mark)
    watermark = Watermark(path, mark)
    for commits in (4, 5, 6):
        watermark.note(commits, b"i" * 16)
    file = Path(f"{path}.watermark")
    whole = file.read_bytes()
    seen = set()
    for slot in (0, 4096):
        file.write_bytes(whole[:slot] + whole[slot : slot + 30] + bytes(60) + whole[slot + 90 :])
        found = read_mark(path)
        assert found is not None
        seen.add(found.commits)
    assert seen == {3, 6}
    watermark.close(clean=False)


def test_a_full_disk_makes_the_watermark_late_and_not_the_commit_fail(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    journal = SqliteJournal(path)
    journal.open()
    with monkeypatch.context() as patched:
        patched.setattr("runtime.journal.sqlite.watermark.os.pwrite", full)
        patched.setattr("runtime.journal.sqlite.watermark.os.fsync", full)
        fill(journal, 1, 3)
    found = read_mark(path)
    assert found is not None
    assert found.commits == 0
    fill(journal, 4, 4)
    found = read_mark(path)
    assert found is not None
    assert (found.commits, found.state) == (8, "open")
    journal.close()
    found = read_mark(path)
    assert found is not None
    assert found.state == "closed"


def test_a_flush_of_the_watermark_that_fails_stops_the_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    journal = SqliteJournal(path)
    journal.open()
    monkeypatch.setattr("runtime.journal.sqlite.watermark.FLUSH_S", 0)
    monkeypatch.setattr("runtime.journal.sqlite.watermark.os.fsync", broken)
    with pytest.raises(JournalUnavailable, match="Input/output error"):
        fill(journal, 1, 1)
    journal.close()
    found = read_mark(path)
    assert found is not None
    assert found.state == "open"


def test_the_watermark_is_flushed_once_a_second_at_most(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    flushes: list[int] = []
    with closing(SqliteJournal(path)) as journal:
        monkeypatch.setattr("runtime.journal.sqlite.watermark.time.monotonic", lambda: now[0])
        journal.open()
        monkeypatch.setattr("runtime.journal.sqlite.watermark.os.fsync", flushes.append)
        fill(journal, 1, 5)
        assert flushes == []
        now[0] += 1
        fill(journal, 6, 10)
        assert len(flushes) == 1


# --- what errors mean -------------------------------------------------------------------------------------------------


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(path)
    journal.open()
    yield journal
    journal.close()


def io_error(extended: int) -> apsw.Error:
    error = apsw.IOError("IOError: disk I/O error")
    error.extendedresult = extended  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "kind", "retry_after_s"),
    [
        (apsw.FullError("full"), StorageFull, 30),
        (apsw.BusyError("busy"), StorageBusy, 5),
        (apsw.LockedError("locked"), StorageBusy, 5),
        (io_error(apsw.SQLITE_IOERR_FSYNC), JournalUnavailable, None),
        (io_error(apsw.SQLITE_IOERR_WRITE), JournalUnavailable, None),
        (io_error(apsw.SQLITE_IOERR_SHMSIZE), JournalUnavailable, None),
        (io_error(apsw.SQLITE_IOERR_READ), StorageError, None),
        (io_error(apsw.SQLITE_IOERR_SHORT_READ), StorageError, None),
        (apsw.CorruptError("corrupt"), JournalDamaged, None),
        (apsw.CantOpenError("cannot open"), JournalUnavailable, None),
    ],
)
def test_an_error_of_sqlite_says_whether_to_wait_or_to_stop(
    path: Path, error: apsw.Error, kind: type[Exception], retry_after_s: float | None
) -> None:
    meant = meaning(path, error)
    assert type(meant) is kind
    assert meant.retry_after_s == retry_after_s
    assert str(path) in meant.message


def test_shared_memory_that_cannot_grow_means_a_full_disk_if_it_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        f_bavail, f_frsize = 1, 4096

    monkeypatch.setattr("runtime.journal.sqlite.connections.os.statvfs", lambda _: Full)
    assert type(meaning(path, io_error(apsw.SQLITE_IOERR_SHMSIZE))) is StorageFull


def test_a_commit_that_finds_the_file_locked_changes_nothing_and_can_be_repeated(
    path: Path, journal: SqliteJournal
) -> None:
    assert journal._writer is not None
    journal._writer.set_busy_timeout(1)
    entries = chained(1, 1)
    with closing(apsw.Connection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy):
            journal.commit(entries)
        other.execute("ROLLBACK")
    journal.commit(entries)
    assert journal.counts() == (0, 1)


def test_a_full_database_changes_nothing_and_goes_on_when_there_is_room(path: Path, journal: SqliteJournal) -> None:
    writer = journal._writer
    assert writer is not None
    (pages,) = next(iter(writer.execute("PRAGMA page_count")))
    writer.execute(f"PRAGMA max_page_count = {pages}")
    whole = replace(chained(1, 1)[0], row=row(1, "completed", final_state=b"x" * 100_000))
    with pytest.raises(StorageFull):
        journal.commit([whole])
    assert journal.counts() == (0, 0)
    writer.execute("PRAGMA max_page_count = 100000")
    journal.commit([whole])
    journal.close()
    assert verify_journal(path).is_whole
