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


@pytest.mark.parametrize(
    ("reducer", "initial", "written", "result"),
    [
        ("append", ["s"], ["a", "b"], ["s", "b", "a"]),
        ("extend", ["s"], [["a", "c"], ["b", "c"]], ["s", "b", "c", "a", "c"]),
        ("union", ["s"], [["a", "c"], ["b", "c", "s"]], ["s", "b", "c", "a"]),
        ("add", 10, [2, 3], 15),
        ("max", 10, [12, 11], 12),
        ("min", "m", ["c", "d"], "c"),
        ("deep_merge", {"s": 1}, [{"a": 1, "c": "a"}, {"b": 1, "c": "b"}], {"s": 1, "b": 1, "c": "a", "a": 1}),
        ("first", 10, [1, 2], 10),
        ("replace", 10, [1, 2], 1),
    ],
)
def test_concurrent_writes_go_through_the_reducer_in_edge_order(
    reducer: str, initial: Any, written: list[Any], result: Any
) -> None:
    source = graph("s a b j", "s > a", "s > b", "b > j", "a > j", reducers={"x": reducer})
    for driver in runs(source, {"a": {"x": written[0]}, "b": {"x": written[1]}}, x=initial):
        assert driver.input_of("j") == {"x": result}


def test_the_first_of_concurrent_writes_is_the_one_over_the_earlier_edge() -> None:
    source = graph("s a b j k", "s > a", "s > b", "b > j", "a > j", "j > k", reducers={"x": "first"})
    for driver in runs(source, {name: {"x": name} for name in "abj"}):
        assert driver.input_of("j") == driver.input_of("k") == {"x": "b"}
        assert driver.run.state.writers()["x"].node == "b"


@pytest.mark.parametrize(
    ("reducer", "result"), [("add", 4), ("extend", [1, 1, 1, 1]), ("union", [1]), ("append", [[1]] * 4), ("max", 1)]
)
def test_what_branches_have_in_common_counts_once_however_often_they_meet(reducer: str, result: Any) -> None:
    edges = ("s > a", "s > b", "a > c", "b > c", "a > d", "b > d", "c > j", "d > j", "a > j", "s > j")
    value = 1 if reducer in ("add", "max") else [1]
    for driver in runs(graph("s a b c d j", *edges, reducers={"x": reducer}), {name: {"x": value} for name in "sabd"}):
        assert driver.input_of("j") == {"x": result}


def test_entries_that_a_later_write_replaced_do_not_come_back_where_branches_meet() -> None:
    edges = ("s > a", "s > b", "s > c", "a > p", "b > p", "c > q", "b > q", "p > j", "q > j")
    writes = {"a": {"x": {"k": "a"}}, "b": {"x": {"k": "b"}}, "c": {"x": {"k": "c", "l": "c"}}}
    for driver in runs(graph("s a b c p q j", *edges, reducers={"x": "deep_merge"}), writes, x={"old": 1}):
        assert driver.input_of("p") == {"x": {"old": 1, "k": "b"}}
        assert driver.input_of("q") == {"x": {"old": 1, "k": "b", "l": "c"}}
        assert driver.input_of("j") == {"x": {"old": 1, "k": "b", "l": "c"}}


def test_two_branches_may_each_return_the_whole_object_with_one_entry_changed() -> None:
    writes = {"a": {"x": {"l": 2, "r": 1}}, "b": {"x": {"l": 1, "r": 2}}}
    for driver in runs(graph("s a b j", *DIAMOND, reducers={"x": "deep_merge"}), writes, x={"l": 1, "r": 1}):
        assert driver.input_of("j") == {"x": {"l": 2, "r": 2}}


def test_what_a_reducer_does_not_take_fails_the_step_and_says_why() -> None:
    source = graph("s a", "s > a", reducers={"x": "append", "n": "add"})
    (driver, *_) = runs(source, {"s": {"x": 1}}, x=5)
    assert driver.of("run_failed")[0].error.code == "REDUCER_ERROR"
    (driver, *_) = runs(source, {"s": {"n": 1}, "a": {"n": "2"}})
    (record,) = driver.of("step_failed")
    assert (record.node, record.error.code) == ("a", "REDUCER_ERROR")
    assert record.error.message == (
        "Key 'n' has the reducer 'add', which takes a number, got a text. "
        "The value is from node 's' (iteration 1, record 4)."
    )


@pytest.mark.parametrize(
    ("reducer", "left", "right"),
    [("max", "text", 5), ("min", 5, "text"), ("add", 1 << 62, 1 << 62), ("add", 1e308, 1e308)],
)
def test_concurrent_writes_that_a_reducer_cannot_join_fail_the_joining_node(
    reducer: str, left: Any, right: Any
) -> None:
    for driver in runs(graph("s a b j", *DIAMOND, reducers={"x": reducer}), {"a": {"x": left}, "b": {"x": right}}):
        (record,) = driver.of("step_failed")
        assert (record.node, record.attempt, record.error.code) == ("j", 0, "REDUCER_ERROR")
        message = record.error.message
        assert message.startswith(f"Key 'x' has the reducer {reducer!r}, which c")
        seqs = {record.node: record.seq for record in driver.of("step_completed")}
        assert (
            f"from node 'a' (iteration 1, record {seqs['a']}) and from node 'b' (iteration 1, record {seqs['b']})"
            in message
        )


def test_values_that_could_not_be_joined_give_way_to_the_one_over_the_later_edge_for_good() -> None:
    source = graph(
        ["s", "a", "b", node("j", on_error="continue"), "k", "c", "l"],
        *DIAMOND,
        "j > k",
        "a > c",
        "k > l",
        "c > l",
        reducers={"x": "max"},
    )
    for driver in runs(source, {"a": {"x": "text"}, "b": {"x": 5}, "k": {"x": 6}}):
        assert driver.input_of("k") == {"x": 5}
        assert driver.run.status == "completed"
        assert driver.input_of("l") == {"x": 6}


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


def test_a_merge_that_passed_over_a_contradiction_hides_it_from_later_merges() -> None:
    state = WorkflowState({"x": "max"})
    first = state.initial({})
    written = ("text", 5, 7, 6)
    a, b, c, d = (
        state.update(first, {"x": value}, Writer(2 + i, "n", 1), alone=False) for i, value in enumerate(written)
    )
    two = state.merge([a, b], 10, resolve=True)
    three = state.merge([a, b, c], 11, resolve=True)
    assert [plain(view)["x"] for view in (two, three)] == [5, 7]
    assert [plain(state.merge([d, view], 20))["x"] for view in (two, three)] == [6, 7]
    assert [plain(state.merge([view, d], 20))["x"] for view in (two, three)] == [6, 7]


def test_who_wrote_a_key_can_be_asked() -> None:
    source = graph("a b", "a > b", loops=[loop("b", condition=leaf("n", "==", 2))])
    (driver, *_) = runs(source, {"a": {"m": 1}, "b": {"n": 1}}, i=0)
    writers = driver.run.state.writers()
    assert writers["i"] == Writer(1, None, 1)
    assert writers["m"] == Writer(driver.of("step_completed")[0].seq, "a", 1)
    assert writers["n"].iteration == 1
    assert str(writers["i"]) == "the initial state"
    assert "node 'a' (iteration 1" in str(writers["m"])


@pytest.mark.parametrize(
    ("reducer", "written", "last"),
    [
        ("append", [1, 1], "the latest"),
        ("union", [[1, 2], [2, 3]], "the latest"),
        ("add", [1, 1], "the latest"),
        ("deep_merge", [{"a": 1}, {"b": 1}], "the latest"),
        ("max", [2, 1], "a"),
        ("min", [2, 1], "b"),
        ("max", [1, 1], "a"),
        ("first", [2, 1], "a"),
        ("replace", [2, 1], "b"),
        (None, [1, 1], "the latest"),
    ],
)
@pytest.mark.parametrize("edges", [DIAMOND, DIAMOND[:2]])
def test_a_value_that_several_wrote_is_the_latest_ones_and_a_value_of_one_is_his(
    reducer: str | None, written: list[Any], last: str, edges: tuple[str, ...]
) -> None:
    source = graph(
        "s a b j", *edges, *([] if edges == DIAMOND else ["s > j"]), reducers={"x": reducer} if reducer else {}
    )
    latest = set()
    for driver in runs(source, {"a": {"x": written[0]}, "b": {"x": written[1]}}):
        records = [record for record in driver.of("step_completed") if record.node in ("a", "b")]
        wanted = records[-1] if last == "the latest" else next(record for record in records if record.node == last)
        order = driver.plan.index_of
        assert driver.run.state.writers(order)["x"] == Writer(wanted.seq, wanted.node, 1)
        latest.add(wanted.node)
    assert latest == ({"a", "b"} if last == "the latest" else {last})


def test_a_write_that_changes_nothing_does_not_change_who_wrote() -> None:
    source = graph("s a b", "s > a", "a > b", reducers={"x": "max", "y": "union", "z": "first"})
    writes: dict[str, dict[str, Any]] = {
        "s": {"x": 5, "y": [1], "z": "s"},
        "a": {"x": 4, "y": [1.0], "z": "a"},
        "b": {"x": 5},
    }
    for driver in runs(source, writes):
        assert {writer.node for writer in driver.run.state.writers().values()} == {"s"}
        assert driver.state == {"x": 5, "y": [1], "z": "s"}


def test_an_update_that_makes_the_state_too_large_fails_the_step() -> None:
    state = WorkflowState({})
    view = state.initial({f"k{i}": "x" * 1_000_000 for i in range(4)})
    state.check(view, {"small": 1})
    state.check(view, {"k0": "y" * 1_000_000})
    with pytest.raises(StateError, match=f"at most {MAX_STATE_BYTES:,}") as caught:
        state.check(view, {"k4": "x" * 1_000_000})
    assert caught.value.code == "STATE_TOO_LARGE"


MIB = 1 << 20
HALF = MAX_STATE_BYTES // 2


@pytest.mark.parametrize(
    ("reducer", "value", "fits", "too_large"),
    [
        ("append", ["x" * HALF], "y" * (HALF - 100), "y" * HALF),
        ("extend", ["x" * HALF], ["y" * (HALF - 100)], ["y" * HALF]),
        ("union", ["x" * HALF], ["x" * HALF, "y" * (HALF - 100)], ["y" * HALF]),
        ("deep_merge", {"a": "x" * HALF}, {"a": "x" * HALF, "b": "y" * (HALF - 100)}, {"b": "y" * HALF}),
        ("deep_merge", {"a": "x" * HALF}, {"a": "y" * (HALF + MIB)}, {"b": "y" * HALF}),
        ("max", "x" * HALF, "y" * (HALF + MIB), "y" * MAX_STATE_BYTES),
        ("first", "x" * HALF, "y" * MAX_STATE_BYTES, None),
        ("replace", "x" * HALF, "y" * (HALF + MIB), "y" * MAX_STATE_BYTES),
    ],
)
def test_the_size_counted_is_that_of_the_value_after_the_write(
    reducer: str, value: Any, fits: Any, too_large: Any
) -> None:
    state = WorkflowState({"x": reducer})
    view = state.initial({"x": value})
    state.check(view, {"x": fits})
    written = state.update(view, {"x": fits}, Writer(2, "a", 1), alone=True)
    state.check(written, {})
    if too_large is not None:
        with pytest.raises(StateError) as caught:
            state.check(view, {"x": too_large})
        assert caught.value.code == "STATE_TOO_LARGE"


def test_a_number_that_is_added_to_does_not_grow() -> None:
    state = WorkflowState({"n": "add"})
    view = state.initial({"n": 1, "x": "x" * (MAX_STATE_BYTES - 200)})
    for seq in range(2, 50):
        state.check(view, {"n": 1})
        view = state.update(view, {"n": 1}, Writer(seq, "a", 1), alone=True)
    assert view["n"].value == 49


@pytest.mark.parametrize("reducer", ["append", "extend", "add", "union", "deep_merge"])
def test_a_single_token_leaves_no_lineage_behind(reducer: str) -> None:
    updates: dict[str, Any] = {"append": 1, "add": 1, "deep_merge": {}}
    state = WorkflowState({"x": reducer})
    view = state.initial({})
    for seq in range(2, 20):
        update = {"deep_merge": {"k": seq}, "union": [seq]}.get(reducer, updates.get(reducer, [1]))
        view = state.update(view, {"x": update}, Writer(seq, "a", 1), alone=True)
        assert view["x"].lineage.parents == ()


@pytest.mark.parametrize("reducer", [None, "replace", "append", "max", "first", "add"])
def test_an_overwritten_value_counts_whatever_the_reducer_and_comes_after_what_it_replaced(reducer: str | None) -> None:
    state = WorkflowState({"x": reducer} if reducer else {})
    first = state.initial({"x": [1] if reducer == "append" else 5})
    other = state.update(first, {"y": 1}, Writer(2, "l", 1), alone=False)
    value = [0] if reducer == "append" else -1
    patched = state.update(first, {"x": value, "z": None}, Writer(3, None, 1), alone=False, overwrite=True)
    assert plain(patched) == {"x": value, "z": None}
    for views in ([patched, other], [other, patched]):
        assert plain(state.merge(views, 4)) == {"x": value, "y": 1, "z": None}
    assert state.newest({"l": 0}) == {"x": value, "y": 1, "z": None}
    assert state.update(patched, {"x": value}, Writer(4, None, 1), alone=False, overwrite=True) is patched


@pytest.mark.parametrize(
    ("reducer", "base", "patch", "update", "results"),
    [
        ("add", 10, 100, 3, [103, 103]),
        ("append", ["s"], ["new"], "r", [["new", "r"]] * 2),
        ("union", ["s", "t"], ["t"], ["s", "u"], [["t", "u"]] * 2),
        ("max", 10, 1, 11, [11, 11]),
        ("max", 10, 1, 5, [1, 1]),
        ("deep_merge", {"a": 1, "b": 1}, {"c": 1}, {"a": 1, "b": 2}, [{"c": 1, "b": 2}] * 2),
        ("deep_merge", {"a": 1}, {"a": 2}, {"a": 3}, [{"a": 3}, {"a": 2}]),
        ("replace", 10, 1, 2, [2, 1]),
    ],
)
def test_writes_beside_an_overwritten_value_are_kept_and_what_it_replaced_is_not(
    reducer: str, base: Any, patch: Any, update: Any, results: list[Any]
) -> None:
    state = WorkflowState({"x": reducer})
    first = state.initial({"x": base})
    patched = state.update(first, {"x": patch}, Writer(2, None, 1), alone=False, overwrite=True)
    other = state.update(first, {"x": update}, Writer(3, "r", 1), alone=False)
    merged = [plain(state.merge(views, 4))["x"] for views in ([patched, other], [other, patched])]
    assert merged == results
    further = state.update(patched, {"x": update}, Writer(5, "l", 1), alone=False)
    assert plain(state.merge([further, patched], 6)) == plain(further)


def test_what_a_fork_changed_is_told_from_the_initial_state() -> None:
    assert str(Writer(1, None, 1)) == "the initial state"
    assert str(Writer(7, None, 1)) == "the fork (record 7)"


@pytest.mark.parametrize(
    ("reducer", "merged", "last"),
    [("append", [1, 2], [1, 2, 2]), ("add", 3, 5), ("replace", 2, 2), (None, 2, 2), ("max", 2, 2), ("first", 1, 1)],
)
def test_a_node_may_see_everything_written_and_write_on_top_of_it(reducer: str | None, merged: Any, last: Any) -> None:
    order = {"l": 0, "r": 1, "f": 2}
    state = WorkflowState({"x": reducer} if reducer else {})
    first = state.initial({"y": 0})
    state.update(first, {"x": 1, "a": 1}, Writer(2, "l", 1), alone=False)
    right = state.update(first, {"x": 2}, Writer(3, "r", 1), alone=False)
    view = state.current(order, 4)
    assert plain(view) == state.newest(order) == {"y": 0, "x": merged, "a": 1}
    view = state.update(view, {"x": 2, "y": 1}, Writer(5, "f", 1), alone=False)
    assert plain(view) == state.newest(order) == {"y": 1, "x": last, "a": 1}
    assert plain(state.current(order, 6)) == plain(view)
    assert plain(state.merge([view, right], 7)) == plain(state.merge([right, view], 7)) == plain(view)


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
