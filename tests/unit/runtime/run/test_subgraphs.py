"""Graphs inside nodes: what goes in, what comes out, how they fail, and that they do all that a run does."""

from typing import Any

import pytest

from runtime.graph.checks import judge
from runtime.run.messages import Stopped
from tests.support.driver import fail
from tests.support.graphs import Source, edge, graph, loop, node
from tests.support.hand import Hand, each, sub, tools, wait

CHAIN = graph("a b", "a > b")


def one(inner: Source = CHAIN, **keys: Any) -> Source:
    return graph([sub("g", inner, **keys), "after"], "g > after")


def test_the_graph_runs_in_the_step_and_its_records_have_the_path() -> None:
    hand = Hand(one()).begin(x=1)
    assert hand.calls() == ["g#1/a"]
    started = hand.of("step_started", "g")[0]
    assert (started.graph[:6], started.attempt) == ("graph-", 1)
    assert hand.view("g#1/a") == {"x": 1}
    hand.end("g#1/a", y=2)
    assert hand.view("g#1/b") == {"x": 1, "y": 2}
    hand.end("g#1/b", z=3)
    assert hand.of("step_completed", "g")[0].update == {"y": 2, "z": 3}
    assert hand.view("after") == {"x": 1, "y": 2, "z": 3}
    hand.end("after")
    assert (hand.status, hand.run.steps) == ("completed", 4)


def test_what_only_went_in_does_not_come_out() -> None:
    hand = Hand(graph([sub("g", CHAIN)], reducers={"n": "add"})).begin(n=5).finish()
    assert hand.state == {"n": 5}


@pytest.mark.parametrize(
    ("keys", "state", "seen", "left"),
    [
        ({}, {"x": 1}, {"x": 1}, {"x": 1, "y": {"z": [7]}}),
        ({"input": {"k": "x.y.0"}}, {"x": {"y": [5]}}, {"k": 5}, {"x": {"y": [5]}, "y": {"z": [7]}}),
        ({"input": {}}, {"x": 1}, {}, {"x": 1, "y": {"z": [7]}}),
        ({"output": {"o": "y.z.0", "none": "q.r"}}, {"x": 1}, {"x": 1}, {"x": 1, "o": 7}),
        ({"output": {"o": "x"}}, {"x": 1}, {"x": 1}, {"x": 1, "o": 1}),
        ({"output": {}}, {"x": 1}, {"x": 1}, {"x": 1}),
    ],
)
def test_input_and_output_are_mapped(keys: dict[str, Any], state: Any, seen: Any, left: Any) -> None:
    hand = Hand(one(**keys)).begin(**state)
    assert hand.view("g#1/a") == seen
    hand.finish(a={"y": {"z": [7]}})
    assert hand.state == left


@pytest.mark.parametrize("on_error", ["fail_run", "continue", "route"])
@pytest.mark.parametrize("why", ["MISSING_INPUT", "INVALID_INPUT"])
def test_a_graph_that_cannot_begin_fails_the_step(why: str, on_error: str) -> None:
    inner = graph("a", input_schema={"required": ["k"], "properties": {"k": {"type": "number"}}})
    keys = {"on_error": on_error, "input": {"k": "nowhere" if why == "MISSING_INPUT" else "x"}}
    edges = [edge("g > after", on="error")] if on_error == "route" else ["g > after"]
    hand = Hand(graph([sub("g", inner, **keys), "after"], *edges)).begin(x="text")
    [failed] = hand.of("step_failed")
    assert (failed.error.code, failed.attempt) == (why, 0)
    hand.finish()
    assert hand.status == ("failed" if on_error == "fail_run" else "completed")


def test_its_reducers_are_its_own() -> None:
    inner = graph("a b", "a > b", reducers={"n": "add"})
    hand = Hand(graph([sub("g", inner)])).begin(n=1)
    hand.finish(a={"n": 2}, b={"n": 3})
    assert hand.state == {"n": 6}


@pytest.mark.parametrize("on_error", ["fail_run", "continue", "route"])
def test_a_failure_inside_is_that_of_the_step(on_error: str) -> None:
    edges = [edge("g > after", on="error")] if on_error == "route" else ["g > after"]
    hand = Hand(graph([sub("g", CHAIN, on_error=on_error), "after"], *edges)).begin()
    hand.end("g#1/a", fail("MINE"))
    assert [(record.node, record.error.code, record.handled) for record in hand.of("step_failed")] == [
        ("a", "MINE", "fail_run"),
        ("g", "MINE", on_error),
    ]
    assert next(record.path for record in hand.of("run_failing")) == "g#1"
    hand.finish()
    assert hand.status == ("failed" if on_error == "fail_run" else "completed")
    assert hand.state == {}


def test_what_a_failing_graph_did_is_lost_with_it() -> None:
    hand = Hand(one(on_error="continue")).begin()
    hand.finish(a={"x": 1}, b=fail())
    assert (hand.status, hand.state) == ("completed", {})


@pytest.mark.parametrize("code", ["CONDITION_ERROR", "NO_ROUTE", "LOOP_EXHAUSTED", "STATE_CONFLICT"])
def test_failures_of_routes_loops_and_joins_inside_are_failures_of_the_step(code: str) -> None:
    inner = {
        "CONDITION_ERROR": graph("a b", edge("a > b", condition={"field": "x", "operator": ">", "value": 1})),
        "NO_ROUTE": graph(
            [node("a", on_unmatched="fail"), "b"], edge("a > b", condition={"field": "y", "operator": "exists"})
        ),
        "LOOP_EXHAUSTED": graph("a", loops=[loop("a", max_iterations=1, on_max="fail")]),
        "STATE_CONFLICT": graph("a b c j", "a > b", "a > c", "b > j", "c > j"),
    }[code]
    hand = Hand(one(inner, on_error="continue")).begin(x="text")
    hand.finish(b={"z": 1}, c={"z": 2})
    assert hand.of("step_failed", "g")[0].error.code == code
    assert hand.status == "completed"


def test_each_iteration_of_a_loop_runs_it_anew() -> None:
    hand = Hand(graph([sub("g", CHAIN)], loops=[loop("g", max_iterations=3)])).begin()
    hand.finish()
    assert [name for name in hand.names() if name.endswith("a")] == ["g#1/a", "g#2/a", "g#3/a"]
    assert hand.status == "completed"


def test_loops_inside_count_anew_for_each_graph() -> None:
    inner = graph("a", loops=[loop("a", max_iterations=2)])
    hand = Hand(graph([sub("g", inner)], loops=[loop("g", max_iterations=2)])).begin().finish()
    assert hand.started()[1:3] == [("g#1/a", 1), ("g#1/a", 2)]
    assert hand.started()[4:] == [("g#2/a", 1), ("g#2/a", 2)]


def nested(depth: int, innermost: Source) -> Source:
    source = innermost
    for _ in range(depth):
        source = graph([sub("g", source)])
    return source


def test_graphs_nest_eight_deep_and_one_deeper_is_refused() -> None:
    hand = Hand(nested(8, CHAIN)).begin(x=1)
    path = "/".join(["g#1"] * 8)
    assert hand.calls() == [f"{path}/a"]
    hand.end(f"{path}/a", y=2)
    hand.crash()
    hand.end(f"{path}/b")
    assert (hand.status, hand.state, hand.run.steps) == ("completed", {"x": 1, "y": 2}, 10)
    assert [problem.type for problem in judge(nested(9, CHAIN), tools()).errors] == ["too_deep"]


def test_a_failure_eight_deep_fails_the_run_and_is_retried_there() -> None:
    hand = Hand(nested(8, CHAIN)).begin()
    path = "/".join(["g#1"] * 8)
    hand.end(f"{path}/a", fail("DEEP"))
    assert (hand.status, hand.error) == ("failed", "DEEP")
    hand.retry()
    assert hand.calls() == [f"{path}/a"]
    assert hand.finish().status == "completed"


@pytest.mark.parametrize("command", ["cancel", "deadline"])
def test_what_ends_the_run_ends_what_runs_eight_deep(command: str) -> None:
    hand = Hand(nested(8, graph(["a", "b", wait("w", signal="x")], "a > b", "a > w"))).begin()
    path = "/".join(["g#1"] * 8)
    hand.end(f"{path}/a")
    getattr(hand, command)()
    assert hand.calls() == [f"{path}/b"]
    hand.end(f"{path}/b", Stopped())
    assert hand.run.status == ("cancelled" if command == "cancel" else "timed_out")
    assert [record.node for record in hand.of("step_cancelled")] == ["w", "b", *"gggggggg"]


def test_names_with_slashes_are_escaped_in_paths() -> None:
    hand = Hand(graph([sub("x/y~z", graph("a"))])).begin()
    assert hand.calls() == ["x~1y~0z#1/a"]
    assert hand.finish().status == "completed"


# --- time-outs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_error", ["fail_run", "continue"])
def test_a_graph_that_takes_too_long_is_stopped_and_its_step_fails_once_it_has(on_error: str) -> None:
    hand = Hand(one(timeout_s=10, on_error=on_error)).begin()
    hand.end("g#1/a", x=1)
    hand.later(9)
    assert hand.of("step_cancel_requested") == []
    hand.later(1)
    [requested] = hand.of("step_cancel_requested")
    assert (requested.node, requested.reason) == ("g", "timeout")
    assert hand.calls() == ["g#1/b"]
    hand.end("g#1/b", Stopped())
    [failed] = hand.of("step_failed")
    assert (failed.node, failed.error.code, failed.handled) == ("g", "TIMEOUT", on_error)
    hand.finish()
    assert hand.status == ("failed" if on_error == "fail_run" else "completed")
    assert hand.state == {}


def test_a_graph_without_a_time_out_has_none() -> None:
    hand = Hand(one()).begin()
    hand.later(1_000_000)
    assert hand.calls() == ["g#1/a"]


def test_a_time_out_counts_across_a_crash_and_a_pause() -> None:
    hand = Hand(one(timeout_s=10)).begin()
    hand.pause()
    hand.now = hand.now.replace(minute=30)
    hand.crash()
    assert hand.of("step_cancel_requested") == []
    hand.resume()
    assert hand.of("step_cancel_requested") != []
    hand.end("g#1/a", Stopped())
    assert hand.error == "TIMEOUT"


def test_the_inner_and_the_outer_time_out_at_once() -> None:
    hand = Hand(graph([sub("o", graph([sub("i", graph("a"), timeout_s=10)]), timeout_s=10)])).begin()
    hand.later(10)
    hand.end("o#1/i#1/a", Stopped())
    assert (hand.status, hand.error) == ("failed", "TIMEOUT")
    assert [record.node for record in hand.of("step_failed")][-1] == "o"


def test_a_retry_gives_a_graph_its_whole_time_again() -> None:
    hand = Hand(one(timeout_s=10)).begin()
    hand.later(10)
    hand.end("g#1/a", Stopped())
    hand.later(1_000)
    hand.retry()
    assert hand.calls() == ["g#1/a"]
    hand.later(9)
    assert len(hand.of("step_cancel_requested")) == 1
    hand.end("g#1/a")
    hand.end("g#1/b")
    assert hand.finish().status == "completed"


def test_a_fork_gives_a_graph_its_whole_time_again() -> None:
    hand = Hand(one(timeout_s=10)).begin()
    hand.finish()
    hand.later(1_000)
    new = hand.fork("b", path="g#1")
    assert new.calls() == ["g#1/b"]
    assert new.finish().status == "completed"


# --- limits -----------------------------------------------------------------------------------------------------------


def test_steps_inside_count_for_the_run() -> None:
    hand = Hand(one(graph("a b c", "a > b", "b > c", limits={"max_steps": 1})) | {"limits": {"max_steps": 3}}).begin()
    hand.finish()
    assert (hand.status, hand.error, hand.run.steps) == ("failed", "STEP_LIMIT", 3)


def test_the_step_limit_ends_a_run_that_passes_over_its_failures() -> None:
    hand = Hand(one(CHAIN, on_error="continue") | {"limits": {"max_steps": 2}}).begin()
    hand.finish()
    assert (hand.status, hand.error) == ("failed", "STEP_LIMIT")


def test_a_result_that_is_too_large_fails_the_step() -> None:
    big = "x" * 600_000
    hand = Hand(one(CHAIN, on_error="continue")).begin()
    hand.finish(a={"a": big}, b={"b": big})
    assert hand.of("step_failed")[0].error.code == "UPDATE_TOO_LARGE"
    assert hand.status == "completed"


def test_a_sub_graph_in_an_item_in_a_sub_graph() -> None:
    source = graph([sub("o", graph([each("m", inner=graph([sub("i", graph("a"), input={"v": "item"})]))]))])
    hand = Hand(source).begin(items=[10, 20])
    assert hand.calls() == ["o#1/m#1[0]/i#1/a", "o#1/m#1[1]/i#1/a"]
    assert hand.view("o#1/m#1[1]/i#1/a") == {"v": 20}
    hand.finish(a={"r": 1})
    assert hand.state["m"] == [{"r": 1}, {"r": 1}]
