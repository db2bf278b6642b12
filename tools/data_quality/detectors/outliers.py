"""Numbers far outside the spread of the others.

Invariant: reported only. What is far away is often true, and a table knows no better number.
"""

import math
from collections.abc import Iterator
from typing import Final

from tools.data_quality.columns.cells import read_number
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Suggestion
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("range",)

_FAR: Final = 1.0  # distance beyond a fence, in widths between the fences, from which a number is hardly true


def discover(table: Table) -> Iterator[Rule]:
    """The range of each column of numbers, where its spread gives one."""
    for study in table.studies:
        spread = study.spread
        if spread is None or spread.fences is None:
            continue
        low, high = spread.fences
        if study.semantic == "integer":
            # Rounded inwards, which no whole number can notice and which keeps numbers moved to a bound whole.
            low, high = math.ceil(low), math.floor(high)
        yield make_rule("range", [study.column.name], {"min": low, "max": high})


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every number outside the range."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    column = table.columns[place]
    low, high = rule.params["min"], rule.params["max"]
    for code in table.studies[place].filled:
        number = read_number(column.values[code])
        if number is None or low <= number <= high:
            continue
        beyond = (low - number if number < low else number - high) / (high - low) if high > low else _FAR
        confidence = 0.9 if column.is_bare else min(0.85, 0.4 + 0.3 * min(1.0, beyond / _FAR))
        reason = f"far from the others, which lie from {low:.6g} to {high:.6g}"
        if not rule.params.get("clip"):
            yield Flag(place, code, None, "outlier", round(confidence, 2), reason, rule.rule_id)
            continue
        bound = low if number < low else high
        value = Suggestion(str(bound) if column.stores_text else bound)
        yield Flag(place, code, None, "outlier", max(0.9, round(confidence, 2)), reason, rule.rule_id, "auto", value)
