"""Pairs of columns where one is never greater than the other, as a start and an end, and the few rows that break it.

Being in order must say something: had the rows of one column been dealt out anew, many would have to be out of order.
Columns whose ranges lie apart are in order by that alone, and tell nothing. Numbers must also be named alike (`temp_min`,
`temp_max`), because quantities of different units may be in order by accident. And where many rows are out of order, the
gap between the two must have an edge: errors lie anywhere below nothing, while what is natural thins out from there.

The rule: columns [a, b], params {"operator": "<=", "type": "number" | "date" | "time", "named": whether the names are those
of a beginning and an end}. Times of day are compared within half a day, as an end may lie after midnight.
Invariant: a rule is found on rows where both are filled and differ, and equal rows neither support nor break it.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final, Literal

import polars as pl

from tools.data_quality.columns.dates import parse, seconds
from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.culprits import are_exchanged, unusual_side, vouched_for
from tools.data_quality.detectors.flags import Flag, Suggestion, Tier
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("compare",)

Comparable = Literal["number", "date", "time"]

_FEWEST: Final = 100  # rows where both are filled and differ
_FEWEST_VALUES: Final = 10  # distinct values in each column
_KEPT: Final = 0.995  # share of those rows that are in order
_KEPT_NAMED: Final = 0.96  # likewise, where the names say which is to come first
_KEPT_WITH_EDGE: Final = 0.85  # likewise, of dates or named numbers whose gap has an edge
_KEPT_IN_SAMPLE: Final = 0.8
_NEAR: Final = 0.1  # share of the rows in order that lie nearest to the edge
_AT_EDGE: Final = 0.3  # share of the broken rows that may lie as near on the other side
_SCREENED: Final = 2_000  # rows of the sample on which most pairs are ruled out
_BY_CHANCE: Final = 0.9  # share of pairs in order when the rows of one column are dealt out anew, at most
_BY_CHANCE_UNNAMED: Final = 0.75  # likewise, where nothing in the names speaks for an order
_CORRELATION: Final = 0.5
_MOST_BROKEN: Final = 0.2  # share from which another table does not keep to a stored rule at all
_FEW_BROKEN: Final = 5  # rows that may break a rule whose names do not speak for it
_HALF_A_DAY: Final = 43_200  # seconds
_BOTH: Final = (0, 1)
_MOST_WITNESSES: Final = 20  # columns that are asked which of two values is wrong
_MOST_COLUMNS: Final = 60  # of one type; more would make too many pairs
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+", re.ASCII)
_ENDS: Final = frozenset(
    {("min", "max"), ("minimum", "maximum"), ("low", "high"), ("lower", "upper"), ("lowest", "highest")}
    | {("start", "end"), ("begin", "end"), ("started", "ended"), ("from", "to"), ("first", "last"), ("birth", "death")}
    | {("born", "died"), ("opened", "closed"), ("created", "updated"), ("ordered", "shipped"), ("net", "gross")}
)


def discover(table: Table) -> Iterator[Rule]:
    """Pairs that nearly every row has in order, found on a sample and confirmed on all rows."""
    step = max(1, table.rows // _SCREENED)
    columns: dict[Comparable, list[tuple[Study, pl.Series]]] = {"number": [], "date": [], "time": []}
    for study in table.studies:
        kind = _kind(study)
        if kind and len(study.filled) >= _FEWEST_VALUES and len(columns[kind]) < _MOST_COLUMNS:
            columns[kind].append((study, _by_code(study)))
    for kind, members in columns.items():
        for (left, left_by_code), (right, right_by_code) in combinations(members, 2):
            names = left.column.name, right.column.name
            if kind == "number" and not (
                _words(names[0]) & _words(names[1]) or _is_named(*names) or _is_named(*names[::-1])
            ):
                continue
            a = left_by_code.gather(left.column.codes.gather_every(step))
            b = right_by_code.gather(right.column.codes.gather_every(step))
            in_order = _share(a, b, kind)
            if in_order is None or not (in_order >= _KEPT_IN_SAMPLE or in_order <= 1 - _KEPT_IN_SAMPLE):
                continue
            pair = [(left, left_by_code), (right, right_by_code)]
            if in_order < 0.5:
                pair.reverse()
                a, b = b, a
            limit = (
                _BY_CHANCE if kind != "number" or _is_named(*names) or _is_named(*names[::-1]) else _BY_CHANCE_UNNAMED
            )
            if _says_something(a, b, limit) and (rule := _confirmed(pair, kind)):
                yield rule


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """The rows that are out of order, each flagged at the wrong value; at both where they were exchanged or nothing tells."""
    first, second = (table.place(name) for name in rule.columns[:2])
    if first is None or second is None:
        return
    places = (first, second)
    studies = [table.study_at(place) for place in places]
    kind = rule.params["type"]
    if any(_kind(study) != kind for study in studies):
        return
    low, high = (_by_code(study).gather(study.column.codes) for study in studies)
    broken = _out_of_order(low, high, kind)
    rows = broken.arg_true().to_list()
    differing = int((low != high).sum() or 0)
    if len(rows) > max(1, _MOST_BROKEN * differing):
        return
    is_believed = bool(rule.params.get("named")) or kind != "number"
    exchanged = is_believed and are_exchanged(low, high, broken)
    can_exchange = exchanged and (kind == "number" or _pattern(studies[0]) == _pattern(studies[1]))
    wrong = dict.fromkeys(rows, _BOTH) if exchanged else _wrong_sides(table, places, (low, high), kind, rows)
    for row in rows:
        codes = [int(study.column.codes[row]) for study in studies]
        cells = [study.column.values[code] for study, code in zip(studies, codes, strict=True)]
        confidence = 0.8 if exchanged else 0.75 if is_believed and len(wrong[row]) == 1 else 0.6
        evidence = {rule.columns[0]: cells[0], rule.columns[1]: cells[1], "in_order": differing - len(rows)}
        for side in wrong[row]:
            reason = f"{'greater' if side == 0 else 'less'} than {rule.columns[1 - side]!r} in this row"
            reason += "; exchanged, the two would be as in others" if exchanged else ", against nearly all others"
            value = Suggestion(cells[1 - side]) if can_exchange else None
            tier: Tier = "suggest" if value else "report"
            code = codes[side]
            yield Flag(places[side], code, (row,), "order", confidence, reason, rule.rule_id, tier, value, evidence)


def _wrong_sides(
    table: Table, places: Sequence[int], pair: Sequence[pl.Series], kind: Comparable, rows: Sequence[int]
) -> dict[int, tuple[int, ...]]:
    """For each of some rows that are out of order the side that is wrong; both where nothing tells."""
    others = [
        study
        for place, study in enumerate(table.studies)
        if place not in places and _kind(study) == kind and len(study.filled) >= _FEWEST_VALUES
    ]
    witnesses = (_by_code(study).gather(study.column.codes) for study in others[:_MOST_WITNESSES])
    vouched = vouched_for(pair, witnesses, rows) if rows else []
    wrong: dict[int, tuple[int, ...]] = {}
    for row in rows:
        right = [row in vouched[0], row in vouched[1]]
        side = unusual_side(pair[0], pair[1], row) if right[0] == right[1] else right.index(False)
        wrong[row] = _BOTH if side is None else (side,)
    return wrong


def _confirmed(pair: list[tuple[Study, pl.Series]], kind: Comparable) -> Rule | None:
    """The rule, if all rows together keep to it as those of the sample do."""
    a, b = (by_code.gather(study.column.codes) for study, by_code in pair)
    differing = int((a != b).sum() or 0)
    broken = int(_out_of_order(a, b, kind).sum() or 0)
    names = [study.column.name for study, _ in pair]
    named = _is_named(*names)
    if differing < _FEWEST or broken > (1 - _KEPT_WITH_EDGE) * differing:
        return None
    if kind == "number" and not named and broken > _FEW_BROKEN:
        return None
    if broken > (1 - (_KEPT_NAMED if named else _KEPT)) * differing and not _has_edge(b - a):
        return None
    return make_rule("compare", names, {"operator": "<=", "type": kind, "named": named})


def _kind(study: Study) -> Comparable | None:
    if study.column.is_bare:
        return None
    if study.is_numeric:
        return "number"
    if study.dates:
        return "time" if study.dates.kind == "time" else "date"
    return None


def _by_code(study: Study) -> pl.Series:
    """The number of each distinct value; null where it has none. Moments are counted in seconds."""
    values: list[float | None] = [None] * len(study.column.values)
    if study.dates and not study.is_numeric:
        for code in study.filled:
            moment = parse(study.dates.pattern, study.column.text(code))
            values[code] = None if moment is None else seconds(moment)
    else:
        for code, number in study.numbers.items():
            values[code] = number
    return pl.Series(values, dtype=pl.Float64)


def _out_of_order(a: pl.Series, b: pl.Series, kind: str) -> pl.Series:
    broken = (a > b).fill_null(value=False)
    return broken & ((a - b) < _HALF_A_DAY).fill_null(value=False) if kind == "time" else broken


def _share(a: pl.Series, b: pl.Series, kind: Comparable) -> float | None:
    """Share of the rows of a sample that differ and have `a` below `b`; None where too few do."""
    above, below = int(_out_of_order(a, b, kind).sum() or 0), int(_out_of_order(b, a, kind).sum() or 0)
    return below / (above + below) if above + below >= _FEWEST / 2 else None


def _says_something(a: pl.Series, b: pl.Series, by_chance: float) -> bool:
    """True when the two go together, and would often be out of order if they did not."""
    both = pl.DataFrame({"a": a, "b": b}).drop_nulls()
    correlation = both.select(pl.corr("a", "b")).item()
    if correlation is None or not correlation >= _CORRELATION:
        return False
    ordered = sorted(both["b"].to_list())
    in_order = sum(len(ordered) - bisect_left(ordered, value) for value in both["a"].to_list())
    return in_order <= by_chance * len(ordered) ** 2


def _words(name: str) -> frozenset[str]:
    return frozenset(word.casefold() for word in _WORD.findall(name))


def _is_named(first: str, second: str) -> bool:
    """True when two names are those of a beginning and an end."""
    return any(low in _words(first) and high in _words(second) for low, high in _ENDS)


def _has_edge(gaps: pl.Series) -> bool:
    """True when the gaps of the broken rows do not gather just below nothing, as those of a natural spread do."""
    near = gaps.filter(gaps > 0).quantile(_NEAR)
    below = gaps.filter(gaps < 0)
    return near is not None and int((below >= -near).sum()) <= _AT_EDGE * len(below)


def _pattern(study: Study) -> object:
    return study.dates.pattern if study.dates else None
