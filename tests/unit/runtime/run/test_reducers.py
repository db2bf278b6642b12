"""What each reducer makes of a value and a write, of two sides that meet, and of what it cannot work with."""

from typing import Any, Final

import pytest

from runtime.errors import InvalidInput
from runtime.graph import checks
from runtime.graph.checks import judge
from runtime.graph.definition import GraphDefinition
from runtime.graph.paths import MISSING
from runtime.inputs import check_initial_state, reducer_problems
from runtime.run.reducers import REDUCERS, News, Refused, kind, same
from tests.support.graphs import Source, graph, node
from tests.support.naive_state import exactly
from tests.support.tools import FakeTools

MOST: Final = (1 << 63) - 1


def written(word: str, value: Any, update: Any) -> Any:
    """Return the value after a write, `MISSING` where the write is none."""
    contribution = REDUCERS[word].contribution(value, update)
    return MISSING if contribution is MISSING else REDUCERS[word].fold(value, (contribution,))


def met(word: str, base: Any, left: Any, right: Any) -> Any:
    """Return the value after one write on either side of a fork."""
    reducer = REDUCERS[word]
    sides: list[Any] = []
    news: list[News] = []
    for update in (left, right):
        contribution = reducer.contribution(base, update)
        contributions: list[Any] = [] if contribution is MISSING else [contribution]
        news.append(News(contributions, overwrote=False))
        sides.append(reducer.fold(base, contributions))
    return reducer.join(sides[0], sides[1], lambda: news[0], news[1])


@pytest.mark.parametrize(
    ("word", "value", "update", "result"),
    [
        ("append", MISSING, 1, [1]),
        ("append", [], 1, [1]),
        ("append", [1], [2, 3], [1, [2, 3]]),
        ("append", [1], 1, [1, 1]),
        ("append", MISSING, [], [[]]),
        ("extend", MISSING, [1, 1], [1, 1]),
        ("extend", MISSING, [], []),
        ("extend", [1], [2, [3]], [1, 2, [3]]),
        ("extend", [1], [1], [1, 1]),
        ("union", MISSING, ["b", "a", "b"], ["b", "a"]),
        ("union", MISSING, [], []),
        ("union", [1], [2, 1.0, True, "1", 2.0], [1, 2, True, "1"]),
        ("union", [{"a": 1, "b": [1]}], [{"b": [1.0], "a": 1}, {"b": [True], "a": 1}], [{"a": 1, "b": [1]}, {"b": [True], "a": 1}]),
        ("union", [1, 1], [2], [1, 1, 2]),
        ("add", MISSING, 5, 5),
        ("add", MISSING, 0, 0),
        ("add", 5, 5, 10),
        ("add", 5, -5, 0),
        ("add", 5, 0.5, 5.5),
        ("add", 5, 0.0, 5.0),
        ("add", MOST, -1, MOST - 1),
        ("max", MISSING, 1, 1),
        ("max", 1, 1.5, 1.5),
        ("max", "Z", "a", "a"),
        ("min", 1.5, 1, 1),
        ("min", "a", "Z", "Z"),
        ("first", MISSING, None, None),
        ("first", MISSING, [1], [1]),
        ("deep_merge", MISSING, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ("deep_merge", MISSING, {}, {}),
        ("deep_merge", {"a": {"b": 1}, "z": 0}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}, "z": 0}),
        ("deep_merge", {"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ("deep_merge", {"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ("deep_merge", {"a": 5}, {"a": {}}, {"a": {}}),
        ("deep_merge", {"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ("deep_merge", {"a": 1}, {"a": None}, {"a": None}),
        ("deep_merge", {"a": 1}, {"a": 1.0}, {"a": 1.0}),
    ],
)  # fmt: skip
def test_a_write_changes_the_value_as_its_reducer_says(word: str, value: Any, update: Any, result: Any) -> None:
    before = exactly(value) if value is not MISSING else None
    assert exactly(written(word, value, update)) == exactly(result)
    assert before is None or exactly(value) == before


@pytest.mark.parametrize(
    ("word", "value", "update"),
    [
        ("append", [1], [1]),
        ("append", [], []),
        ("extend", [1], []),
        ("union", [1, [2]], [[2], 1.0, 1]),
        ("union", [1], []),
        ("add", 5, 0),
        ("add", 5.0, 0),
        ("add", 5.0, 0.0),
        ("max", 5, 5),
        ("max", 5, 5.0),
        ("max", 5, 4),
        ("max", "b", "a"),
        ("min", 5, 6),
        ("first", 5, 6),
        ("first", None, 6),
        ("deep_merge", {"a": {"b": 1}}, {"a": {"b": 1}}),
        ("deep_merge", {"a": {"b": 1}}, {"a": {}}),
        ("deep_merge", {"a": 1}, {}),
    ],
)
def test_a_write_that_changes_nothing_is_none(word: str, value: Any, update: Any) -> None:
    assert written(word, value, update) is MISSING


@pytest.mark.parametrize(
    ("word", "value", "update", "problem"),
    [
        ("extend", [1], 2, "takes a list, got a number"),
        ("extend", MISSING, "text", "takes a list, got a text"),
        ("union", [1], {"a": 1}, "takes a list, got an object"),
        ("add", 1, "2", "takes a number, got a text"),
        ("add", 1, True, "takes a number, got a boolean"),
        ("add", MISSING, None, "takes a number, got null"),
        ("max", 1, [2], "takes a number or a text, got a list"),
        ("min", 1, False, "takes a number or a text, got a boolean"),
        ("max", 1, "2", "compares numbers with numbers and texts with texts, got a text beside a number"),
        ("min", "1", 2, "compares numbers with numbers and texts with texts, got a number beside a text"),
        ("deep_merge", {}, [1], "takes an object, got a list"),
        ("append", 5, 1, "works on a list, and the value is a number"),
        ("add", True, 1, "works on a number, and the value is a boolean"),
        ("deep_merge", None, {}, "works on an object, and the value is null"),
        ("add", MOST, 1, "cannot hold 9223372036854775808, which is beyond 64 bits"),
        ("add", -MOST, -2, "cannot hold -9223372036854775809, which is beyond 64 bits"),
        ("add", 1e308, 1e308, "cannot hold inf, which JSON cannot express"),
    ],
)
def test_what_a_reducer_cannot_work_with_is_refused(word: str, value: Any, update: Any, problem: str) -> None:
    with pytest.raises(Refused) as caught:
        written(word, value, update)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("word", "base", "left", "right", "result"),
    [
        ("append", ["s"], "l", "r", ["s", "l", "r"]),
        ("append", MISSING, 1, 1, [1, 1]),
        ("extend", ["s"], ["l", "m"], ["r"], ["s", "l", "m", "r"]),
        ("union", ["s"], ["l", "b", "s"], ["r", "b"], ["s", "l", "b", "r"]),
        ("add", 10, 2, 3, 15),
        ("add", MISSING, 2, 3, 5),
        ("add", 10, 2, -2, 10),
        ("add", MOST - 2, 2, 0, MOST),
        ("max", 5, 7, 6, 7),
        ("max", 5, 4, 6, 6),
        ("min", "m", "c", "b", "b"),
        ("first", MISSING, "l", "r", "l"),
        ("first", "s", "l", "r", "s"),
        ("deep_merge", {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"z": 3}}, {"a": {"x": 1, "y": 2, "z": 3}}),
        ("deep_merge", {"a": {"x": 1}, "b": 0}, {"a": {"x": 2}, "b": 0}, {"a": {"x": 1}, "b": 9}, {"a": {"x": 2}, "b": 9}),
        ("deep_merge", {}, {"a": 1}, {"a": 2}, {"a": 2}),
        ("deep_merge", {"a": {"x": 1}}, {"a": 5}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ("deep_merge", {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": 5}, {"a": 5}),
        ("deep_merge", {"a": 5}, {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ("deep_merge", MISSING, {}, {"a": 1}, {"a": 1}),
    ],
)  # fmt: skip
def test_sides_that_meet_keep_what_either_wrote(word: str, base: Any, left: Any, right: Any, result: Any) -> None:
    assert exactly(met(word, base, left, right)) == exactly(result)


def test_whole_numbers_do_not_depend_on_their_order_even_at_the_limit() -> None:
    assert REDUCERS["add"].fold(MOST, [5, -5]) == MOST
    assert REDUCERS["add"].fold(-MOST, [-5, 5]) == -MOST


def test_an_overwritten_side_is_the_ground_that_the_other_side_adds_to() -> None:
    ours, theirs = News([2], overwrote=False), News([7], overwrote=True)
    assert REDUCERS["add"].join(12, 107, lambda: ours, theirs) == 109
    assert REDUCERS["append"].join([1, 2], ["new", 7], lambda: News([[2]], overwrote=False), theirs) == ["new", 7, 2]


def test_an_overwritten_object_keeps_only_what_the_other_side_wrote_meanwhile() -> None:
    base, left, right = {"a": 1, "b": 1}, {"a": 1, "b": 2}, {"c": 3}
    assert REDUCERS["deep_merge"].join(
        left, right, lambda: News([{"b": 2}], overwrote=False), News([], overwrote=True)
    ) == {
        "b": 2,
        "c": 3,
    }
    assert (
        REDUCERS["deep_merge"].join(right, base, lambda: News([], overwrote=True), News([], overwrote=False)) == right
    )


def test_an_entry_that_was_emptied_counts_as_written() -> None:
    ours = News([{"a": {}}, {"b": 2}], overwrote=False)
    joined = REDUCERS["deep_merge"].join(
        {"a": {}, "b": 2}, {"a": 5, "c": 3}, lambda: ours, News([{"c": 3}], overwrote=False)
    )
    assert joined == {"a": {}, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("word", "left", "right"), [("deep_merge", {}, 5), ("deep_merge", [], {}), ("append", [1], "x"), ("add", None, 1)]
)
def test_sides_of_a_wrong_type_are_refused(word: str, left: Any, right: Any) -> None:
    for overwrote in (False, True):
        with pytest.raises(Refused, match="works on"):
            REDUCERS[word].join(left, right, lambda: News([], overwrote=False), News([], overwrote=overwrote))


@pytest.mark.parametrize(
    ("left", "right"), [(1, 1.0), (1, True), (0, False), ([1], [True]), ({"a": 1}, {"a": 1.0}), ([], {})]
)
def test_values_of_different_types_are_not_the_same(left: Any, right: Any) -> None:
    assert not same(left, right)
    assert not same(right, left)


def test_objects_are_the_same_in_any_order_of_keys() -> None:
    assert same({"a": [1, {"b": None}], "c": "x"}, {"c": "x", "a": [1, {"b": None}]})


def test_every_type_has_a_name() -> None:
    values: list[Any] = [None, True, 1, 1.5, "x", [], {}]
    assert list(map(kind, values)) == ["null", "a boolean", "a number", "a number", "a text", "a list", "an object"]


# --- before a run -----------------------------------------------------------------------------------------------------


def test_a_graph_may_name_every_reducer_there_is() -> None:
    assert set(checks.REDUCERS) == {"replace", *REDUCERS}
    assert judge(graph("a", reducers={word: word for word in checks.REDUCERS}), FakeTools()).errors == []


def test_a_word_that_is_no_reducer_is_refused_with_the_nearest() -> None:
    (problem,) = judge(graph("a", reducers={"k/1": "deep_merg"}), FakeTools()).errors
    assert (problem.pointer, problem.type) == ("/reducers/k~11", "unknown_reducer")
    assert "Did you mean 'deep_merge'?" in problem.detail
    (problem,) = judge(graph("a", reducers={"k": "zzz"}), FakeTools()).errors
    assert all(word in problem.detail for word in checks.REDUCERS)


@pytest.mark.parametrize(
    ("word", "fits", "not_fits"),
    [
        ("append", [[], [1]], [{}, "text", 1, None]),
        ("extend", [[]], [{}, None]),
        ("union", [[], [1, 1]], ["text"]),
        ("add", [1, 1.5], ["1", True, None]),
        ("max", [1, "a"], [True, None, [1]]),
        ("min", [1.5, ""], [False, {}]),
        ("deep_merge", [{}, {"a": 1}], [[], None]),
        ("first", [None, 1, []], []),
        ("replace", [None, 1, []], []),
    ],
)
def test_a_run_begins_only_with_what_its_reducers_can_work_with(
    word: str, fits: list[Any], not_fits: list[Any]
) -> None:
    source = {"name": "g", "nodes": [{"name": "a", "tool": "x"}], "entry_point": "a", "reducers": {"k/1": word}}
    definition = GraphDefinition.model_validate(source)
    assert check_initial_state(definition, {}) == {}
    for value in fits:
        assert check_initial_state(definition, {"k/1": value}) == {"k/1": value}
    for value in not_fits:
        with pytest.raises(InvalidInput) as caught:
            check_initial_state(definition, {"k/1": value})
        (problem,) = caught.value.problems
        assert (problem.pointer, problem.type) == ("/initial_state/k~11", "reducer_type")
        assert problem.detail.startswith(f"Key 'k/1' has the reducer '{word}', so it must be a")
        assert problem.detail.endswith(f"got {kind(value)}.")


def test_values_from_elsewhere_are_checked_with_their_own_pointer() -> None:
    (problem,) = reducer_problems({"n": "add", "m": "max"}, {"n": "1", "other": 2}, "/state")
    assert problem.pointer == "/state/n"


def counted_again(reducers: Source, **keys: Any) -> list[str]:
    """Return the warnings on a graph around a sub-graph that adds to `n`."""
    inside = graph("a", reducers={"n": "add"})
    source = graph([node("sub", type="graph", tool=None, graph=inside, **keys)], reducers=reducers)
    verdict = judge(source, FakeTools())
    assert verdict.errors == []
    return [problem.pointer for problem in verdict.warnings if problem.type == "counted_again"]


def test_a_sub_graph_that_hands_back_what_it_began_with_is_warned_about() -> None:
    assert counted_again({"n": "add"}) == ["/nodes/0"]
    assert counted_again({"n": "add"}, input={"n": "n"}, output={"n": "n"}) == ["/nodes/0"]
    assert counted_again({"n": "add"}, input={}) == []
    assert counted_again({"n": "add"}, output={"result": "n"}) == []
    assert counted_again({"n": "max"}) == []
    assert counted_again({}) == []
