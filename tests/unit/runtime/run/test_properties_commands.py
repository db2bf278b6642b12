"""Random graphs under random commands: whatever comes when, a run ends once it is left alone, and everything adds up."""

from dataclasses import replace
from random import Random
from typing import Any
from unittest.mock import patch

from hypothesis import assume, given
from hypothesis import strategies as st

from runtime.run import decision
from tests.support.agreement import assert_agrees
from tests.support.graphs import Source, planned
from tests.support.invariants import check_invariants
from tests.support.naive import interpret
from tests.support.player import Player, Storm, go_on, nested_policies, path_of, play
from tests.support.random_graphs import (
    HASTY,
    INITIAL,
    MAX_STEPS,
    NESTED,
    PLAIN,
    RACING,
    SEEDS,
    SMOOTH,
    Shape,
    build,
    flaky,
    script_of,
)
from tests.support.settings import costly

SHAPES = st.sampled_from([PLAIN, NESTED, HASTY, RACING])
SCHEDULES = st.integers(0, 1_000)


def beginnings(player: Player) -> list[Any]:
    """Return the records with which steps began."""
    return [record for record in player.of("step_started") if record.attempt == 1]


def player_of(source: Source, seed: int, schedule: int) -> Player:
    plan = planned(source)
    player = Player(
        plan, nested_policies(plan, max_attempts=1 + seed % 2), script_of(seed, failing=0.06), Random(schedule)
    )
    player.begin(INITIAL)
    return player


@costly
@given(SEEDS, SHAPES, SCHEDULES, st.sampled_from([2, 10, 2_000]))
def test_whatever_is_commanded_a_run_ends_and_its_records_add_up(
    seed: int, shape: Shape, schedule: int, most: int
) -> None:
    storm = Storm(crash=0.04, cancel=0.01, deadline=0.01, pause=0.05, strays=0.1, timeouts=0.05, retries=2)
    with patch.object(decision, "MAX_RECORDS", most):
        player = player_of(build(seed, shape), seed, schedule)
        go_on(player, storm)
    check_invariants(player)


@costly
@given(SEEDS, SHAPES, SCHEDULES, st.booleans())
def test_a_run_that_is_stopped_at_any_point_ends_as_it_was_told(
    seed: int, shape: Shape, schedule: int, by_cancel: bool
) -> None:
    player = player_of(build(seed, shape), seed, schedule)
    chances: dict[str, Any] = {"cancel" if by_cancel else "deadline": 0.1}
    go_on(player, Storm(crash=0.03, pause=0.05, **chances))
    check_invariants(player)
    told = player.of("run_cancel_requested" if by_cancel else "run_deadline_passed")
    assert len(told) <= 1
    ended = [r.seq for event in ("run_failing", "end_reached", "run_finishing") for r in player.of(event) if not r.path]
    if told and not [seq for seq in ended if seq < told[0].seq]:
        assert player.run.status == ("cancelled" if by_cancel else "timed_out")


@costly
@given(SEEDS, SCHEDULES)
def test_pauses_strays_and_crashes_change_nothing_about_the_result(seed: int, schedule: int) -> None:
    source, script = build(seed, NESTED), script_of(seed, failing=0.05)
    frame, status = interpret(source, script, INITIAL, MAX_STEPS)
    assume(frame.world.is_exact and "STEP_LIMIT" not in frame.failures)
    storm = Storm(crash=0.03, pause=0.1, strays=0.2)
    player = play(planned(source), script, initial=INITIAL, seed=schedule, storm=storm)
    check_invariants(player)
    assert_agrees(player, frame, status)


@costly
@given(SEEDS, SCHEDULES, st.integers(1, 30))
def test_decisions_that_are_cut_short_anywhere_change_nothing_about_the_result(
    seed: int, schedule: int, most: int
) -> None:
    source, script = build(seed, NESTED), script_of(seed, failing=0.05)
    frame, status = interpret(source, script, INITIAL, MAX_STEPS)
    assume(frame.world.is_exact and "STEP_LIMIT" not in frame.failures)
    with patch.object(decision, "MAX_RECORDS", most):
        player = play(planned(source), script, initial=INITIAL, seed=schedule, storm=Storm(crash=0.02, pause=0.02))
    check_invariants(player)
    assert_agrees(player, frame, status)


@costly
@given(SEEDS, SCHEDULES)
def test_a_run_that_is_retried_until_it_succeeds_comes_to_the_same_as_if_nothing_had_failed(
    seed: int, schedule: int
) -> None:
    """Without `finally`, which runs again in each ending, and `collect`, which takes failures for results."""
    source = build(seed, replace(SMOOTH, kinds=SMOOTH.kinds - {"finally"}))
    assume("collect" not in repr(source))
    script = script_of(seed, failing=0)
    frame, status = interpret(source, script, INITIAL, MAX_STEPS)
    assume(status == "completed" and frame.world.is_exact)
    plan = planned(source)
    storm = Storm(crash=0.02, deadline=0.02, pause=0.02, retries=1_000)
    player = play(plan, flaky(script), initial=INITIAL, seed=schedule, storm=storm)
    check_invariants(player)
    assert_agrees(player, frame, status)


@costly
@given(SEEDS, SCHEDULES)
def test_a_fork_without_a_change_comes_to_the_same(seed: int, schedule: int) -> None:
    source, script = build(seed, NESTED), script_of(seed, failing=0.05)
    frame, status = interpret(source, script, INITIAL, MAX_STEPS)
    assume(status == "completed" and frame.world.is_exact)
    first = play(planned(source), script, initial=INITIAL, seed=schedule)
    before = list(first.records)
    steps = beginnings(first)
    assume(steps)
    for _ in range(3):
        fork = first.fork(first.random.choice(steps))
        go_on(fork, Storm(crash=0.02))
        check_invariants(fork)
        assert_agrees(fork, frame, status)
    assert first.records == before


@costly
@given(SEEDS, SHAPES, SCHEDULES)
def test_a_fork_of_any_run_from_any_step_with_any_state_ends(seed: int, shape: Shape, schedule: int) -> None:
    first = player_of(build(seed, shape), seed, schedule)
    go_on(first, Storm(cancel=0.01, deadline=0.01, pause=0.02, timeouts=0.05, retries=1))
    steps = beginnings(first)
    assume(steps)
    started = first.random.choice(steps)
    change = {"shared": 2, "fresh": {"k": [1]}}
    fork = first.fork(started, change)
    for call in fork.calls:
        if (call.path, call.node, call.iteration) == (path_of(started), started.node, started.iteration):
            assert change.items() <= call.state.items()
    go_on(fork, Storm(crash=0.02, pause=0.02, timeouts=0.05, retries=1))
    check_invariants(fork)
