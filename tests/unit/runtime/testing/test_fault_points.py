"""Fault points are where the table says, act at the passage they were told, and leave nothing behind."""

import inspect

import pytest

from runtime import open_engine
from runtime.journal import JournalWriter, SqliteJournal
from runtime.testing.fault_points import POINTS, Fault, function_at, injected, raising
from runtime.testing.scripted import ScriptedTools, scripted
from tests.conftest import Store, settings

GRAPH = {
    "name": "two",
    "nodes": [{"name": "a", **scripted(tool="idempotent")}, {"name": "b", **scripted(tool="idempotent")}],
    "edges": [{"from_node": "a", "to_node": "b"}],
    "entry_point": "a",
}


@pytest.mark.parametrize("point", POINTS)
def test_every_point_is_at_a_function(point: str) -> None:
    assert callable(function_at(point))


def test_a_point_whose_function_is_gone_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(JournalWriter, "append")
    with pytest.raises(LookupError, match=r"before_append.*JournalWriter\.append"):
        function_at("before_append")


def test_a_point_keeps_the_kind_of_its_function_and_is_gone_afterwards() -> None:
    originals = {point: function_at(point) for point in POINTS}
    with injected(*(Fault(point, lambda: None) for point in POINTS)):
        for point, original in originals.items():
            assert inspect.iscoroutinefunction(function_at(point)) == inspect.iscoroutinefunction(original)
    assert {point: function_at(point) for point in POINTS} == originals


def test_a_fault_strikes_at_its_passage_and_only_then() -> None:
    with injected(Fault("before_commit", raising(OSError("now")), passage=2)):
        journal = SqliteJournal.__new__(SqliteJournal)
        journal.commit([])
        with pytest.raises(OSError, match="now"):
            journal.commit([])
        journal.commit([])


def test_passage_zero_is_every_passage() -> None:
    passed: list[str] = []
    with injected(Fault("after_commit", lambda: passed.append("commit"), passage=0)):
        journal = SqliteJournal.__new__(SqliteJournal)
        journal.commit([])
        journal.commit([])
    assert passed == ["commit", "commit"]


async def test_a_run_passes_the_points_in_the_order_of_its_life(sqlite: Store, tools: ScriptedTools) -> None:
    passed: list[str] = []
    watched = [point for point in POINTS if not point.startswith(("recovery", "run_folding", "before_migration"))]
    faults = [Fault(point, lambda point=point: passed.append(point), passage=0) for point in watched]  # type: ignore[misc]
    with injected(*faults):
        async with open_engine(settings(), tools, journal=sqlite.journal()) as engine:
            created = await engine.create_graph(GRAPH)
            passed.clear()
            run = await engine.submit(created.graph_id)
            await engine.wait(run.run_id)
    assert list(dict.fromkeys(passed))[:10] == [
        "request_parsed",
        "before_append",
        "after_append",
        "before_commit",
        "within_commit",
        "before_watermark",
        "after_commit",
        "before_publish",
        "after_publish",
        "before_call",
    ]
    assert passed.count("before_call") == passed.count("after_call") == passed.count("before_route") == 2
    assert passed.count("before_terminal") == passed.count("before_answer") == 1


@pytest.mark.parametrize("text", ["nowhere:1:kill", "after_commit:1:sing", "after_commit:x:kill", "after_commit"])
def test_a_text_that_means_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Fault.parse(text)


def test_a_fault_can_be_about_one_run() -> None:
    fault = Fault.parse("run_folding:0:raise:run-1")
    assert (fault.point, fault.passage, fault.about) == ("run_folding", 0, "run-1")
