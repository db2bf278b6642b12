"""Folding the records of a run gives the run, and going on from the fold is going on from the run."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.run.messages import Failed, Succeeded
from tests.support.compare import assert_same_run
from tests.support.driver import BOUND, Call, Driver, Script, default_policies, drive, fail, fold
from tests.support.graphs import planned
from tests.support.invariants import check_invariants
from tests.support.random_graphs import SEEDS, Shape, build, script_of
from tests.support.settings import costly

SHAPES = st.sampled_from([Shape(), Shape(counted_joins=True)])


def flaky(script: Script) -> Script:
    """Let the first attempt of some steps fail."""

    def first_fails(call: Call) -> Succeeded | Failed:
        if call.attempt == 1 and Random(f"{call.node}/{call.iteration}").random() < 0.3:
            return fail("FLAKY")
        outcome = script(call)
        return fail("GONE", retryable=False) if isinstance(outcome, Failed) else outcome

    return first_fails


@costly
@given(SEEDS, SHAPES, st.integers(0, 1_000))
def test_a_run_folded_from_any_prefix_goes_on_as_the_run_itself(seed: int, shape: Shape, schedule: int) -> None:
    source = build(seed, shape)
    plan = planned(source)
    policies = default_policies(plan, max_attempts=2)
    script, random = flaky(script_of(seed)), Random(schedule)
    driver = Driver(plan, policies)
    driver.begin({"log": []})
    twin = Driver(plan, policies, records=list(driver.records), open=dict(driver.open))
    twin.run = fold(plan, policies, driver.records)
    assert_same_run(twin.run, driver.run)
    for _ in range(BOUND):
        if driver.run.status.is_final:
            break
        index = random.choice([*driver.open, *driver.timers])
        name = plan.nodes[index].name
        if index in driver.timers:
            assert driver.ring(name) == twin.ring(name)
        else:
            outcome, chance = script(driver.open[index]), random.random()
            assert driver.end(name, outcome, chance=chance) == twin.end(name, outcome, chance=chance)
        if random.random() < 0.1:
            twin.run = fold(plan, policies, driver.records)
            assert_same_run(twin.run, driver.run)
    assert_same_run(fold(plan, policies, driver.records), driver.run)


@costly
@given(SEEDS, SHAPES, st.integers(0, 1_000))
def test_a_run_that_crashes_again_and_again_ends_once_and_in_order(seed: int, shape: Shape, schedule: int) -> None:
    plan = planned(build(seed, shape))
    policies = default_policies(plan, max_attempts=2)
    driver = drive(plan, flaky(script_of(seed)), seed=schedule, policies=policies, crash_chance=0.08)
    check_invariants(driver)


@costly
@given(SEEDS, SHAPES, st.integers(0, 1_000), st.booleans())
def test_a_run_that_is_stopped_at_any_point_ends_as_it_was_told(
    seed: int, shape: Shape, schedule: int, by_cancel: bool
) -> None:
    plan = planned(build(seed, shape))
    policies = default_policies(plan, max_attempts=3)
    chances: dict[str, Any] = {"cancel_chance" if by_cancel else "deadline_chance": 0.15}
    driver = drive(plan, flaky(script_of(seed)), seed=schedule, policies=policies, crash_chance=0.05, **chances)
    check_invariants(driver)
    asked = driver.of("run_cancel_requested" if by_cancel else "run_deadline_passed")
    assert len(asked) <= 1
    if asked and driver.run.failing is None:
        assert driver.run.status == ("cancelled" if by_cancel else "timed_out")


@costly
@given(SEEDS, st.integers(0, 1_000))
def test_a_run_with_crashes_comes_to_the_same_as_one_without(seed: int, schedule: int) -> None:
    plan = planned(build(seed, Shape()))
    script = script_of(seed)
    calm = drive(plan, script)
    stormy = drive(plan, script, seed=schedule, crash_chance=0.1)
    assert stormy.run.status == calm.run.status
    if calm.run.status == "completed":
        assert sorted(stormy.started()) == sorted(calm.started())
        assert stormy.state == calm.state
