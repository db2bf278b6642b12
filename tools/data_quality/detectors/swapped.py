"""Two cells of a row that stand in each other's column: the state as the city, and the city as the state.

Only columns that look different can tell. A value is *strange* in a column if it belongs to the other one: it is known there
and (nearly) unknown here, or is written like the values there and like none here; a number, if it lies where the numbers there
lie and none here. One strange value may be anything; two that complete each other were exchanged. Columns that are written
alike (an origin and a destination, two names) may rightly hold the same values in turn, so they are left alone.

Invariant: exchanging the two cells of a flag puts each where its like stands.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Final

import polars as pl

from tools.data_quality.columns.cells import shape_of, shape_without_lengths
from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Suggestion
from tools.data_quality.detectors.places import position_word
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("swapped",)

_ALIKE: Final = 0.4  # how far the looks of two columns may overlap
_USUAL: Final = 0.2  # share of a column's rows from which its look is usual there
_UNUSUAL: Final = 0.05
_KNOWN: Final = 3  # rows in which a value is known
_TIMES: Final = 5  # how many times as often it must stand in the other column
_FEWEST: Final = 2  # rows
_MOST: Final = 0.2  # share of the rows
_TOGETHER: Final = 0.3  # share of the strange values of a column that are exchanged
_CENTRE: Final = 0.1  # share of the numbers at either end that the centre of a column leaves out
_MOST_COLUMNS: Final = 60
_LONGEST: Final = 60  # characters that are looked at


@dataclass(frozen=True)
class _Looks:
    """How the values of a column are written: each with its kinds of characters, whatever their number."""

    study: Study

    @cached_property
    def of_code(self) -> dict[int, str]:
        column, numbers = self.study.column, self.study.numbers
        return {
            code: "9" if code in numbers else shape_without_lengths(shape_of(column.text(code)[:_LONGEST]))
            for code in self.study.filled
        }

    @cached_property
    def shares(self) -> dict[str, float]:
        rows: Counter[str] = Counter()
        for code, look in self.of_code.items():
            rows[look] += self.study.column.counts[code]
        return {look: count / self.study.filled_rows for look, count in rows.items()}

    @cached_property
    def unusual(self) -> list[int]:
        """Codes of the values that look like few others here."""
        return [code for code, look in self.of_code.items() if self.shares[look] <= _UNUSUAL]

    @cached_property
    def codes(self) -> dict[str, int]:
        """Text -> its code."""
        return {self.study.column.text(code): code for code in self.study.filled}

    @cached_property
    def centre(self) -> tuple[float, float]:
        """Between which numbers nearly all lie."""
        counts = self.study.column.counts
        ordered = sorted((number, counts[code]) for code, number in self.study.numbers.items())
        return _passing(ordered, _CENTRE), _passing(ordered, 1 - _CENTRE)

    @cached_property
    def outside(self) -> list[int]:
        """Codes of the numbers that do not lie in the centre of the column, nor near it."""
        return [code for code, number in self.study.numbers.items() if not self.holds(number)]

    def holds(self, number: float) -> bool:
        """Whether a number lies in the centre of the column, or not far from it."""
        low, high = self.centre
        return low - (high - low) / 2 <= number <= high + (high - low) / 2

    def rows(self, code: int) -> int:
        return self.study.column.counts[code]


def _passing(ordered: list[tuple[float, int]], share: float) -> float:
    """The number at which a share of the rows is passed."""
    left = share * sum(count for _, count in ordered)
    for number, count in ordered:
        left -= count
        if left < 0:
            return number
    return ordered[-1][0]


def discover(table: Table) -> Iterator[Rule]:
    """Pairs of columns that some rows hold in each other's place; latitude and longitude are judged by `geography`."""
    looks = [
        _Looks(study)
        for study in table.studies[:_MOST_COLUMNS]
        if study.filled and not study.column.is_bare and not (study.is_numeric and position_word(study.column.name)[0])
    ]
    for one, other in combinations(looks, 2):
        if _are_different(one, other) and _exchanged(one, other):
            names = [one.study.column.name, other.study.column.name]
            yield make_rule("swapped", names, tier="suggest", repair="exchanges the two values")


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Both cells of every row in which the two are exchanged."""
    places = [table.place(name) for name in rule.columns[:2]]
    if places[0] is None or places[1] is None:
        return
    studies = [table.studies[places[0]], table.studies[places[1]]]
    for row in _exchanged(*map(_Looks, studies)):
        codes = [int(study.column.codes[row]) for study in studies]
        values = [study.column.values[code] for study, code in zip(studies, codes, strict=True)]
        for side, place in enumerate(places):
            reason = f"belongs to {rule.columns[1 - side]!r}, and the value there belongs here"
            value = Suggestion(values[1 - side])
            yield Flag(place, codes[side], (row,), "swapped", 0.9, reason, rule.rule_id, "suggest", value)


def _are_different(one: _Looks, other: _Looks) -> bool:
    """Whether two columns hold values that can be told from each other."""
    if one.study.is_numeric and other.study.is_numeric:
        return one.centre[1] < other.centre[0] or other.centre[1] < one.centre[0]
    return sum(min(share, other.shares.get(look, 0.0)) for look, share in one.shares.items()) <= _ALIKE


def _exchanged(one: _Looks, other: _Looks) -> list[int]:
    """The rows whose two values are strange in their own column and belong to the other; none where that says nothing."""
    strange = [_strange(one, other), _strange(other, one)]
    if not strange[0] or not strange[1]:
        return []
    masks = [
        looks.study.column.codes.is_in(pl.Series(codes, dtype=pl.UInt32).implode())
        for looks, codes in zip((one, other), strange, strict=True)
    ]
    rows: list[int] = (masks[0] & masks[1]).arg_true().to_list()
    alone = min(int(mask.sum()) for mask in masks)
    if one.study.is_numeric and other.study.is_numeric:
        # Where numbers reach far in any case, two that do so at once may go together: a late hour and a long delay.
        alone = max(looks.study.column.rows_with(looks.outside) for looks in (one, other))
    fewest = max(_FEWEST, _TOGETHER * alone)
    return rows if fewest <= len(rows) <= _MOST * one.study.column.rows else []


def _strange(here: _Looks, there: _Looks) -> list[int]:
    """Codes of the values of a column that belong to the other one."""
    if here.study.is_numeric and there.study.is_numeric:
        return [code for code in here.outside if there.holds(here.study.numbers[code])]
    found = {code for code in here.unusual if there.shares.get(here.of_code[code], 0.0) >= _USUAL}
    for text in here.codes.keys() & there.codes.keys():
        code = here.codes[text]
        if there.rows(there.codes[text]) >= max(_KNOWN, _TIMES * here.rows(code)):
            found.add(code)
    return sorted(found)
