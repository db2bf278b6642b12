"""The verdict on nodes by their type: which keys each takes, and what must be right about them."""

from typing import Any

import pytest

from runtime.errors import Problem
from runtime.graph.checks import judge
from runtime.graph.definition import MAX_NESTING
from runtime.graph.plan import compile_plan
from tests.support.graphs import Source, edge, graph, node
from tests.support.tools import FakeTools

INNER = graph("x y", "x > y")


def errors(source: Any, stored: dict[str, int] | None = None) -> list[Problem]:
    return judge(source, FakeTools(), (stored or {}).get).errors


def found(source: Any, stored: dict[str, int] | None = None) -> set[tuple[str, str]]:
    """Return `(pointer, type)` of every error."""
    return {(problem.pointer, problem.type) for problem in errors(source, stored)}


def typed(kind: str, **keys: Any) -> Source:
    """Return a graph whose second node has this type and these keys."""
    return graph([node("a"), {"name": "b", "type": kind, **keys}], "a > b")


GOOD: list[tuple[str, dict[str, Any]]] = [
    ("wait", {"wait": {"for_s": 0}}),
    ("wait", {"wait": {"until": "2030-01-31T12:00:00Z"}}),
    ("wait", {"wait": {"until_field": "order.due"}}),
    ("wait", {"wait": {"signal": "paid", "timeout_s": 5, "timeout_data": {"a": 1}, "into": "k", "fresh": True}}),
    ("approval", {"approval": {"prompt": "Ship it?"}}),
    (
        "approval",
        {"approval": {"prompt": "?", "answer_schema": {"type": "boolean"}, "timeout_s": 1, "timeout_answer": False}},
    ),
    ("graph", {"graph": INNER, "input": {"k": "a.b"}, "output": {"r": "c"}, "timeout_s": 5}),
    ("map", {"map": {"items": "rows"}, "tool": "work", "config": {}, "retry": {"max_attempts": 2}}),
    ("map", {"map": {"items": [1, 2], "as": "row", "concurrency": 2, "mode": "collect"}, "graph": INNER}),
    ("map", {"map": {"items": "rows", "until": {"field": "completed", "operator": ">=", "value": 2}}, "tool": "work"}),
    ("end", {}),
]


@pytest.mark.parametrize(("kind", "keys"), GOOD)
def test_each_type_takes_its_keys(kind: str, keys: dict[str, Any]) -> None:
    verdict = judge(typed(kind, **keys), FakeTools())
    assert (verdict.errors, verdict.warnings) == ([], [])
    assert verdict.definition is not None
    plan = compile_plan(verdict.definition, "graph-1", verdict.shape)
    assert plan.nodes[1].kind == kind


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("wait", {}, "/wait", "missing_key"),
    ("wait", {"wait": {}}, "/wait", "invalid_value"),
    ("wait", {"wait": {"for_s": 1, "signal": "s"}}, "/wait", "invalid_value"),
    ("wait", {"wait": {"for_s": 1, "into": "k"}}, "/wait", "invalid_value"),
    ("wait", {"wait": {"for_s": -1}}, "/wait/for_s", "invalid_value"),
    ("wait", {"wait": {"until": "tomorrow"}}, "/wait/until", "invalid_value"),
    ("wait", {"wait": {"until": "2030-01-31T12:00:00"}}, "/wait/until", "invalid_value"),
    ("wait", {"wait": {"until_field": "a..b"}}, "/wait/until_field", "invalid_value"),
    ("wait", {"wait": {"signal": "s", "timeout_data": 1}}, "/wait", "invalid_value"),
    ("wait", {"wait": {"sginal": "s"}}, "/wait/sginal", "unknown_key"),
    ("wait", {"wait": {"for_s": 1}, "tool": "work"}, "/tool", "key_of_other_type"),
    ("wait", {"wait": {"for_s": 1}, "timeout_s": 3}, "/timeout_s", "key_of_other_type"),
    ("approval", {}, "/approval", "missing_key"),
    ("approval", {"approval": {"prompt": ""}}, "/approval/prompt", "invalid_value"),
    (
        "approval",
        {"approval": {"prompt": "?", "answer_schema": {"type": "bool"}}},
        "/approval/answer_schema/type",
        "invalid_schema",
    ),
    ("approval", {"approval": {"prompt": "?", "timeout_answer": 1}}, "/approval", "invalid_value"),
    ("graph", {}, "/graph", "missing_key"),
    ("graph", {"graph": "graph-0"}, "/graph", "unknown_graph"),
    ("graph", {"graph": {"name": "g", "nodes": [], "entry_point": "x"}}, "/graph/nodes", "no_node"),
    ("graph", {"graph": graph([node("x", tool="wrok")])}, "/graph/nodes/0/tool", "unknown_tool"),
    ("graph", {"graph": INNER, "retry": {"max_attempts": 2}}, "/retry", "key_of_other_type"),
    ("graph", {"graph": INNER, "input": {"k": ""}}, "/input/k", "invalid_value"),
    ("map", {"tool": "work"}, "/map", "missing_key"),
    ("map", {"map": {"items": "rows"}}, "", "tool_or_graph"),
    ("map", {"map": {"items": "rows"}, "tool": "work", "graph": INNER}, "", "tool_or_graph"),
    ("map", {"map": {"items": "rows"}, "graph": INNER, "retry": {}}, "/retry", "key_of_other_type"),
    ("map", {"map": {"items": "rows", "concurrency": 0}, "tool": "work"}, "/map/concurrency", "invalid_value"),
    ("map", {"map": {"items": "rows", "until": {"field": "x"}}, "tool": "work"}, "/map/until", "missing_key"),
    ("map", {"map": {"items": "rows"}, "tool": "wrok"}, "/tool", "unknown_tool"),
    ("end", {"tool": "work"}, "/tool", "key_of_other_type"),
    ("standard", {"tool": "work", "wait": {"for_s": 1}}, "/wait", "key_of_other_type"),
    ("standard", {"tool": "work", "cancel_losers": True}, "/cancel_losers", "unused_cancel_losers"),
]


@pytest.mark.parametrize(("kind", "keys", "pointer", "word"), BAD)
def test_a_wrong_key_is_refused_at_its_place(kind: str, keys: dict[str, Any], pointer: str, word: str) -> None:
    assert (f"/nodes/1{pointer}", word) in found(typed(kind, **keys))


def test_a_stored_graph_is_found_by_its_id() -> None:
    assert found(typed("graph", graph="graph-1"), {"graph-1": 0}) == set()


def test_graphs_nest_only_so_deep() -> None:
    source = INNER
    for _ in range(MAX_NESTING):
        source = graph([{"name": "s", "type": "graph", "graph": source}])
    assert found(source) == set()
    deeper = graph([{"name": "s", "type": "graph", "graph": source}])
    assert found(deeper) == {("/nodes/0/graph" * (MAX_NESTING + 1), "too_deep")}
    assert found(typed("graph", graph="graph-1"), {"graph-1": MAX_NESTING - 1}) == set()
    assert found(typed("graph", graph="graph-1"), {"graph-1": MAX_NESTING}) == {("/nodes/1/graph", "too_deep")}


def test_an_inline_graph_that_cannot_be_read_is_one_problem_of_that_graph() -> None:
    assert found(typed("graph", graph={"nodes": 3})) >= {("/nodes/1/graph/nodes", "invalid_value")}
    assert found(typed("graph", graph=[1])) == {("/nodes/1/graph", "invalid_value")}


def test_nothing_comes_after_an_end_node() -> None:
    source = graph([node("a"), {"name": "b", "type": "end"}, node("c")], "a > b", "b > c")
    assert found(source) == {("/edges/1/from_node", "edge_from_end")}


def test_finally_nodes_stand_alone() -> None:
    nodes = [node("a"), node("b"), node("c"), {"name": "w", "type": "wait", "wait": {"for_s": 1}}]
    assert found(graph(nodes, "a > b", **{"finally": ["c"]})) == set()
    assert found(graph(nodes, "a > b", **{"finally": ["b"]})) == {("/finally/0", "finally_with_edges")}
    assert found(graph(nodes, "a > b", **{"finally": ["a"]})) == {("/finally/0", "finally_with_edges")}
    assert found(graph(nodes, "a > b", **{"finally": ["c", "c"]})) == {("/finally/1", "duplicate_name")}
    assert found(graph(nodes, "a > b", **{"finally": ["w"]})) == {("/finally/0", "finally_type")}
    assert found(graph(nodes, "a > b", **{"finally": ["d"]})) == {("/finally/0", "unknown_node")}


def test_a_finally_node_is_not_called_unreachable() -> None:
    verdict = judge(graph("a b", **{"finally": ["b"]}), FakeTools())
    assert verdict.warnings == []


def losers(source: Source) -> dict[str, set[str]]:
    """Return the losers of each join, by name."""
    verdict = judge(source, FakeTools())
    assert verdict.definition is not None, verdict.errors
    plan = compile_plan(verdict.definition, "graph-1", verdict.shape)
    names = [n.name for n in plan.nodes]
    return {n.name: {names[i] for i in n.losers} for n in plan.nodes if n.losers}


def test_losers_are_those_that_lead_nowhere_but_to_the_join() -> None:
    join = node("j", join="any", cancel_losers=True)
    source = graph(
        [node("s"), node("a"), node("b"), node("c"), join, node("z")],
        "s > a",
        "s > b",
        "a > c",
        "c > j",
        "b > j",
        "j > z",
    )
    assert losers(source) == {"j": {"s", "a", "b", "c"}}
    source["edges"].append(edge("b > z"))
    assert losers(source) == {"j": {"a", "c"}}


def test_a_loop_loses_as_a_whole_or_not_at_all() -> None:
    join = node("j", join="any", cancel_losers=True)
    nodes = [node("s"), node("h"), node("t"), node("b"), join, node("z")]
    source = graph(
        nodes,
        "s > h",
        "s > b",
        "h > t",
        edge("t > h", condition={"field": "x", "operator": "==", "value": 1}),
        edge("t > j", default=True),
        "b > j",
    )
    assert losers(source) == {"j": {"s", "h", "t", "b"}}
    source["edges"].append(edge("h > z"))
    assert losers(source) == {"j": {"b"}}
