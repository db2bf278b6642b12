"""The verdict on the graph as a whole: contradictions, cycles, joins; and the warnings that refuse nothing."""

from typing import Any

import pytest

from runtime.errors import Problem
from runtime.graph.checks import judge
from tests.support.graphs import Source, edge, graph, loop, node, when
from tests.support.tools import FakeTools


def errors(source: Source) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.type) for problem in judge(source, FakeTools()).errors]


def warnings(source: Source) -> list[Problem]:
    verdict = judge(source, FakeTools())
    assert verdict.errors == []
    return verdict.warnings


def warned(source: Source) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.type) for problem in warnings(source)]


HELD = when("go", "==", 1)


# --- routes -----------------------------------------------------------------------------------------------------------


def test_a_second_default_edge_is_refused() -> None:
    source = graph("a b c", edge("a > b", default=True), edge("a > c", default=True))
    assert errors(source) == [("/edges/1/default", "two_defaults")]


def test_an_error_edge_needs_a_node_that_routes_its_errors() -> None:
    assert errors(graph("a b", edge("a > b", on="error"))) == [("/edges/0/on", "error_edge_unused")]


def test_a_node_that_routes_its_errors_needs_an_error_edge() -> None:
    assert errors(graph([node("a", on_error="route"), "b"], "a > b")) == [("/nodes/0/on_error", "no_error_edge")]


def test_a_second_loop_definition_of_a_node_is_refused() -> None:
    assert ("/loops/1/node", "two_loops") in errors(graph("a", loops=[loop("a"), loop("a")]))
    assert errors(graph("a b", "a > b", "b > a", loops=[loop("b"), loop("b")])) == [("/loops/1/node", "two_loops")]


def test_a_loop_definition_with_several_edges_back_is_refused() -> None:
    source = graph("h m n", "h > m", "m > n", "n > h", "n > m", loops=[loop("n")])
    assert ("/loops/0/node", "several_back_edges") in errors(source)


def test_several_unsound_places_are_reported_together() -> None:
    source = graph(
        [node("s"), node("a", on_error="route"), node("b")],
        "s > a",
        "s > b",
        edge("a > b", default=True),
        edge("b > a", default=True),
        edge("a > s", default=True),
    )
    kinds = {kind for _, kind in errors(source)}
    assert {"two_defaults", "no_error_edge", "irreducible_cycle"} <= kinds


# --- cycles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "pointer"),
    [
        (graph("a b", "a > b", "b > a"), "/edges/1"),
        (graph("a", "a > a"), "/edges/0"),
        (graph("a b c", "a > b", "b > c", "c > b", "c > a"), "/edges/2"),
        (graph("a b c d", "a > b", "a > c", "b > d", "c > d", "d > a"), "/edges/4"),
        (graph("a b", edge("a > b", default=True), "b > a"), "/edges/1"),
        (graph([node("a", route="all"), "b"], "a > b", edge("a > a", **HELD), "b > a"), "/edges/2"),
    ],
)
def test_a_cycle_that_nothing_can_end_is_refused(source: Source, pointer: str) -> None:
    assert (pointer, "endless_cycle") in errors(source)


@pytest.mark.parametrize(
    "source",
    [
        graph("a b", "a > b", "b > a", loops=[loop("b")]),
        graph("a b", "a > b", edge("b > a", **HELD)),
        graph("a b c", "a > b", "b > a", edge("a > c", **HELD), entry_point="a")
        | {"edges": [edge("a > c", **HELD), edge("a > b"), edge("b > a")]},
        graph("a", edge("a > a", **HELD)),
        graph([node("a", on_error="route")], edge("a > a", on="error")),
        graph("a b c", edge("a > b", **HELD), edge("a > c", default=True), "b > a"),
        graph("a", loops=[loop("a")]),
    ],
)
def test_a_cycle_with_a_loop_definition_or_a_condition_on_its_way_is_accepted(source: Source) -> None:
    assert errors(source) == []


def test_a_cycle_with_two_entries_is_refused() -> None:
    source = graph("s a b", "s > a", "s > b", "a > b", edge("b > a", **HELD))
    found = errors(source)
    assert [kind for _, kind in found] == ["irreducible_cycle"]
    assert found[0][0] in ("/edges/2", "/edges/3")


def test_a_cycle_that_no_way_leads_to_is_only_unreachable() -> None:
    source = graph("s a b", "a > b", "b > a")
    assert warned(source) == [("/nodes/1", "unreachable"), ("/nodes/2", "unreachable")]


# --- joins ------------------------------------------------------------------------------------------------------------


def test_a_join_that_waits_for_more_edges_than_there_are_is_refused() -> None:
    source = graph(["s", "a", "b", node("j", join={"n": 3})], "s > a", "s > b", "a > j", "b > j")
    assert errors(source) == [("/nodes/3/join", "unsatisfiable_join")]
    source["nodes"][3]["join"] = {"n": 2}
    assert errors(source) == []


def test_edges_from_one_node_that_takes_the_first_count_once() -> None:
    edges = [edge("s > j", **HELD), edge("s > j", default=True)]
    assert errors(graph(["s", node("j", join={"n": 2})], *edges)) == [("/nodes/1/join", "unsatisfiable_join")]
    assert errors(graph(["s", node("j", join={"n": 2})], "s > j", "s > j")) == []


def test_edges_back_do_not_count_for_a_join() -> None:
    source = graph(["s", node("j", join={"n": 2})], "s > j", edge("j > j", **HELD))
    assert errors(source) == [("/nodes/1/join", "unsatisfiable_join")]


def test_an_entry_with_any_join_is_accepted() -> None:
    assert errors(graph([node("a", join="any")])) == []


# --- warnings ---------------------------------------------------------------------------------------------------------


def test_a_node_that_nothing_leads_to_is_warned_about() -> None:
    (problem,) = warnings(graph("a b c", "a > b"))
    assert (problem.pointer, problem.type) == ("/nodes/2", "unreachable")
    assert "'c'" in problem.detail


def test_a_conditional_route_without_default_is_warned_about() -> None:
    source = graph("a b", edge("a > b", **HELD))
    (problem,) = warnings(source)
    assert (problem.pointer, problem.type) == ("/nodes/0", "no_default")
    assert "the run ends here when no condition holds" in problem.detail
    source["nodes"].append(node("c"))
    source["edges"].append(edge("a > c", default=True))
    assert warnings(source) == []


def test_a_loop_node_without_loop_definition_is_warned_about() -> None:
    assert warned(graph([node("a", type="loop")])) == [("/nodes/0/type", "no_loop_definition")]


def test_a_condition_that_a_loop_definition_overrules_is_warned_about() -> None:
    source = graph("a b", "a > b", edge("b > a", **HELD), loops=[loop("b")])
    assert warned(source) == [("/edges/1/condition", "unused_condition")]


def writers(*edges: str | Source, **keys: Any) -> Source:
    return graph(["s", node("a", tool="tally"), node("b", tool="threshold", config={"limit": 1}), "j"], *edges, **keys)


def test_parallel_tools_that_write_one_key_are_warned_about() -> None:
    (problem,) = warnings(writers("s > a", "s > b", "a > j", "b > j"))
    assert problem.type == "parallel_writers"
    assert problem.pointer in ("/nodes/1", "/nodes/2")
    assert "'a'" in problem.detail
    assert "'b'" in problem.detail
    assert "'flagged'" in problem.detail


@pytest.mark.parametrize(
    "source",
    [
        writers("s > a", "s > b", "a > j", "b > j", reducers={"flagged": "replace"}),
        writers("s > a", "a > b", "b > j"),
        writers(edge("s > a", **HELD), edge("s > b", default=True), "a > j", "b > j"),
    ],
)
def test_writers_with_a_reducer_or_never_parallel_are_not_warned_about(source: Source) -> None:
    assert warned(source) == []


def test_warnings_are_withheld_while_there_are_errors() -> None:
    verdict = judge(graph("a b", edge("a > a", on="error")), FakeTools())
    assert verdict.errors
    assert verdict.warnings == []
