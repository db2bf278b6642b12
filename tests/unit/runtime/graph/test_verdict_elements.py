"""The verdict on single elements: shapes, names, tools, conditions. Every fault has a place, a kind and the nearest name."""

from typing import Any

import pytest

from runtime.errors import Problem
from runtime.graph.checks import judge
from runtime.graph.node_types import nearest
from tests.support.graphs import Source, edge, graph, leaf, loop, node
from tests.support.tools import FakeTools


def errors(source: Any) -> list[Problem]:
    verdict = judge(source, FakeTools())
    assert verdict.warnings == [] or not verdict.errors
    return verdict.errors


def found(source: Any) -> set[tuple[str, str]]:
    """Return `(pointer, type)` of every error."""
    return {(problem.pointer, problem.type) for problem in errors(source)}


def only(source: Any) -> Problem:
    (problem,) = errors(source)
    return problem


def with_node(**keys: Any) -> Source:
    return graph([node("a"), node("b", **keys)], "a > b")


@pytest.mark.parametrize("source", [None, [], "graph", 3, True])
def test_a_graph_that_is_no_object_is_refused(source: Any) -> None:
    assert only(source) == Problem(
        "", "A graph is a JSON object with name, nodes, edges and entry_point.", "invalid_graph"
    )


def test_a_documented_graph_is_accepted_without_remarks() -> None:
    verdict = judge(graph("a b", "a > b"), FakeTools())
    assert (verdict.errors, verdict.warnings) == ([], [])
    assert verdict.definition is not None
    assert [n.name for n in verdict.definition.nodes] == ["a", "b"]


def test_null_for_an_optional_key_means_leaving_it_out() -> None:
    nulls = dict.fromkeys(("config", "description", "route", "join", "retry", "timeout_s", "on_error"))
    source = {
        **graph([node("a", **nulls), node("b")], {**edge("a > b"), "condition": None, "default": None, "on": None}),
        **dict.fromkeys(("description", "loops", "reducers", "limits", "input_schema")),
    }
    assert errors(source) == []


def test_null_for_a_required_key_is_refused() -> None:
    assert found({**graph("a"), "name": None, "entry_point": None}) == {
        ("/name", "invalid_value"),
        ("/entry_point", "invalid_value"),
    }


def test_an_empty_object_lacks_name_nodes_and_entry_point() -> None:
    assert found({}) == {("/name", "missing_key"), ("/nodes", "no_node"), ("/entry_point", "missing_key")}


def test_a_graph_without_nodes_is_refused() -> None:
    assert ("/nodes", "no_node") in found(graph([]))


@pytest.mark.parametrize("key", ["nodes", "edges", "loops"])
def test_a_list_of_another_type_is_refused_once(key: str) -> None:
    assert (f"/{key}", "invalid_value") in found({**graph("a"), key: {"a": 1}})


@pytest.mark.parametrize(("typo", "meant"), [("entrypoint", "entry_point"), ("node", "nodes"), ("reducer", "reducers")])
def test_an_unknown_key_of_the_graph_names_the_nearest(typo: str, meant: str) -> None:
    problem = only({**graph("a"), typo: 1})
    assert (problem.pointer, problem.type) == (f"/{typo}", "unknown_key")
    assert f"Did you mean {meant!r}?" in problem.detail


def test_an_unknown_key_of_a_node_names_the_nearest() -> None:
    problem = only(with_node(on_eror="route"))
    assert (problem.pointer, problem.type) == ("/nodes/1/on_eror", "unknown_key")
    assert "Did you mean 'on_error'?" in problem.detail


def test_an_unknown_key_is_escaped_in_its_pointer() -> None:
    assert found({**graph("a"), "x/y~z": 1}) == {("/x~1y~0z", "unknown_key")}


@pytest.mark.parametrize(
    ("keys", "pointer"),
    [
        ({"route": "some"}, "/nodes/1/route"),
        ({"on_error": "ignore"}, "/nodes/1/on_error"),
        ({"on_unmatched": "stop"}, "/nodes/1/on_unmatched"),
        ({"timeout_s": 0}, "/nodes/1/timeout_s"),
        ({"timeout_s": "5"}, "/nodes/1/timeout_s"),
        ({"config": []}, "/nodes/1/config"),
        ({"tool": ""}, "/nodes/1/tool"),
        ({"retry": {"max_attempts": 0}}, "/nodes/1/retry/max_attempts"),
        ({"retry": {"max_attempts": 26}}, "/nodes/1/retry/max_attempts"),
        ({"retry": {"factor": 0.5}}, "/nodes/1/retry/factor"),
        ({"retry": {"jitter": "half"}}, "/nodes/1/retry/jitter"),
        ({"join": {"n": 0}}, "/nodes/1/join/n"),
    ],
)
def test_a_node_key_out_of_range_is_refused_at_its_place(keys: Source, pointer: str) -> None:
    assert (pointer, "invalid_value") in found(with_node(**keys))


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "a\x00", 7, None])
def test_a_node_name_that_cannot_be_shown_is_refused(name: Any) -> None:
    source = graph("a")
    source["nodes"].append({"name": name, "tool": "work"})
    assert ("/nodes/1/name", "invalid_value") in found(source)


@pytest.mark.parametrize(
    ("limits", "pointer"),
    [
        ({"max_steps": 0}, "/limits/max_steps"),
        ({"max_steps": 1_000_001}, "/limits/max_steps"),
        ({"timeout_s": 0}, "/limits/timeout_s"),
        ({"timeout_s": 31 * 86_400}, "/limits/timeout_s"),
        ({"max_step": 5}, "/limits/max_step"),
    ],
)
def test_limits_out_of_range_are_refused(limits: Source, pointer: str) -> None:
    assert {place for place, _ in found(graph("a", limits=limits))} == {pointer}


@pytest.mark.parametrize("count", [0, 10_001, "3", 2.5])
def test_max_iterations_out_of_range_is_refused(count: Any) -> None:
    assert found(graph("a", loops=[loop("a", max_iterations=count)])) == {("/loops/0/max_iterations", "invalid_value")}


@pytest.mark.parametrize(("key", "count"), [("nodes", 10_001), ("edges", 50_001), ("loops", 10_001)])
def test_more_elements_than_allowed_are_refused_by_their_number(key: str, count: int) -> None:
    source = {**graph("a"), key: [{"anything": 1}] * count}
    (problem,) = [problem for problem in errors(source) if problem.type == "limit"]
    assert problem.pointer == f"/{key}"
    assert str(count) in problem.detail


def test_a_duplicate_name_is_refused_at_each_repetition() -> None:
    assert found(graph("a b a a")) == {("/nodes/2/name", "duplicate_name"), ("/nodes/3/name", "duplicate_name")}


def test_dangling_names_propose_the_nearest() -> None:
    source = graph("alpha beta", "alpha > bet", loops=[loop("beto")], entry_point="alfa")
    source["edges"].append(edge("quite_different > beta"))
    problems = {problem.pointer: problem for problem in errors(source)}
    assert {problem.type for problem in problems.values()} == {"unknown_node"}
    assert "Did you mean 'beta'?" in problems["/edges/0/to_node"].detail
    assert "Did you mean 'alpha'?" in problems["/entry_point"].detail
    assert "Did you mean 'beta'?" in problems["/loops/0/node"].detail
    assert problems["/edges/1/from_node"].detail == "There is no node 'quite_different'."


def test_a_missing_entry_point_is_refused() -> None:
    source = graph("a")
    del source["entry_point"]
    assert found(source) == {("/entry_point", "missing_key")}


@pytest.mark.parametrize("reference", ["wrok", "wrok@1", "work@7"])
def test_an_unknown_tool_proposes_the_nearest(reference: str) -> None:
    problem = only(with_node(tool=reference))
    assert (problem.pointer, problem.type) == ("/nodes/1/tool", "unknown_tool")
    assert repr(reference) in problem.detail
    assert "Did you mean 'work'?" in problem.detail


def test_an_unknown_tool_without_a_near_name_says_where_to_look() -> None:
    assert "GET /api/tools" in only(with_node(tool="zzzzzz")).detail


@pytest.mark.parametrize("kind", ["standard", "loop"])
def test_only_a_conditional_node_may_leave_its_tool_out(kind: str) -> None:
    assert found(with_node(tool=None, type=kind)) == {("/nodes/1/tool", "missing_key")}
    assert found(with_node(tool=None, type="conditional")) == set()


def test_a_config_without_a_tool_is_refused() -> None:
    assert found(with_node(tool=None, type="conditional", config={"limit": 1})) == {
        ("/nodes/1/config", "unused_config")
    }


def test_every_fault_of_a_config_is_found_against_the_tools_parameters() -> None:
    problems = errors(with_node(tool="threshold@1.2", config={"limit": "3", "lable": "x"}))
    assert {(problem.pointer, problem.type) for problem in problems} == {
        ("/nodes/1/config/limit", "invalid_config"),
        ("/nodes/1/config/lable", "invalid_config"),
    }
    assert any("Did you mean 'label'?" in problem.detail for problem in problems)
    assert found(with_node(tool="threshold")) == {("/nodes/1/config/limit", "invalid_config")}
    assert found(with_node(tool="threshold", config={"limit": 3})) == set()


def test_an_unknown_node_type_names_the_nearest() -> None:
    assert "Did you mean 'conditional'?" in only(with_node(type="condition")).detail
    assert only(with_node(type="qqq")).detail.endswith(
        "There are: standard, conditional, loop, wait, approval, graph, map, end."
    )


def test_an_unknown_reducer_names_the_nearest() -> None:
    problem = only(graph("a", reducers={"k": "apend"}))
    assert (problem.pointer, problem.type) == ("/reducers/k", "unknown_reducer")
    assert "Did you mean 'append'?" in problem.detail


def test_a_default_edge_with_a_condition_or_for_errors_is_refused() -> None:
    source = graph("a b", edge("a > b", default=True, condition=leaf("x", "==", 1)))
    assert found(source) == {("/edges/0/default", "default_with_condition")}
    source = graph([node("a", on_error="route"), node("b")], edge("a > b", default=True, on="error"))
    assert found(source) == {("/edges/0/default", "default_on_error")}


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [({"type": "objekt"}, "/input_schema/type"), ({"properties": {"a": 3}}, "/input_schema/properties/a")],
)
def test_an_input_schema_that_is_none_is_refused_at_its_fault(schema: Source, pointer: str) -> None:
    assert found(graph("a", input_schema=schema)) == {(pointer, "invalid_schema")}


def test_all_faults_are_reported_at_once_next_to_a_node_that_cannot_be_read() -> None:
    source = graph(
        [node("a"), {"nam": "b", "tool": "work"}, node("c", tool="wrok"), 17, node("a", type="map")],
        "a > c",
        edge("a > zz", condition=leaf("x", "=>", 1)),
        edge("c > a", condition={"all": []}, default=True),
        loops=[{"node": "cc"}],
        reducers={"k": "add"},
        entry_point="aa",
        limits={"max_steps": 0},
        extra=1,
    )
    assert found(source) >= {
        ("/nodes/1/nam", "unknown_key"),
        ("/nodes/1/name", "missing_key"),
        ("/nodes/2/tool", "unknown_tool"),
        ("/nodes/3", "invalid_value"),
        ("/nodes/4/name", "duplicate_name"),
        ("/nodes/4/map", "missing_key"),
        ("/edges/1/to_node", "unknown_node"),
        ("/edges/1/condition/operator", "unknown_operator"),
        ("/edges/2/condition/all", "invalid_condition"),
        ("/edges/2/default", "default_with_condition"),
        ("/loops/0/condition", "missing_key"),
        ("/entry_point", "unknown_node"),
        ("/limits/max_steps", "invalid_value"),
        ("/extra", "unknown_key"),
    }


def test_edges_to_a_node_that_is_broken_elsewhere_are_not_blamed() -> None:
    assert found(with_node(timeout_s=-1)) == {("/nodes/1/timeout_s", "invalid_value")}


def test_nearest_is_silent_where_nothing_is_near() -> None:
    assert nearest("abc", ["abd"]) == " Did you mean 'abd'?"
    assert nearest("abc", ["xyz"]) == ""
