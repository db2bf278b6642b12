"""What people ask of a run: pause, resume, cancel, retry, fork; each beside everything else that a run may be in."""

from datetime import timedelta
from typing import Any

import pytest

from runtime.run.decision import Refused
from runtime.run.messages import AttemptEnded, Start, Stopped, Submit, Succeeded
from tests.support.driver import fail
from tests.support.graphs import Source, edge, graph, leaf, loop, node, when
from tests.support.hand import Hand, approval, bare, each, sub, wait

CHAIN = graph("a b c", "a > b", "b > c")


def refused(hand: Hand) -> str:
    with pytest.raises(Refused) as caught:
        hand.retry()
    assert caught.value.code == "NOTHING_TO_RETRY"
    return caught.value.message


# --- pause and resume -------------------------------------------------------------------------------------------------


def test_a_paused_run_takes_results_in_and_starts_nothing_until_it_is_resumed() -> None:
    hand = Hand(CHAIN).begin()
    hand.pause()
    assert hand.status == "paused"
    hand.end("a", x=1)
    assert (hand.calls(), hand.state) == ([], {"x": 1})
    hand.resume()
    assert (hand.calls(), hand.status) == (["b"], "running")


def test_pausing_and_resuming_twice_is_once() -> None:
    hand = Hand(CHAIN).begin()
    assert hand.resume() == []
    assert [record.event for record in hand.pause()] == ["run_paused"]
    assert hand.pause() == []
    assert [record.event for record in hand.resume()] == ["run_resumed"]
    assert hand.resume() == []


def test_a_run_that_is_paused_before_it_starts_starts_when_it_is_resumed() -> None:
    hand = Hand(CHAIN)
    hand.send(Submit({}, {}))
    hand.pause()
    assert hand.send(Start()) == []
    assert hand.status == "paused"
    hand.resume()
    assert hand.calls() == ["a"]
    assert hand.send(Start()) == []


def test_a_pause_holds_back_retries_loops_joins_and_what_comes_after_waits() -> None:
    source = graph(
        ["s", node("r", retry={"max_attempts": 2}), "l", wait("w", for_s=5), "j"],
        *(f"s > {name}" for name in "rlw"),
        *(f"{name} > j" for name in "rlw"),
        loops=[loop("l", max_iterations=2)],
    )
    hand = Hand(source).begin()
    hand.end("s")
    hand.pause()
    hand.end("r", fail())
    hand.end("l")
    hand.later(60)
    assert hand.calls() == []
    hand.crash()
    assert hand.calls() == []
    hand.resume()
    assert sorted(hand.calls()) == ["l", "r"]
    assert hand.of("step_completed", "w") != []
    hand.finish()
    assert hand.status == "completed"


def test_a_run_that_has_nothing_left_to_do_ends_when_it_is_resumed() -> None:
    hand = Hand(graph("a")).begin()
    hand.pause()
    hand.end("a")
    hand.crash()
    assert hand.status == "paused"
    hand.resume()
    assert hand.status == "completed"


def test_signals_and_answers_are_taken_while_paused() -> None:
    hand = Hand(
        graph(["s", wait("w", signal="go", into="w"), approval("q"), "j"], "s > w", "s > q", "w > j", "q > j")
    ).begin()
    hand.end("s")
    hand.pause()
    hand.signal("go", 1)
    hand.answer("q#1", 2)
    assert (hand.calls(), hand.state) == ([], {"w": 1, "q": 2})
    hand.resume()
    assert hand.view("j") == {"w": 1, "q": 2}


@pytest.mark.parametrize("command", ["cancel", "deadline"])
def test_the_end_of_a_paused_run_does_not_wait_for_its_resume(command: str) -> None:
    hand = Hand(graph(["s", "a", wait("w", for_s=5), "f"], "s > a", "s > w", **{"finally": ["f"]})).begin()
    hand.end("s")
    hand.pause()
    getattr(hand, command)()
    assert hand.pause() == []
    hand.end("a", Stopped())
    assert hand.calls() == ["f"]
    hand.end("f")
    assert hand.run.status == ("cancelled" if command == "cancel" else "timed_out")


def test_a_failure_while_paused_ends_the_run_and_a_retry_goes_on_without_the_pause() -> None:
    hand = Hand(CHAIN).begin()
    hand.pause()
    hand.end("a", fail())
    assert hand.run.status == "failed"
    hand.retry()
    assert (hand.calls(), hand.status) == (["a"], "running")
    hand.end("a")
    assert hand.calls() == ["b"]


def test_a_pause_reaches_sub_graphs_and_items() -> None:
    hand = Hand(graph(["s", sub("g", CHAIN), each("m", [1, 2], inner=CHAIN)], "s > g", "s > m")).begin()
    hand.end("s")
    hand.pause()
    for name in hand.calls():
        hand.end(name)
    assert hand.calls() == []
    hand.crash()
    hand.resume()
    assert sorted(hand.calls()) == ["g#1/b", "m#1[0]/b", "m#1[1]/b"]


def test_a_sub_graph_whose_last_step_ends_during_a_pause_ends_at_its_resume() -> None:
    hand = Hand(graph([sub("g", graph([sub("h", graph("a"))])), "b"], "g > b")).begin()
    hand.pause()
    hand.end("g#1/h#1/a", x=1)
    hand.crash()
    hand.resume()
    assert hand.view("b") == {"x": 1}


# --- cancel -----------------------------------------------------------------------------------------------------------


def test_a_cancelled_run_has_nothing_to_retry_and_one_that_runs_has_not_either() -> None:
    hand = Hand(CHAIN).begin()
    assert "running" in refused(hand)
    hand.cancel()
    hand.end("a", Stopped())
    assert "cancelled" in refused(hand)


@pytest.mark.parametrize("status", ["waiting", "paused", "completed"])
def test_only_runs_that_failed_or_timed_out_are_retried(status: str) -> None:
    hand = Hand(graph([wait("w", signal="go")])).begin()
    if status == "paused":
        hand.pause()
    elif status == "completed":
        hand.signal("go")
    assert status in refused(hand)


# --- retry ------------------------------------------------------------------------------------------------------------


def test_a_retry_goes_on_with_the_failed_step_and_keeps_what_was_done() -> None:
    hand = Hand(CHAIN | {"limits": {"timeout_s": 100}}).begin(x=0)
    hand.end("a", x=1)
    hand.end("b", fail())
    assert hand.status == "failed"
    hand.later(5_000)
    hand.retry()
    [retried] = hand.of("run_retried")
    assert retried.deadline == hand.now + timedelta(seconds=100) == hand.run.deadline
    assert (hand.status, hand.calls(), hand.view("b")) == ("running", ["b"], {"x": 1})
    assert [record.attempt for record in hand.of("step_started", "b")] == [1, 2]
    hand.finish()
    assert (hand.status, hand.names(), hand.run.steps) == ("completed", ["a", "b", "c"], 3)


def test_the_retries_of_a_step_count_anew() -> None:
    hand = Hand(graph([node("a", retry={"max_attempts": 2, "jitter": "none", "initial_s": 3, "budget_s": 5})])).begin()
    for number in (1, 2, 3):
        hand.end("a", fail())
        assert hand.status == "running"
        hand.later(3)
        hand.end("a", fail())
        assert hand.status == "failed"
        hand.later(1_000)
        if number < 3:
            hand.retry()
    assert [record.attempt for record in hand.of("step_started")] == [1, 2, 3, 4, 5, 6]
    assert [record.delay_ms for record in hand.of("step_retrying")] == [3_000] * 3


def test_steps_that_were_stopped_with_the_run_go_on_too() -> None:
    source = graph(
        ["s", "bad", "also", node("r", retry={"max_attempts": 5}), "fine", "next"],
        *(f"s > {name}" for name in ("bad", "also", "r", "fine")),
        "fine > next",
    )
    hand = Hand(source).begin()
    hand.end("s")
    hand.end("r", fail())
    hand.end("bad", fail("ONE"))
    hand.end("also", fail("TWO"))
    hand.end("fine", x=1)
    assert (hand.status, hand.error) == ("failed", "ONE")
    assert "next" not in hand.names()
    hand.retry()
    hand.crash()
    assert sorted(hand.calls()) == ["also", "bad", "next", "r"]
    assert hand.view("next") == {"x": 1}
    hand.finish()
    assert hand.status == "completed"
    assert hand.names().count("fine") == 1


def test_a_step_that_completed_while_the_run_was_failing_routes_in_the_retry_as_it_would_have() -> None:
    source = graph(
        ["s", "bad", "fine", "yes", "no", "j"],
        "s > bad",
        "s > fine",
        edge("fine > yes", **when("x", ">", 1)),
        edge("fine > no", default=True),
        "bad > j",
        "yes > j",
    )
    hand = Hand(source).begin()
    hand.end("s")
    hand.end("bad", fail())
    hand.end("fine", x=2)
    hand.retry()
    hand.crash()
    assert sorted(hand.calls()) == ["bad", "yes"]
    hand.end("yes", y=1)
    hand.end("bad", z=1)
    assert hand.view("j") == {"x": 2, "y": 1, "z": 1}
    assert hand.finish().status == "completed"


def test_a_loop_that_went_round_while_the_run_was_failing_goes_on_in_the_retry() -> None:
    for completes in (True, False):
        source = graph("s bad l", "s > bad", "s > l", loops=[loop("l", leaf("n", ">=", 3))])
        hand = Hand(source).begin()
        hand.end("s")
        hand.end("l", n=1)
        hand.end("bad", fail())
        hand.end("l", n=2) if completes else hand.end("l", Stopped())
        assert hand.status == "failed"
        hand.retry()
        assert sorted(hand.calls()) == ["bad", "l"]
        hand.crash()
        hand.end("bad")
        while hand.calls():
            hand.end("l", n=3)
        assert hand.status == "completed"
        assert max(iteration for name, iteration in hand.started() if name == "l") == (3 if completes else 2)


def test_the_same_step_may_complete_again_after_a_retry_took_it_on() -> None:
    source = graph("s bad h t", "s > bad", "s > h", "h > t", "t > h", loops=[loop("t", leaf("n", ">=", 3))])
    hand = Hand(source).begin()
    hand.end("s")
    hand.end("bad", fail())
    hand.end("h", n=1)
    hand.retry()
    hand.end("t", n=2)
    hand.end("h", seen=2)
    assert hand.view("t") == {"n": 2, "seen": 2}
    hand.end("bad", fail())
    hand.end("t", n=2, t=1)
    hand.retry()
    hand.finish(h={"n": 3})
    assert hand.status == "completed"


def test_two_retries_in_a_row_and_a_crash_in_each() -> None:
    hand = Hand(graph("s a b j", "s > a", "s > b", "a > j", "b > j")).begin()
    hand.end("s")
    for _ in range(3):
        hand.end("a", fail())
        if "b" in hand.calls():
            hand.end("b", x=1)
        assert hand.status == "failed"
        hand.retry()
        hand.crash()
    hand.end("a")
    hand.end("j")
    assert (hand.status, hand.names()) == ("completed", ["s", "a", "b", "j"])


def test_a_run_that_timed_out_goes_on_with_a_new_deadline() -> None:
    source = graph(["s", "a", wait("w", for_s=50), node("r", retry={"max_attempts": 9})], "s > a", "s > w", "s > r")
    hand = Hand(source | {"limits": {"timeout_s": 10}}).begin()
    hand.end("s")
    hand.end("r", fail())
    hand.later(10)
    hand.deadline()
    hand.end("a", Stopped())
    hand.end("r", Stopped())
    assert hand.status == "timed_out"
    hand.retry()
    assert hand.run.deadline == hand.now + timedelta(seconds=10)
    assert sorted(hand.calls()) == ["a", "r"]
    hand.finish()
    assert hand.status == "completed"


def test_a_run_that_timed_out_while_nothing_ran_goes_on_with_what_was_next() -> None:
    hand = Hand(CHAIN).begin()
    hand.pause()
    hand.end("a")
    hand.deadline()
    assert hand.run.status == "timed_out"
    hand.retry()
    assert hand.calls() == ["b"]
    assert hand.finish().status == "completed"


@pytest.mark.parametrize(
    "code", ["CONDITION_ERROR", "NO_ROUTE", "LOOP_EXHAUSTED", "STEP_LIMIT", "STATE_CONFLICT", "INVALID_ITEMS"]
)
def test_what_would_fail_again_in_the_same_way_is_not_retried(code: str) -> None:
    source: Source = {
        "CONDITION_ERROR": graph("a b", edge("a > b", condition=leaf("x", ">", 1))),
        "NO_ROUTE": graph([node("a", on_unmatched="fail"), "b"], edge("a > b", condition=leaf("y", "==", 1))),
        "LOOP_EXHAUSTED": graph("a", loops=[loop("a", max_iterations=1, on_max="fail")]),
        "STEP_LIMIT": graph("a b", "a > b", limits={"max_steps": 1}),
        "STATE_CONFLICT": graph("a b c j", "a > b", "a > c", "b > j", "c > j"),
        "INVALID_ITEMS": graph(["a", each("m", "x")], "a > m"),
    }[code]
    for wrapped in (source, graph([sub("g", source)], limits={"max_steps": 2 if code == "STEP_LIMIT" else 100})):
        hand = Hand(wrapped).begin(x="text")
        hand.finish(b={"z": 1}, c={"z": 2})
        assert (hand.status, hand.error) == ("failed", code)
        assert "again" in refused(hand)


def test_a_failure_that_no_error_edge_takes_is_not_retried() -> None:
    source = graph([node("a", on_error="route"), "b"], edge("a > b", on="error", **when("x", "==", 1)))
    hand = Hand(source).begin()
    hand.end("a", fail())
    assert hand.status == "failed"
    refused(hand)


def test_a_refused_retry_leaves_the_run_as_it_was() -> None:
    hand = Hand(CHAIN).begin()
    hand.finish()
    before = len(hand.records)
    refused(hand)
    assert len(hand.records) == before


def test_a_retry_goes_on_deep_inside_and_keeps_what_was_done_there() -> None:
    inner = graph([each("m", [1, 2], inner=CHAIN), "x"], "m > x")
    hand = Hand(graph([sub("g", inner), "after"], "g > after")).begin()
    hand.end("g#1/m#1[0]/a", r=1)
    hand.end("g#1/m#1[0]/b", fail("DEEP"))
    hand.end("g#1/m#1[1]/a", r=2)
    assert (hand.status, hand.error) == ("failed", "ITEM_FAILED")
    hand.retry()
    assert sorted(hand.calls()) == ["g#1/m#1[0]/b", "g#1/m#1[1]/b"]
    hand.crash()
    hand.finish()
    assert (hand.status, hand.state["m"]) == ("completed", [{"r": 1}, {"r": 2}])
    assert [name for name in hand.names() if name.endswith("/a")] == ["g#1/m#1[0]/a", "g#1/m#1[1]/a"]


def test_a_retry_may_fail_elsewhere() -> None:
    hand = Hand(CHAIN).begin()
    hand.end("a", fail("ONE"))
    hand.retry()
    hand.end("a")
    hand.end("b", fail("TWO"))
    assert (hand.error, hand.of("run_failed")[-1].node) == ("TWO", "b")
    hand.retry()
    assert hand.calls() == ["b"]


def test_a_retried_run_can_be_paused_cancelled_and_timed_out() -> None:
    for command in ("cancel", "deadline"):
        hand = Hand(CHAIN).begin()
        hand.end("a", fail())
        hand.retry()
        hand.pause()
        getattr(hand, command)()
        hand.end("a", Stopped())
        assert hand.run.status == ("cancelled" if command == "cancel" else "timed_out")
        if command == "deadline":
            hand.retry()
            assert hand.finish().status == "completed"


def test_a_late_outcome_of_an_attempt_before_the_retry_changes_nothing() -> None:
    hand = Hand(CHAIN).begin()
    hand.end("a", fail())
    hand.retry()
    assert hand.send(AttemptEnded(0, 1, 1, Succeeded({"x": 1}), 1.0)) == []
    hand.end("a")
    assert hand.state == {}


# --- fork -------------------------------------------------------------------------------------------------------------


def test_a_fork_begins_before_the_step_with_the_state_that_it_is_given() -> None:
    hand = Hand(CHAIN | {"limits": {"timeout_s": 100}}).begin(x=1, y=1)
    hand.end("a", y=2)
    hand.end("b", fail())
    hand.later(1_000)
    new = hand.fork("b", state={"x": 10, "z": None})
    [forked] = new.of("run_forked")
    assert (forked.source_run_id, forked.source_seq, forked.node, forked.iteration) == ("run-0", forked.seq - 1, "b", 1)
    assert forked.deadline == new.now + timedelta(seconds=100) == new.run.deadline
    assert new.view("b") == {"x": 10, "y": 2, "z": None}
    new.crash()
    assert new.view("b") == {"x": 10, "y": 2, "z": None}
    new.finish(b={"b": 1})
    assert (new.status, new.state) == ("completed", {"x": 10, "y": 2, "z": None, "b": 1})
    assert hand.status == "failed"


def test_a_fork_at_the_entry_is_a_run_of_its_own() -> None:
    hand = Hand(CHAIN).begin(x=1).finish()
    new = hand.fork("a", state={"x": 2})
    assert new.view("a") == {"x": 2}
    new.finish()
    assert (new.status, new.state, new.names()) == ("completed", {"x": 2}, ["a", "b", "c"])


def test_steps_that_ran_at_that_moment_start_again() -> None:
    hand = Hand(graph("s a b c", "s > a", "s > b", "b > c")).begin()
    hand.end("s")
    hand.end("b")
    hand.end("c")
    hand.end("a")
    new = hand.fork("c")
    assert sorted(new.calls()) == ["a", "c"]
    assert new.finish().status == "completed"


def test_a_fork_in_the_middle_of_nested_loops() -> None:
    source = graph(
        "o i t after",
        "o > i",
        "i > t",
        "t > o",
        "t > after",
        loops=[loop("i", max_iterations=2), loop("t", max_iterations=3)],
    )
    hand = Hand(source).begin().finish()
    for name, iteration in hand.started():
        new = hand.fork(name, iteration)
        assert new.calls() == [name]
        new.crash()
        new.finish()
        assert new.started() == hand.started()
        assert new.status == "completed"


def test_a_fork_at_any_step_of_everything_ends_as_the_run_did() -> None:
    inner = graph([wait("w", for_s=1), "x"], "w > x")
    source = graph(
        [
            "s",
            sub("g", inner, timeout_s=60),
            each("m", [1, 2, 3], inner=inner, concurrency=2, node_timeout_s=60),
            "l",
            node("slow", retry={"max_attempts": 2}),
            node("j", join={"n": 3}, cancel_losers=True),
            "f",
        ],
        *(f"s > {name}" for name in ("g", "m", "l", "slow")),
        *(f"{name} > j" for name in ("g", "m", "l", "slow")),
        loops=[loop("l", max_iterations=2)],
        **{"finally": ["f"]},
    )
    hand = Hand(source).begin()
    hand.end("s")
    hand.end("slow", fail())
    while hand.calls() != ["j"]:
        busy = [name for name in hand.calls() if name != "j"]
        hand.end(busy[0], r=1) if busy else hand.later(0.25)
        if hand.run.active.get(4) is not None and hand.of("step_started", "j"):
            break
    hand.finish()
    assert hand.status == "completed"
    hand.later(10_000)
    for record in [one for one in hand.of("step_started") if one.attempt == 1]:
        path = record.path if isinstance(record.path, str) else ""
        new = hand.fork(record.node, record.iteration, path)
        new.finish()
        assert new.status == "completed", (path, record.node, record.iteration)


def test_a_fork_inside_a_sub_graph_and_an_item() -> None:
    hand = Hand(graph([sub("g", graph([each("m", inner=CHAIN)]))])).begin(items=[1, 2]).finish(b={"r": 1})
    new = hand.fork("b", path="g#1/m#1[1]", state={"item": 20})
    [forked] = new.of("run_forked")
    assert forked.path == "g#1/m#1[1]"
    assert new.view("g#1/m#1[1]/b")["item"] == 20
    new.finish(b={"r": 2})
    assert new.state["m"][1] == {"r": 2}
    assert new.status == "completed"


def test_a_fork_keeps_signals_that_wait_and_waits_that_began() -> None:
    hand = Hand(graph(["s", "a", wait("w", signal="go", into="w"), "b"], "s > a", "s > b", "a > w")).begin()
    hand.signal("go", 1, "one")
    hand.end("s")
    hand.end("a")
    hand.end("b")
    assert (hand.status, hand.state) == ("completed", {"w": 1})
    new = hand.fork("w")
    assert new.calls() == ["b"]
    assert new.state == {"w": 1}
    assert new.signal("go", 2, "one") == []
    early = hand.fork("a")
    assert [signal.data for signal in early.run.signals] == [1]


def test_a_wait_beside_the_forked_step_begins_again() -> None:
    hand = Hand(
        graph(["s", wait("w", for_s=10), approval("q", timeout_s=20), "a", "b"], *("s > w", "s > q", "s > a", "a > b"))
    )
    hand.begin().end("s")
    hand.end("a")
    hand.end("b")
    hand.later(30)
    assert hand.status == "failed"
    hand.later(1_000)
    new = hand.fork("b")
    assert new.calls() == ["b"]
    new.end("b")
    assert new.status == "waiting"
    new.later(10)
    new.answer("q#1", 1)
    assert new.status == "completed"


def test_a_fork_overwrites_what_would_fail_the_step_before_it_starts() -> None:
    items = graph(["a", each("m", "x"), "z"], "a > m", "m > z")
    hand = Hand(items).begin(x="none")
    hand.end("a")
    assert hand.error == "INVALID_ITEMS"
    new = hand.fork("m", state={"x": [1, 2]})
    assert len(new.calls()) == 2
    assert new.of("step_started", "m")[0].items == 2
    new.crash()
    assert new.finish().status == "completed"

    hand = Hand(graph([wait("w", until_field="at")])).begin()
    assert hand.error == "INVALID_WAIT"
    new = hand.fork("w", state={"at": "2030-01-01T12:00:05Z"})
    assert new.status == "waiting"
    assert new.finish().status == "completed"

    hand = Hand(graph([sub("g", graph("i"), input={"k": "deep.k"})])).begin()
    assert hand.error == "MISSING_INPUT"
    new = hand.fork("g", state={"deep": {"k": 1}})
    assert new.view("g#1/i") == {"k": 1}


def test_a_fork_settles_a_contradiction() -> None:
    hand = Hand(graph("a b c j", "a > b", "a > c", "b > j", "c > j")).begin()
    hand.finish(b={"x": 1}, c={"x": 2})
    assert hand.error == "STATE_CONFLICT"
    new = hand.fork("j", state={"x": 3})
    assert new.view("j") == {"x": 3}
    assert new.finish().state == {"x": 3}
    again = hand.fork("j", state={"y": 3})
    assert (again.status, again.error) == ("failed", "STATE_CONFLICT")


def test_a_fork_writes_past_reducers() -> None:
    hand = Hand(CHAIN | {"reducers": {"n": "add", "seen": "append"}}).begin(n=1, seen=["old"])
    hand.finish(a={"n": 1, "seen": "a"}, b={"n": 1, "seen": "b"})
    assert hand.state == {"n": 3, "seen": ["old", "a", "b"]}
    new = hand.fork("b", state={"n": 100, "seen": []})
    assert new.view("b") == {"n": 100, "seen": []}
    new.finish(b={"n": 1, "seen": "b"})
    assert new.state == {"n": 101, "seen": ["b"]}


def test_a_fork_of_a_paused_a_failed_and_a_retried_run_runs() -> None:
    hand = Hand(CHAIN).begin()
    hand.end("a")
    hand.pause()
    hand.end("b")
    assert hand.fork("b").finish().status == "completed"
    hand.resume()
    hand.end("c", fail())
    hand.retry()
    hand.end("c")
    assert hand.status == "completed"
    new = hand.fork("c")
    assert new.calls() == ["c"]
    assert new.fork("c").finish().status == "completed"


def test_a_fork_from_before_a_retry_and_from_behind_it() -> None:
    hand = Hand(graph("s a b c", "s > a", "s > b", "b > c")).begin()
    hand.end("s")
    hand.end("a", fail())
    hand.end("b", x=1)
    hand.retry()
    hand.end("a")
    hand.end("c")
    new = hand.fork("c", state={"x": 5})
    assert sorted(new.calls()) == ["a", "c"]
    assert new.view("c") == {"x": 5}
    assert new.finish().status == "completed"


def test_a_fork_in_the_race_of_a_join_runs_losers_that_are_being_stopped_no_more() -> None:
    source = graph(
        ["s", "fast", sub("slow", graph("x")), "tool", node("j", join="any", cancel_losers=True), "end"],
        *(f"s > {name}" for name in ("fast", "slow", "tool")),
        *(f"{name} > j" for name in ("fast", "slow", "tool")),
        "j > end",
    )
    hand = Hand(source).begin()
    hand.end("s")
    hand.end("fast")
    hand.end("j")
    assert sorted(hand.calls()) == ["end", "slow#1/x", "tool"]
    new = hand.fork("end")
    assert new.calls() == ["end"]
    new.end("end")
    assert new.status == "completed"


# --- the process ends in the middle -----------------------------------------------------------------------------------


def everything(hand: Hand) -> None:
    """Drive a run of everything through commands and failures, whatever is open."""
    hand.begin(items=[1, 2, 3])
    told: dict[str, Any] = {"s": 1}
    for turn in range(400):
        if hand.run.status in ("completed", "cancelled"):
            return
        if hand.run.status.is_final:
            hand.retry()
        elif turn == 4:
            hand.pause()
        elif turn == 6:
            hand.resume()
        elif calls := hand.calls():
            name = calls[turn % len(calls)]
            own = name.rpartition("/")[2]
            first = name not in told
            told[name] = turn
            hand.end(name, fail() if first and own in ("x", "b") else None, **({} if first else {own: 1}))
        elif hand.run.signals or turn % 3 == 0:
            hand.signal("go", turn, f"signal {turn}")
        elif asked := [step for step in hand.run.active.values() if step.approval is not None]:
            assert asked[0].approval is not None
            hand.answer(asked[0].approval.approval, turn)
        else:
            hand.later(1)
    raise AssertionError(hand.events[-20:])


def of_everything() -> Source:
    inner = graph([wait("w", for_s=1), "x", "y", "f"], "w > x", "w > y", **{"finally": ["f"]})
    return graph(
        [
            "s",
            sub("g", inner, timeout_s=600),
            each("m", inner=inner, concurrency=2),
            wait("w", signal="go", timeout_s=900, timeout_data="late", into="w"),
            approval("q", timeout_s=900, timeout_answer="late"),
            node("a", mutex="one"),
            node("b", mutex="one"),
            "race",
            node("j", join="any", cancel_losers=True),
            "l",
            node("f", on_error="continue"),
        ],
        *(f"s > {name}" for name in ("g", "m", "w", "q", "a", "b", "race", "l")),
        "race > j",
        "l > j",
        loops=[loop("l", max_iterations=4)],
        reducers=dict.fromkeys("xyf", "replace"),
        **{"finally": ["f"]},
    )


def test_a_run_of_everything_ends() -> None:
    hand = Hand(of_everything())
    everything(hand)
    assert hand.status == "completed"


@pytest.mark.parametrize("offset", range(4))
def test_a_run_of_everything_ends_whenever_the_process_does(offset: int) -> None:
    whole = Hand(of_everything())
    everything(whole)
    for message in range(3 + offset, whole.messages, 8):
        hand = Hand(of_everything(), crashes_at=[message])
        everything(hand)
        assert hand.status == "completed", message
        assert set(hand.started()) >= {("s", 1), ("q", 1), ("b", 1)}


def test_a_run_of_everything_ends_though_the_process_does_all_the_time() -> None:
    hand = Hand(of_everything(), crashes_at=range(3, 1_000))
    everything(hand)
    assert hand.status == "completed"


@pytest.mark.parametrize("command", ["cancel", "deadline"])
def test_a_run_of_everything_can_be_ended_at_any_moment(command: str) -> None:
    whole = Hand(of_everything())
    everything(whole)
    for message in range(2, whole.messages, 5):
        hand = Hand(of_everything())
        original = hand.send

        def send(
            one: Any, *, hold: bool = False, at: int = message, hand: Hand = hand, original: Any = original
        ) -> Any:
            records = original(one, hold=hold)
            if hand.messages == at:
                getattr(hand, command)()
                while calls := hand.calls():
                    hand.end(calls[0], Stopped())
            return records

        hand.send = send  # type: ignore[method-assign,assignment]
        everything(hand)
        assert hand.run.status.is_final


def test_a_run_that_only_routes_needs_nothing_from_outside() -> None:
    hand = Hand(graph([bare("a", "conditional"), sub("g", graph([bare("b", "conditional")]))], "a > g")).begin()
    assert hand.status == "completed"
