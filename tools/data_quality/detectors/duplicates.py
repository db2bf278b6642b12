"""Rows that repeat an earlier row: in every cell, or in all that tells anything.

Rows of a few grades and categories repeat by chance, so a repetition counts for as much as it would surprise if the columns
had nothing to do with each other. Rows that differ in case, white space, one letter or their key alone are only looked for
where a column other than the key tells nearly every row from the others, such as a name or an address.

The rule: columns are all; params {}, or {"drop": true} where the owner wants rows removed that repeat another in every cell.
Invariant: comparison is exact, on codes and not on hashes; the first of equal rows is never flagged.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Final

import polars as pl
from rapidfuzz.distance import DamerauLevenshtein

from tools.data_quality.columns.column import Column
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Suggestion, Tier
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("duplicate_rows",)

_MANY: Final = 0.2  # share of the rows from which repetition is how the table is
_FEW: Final = 0.01  # share of the rows that may nearly repeat another
_SURPRISING: Final = 1e-4  # pairs of equal rows to expect by chance, below which a repetition is none
_POSSIBLE: Final = 1e-2
_FEWEST_COLUMNS: Final = 4  # besides a key, for rows that nearly repeat another
_FEWEST: Final = 50  # rows, likewise
_TELLING: Final = 0.9  # distinct values per row, from which a column tells rows apart
_SHORTEST: Final = 6  # characters of a text in which one letter may be a slip
_MOST_ROWS: Final = 50_000  # for the search of slips, which groups the rows once for each column
_MOST_COLUMNS: Final = 40
_ALONE: Final = 1_000  # rows that get a flag each; more share one


def discover(table: Table) -> Iterator[Rule]:
    """That no row repeats another, unless many do."""
    if len(table.columns) < 2 or table.rows < 2:
        return
    if len(_repeated(_codes(table.columns))) <= max(2, _MANY * table.rows):
        yield make_rule("duplicate_rows", [column.name for column in table.columns])


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every row that repeats or nearly repeats an earlier one."""
    places = [place for name in rule.columns if (place := table.place(name)) is not None]
    if len(places) < len(rule.columns) or len(places) < 2:
        return
    columns = [table.columns[place] for place in places]
    exact = _repeated(_codes(columns))
    if len(exact) > max(2, _MANY * table.rows):
        return
    by_chance = _expected_by_chance(columns)
    is_known = any(len(column.values) >= _TELLING * column.rows for column in columns)
    surprise = 0.95 if is_known or by_chance < _SURPRISING else 0.7 if by_chance < _POSSIBLE else 0.45
    drops = bool(rule.params.get("drop"))
    yield from _flags(rule, exact, 0.95 if drops else surprise, "equals an earlier row in every cell", drops=drops)
    if table.rows < _FEWEST:
        return
    folded = _codes(columns, folded=True)
    distinct = {name: folded[name].n_unique() for name in folded.columns}
    others = [name for name in folded.columns if distinct[name] < table.rows]
    telling = [name for name in others if distinct[name] >= _TELLING * table.rows]
    if len(others) < _FEWEST_COLUMNS or not telling:
        return
    folded = folded.select(others)
    known = {row for row, _ in exact}
    near = [(row, first) for row, first in _repeated(folded) if row not in known]
    reason = "equals an earlier row but for case and white space"
    if len(others) < len(columns):
        reason = "equals an earlier row but for its key, case and white space"
    slips = _one_slip(columns, telling, folded, known | {row for row, _ in near})
    for found, confidence, why in ((near, 0.75, reason), (slips, 0.6, "equals an earlier row but for one letter")):
        if len(found) <= max(2, _FEW * table.rows):
            yield from _flags(rule, found, confidence, why)


def repeated_rows(table: Table) -> list[int]:
    """The rows that equal an earlier row in every cell, in order; none in a table of one column."""
    return [row for row, _ in _repeated(_codes(table.columns))] if len(table.columns) > 1 else []


def _flags(
    rule: Rule, found: Sequence[tuple[int, int]], confidence: float, reason: str, *, drops: bool = False
) -> Iterator[Flag]:
    """Flags on the rows of (row, earlier row)."""
    tier: Tier = "auto" if drops else "report"
    suggestion = Suggestion(None, drops_row=True) if drops else None
    groups: list[tuple[tuple[int, ...], dict[str, int]]] = [((row,), {"earlier_row": first}) for row, first in found]
    if len(found) > _ALONE:
        groups = [(tuple(row for row, _ in found), {"repeated_rows": len(found)})]
    for rows, evidence in groups:
        yield Flag(None, -1, rows, "duplicate_row", confidence, reason, rule.rule_id, tier, suggestion, evidence)


def _codes(columns: Sequence[Column], *, folded: bool = False) -> pl.DataFrame:
    """The codes of each column as `0`, `1`, …; spellings that fold to the same text have one code where asked for."""
    if not folded:
        return pl.DataFrame({str(number): column.codes for number, column in enumerate(columns)})
    return pl.DataFrame({str(number): _folded(column) for number, column in enumerate(columns)})


def _folded(column: Column) -> pl.Series:
    index: dict[str | int, int] = {}
    codes = []
    for code, value in enumerate(column.values):
        key = " ".join(value.split()).casefold() if isinstance(value, str) else code
        codes.append(index.setdefault(key, len(index)))
    return pl.Series(codes, dtype=pl.UInt32).gather(column.codes)


def _repeated(frame: pl.DataFrame) -> list[tuple[int, int]]:
    """(row, first row that equals it) of every row that is not the first of its kind, in order."""
    names = frame.columns
    # Most rows differ in two columns already, so that few are left to compare in all of them.
    widest = sorted(names, key=lambda name: -frame[name].n_unique())[:2]
    rows = frame.with_row_index("row")
    for compared in (widest, names):
        rows = rows.filter(pl.struct(compared).is_duplicated())
        if rows.is_empty():
            return []
    found = rows.group_by(names).agg(pl.col("row").sort())
    pairs = [(row, members[0]) for members in found["row"].to_list() for row in members[1:]]
    return sorted(pairs)


def _expected_by_chance(columns: Sequence[Column]) -> float:
    """How many pairs of equal rows there would be if every column were dealt out at random."""
    rows = columns[0].rows
    alike = (sum((count / rows) ** 2 for count in column.counts) for column in columns)
    return rows * (rows - 1) / 2 * prod(alike)


def _one_slip(
    columns: Sequence[Column], telling: Sequence[str], folded: pl.DataFrame, known: set[int]
) -> list[tuple[int, int]]:
    """Rows equal to an earlier one in all columns but one, in which one letter differs."""
    if folded.height > _MOST_ROWS or folded.width > _MOST_COLUMNS:
        return []
    found: dict[int, int] = {}
    for name in folded.columns:
        if telling == [name]:
            continue
        for row, first in _repeated(folded.drop(name)):
            if row not in known and row not in found and _is_slip(columns[int(name)], row, first):
                found[row] = first
    return sorted(found.items())


def _is_slip(column: Column, row: int, first: int) -> bool:
    texts = [column.values[column.codes[place]] for place in (row, first)]
    if not all(isinstance(text, str) and len(text) >= _SHORTEST for text in texts):
        return False
    one, other = (" ".join(str(text).split()).casefold() for text in texts)
    digits = [[character for character in text if character.isdigit()] for text in (one, other)]
    return digits[0] == digits[1] and DamerauLevenshtein.distance(one, other, score_cutoff=1) == 1
