"""Faults that random graphs found, each as the smallest graph that showed it."""

from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from runtime.graph.checks import judge
from runtime.run import decision
from runtime.run.messages import GoOn, SendSignal
from tests.support.driver import nothing, ok
from tests.support.graphs import Source, edge, graph, node, planned, when
from tests.support.player import Player, nested_policies
from tests.support.tools import FakeTools

AGAIN = edge("a > a", **when("k", "==", 1))


def player(source: Source, **initial: Any) -> Player:
    plan = planned(source)
    begun = Player(plan, nested_policies(plan), nothing, Random(0))
    begun.begin(initial)
    return begun


def test_a_run_does_not_end_while_a_decision_left_something_undone() -> None:
    with patch.object(decision, "MAX_RECORDS", 3):
        run = player(graph("a b", AGAIN, edge("a > b", default=True)))
        run.end(("", "a"), ok())
        run.send(SendSignal("s1", "nobody waits for it", None))
        run.send(GoOn())
    assert ("", "b", 1) in run.started()


def test_a_node_that_a_decision_left_undone_is_skipped_all_the_same() -> None:
    with patch.object(decision, "MAX_RECORDS", 2):
        run = player(graph([node("a", route="first"), "b", "c", "d"], "a > b", "a > c", "a > d"))
        run.end(("", "a"), ok())
        run.send(GoOn())
        run.end(("", "b"), ok())
        run.send(GoOn())
    assert [record.node for record in run.of("step_skipped")] == ["c", "d"]


def test_a_fork_from_the_first_step_of_an_iteration_begins_with_that_step() -> None:
    run = player(graph("a", AGAIN))
    run.end(("", "a"), ok(k=1))
    run.end(("", "a"), ok(k=2))
    (_, second) = run.of("step_started")
    assert run.fork(second).started() == [("", "a", 1), ("", "a", 2)]


@pytest.mark.parametrize(
    "keys",
    [
        {"type": "graph", "graph": graph("x"), "input": {"x": "lost"}},
        {"type": "map", "map": {"items": "lost"}, "tool": "work"},
        {"type": "wait", "wait": {"until_field": "lost"}},
    ],
)
def test_steps_that_fail_before_they_begin_count_for_the_step_limit(keys: dict[str, Any]) -> None:
    source = graph([node("a", **{"tool": None, **keys}, on_error="continue")], AGAIN, limits={"max_steps": 10})
    with patch.object(decision, "MAX_RECORDS", 100):
        run = player(source, k=1)
        for _ in range(10):
            run.send(GoOn())
    assert run.run.status == "failed"


def test_the_step_limit_ends_a_graph_that_runs_at_the_end_too() -> None:
    inner = graph("x", edge("x > x", **when("k", "==", 1)))
    nodes = ["a", node("f", tool=None, type="graph", graph=inner, timeout_s=60)]
    with patch.object(decision, "MAX_RECORDS", 100):
        run = player(graph(nodes, limits={"max_steps": 3}, **{"finally": ["f"]}), k=1)
        run.end(("", "a"), ok())
        run.end(("f#1", "x"), ok())
        for _ in range(10):
            run.send(GoOn())
    assert run.run.status == "failed"


def test_a_map_that_runs_at_the_end_is_not_bound_by_the_step_limit() -> None:
    tidy = node("f", type="map", map={"items": [1, 2]})
    run = player(graph(["a", tidy], limits={"max_steps": 2}, **{"finally": ["f"]}))
    run.end(("", "a"), ok())
    while run.attempts:
        run.end(next(iter(run.attempts)), ok())
    assert run.run.status.is_final


def refused(source: Source) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.type) for problem in judge(source, FakeTools()).errors]


@pytest.mark.parametrize(
    "edges",
    [
        (AGAIN, edge("a > a", default=True)),
        (edge("a > b", **when("k", "==", 1)), edge("a > c", default=True), "b > a", "c > a"),
    ],
)
def test_a_cycle_that_goes_round_whichever_way_is_taken_is_refused(edges: tuple[Any, ...]) -> None:
    assert [kind for _, kind in refused(graph("a b c", *edges))] == ["endless_cycle"]


@pytest.mark.parametrize(
    ("first", "edges"),
    [
        (node("a"), ("a > j", edge("a > j", default=True))),
        (node("a", on_error="route"), ("a > j", edge("a > j", on="error"))),
        (node("a", route="first"), ("a > b", "a > j", "b > j")),
    ],
)
def test_a_join_of_edges_that_are_never_taken_together_is_refused(first: Source, edges: tuple[Any, ...]) -> None:
    source = graph([first, "b", node("j", join={"n": 2})], *edges)
    assert refused(source) == [("/nodes/2/join", "unsatisfiable_join")]


def test_a_join_of_two_error_edges_is_accepted() -> None:
    edges = [edge("a > b", **when("k", "==", 1)), edge("a > j", on="error"), edge("a > j", on="error")]
    assert refused(graph([node("a", on_error="route"), "b", node("j", join={"n": 2})], *edges)) == []
