"""Texts that are no number, in a column of numbers.

Invariant: silent unless nearly all of a column are numbers, so that a column of mixed content is nobody's error.
"""

from collections.abc import Iterator
from typing import Final

from tools.data_quality.columns.table import Table
from tools.data_quality.columns.units import read_measured
from tools.data_quality.detectors.flags import Flag, Suggestion
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("type",)


def discover(table: Table) -> Iterator[Rule]:
    """Columns of numbers, with or without a unit."""
    for study in table.studies:
        if study.is_numeric or study.semantic == "unit_number":
            yield make_rule("type", [study.column.name], {"type": study.semantic})


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every value that is no number."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    study = table.studies[place]
    if rule.params["type"] == "unit_number":
        wrong = [code for code in study.filled if read_measured(study.column.text(code)) is None]
    else:
        wrong = [code for code in study.filled if code not in study.numbers]
    fill = rule.params.get("fill")
    for code in wrong:
        reason = "not a number, in a column of numbers"
        if fill is None:
            yield Flag(place, code, None, "type", 0.9, reason, rule.rule_id)
        else:
            value = str(fill) if study.column.stores_text else fill
            yield Flag(place, code, None, "type", 0.9, reason, rule.rule_id, "auto", Suggestion(value))
