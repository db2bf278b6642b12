"""The compiled plan: what the machine relies on, also for graphs as large as allowed."""

import itertools
import time

from runtime.graph.checks import judge
from runtime.graph.plan import ROOT, compile_plan
from tests.support.graphs import Source, edge, graph, loop, node, planned, when
from tests.support.tools import FakeTools


def test_routes_are_first_with_a_condition_and_all_without_unless_set() -> None:
    conditional = [edge("a > b", **when("x", "==", 1)), edge("a > c")]
    assert planned(graph("a b c", *conditional)).nodes[0].takes_first
    assert not planned(graph("a b c", "a > b", "a > c")).nodes[0].takes_first
    assert not planned(graph([node("a", route="all"), "b", "c"], *conditional)).nodes[0].takes_first
    assert planned(graph([node("a", route="first"), "b", "c"], "a > b", "a > c")).nodes[0].takes_first


def test_a_condition_on_an_error_edge_does_not_change_the_route() -> None:
    source = graph(
        [node("a", on_error="route"), "b", "c"], "a > b", "a > c", edge("a > b", on="error", **when("x", "==", 1))
    )
    assert not planned(source).nodes[0].takes_first


def test_a_loop_definition_takes_the_edge_back_or_an_edge_past_the_last() -> None:
    plan = planned(graph("a b", "a > b", "b > a", loops=[loop("b", max_iterations=3)]))
    rule = plan.nodes[1].loop
    assert rule is not None
    assert (rule.back_edge, rule.max_iterations) == (1, 3)
    assert plan.scopes[rule.scope].label == "b"
    plan = planned(graph("a b", "a > b", loops=[loop("b")]))
    rule = plan.nodes[1].loop
    assert rule is not None
    assert rule.back_edge == 1
    assert (plan.edges[1].source, plan.edges[1].target) == (1, 1)


def test_an_edge_knows_the_loops_it_leaves_and_the_one_it_repeats() -> None:
    source = graph("o i x", "o > i", edge("i > i", **when("g", "==", 1)), edge("i > o", **when("h", "==", 1)), "i > x")
    plan = planned(source)
    outer, inner = plan.scopes[1], plan.scopes[2]
    assert (outer.header, inner.header) == (0, 1)
    assert outer.inner == (2,)
    assert [e.exits for e in plan.edges] == [(), (), (2,), (2, 1)]
    assert [e.back_to for e in plan.edges] == [None, 2, 1, None]
    assert [e.scope for e in plan.edges] == [1, 2, 1, ROOT]
    assert inner.chain == (2, 1, ROOT)


def test_edges_from_unreachable_nodes_are_not_waited_for() -> None:
    plan = planned(graph("a b c", "a > b", "c > b"))
    assert plan.undecided == (0, 1, 0)
    assert plan.nodes[1].in_edges == (0,)


def test_the_entry_may_stand_anywhere_in_the_list() -> None:
    plan = planned(graph("b a", "a > b", entry_point="a"))
    assert plan.entry == 1
    assert plan.index_of == {"b": 0, "a": 1}


def chain(size: int, **keys: object) -> Source:
    names = [f"n{i}" for i in range(size)]
    edges = [f"{left} > {right}" for left, right in itertools.pairwise(names)]
    return graph([node(name) for name in names], *edges, **keys)


def test_a_chain_of_ten_thousand_nodes_is_judged_and_compiled() -> None:
    started = time.perf_counter()
    verdict = judge(chain(10_000), FakeTools())
    assert verdict.errors == []
    assert verdict.warnings == []
    assert verdict.definition is not None
    assert len(compile_plan(verdict.definition, "g").nodes) == 10_000
    assert time.perf_counter() - started < 20, "the verdict is no longer linear in the length of a chain"


def test_ten_thousand_nodes_in_one_loop_are_judged_and_compiled() -> None:
    source = chain(10_000, loops=[loop("n9999")])
    source["edges"].append(edge("n9999 > n0"))
    assert len(planned(source).scopes[1].body) == 10_000
