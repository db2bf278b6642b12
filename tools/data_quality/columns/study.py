"""What study of a column's distinct values says it holds.

Invariant: a function of the column alone, and a type is only given where it dominates; what it does not fit is left to the
detectors.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from rapidfuzz.distance import OSA

from tools.data_quality.columns.cells import (
    SENTINELS,
    folded,
    has_decimal_comma,
    is_empty,
    is_placeholder,
    is_unknown,
    read_number,
    shape_of,
    shape_without_lengths,
)
from tools.data_quality.columns.column import Column
from tools.data_quality.columns.dates import DateFormat, recognise
from tools.data_quality.columns.spread import Spread, fences, measure
from tools.data_quality.columns.units import Measured, read_measured

Semantic = Literal[
    "integer", "decimal", "unit_number", "date", "time", "datetime", "boolean",
    "code", "category", "name", "text", "list", "empty",
]  # fmt: skip

DOMINATING: Final = 0.95  # share of the filled cells from which a type or a shape is what the column holds
_MISTYPED: Final = 0.75  # ... if all other shapes are slips of that one
_FEWEST_SLIPS: Final = 4  # shapes
_FEWEST_FORMATTED: Final = 20  # distinct values that must share a shape: yes/no columns have no format
_MOST_OF_ONE: Final = 0.5  # share of the rows of a shape that may hold one and the same value
_LONGEST_CODE: Final = 40
_MOST_CATEGORIES: Final = 50
_PADDED_SHARE: Final = 0.01  # share of numbers with leading zeros from which the column holds codes
_GROUPED_SHARE: Final = 0.01  # share of numbers with separators of thousands from which a column holds no codes
_SAME_WIDTH: Final = 5  # digits; numbers of one such width (postal codes, keys) are codes
_MOST_UNITS: Final = 12  # spellings of units in one column
_UNIT_SHARE: Final = 0.05  # share of cells with a unit from which it is part of what the column holds
_BOOLEANS: Final = tuple(map(frozenset, (("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"))))
_SEPARATORS: Final = ("|", ";", ",")


@dataclass(frozen=True, slots=True)
class Format:
    """The shape that dominates a column of codes.

    Attributes:
        has_fixed_widths: Some number in it is padded with zeros, so that a wrong count of digits is a fault. Without
            padding (flight numbers, house numbers) the count of digits is the number's own business.
        usual_count: How often a value of this shape occurs on average; a value more frequent than that is no slip.
    """

    shape: str
    has_fixed_widths: bool
    usual_count: float

    def fits(self, text: str) -> bool:
        """True when the text has this shape, or differs only in a length that is free to differ."""
        shape = shape_of(text)
        if shape == self.shape:
            return True
        return not self.has_fixed_widths and shape_without_lengths(shape) == shape_without_lengths(self.shape)


@dataclass(frozen=True)
class Study:
    """What a column holds; all lists and keys are codes (indexes into its distinct values).

    Attributes:
        placeholders: Marks and sentinel numbers that stand for "no value".
        unknowns: Words that say so.
        filled: All the others, the unknowns left out.
        numbers: The number in each filled value that is one.
        measured: In a column of numbers with units, number and unit of each filled value that has that form.
        dates: How dates or times are written here, where that is what the column holds.
        grouping_is_safe: No value uses a decimal comma, so `1,234` can only be a thousand and more.
    """

    column: Column
    empty: list[int]
    placeholders: list[int]
    unknowns: list[int]
    filled: list[int]
    numbers: dict[int, float]
    measured: dict[int, Measured]
    semantic: Semantic
    dates: DateFormat | None
    format: Format | None
    grouping_is_safe: bool

    @property
    def is_numeric(self) -> bool:
        return self.semantic in ("integer", "decimal")

    @cached_property
    def has_fractions(self) -> bool:
        """Whether these are measures: numbers of which most are not whole, however they are written."""
        whole = self.column.rows_with(code for code, number in self.numbers.items() if number.is_integer())
        return self.is_numeric and 2 * whole < self.filled_rows

    @cached_property
    def filled_rows(self) -> int:
        """Number of rows with a value."""
        return self.column.rows_with(self.filled)

    @property
    def missing(self) -> list[int]:
        """Every code that stands for no value."""
        return sorted(self.empty + self.placeholders + self.unknowns)

    @property
    def missing_rows(self) -> int:
        return self.column.rows - self.filled_rows

    @cached_property
    def spread(self) -> Spread | None:
        """How the numbers spread, in a column of numbers."""
        return measure(_in_order(self.column, self.numbers)) if self.is_numeric and self.numbers else None

    @cached_property
    def folded(self) -> dict[int, str]:
        """Each filled value without what spellings differ in."""
        return {code: folded(self.column.text(code)) for code in self.filled}


def study(column: Column) -> Study:
    """Find out what a column holds."""
    sorted_out: dict[str, list[int]] = {"empty": [], "placeholder": [], "unknown": [], "filled": []}
    for code, value in enumerate(column.values):
        sort = (
            "empty"
            if is_empty(value)
            else "placeholder"
            if is_placeholder(value) or (column.is_bare and is_unknown(value))
            else "unknown"
            if is_unknown(value)
            else "filled"
        )
        sorted_out[sort].append(code)
    empty, placeholders, unknowns, filled = sorted_out.values()
    numbers = {code: number for code in filled if (number := read_number(column.values[code])) is not None}
    rows = column.rows_with(filled)
    is_numeric = column.is_bare or (rows > 0 and column.rows_with(numbers) >= DOMINATING * rows)
    if is_numeric and not column.is_bare and _are_codes(column, list(numbers)):
        is_numeric = False
    measured = {} if is_numeric else _measured(column, filled, rows)
    column_format = None if is_numeric or measured else _dominating_format(column, filled)
    if column_format:
        # "NA" among two-letter codes is Namibia, not a missing value.
        values = [code for code in placeholders if column_format.fits(column.text(code))]
        placeholders = [code for code in placeholders if code not in values]
        filled = sorted(filled + values)
    if is_numeric:
        sentinels = _sentinels(column, numbers)
        placeholders = sorted(placeholders + sentinels)
        filled = [code for code in filled if code not in sentinels]
        numbers = {code: number for code, number in numbers.items() if code not in sentinels}
    dates = None
    if not is_numeric and not measured:
        dates = recognise([(column.text(code), column.counts[code]) for code in filled])
    if is_numeric:
        semantic = _number_type(column, numbers)
    elif measured:
        semantic = "unit_number"
    else:
        semantic = dates.kind if dates else _semantic(column, filled, column_format)
    return Study(
        column=column,
        empty=empty,
        placeholders=placeholders,
        unknowns=unknowns,
        filled=filled,
        numbers=numbers,
        measured=measured,
        semantic=semantic,
        dates=dates,
        format=None if dates else column_format,
        grouping_is_safe=not any(has_decimal_comma(column.values[code]) for code in filled),
    )


def _in_order(column: Column, numbers: dict[int, float]) -> list[float]:
    pairs = sorted((number, column.counts[code]) for code, number in numbers.items())
    return [number for number, count in pairs for _ in range(count)]


def _are_codes(column: Column, codes: list[int]) -> bool:
    """True for digits that name something: padded with zeros, or all of one width (which leaves no room for outliers)."""
    texts = [(code, value.strip()) for code in codes if isinstance(value := column.values[code], str)]
    rows = column.rows_with(codes)
    if column.rows_with(code for code, text in texts if "," in text) >= _GROUPED_SHARE * rows:
        return False  # thousands are set apart in numbers, and never in codes
    padded = column.rows_with(code for code, text in texts if text[0] == "0" and text.isdigit() and len(text) > 1)
    if padded >= max(1, _PADDED_SHARE * rows):
        return True
    widths: Counter[int] = Counter()
    for code, text in texts:
        widths[len(text) if text.isdigit() else 0] += column.counts[code]
    if not widths:
        return False
    width, holding = min(widths.items(), key=lambda item: (-item[1], item[0]))
    return width >= _SAME_WIDTH and holding >= DOMINATING * rows


def _measured(column: Column, filled: list[int], rows: int) -> dict[int, Measured]:
    """Number and unit of each value, where nearly all have that form and few units occur."""
    found = {}
    units: Counter[str] = Counter()
    for code in filled:
        if read := read_measured(column.text(code)):
            found[code] = read
            units[read.unit] += column.counts[code]
    letters = {unit for unit in units if len(unit) == 1}
    if letters:
        # `5 k` says that `5k` is no code here.
        for code in filled:
            if code not in found and (read := read_measured(column.text(code), letters)):
                found[code] = read
                units[read.unit] += column.counts[code]
    with_unit = sum(count for unit, count in units.items() if unit)
    frequent = [unit for unit, count in units.items() if unit and count >= 0.01 * rows]
    holding = column.rows_with(found)
    common = sum(units[unit] for unit in frequent) + units[""]
    if not 0 < len(frequent) <= _MOST_UNITS or with_unit < _UNIT_SHARE * rows:
        return {}
    return found if holding >= 0.9 * rows and common >= 0.9 * holding else {}


def _sentinels(column: Column, numbers: dict[int, float]) -> list[int]:
    """Codes of numbers like 9999 that occur more than once and lie outside the fences of all the others."""
    candidates = [code for code, number in numbers.items() if number in SENTINELS and column.counts[code] > 1]
    if not candidates:
        return []
    limits = fences(_in_order(column, {code: number for code, number in numbers.items() if code not in candidates}))
    return [code for code in candidates if limits and not limits[0] <= numbers[code] <= limits[1]]


def _number_type(column: Column, numbers: dict[int, float]) -> Semantic:
    if not numbers:
        return "decimal" if column.is_bare else "empty"
    whole = all(number.is_integer() and "." not in str(column.values[code]) for code, number in numbers.items())
    return "integer" if whole else "decimal"


def _dominating_format(column: Column, filled: list[int]) -> Format | None:
    texts = {code: value.strip() for code in filled if isinstance(value := column.values[code], str)}
    shapes = {code: shape_of(text) for code, text in texts.items() if len(text) <= _LONGEST_CODE}
    rows: Counter[str] = Counter()
    for code, shape in shapes.items():
        rows[shape] += column.counts[code]
    if not rows:
        return None
    shape, holding = min(rows.items(), key=lambda item: (-item[1], item[0]))
    members = [code for code in shapes if shapes[code] == shape]
    if len(members) < _FEWEST_FORMATTED:
        return None
    if max(column.counts[code] for code in members) > _MOST_OF_ONE * holding:
        return None  # one value and slips of it
    widths = any(re.search(r"(?<!\d)0\d", texts[code]) for code in members) or not any(
        mark == "9" for mark in shape_without_lengths(shape)
    )
    filled_rows = column.rows_with(filled)
    if holding < DOMINATING * filled_rows and not (widths and _are_slips_of(shape, rows, filled_rows)):
        return None
    return Format(shape, widths, holding / len(members))


def _are_slips_of(shape: str, rows: Mapping[str, int], filled_rows: int) -> bool:
    """Whether the other shapes are this one with a character too many, too few or exchanged, and of all these kinds.

    So it is where many cells are mistyped; two forms that are both in use differ in one way only.
    """
    near = [other for other in rows if other != shape and OSA.distance(other, shape, score_cutoff=1) == 1]
    lengths = {len(other) - len(shape) for other in near}
    return (
        {-1, 1} <= lengths
        and len(near) >= _FEWEST_SLIPS
        and rows[shape] >= _MISTYPED * filled_rows
        and rows[shape] + sum(rows[other] for other in near) >= DOMINATING * filled_rows
    )


def _semantic(column: Column, filled: list[int], column_format: Format | None) -> Semantic:
    """The type of a column that holds neither numbers nor dates."""
    if not filled:
        return "empty"
    rows = column.rows_with(filled)
    words = {column.text(code).casefold() for code in filled}
    if any(words <= booleans for booleans in _BOOLEANS):
        return "boolean"
    if column_format:
        return "code"
    texts = [(code, column.text(code)) for code in filled]
    for separator in _SEPARATORS:
        if column.rows_with(code for code, text in texts if text.count(separator) >= 2) >= 0.5 * rows:
            return "list"
    if len(filled) <= _MOST_CATEGORIES and len(filled) <= max(rows * 0.2, 2):
        return "category"
    looks_coded = (code for code, text in texts if len(text) <= _LONGEST_CODE and " " not in text and _has_digit(text))
    if column.rows_with(looks_coded) >= DOMINATING * rows:
        return "code"
    short = (code for code, text in texts if len(text) <= _LONGEST_CODE and len(text.split()) <= 5)
    return "name" if column.rows_with(short) >= 0.9 * rows else "text"


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))
