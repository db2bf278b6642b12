"""A value that stands alone in a column of a few frequent ones, or is a slip of one of them.

Invariant: reported only; and only where every other value is common, or most of the rare ones are nearly a frequent one.
"""

from collections.abc import Iterator
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("set",)

_MOST_VALUES: Final = 20
_FEWEST_ROWS: Final = 200
_COMMON: Final = 0.01  # share of the rows from which a value is common
_RARE_ROWS: Final = 1
_FREQUENT: Final = 0.05  # share of the rows from which a value is frequent
_FILLING: Final = 0.8  # share of the rows that frequent values have, where the others may be slips of them
_SHORTEST: Final = 3  # letters: too many pairs of two letters are one letter apart
_FEWEST_SLIPS: Final = 5  # distinct ones
_MOSTLY_SLIPS: Final = 0.6  # share of the rare values that are nearly a frequent one; fewer are so by chance


def discover(table: Table) -> Iterator[Rule]:
    """The values of each column that has few."""
    for study in table.studies:
        if study.semantic not in ("category", "boolean"):
            continue
        column = study.column
        rows = study.filled_rows
        common = [code for code in study.filled if column.counts[code] > _RARE_ROWS]
        if rows < _FEWEST_ROWS:
            continue
        slips = _slips(study)
        if slips:
            values = {column.text(code) for code in study.filled if code not in slips}
            yield make_rule("set", [column.name], {"values": sorted(values)})
            continue
        if not 2 <= len(common) <= _MOST_VALUES:
            continue
        if all(column.counts[code] >= _COMMON * rows for code in common):
            yield make_rule("set", [column.name], {"values": sorted({column.text(code) for code in common})})


def _slips(study: Study) -> set[int]:
    """Codes of what is one letter from a frequent value, where that is what the rare values mostly are."""
    counts, rows = study.column.counts, study.filled_rows
    frequent = [code for code in study.filled if counts[code] >= _FREQUENT * rows]
    meant = [study.folded[code] for code in frequent if len(study.folded[code]) >= _SHORTEST]
    if not meant or study.column.rows_with(frequent) < _FILLING * rows:
        return set()
    rare = [code for code in study.filled if counts[code] <= _COMMON * rows]
    near = {code for code in rare if process.extractOne(study.folded[code], meant, scorer=OSA.distance, score_cutoff=1)}
    return near if len(near) >= max(_FEWEST_SLIPS, _MOSTLY_SLIPS * len(rare)) else set()


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
