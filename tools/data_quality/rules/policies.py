"""What to do about gaps, outliers and repeated rows: decisions that a table cannot make for its owner.

Invariant: a repair that loses something is only part of a rule where its owner asked for it, or where the data is a bare
list of numbers, which has nothing but its numbers to be judged by.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from tools.data_quality.columns.spread import fences
from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.rules.model import Rule, make_rule

MissingPolicy = Literal["auto", "keep", "median", "drop"]
OutlierPolicy = Literal["auto", "keep", "clip"]
DuplicatePolicy = Literal["keep", "drop"]

_MOST_GAPS: Final = 0.2  # share of gaps beyond which filling or dropping would make up the column
_ROUNDS: Final = 8  # of drawing fences again; a second one is rarely needed


@dataclass(frozen=True, slots=True)
class Policies:
    """The owner's decisions; `auto` means `median` and `clip` for a bare list, `keep` for a table."""

    missing: MissingPolicy = "auto"
    outliers: OutlierPolicy = "auto"
    duplicates: DuplicatePolicy = "keep"


def decided(rules: Iterable[Rule], table: Table, policies: Policies) -> list[Rule]:
    """The rules with the repairs that the policies ask for."""
    is_bare = any(column.is_bare for column in table.columns)
    missing = policies.missing if policies.missing != "auto" else "median" if is_bare else "keep"
    clips = policies.outliers == "clip" or (policies.outliers == "auto" and is_bare)
    return [_decided(rule, table, missing, clips=clips, drops=policies.duplicates == "drop") for rule in rules]


def _decided(rule: Rule, table: Table, missing: MissingPolicy, *, clips: bool, drops: bool) -> Rule:
    study = table.study(rule.columns[0])
    if rule.type == "range" and clips:
        fill = _median(study) if study and study.spread and missing == "median" and _may_fill(study) else None
        params = {**rule.params, **(_lasting_bounds(rule, study, fill) if study else {}), "clip": True}
        return make_rule("range", rule.columns, params, tier="auto", repair="moves the number to the nearest bound")
    if rule.type == "duplicate_rows" and drops:
        params = {**rule.params, "drop": True}
        return make_rule("duplicate_rows", rule.columns, params, tier="auto", repair="removes the later row")
    is_gap = rule.type in ("not_null", "placeholder") or (
        rule.type == "type" and study is not None and study.column.is_bare
    )
    if study is None or not is_gap or missing == "keep" or not _may_fill(study):
        return rule
    if missing == "drop":
        params = {**rule.params, "drop": True}
        return make_rule(rule.type, rule.columns, params, tier="auto", repair="removes the row")
    if study.spread is None:
        return rule
    params = {**rule.params, "fill": _median(study)}
    return make_rule(rule.type, rule.columns, params, tier="auto", repair="writes the median")


def _may_fill(study: Study) -> bool:
    return study.column.is_bare or study.missing_rows <= _MOST_GAPS * study.column.rows


def _lasting_bounds(rule: Rule, study: Study, fill: float | None) -> dict[str, float]:
    """The bounds that are still fences once gaps are filled and numbers moved to them: both narrow the spread."""
    low, high = rule.params["min"], rule.params["max"]
    gaps = [] if fill is None else [fill] * (study.column.rows - study.column.rows_with(study.numbers))
    numbers = [number for code, number in study.numbers.items() for _ in range(study.column.counts[code])]
    for _ in range(_ROUNDS):
        limits = fences(sorted([*gaps, *(min(max(number, low), high) for number in numbers)]))
        if limits is None or (limits[0] <= low and high <= limits[1]):
            break
        inner = (math.ceil(limits[0]), math.floor(limits[1])) if study.semantic == "integer" else limits
        low, high = max(low, inner[0]), min(high, inner[1])
    return {"min": low, "max": high}


def _median(study: Study) -> float:
    assert study.spread is not None  # noqa: S101  # callers have looked
    median = float(f"{study.spread.median:.12g}")  # the mean of 0.1 and 0.3 is 0.2
    return math.floor(median) if study.semantic == "integer" else median
