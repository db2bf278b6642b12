"""A value that stands alone in a column of a few frequent ones.

Invariant: reported only, and only where every other value is common.
"""

from collections.abc import Iterator
from typing import Final

from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("set",)

_MOST_VALUES: Final = 20
_FEWEST_ROWS: Final = 200
_COMMON: Final = 0.01  # share of the rows from which a value is common
_RARE_ROWS: Final = 1


def discover(table: Table) -> Iterator[Rule]:
    """The values of each column that has few."""
    for study in table.studies:
        if study.semantic not in ("category", "boolean"):
            continue
        column = study.column
        rows = study.filled_rows
        common = [code for code in study.filled if column.counts[code] > _RARE_ROWS]
        if rows < _FEWEST_ROWS or not 2 <= len(common) <= _MOST_VALUES:
            continue
        if all(column.counts[code] >= _COMMON * rows for code in common):
            yield make_rule("set", [column.name], {"values": sorted({column.text(code) for code in common})})


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every value that is none of the set."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    study = table.studies[place]
    values = set(rule.params["values"])
    for code in study.filled:
        if study.column.text(code) not in values:
            reason = f"none of the {len(values)} values that this column otherwise holds"
            yield Flag(place, code, None, "rare_category", 0.55, reason, rule.rule_id)
