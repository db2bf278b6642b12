"""Two values in one cell, while the cell of the second is empty: `Portland OR` as the city, and no state.

Invariant: both parts are known values of their columns, so taking them apart restores what other rows write.
"""

from collections.abc import Iterator
from typing import Final

import polars as pl

from tools.data_quality.columns.column import Column
from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Suggestion
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("merged",)

_FEWEST_ROWS: Final = 3
_MOST_OTHERS: Final = 2_000  # distinct values of the second column
_EXPLAINED: Final = 0.5  # share of the second column's gaps that merging must explain
_SCREENED: Final = 5_000
_CONTAINED: Final = 0.3
_USUALLY: Final = 0.3  # share of a column's other values that may end in a known value of the second one
_JOINED: Final = ("name", "category", "text", "code", "integer")


def discover(table: Table) -> Iterator[Rule]:
    """Pairs of columns of which one sometimes holds both values."""
    for study in table.studies:
        if study.semantic not in _JOINED:
            continue
        for other in table.studies:
            if other is study or other.semantic not in _JOINED or not other.empty:
                continue
            if not 2 <= len(other.filled) <= _MOST_OTHERS or other.missing_rows > other.column.rows / 2:
                continue
            found = sum(len(rows) for _, rows, _, _ in _taken_apart(study, other))
            empty = other.column.rows_with(other.empty)
            if found < max(_FEWEST_ROWS, _EXPLAINED * empty):
                continue
            if not _contains(study, other) and not _ends_so_anyway(study, other):
                names = [study.column.name, other.column.name]
                yield make_rule("merged", names, tier="auto", repair="moves the end of the value to where it belongs")


def _contains(study: Study, other: Study) -> bool:
    """Whether the first column ends in the second one anyway (a full name and a last name): then nothing is merged."""
    pairs = pl.DataFrame({"a": study.column.codes, "b": other.column.codes}).unique().sort("a", "b")
    filled = set(other.filled)
    both = [(code, end) for code, end in pairs.head(_SCREENED).iter_rows() if end in filled]
    ending = sum(study.column.text(code).endswith(other.column.text(end)) for code, end in both)
    return ending > _CONTAINED * len(both)


def _ends_so_anyway(study: Study, other: Study) -> bool:
    """Whether values of the first column end in some value of the second one where that is filled: that says nothing then."""
    ends = {other.column.text(code) for code in other.filled}
    is_filled = other.column.codes.is_in(pl.Series(other.filled, dtype=pl.UInt32).implode())
    codes = sorted(_codes_where(study.column, is_filled).intersection(study.filled))[:_SCREENED]
    ending = sum(bool(_split(study.column.text(code), ends)[1]) for code in codes)
    return ending > _USUALLY * len(codes)


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Both cells of every row in which the two values are merged."""
    place, other_place = table.place(rule.columns[0]), table.place(rule.columns[1])
    if place is None or other_place is None:
        return
    study, other = table.studies[place], table.studies[other_place]
    for code, rows, start, end in _taken_apart(study, other):
        reason = f"holds the value of {other.column.name!r} as well, which is empty there"
        whole = study.column.text(code)
        yield Flag(place, code, rows, "merged", 0.97, reason, rule.rule_id, "auto", Suggestion(start))
        reason = f"empty, and {study.column.name!r} ends in its value"
        evidence = {"from": whole}
        for empty in other.empty:
            here = tuple(sorted(set(rows) & set(other.column.rows_of([empty]))))
            if here:
                yield Flag(
                    other_place, empty, here, "merged", 0.97, reason, rule.rule_id, "auto", Suggestion(end), evidence
                )


def _taken_apart(study: Study, other: Study) -> Iterator[tuple[int, tuple[int, ...], str, str]]:
    """(code, rows with an empty other cell, start, end) of each value that ends in a known value of the other column."""
    ends = {other.column.text(code) for code in other.filled}
    starts = {study.column.text(code) for code in study.filled}
    is_empty = other.column.codes.is_in(pl.Series(other.empty, dtype=pl.UInt32).implode())
    candidates = _codes_where(study.column, is_empty)
    for code in study.filled:
        if code not in candidates:
            continue
        text = study.column.text(code)
        start, end = _split(text, ends)
        if not end and other.format is not None:
            # A value that stands nowhere else, and is written as all values there are.
            start, _, end = text.rpartition(" ")
            end = end if start in starts and other.format.fits(end) else ""
        if end and (start in starts or len(end) > 1):
            mask = (study.column.codes == code) & is_empty
            yield code, tuple(mask.arg_true().to_list()), start, end


def _codes_where(column: Column, mask: pl.Series) -> set[int]:
    return set(column.codes.filter(mask).unique().to_list())


def _split(text: str, ends: set[str]) -> tuple[str, str]:
    """The text before and after the last separator, where what comes after is one of `ends`; else two empty texts."""
    words = text.split(" ")
    for count in (1, 2, 3):
        end = " ".join(words[-count:]).strip("(),;/ ")
        start = " ".join(words[:-count]).rstrip(" ,;/(-")
        if start and end in ends:
            return start, end
    return "", ""
