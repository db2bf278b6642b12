"""Cells without a value, where the column says that there should be one.

That a cell is empty is no error in itself. In a bare list every gap is one; in a table a rare gap in a column that is
otherwise filled is shown with little confidence, unless other rows determine what is missing (`dependency`) or show that
this table has lost values (`judging`). Invariant: a column with many gaps is silent: that is how it is.
"""

from collections.abc import Iterator
from typing import Final

from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Suggestion, Tier
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("not_null",)

FEW: Final = 0.1  # share of empty cells up to which a column is otherwise filled
UNEXPLAINED: Final = 0.4


def discover(table: Table) -> Iterator[Rule]:
    """Columns that are otherwise filled."""
    for study in table.studies:
        if study.column.is_bare or (study.filled and study.missing_rows <= FEW * study.column.rows):
            yield make_rule("not_null", [study.column.name])


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every empty cell of the column."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    study = table.studies[place]
    for code in study.empty:
        confidence = 0.95 if study.column.is_bare else UNEXPLAINED
        reason = "empty, where the column is otherwise filled"
        suggestion = filling(rule, study)
        tier: Tier = "report" if suggestion is None else "auto"
        confidence = confidence if suggestion is None else 0.95
        yield Flag(place, code, None, "missing", confidence, reason, rule.rule_id, tier, suggestion)


def filling(rule: Rule, study: Study) -> Suggestion | None:
    """What the owner wants done about a gap; None where that was not said."""
    if rule.params.get("drop"):
        return Suggestion(None, drops_row=True)
    fill = rule.params.get("fill")
    return None if fill is None else Suggestion(str(fill) if study.column.stores_text else fill)
