"""Faults that tests of random graphs found, each as the smallest graph that shows it."""

from typing import Any

import pytest

from runtime.graph.checks import judge
from runtime.run.state import MAX_STATE_BYTES, WorkflowState
from tests.support.driver import drive, updates
from tests.support.graphs import edge, graph, leaf, loop, node, planned, when
from tests.support.invariants import check_invariants
from tests.support.tools import FakeTools

NAMED: dict[str, dict[str, Any]] = {name: {"x": name} for name in "abc"}


def test_a_join_behind_a_loop_that_was_skipped_still_runs() -> None:
    edges: list[Any] = [
        edge("s > a", **when("q", "==", 1)),
        edge("s > h", default=True),
        "h > b",
        edge("b > h", **when("z", "==", 9)),
    ]
    driver = drive(planned(graph("s a h b j", *edges, edge("b > j", default=True), "a > j")), initial={"q": 1})
    check_invariants(driver)
    assert driver.started() == [("s", 1), ("a", 1), ("j", 1)]


def test_no_iteration_begins_after_a_failure_that_ended_the_last_one() -> None:
    nodes = ["h", "a", "b", node("q", type="conditional", tool=None, on_unmatched="fail")]
    edges: list[Any] = ["h > a", "h > b", "a > h", "b > q", edge("q > h", **when("never", "==", 1))]
    driver = drive(planned(graph(nodes, *edges, loops=[loop("a")])))
    assert driver.run.status == "failed"
    check_invariants(driver)


@pytest.mark.parametrize("seed", range(10))
def test_appends_after_a_branch_that_nothing_joins_are_kept(seed: int) -> None:
    plan = planned(graph("s a b c", "s > a", "s > b", "b > c", reducers={"x": "append"}))
    assert drive(plan, updates(NAMED), seed=seed).state == {"x": ["a", "b", "c"]}


def test_two_joins_that_nothing_joins_come_in_one_order() -> None:
    edges: list[Any] = ["s > a", "s > b", "s > c", "a > j", "b > j", "c > k", "b > k"]
    plan = planned(graph("s a b c j k", *edges, reducers={"x": "append"}))
    assert len({str(drive(plan, updates(NAMED), seed=seed).state) for seed in range(20)}) == 1


@pytest.mark.parametrize("last", [("p > k", "q > k"), ("q > k", "p > k")])
@pytest.mark.parametrize("reducers", [{}, {"x": "replace"}])
def test_a_write_after_all_writes_of_a_merge_came_after_the_merge(
    last: tuple[str, str], reducers: dict[str, str]
) -> None:
    edges = ("s > a", "s > b", "a > p", "b > p", "a > q", "b > q", *last)
    plan = planned(graph("s a b p q k", *edges, reducers=reducers))
    driver = drive(plan, updates({"a": {"x": 5}, "b": {"x": 5}, "q": {"x": 6}}))
    assert driver.input_of("k") == {"x": 6}


@pytest.mark.parametrize("operator", [["=="], {"a": 1}])
def test_an_operator_that_is_no_string_is_refused(operator: Any) -> None:
    source = graph("a b", edge("a > b", condition={"field": "x", "operator": operator, "value": 1}))
    assert [p.pointer for p in judge(source, FakeTools()).errors] == ["/edges/0/condition/operator"]


def test_an_error_edge_that_leads_back_is_not_the_edge_of_the_loop_definition() -> None:
    source = graph(
        ["h", node("n", on_error="route")], "h > n", edge("n > h", on="error"), loops=[loop("n", max_iterations=3)]
    )
    driver = drive(planned(source))
    check_invariants(driver)
    assert driver.started() == [("h", 1), ("n", 1), ("n", 2), ("n", 3)]


def test_a_key_that_is_replaced_under_a_reducer_is_counted_once() -> None:
    state = WorkflowState({"p": "replace"})
    view = state.initial({"p": "x" * (MAX_STATE_BYTES // 2 + 1)})
    state.check(view, {"p": "y" * (MAX_STATE_BYTES // 2 + 1)})


def test_two_loop_definitions_of_a_node_are_one_fault() -> None:
    source = graph("a", loops=[loop("a"), loop("a")])
    assert [(p.pointer, p.type) for p in judge(source, FakeTools()).errors] == [("/loops/1/node", "two_loops")]


def test_an_unknown_key_of_a_condition_is_escaped_in_its_pointer() -> None:
    source = graph("a b", edge("a > b", condition={**leaf("x", "==", 1), "a/b": 1}))
    assert [p.pointer for p in judge(source, FakeTools()).errors] == ["/edges/0/condition/a~1b"]
