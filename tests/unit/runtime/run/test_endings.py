"""How runs end: failure, cancel, deadline; and that nothing starts once the end has begun."""

from datetime import timedelta

import pytest

from runtime.run.messages import Cancel, DeadlinePassed, DropLogs, Message, Start, Stopped, Submit, TimerDue, WriteLog
from runtime.run.records import encode_json
from tests.support.driver import NOON, Driver, default_policies, fail, ok
from tests.support.graphs import graph, planned
from tests.support.invariants import check_invariants


def forked(max_attempts: int = 1) -> Driver:
    """Return a run in which `a` and `b` run side by side."""
    plan = planned(graph("s a b c j", "s > a", "s > b", "a > c", "b > j", "c > j", limits={"timeout_s": 30}))
    driver = Driver(plan, default_policies(plan, max_attempts=max_attempts))
    driver.begin({"x": 1})
    driver.end("s", ok())
    return driver


def test_a_run_begins_with_its_acceptance_and_its_deadline() -> None:
    driver = forked()
    assert driver.events[:3] == ["run_submitted", "run_started", "step_started"]
    submitted, started = driver.records[:2]
    assert (submitted.initial_state, submitted.graph_id) == ({"x": 1}, "graph-1")  # type: ignore[attr-defined]
    assert started.deadline == NOON + timedelta(seconds=30)  # type: ignore[attr-defined]
    assert driver.run.status == "running"


def test_starting_twice_starts_once() -> None:
    assert forked().send(Start()) == []


def test_after_an_unhandled_failure_running_attempts_finish_and_nothing_starts() -> None:
    driver = forked()
    driver.end("b", fail("BAD"))
    assert driver.events[-2:] == ["step_failed", "run_failing"]
    assert driver.run.status == "running"
    driver.end("a", ok(y=2))
    assert driver.events[-2:] == ["step_completed", "run_failed"]
    assert driver.state == {"x": 1, "y": 2}
    record = driver.records[-1]
    assert (record.error.code, record.node, record.steps) == ("BAD", "b", 3)  # type: ignore[attr-defined]
    check_invariants(driver)


def test_the_first_unhandled_failure_is_the_runs() -> None:
    driver = forked()
    driver.end("b", fail("FIRST"))
    driver.end("a", fail("SECOND"))
    assert driver.of("run_failing")[0].error.code == "FIRST"
    assert len(driver.of("run_failing")) == 1
    assert driver.of("run_failed")[0].error.code == "FIRST"
    assert [r.handled for r in driver.of("step_failed")] == ["fail_run", "fail_run"]


def test_a_failure_cancels_retries_that_wait() -> None:
    driver = forked(max_attempts=2)
    driver.end("a", fail())
    driver.end("b", fail(retryable=False))
    assert driver.events[-4:] == ["step_failed", "run_failing", "step_cancelled", "run_failed"]
    assert driver.of("step_cancelled")[0].node == "a"
    assert driver.send(TimerDue(1, 1)) == []


def test_a_failing_attempt_is_not_retried_in_a_run_that_fails() -> None:
    driver = forked(max_attempts=2)
    driver.end("b", fail(retryable=False))
    driver.end("a", fail())
    assert driver.of("step_retrying") == []
    assert driver.run.status == "failed"


@pytest.mark.parametrize(
    ("command", "event", "status"),
    [(Cancel(), "run_cancel_requested", "cancelled"), (DeadlinePassed(), "run_deadline_passed", "timed_out")],
)
def test_a_run_told_to_end_stops_its_attempts_and_ends_once(
    command: Cancel | DeadlinePassed, event: str, status: str
) -> None:
    driver = forked()
    assert [record.event for record in driver.send(command)] == [event]
    assert driver.send(command) == []
    driver.end("a", Stopped(abandoned=True))
    driver.end("b", ok(z=1))
    assert driver.events[-3:] == ["step_cancelled", "step_completed", f"run_{status}"]
    assert driver.of("step_cancelled")[0].abandoned is True
    assert driver.run.status == status
    assert driver.state == {"x": 1, "z": 1}
    assert driver.send(command) == []
    check_invariants(driver)


def test_the_first_of_cancel_and_deadline_decides() -> None:
    driver = forked()
    driver.send(DeadlinePassed())
    assert driver.send(Cancel()) == []
    driver.end("a", Stopped())
    driver.end("b", Stopped())
    assert driver.run.status == "timed_out"
    assert driver.of("run_timed_out")[0].steps == 3


def test_cancel_ends_a_run_that_only_waits_for_a_retry() -> None:
    driver = forked(max_attempts=2)
    driver.end("a", fail())
    driver.end("b", fail())
    driver.send(Cancel())
    assert driver.events[-4:] == ["run_cancel_requested", "step_cancelled", "step_cancelled", "run_cancelled"]


def test_cancel_before_the_start_ends_the_run_at_once() -> None:
    plan = planned(graph("a"))
    driver = Driver(plan, default_policies(plan))
    driver.send(Submit({}, {}))
    driver.send(Cancel())
    assert driver.events == ["run_submitted", "run_cancel_requested", "run_cancelled"]
    assert driver.send(Start()) == []


def test_a_failure_after_cancel_is_recorded_and_the_run_is_cancelled() -> None:
    driver = forked()
    driver.send(Cancel())
    driver.end("a", fail())
    driver.end("b", Stopped())
    assert driver.of("run_failing") == []
    assert driver.run.status == "cancelled"


def test_attempts_lost_in_a_crash_while_the_run_ends_do_not_start_again() -> None:
    driver = forked()
    driver.send(Cancel())
    driver.crash()
    assert driver.events[-3:] == ["step_cancelled", "step_cancelled", "run_cancelled"]


def test_a_run_that_has_ended_ignores_everything() -> None:
    driver = forked()
    for name in ("a", "b", "c", "j"):
        driver.end(name, ok())
    assert driver.run.status == "completed"
    assert driver.records[-1].steps == 5  # type: ignore[attr-defined]
    messages: list[Message] = [
        Start(),
        Cancel(),
        DeadlinePassed(),
        DropLogs(1),
        WriteLog(0, 1, 1, "info", "x", {}),
        Submit({}, {}),
    ]
    assert [driver.send(message) for message in messages] == [[]] * len(messages)


def test_the_duration_is_that_since_the_start() -> None:
    plan = planned(graph("a"))
    driver = Driver(plan, default_policies(plan))
    driver.begin()
    driver.now += timedelta(seconds=2)
    driver.end("a", ok())
    assert driver.of("run_completed")[0].duration_ms == 2_000


def test_the_step_limit_lets_running_attempts_finish() -> None:
    plan = planned(graph("s a b", "s > a", "s > b", limits={"max_steps": 2}))
    driver = Driver(plan, default_policies(plan))
    driver.begin()
    driver.end("s", ok())
    assert driver.events[-1] == "run_failing"
    assert driver.of("run_failing")[0].error.code == "STEP_LIMIT"
    driver.end("a", ok())
    assert driver.run.status == "failed"
    check_invariants(driver)


def test_tools_write_into_the_runs_own_sequence() -> None:
    driver = forked()
    (line,) = driver.send(WriteLog(1, 1, 1, "warning", "hot", {"t": 99}))
    (bare,) = driver.send(WriteLog(2, 1, 1, "debug", "cold", {}))
    (dropped,) = driver.send(DropLogs(7))
    assert (line.event, line.level, line.fields, line.node) == ("tool_log", "warning", {"t": 99}, "a")  # type: ignore[attr-defined]
    assert b"fields" not in encode_json(bare)
    assert (dropped.event, dropped.count) == ("tool_log_dropped", 7)  # type: ignore[attr-defined]
    assert [record.seq for record in driver.records] == list(range(1, len(driver.records) + 1))
