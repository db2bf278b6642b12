"""Steps that wait for a time or a signal."""

from datetime import timedelta
from typing import Any

import pytest

from runtime.run.decision import Refused
from runtime.run.messages import SendSignal, Start, Submit, TimerDue
from runtime.run.waits import MAX_SIGNALS
from tests.support.driver import NOON, fail
from tests.support.graphs import edge, graph, loop, node, when
from tests.support.hand import Hand, each, sub, wait

SOON = (NOON + timedelta(seconds=30)).isoformat()


def waiting(**keys: Any) -> Hand:
    return Hand(graph([wait("w", **keys), "a"], "w > a")).begin()


# --- times ------------------------------------------------------------------------------------------------------------


def test_a_wait_ends_when_its_time_is_over_and_writes_nothing() -> None:
    hand = waiting(for_s=30)
    assert (hand.status, hand.calls()) == ("waiting", [])
    [record] = hand.of("step_waiting")
    assert (record.until, record.signal) == (NOON + timedelta(seconds=30), hand.records[0].path)
    hand.later(29.999)
    assert hand.status == "waiting"
    hand.later(0.001)
    assert (hand.status, hand.calls()) == ("running", ["a"])
    assert hand.of("step_completed", "w")[0].update == {}
    assert hand.of("step_completed", "w")[0].duration_ms == 30_000
    assert hand.finish().status == "completed"


def test_a_timer_that_is_early_or_of_another_iteration_changes_nothing() -> None:
    hand = waiting(for_s=30)
    assert hand.send(TimerDue(0, 1)) == []
    hand.now += timedelta(seconds=30)
    assert hand.send(TimerDue(0, 2)) == []
    assert hand.send(TimerDue(1, 1)) == []
    assert hand.send(TimerDue(0, 1, "nowhere#1")) == []
    assert hand.send(TimerDue(0, 1)) != []
    assert hand.send(TimerDue(0, 1)) == []


@pytest.mark.parametrize("until", [SOON, "2030-01-01T13:00:30+01:00", "2030-01-01T12:00:30Z"])
def test_a_wait_until_an_instant_reads_its_offset(until: str) -> None:
    for hand in (waiting(until=until), Hand(graph([wait("w", until_field="at.when")])).begin(at={"when": until})):
        hand.later(29)
        assert hand.status == "waiting"
        hand.later(1)
        assert hand.of("step_completed", "w") != []


@pytest.mark.parametrize("keys", [{"for_s": 0}, {"until": "2020-01-01T00:00:00Z"}])
def test_a_wait_that_is_over_when_it_begins_ends_at_its_first_timer(keys: dict[str, Any]) -> None:
    hand = waiting(**keys)
    hand.ring("w")
    assert hand.calls() == ["a"]


@pytest.mark.parametrize(
    "state", [{}, {"at": None}, {"at": 5}, {"at": "soon"}, {"at": "2030-01-01T12:00:30"}, {"at": "2030-01-01"}]
)
@pytest.mark.parametrize("on_error", ["fail_run", "continue", "route"])
def test_an_instant_that_is_missing_or_none_fails_the_step(state: dict[str, Any], on_error: str) -> None:
    keys = {"on_error": on_error}
    edges = [edge("w > a", on="error")] if on_error == "route" else ["w > a"]
    hand = Hand(graph([wait("w", until_field="at", node_keys=keys), "a"], *edges)).begin(**state)
    [failed] = hand.of("step_failed")
    assert (failed.error.code, failed.attempt, failed.handled) == ("INVALID_WAIT", 0, on_error)
    assert hand.of("step_started", "w") == []
    if on_error == "fail_run":
        assert (hand.status, hand.error) == ("failed", "INVALID_WAIT")
    else:
        assert hand.finish().status == "completed"


def test_waits_side_by_side_end_in_the_order_of_their_times_and_the_run_runs_as_long_as_a_tool_does() -> None:
    hand = Hand(graph(["s", wait("x", for_s=20), wait("y", for_s=10), "t"], "s > x", "s > y", "s > t")).begin()
    hand.end("s")
    assert hand.status == "running"
    hand.end("t")
    assert hand.status == "waiting"
    hand.later(60)
    assert [record.node for record in hand.of("step_completed")] == ["s", "t", "y", "x"]
    assert hand.status == "completed"


def test_a_run_that_waits_for_a_retry_runs() -> None:
    hand = Hand(graph([node("a", retry={"max_attempts": 2})])).begin()
    hand.end("a", fail())
    assert hand.status == "running"


def test_a_wait_in_a_loop_waits_anew_each_time() -> None:
    source = graph([wait("w", for_s=10), "a"], "w > a", "a > w", loops=[loop("a", max_iterations=3)])
    hand = Hand(source).begin()
    hand.finish()
    assert hand.now == NOON + timedelta(seconds=30)
    assert [record.iteration for record in hand.of("step_waiting")] == [1, 2, 3]


# --- signals ----------------------------------------------------------------------------------------------------------


def test_a_signal_ends_the_wait_and_its_data_goes_where_the_wait_says() -> None:
    hand = waiting(signal="go", into="got")
    hand.signal("stop", 1)
    assert hand.status == "waiting"
    records = hand.signal("go", {"n": 1}, "first")
    assert [record.event for record in records[:3]] == ["signal_received", "signal_delivered", "step_completed"]
    assert hand.of("signal_delivered")[0].id == "first"
    assert hand.view("a") == {"got": {"n": 1}}


@pytest.mark.parametrize(("data", "expected"), [(None, {"got": None}), (0, {"got": 0}), ([], {"got": []})])
def test_data_may_be_any_json(data: Any, expected: Any) -> None:
    hand = waiting(signal="go", into="got")
    hand.signal("go", data)
    assert hand.view("a") == expected


def test_a_wait_without_into_writes_nothing() -> None:
    hand = waiting(signal="go")
    hand.signal("go", 5)
    assert hand.view("a") == {}


def test_a_signal_that_comes_first_is_kept_in_order_and_each_is_taken_once() -> None:
    hand = Hand(graph(["s", wait("x", signal="go", into="x"), wait("y", signal="go", into="y")], "s > x", "x > y"))
    hand.begin()
    for number in (1, 2, 3):
        hand.signal("go", number)
    hand.end("s")
    assert (hand.status, hand.state) == ("completed", {"x": 1, "y": 2})
    assert [signal.data for signal in hand.run.signals] == [3]


def test_a_signal_before_the_start_of_the_run_is_kept() -> None:
    hand = Hand(graph([wait("w", signal="go", into="got")]))
    hand.send(Submit({}, {}))
    hand.signal("go", 1)
    hand.send(Start())
    assert (hand.status, hand.state) == ("completed", {"got": 1})


def test_a_fresh_wait_does_not_take_what_came_before_it() -> None:
    hand = Hand(
        graph(["s", wait("x", signal="go", into="x", fresh=True), wait("y", signal="go", into="y")], "s > x", "x > y")
    )
    hand.begin()
    hand.signal("go", "old")
    hand.end("s")
    assert hand.status == "waiting"
    hand.crash()
    assert hand.status == "waiting"
    hand.signal("go", "new")
    assert hand.state == {"x": "new", "y": "old"}


def test_two_waits_for_one_signal_get_it_in_the_order_they_began_wherever_they_are() -> None:
    inner = graph([wait("w", signal="go", into="inner")])
    nodes = ["s", "slow", wait("x", signal="go", into="x"), sub("sub", inner), wait("y", signal="go", into="y")]
    hand = Hand(graph(nodes, "s > slow", "s > sub", "s > y", "slow > x")).begin()
    hand.end("s")
    hand.end("slow")
    for number in (1, 2, 3):
        hand.signal("go", number)
    order = [record.node for record in hand.of("signal_delivered")]
    assert sorted(order[:2]) == ["w", "y"]
    assert order[2] == "x"
    begun = [record.node for record in hand.of("step_waiting")]
    assert order == begun


def test_a_signal_with_a_known_id_changes_nothing_even_after_it_was_taken() -> None:
    hand = waiting(signal="go", into="got")
    hand.signal("go", 1, "same")
    assert hand.signal("go", 2, "same") == []
    assert hand.run.signals == []


def test_a_run_takes_so_many_signals_and_no_more() -> None:
    hand = waiting(signal="go")
    hand.run.signal_ids = hand._shadow.signal_ids = {str(number) for number in range(MAX_SIGNALS)}
    with pytest.raises(Refused, match="no run takes more"):
        hand.signal("other", 1, "new")
    assert hand.signal("other", 1, "7") == []


# --- time-outs of signals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "expected"), [(False, {"got": False}), ({"late": 1}, {"got": {"late": 1}})])
def test_a_time_out_with_data_counts_as_a_signal(data: Any, expected: Any) -> None:
    hand = waiting(signal="go", into="got", timeout_s=10, timeout_data=data)
    assert hand.of("step_waiting")[0].signal == "go"
    hand.later(10)
    assert hand.view("a") == expected
    assert hand.of("signal_delivered") == []


@pytest.mark.parametrize("on_error", ["fail_run", "continue", "route"])
def test_a_time_out_without_data_is_a_failure_of_the_step(on_error: str) -> None:
    edges = [edge("w > a", on="error")] if on_error == "route" else ["w > a"]
    hand = Hand(graph([wait("w", signal="go", timeout_s=10, node_keys={"on_error": on_error}), "a"], *edges)).begin()
    hand.later(10)
    [failed] = hand.of("step_failed")
    assert (failed.error.code, failed.handled) == ("TIMEOUT", on_error)
    assert hand.status == ("failed" if on_error == "fail_run" else "running")


def test_what_comes_first_at_one_instant_wins() -> None:
    for first in ("signal", "timer"):
        hand = waiting(signal="go", into="got", timeout_s=10, timeout_data="late")
        hand.now += timedelta(seconds=10)
        messages: list[SendSignal | TimerDue] = [SendSignal("s", "go", "in time"), TimerDue(0, 1)]
        for message in messages if first == "signal" else reversed(messages):
            hand.send(message)
        assert hand.view("a") == {"got": "in time" if first == "signal" else "late"}
        assert len(hand.of("step_completed")) == 1
        assert len(hand.run.signals) == (first == "timer")


def test_data_that_its_reducer_refuses_fails_the_step() -> None:
    hand = Hand(graph([wait("w", signal="go", into="n")], reducers={"n": "add"})).begin(n=1)
    hand.signal("go", "text")
    assert (hand.status, hand.error) == ("failed", "REDUCER_ERROR")


# --- waits and everything else ----------------------------------------------------------------------------------------


def test_waits_survive_a_crash() -> None:
    hand = waiting(signal="go", into="got", timeout_s=10, timeout_data=None)
    before = len(hand.records)
    hand.crash()
    assert len(hand.records) == before
    hand.signal("go", 1)
    assert hand.view("a") == {"got": 1}


def test_a_time_that_passed_while_the_process_was_away_is_over_at_once() -> None:
    hand = waiting(for_s=10)
    hand.now += timedelta(seconds=11)
    hand.crash()
    assert hand.calls() == ["a"]


def test_a_failure_beside_a_wait_ends_the_run_at_once_and_a_cancellation_does() -> None:
    for command in ("fail", "cancel", "deadline"):
        hand = Hand(graph(["s", wait("w", signal="go"), "a"], "s > w", "s > a")).begin()
        hand.end("s")
        if command == "fail":
            hand.end("a", fail())
        else:
            getattr(hand, command)()
            hand.signal("go", 1)
            assert hand.of("step_cancelled", "w") != []
            hand.end("a")
        assert hand.run.status.is_final
        assert hand.of("signal_delivered") == []


def test_a_wait_in_an_item_and_in_a_sub_graph_takes_signals_and_times() -> None:
    inner = graph([wait("w", signal="go", into="got", timeout_s=100, timeout_data="late")])
    hand = Hand(graph([each("m", [1, 2, 3], inner=inner, concurrency=2)])).begin()
    assert hand.status == "waiting"
    hand.signal("go", "a")
    hand.later(99)
    hand.signal("go", "b")
    hand.later(200)
    assert hand.state == {"m": [{"got": "a"}, {"got": "b"}, {"got": "late"}]}


def test_a_wait_that_failed_waits_again_after_a_retry() -> None:
    hand = waiting(signal="go", into="got", timeout_s=10)
    hand.later(10)
    assert hand.error == "TIMEOUT"
    hand.later(1_000)
    hand.retry()
    assert hand.status == "waiting"
    hand.later(5)
    hand.signal("go", 1)
    assert hand.finish().state == {"got": 1}


def test_a_wait_takes_a_signal_that_came_while_its_run_was_failing_after_a_retry() -> None:
    hand = Hand(graph(["s", wait("w", signal="go", into="got"), "a", "b"], "s > w", "s > a", "s > b")).begin()
    hand.end("s")
    hand.end("a", fail())
    hand.signal("go", 1)
    hand.end("b")
    assert hand.status == "failed"
    hand.retry()
    hand.end("a")
    assert (hand.status, hand.state) == ("completed", {"got": 1})


def test_a_wait_whose_data_was_refused_waits_for_another_signal_after_a_retry() -> None:
    hand = Hand(graph([wait("w", signal="go", into="n")], reducers={"n": "add"})).begin(n=1)
    hand.signal("go", "text")
    hand.retry()
    hand.signal("go", 5)
    assert (hand.status, hand.state) == ("completed", {"n": 6})


def test_conditions_behind_a_wait_see_its_data() -> None:
    source = graph(
        [wait("w", signal="go", into="got"), "yes", "no"],
        edge("w > yes", **when("got", ">", 5)),
        edge("w > no", default=True),
    )
    hand = Hand(source).begin()
    hand.signal("go", 9)
    assert hand.calls() == ["yes"]
