"""Folding the records of a run gives the run, and going on from the fold is going on from the run."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from runtime.run.apply import apply
from runtime.run.model import new_run
from runtime.run.records import decode_record, encode_records
from tests.support.agreement import assert_agrees
from tests.support.compare import assert_same_run
from tests.support.graphs import planned
from tests.support.invariants import check_invariants
from tests.support.naive import interpret
from tests.support.player import Player, Storm, fold_run, go_on, nested_policies, play
from tests.support.random_graphs import (
    HASTY,
    INITIAL,
    MAX_STEPS,
    NESTED,
    PLAIN,
    RACING,
    SEEDS,
    Shape,
    build,
    flaky,
    script_of,
)
from tests.support.settings import costly, few

SHAPES = st.sampled_from([PLAIN, NESTED, HASTY, RACING])
STORM = Storm(cancel=0.01, deadline=0.01, pause=0.03, timeouts=0.05, retries=1)


def player_of(seed: int, shape: Shape, schedule: int, *, attempts: int = 2) -> Player:
    plan = planned(build(seed, shape))
    policies = nested_policies(plan, max_attempts=attempts)
    return Player(plan, policies, flaky(script_of(seed, failing=0.05)), Random(schedule))


@costly
@given(SEEDS, SHAPES, st.integers(0, 1_000))
def test_a_run_folded_at_any_time_goes_on_as_the_run_itself(seed: int, shape: Shape, schedule: int) -> None:
    first, second = player_of(seed, shape, schedule), player_of(seed, shape, schedule)
    first.begin(INITIAL)
    go_on(first, STORM)
    swaps = Random(schedule)

    def fold(player: Player) -> None:
        if swaps.random() < 0.15:
            rebuilt = fold_run(player.plan, player.policies, player.records)
            assert_same_run(rebuilt, player.run)
            player.run = rebuilt

    second.begin(INITIAL)
    go_on(second, STORM, meanwhile=fold)
    assert second.records == first.records
    assert_same_run(fold_run(first.plan, first.policies, first.records), first.run)


@few
@given(SEEDS, SHAPES, st.integers(0, 1_000))
def test_the_fold_of_any_beginning_is_the_beginning_of_the_fold(seed: int, shape: Shape, schedule: int) -> None:
    player = player_of(seed, shape, schedule)
    player.begin(INITIAL)
    go_on(player, STORM)
    lines = encode_records(player.records)
    live = new_run(player.plan, player.run_id, player.policies)
    checks = Random(schedule)
    for count, record in enumerate(player.records, start=1):
        apply(live, record)
        if checks.random() < 0.05:
            assert_same_run(fold_run(player.plan, player.policies, [decode_record(x) for x in lines[:count]]), live)


@costly
@given(SEEDS, SHAPES, st.integers(0, 1_000))
def test_a_run_that_crashes_again_and_again_ends_once_and_in_order(seed: int, shape: Shape, schedule: int) -> None:
    player = player_of(seed, shape, schedule)
    player.begin(INITIAL)
    go_on(player, Storm(crash=0.08, timeouts=0.05))
    check_invariants(player)


@costly
@given(SEEDS, st.sampled_from([PLAIN, NESTED]), st.integers(0, 1_000))
def test_a_run_with_crashes_comes_to_what_the_rules_say(seed: int, shape: Shape, schedule: int) -> None:
    source, script = build(seed, shape), script_of(seed, failing=0.05)
    frame, status = interpret(source, script, INITIAL, MAX_STEPS)
    player = play(planned(source), script, initial=INITIAL, seed=schedule, storm=Storm(crash=0.1))
    if frame.world.is_exact and "STEP_LIMIT" not in frame.failures:
        assert_agrees(player, frame, status)
