"""Marks and sentinel numbers that stand for "no value".

Words by which a person says so ("unknown") are a missing value and no error of writing, unless their column says the same
with several marks as well: then they are one more. Emptying a cell restores no value, and nobody but its owner knows whether
the mark said something (not yet, does not apply), so in a table it waits for a person.
Invariant: a column that consists of placeholders is left as it is.
"""

from collections.abc import Iterator
from typing import Final

from tools.data_quality.columns.cells import is_unknown, word
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Suggestion, Tier
from tools.data_quality.detectors.missing import filling
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("placeholder",)

_SEVERAL: Final = 2  # different marks
_STRUCTURE: Final = 0.6  # share of missing cells from which "no value" is the column's usual value


def discover(table: Table) -> Iterator[Rule]:
    """The marks that stand for "no value" in columns that mostly hold values."""
    for study in table.studies:
        column = study.column
        if not study.placeholders:
            continue
        if not column.is_bare and study.missing_rows > max(2, _STRUCTURE * column.rows):
            continue
        words = {word(column.values[code]) for code in study.placeholders}
        if len(words) >= _SEVERAL and column.rows_with(study.unknowns) <= column.rows_with(study.placeholders):
            words |= {word(column.values[code]) for code in study.unknowns}
        tier: Tier = "auto" if column.is_bare else "suggest"
        params = {"words": sorted(words)}
        yield make_rule("placeholder", [column.name], params, tier=tier, repair="empties the cell")


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every cell that holds one of the marks."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    words = set(rule.params["words"])
    column = table.columns[place]
    suggestion = filling(rule, table.study_at(place)) or Suggestion(None)
    for code, value in enumerate(column.values):
        if value is not None and value != "" and word(value) in words:
            certain = 0.7 if is_unknown(value) else 0.95 if isinstance(value, str) else 0.9
            yield Flag(
                column=place,
                code=code,
                rows=None,
                kind="placeholder",
                confidence=certain,
                reason="stands for a missing value",
                rule_id=rule.rule_id,
                tier=rule.tier,
                suggestion=suggestion,
                evidence={"rows": column.counts[code]},
            )
