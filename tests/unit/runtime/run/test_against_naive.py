"""Random graphs: the machine comes to the same as an interpreter that was written from the rules, on every schedule."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import assume, given

from tests.support.agreement import Key, assert_agrees
from tests.support.driver import Script
from tests.support.graphs import Source, planned
from tests.support.invariants import check_invariants
from tests.support.naive import Frame, interpret
from tests.support.naive_loops import losers
from tests.support.player import Player, play
from tests.support.random_graphs import (
    COUNTED,
    INITIAL,
    MAX_STEPS,
    NESTED,
    PLAIN,
    RACING,
    SEEDS,
    Shape,
    build,
    script_of,
)
from tests.support.settings import costly, few, thorough


def expected(source: Source, script: Script, initial: dict[str, Any] | None = None) -> tuple[Frame, str]:
    """Return what the rules say; leave out graphs whose result depends on timing."""
    frame, status = interpret(source, script, INITIAL if initial is None else initial, MAX_STEPS)
    assume(frame.world.is_exact)
    if "STEP_LIMIT" in frame.failures:
        assume(not frame.world.ended and all(path == "" for path, _, _ in frame.world.started))
    return frame, status


def agree(seed: int, shape: Shape) -> None:
    source, script = build(seed, shape), script_of(seed, failing=0.12 if shape is PLAIN else 0.05)
    frame, status = expected(source, script)
    plan = planned(source)
    for schedule in range(3):
        player = play(plan, script, initial=INITIAL, seed=schedule)
        check_invariants(player)
        assert_agrees(player, frame, status)


@thorough
@given(SEEDS)
def test_a_run_comes_to_what_the_rules_say_on_every_schedule(seed: int) -> None:
    agree(seed, PLAIN)


@costly
@given(SEEDS)
def test_so_does_one_with_waits_and_graphs_and_maps_inside(seed: int) -> None:
    agree(seed, NESTED)


@costly
@given(SEEDS)
def test_joins_of_any_and_n_run_the_nodes_that_the_rules_say(seed: int) -> None:
    source, script = build(seed, COUNTED), script_of(seed, private=True, failing=0)
    frame, status = expected(source, script)
    plan = planned(source)
    for schedule in range(2):
        player = play(plan, script, initial=INITIAL, seed=schedule)
        check_invariants(player)
        assert player.run.status == status
        if status == "completed":
            assert set(player.started()) == frame.world.started.keys()


@costly
@given(SEEDS)
def test_joins_that_cancel_their_losers_change_nothing_else(seed: int) -> None:
    shape = replace(RACING, errors=False, kinds=frozenset({"wait", "approval", "mutex", "graph", "finally"}))
    source, script = build(seed, shape), script_of(seed, private=True, failing=0)
    lost = losers(source)
    assume(lost is not None)
    frame, status = expected(source, script)
    plan = planned(source)

    def kept(keys: Any) -> set[Key]:
        return {key for key in keys if not any(f"/{name}#" in f"/{key[0]}/{key[1]}#" for name in lost or ())}

    for schedule in range(2):
        player = play(plan, script, initial=INITIAL, seed=schedule)
        check_invariants(player)
        assert player.run.status == status
        if status == "completed":
            assert kept(player.started()) == kept(frame.world.started)


@few
@given(SEEDS)
def test_the_result_of_a_run_does_not_depend_on_timing(seed: int) -> None:
    source, script = build(seed, Random(seed).choice([PLAIN, NESTED, NESTED])), script_of(seed, failing=0.05)
    frame, status = expected(source, script)
    assume(status == "completed" and not frame.world.vague)
    plan = planned(source)
    first = play(plan, script, initial=INITIAL)
    for schedule in range(1, 50):
        other = play(plan, script, initial=INITIAL, seed=schedule)
        assert other.state == first.state
        assert sorted(other.started()) == sorted(first.started())
        assert inputs(other) == inputs(first)


def inputs(player: Player) -> dict[Key, dict[str, Any]]:
    return {(call.path, call.node, call.iteration): call.state for call in player.calls}
