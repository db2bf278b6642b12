"""Journals that earlier versions wrote: today's version reads the same runs from them, and goes on with the unfinished ones."""

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

import apsw
import msgspec
import pytest

from runtime import open_engine
from runtime.clock import LoopClock
from runtime.journal import SqliteJournal
from runtime.run.records import AnyRecord, decode_record, encode_records
from tests.golden.scenarios import UNFINISHED
from tests.golden.told import InlineJournal, all_rows, copied, digest, ends, lines_of, open_tools, quiet, told

FOLDERS: Final = sorted(Path(__file__).parent.glob("schema-*"), key=lambda folder: int(folder.name.partition("-")[2]))

NOT_READ: Final = {"run_recovered": ("detail",)}
"""Keys that later versions do not read any more; the bytes with them are shown all the same."""


class Golden:
    """A copy of a golden journal, and what is expected of it; `runs` is by id."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        expected = json.loads((folder / "expected.json").read_text())
        self.schema: int = expected["schema"]
        self.interrupted_at = datetime.fromisoformat(expected["interrupted_at"])
        self.runs: dict[str, dict[str, Any]] = expected["runs"]
        self.unfinished = {run_id: run["ends"] for run_id, run in self.runs.items() if "ends" in run}
        self.path = copied(folder, scratch)


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Golden:
    return Golden(request.param, tmp_path)


@pytest.fixture
def journal(golden: Golden) -> Iterator[SqliteJournal]:
    """The copy, opened by today's version, and so brought up to date."""
    journal = InlineJournal(golden.path)
    journal.open()
    yield journal
    journal.close()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_golden_journal_is_never_changed(folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text())
    assert digest(folder) == expected["sha256"]
    assert {path.name for path in folder.iterdir()} <= {"expected.json", "workflow.db", "workflow.db.watermark"}
    assert f"schema-{expected['schema']}" == folder.name


def test_every_schema_that_was_released_has_a_golden_journal(tmp_path: Path) -> None:
    fresh = SqliteJournal(tmp_path / "fresh.db")
    fresh.open()
    fresh.close()
    connection = apsw.Connection(str(tmp_path / "fresh.db"))
    [(newest,)] = connection.execute("PRAGMA user_version")
    connection.close()
    assert [folder.name for folder in FOLDERS] == [f"schema-{number}" for number in range(1, newest + 1)]


def test_the_newest_golden_journal_has_every_type_of_record(tmp_path: Path) -> None:
    golden = Golden(FOLDERS[-1], tmp_path)
    journal = InlineJournal(golden.path)
    journal.open()
    found = {decode_record(line).event for row in all_rows(journal) for line in lines_of(journal, row)}
    journal.close()
    assert {str(kind.__struct_config__.tag) for kind in get_args(AnyRecord)} - found == set()


def test_a_golden_journal_folds_to_the_runs_that_wrote_it(golden: Golden, journal: SqliteJournal) -> None:
    found = {row.run_id: told(journal, row) for row in all_rows(journal)}
    assert found.keys() == golden.runs.keys()
    for run_id, run in golden.runs.items():
        expected = {key: run[key] for key in found[run_id]}
        assert found[run_id] == expected, run["name"]
        if run["row"]["final_state"] and run["status"] != "dead_lettered":
            assert found[run_id]["state"] == run["row"]["final_state"], run["name"]


def test_nothing_that_records_of_a_golden_journal_say_is_lost_when_they_are_decoded(journal: SqliteJournal) -> None:
    for row in all_rows(journal):
        for line in lines_of(journal, row):
            said = msgspec.json.decode(line)
            for key in NOT_READ.get(said["event"], ()):
                said.pop(key, None)
            assert msgspec.json.decode(encode_records([decode_record(line)])[0]) == said


async def test_unfinished_runs_of_a_golden_journal_end_as_they_would_have(golden: Golden, virtual: LoopClock) -> None:
    unfinished = {run_id: UNFINISHED[golden.runs[run_id]["name"]] for run_id in golden.unfinished}
    assert unfinished
    assert await ends(golden.path, LoopClock(golden.interrupted_at), unfinished) == golden.unfinished
    journal = InlineJournal(golden.path)
    journal.open()
    for row in all_rows(journal):
        before, lines = golden.runs[row.run_id], lines_of(journal, row)
        assert hashlib.sha256(b"\n".join(lines[: before["records"]])).hexdigest() == before["digest"], before["name"]
        assert len(lines) == before["records"] or row.run_id in golden.unfinished
    journal.close()


async def test_what_is_asked_about_runs_is_answered_for_those_of_a_golden_journal(
    golden: Golden, virtual: LoopClock
) -> None:
    clock = LoopClock(golden.interrupted_at)
    tools = open_tools()
    journal = InlineJournal(golden.path)
    async with open_engine(quiet(), tools, clock=clock, journal=journal, chance=random.Random(1)) as engine:
        for run_id, run in golden.runs.items():
            log = await engine.log(run_id)
            view = await engine.state(run_id)
            if run_id not in golden.unfinished:
                encoded = b"\n".join(record.encoded for record in log)
                assert (hashlib.sha256(encoded).hexdigest(), len(log)) == (run["digest"], run["records"])
                assert (view.status, view.state_json.decode()) == (run["row"]["status"], run["row"]["final_state"])
            assert set(await engine.blame(run_id)) >= set(json.loads(run["state"]))
            for node, path in {(one.data["node"], one.data.get("path", "")) for one in log if "node" in one.data}:
                assert (await engine.explain(run_id, node, path=path)).text
        summaries = [line.run_id for line in (await engine.runs(limit=200)).items]
        assert sorted(summaries) == sorted(golden.runs)
        ended = next(run_id for run_id in golden.runs if run_id not in golden.unfinished)
        async with aclosing(engine.subscribe(ended)) as records:
            assert [record.seq async for record in records] == list(range(1, golden.runs[ended]["records"] + 1))
