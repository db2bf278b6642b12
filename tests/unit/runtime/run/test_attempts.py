"""Attempts of one step: retries and their delays, budgets, crashes, and outcomes that come too late."""

from datetime import timedelta
from typing import Any

import pytest

from runtime.graph.definition import RetryDefinition
from runtime.run.messages import AttemptEnded, Failed, Recover, Stopped, TimerDue
from runtime.run.records import Failure
from tests.support.driver import NOON, Driver, default_policies, fail, ok
from tests.support.graphs import edge, graph, node, planned


def driver_of(*, on_error: str = "fail_run", max_attempts: int = 3, reruns: bool = True, **retry: Any) -> Driver:
    plan = planned(
        graph([node("a", on_error=on_error), "b"], "a > b", edge("a > b", on="error"))
        if on_error == "route"
        else graph([node("a", on_error=on_error), "b"], "a > b")
    )
    policies = default_policies(plan, max_attempts=max_attempts, reruns=reruns, retry=RetryDefinition(**retry))
    driver = Driver(plan, policies)
    driver.begin()
    return driver


def delays(driver: Driver, chance: float) -> list[float]:
    """Let every attempt of `a` fail, and return the seconds waited before each retry."""
    found = []
    while driver.open:
        driver.end("a", fail(), chance=chance)
        if driver.timers:
            (timer,) = driver.timers.values()
            assert timer.due - driver.now == timedelta(milliseconds=timer.delay_ms)
            found.append(timer.delay_ms / 1000)
            driver.ring("a")
    return found


@pytest.mark.parametrize(
    ("chance", "expected"), [(0.0, [0, 0, 0, 0]), (0.5, [0.25, 0.5, 1, 2]), (0.999, [0.4995, 0.999, 1.998, 3.996])]
)
def test_back_off_doubles_under_full_jitter(chance: float, expected: list[float]) -> None:
    assert delays(driver_of(max_attempts=5), chance) == pytest.approx(expected)


def test_back_off_without_jitter_ignores_chance_and_stops_growing_at_its_cap() -> None:
    driver = driver_of(max_attempts=6, initial_s=1.0, factor=3.0, max_s=10.0, jitter="none")
    assert delays(driver, 0.1) == [1, 3, 9, 10, 10]


def test_a_retry_with_the_largest_factor_and_count_does_not_overflow() -> None:
    assert delays(driver_of(max_attempts=25, factor=100.0, max_s=1.0), 0.5)[-1] == 0.5


def test_attempts_are_numbered_and_the_last_failure_is_the_steps() -> None:
    driver = driver_of(max_attempts=3)
    delays(driver, 0.5)
    assert [call.attempt for call in driver.calls] == [1, 2, 3]
    assert [(r.attempt, r.error.code) for r in driver.of("step_retrying")] == [(1, "BROKEN"), (2, "BROKEN")]
    assert [(r.attempt, r.handled) for r in driver.of("step_failed")] == [(3, "fail_run")]
    assert driver.run.status == "failed"
    assert driver.run.steps == 1


def test_a_retry_that_succeeds_goes_on() -> None:
    driver = driver_of()
    driver.end("a", fail())
    driver.ring("a")
    driver.end("a", ok(x=1))
    assert driver.input_of("b") == {"x": 1}


@pytest.mark.parametrize("outcome", [fail(retryable=False), fail("OTHER")])
def test_a_failure_that_is_not_to_be_retried_is_final(outcome: Failed) -> None:
    driver = driver_of(retry_on=["BROKEN"])
    driver.end("a", outcome)
    assert driver.timers == {}
    assert driver.run.status == "failed"


def test_retry_on_names_the_codes_to_retry() -> None:
    driver = driver_of(retry_on=["BROKEN"])
    driver.end("a", fail("BROKEN"))
    assert driver.events[-1] == "step_retrying"


def test_no_attempt_starts_after_the_budget() -> None:
    driver = driver_of(max_attempts=9, initial_s=4.0, factor=1.0, jitter="none", budget_s=10.0)
    assert delays(driver, 0.5) == [4, 4]
    assert driver.run.status == "failed"


def test_the_budget_counts_the_time_of_the_attempts_too() -> None:
    driver = driver_of(max_attempts=9, initial_s=1.0, jitter="none", budget_s=10.0)
    driver.now += timedelta(seconds=9)
    driver.end("a", fail())
    assert driver.events[-1] == "step_retrying"
    driver.ring("a")
    driver.end("a", fail())
    assert driver.events[-1] == "run_failed"


def test_an_update_that_breaks_a_rule_is_not_retried() -> None:
    plan = planned(graph("a", reducers={"x": "append"}))
    driver = Driver(plan, default_policies(plan, max_attempts=3))
    driver.begin({"x": 1})
    driver.end("a", ok(x=2))
    assert driver.of("step_failed")[0].error.code == "REDUCER_ERROR"
    assert driver.of("step_retrying") == []


def test_an_outcome_of_another_attempt_or_iteration_changes_nothing() -> None:
    driver = driver_of()
    driver.end("a", fail())
    late = [AttemptEnded(0, 1, 1, ok(x=1), 1.0), AttemptEnded(0, 2, 1, ok(), 1.0), AttemptEnded(1, 1, 1, ok(), 1.0)]
    assert [driver.send(message) for message in late] == [[], [], []]
    driver.ring("a")
    assert driver.send(AttemptEnded(0, 1, 1, ok(x=1), 1.0)) == []
    driver.end("a", ok())
    assert driver.send(AttemptEnded(0, 1, 2, ok(x=1), 1.0)) == []
    assert driver.state == {}


def test_a_timer_rings_once() -> None:
    driver = driver_of()
    assert driver.send(TimerDue(0, 1)) == []
    driver.end("a", fail())
    assert driver.send(TimerDue(0, 2)) == []
    driver.ring("a")
    assert driver.send(TimerDue(0, 1)) == []


def test_a_lost_attempt_starts_again_and_does_not_count_as_a_failure() -> None:
    driver = driver_of(max_attempts=2, jitter="none")
    for _ in range(5):
        driver.crash()
    assert [r.recovered for r in driver.of("step_started")][1:] == [True] * 5
    assert driver.calls[-1].attempt == 6
    driver.end("a", fail())
    assert driver.of("step_retrying")[0].delay_ms == 500
    driver.ring("a")
    driver.end("a", fail())
    assert driver.run.status == "failed"


def test_a_wait_for_a_retry_survives_a_crash() -> None:
    driver = driver_of()
    driver.end("a", fail())
    driver.crash()
    assert driver.events[-1] == "step_retrying"
    driver.ring("a")
    driver.end("a", ok())
    assert driver.run.steps == 2


@pytest.mark.parametrize("handling", ["fail_run", "continue", "route"])
def test_a_tool_that_must_not_run_twice_ends_with_an_unknown_outcome(handling: str) -> None:
    driver = driver_of(on_error=handling, reruns=False)
    driver.crash()
    (record,) = driver.of("step_failed")
    assert (record.error.code, record.handled, record.attempt) == ("OUTCOME_UNKNOWN", handling, 1)
    assert [call.node for call in driver.calls] == (["a"] if handling == "fail_run" else ["a", "b"])
    assert (driver.run.status == "failed") is (handling == "fail_run")


def test_recovering_a_run_with_nothing_open_changes_nothing() -> None:
    driver = driver_of()
    driver.end("a", fail())
    assert driver.send(Recover()) == []


def test_an_abandoned_attempt_is_recorded_as_such() -> None:
    driver = driver_of(on_error="continue", max_attempts=1)
    driver.end("a", Failed(Failure("TIMEOUT", "too slow"), abandoned=True))
    assert driver.of("step_failed")[0].abandoned is True


def test_every_record_of_a_decision_has_the_time_it_was_made_at() -> None:
    driver = driver_of()
    driver.now += timedelta(seconds=5)
    records = driver.end("a", ok())
    assert {record.timestamp for record in records} == {NOON + timedelta(seconds=5)}
    assert {record.run_id for record in driver.records} == {"run-1"}
    assert Stopped().abandoned is False
