"""Which edges a node takes, and which nodes run, are skipped, or come too late."""

from typing import Any

import pytest

from tests.support.driver import Driver, default_policies, drive, fail, nothing, ok, updates
from tests.support.graphs import Source, edge, graph, leaf, node, planned, when


def run(source: Source, **initial: Any) -> Driver:
    return drive(planned(source), initial=initial)


def names(driver: Driver) -> str:
    return " ".join(name for name, _ in driver.started())


def skipped(driver: Driver) -> list[str]:
    return [record.node for record in driver.of("step_skipped")]


CHOICE = [edge("a > d", default=True), edge("a > b", **when("x", ">=", 5)), edge("a > c", **when("x", ">=", 3))]


@pytest.mark.parametrize(("x", "taken"), [(9, "a b"), (3, "a c"), (1, "a d")])
def test_first_takes_the_first_edge_that_holds_and_the_default_last_wherever_it_stands(x: int, taken: str) -> None:
    assert names(run(graph("a b c d", *CHOICE), x=x)) == taken


@pytest.mark.parametrize(("x", "taken"), [(9, "a b c"), (3, "a c"), (1, "a d")])
def test_all_takes_every_edge_that_holds_and_the_default_if_none_does(x: int, taken: str) -> None:
    driver = run(graph([node("a", route="all"), "b", "c", "d"], *CHOICE), x=x)
    assert sorted(names(driver).split()) == taken.split()


def test_routing_sees_the_update_of_the_node_itself() -> None:
    driver = drive(planned(graph("a b c d", *CHOICE)), updates({"a": {"x": 5}}), initial={"x": 0})
    assert names(driver) == "a b"


def test_a_path_without_a_match_ends_cleanly_and_says_what_it_saw() -> None:
    driver = run(graph("a b c", edge("a > b", **when("x", ">", 1)), edge("a > c", **when("y", "==", 1))), x=0)
    (record,) = driver.of("route_unmatched")
    assert driver.run.status == "completed"
    assert record.operands == [
        {"field": "x", "operator": ">", "value": 1, "actual": 0, "holds": False},
        {"field": "y", "operator": "==", "value": 1, "missing": True, "holds": False},
    ]
    assert skipped(driver) == ["b", "c"]


def test_on_unmatched_fail_is_a_failure_without_a_route() -> None:
    driver = run(graph([node("a", on_unmatched="fail"), "b"], edge("a > b", **when("x", "==", 1))))
    assert driver.run.status == "failed"
    assert driver.of("run_failed")[0].error.code == "NO_ROUTE"
    assert driver.of("run_failed")[0].node == "a"


def test_a_condition_on_a_wrong_type_fails_the_run() -> None:
    driver = run(graph("a b", edge("a > b", **when("x", ">", 1))), x="many")
    assert driver.of("run_failing")[0].error.code == "CONDITION_ERROR"
    assert driver.run.status == "failed"


def test_a_conditional_node_without_a_tool_only_routes() -> None:
    source = graph(
        [node("a"), node("q", type="conditional", tool=None), "b"], "a > q", edge("q > b", **when("x", "==", 1))
    )
    driver = run(source, x=1)
    assert names(driver) == "a q b"
    assert [call.node for call in driver.calls] == ["a", "b"]


def test_dead_paths_spread_until_a_join_that_has_another_way() -> None:
    source = graph(
        "a b c d j", edge("a > b", **when("x", "==", 1)), edge("a > d", default=True), "b > c", "c > j", "d > j"
    )
    driver = run(source)
    assert names(driver) == "a d j"
    assert skipped(driver) == ["b", "c"]


def test_a_join_of_all_waits_for_every_branch() -> None:
    driver = Driver(plan := planned(graph("s a b j", "s > a", "s > b", "a > j", "b > j")), default_policies(plan))
    driver.begin()
    driver.end("s", ok())
    driver.end("b", ok(b=1))
    assert names(driver) == "s a b"
    driver.end("a", ok(a=1))
    assert driver.input_of("j") == {"a": 1, "b": 1}


def test_a_slow_branch_never_holds_a_fast_one() -> None:
    driver = Driver(plan := planned(graph("s a b c d", "s > a", "s > b", "b > c", "c > d")), default_policies(plan))
    driver.begin()
    for name in ("s", "b", "c", "d"):
        driver.end(name, ok())
    assert driver.started()[-1] == ("d", 1)
    assert driver.run.status == "running"


def test_a_join_of_any_runs_at_the_first_edge_and_records_the_later_one() -> None:
    source = graph(["s", "a", "b", node("j", join="any")], "s > a", "s > b", "a > j", "b > j")
    driver = Driver(plan := planned(source), default_policies(plan))
    driver.begin()
    driver.end("s", ok())
    driver.end("b", ok(b=1))
    assert driver.input_of("j") == {"b": 1}
    driver.end("a", ok(a=1))
    assert [record.late for record in driver.of("edge_taken") if record.node == "a"] == [True]
    driver.end("j", ok())
    assert driver.run.status == "completed"
    assert driver.started().count(("j", 1)) == 1
    assert driver.state == {"a": 1, "b": 1}


def test_a_join_of_n_runs_at_the_nth_edge() -> None:
    source = graph(
        ["s", "a", "b", "c", node("j", join={"n": 2})], *(f"s > {x}" for x in "abc"), *(f"{x} > j" for x in "abc")
    )
    driver = Driver(plan := planned(source), default_policies(plan))
    driver.begin()
    driver.end("s", ok())
    driver.end("c", ok(c=1))
    assert ("j", 1) not in driver.started()
    driver.end("a", ok(a=1))
    assert driver.input_of("j") == {"a": 1, "c": 1}
    driver.end("b", ok())
    driver.end("j", ok())
    assert driver.run.status == "completed"


def test_a_join_of_n_with_too_few_taken_edges_is_skipped() -> None:
    source = graph(
        ["s", "a", "b", node("j", join={"n": 2}), "k"],
        "s > a",
        "s > b",
        "a > j",
        edge("b > j", **when("x", "==", 1)),
        "j > k",
    )
    driver = run(source)
    assert skipped(driver) == ["j", "k"]
    assert "1 of 2" in driver.of("step_skipped")[0].reason
    assert driver.run.status == "completed"


def test_a_failure_that_is_routed_takes_the_error_edges_only() -> None:
    source = graph([node("a", on_error="route"), "b", "c"], "a > b", edge("a > c", on="error"))
    failed = drive(planned(source), lambda call: fail() if call.node == "a" else nothing(call))
    assert names(failed) == "a c"
    assert failed.of("step_failed")[0].handled == "route"
    assert failed.run.status == "completed"
    assert names(run(source)) == "a b"


def test_a_failure_that_is_passed_over_goes_on_without_an_update() -> None:
    driver = drive(
        planned(graph([node("a", on_error="continue"), "b"], "a > b")), lambda c: fail() if c.node == "a" else ok()
    )
    assert names(driver) == "a b"
    assert driver.run.status == "completed"
    assert driver.of("step_failed")[0].handled == "continue"


def test_the_edges_say_what_their_conditions_saw() -> None:
    driver = run(graph("a b c", edge("a > b", condition={"not": leaf("x", "==", 1)}), edge("a > c", default=True)), x=2)
    (taken,) = driver.of("edge_taken")
    assert taken.operands == [{"field": "x", "operator": "==", "value": 1, "actual": 2, "holds": False}]
    assert [(r.to_node, r.reason) for r in driver.of("edge_dead")] == [("c", "default_unused")]
