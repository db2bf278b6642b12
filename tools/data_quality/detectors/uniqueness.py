"""Columns whose values never repeat, alone or two together: what a row can be named by.

Invariant: a rule is only found where nothing repeats, so that in its own table nothing breaks it; it is meant for the next
delivery of the same table.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import polars as pl

from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("unique", "key")

_MOST_PAIRS: Final = 30
_MOST_KEYS: Final = 10
_FEWEST_ROWS: Final = 2
_MEASURES: Final = ("decimal", "unit_number", "text")  # unique by chance: what is measured names nothing


def discover(table: Table) -> Iterator[Rule]:
    """Columns without gaps or repetitions; where there is none, pairs of columns."""
    if table.rows < _FEWEST_ROWS:
        return
    found = 0
    filled = []
    for study in table.studies:
        column = study.column
        if column.is_bare or study.missing_rows or study.semantic in _MEASURES:
            continue
        if len(column.values) == table.rows:
            found += 1
            yield make_rule("unique", [column.name])
        elif len(column.values) > 1:
            filled.append(column)
    if found:
        return
    pairs = [
        (one, other) for one, other in combinations(filled, 2) if len(one.values) * len(other.values) >= table.rows
    ]
    pairs.sort(key=lambda pair: len(pair[0].values) * len(pair[1].values))
    for one, other in pairs[:_MOST_PAIRS]:
        if found < _MOST_KEYS and pl.DataFrame({"a": one.codes, "b": other.codes}).n_unique() == table.rows:
            found += 1
            yield make_rule("key", [one.name, other.name])


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every cell of the first column whose value (with the others) stands in an earlier row already."""
    places = [place for name in rule.columns if (place := table.place(name)) is not None]
    if len(places) < len(rule.columns):
        return
    codes = pl.DataFrame({str(place): table.columns[place].codes for place in places})
    repeated = (~codes.select(pl.struct(pl.all()).is_first_distinct()).to_series()).arg_true().to_list()
    what = "this value" if len(places) == 1 else "the same values of " + " and ".join(map(repr, rule.columns))
    for row in repeated:
        code = table.columns[places[0]].codes[row]
        if code not in table.study_at(places[0]).empty:
            reason = f"an earlier row has {what}, which should be unique"
            yield Flag(places[0], code, (row,), "duplicate_row", 0.9, reason, rule.rule_id)
