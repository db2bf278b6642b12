"""Rules as a suite of Great Expectations 1.x, in the JSON that `ExpectationSuite(**json)` takes.

The suite is for a frame of texts in which an empty cell is null; columns of the suite's `number_columns` are numbers. Great
Expectations can only compare numbers that are numbers, so a rule about numbers is carried where every cell of its column
is one, and else left out: the column has to be repaired first. Two columns of dates are compared as texts, which ISO 8601 allows.

Source: https://docs.greatexpectations.io/docs/reference/, and what version 1.24.1 does with such a suite.
Invariant: an expectation's `mostly` is never more than the share of the data that was seen to keep to its rule.
"""

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tools.data_quality.columns.study import Semantic
from tools.data_quality.exports.coverage import (
    Export,
    LeftOut,
    Unsupported,
    as_records,
    check_usable,
    held,
    left_out,
)
from tools.data_quality.exports.reading import (
    ISO_DATE,
    Bounded,
    Listed,
    Matching,
    Reading,
    as_pattern,
    cell_test,
    readings,
    tolerant,
)
from tools.data_quality.exports.written import as_json
from tools.data_quality.rules.model import Rule
from tools.data_quality.rules.words import rule_in_words

_Kwargs = dict[str, Any]


def to_great_expectations(
    rules: Sequence[Rule],
    columns: Mapping[str, Semantic],
    table: str,
    *,
    missing_words: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Export:
    """Write the rules of a table as one suite.

    Args:
        rules: In any order; expectations keep it.
        columns: What each column holds, in the order of the table.
        table: Name of the table, and of the suite.
        missing_words: For some columns, lower-case words that stand for "no value" and occur in it.
    """
    read = readings(rules, columns, missing_words)
    expectations: list[dict[str, Any]] = []
    missing: list[LeftOut] = []
    for rule in rules:
        try:
            check_usable(rule, columns)
            name, kwargs = _expectation(rule, read)
        except Unsupported as reason:
            missing.append(left_out(rule, str(reason)))
            continue
        meta: dict[str, Any] = {"rule_id": rule.rule_id, "rule_type": rule.type, "tier": rule.tier}
        meta |= {"support": rule.support, "violations": rule.violations, "notes": rule_in_words(rule)}
        expectations.append({"type": name, "kwargs": kwargs, "meta": meta, "severity": "critical"})
    numbers = [name for name in columns if read[name].is_number]
    suite = {
        "name": table,
        "expectations": expectations,
        "meta": {"number_columns": numbers, "rules_left_out": as_records(missing)},
    }
    return Export(as_json(suite), tuple(missing))


def _expectation(rule: Rule, read: Mapping[str, Reading]) -> tuple[str, _Kwargs]:
    """The type and kwargs of the expectation that says the same as the rule."""
    match rule.type:
        case "not_null":
            return "expect_column_values_to_not_be_null", {"column": rule.columns[0], "mostly": held(rule)}
        case "unique":
            return "expect_column_values_to_be_unique", {"column": rule.columns[0], "mostly": _of_repeated(rule)}
        case "key" | "duplicate_rows":
            return _together(rule)
        case "compare":
            return _pair(rule, read)
        case "date_range":
            raise Unsupported("bounds that are dates are compared with dates, and the column is read as texts")
        case "dependency" | "merged" | "swapped" | "location":
            raise Unsupported("no expectation judges a cell by what other rows hold")
        case _:
            return _of_cells(rule, read[rule.columns[0]])


def _of_cells(rule: Rule, reading: Reading) -> tuple[str, _Kwargs]:
    test = cell_test(rule, reading)
    column = {"column": rule.columns[0], "mostly": held(rule)}
    if isinstance(test, Bounded):
        if not test.wanted:
            raise Unsupported("no expectation asks that a number does not lie in a range")
        if not reading.is_number:
            raise Unsupported("some cells of the column are no plain numbers, and texts cannot be compared as numbers")
        bounds = {"min_value": test.low, "max_value": test.high}
        return "expect_column_values_to_be_between", column | bounds
    if test is None:
        return "expect_column_values_to_match_strftime_format", column | {"strftime_format": _strftime(rule, reading)}
    if reading.is_number:
        raise Unsupported("the column is read as numbers, which does not show how they are written")
    if isinstance(test, Listed):
        if reading.is_tidy:
            way = "be_in_set" if test.wanted else "not_be_in_set"
            return f"expect_column_values_to_{way}", column | {"value_set": list(test.values)}
        test = as_pattern(test)
    return _pattern(test, reading, column)


def _strftime(rule: Rule, reading: Reading) -> str:
    """The format as Python's `strptime` takes it, which reads a field with or without a zero before it."""
    pattern = rule.params.get("format")
    if not isinstance(pattern, str) or not reading.is_tidy:
        raise Unsupported("the format of the dates is not known, or some cells have white space or a placeholder")
    if "%.p" in pattern:
        raise Unsupported("Python reads no a.m. with full stops")
    return re.sub(r"%-(?=[A-Za-z])", "%", pattern).replace("%P", "%p")


def _pattern(test: Matching, reading: Reading, column: _Kwargs) -> tuple[str, _Kwargs]:
    if test.wanted:
        return "expect_column_values_to_match_regex", column | {"regex": tolerant(test.pattern, reading)}
    return "expect_column_values_to_not_match_regex", column | {"regex": test.pattern}


def _of_repeated(rule: Rule) -> float:
    """Great Expectations counts the first of equal values, too: at most twice as many as repeat an earlier one."""
    if not rule.violations or not rule.support:
        return rule.mostly
    held_at_least = max(0, rule.support - 2 * rule.violations)
    return min(rule.mostly, math.floor(1000 * held_at_least / rule.support) / 1000)


def _together(rule: Rule) -> tuple[str, _Kwargs]:
    if len(rule.columns) < 2:
        raise Unsupported("Great Expectations compares rows by two columns or more")
    ignored = "never" if rule.type == "duplicate_rows" else "any_value_is_missing"
    kwargs = {"column_list": list(rule.columns), "ignore_row_if": ignored, "mostly": _of_repeated(rule)}
    return "expect_compound_columns_to_be_unique", kwargs


def _pair(rule: Rule, read: Mapping[str, Reading]) -> tuple[str, _Kwargs]:
    if len(rule.columns) != 2:
        raise Unsupported("a rule of type compare speaks about two columns")
    if rule.params.get("type") == "number":
        if not all(read[name].is_number for name in rule.columns):
            raise Unsupported("some cells of the columns are no plain numbers, and texts cannot be compared as numbers")
    elif not all(read[name].date_format == ISO_DATE and read[name].is_tidy for name in rule.columns):
        raise Unsupported("only dates all written as YYYY-MM-DD can be compared without being read")
    operator = rule.params.get("operator")
    larger, smaller = rule.columns if operator in (">", ">=") else reversed(rule.columns)
    kwargs: _Kwargs = {"column_A": larger, "column_B": smaller}
    kwargs |= {"ignore_row_if": "either_value_is_missing", "mostly": held(rule)}
    if operator in ("=", "=="):
        return "expect_column_pair_values_to_be_equal", kwargs
    if operator not in ("<", "<=", ">", ">="):
        raise Unsupported(f"no expectation compares two columns by {operator!r}")
    return "expect_column_pair_values_a_to_be_greater_than_b", kwargs | {"or_equal": operator in ("<=", ">=")}
