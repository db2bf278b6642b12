"""Loops at work: when they go on, when they are over, what leaves them, how iterations are numbered."""

from typing import Any

import pytest

from runtime.run.messages import Succeeded
from tests.support.driver import Call, Driver, default_policies, drive, fail, nothing, ok
from tests.support.graphs import Source, edge, graph, leaf, loop, node, planned, when


def counter(call: Call) -> Succeeded:
    """Count the runs of a node in the key that has its name."""
    return ok(**{call.node: call.state.get(call.node, 0) + 1})


def run(source: Source, **initial: Any) -> Driver:
    driver = drive(planned(source), counter, initial=initial)
    assert driver.run.status == "completed"
    return driver


def body(*further: Source, **keys: Any) -> Source:
    """Return the graph h > n > x whose loop on n goes back to h."""
    return graph("h n x", "h > n", "n > h", "n > x", *further, loops=[loop("n", **keys)])


def test_a_loop_goes_on_until_its_condition_holds() -> None:
    driver = run(body(condition=leaf("n", ">=", 3), max_iterations=9))
    assert driver.started() == [("h", 1), ("n", 1), ("h", 2), ("n", 2), ("h", 3), ("n", 3), ("x", 1)]
    assert [(r.iteration, r.entered) for r in driver.of("loop_iteration")] == [(2, 2), (3, 3)]
    assert [(r.node, r.iteration, r.entered) for r in driver.of("loop_completed")] == [("n", 3, 3)]
    assert driver.of("loop_exhausted") == []


def test_a_loop_whose_condition_holds_at_once_runs_its_body_once() -> None:
    assert run(body(condition=leaf("n", ">=", 1))).started() == [("h", 1), ("n", 1), ("x", 1)]


def test_a_loop_at_its_cap_goes_on_behind_it_with_a_warning() -> None:
    driver = run(body(max_iterations=2))
    assert driver.started()[-1] == ("x", 1)
    (record,) = driver.of("loop_exhausted")
    assert (record.node, record.iteration, record.max_iterations, record.level) == ("n", 2, 2, "warning")
    assert record.operands[0]["missing"] is True


def test_a_loop_at_its_cap_fails_where_it_is_told_to() -> None:
    driver = drive(planned(body(max_iterations=2, on_max="fail")))
    assert driver.run.status == "failed"
    assert driver.of("run_failed")[0].error.code == "LOOP_EXHAUSTED"
    assert ("x", 1) not in driver.started()


def test_a_loop_caps_at_ten_iterations_unless_told_otherwise() -> None:
    assert run(graph("a", loops=[loop("a")])).state == {"a": 10}


def test_a_loop_definition_without_an_edge_back_repeats_its_node() -> None:
    driver = run(graph("a b c", "a > b", "b > c", loops=[loop("b", condition=leaf("b", "==", 3))]))
    assert driver.started() == [("a", 1), ("b", 1), ("b", 2), ("b", 3), ("c", 1)]
    assert [r.edge for r in driver.of("edge_taken") if r.to_node == "b"] == [0, 2, 2]


def test_only_the_edge_back_is_taken_while_a_loop_goes_on() -> None:
    driver = run(body(condition=leaf("n", "==", 2)))
    reasons = [(r.iteration, r.to_node, r.reason) for r in driver.of("edge_dead") if r.node == "n"]
    assert reasons == [(1, "x", "loop_goes_on")]


def test_the_other_nodes_of_a_body_are_skipped_while_the_loop_goes_on() -> None:
    source = graph(
        "h n b", "h > n", "n > h", "n > b", edge("b > h", **when("never", "==", 1)), loops=[loop("n", max_iterations=3)]
    )
    driver = run(source)
    assert [(r.node, r.iteration) for r in driver.of("step_skipped")] == [("b", 1), ("b", 2)]
    assert driver.started()[-1] == ("b", 3)


def test_an_iteration_waits_for_every_branch_inside() -> None:
    source = graph("h a b j", "h > a", "h > b", "a > j", "b > j", "j > h", loops=[loop("j", max_iterations=2)])
    for seed in range(10):
        driver = drive(planned(source), seed=seed)
        assert sorted(driver.started()) == sorted((name, i) for name in "habj" for i in (1, 2))


def test_an_edge_that_leaves_a_loop_is_held_until_the_loop_is_over() -> None:
    source = graph([node("h", route="all"), "n", "x"], "h > n", "n > h", "h > x", loops=[loop("n", max_iterations=3)])
    driver = run(source)
    assert driver.started()[-1] == ("x", 1)
    assert driver.input_of("x") == {"h": 3, "n": 2}


def test_a_held_edge_counts_as_taken_if_it_ever_was() -> None:
    source = graph(
        [node("h", route="all"), "n", "x"],
        "h > n",
        "n > h",
        edge("h > x", **when("h", "==", 2)),
        loops=[loop("n", max_iterations=4)],
    )
    driver = run(source)
    assert driver.input_of("x") == {"h": 2, "n": 1}
    assert driver.started().count(("x", 1)) == 1


def test_a_conditional_edge_back_needs_no_loop_definition() -> None:
    driver = run(graph("a b c", "a > b", edge("b > a", **when("b", "<", 3)), edge("b > c", default=True)))
    assert driver.started() == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3), ("b", 3), ("c", 1)]


def test_iterations_of_an_inner_loop_count_on_when_the_outer_loop_enters_it_again() -> None:
    source = graph("o i x", "o > i", "i > x", "x > o", loops=[loop("i", max_iterations=2), loop("x", max_iterations=2)])
    driver = run(source)
    assert driver.started() == [("o", 1), ("i", 1), ("i", 2), ("x", 1), ("o", 2), ("i", 3), ("i", 4), ("x", 2)]
    assert [(r.node, r.iteration, r.entered) for r in driver.of("loop_completed")] == [
        ("i", 2, 2),
        ("i", 4, 2),
        ("x", 2, 2),
    ]


def test_a_self_edge_repeats_inside_the_loop_that_its_node_heads() -> None:
    first = leaf("h", "==", 2)
    source = graph(
        "h n", "h > n", "n > h", loops=[loop("h", condition=first, max_iterations=5), loop("n", max_iterations=2)]
    )
    driver = drive(planned(source), lambda c: ok(h=c.state.get("h", 0) + 1) if c.node == "h" else ok(h=0))
    assert driver.started() == [("h", 1), ("h", 2), ("n", 1), ("h", 3), ("h", 4), ("n", 2)]


def test_an_edge_back_to_the_outer_loop_waits_for_the_inner_one() -> None:
    source = graph(
        [node("o"), node("i", route="all")],
        "o > i",
        edge("i > i", **when("i", "<", 3)),
        edge("i > o", **when("o", "<", 2)),
    )
    driver = run(source)
    assert driver.started() == [("o", 1), ("i", 1), ("i", 2), ("i", 3), ("o", 2), ("i", 4)]


def test_a_failure_passed_over_is_tested_like_a_completion() -> None:
    source = graph([node("a", on_error="continue")], loops=[loop("a", max_iterations=3)])
    driver = drive(planned(source), lambda call: fail())
    assert driver.run.status == "completed"
    assert [r.iteration for r in driver.of("step_failed")] == [1, 2, 3]


def test_a_failure_inside_a_loop_can_lead_back_to_its_start() -> None:
    source = graph(["h", node("n", on_error="route"), "x"], "h > n", edge("n > h", on="error"), "n > x")
    driver = drive(planned(source), lambda c: fail() if c.node == "n" and c.iteration < 3 else nothing(c))
    assert driver.started() == [("h", 1), ("n", 1), ("h", 2), ("n", 2), ("h", 3), ("n", 3), ("x", 1)]


def test_retries_are_not_iterations() -> None:
    plan = planned(graph("a", loops=[loop("a", max_iterations=2)]))
    driver = drive(plan, lambda c: fail() if c.attempt == 1 else ok(), policies=default_policies(plan, max_attempts=2))
    assert [(c.iteration, c.attempt) for c in driver.calls] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_cycle_without_an_end_hits_the_step_limit() -> None:
    source = graph("a b", "a > b", edge("b > a", **when("x", "==", 1)), limits={"max_steps": 7})
    driver = drive(planned(source), initial={"x": 1})
    assert driver.run.status == "failed"
    assert driver.of("run_failed")[0].error.code == "STEP_LIMIT"
    assert len(driver.started()) == 7


@pytest.mark.parametrize("wrong", [{"x": "a"}])
def test_a_loop_condition_on_a_wrong_type_fails_the_run(wrong: dict[str, Any]) -> None:
    driver = drive(planned(graph("a", loops=[loop("a", condition=leaf("x", ">", 1))])), initial=wrong)
    assert driver.of("run_failed")[0].error.code == "CONDITION_ERROR"


def test_a_loop_of_ten_thousand_iterations_keeps_nothing_of_them() -> None:
    source = graph("a", loops=[loop("a", max_iterations=10_000)], limits={"max_steps": 20_000})
    plan = planned(source)
    driver = Driver(plan, default_policies(plan))
    driver.begin()
    while not driver.run.status.is_final:
        driver.end("a", ok(n=driver.run.steps))
    (write,) = driver.run.state._newest["n"]
    assert write.lineage.parents == ()
    assert driver.state == {"n": 10_000}
