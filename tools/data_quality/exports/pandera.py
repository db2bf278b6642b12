"""Rules as a schema of Pandera for Polars, in the YAML that `DataFrameSchema.from_yaml` takes.

Pandera's checks know no exceptions: one violation fails the frame. So only rules that were broken nowhere are carried, and
of these the ones that ask something of each cell by itself, or that rows differ. The schema is for a frame of texts in
which an empty cell is null; columns of numbers are converted by the schema itself.

Source: `pandera.io.polars_io` of version 0.35.0.
Invariant: the table that the rules were found in passes the schema.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tools.data_quality.columns.study import Semantic
from tools.data_quality.exports.coverage import Export, LeftOut, Unsupported, check_usable, is_strict, left_out
from tools.data_quality.exports.reading import (
    Bounded,
    Listed,
    Matching,
    Reading,
    as_pattern,
    cell_test,
    readings,
    tolerant,
)
from tools.data_quality.exports.written import as_yaml
from tools.data_quality.rules.model import Rule

_Entry = dict[str, Any]


def to_pandera(
    rules: Sequence[Rule],
    columns: Mapping[str, Semantic],
    table: str,
    *,
    missing_words: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Export:
    """Write the rules of a table as one schema.

    Args:
        rules: In any order; checks keep it.
        columns: What each column holds, in the order of the table.
        table: Name of the table, and of the schema.
        missing_words: For some columns, lower-case words that stand for "no value" and occur in it.
    """
    read = readings(rules, columns, missing_words)
    filled = {rule.columns[0] for rule in rules if rule.type == "not_null" and is_strict(rule) and rule.columns}
    entries = {name: _column(name in filled, columns[name], read[name]) for name in columns}
    missing: list[LeftOut] = []
    together: list[str] = []
    for rule in rules:
        try:
            check_usable(rule, columns)
            if not is_strict(rule):
                raise Unsupported("its checks know no exceptions, and the rule has some")
            if rule.type in ("key", "duplicate_rows"):
                together = _together(rule, together, filled)
            else:
                _add(rule, entries[rule.columns[0]], read[rule.columns[0]], is_filled=rule.columns[0] in filled)
        except Unsupported as reason:
            missing.append(left_out(rule, str(reason)))
    schema: _Entry = {"schema_type": "polars_dataframe", "api": "polars", "name": table, "columns": entries}
    if together:
        schema["unique"] = together
    return Export(as_yaml(schema), tuple(missing))


def _column(is_filled: bool, semantic: Semantic, reading: Reading) -> _Entry:
    if not reading.is_number:
        return {"dtype": "String", "nullable": not is_filled}
    dtype = "Int64" if semantic == "integer" else "Float64"
    return {"dtype": dtype, "coerce": True, "nullable": not is_filled}


def _add(rule: Rule, entry: _Entry, reading: Reading, *, is_filled: bool) -> None:
    """Put a rule about one column into the column's entry."""
    if rule.type == "not_null" or (rule.type == "type" and reading.is_number):
        return  # said by `nullable` and `dtype`
    if rule.type == "unique":
        if not is_filled:
            raise Unsupported("it takes two empty cells for the same value, and the column may have some")
        entry["unique"] = True
        return
    if rule.type in ("dependency", "merged", "swapped", "location", "compare"):
        raise Unsupported("a file cannot hold checks of several columns, which are functions there")
    entry.setdefault("checks", []).extend(_checks(rule, reading))


def _checks(rule: Rule, reading: Reading) -> list[_Entry]:
    test = cell_test(rule, reading)
    if isinstance(test, Bounded):
        if not test.wanted:
            raise Unsupported("no check asks that a number does not lie in a range")
        if not reading.is_number:
            raise Unsupported("some cells of the column are no plain numbers")
        bounds = (("ge", "min_value", test.low), ("le", "max_value", test.high))
        return [_check(check, rule, {key: bound}) for check, key, bound in bounds if bound is not None]
    if test is None:
        raise Unsupported("no check reads dates of a given format")
    if reading.is_number:
        raise Unsupported("the column is read as numbers, which does not show how they are written")
    if isinstance(test, Listed):
        if reading.is_tidy and test.wanted:
            return [_check("isin", rule, {"allowed_values": list(test.values)})]
        if not test.wanted:
            return [_check("notin", rule, {"forbidden_values": list(test.values)})]  # codespell:ignore notin
        test = as_pattern(test)
    return [_pattern(rule, test, reading)]


def _pattern(rule: Rule, test: Matching, reading: Reading) -> _Entry:
    if not test.wanted:
        raise Unsupported("no check asks that a text does not match a pattern")
    return _check("str_matches", rule, {"pattern": tolerant(test.pattern, reading)})


def _check(check: str, rule: Rule, statistics: _Entry) -> _Entry:
    options = {"check_name": check, "name": f"{rule.type} {rule.rule_id}"}
    return statistics | {"options": options}


def _together(rule: Rule, already: list[str], filled: set[str]) -> list[str]:
    if already:
        raise Unsupported("a schema compares rows by one list of columns, and another rule has it")
    if rule.type == "key" and not filled.issuperset(rule.columns):
        raise Unsupported("it takes two empty cells for the same value, and the columns may have some")
    return list(rule.columns)
