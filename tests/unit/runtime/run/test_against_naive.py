"""Random graphs: the machine comes to the same as an interpreter that was written from the rules, on every schedule."""

from collections import Counter
from typing import Any, Final

from hypothesis import assume, given

from tests.support.driver import Driver, Script, drive
from tests.support.graphs import Source, planned
from tests.support.invariants import check_invariants
from tests.support.naive import Naive
from tests.support.random_graphs import MAX_STEPS, SEEDS, Shape, build, script_of
from tests.support.settings import costly, thorough

INITIAL: Final = {"shared": 1, "log": ["start"]}
ALL: Final = Shape()
COUNTED: Final = Shape(counted_joins=True, errors=False)


def expected(source: Source, script: Script, initial: dict[str, Any]) -> tuple[Naive, str]:
    naive = Naive(source, script, initial, MAX_STEPS)
    status = naive.run()
    return naive, status


@thorough
@given(SEEDS)
def test_a_run_comes_to_what_the_rules_say_on_every_schedule(seed: int) -> None:
    source, script = build(seed, ALL), script_of(seed)
    naive, status = expected(source, script, INITIAL)
    plan = planned(source)
    for schedule in (None, 1, 2, 3):
        driver = drive(plan, script, initial=INITIAL, seed=schedule)
        check_invariants(driver)
        assert driver.run.status == status
        if status == "completed":
            assert_same(driver, naive)
        elif "STEP_LIMIT" not in naive.failures:
            assert driver.run.failing is not None
            assert driver.run.failing.code in naive.failures
            assert set(driver.started()) <= set(naive.started)


def assert_same(driver: Driver, naive: Naive) -> None:
    assert set(driver.started()) == set(naive.started)
    inputs = {(call.node, call.iteration): call.state for call in driver.calls}
    assert inputs == {key: state for key, state in naive.started.items() if state is not None}
    assert Counter((r.node, r.iteration) for r in driver.of("step_skipped")) == naive.skipped
    theirs = naive.state.final()
    assert {**driver.state, "log": sorted(driver.state["log"])} == theirs


@thorough
@given(SEEDS)
def test_joins_of_any_and_n_run_the_nodes_that_the_rules_say(seed: int) -> None:
    source, script = build(seed, COUNTED), script_of(seed, private=True, failing=0)
    naive, status = expected(source, script, {})
    plan = planned(source)
    for schedule in (None, 1, 2):
        driver = drive(plan, script, seed=schedule)
        check_invariants(driver)
        assert driver.run.status == status
        if status == "completed":
            assert set(driver.started()) == set(naive.started)
            assert Counter((r.node, r.iteration) for r in driver.of("step_skipped")) == naive.skipped


@costly
@given(SEEDS)
def test_the_result_of_a_run_does_not_depend_on_timing(seed: int) -> None:
    source, script = build(seed, ALL), script_of(seed)
    _, status = expected(source, script, INITIAL)
    assume(status == "completed")
    plan = planned(source)
    first = drive(plan, script, initial=INITIAL)
    for schedule in range(20):
        other = drive(plan, script, initial=INITIAL, seed=schedule)
        assert other.state == first.state
        assert sorted(other.started()) == sorted(first.started())
        assert inputs(other) == inputs(first)
        assert Counter(other.events) == Counter(first.events)


def inputs(driver: Driver) -> dict[tuple[str, int], dict[str, Any]]:
    return {(call.node, call.iteration): call.state for call in driver.calls}
