"""Conditions: every operator on every type, paths, combinations, limits, and what is remembered for the log."""

from typing import Any, Final

import pytest

from runtime.errors import Problem
from runtime.graph.conditions import (
    MAX_DEPTH,
    MAX_LEAVES,
    OPERATORS,
    ConditionError,
    Operands,
    compile_condition,
    json_equal,
    summary,
)
from runtime.graph.paths import MISSING
from tests.support.graphs import Source, leaf

WRONG: Final = "CONDITION_ERROR"


def compiled(source: Source) -> Any:
    problems: list[Problem] = []
    test = compile_condition(source, "/c", problems)
    assert problems == []
    assert test is not None
    return test


def holds(source: Source, **state: Any) -> bool:
    return bool(compiled(source)(lambda key: state.get(key, MISSING), []))


def faults(source: Any) -> set[tuple[str, str]]:
    problems: list[Problem] = []
    assert (compile_condition(source, "/c", problems) is None) is bool(problems)
    return {(problem.pointer, problem.type) for problem in problems}


def result(operator: str, actual: Any, expected: Any) -> bool | str:
    try:
        return holds(leaf("x", operator, expected), x=actual)
    except ConditionError:
        return WRONG


EQUAL: Final = [
    (1, 1, True),
    (1, 1.0, True),
    (True, 1, False),
    (1, True, False),
    (False, 0, False),
    (True, True, True),
    ("a", "a", True),
    ("1", 1, False),
    (None, None, True),
    (None, 0, False),
    ([1, [True]], [1.0, [True]], True),
    ([1], [True], False),
    ([1], [1, 2], False),
    ({"a": {"b": 1}}, {"a": {"b": 1.0}}, True),
    ({"a": 1}, {"a": True}, False),
    ({"a": 1}, {"b": 1}, False),
    ([], {}, False),
]


@pytest.mark.parametrize(("actual", "expected", "equal"), EQUAL)
def test_equality_is_that_of_json_at_any_depth(actual: Any, expected: Any, equal: bool) -> None:
    assert result("==", actual, expected) is equal
    assert result("!=", actual, expected) is not equal
    assert result("in", actual, ["other", expected]) is equal
    assert result("not_in", actual, ["other", expected]) is not equal
    assert result("contains", [0.5, expected], actual) is equal
    assert json_equal(expected, actual) is equal


@pytest.mark.parametrize("actual", [1, 1.5, "b"])
@pytest.mark.parametrize("distance", [-1, 0, 1])
def test_order_compares_numbers_with_numbers_and_strings_with_strings(actual: Any, distance: int) -> None:
    expected = chr(ord("b") + distance) if isinstance(actual, str) else actual + distance
    assert result("<", actual, expected) is (distance > 0)
    assert result("<=", actual, expected) is (distance >= 0)
    assert result(">", actual, expected) is (distance < 0)
    assert result(">=", actual, expected) is (distance <= 0)


@pytest.mark.parametrize("operator", [">", "<", ">=", "<="])
@pytest.mark.parametrize(
    ("actual", "expected"),
    [("a", 3), (3, "a"), (True, 1), (False, 0.5), (None, 1), ([1], 1), ({"a": 1}, 1), ([], ""), (None, "")],
)
def test_order_across_types_is_an_error_and_never_false(operator: str, actual: Any, expected: Any) -> None:
    assert result(operator, actual, expected) == WRONG


@pytest.mark.parametrize(
    ("operator", "actual", "expected", "wanted"),
    [
        ("in", 5, [], False),
        ("not_in", 5, [], True),
        ("contains", ["a", "b"], "b", True),
        ("contains", [], None, False),
        ("contains", "abc", "bc", True),
        ("contains", "abc", "x", False),
        ("contains", "abc", 1, WRONG),
        ("contains", {"a": 1}, "a", True),
        ("contains", {"a": 1}, "b", False),
        ("contains", {"a": 1}, 1, WRONG),
        ("contains", 5, 5, WRONG),
        ("contains", None, None, WRONG),
        ("contains", True, True, WRONG),
        ("starts_with", "abc", "ab", True),
        ("starts_with", "abc", "b", False),
        ("starts_with", ["a"], "a", WRONG),
        ("starts_with", 12, "1", WRONG),
        ("starts_with", None, "", WRONG),
        ("ends_with", "abc", "bc", True),
        ("ends_with", "abc", "b", False),
        ("ends_with", {"a": 1}, "a", WRONG),
    ],
)
def test_membership_and_text_operators(operator: str, actual: Any, expected: Any, wanted: Any) -> None:
    assert result(operator, actual, expected) == wanted


@pytest.mark.parametrize("value", [None, 0, "", [], {}, False])
def test_exists_asks_for_the_key_and_not_for_its_value(value: Any) -> None:
    assert holds({"field": "x", "operator": "exists"}, x=value)
    assert not holds({"field": "x", "operator": "not_exists"}, x=value)
    assert holds({"field": "x", "operator": "not_exists"})


def test_a_missing_field_makes_every_leaf_false_but_not_exists() -> None:
    values: dict[str, Any] = {"in": [1], "not_in": [1]}
    for operator in OPERATORS:
        operands: Operands = []
        test = compiled(leaf("gone", operator, values.get(operator, "a")))
        assert test(lambda _key: MISSING, operands) is (operator == "not_exists")
        assert operands[0]["missing"] is True
        assert "actual" not in operands[0]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", True),
        ("a.b.c", True),
        ("a.b.d", False),
        ("list.0", True),
        ("list.1.id", True),
        ("list.2", False),
        ("list.-1", False),
        ("list.x", False),
        ("list.01", True),
        ("list.²", False),
        ("list.9999999999", False),
        ("a.b.c.d", False),
        ("text.0", False),
        ("a.items", False),
        ("a.__class__", False),
        ("digits.0", True),
    ],
)
def test_a_dotted_path_follows_keys_and_indexes_only(path: str, found: bool) -> None:
    state = {"a": {"b": {"c": 1}}, "list": [0, {"id": 7}], "text": "abc", "digits": {"0": 1}}
    assert holds({"field": path, "operator": "exists"}, **state) is found


def test_a_wrong_type_says_field_value_and_operator() -> None:
    with pytest.raises(ConditionError, match="'x' is 'a', which '>' cannot compare with 3") as caught:
        holds(leaf("x", ">", 3), x="a")
    assert caught.value.operands == [{"field": "x", "operator": ">", "value": 3, "actual": "a"}]


YES: Final = leaf("yes", "==", 1)
NO: Final = leaf("no", "==", 1)
BAD: Final = leaf("text", ">", 1)


@pytest.mark.parametrize(
    ("source", "wanted", "tested"),
    [
        ({"all": [YES, YES]}, True, 2),
        ({"all": [NO, BAD]}, False, 1),
        ({"any": [YES, BAD]}, True, 1),
        ({"any": [NO, NO]}, False, 2),
        ({"not": NO}, True, 1),
        ({"not": {"any": [NO, {"all": [YES, YES]}]}}, False, 3),
        ({"not": leaf("gone", "==", 1)}, True, 1),
    ],
)
def test_combinations_are_tested_from_the_left_and_only_as_far_as_needed(
    source: Source, wanted: bool, tested: int
) -> None:
    operands: Operands = []
    state = {"yes": 1, "no": 2, "text": "a"}
    assert compiled(source)(lambda key: state.get(key, MISSING), operands) is wanted
    assert len(operands) == tested


def test_an_error_inside_a_combination_is_never_swallowed() -> None:
    for source in ({"any": [BAD, YES]}, {"not": BAD}, {"all": [YES, BAD]}):
        with pytest.raises(ConditionError):
            holds(source, yes=1, text="a")


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "place", "kind"),
    [
        ("x > 1", "", "invalid_condition"),
        ([], "", "invalid_condition"),
        ({"all": []}, "/all", "invalid_condition"),
        ({"any": {}}, "/any", "invalid_condition"),
        ({"all": [YES, 3]}, "/all/1", "invalid_condition"),
        ({"not": None}, "/not", "invalid_condition"),
        ({"operator": "==", "value": 1}, "", "missing_key"),
        ({"field": "x", "value": 1}, "", "missing_key"),
        ({"field": "x", "operator": "=="}, "", "missing_key"),
        ({**YES, "valu": 1}, "/valu", "unknown_key"),
        (leaf("", "==", 1), "/field", "invalid_field"),
        (leaf("a..b", "==", 1), "/field", "invalid_field"),
        (leaf(".a", "==", 1), "/field", "invalid_field"),
        (leaf("a" * 1_025, "==", 1), "/field", "invalid_field"),
        ({**YES, "field": 3}, "/field", "invalid_field"),
        (leaf("x", "in", "abc"), "/value", "invalid_value"),
        (leaf("x", "not_in", 1), "/value", "invalid_value"),
        (leaf("x", "starts_with", 1), "/value", "invalid_value"),
        (leaf("x", ">", None), "/value", "invalid_value"),
        (leaf("x", "<=", True), "/value", "invalid_value"),
        (leaf("x", ">", [1]), "/value", "invalid_value"),
        (leaf("x", "=>", 1), "/operator", "unknown_operator"),
        ({**YES, "operator": None}, "/operator", "unknown_operator"),
    ],
)
def test_a_malformed_condition_is_refused_at_its_place(source: Any, place: str, kind: str) -> None:
    assert faults(source) == {(f"/c{place}", kind)}


@pytest.mark.parametrize("operator", [3, None, True, 1.5, ["=="], {"==": 1}])
def test_an_operator_that_is_no_string_is_refused(operator: Any) -> None:
    assert ("/c/operator", "unknown_operator") in faults({**YES, "operator": operator})


def test_an_unknown_operator_names_the_nearest_or_all() -> None:
    problems: list[Problem] = []
    compile_condition(leaf("x", "start_with", "a"), "", problems)
    compile_condition(leaf("x", "~~~~", 1), "", problems)
    assert "Did you mean 'starts_with'?" in problems[0].detail
    assert all(operator in problems[1].detail for operator in OPERATORS)


def test_all_faults_of_a_condition_are_found() -> None:
    source = {"all": [leaf("", "=>", 1), {"not": {"expr": "1"}}, {"any": []}]}
    assert faults(source) == {
        ("/c/all/0/field", "invalid_field"),
        ("/c/all/0/operator", "unknown_operator"),
        ("/c/all/1/not/expr", "invalid_expression"),
        ("/c/all/2/any", "invalid_condition"),
    }


def nested(depth: int) -> Source:
    source: Source = YES
    for _ in range(depth - 1):
        source = {"not": source}
    return source


def test_conditions_nest_up_to_their_limit() -> None:
    assert faults(nested(MAX_DEPTH)) == set()
    assert {kind for _, kind in faults(nested(MAX_DEPTH + 1))} == {"condition_too_deep"}
    assert {kind for _, kind in faults(nested(5_000))} == {"condition_too_deep"}


def test_conditions_have_leaves_up_to_their_limit() -> None:
    assert faults({"any": [YES] * MAX_LEAVES}) == set()
    assert faults({"any": [YES] * MAX_LEAVES + [NO]}) == {("/c", "condition_too_large")}
    assert faults({"all": [{"any": [YES] * 40}, {"any": [YES] * 40}]}) == {("/c", "condition_too_large")}


def test_long_values_are_described_and_not_repeated_in_the_log() -> None:
    assert summary("x" * 200) == "x" * 200
    assert summary("x" * 201) == f"{'x' * 200}… (201 characters)"
    assert summary([1, 2]) == "list of 2"
    assert summary({"a": 1}) == "object of 1"
    assert summary(None) is None
