"""What a node sees, where branches meet, and what the state of a run is; always the same, whatever ended first."""

from typing import Any

import pytest

from runtime.graph.conditions import json_equal
from runtime.run.state import MAX_STATE_BYTES, StateConflict, StateError, WorkflowState, Writer
from tests.support.compare import plain
from tests.support.driver import Driver, drive, updates
from tests.support.graphs import Source, graph, leaf, loop, node, planned

DIAMOND = ("s > a", "s > b", "a > j", "b > j")


def runs(source: Source, by_node: dict[str, dict[str, Any]], **initial: Any) -> list[Driver]:
    """Return the run on many schedules, after checking that all came to the same."""
    plan = planned(source)
    drivers = [drive(plan, updates(by_node), initial=initial, seed=seed) for seed in range(20)]
    assert all(driver.state == drivers[0].state for driver in drivers)
    assert len({driver.run.status for driver in drivers}) == 1
    return drivers


def test_branches_do_not_see_each_others_writes() -> None:
    for driver in runs(graph("s a b j", *DIAMOND), {"s": {"x": 0}, "a": {"x": 1}, "b": {"y": 2}}):
        assert driver.input_of("a") == driver.input_of("b") == {"x": 0}
        assert driver.input_of("j") == {"x": 1, "y": 2}


def test_different_concurrent_writes_of_a_key_fail_the_joining_node() -> None:
    for driver in runs(graph("s a b j", *DIAMOND), {"a": {"x": 1}, "b": {"x": 2}}):
        assert driver.run.status == "failed"
        (record,) = driver.of("step_failed")
        assert (record.node, record.attempt, record.error.code) == ("j", 0, "STATE_CONFLICT")
        assert "'x'" in record.error.message
        assert "node 'a'" in record.error.message
        assert "node 'b'" in record.error.message
        assert ("j", 1) not in driver.started()


def test_equal_concurrent_writes_are_no_conflict() -> None:
    for driver in runs(graph("s a b j", *DIAMOND), {"a": {"x": [1]}, "b": {"x": [1]}}):
        assert driver.input_of("j") == {"x": [1]}


def test_writing_the_value_a_key_has_is_not_a_write() -> None:
    for driver in runs(graph("s a b j", *DIAMOND), {"a": {"x": {"k": [1]}}, "b": {"x": 2}}, x={"k": [1]}):
        assert driver.input_of("j") == {"x": 2}
        assert driver.run.state.writers()["x"].node == "b"


@pytest.mark.parametrize(("old", "new"), [(1, True), (0, False), (1, 1.0), ([1], [True])])
def test_a_value_of_another_type_is_a_write(old: Any, new: Any) -> None:
    (driver, *_) = runs(graph("s"), {"s": {"x": new}}, x=old)
    assert driver.run.state.writers()["x"].node == "s"
    assert repr(driver.state["x"]) == repr(new)


def test_a_later_write_wins_over_the_one_it_came_after() -> None:
    source = graph("s a b c j", "s > a", "s > b", "a > c", "c > j", "a > j", "b > j")
    for driver in runs(source, {"s": {"x": 0}, "a": {"x": 1}, "c": {"x": 2}}):
        assert driver.input_of("j") == {"x": 2}


def test_replace_lets_the_later_edge_win() -> None:
    writes = {"a": {"x": 1}, "b": {"x": 2}}
    for driver in runs(graph("s a b j", *DIAMOND, reducers={"x": "replace"}), writes):
        assert driver.input_of("j") == {"x": 2}
    turned = ("s > a", "s > b", "b > j", "a > j")
    for driver in runs(graph("s a b j", *turned, reducers={"x": "replace"}), writes):
        assert driver.input_of("j") == {"x": 1}


def test_append_adds_each_update_as_one_element_and_joins_in_edge_order() -> None:
    writes: dict[str, dict[str, Any]] = {name: {"x": [name]} for name in ("s", "a", "b", "j")}
    source = graph("s a b j", "s > a", "s > b", "b > j", "a > j", reducers={"x": "append"})
    for driver in runs(source, writes, x=["start"]):
        assert driver.input_of("a") == {"x": ["start", ["s"]]}
        assert driver.input_of("j") == {"x": ["start", ["s"], ["b"], ["a"]]}
        assert driver.state == {"x": ["start", ["s"], ["b"], ["a"], ["j"]]}


def test_append_keeps_both_of_two_equal_concurrent_elements() -> None:
    for driver in runs(graph("s a b j", *DIAMOND, reducers={"x": "append"}), {"a": {"x": 1}, "b": {"x": 1}}):
        assert driver.input_of("j") == {"x": [1, 1]}


def test_appends_that_meet_twice_are_counted_once() -> None:
    source = graph(
        "s a b c d j", "s > a", "s > b", "a > c", "b > c", "a > d", "b > d", "c > j", "d > j", reducers={"x": "append"}
    )
    for driver in runs(source, {name: {"x": name} for name in "abcd"}):
        assert driver.input_of("j") == {"x": ["a", "b", "c", "d"]}


def test_appends_that_were_joined_before_keep_the_order_of_that_join() -> None:
    edges = ("s > a", "s > b", "s > c", "b > d", "a > d", "c > j", "d > j")
    for driver in runs(graph("s a b c d j", *edges, reducers={"x": "append"}), {name: {"x": name} for name in "abcd"}):
        assert driver.input_of("d") == {"x": ["b", "a"]}
        assert driver.input_of("j") == {"x": ["c", "b", "a", "d"]}


def test_append_to_what_is_no_list_fails_the_step() -> None:
    (driver, *_) = runs(graph("s", reducers={"x": "append"}), {"s": {"x": 1}}, x=5)
    assert driver.of("run_failed")[0].error.code == "REDUCER_ERROR"


def test_appends_of_every_iteration_are_kept() -> None:
    source = graph(
        "h a b j",
        "h > a",
        "h > b",
        "a > j",
        "b > j",
        "j > h",
        loops=[loop("j", max_iterations=3)],
        reducers={"x": "append"},
    )
    for driver in runs(source, {"a": {"x": "a"}, "b": {"x": "b"}}):
        assert driver.state == {"x": ["a", "b"] * 3}


def test_writes_that_nothing_joins_are_merged_in_node_order() -> None:
    for driver in runs(graph("s b a", "s > b", "s > a"), {"a": {"x": 1, "y": 1}, "b": {"x": 2, "z": 2}}):
        assert driver.run.status == "completed"
        assert driver.state == {"x": 1, "y": 1, "z": 2}


def test_a_conflict_that_is_passed_over_lets_the_later_edge_win() -> None:
    source = graph(["s", "a", "b", node("j", on_error="continue"), "k"], *DIAMOND, "j > k")
    for driver in runs(source, {"a": {"x": 1}, "b": {"x": 2}}):
        assert driver.run.status == "completed"
        assert driver.input_of("k") == {"x": 2}


def test_a_write_wins_over_the_one_on_a_held_edge_that_it_came_after() -> None:
    edges = ("h > n", "n > h", "n > j", "h > j")
    source = graph([node("h", route="all"), "n", "j"], *edges, loops=[loop("n", max_iterations=2)])
    for driver in runs(source, {"h": {"x": 1}, "n": {"x": 2}}):
        assert driver.input_of("j") == {"x": 2}


def test_who_wrote_a_key_can_be_asked() -> None:
    source = graph("a b", "a > b", loops=[loop("b", condition=leaf("n", "==", 2))])
    (driver, *_) = runs(source, {"a": {"m": 1}, "b": {"n": 1}}, i=0)
    writers = driver.run.state.writers()
    assert writers["i"] == Writer(1, None, 1)
    assert writers["m"] == Writer(driver.of("step_completed")[0].seq, "a", 1)
    assert writers["n"].iteration == 1
    assert str(writers["i"]) == "the initial state"
    assert "node 'a' (iteration 1" in str(writers["m"])


def test_an_update_that_makes_the_state_too_large_fails_the_step() -> None:
    state = WorkflowState({})
    view = state.initial({f"k{i}": "x" * 1_000_000 for i in range(4)})
    state.check(view, {"small": 1})
    state.check(view, {"k0": "y" * 1_000_000})
    with pytest.raises(StateError, match=f"at most {MAX_STATE_BYTES:,}") as caught:
        state.check(view, {"k4": "x" * 1_000_000})
    assert caught.value.code == "STATE_TOO_LARGE"


def test_views_are_never_changed_once_made() -> None:
    state = WorkflowState({"log": "append"})
    first = state.initial({"x": 1, "log": []})
    left = state.update(first, {"x": 2, "log": "l"}, Writer(2, "l", 1), alone=False)
    right = state.update(first, {"log": "r"}, Writer(3, "r", 1), alone=False)
    merged = state.merge([left, right], 4, commit=True)
    assert (plain(first), plain(left), plain(right)) == (
        {"x": 1, "log": []},
        {"x": 2, "log": ["l"]},
        {"x": 1, "log": ["r"]},
    )
    assert plain(merged) == {"x": 2, "log": ["l", "r"]}
    assert state.update(first, {"x": 1}, Writer(5, "n", 1), alone=False) is first


def test_a_merge_that_is_only_tried_is_not_remembered() -> None:
    state = WorkflowState({"x": "replace"})
    first = state.initial({"x": 0})
    left = state.update(first, {"x": 1}, Writer(2, "l", 1), alone=False)
    right = state.update(first, {"x": 2}, Writer(3, "r", 1), alone=False)
    assert plain(state.merge([right, left], 4)) == {"x": 1}
    assert state.newest({"l": 0, "r": 1}) == {"x": 2}
    assert plain(state.merge([right, left], 4, commit=True)) == {"x": 1}
    assert state.newest({"l": 0, "r": 1}) == {"x": 1}


def test_a_conflict_names_key_and_writers() -> None:
    error = StateConflict("x", Writer(2, "l", 1), Writer(1, None, 1))
    assert error.code == "STATE_CONFLICT"
    assert "'x'" in error.message
    assert "the initial state" in error.message
    assert not json_equal(1, True)


# Left out until mended, for each see the exclusions of test_against_naive.py: a write that came after all the writes of a
# merge against that merge; appends whose branches nothing joins; the size of a key that is replaced under a reducer.
