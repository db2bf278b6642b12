"""Conditions on the state: plain JSON, compiled once to closures; never code, attributes or regular expressions.

A leaf is `{"field", "operator", "value"}`, an expression `{"expr": "..."}`, see `cel.py`; `{"all": [...]}`, `{"any": [...]}` and
`{"not": ...}` combine them, tested from left to right and only as far as needed. A missing field makes a leaf or an expression
false; an operand of the wrong type is an error and never false, so that a misspelt threshold cannot route a run silently.
"""

import operator
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from runtime.errors import Problem, escape
from runtime.graph.cel import EXTRA, Expression, ExtraMissing, InvalidExpression, NoAnswer
from runtime.graph.paths import MISSING, member

MAX_DEPTH: Final = 16
MAX_LEAVES: Final = 64

Lookup = Callable[[str], Any]
"""Returns the value of a top-level state key, or `MISSING`."""

Operands = list[dict[str, Any]]
Test = Callable[[Lookup, Operands], bool]
"""Tests a state; appends what each leaf saw: `{"field", "operator", "value", "actual"?, "missing"?: true, "holds"}`; and each
expression: `{"expr", "operands": {name: summary}, "missing"?: [name], "holds"}`."""


class ConditionError(Exception):
    """A leaf cannot compare its operand, or an expression has no answer; `operands` has what was seen, the faulty one last."""

    def __init__(self, message: str, operands: Operands) -> None:
        super().__init__(message)
        self.operands = operands


def compile_condition(source: Mapping[str, Any], pointer: str, problems: list[Problem]) -> Test | None:
    """Return the test that `source` describes; with faults, append all of them to `problems` and return None."""
    found = len(problems)
    leaves = _Budget()
    test = _compile(source, pointer, problems, leaves, depth=1)
    if leaves.count > MAX_LEAVES:
        problems.append(
            Problem(
                pointer,
                f"The condition has {leaves.count} leaves; at most {MAX_LEAVES} are allowed.",
                "condition_too_large",
            )
        )
    return test if len(problems) == found else None


def compile_accepted(source: Mapping[str, Any], missing: set[str]) -> Test:
    """Return the test of a condition that the verdict accepted once.

    If something that it needs is not installed any more, that is added to `missing`, and the test never has an answer.

    Raises:
        ValueError: The verdict cannot have accepted it.
    """
    problems: list[Problem] = []
    test = compile_condition(source, "", problems)
    if test is not None:
        return test
    if any(problem.type != "extra_missing" for problem in problems):
        raise ValueError("; ".join(problem.detail for problem in problems))
    missing.add(EXTRA)
    return _unanswered


def _unanswered(_lookup: Lookup, operands: Operands) -> bool:
    raise ConditionError(f"A condition needs {EXTRA}, which is not installed.", operands)


class _Budget:
    count = 0


def _never(_lookup: Lookup, _operands: Operands) -> bool:
    """Stand in for a part that has been reported as a problem."""
    return False


def _compile(source: Any, pointer: str, problems: list[Problem], leaves: _Budget, depth: int) -> Test:
    if depth > MAX_DEPTH:
        problems.append(Problem(pointer, f"Conditions nest at most {MAX_DEPTH} deep.", "condition_too_deep"))
        return _never
    if not isinstance(source, Mapping):
        problems.append(Problem(pointer, f"A condition is a JSON object, got {_show(source)}.", "invalid_condition"))
        return _never
    keys = set(source)
    for word in ("all", "any"):
        if keys == {word}:
            parts = source[word]
            if not isinstance(parts, list) or not parts:
                problems.append(
                    Problem(
                        f"{pointer}/{word}", f"'{word}' takes a list of at least one condition.", "invalid_condition"
                    )
                )
                return _never
            tests = [
                _compile(part, f"{pointer}/{word}/{i}", problems, leaves, depth + 1) for i, part in enumerate(parts)
            ]
            return _all_of(tests) if word == "all" else _any_of(tests)
    if keys == {"not"}:
        return _negation(_compile(source["not"], f"{pointer}/not", problems, leaves, depth + 1))
    leaves.count += 1
    return (_compile_expression if "expr" in keys else _compile_leaf)(source, pointer, problems)


def _all_of(tests: list[Test]) -> Test:
    return lambda lookup, operands: all(test(lookup, operands) for test in tests)


def _any_of(tests: list[Test]) -> Test:
    return lambda lookup, operands: any(test(lookup, operands) for test in tests)


def _negation(test: Test) -> Test:
    return lambda lookup, operands: not test(lookup, operands)


def _compile_leaf(source: Mapping[str, Any], pointer: str, problems: list[Problem]) -> Test:
    found = len(problems)
    field, word = source.get("field"), source.get("operator")
    if not isinstance(word, str):
        word = ""
    unary = word in ("exists", "not_exists")
    wanted = {"field", "operator"} if unary else {"field", "operator", "value"}
    problems.extend(
        Problem(
            f"{pointer}/{escape(key)}", f"Unknown key {key!r}; a leaf has field, operator and value.", "unknown_key"
        )
        for key in sorted(source.keys() - {"field", "operator", "value"})
    )
    problems.extend(
        Problem(pointer, f"The condition lacks {key!r}.", "missing_key") for key in sorted(wanted - source.keys())
    )
    if "field" in source and (not isinstance(field, str) or not field or len(field) > 1_024 or "" in field.split(".")):
        detail = f"'field' is a dotted path such as 'profile.null_rate', got {_show(field)}."
        problems.append(Problem(f"{pointer}/field", detail, "invalid_field"))
    if "operator" in source and word not in OPERATORS:
        near = get_close_matches(word, OPERATORS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" There are: {' '.join(OPERATORS)}."
        problems.append(
            Problem(f"{pointer}/operator", f"Unknown operator {_show(source['operator'])}.{hint}", "unknown_operator")
        )
    if word in ("in", "not_in") and not isinstance(source.get("value"), list):
        problems.append(
            Problem(f"{pointer}/value", f"'{word}' takes a list, got {_show(source.get('value'))}.", "invalid_value")
        )
    if word in ("starts_with", "ends_with") and not isinstance(source.get("value"), str):
        problems.append(
            Problem(f"{pointer}/value", f"'{word}' takes a string, got {_show(source.get('value'))}.", "invalid_value")
        )
    if (word in ORDER and not isinstance(source.get("value"), (int, float, str))) or (
        word in ORDER and isinstance(source.get("value"), bool)
    ):
        detail = f"'{word}' compares with a number or a string, got {_show(source.get('value'))}."
        problems.append(Problem(f"{pointer}/value", detail, "invalid_value"))
    if len(problems) > found:
        return _never
    return _leaf(str(field), str(word), source.get("value"))


def _compile_expression(source: Mapping[str, Any], pointer: str, problems: list[Problem]) -> Test:
    found = len(problems)
    problems.extend(
        Problem(f"{pointer}/{escape(key)}", f"Unknown key {key!r}; 'expr' stands alone.", "unknown_key")
        for key in sorted(source.keys() - {"expr"})
    )
    text = source["expr"]
    if not isinstance(text, str):
        detail = f"'expr' is a CEL expression such as 'score > limit', got {_show(text)}."
        problems.append(Problem(f"{pointer}/expr", detail, "invalid_expression"))
        return _never
    try:
        expression = Expression(text)
    except InvalidExpression as error:
        problems.append(Problem(f"{pointer}/expr", str(error), "invalid_expression"))
    except ExtraMissing as error:
        problems.append(Problem(f"{pointer}/expr", str(error), "extra_missing"))
    return _never if len(problems) > found else _expression(text, expression)


def _expression(text: str, expression: Expression) -> Test:
    def test(lookup: Lookup, operands: Operands) -> bool:
        values = {name: lookup(name) for name in expression.names}
        missing = [name for name, value in values.items() if value is MISSING]
        shown = {name: summary(value) for name, value in values.items() if value is not MISSING}
        seen: dict[str, Any] = {"expr": text, "operands": shown}
        operands.append(seen)
        if missing:
            seen["missing"] = missing
        try:
            holds = not missing and expression.holds(values)
        except NoAnswer as error:
            raise ConditionError(f"{_show(text)} has no answer: {error}.", operands) from None
        seen["holds"] = holds
        return holds

    return test


def _leaf(field: str, word: str, expected: Any) -> Test:
    key, *path = field.split(".")
    compare = OPERATORS[word]

    def test(lookup: Lookup, operands: Operands) -> bool:
        actual = lookup(key)
        for part in path:
            actual = member(actual, part)
        seen = {"field": field, "operator": word, "value": expected}
        operands.append(seen)
        if actual is MISSING:
            seen["missing"] = True
            holds = word == "not_exists"
        else:
            seen["actual"] = summary(actual)
            try:
                holds = compare(actual, expected)
            except TypeError:
                message = f"{field!r} is {_show(actual)}, which '{word}' cannot compare with {_show(expected)}."
                raise ConditionError(message, operands) from None
        seen["holds"] = holds
        return holds

    return test


def json_equal(left: Any, right: Any) -> bool:
    """Compare as JSON does: `1 == 1.0`, but `true` is not `1`, at any depth."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(json_equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(json_equal, left, right))
    return bool(left == right)


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(actual: Any, expected: Any) -> bool:
        if isinstance(actual, bool) or isinstance(actual, str) is not isinstance(expected, str):
            raise TypeError
        if not isinstance(actual, (int, float, str)):
            raise TypeError
        return compare(actual, expected)

    return test


def _is_in(actual: Any, expected: Any) -> bool:
    return any(json_equal(actual, item) for item in expected)


def _contains(actual: Any, expected: Any) -> bool:
    if isinstance(actual, list):
        return _is_in(expected, actual)
    if isinstance(actual, (str, dict)) and isinstance(expected, str):
        return expected in actual
    raise TypeError


def _text(compare: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    def test(actual: Any, expected: Any) -> bool:
        if not isinstance(actual, str):
            raise TypeError
        return compare(actual, expected)

    return test


ORDER: Final = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": json_equal,
    "!=": lambda actual, expected: not json_equal(actual, expected),
    **{word: _ordering(compare) for word, compare in ORDER.items()},
    "in": _is_in,
    "not_in": lambda actual, expected: not _is_in(actual, expected),
    "contains": _contains,
    "exists": lambda _actual, _expected: True,
    "not_exists": lambda _actual, _expected: False,
    "starts_with": _text(str.startswith),
    "ends_with": _text(str.endswith),
}


def summary(value: Any) -> Any:
    """Return `value` itself where it is short enough for a log record, else a description of it."""
    if isinstance(value, str) and len(value) > 200:
        return f"{value[:200]}… ({len(value)} characters)"
    if isinstance(value, list):
        return f"list of {len(value)}"
    if isinstance(value, dict):
        return f"object of {len(value)}"
    return value


def _show(value: Any) -> str:
    return repr(summary(value))
