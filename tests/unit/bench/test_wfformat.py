"""Recorded workflows in the engine: the graph is the file's, the sleeps are, and nothing starts too early unnoticed."""

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
import typer

from bench import wfformat
from bench.in_process import Backend, JournalChoice
from bench.wfformat import graph_of, order_violations, run_by_hand, run_in_engine
from bench.wfformat_instance import BadInstance, Workflow, workflow_of
from runtime.clock import LoopClock
from tests.unit.bench.instances import CRITICAL_PATH_S, Json, new

DIAMOND = workflow_of(new())


def wide(tasks: int, parents: int = 0) -> Workflow:
    """Return tasks that are all children of the first `parents` ones."""
    above = tuple(range(parents))
    return Workflow(
        name="wide",
        schema_version="1.5",
        ids=tuple(map(str, range(tasks))),
        runtimes_s=(0.0,) * tasks,
        parents=tuple(() if task < parents else above for task in range(tasks)),
        order=tuple(range(tasks)),
        unknown_runtimes=0,
    )


def test_every_task_is_a_node_and_an_entry_starts_those_without_a_parent() -> None:
    definition = graph_of(DIAMOND, scale=0.5)
    assert [node["name"] for node in definition["nodes"]] == ["start", "t0", "t1", "t2", "t3", "t4"]
    assert [node["config"]["seconds"] for node in definition["nodes"][1:]] == [0.5, 1, 2.25, 1, 1.5]
    edges = {(edge["from_node"], edge["to_node"]) for edge in definition["edges"]}
    assert edges == {("start", "t0"), ("start", "t4"), ("t0", "t1"), ("t0", "t2"), ("t1", "t3"), ("t2", "t3")}
    assert definition["entry_point"] == "start"


def test_a_workflow_larger_than_a_graph_may_be_is_refused() -> None:
    assert len(graph_of(wide(9_999), 1)["nodes"]) == 10_000
    with pytest.raises(BadInstance, match=r"10,000 tasks .* are 10,001 nodes .* holds up to 10,000 and 50,000"):
        graph_of(wide(10_000), 1)
    with pytest.raises(BadInstance, match=r"50,000 dependencies, .* 10 tasks without a parent, .* 50,010 edges"):
        graph_of(wide(5_010, parents=10), 1)


@pytest.mark.parametrize("journal", ["memory", "sqlite"])
async def test_a_run_keeps_the_order_of_its_file(journal: str) -> None:
    taken = await run_in_engine(DIAMOND, 0.0, 3, journal)
    assert taken.violations == []
    assert taken.wall_s >= taken.slowest_s > 0


async def test_a_run_takes_as_long_as_its_critical_path(virtual: LoopClock) -> None:
    began = anyio.current_time()
    await run_in_engine(DIAMOND, 2.0, 1, "memory")
    assert anyio.current_time() - began == pytest.approx(2 * CRITICAL_PATH_S)


async def test_the_control_takes_as_long_as_the_critical_path(virtual: LoopClock) -> None:
    began = anyio.current_time()
    await run_by_hand(DIAMOND, 2.0, 1)
    assert anyio.current_time() - began == pytest.approx(2 * CRITICAL_PATH_S)


def log(*steps: str) -> list[Json]:
    """Return a log of steps such as `t0+`, which starts, and `t0-`, which completes."""
    words = {"+": "step_started", "-": "step_completed"}
    events = [{"event": words[step[-1]], "seq": seq, "node": step[:-1]} for seq, step in enumerate(steps, 2)]
    return [{"event": "run_started", "seq": 1}, *events]


WHOLE = ("start+", "start-", "t0+", "t4+", "t0-", "t1+", "t2+", "t2-", "t4-", "t1-", "t3+", "t3-")


def test_a_log_in_order_has_no_violation() -> None:
    assert order_violations(DIAMOND, log(*WHOLE)) == []


def test_a_task_that_started_before_a_parent_had_ended_is_a_violation() -> None:
    early = [step for step in WHOLE if step != "t3+"]
    early.insert(early.index("t1-"), "t3+")
    assert order_violations(DIAMOND, log(*early)) == ["Task 'join_ID3' started before its parent 'left_ID1' had ended."]


def test_a_task_that_did_not_run_once_is_a_violation() -> None:
    left_out = log(*(step for step in WHOLE if step not in ("t4+", "t4-")))
    assert order_violations(DIAMOND, left_out) == ["Task 'alone_ID4' started 0 times and ended 0 times."]
    twice = log(*WHOLE, "t4+", "t4-")
    assert order_violations(DIAMOND, twice) == ["Task 'alone_ID4' started 2 times and ended 2 times."]
    cut_off = log(*(step for step in WHOLE if step != "t1-"))
    assert order_violations(DIAMOND, cut_off) == [
        "Task 'left_ID1' started 1 times and ended 0 times.",
        "Task 'join_ID3' started before its parent 'left_ID1' had ended.",
    ]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "diamond.json"
    file.write_text(json.dumps(new()), encoding="utf-8")
    return file


def run(file: Path, **options: Any) -> None:
    small = {"scale": 0.0, "journal": JournalChoice.MEMORY, "backend": Backend.ASYNCIO, "repetitions": 1}
    wfformat.main(file, **{**small, **options})


def test_the_command_reports_size_violations_and_figures(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(file, journal=JournalChoice.BOTH, scale=0.001, concurrency=2, json=tmp_path / "figures.json")
    assert "diamond, 5 tasks, 4 edges, 0 order violations" in " ".join(capsys.readouterr().out.split())
    document = json.loads((tmp_path / "figures.json").read_text())
    assert document["bench"] == "wfformat"
    makespans = {one["name"]: one for one in document["figures"] if one["unit"] == "makespan s"}
    assert [name.rsplit(", ")[-1] for name in makespans] == ["control", "memory", "sqlite"]
    assert all(one["low"] >= 0.001 * CRITICAL_PATH_S for one in makespans.values())


def test_the_critical_path_takes_five_seconds_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    scales = []

    class Enough(Exception):
        pass

    def stop(_workflow: Workflow, scale: float) -> Json:
        scales.append(scale)
        raise Enough

    monkeypatch.setattr(wfformat, "graph_of", stop)
    for options in ({}, {"quick": True}, {"scale": 0.25}):
        with pytest.raises(Enough):
            wfformat.main(file, **options)
    assert [scale * CRITICAL_PATH_S for scale in scales] == [5, 1, 0.25 * CRITICAL_PATH_S]


def test_a_bad_file_ends_the_command_with_2_and_the_place(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = new()
    document["workflow"]["specification"]["tasks"][1]["parents"] = ["nobody"]
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(typer.Exit) as ended:
        run(file)
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == (
        f"{file}: /workflow/specification/tasks/1/parents/0: no task is called 'nobody'.\n"
    )


@pytest.mark.parametrize("scale", [1e6, float("inf"), float("nan")])
def test_a_scale_that_would_take_days_ends_the_command_with_2(
    file: Path, scale: float, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        run(file, scale=scale)
    assert ended.value.exit_code == 2
    assert "a day is the most" in capsys.readouterr().err


def test_a_violation_ends_the_command_with_1(
    monkeypatch: pytest.MonkeyPatch, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_an_edge(workflow: Workflow, scale: float) -> Json:
        definition = graph_of(workflow, scale)
        edges = [edge for edge in definition["edges"] if (edge["from_node"], edge["to_node"]) != ("t2", "t3")]
        return {**definition, "edges": edges}

    monkeypatch.setattr(wfformat, "graph_of", without_an_edge)
    with pytest.raises(SystemExit) as ended:
        run(file, scale=0.001)  # `right` takes longer than `left`, so `join` does not wait for it any more
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert "0 order violations" not in " ".join(printed.out.split())
    assert "Task 'join_ID3' started before its parent 'right_ID2' had ended." in " ".join(printed.err.split())


def test_tasks_without_a_runtime_are_mentioned(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = new()
    document["workflow"]["execution"]["tasks"].pop()
    file.write_text(json.dumps(document), encoding="utf-8")
    run(file)
    assert "1 tasks have no runtime; they do not sleep." in capsys.readouterr().err


async def test_the_command_also_runs_as_a_file(tmp_path: Path) -> None:
    ended = await anyio.run_process(
        [sys.executable, wfformat.__file__, str(tmp_path / "missing.json")], cwd=tmp_path, check=False
    )
    assert ended.returncode == 2
    assert b"missing.json: The file cannot be read" in ended.stderr
