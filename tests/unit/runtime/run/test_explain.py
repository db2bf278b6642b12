"""Explaining a node: why it ran, did not run, or waits; as data, and in words."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.graph.plan import ROOT
from runtime.run.apply import apply
from runtime.run.explain import Activation, Edge, Explanation, Live, explain
from runtime.run.explain.trace import OVER, Trace
from runtime.run.messages import (
    Answer,
    AttemptEnded,
    Cancel,
    DeadlinePassed,
    Fork,
    Message,
    Pause,
    Recover,
    Resume,
    Retry,
    SendSignal,
    Stopped,
    Submit,
    Succeeded,
    TimerDue,
)
from runtime.run.model import EdgeStatus, NodeStatus, Run, new_run
from runtime.run.records import Failure, RunBlocked, RunDeadLettered, RunRecovered
from tests.support.driver import NOON, Call, Driver, default_policies, drive, fail, ok, updates
from tests.support.graphs import Source, edge, graph, leaf, loop, node, planned, when
from tests.support.hand import Hand, approval, each, sub
from tests.support.hand import wait as waiter
from tests.support.random_graphs import SEEDS, Shape, build, script_of
from tests.support.settings import costly

CHOICE = [edge("a > b", **when("x", ">=", 5)), edge("a > c", **when("x", ">=", 3)), edge("a > d", default=True)]
DIAMOND = ["s > a", "s > b", "a > j", "b > j"]


def opened(source: Source, initial: Mapping[str, Any] | None = None, **policy: Any) -> Driver:
    """Return a run that has begun."""
    plan = planned(source)
    driver = Driver(plan, default_policies(plan, **policy))
    driver.begin(initial)
    return driver


def told(driver: Driver, name: str, **keys: Any) -> Explanation:
    return explain(driver.plan, driver.records, name, **keys)


def newest(driver: Driver, name: str, **keys: Any) -> Activation:
    return told(driver, name, **keys).activations[-1]


def states(edges: Sequence[Edge]) -> list[tuple[str, str, str]]:
    """Return from where each edge comes, its state, and the kind of reason."""
    return [(one.from_node, one.state, one.reason.kind) for one in edges]


def counter(call: Call) -> Succeeded:
    """Count the runs of a node in the key that has its name."""
    return ok(**{call.node: call.state.get(call.node, 0) + 1})


# --- a node that ran --------------------------------------------------------------------------------------------------


def test_the_entry_runs_because_the_run_begins_with_it() -> None:
    explanation = told(drive(planned(graph("a"))), "a")
    (activation,) = explanation.activations
    assert (explanation.node, explanation.path, explanation.type, explanation.run_id) == ("a", "", "tool", "run-1")
    assert explanation.counts == {"completed": 1}
    assert (activation.iteration, activation.status, activation.in_edges, activation.join) == (1, "completed", (), None)
    assert explanation.text == "a ran because the run begins with it. It succeeded after 1 ms."


def test_a_node_that_ran_names_the_edge_with_what_its_condition_saw_and_every_attempt() -> None:
    source = graph(
        ["draft", "check", "send"],
        "draft > check",
        edge("check > draft", **when("score", "<", 0.8)),
        edge("check > send", **when("score", ">=", 0.8)),
    )
    driver = opened(source, max_attempts=3)
    for score in (0.5, 0.91):
        driver.end("draft", ok())
        driver.end("check", ok(score=score))
    driver.end("send", fail("HTTP_STATUS"))
    driver.ring("send")
    index = driver.plan.index_of["send"]
    driver.now += timedelta(milliseconds=120)
    driver.send(AttemptEnded(index, 1, 2, ok(), 120.0))
    activation = newest(driver, "send")
    (edge_in,) = activation.in_edges
    assert activation.text == (
        "send ran because edge 2 from 'check' was taken: score (0.91) >= 0.8 (in iteration 2 of the loop). "
        "Attempt 1 failed (HTTP_STATUS: the script says so), attempt 2 succeeded after 120 ms."
    )
    assert states(activation.in_edges) == [("check", "taken", "condition")]
    assert edge_in.reason.operands == (
        {"field": "score", "operator": ">=", "value": 0.8, "actual": 0.91, "holds": True},
    )
    assert (edge_in.iteration, edge_in.seq) == (2, driver.of("loop_completed")[0].seq)
    first, second = activation.attempts
    assert (first.number, first.outcome, first.tool, first.error) == (
        1,
        "failed",
        "work@1",
        Failure("HTTP_STATUS", "the script says so"),
    )
    assert (second.number, second.outcome, second.duration_ms, second.error) == (2, "completed", 120.0, None)
    assert second.started is not None
    assert second.ended == second.started + timedelta(milliseconds=120)


def test_the_way_on_of_a_node_says_what_held_and_what_did_not() -> None:
    driver = drive(planned(graph("a b c d", *CHOICE)), initial={"x": 4})
    activation = newest(driver, "a")
    assert [(e.to_node, e.state, e.reason.kind, e.reason.instead) for e in activation.out_edges] == [
        ("b", "dead", "condition", None),
        ("c", "taken", "condition", None),
        ("d", "dead", "default_unused", 1),
    ]
    assert activation.text.endswith(
        "It took edge 1 to 'c', because x (4) >= 3. It did not take edge 0 to 'b', because x (4) >= 5 does not hold; "
        "edge 2 to 'd', because it is the default, and edge 1 to 'c' held."
    )


def test_only_the_first_edge_that_holds_is_tested() -> None:
    driver = drive(planned(graph("a b c d", *CHOICE)), initial={"x": 9})
    (edge_in,) = newest(driver, "c").in_edges
    assert (edge_in.state, edge_in.reason.kind, edge_in.reason.instead) == ("dead", "not_first", 0)
    assert edge_in.reason.text == "edge 0 to 'b' held before it"


def test_a_default_edge_is_taken_because_no_other_held() -> None:
    driver = drive(planned(graph("a b c d", *CHOICE)), initial={"x": 1})
    assert newest(driver, "d").text.startswith("d ran because edge 2 from 'a' was taken: no other edge of 'a' held. ")


@pytest.mark.parametrize(
    ("condition", "state", "words"),
    [
        (leaf("x", ">", 1), {"x": 2}, "x (2) > 1"),
        (leaf("x", ">", 1), {"x": 1}, "x (1) > 1 does not hold"),
        (leaf("x", ">", 1), {}, "x (missing) > 1 does not hold"),
        ({"field": "x", "operator": "not_exists"}, {}, "x (missing) not_exists"),
        ({"all": [leaf("x", ">", 1), leaf("y", "==", "é")]}, {"x": 2, "y": "é"}, 'x (2) > 1, y ("é") == "é"'),
        (
            {"any": [leaf("x", ">", 1), leaf("y", "==", True)]},
            {"x": 1, "y": True},
            "its condition is true: x (1) > 1 does not hold, y (true) == true holds",
        ),
        ({"not": leaf("x", ">", 1)}, {"x": 1}, "its condition is true: x (1) > 1 does not hold"),
        ({"not": leaf("x", ">", 1)}, {"x": 2}, "its condition is false: x (2) > 1 holds"),
        (leaf("x", "in", list(range(100))), {"x": 1}, f"x (1) in [{','.join(map(str, range(100)))}"[:89] + "…"),
    ],
)
def test_conditions_in_words(condition: Source, state: dict[str, Any], words: str) -> None:
    driver = drive(planned(graph("a b", {**edge("a > b"), "condition": condition})), initial=state)
    (edge_in,) = newest(driver, "b").in_edges
    assert edge_in.reason.kind == "condition"
    assert edge_in.reason.text == words


def test_an_attempt_that_was_lost_in_a_crash_is_told() -> None:
    driver = opened(graph("a"))
    driver.crash()
    driver.end("a", ok())
    assert [attempt.outcome for attempt in newest(driver, "a").attempts] == ["lost", "completed"]
    assert "Attempt 1 was lost, attempt 2 succeeded after 1 ms." in newest(driver, "a").text


# --- a node that was skipped ------------------------------------------------------------------------------------------


def test_a_skipped_node_names_the_dead_edge_and_why() -> None:
    driver = drive(planned(graph("a b", edge("a > b", **when("x", ">=", 5)))), initial={"x": 3})
    activation = newest(driver, "b")
    assert (activation.status, activation.reason) == ("skipped", "no edge to it was taken")
    assert states(activation.in_edges) == [("a", "dead", "condition")]
    assert activation.in_edges[0].seq == driver.of("edge_dead")[0].seq
    assert activation.text == (
        "b was skipped: no edge to it was taken. Edge 0 from 'a' is dead: x (3) >= 5 does not hold."
    )


def test_a_missing_field_shows_in_the_operands() -> None:
    driver = drive(planned(graph("a b", edge("a > b", **when("x", "==", 5)))))
    (seen,) = newest(driver, "b").in_edges[0].reason.operands
    assert seen == {"field": "x", "operator": "==", "value": 5, "missing": True, "holds": False}


def test_a_dead_path_is_followed_back_to_where_it_begins() -> None:
    driver = drive(planned(graph("a b c d e", edge("a > b", **when("x", "==", 1)), "b > c", "c > d", "a > e")))
    after_one, after_two = newest(driver, "c"), newest(driver, "d")
    assert states(after_one.in_edges) == [("b", "dead", "source_skipped")]
    assert states(after_one.in_edges[0].reason.causes) == [("a", "dead", "condition")]
    assert after_one.origins == ()
    assert states(after_two.in_edges[0].reason.causes) == [("b", "dead", "source_skipped")]
    assert after_two.in_edges[0].reason.causes[0].reason.causes == ()
    (origin,) = after_two.origins
    assert (origin.from_node, origin.to_node, origin.reason.kind) == ("a", "b", "condition")
    assert after_two.text == (
        "d was skipped: no edge to it was taken. Edge 2 from 'c' is dead: 'c' was skipped: no edge to it was taken "
        "(edge 1 from 'b' is dead: 'b' was skipped: no edge to it was taken). "
        "This goes back to edge 0 from 'a' to 'b': x (missing) == 1 does not hold."
    )


def test_what_was_taken_is_no_origin_of_a_dead_path() -> None:
    source = graph(
        ["s", "a", "b", node("j", join={"n": 2}), "k", "l"],
        "s > a",
        edge("s > b", **when("x", "==", 1)),
        "a > j",
        "b > j",
        "j > k",
        "k > l",
    )
    source["nodes"][0]["route"] = "all"
    driver = drive(planned(source))
    assert newest(driver, "j").text.startswith("j was skipped: 1 of 2 needed edges were taken. ")
    assert [(origin.from_node, origin.to_node) for origin in newest(driver, "l").origins] == [("s", "b")]


def test_the_exits_of_a_loop_that_is_skipped_are_dead_because_its_header_was() -> None:
    source = graph(
        "a h n x e",
        edge("a > h", **when("x", "==", 1)),
        edge("a > e", default=True),
        "h > n",
        "n > h",
        "n > x",
        loops=[loop("n")],
    )
    activation = newest(drive(planned(source)), "x")
    assert states(activation.in_edges) == [("n", "dead", "source_skipped")]
    assert activation.in_edges[0].reason.text.startswith("'h' was skipped")


def test_a_path_without_a_match_ends_at_the_node_that_routes() -> None:
    source = graph("a b c", edge("a > b", **when("x", ">", 1)), edge("a > c", **when("y", "==", 1)))
    activation = newest(drive(planned(source), initial={"x": 0}), "a")
    assert activation.unmatched
    assert [e.state for e in activation.out_edges] == ["dead", "dead"]
    assert activation.text.endswith("None of its edges held, so this path ends here.")


# --- joins ------------------------------------------------------------------------------------------------------------


def test_a_join_that_waits_says_for_whom() -> None:
    driver = opened(graph("s a b j", *DIAMOND))
    driver.end("s", ok())
    driver.end("a", ok())
    explanation = told(driver, "j")
    (activation,) = explanation.activations
    assert explanation.counts == {"waiting_for_edges": 1}
    assert states(activation.in_edges) == [("a", "taken", "always"), ("b", "undecided", "not_ended")]
    assert activation.in_edges[1].reason.status == "running"
    assert activation.join is not None
    assert (activation.join.needs, activation.join.total, activation.join.decided, activation.join.taken) == (
        0,
        2,
        1,
        1,
    )
    assert [(wait.kind, wait.node, wait.status) for wait in activation.waits_for] == [("node", "b", "running")]
    assert activation.text == (
        "j waits for its edges: it needs all 2 edges decided and at least 1 taken; 1 decided and 1 taken so far. "
        "Edge 2 from 'a' was taken; edge 3 from 'b' is undecided: 'b' is running."
    )


def test_a_wait_names_the_node_at_its_far_end() -> None:
    driver = opened(graph("s a b c j", "s > a", "s > b", "b > c", "a > j", "c > j"))
    driver.end("s", ok())
    driver.end("a", ok())
    activation = newest(driver, "j")
    assert activation.in_edges[1].reason.kind == "not_begun"
    assert activation.in_edges[1].reason.status == "waiting_for_edges"
    assert [wait.node for wait in activation.waits_for] == ["b"]
    assert activation.text.endswith(
        "edge 4 from 'c' is undecided: 'c' has not begun. It waits for 'b', which is running."
    )


def test_a_join_of_some_counts_what_it_has() -> None:
    source = graph(["s", "a", "b", "c", node("j", join={"n": 2})], "s > a", "s > b", "s > c", "a > j", "b > j", "c > j")
    driver = opened(source)
    driver.end("s", ok())
    driver.end("a", ok())
    join = newest(driver, "j").join
    assert join is not None
    assert join.text == "needs 2 of 3 taken edges, 1 so far"
    driver.end("c", ok())
    assert newest(driver, "j").text.startswith(
        "j began because 2 of its 3 edges were taken: edge 3 from 'a'; edge 5 from 'c'. "
    )


def test_an_edge_that_comes_after_a_join_has_started_is_late() -> None:
    source = graph(["s", "a", "b", node("j", join="any")], *DIAMOND)
    driver = drive(planned(source))
    activation = newest(driver, "j")
    assert states(activation.in_edges) == [("a", "taken", "always"), ("b", "late", "always")]
    assert [(e.to_node, e.state) for e in newest(driver, "b").out_edges] == [("j", "late")]
    assert activation.text.startswith("j ran because edge 2 from 'a' was taken. Edge 3 from 'b' was taken too late. ")


def test_a_join_whose_inputs_contradict_each_other_could_not_start() -> None:
    driver = drive(planned(graph("s a b j", *DIAMOND)), updates({"a": {"k": 1}, "b": {"k": 2}}))
    activation = newest(driver, "j")
    assert (activation.status, activation.attempts, activation.handled) == ("failed", (), "fail_run")
    assert activation.error is not None
    assert activation.error.code == "STATE_CONFLICT"
    assert activation.run_error == activation.error
    assert activation.text.startswith("j could not start (STATE_CONFLICT: Key 'k' was written with different values")
    assert activation.text.endswith("Nothing handled that, so the run fails.")


# --- loops ------------------------------------------------------------------------------------------------------------

LOOP = graph("h n x", "h > n", "n > h", "n > x", loops=[loop("n", leaf("n", ">=", 3), max_iterations=4)])


def test_an_edge_that_leaves_a_loop_is_held_while_it_goes_on() -> None:
    driver = opened(LOOP)
    driver.end("h", ok())
    driver.end("n", ok(n=1))
    (edge_in,) = newest(driver, "x").in_edges
    assert (edge_in.state, edge_in.reason.kind) == ("held", "loop_goes_on")
    (held_by,) = edge_in.reason.loops
    assert (held_by.node, held_by.iteration, held_by.max_iterations) == ("n", 2, 4)
    assert [(wait.kind, wait.node) for wait in newest(driver, "x").waits_for] == [("loop", None), ("node", "h")]
    assert newest(driver, "x").text == (
        "x waits for its edges: it needs its edge to be taken. Edge 2 from 'n' is held: "
        "the loop on 'n' (iteration 2 of at most 4) goes on; not taken so far. It waits for 'h', which is running."
    )


def test_an_edge_that_leaves_two_loops_is_held_by_both() -> None:
    source = graph(
        "o i b c x",
        "o > i",
        "o > b",
        "i > c",
        "b > c",
        "c > o",
        "i > x",
        loops=[loop("i", max_iterations=2), loop("c", max_iterations=2)],
    )
    driver = opened(source)
    driver.end("o", ok())
    activation = newest(driver, "x")
    assert [held_by.node for held_by in activation.in_edges[0].reason.loops] == ["i", "c"]
    assert [wait.loop.node for wait in activation.waits_for if wait.loop] == ["i", "c"]
    assert [wait.node for wait in activation.waits_for if wait.kind == "node"] == ["i", "b"]
    driver.end("i", ok())
    driver.end("i", ok())
    activation = newest(driver, "x")
    assert [held_by.node for held_by in activation.in_edges[0].reason.loops] == ["c"]
    assert [wait.node for wait in activation.waits_for if wait.kind == "node"] == ["b"]


def test_a_held_edge_that_was_taken_says_when() -> None:
    source = graph(
        [node("h", route="all"), "n", "x"],
        "h > n",
        "n > h",
        edge("h > x", **when("h", "==", 1)),
        loops=[loop("n", max_iterations=3)],
    )
    driver = opened(source)
    driver.end("h", ok(h=1))
    assert [(e.to_node, e.state) for e in newest(driver, "h").out_edges] == [("n", "taken"), ("x", "held")]
    driver.end("n", ok())
    driver.end("h", ok(h=2))
    (edge_in,) = newest(driver, "x").in_edges
    assert edge_in.reason.text == (
        "the loop on 'n' (iteration 2 of at most 3) goes on; taken in iteration 1 (h (1) == 1)"
    )
    driver.end("n", ok())
    driver.end("h", ok(h=3))
    driver.end("n", ok())
    (edge_in,) = newest(driver, "x").in_edges
    assert (edge_in.state, edge_in.iteration) == ("taken", 1)
    assert edge_in.reason.text == "h (1) == 1 (in iteration 1 of the loop)"


def test_an_edge_that_no_iteration_took_is_dead_for_what_was_seen_last() -> None:
    source = graph(
        [node("h", route="all"), "n", "x"],
        "h > n",
        "n > h",
        edge("h > x", **when("h", "==", 9)),
        loops=[loop("n", max_iterations=2)],
    )
    (edge_in,) = newest(drive(planned(source), counter), "x").in_edges
    assert (edge_in.state, edge_in.reason.text) == ("dead", "h (2) == 9 does not hold (in iteration 2 of the loop)")


def test_a_further_iteration_begins_because_of_the_back_edge() -> None:
    driver = drive(planned(LOOP), counter)
    explanation = told(driver, "h")
    assert explanation.counts == {"completed": 3}
    assert [activation.iteration for activation in explanation.activations] == [1, 2, 3]
    first, second, _ = explanation.activations
    assert first.in_edges == ()
    (edge_in,) = second.in_edges
    assert (edge_in.from_node, edge_in.back, edge_in.state, edge_in.iteration) == ("n", True, "taken", 1)
    assert second.join is None
    assert second.text.startswith(
        "h ran in iteration 2 because edge 1 from 'n' led back to it: the loop on 'n' goes on"
    )
    assert explanation.text.startswith("3 activations of h: 3 completed. The newest: h ran in iteration 3 because ")


def test_each_test_of_a_loop_is_told() -> None:
    over = told(drive(planned(LOOP), counter), "n").activations
    assert [one.loop_test.outcome for one in over if one.loop_test] == ["goes_on", "goes_on", "over"]
    assert "Its loop is over, because n (3) >= 3. It took edge 2 to 'x'." in over[-1].text
    exhausted = newest(drive(planned(LOOP)), "n")
    assert exhausted.loop_test is not None
    assert (exhausted.loop_test.outcome, exhausted.loop_test.max_iterations) == ("exhausted", 4)
    assert exhausted.loop_test.operands[0]["missing"] is True
    assert "Its loop reached its limit of 4 iterations: n (missing) >= 3 does not hold." in exhausted.text


def test_a_node_that_ran_before_waits_for_the_present_iteration() -> None:
    driver = opened(LOOP)
    driver.end("h", ok())
    driver.end("n", ok(n=1))
    explanation = told(driver, "n")
    assert [(one.iteration, one.status) for one in explanation.activations] == [
        (1, "completed"),
        (2, "waiting_for_edges"),
    ]
    assert explanation.activations[0].text == (
        "n ran in iteration 1 because edge 0 from 'h' was taken. It succeeded after 1 ms. "
        "Its loop goes on: n (1) >= 3 does not hold."
    )
    (only,) = told(driver, "n", limit=1).activations
    assert only.iteration == 2


def test_a_loop_is_not_tested_after_a_node_that_did_not_complete() -> None:
    skipped = drive(planned(graph("h n", edge("h > n", **when("x", "==", 1)), "n > h", loops=[loop("n")])))
    assert newest(skipped, "n").loop_test is None
    source = graph(
        ["h", node("n", on_error="route"), "x"], "h > n", "n > h", edge("n > x", on="error"), loops=[loop("n")]
    )
    failed = drive(planned(source), lambda call: fail() if call.node == "n" else ok())
    assert newest(failed, "n").loop_test is None


def test_a_loop_that_fails_at_its_limit_fails_the_run_there() -> None:
    source = graph("n", loops=[loop("n", max_iterations=2, on_max="fail")])
    activation = newest(drive(planned(source)), "n")
    assert activation.run_error is not None
    assert activation.run_error.code == "LOOP_EXHAUSTED"


def test_a_loop_that_repeats_one_node_is_over_without_an_edge() -> None:
    activation = newest(drive(planned(graph("n", loops=[loop("n", leaf("n", ">=", 2))])), counter), "n")
    assert (activation.iteration, activation.out_edges) == (2, ())
    assert activation.loop_test is not None
    assert activation.loop_test.outcome == "over"


def test_the_next_iteration_waits_until_the_rest_of_this_one_has_ended() -> None:
    source = graph(
        [node("h", route="all"), "a", "n"],
        "h > a",
        "h > n",
        "n > h",
        edge("a > h", **when("never", "==", 1)),
        loops=[loop("n", max_iterations=2)],
    )
    driver = opened(source)
    driver.end("h", ok())
    driver.end("n", ok())
    explanation = told(driver, "h")
    assert explanation.counts == {"completed": 1, "waiting_for_edges": 1}
    assert explanation.activations[-1].iteration == 2
    assert [wait.node for wait in explanation.activations[-1].waits_for] == ["a"]
    driver.end("a", ok())
    assert told(driver, "h").counts == {"completed": 1, "running": 1}


def test_only_the_newest_activations_are_listed_and_all_are_counted() -> None:
    source = graph(["h", "n", "x"], "h > n", edge("h > x", **when("h", "==", 25)), edge("x > n"), "n > h")
    source["loops"] = [loop("n", leaf("n", ">=", 30), max_iterations=50)]
    source["nodes"][0]["route"] = "all"
    driver = drive(planned(source), counter)
    assert told(driver, "x").counts == {"skipped": 29, "completed": 1}
    explanation = told(driver, "x")
    assert [activation.iteration for activation in explanation.activations] == list(range(11, 31))
    assert [one.iteration for one in told(driver, "x", limit=2).activations] == [29, 30]
    assert explanation.text.startswith("30 activations of x: ")


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_step_that_waits_for_its_retry_says_until_when() -> None:
    driver = opened(graph("a b", "a > b"), max_attempts=3)
    driver.end("a", fail("HTTP_STATUS"))
    activation = newest(driver, "a", now=NOON)
    (wait,) = activation.waits_for
    assert (activation.status, wait.kind, wait.seconds_left) == ("retry_wait", "retry", 0.25)
    assert wait.until == NOON + timedelta(seconds=0.25)
    assert activation.text == (
        "a began because the run begins with it. It failed (HTTP_STATUS: the script says so). "
        "It waits until 2030-01-01 12:00:00.250 UTC (250 ms left) for attempt 2."
    )
    assert newest(driver, "a").waits_for[0].seconds_left is None
    assert newest(driver, "a", now=NOON + timedelta(seconds=1)).waits_for[0].seconds_left == -0.75
    assert told(driver, "b").in_edges[0].reason.status == "retry_wait"


def test_a_failure_that_is_routed_takes_the_edges_for_failures() -> None:
    source = graph(
        [node("a", on_error="route"), "b", "c", "d"],
        "a > b",
        edge("a > c", on="error"),
        edge("a > d", on="error", **when("x", "==", 1)),
    )
    driver = drive(planned(source), lambda call: fail() if call.node == "a" else ok())
    failed = newest(driver, "a")
    assert (failed.status, failed.handled, failed.run_error) == ("failed", "route", None)
    assert states(newest(driver, "b").in_edges) == [("a", "dead", "failed")]
    assert states(newest(driver, "c").in_edges) == [("a", "taken", "error")]
    assert newest(driver, "c").text.startswith("c ran because edge 1 from 'a' was taken: 'a' failed. ")
    succeeded = drive(planned(source))
    assert states(newest(succeeded, "c").in_edges) == [("a", "dead", "succeeded")]


def test_a_failure_that_is_passed_over_goes_on_as_a_success() -> None:
    driver = drive(planned(graph([node("a", on_error="continue"), "b"], "a > b")), lambda call: fail())
    activation = newest(driver, "a")
    assert (activation.status, activation.handled) == ("failed", "continue")
    assert "Everything went on as if it had succeeded, as its on_error says. It took edge 0 to 'b'." in activation.text


def test_a_condition_that_cannot_be_tested_is_the_end_of_the_run_at_that_node() -> None:
    driver = drive(planned(graph("a b", edge("a > b", **when("x", ">", 1)))), initial={"x": "many"})
    activation = newest(driver, "a")
    assert activation.status == "completed"
    assert activation.run_error is not None
    assert activation.run_error.code == "CONDITION_ERROR"
    behind = told(driver, "b")
    assert (behind.activations, behind.counts) == ((), {})
    assert states(behind.in_edges) == [("a", "undecided", "not_tested")]
    assert behind.text.startswith("b did not run, because the run failed (CONDITION_ERROR: ")
    assert behind.text.endswith("Edge 0 from 'a' is undecided: 'a' completed, and its edges were not tested.")


def test_a_step_that_completes_while_the_run_is_failing_does_not_route() -> None:
    driver = opened(graph("s a b c", "s > a", "s > b", "b > c"))
    driver.end("s", ok())
    driver.end("a", fail(retryable=False))
    assert [wait.kind for wait in newest(driver, "b").waits_for] == []
    driver.end("b", ok())
    activation = newest(driver, "b")
    assert activation.stopped_by == "the run is failing (BROKEN: the script says so)"
    assert activation.text.endswith(
        "Its edges were not tested, because the run is failing (BROKEN: the script says so)."
    )


def test_what_could_start_says_that_the_run_is_ending() -> None:
    driver = opened(graph("s a b j", *DIAMOND, limits={"max_steps": 3}))
    driver.end("s", ok())
    driver.end("a", ok())
    driver.send(Cancel())
    (wait,) = [wait for wait in newest(driver, "j").waits_for if wait.kind == "run_ending"]
    assert wait.reason == "the run is being cancelled"
    driver.end("b", Stopped())
    assert newest(driver, "b").status == "cancelled"
    assert newest(driver, "b").outcome == "that was because the run is being cancelled"
    assert told(driver, "j").text.startswith("j did not run, because the run was cancelled before it could begin. ")


def test_the_limit_of_steps_is_why_the_next_iteration_did_not_begin() -> None:
    driver = drive(planned(graph("n", loops=[loop("n", max_iterations=9)], limits={"max_steps": 2})))
    explanation = told(driver, "n")
    assert explanation.counts == {"completed": 2}
    assert "It did not begin again in iteration 3, because the run failed (STEP_LIMIT: " in explanation.text


def test_a_step_of_a_run_that_was_put_aside_counts_as_cancelled() -> None:
    driver = opened(graph("a"))
    aside = RunDeadLettered(error=Failure("POISONED", "Rebuilding it failed."), seq=len(driver.records) + 1)
    activation = explain(driver.plan, [*driver.records, aside], "a").activations[-1]
    assert (activation.status, activation.attempts[0].outcome) == ("cancelled", "lost")
    assert activation.outcome == "that was because the run was put aside (POISONED: Rebuilding it failed)"


# --- a node that never came into question -----------------------------------------------------------------------------


def test_a_node_that_no_way_leads_to_can_never_run() -> None:
    explanation = told(opened(graph("a b c", "b > c")), "b")
    assert explanation.activations == ()
    assert explanation.text == "b can never run: no way leads to it from 'a'."


def test_a_node_whose_edges_are_all_undecided_has_not_come_into_question() -> None:
    driver = opened(graph("s a b j", *DIAMOND))
    explanation = told(driver, "j")
    assert (explanation.activations, explanation.counts) == ((), {})
    assert states(explanation.in_edges) == [("a", "undecided", "not_begun"), ("b", "undecided", "not_begun")]
    assert explanation.text == (
        "j has not come into question yet. Edge 2 from 'a' is undecided: 'a' has not begun; "
        "edge 3 from 'b' is undecided: 'b' has not begun. It waits for 's', which is running."
    )


def test_a_node_that_the_graph_does_not_have_is_an_error() -> None:
    with pytest.raises(KeyError):
        told(opened(graph("a")), "b")


# --- a run that does not go on ----------------------------------------------------------------------------------------


def test_a_run_that_has_not_started_waits_for_its_turn() -> None:
    plan = planned(graph("a b", "a > b"))
    driver = Driver(plan, default_policies(plan))
    driver.send(Submit({}, {}))
    assert (newest(driver, "a").status, [wait.kind for wait in newest(driver, "a").waits_for]) == ("ready", ["place"])
    assert told(driver, "b").activations == ()
    (wait,) = newest(driver, "a", live=Live(waits_for_place=True)).waits_for
    assert wait.text == "waits for the run to get its turn: as many runs are active as may be"


def test_what_only_the_process_knows_tells_an_attempt_that_waits_from_one_that_runs() -> None:
    driver = opened(graph("a"))
    here = frozenset({("", "a")})
    assert [wait.kind for wait in newest(driver, "a", live=Live(queued=here)).waits_for] == ["worker"]
    assert [wait.kind for wait in newest(driver, "a", live=Live(calls=here)).waits_for] == []
    assert [wait.kind for wait in newest(driver, "a", live=Live()).waits_for] == ["call"]
    assert [wait.kind for wait in newest(driver, "a").waits_for] == []


def test_a_paused_run_holds_back_what_could_start() -> None:
    driver = opened(graph("a b", "a > b"))
    driver.send(Pause())
    driver.end("a", ok())
    activation = newest(driver, "b")
    assert (activation.status, [wait.kind for wait in activation.waits_for]) == ("ready", ["run_paused"])
    assert activation.text == (
        "b is ready to start, because edge 0 from 'a' was taken. It waits for the run to be resumed, which is paused."
    )
    driver.send(Resume())
    assert newest(driver, "b").status == "running"


def test_a_paused_run_holds_back_a_join_that_has_what_it_needs() -> None:
    driver = opened(graph(["s", "a", "b", node("j", join="any")], *DIAMOND))
    driver.end("s", ok())
    driver.send(Pause())
    driver.end("a", ok())
    assert newest(driver, "j").status == "ready"
    assert newest(driver, "j").text.startswith("j is ready to start, because edge 2 from 'a' was taken. ")


def test_a_paused_loop_does_not_begin_its_next_iteration() -> None:
    driver = opened(LOOP)
    driver.end("h", ok())
    driver.send(Pause())
    driver.end("n", ok(n=1))
    activation = newest(driver, "h")
    assert (activation.iteration, activation.status) == (2, "ready")
    assert [wait.kind for wait in activation.waits_for] == ["run_paused"]


def test_a_blocked_run_says_what_it_lacks() -> None:
    driver = opened(graph("a"))
    records = [*driver.records, RunRecovered(cause="restart"), RunBlocked(reason="tool 'work@1' is missing")]
    (wait,) = explain(driver.plan, records, "a").activations[-1].waits_for
    assert (wait.kind, wait.reason) == ("run_blocked", "tool 'work@1' is missing")
    assert explain(driver.plan, [*records, RunRecovered(cause="restart")], "a").activations[-1].waits_for == ()


def test_a_run_that_is_retried_goes_on_with_the_same_activation() -> None:
    driver = opened(graph("a b", "a > b"))
    driver.end("a", fail(retryable=False))
    assert newest(driver, "a").run_error is not None
    driver.send(Retry())
    activation = newest(driver, "a")
    assert told(driver, "a").counts == {"running": 1}
    assert (activation.status, activation.error, activation.run_error) == ("running", None, None)
    assert [attempt.outcome for attempt in activation.attempts] == ["failed", "running"]
    assert told(driver, "b").text.startswith("b has not come into question yet. ")
    until = driver.records.index(driver.of("run_retried")[0]) + 1
    assert explain(driver.plan, driver.records[:until], "b").text.startswith("b has not come into question yet. ")


def test_a_forked_run_tells_its_own_story() -> None:
    source = opened(graph("a b", "a > b"))
    source.end("a", ok())
    source.end("b", ok())
    begins = next(record.seq for record in source.of("step_started") if record.node == "b")
    fork = Driver(source.plan, source.policies, records=source.records[: begins - 1])
    for record in fork.records:
        apply(fork.run, record)
    fork.send(Fork("run-1", begins - 1, "", "b", 1, {"x": 1}))
    assert newest(fork, "b").status == "running"
    assert newest(source, "b").status == "completed"


# --- waits, approvals, mutexes, losers, ends --------------------------------------------------------------------------


def ring(driver: Driver, name: str) -> None:
    """Let the time come that a step waits for."""
    index = driver.plan.index_of[name]
    step = driver.run.active[index]
    assert step.due is not None
    driver.now = step.due
    driver.send(TimerDue(index, step.iteration))


def test_a_wait_for_a_time() -> None:
    driver = opened(graph([waiter("w", for_s=5), "b"], "w > b"))
    activation = newest(driver, "w", now=NOON + timedelta(seconds=2))
    (wait,) = activation.waits_for
    assert (activation.status, wait.kind, wait.until, wait.seconds_left) == (
        "waiting_time",
        "time",
        NOON + timedelta(seconds=5),
        3.0,
    )
    assert "It waits until 2030-01-01 12:00:05 UTC (3 s left)." in activation.text
    assert told(driver, "w").type == "wait"
    assert told(driver, "b").in_edges[0].reason.text == "'w' waits until 2030-01-01 12:00:05 UTC"
    driver.send(Pause())
    assert [wait.kind for wait in newest(driver, "w").waits_for] == ["time", "run_paused"]
    driver.send(Resume())
    assert [wait.kind for wait in newest(driver, "w").waits_for] == ["time"]
    ring(driver, "w")
    assert newest(driver, "w").status == "completed"


def test_a_wait_for_a_signal() -> None:
    driver = opened(graph([waiter("w", signal="go", timeout_s=60), "b"], "w > b"))
    (wait,) = newest(driver, "w").waits_for
    assert (newest(driver, "w").status, wait.kind, wait.signal, wait.until) == (
        "waiting_signal",
        "signal",
        "go",
        NOON + timedelta(seconds=60),
    )
    assert told(driver, "b").in_edges[0].reason.text == "'w' waits for signal 'go'"
    driver.send(SendSignal("sig-1", "go", None))
    assert newest(driver, "w").outcome == "it took the signal with id 'sig-1'"


def test_a_signal_that_does_not_come() -> None:
    given = opened(graph([waiter("w", signal="go", timeout_s=60, timeout_data=0)]))
    ring(given, "w")
    assert newest(given, "w").outcome == "no signal 'go' came in time, so its timeout_data was taken"
    failing = opened(graph([waiter("w", signal="go", timeout_s=60)]))
    ring(failing, "w")
    assert "It failed (TIMEOUT: No signal 'go' came within 60 s)." in newest(failing, "w").text


def test_an_approval_waits_for_its_answer() -> None:
    driver = opened(graph([approval("ok"), "b"], "ok > b"))
    activation = newest(driver, "ok")
    (wait,) = activation.waits_for
    assert (activation.status, wait.kind, wait.approval, wait.prompt, wait.until) == (
        "waiting_approval",
        "approval",
        "ok#1",
        "ok?",
        None,
    )
    assert "It waits for an answer to approval 'ok#1', \"ok?\"." in activation.text
    driver.send(Answer("ok#1", {"yes": True}, "ann"))
    assert newest(driver, "ok").outcome == "'ann' answered {\"yes\":true}"


def test_an_approval_that_nobody_answers() -> None:
    driver = opened(graph([approval("ok", timeout_s=60, timeout_answer=False)]))
    ring(driver, "ok")
    assert newest(driver, "ok").outcome == "nobody answered in time, so false was taken for the answer"


def test_a_node_that_waits_for_a_mutex_names_who_has_it() -> None:
    driver = opened(graph(["s", node("a", mutex="db"), node("b", mutex="db")], "s > a", "s > b"))
    driver.end("s", ok())
    activation = newest(driver, "b")
    (wait,) = activation.waits_for
    assert (activation.status, wait.kind, wait.mutex, wait.node, wait.status) == (
        "ready",
        "mutex",
        "db",
        "a",
        "running",
    )
    assert activation.text == (
        "b is ready to start, because edge 1 from 's' was taken. It waits for mutex 'db', which 'a' has."
    )
    driver.end("a", ok())
    assert newest(driver, "b").status == "running"


def test_losers_of_a_join_are_told_who_won() -> None:
    source = graph(
        ["s", "a", "b", "c", node("j", join="any", cancel_losers=True)], "s > a", "s > b", "b > c", "a > j", "c > j"
    )
    driver = opened(source)
    driver.end("s", ok())
    driver.end("a", ok())
    assert newest(driver, "b").text.endswith("It is being cancelled, because join 'j' has what it needs.")
    driver.end("b", Stopped())
    assert (newest(driver, "b").status, newest(driver, "b").outcome) == (
        "cancelled",
        "that was because join 'j' has what it needs",
    )
    skipped = newest(driver, "c")
    assert skipped.reason == "join 'j' already has what it needs"
    assert states(skipped.in_edges) == [("b", "dead", "source_cancelled")]
    assert states(newest(driver, "j").in_edges) == [("a", "taken", "always"), ("c", "dead", "source_skipped")]


def test_an_end_node_ends_the_run_for_all_others() -> None:
    driver = opened(graph(["s", "b", {"name": "e", "type": "end"}, "c"], "s > b", "s > e", "b > c"))
    driver.end("s", ok())
    driver.end("b", Stopped())
    assert newest(driver, "e").outcome == "it ended the run"
    assert newest(driver, "b").outcome == "that was because end node 'e' was reached"
    assert told(driver, "c").text.startswith("c did not run, because the run completed before it could begin. ")


def test_finally_nodes_run_in_turn_when_the_run_ends() -> None:
    driver = opened(graph("a f g", **{"finally": ["f", "g"]}))
    assert told(driver, "f").activations == ()
    assert told(driver, "f").text == "f has not begun: it runs when the run is about to end, however it ends."
    driver.end("a", fail(retryable=False))
    assert newest(driver, "f").text.startswith("f began because the run had come to its end. ")
    (wait,) = newest(driver, "g").waits_for
    assert (newest(driver, "g").status, wait.kind, wait.node) == ("ready", "turn", "f")
    driver.end("f", ok())
    driver.end("g", ok())
    driver.send(Retry())
    assert told(driver, "f").counts == {"completed": 1}
    driver.end("a", ok())
    assert told(driver, "f").counts == {"completed": 1, "running": 1}
    assert newest(driver, "f").iteration == 2


def test_finally_nodes_of_a_run_that_was_cancelled_before_it_started() -> None:
    plan = planned(graph("a f", **{"finally": ["f"]}))
    driver = Driver(plan, default_policies(plan))
    driver.send(Submit({}, {}))
    driver.send(Cancel())
    assert told(driver, "f").text == "f did not run, because the run was cancelled without running its finally nodes."
    assert told(driver, "a").text == "a did not run, because the run was cancelled before it could begin."


# --- sub-graphs and maps ----------------------------------------------------------------------------------------------


def within(hand: Hand, name: str, **keys: Any) -> Explanation:
    """Explain a node named as the hand does: `node`, or `node` behind its path."""
    path, _, own = name.rpartition("/")
    plan = hand.plan
    for part in path.split("/") if path else ():
        child = plan.nodes[plan.index_of[part.rpartition("#")[0].replace("~0", "~")]].child
        assert child is not None
        plan = child.plan
    return explain(plan, hand.records, own, path=path, **keys)


def latest(hand: Hand, name: str, **keys: Any) -> Activation:
    return within(hand, name, **keys).activations[-1]


def test_a_sub_graph_is_explained_by_its_path() -> None:
    hand = Hand(graph([sub("p~q", graph("x y", "x > y"), timeout_s=60), "b"], "p~q > b")).begin()
    (wait,) = latest(hand, "p~q", now=NOON).waits_for
    assert (wait.kind, wait.path, wait.seconds_left) == ("graph", "p~0q#1", 60.0)
    assert within(hand, "p~q").type == "graph"
    inside = within(hand, "p~0q#1/x")
    assert inside.path == "p~0q#1"
    assert inside.text.startswith("x began because the sub-graph begins with it. ")
    hand.end("p~0q#1/x", ok())
    hand.end("p~0q#1/y", ok())
    assert latest(hand, "p~q").status == "completed"
    assert latest(hand, "p~0q#1/y").status == "completed"
    assert latest(hand, "b").status == "running"


def test_a_failing_sub_graph_ends_what_is_inside_it_and_a_retry_goes_on_there() -> None:
    hand = Hand(graph([sub("p", graph("x y", "x > y")), "b"], "p > b")).begin()
    hand.end("p#1/x", fail(retryable=False))
    assert latest(hand, "p#1/x").text.endswith("Nothing handled that, so the sub-graph fails.")
    assert within(hand, "p#1/y").text.startswith("y did not run, because 'p' failed before it could begin. ")
    hand.retry()
    assert latest(hand, "p").status == "running"
    assert [attempt.outcome for attempt in latest(hand, "p#1/x").attempts] == ["failed", "running"]
    assert within(hand, "p#1/y").text.startswith("y has not come into question yet. ")


def test_a_retry_goes_on_in_every_sub_graph_that_ended_with_the_run() -> None:
    deep = graph([sub("q", graph("x"))])
    hand = Hand(graph([{"name": "s", "type": "conditional"}, sub("p", deep), "a"], "s > p", "s > a")).begin()
    hand.end("a", fail(retryable=False))
    hand.end("p#1/q#1/x", Stopped())
    assert latest(hand, "p#1/q").status == "cancelled"
    hand.retry()
    assert latest(hand, "p#1/q").status == "running"
    assert [attempt.outcome for attempt in latest(hand, "p#1/q").attempts] == ["running"]
    hand.end("p#1/q#1/x", fail(retryable=False))
    hand.end("a", Stopped())
    assert (within(hand, "p").counts, within(hand, "p#1/q").counts) == ({"failed": 1}, {"failed": 1})
    hand.retry()
    assert (within(hand, "p").counts, within(hand, "p#1/q").counts) == ({"running": 1}, {"running": 1})


def test_a_retry_does_not_touch_a_sub_graph_whose_failure_was_handled() -> None:
    source = graph([sub("p", graph("x"), on_error="continue"), "b"], "p > b")
    hand = Hand(source).begin()
    hand.end("p#1/x", fail(retryable=False))
    hand.end("b", fail(retryable=False))
    hand.retry()
    assert within(hand, "p#1/x").counts == {"failed": 1}
    assert within(hand, "b").counts == {"running": 1}


def test_a_retry_goes_on_in_an_item_that_failed() -> None:
    hand = Hand(graph([each("m", [1], inner=graph([sub("q", graph("x"))]))])).begin()
    hand.end("m#1[0]/q#1/x", fail(retryable=False))
    assert latest(hand, "m#1[0]/q").status == "failed"
    hand.retry()
    assert latest(hand, "m#1[0]/q").status == "running"


@pytest.mark.parametrize("path", ["a", "p#2", "p#x", "p#1[0]", "p#1/y#1", "p#1//", "/"])
def test_a_path_where_nothing_ever_ran_has_not_begun(path: str) -> None:
    hand = Hand(graph([sub("p", graph("x y", "x > y"))])).begin()
    child = hand.plan.nodes[0].child
    assert child is not None
    explanation = explain(child.plan, hand.records, "x", path=path)
    assert explanation.activations == ()
    assert explanation.text.startswith("x has not come into question: ")


def test_a_map_counts_its_items() -> None:
    hand = Hand(graph([each("m", [1, 2, 3, 4], concurrency=2)])).begin()
    assert within(hand, "m#1[3]/m").text == "m has not come into question: the item has not begun."
    hand.end("m#1[0]/m", ok())
    items = latest(hand, "m").items
    assert items is not None
    assert (items.total, items.running, items.completed, items.failed, items.cancelled) == (4, 2, 1, 0, 0)
    assert latest(hand, "m").text == (
        "m began because the run begins with it. Of its 4 items, 1 completed, 2 running, 1 not started. "
        "It waits for its items."
    )
    assert latest(hand, "m#1[0]/m").status == "completed"
    assert latest(hand, "m#1[1]/m").text.startswith("m began because the item begins with it. ")


def test_a_map_that_fails_with_its_first_item_says_which() -> None:
    hand = Hand(graph([each("m", [1, 2, 3], concurrency=2)])).begin()
    hand.end("m#1[1]/m", fail("BAD", retryable=False))
    items = latest(hand, "m").items
    assert items is not None
    assert (items.stopping, items.first_failed, items.running) == ("item_failed", 1, 1)
    assert items.error is not None
    assert items.error.code == "BAD"
    hand.end("m#1[0]/m", Stopped())
    assert latest(hand, "m#1[0]/m").outcome == "that was because the map around it needs no more"
    assert latest(hand, "m").error == Failure("ITEM_FAILED", "Item 1 of node 'm' failed with BAD: the script says so")
    hand.retry()
    items = latest(hand, "m").items
    assert items is not None
    assert (items.stopping, items.running, items.failed, items.cancelled) == (None, 2, 0, 0)
    assert latest(hand, "m#1[1]/m").status == "running"


def test_a_map_that_has_enough_says_why() -> None:
    hand = Hand(graph([each("m", [1, 2, 3], until=leaf("completed", ">=", 1), concurrency=2)])).begin()
    hand.end("m#1[0]/m", ok())
    items = latest(hand, "m").items
    assert items is not None
    assert (items.stopping, items.operands[0]["actual"]) == ("until", 1)
    assert "no further one starts, because completed (1) >= 1" in latest(hand, "m").text


def test_a_map_that_a_signal_ends_waits_for_it_too() -> None:
    hand = Hand(graph([each("m", [1, 2], finish_on="enough", concurrency=1)])).begin()
    (wait,) = latest(hand, "m").waits_for
    assert (wait.kind, wait.signal, wait.text) == ("items", "enough", "waits for its items, or for signal 'enough'")
    hand.signal("enough")
    items = latest(hand, "m").items
    assert items is not None
    assert items.stopping == "signal"


# --- the data ---------------------------------------------------------------------------------------------------------


def test_an_explanation_is_json_without_what_has_nothing_to_say() -> None:
    encoded = msgspec.json.decode(msgspec.json.encode(told(opened(graph("a")), "a")))
    assert encoded == {
        "run_id": "run-1",
        "node": "a",
        "path": "",
        "type": "tool",
        "text": "a began because the run begins with it. It is running since 2030-01-01 12:00:00 UTC.",
        "counts": {"running": 1},
        "activations": [
            {
                "iteration": 1,
                "status": "running",
                "text": "a began because the run begins with it. It is running since 2030-01-01 12:00:00 UTC.",
                "attempts": [{"number": 1, "outcome": "running", "tool": "work@1", "started": "2030-01-01T12:00:00Z"}],
            }
        ],
    }


def test_a_text_names_a_few_of_many_and_counts_the_others() -> None:
    names = [f"n{number}" for number in range(12)]
    source = graph(["s", *names, "j"], *(f"s > {name}" for name in names), *(f"{name} > j" for name in names))
    driver = drive(planned(source))
    assert len(newest(driver, "j").in_edges) == 12
    assert "edge 16 from 'n4'; and 7 more." in newest(driver, "j").text


def test_lists_of_edges_are_bounded_and_keep_what_matters() -> None:
    names = [f"n{number}" for number in range(150)]
    source = graph(["s", *names, "j"], *(f"s > {name}" for name in names), *(f"{name} > j" for name in names))
    driver = opened(source)
    driver.end("s", ok())
    for name in names[:-1]:
        driver.end(name, ok())
    waiting = newest(driver, "j")
    assert len(waiting.in_edges) == 100
    assert [one.from_node for one in waiting.in_edges if one.state == "undecided"] == ["n149"]
    assert waiting.join is not None
    assert (waiting.join.total, waiting.join.taken) == (150, 149)
    assert (
        "taken so far. Edge 299 from 'n149' is undecided: 'n149' is running; edge 150 from 'n0' was taken; "
        in waiting.text
    )
    assert waiting.text.endswith("; and 145 more.")
    driver.end("n149", ok())
    assert newest(driver, "j").text.startswith("j began because its edges were taken: edge 150 from 'n0'; ")
    assert "; and 145 more. " in newest(driver, "j").text
    choice = graph(
        ["s", *names],
        *(edge(f"s > {name}", **when("x", "==", number)) for number, name in enumerate(names)),
    )
    way = newest(drive(planned(choice), initial={"x": 149}), "s")
    assert len(way.out_edges) == 100
    assert [one.to_node for one in way.out_edges if one.state == "taken"] == ["n149"]


# --- against the run itself -------------------------------------------------------------------------------------------

COMMANDS: list[Message] = [Cancel(), DeadlinePassed(), Pause(), Recover()]
_ENDED = {
    NodeStatus.COMPLETED: "completed",
    NodeStatus.FAILED: "failed",
    NodeStatus.SKIPPED: "skipped",
    NodeStatus.CANCELLED: "cancelled",
}


def check_trace(run: Run, trace: Trace) -> None:
    """Compare where the trace and the run say that everything stands."""
    for one in run.plan.edges:
        if one.back_to is None and one.index in run.plan.nodes[one.target].in_edges:
            decided = trace.edges[one.index]
            is_dead = decided is not None and decided.state == "dead"
            status = EdgeStatus.UNDECIDED if decided is None else EdgeStatus.DEAD if is_dead else EdgeStatus.TAKEN
            assert status is run.edges[one.index]
    for index, node_status in enumerate(run.nodes):
        stand = trace.nodes[index].status
        if node_status in _ENDED:
            assert stand == _ENDED[node_status]
        else:
            assert (stand is None) == (node_status is NodeStatus.IDLE)
            assert stand not in OVER
    for index, scope in enumerate(run.scopes):
        if index != ROOT:
            assert (scope.entered, scope.total) == (trace.turns[index].entered, trace.turns[index].total)
    assert (trace.run.stopping is not None) == run.is_stopping


def check_words(driver: Driver) -> None:
    """Explain every node, and check that the answers fit what the run knows."""
    run = driver.run
    for one in driver.plan.nodes:
        explanation = told(driver, one.name)
        assert msgspec.json.encode(explanation)
        listed = explanation.activations
        for activation in listed:
            if activation.attempts and one.index != driver.plan.entry:
                assert any(edge_in.state == "taken" for edge_in in activation.in_edges)
            if activation.status == "skipped":
                assert all(edge_in.state == "dead" for edge_in in activation.in_edges) or one.needs > 1
        status = listed[-1].status if listed else None
        assert (status in ("running", "retry_wait")) == (one.index in run.active)
        if status in ("waiting_for_edges", "ready"):
            assert not run.status.is_final
            assert listed[-1].waits_for


@costly
@given(SEEDS, st.booleans(), st.integers(0, 1_000))
def test_the_trace_stands_where_the_run_does_and_every_wait_has_a_reason(
    seed: int, counted: bool, schedule: int
) -> None:
    plan = planned(build(seed, Shape(counted_joins=counted)))
    script, random = script_of(seed), Random(schedule)
    driver = Driver(plan, default_policies(plan, max_attempts=2))
    driver.begin({"log": []})
    while not driver.run.status.is_final:
        draw = random.random()
        if draw < 0.02:
            driver.send(random.choice(COMMANDS))
        elif driver.run.paused:
            driver.send(Resume())
        name = plan.nodes[random.choice([*driver.open, *driver.timers])].name if driver.open or driver.timers else ""
        if name and plan.index_of[name] in driver.timers:
            driver.ring(name)
        elif name:
            driver.end(name, fail() if draw > 0.9 else script(driver.open[plan.index_of[name]]))
        if draw > 0.8:
            check_words(driver)
    check_words(driver)
    run, trace = new_run(plan, "run-1", driver.policies), Trace(plan, 0, "", 1)
    for record in driver.records:
        apply(run, record)
        trace.follow(record)
        check_trace(run, trace)
