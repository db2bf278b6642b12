"""A column as the detectors see it: its distinct values, and what study of them says it holds.

A table repeats itself, so every value is looked at once, however often it occurs: rows refer to values by `codes`. That
makes a file of a million rows as simple to judge in plain Python as a short list, and Polars is needed only to read and
write files. Invariant: `values` are distinct (1, 1.0, True and "1" all differ) and in order of first appearance.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from tools.data_quality.cells import (
    SENTINELS,
    Cell,
    has_decimal_comma,
    is_empty,
    is_placeholder,
    read_number,
    shape_of,
    shape_without_lengths,
)
from tools.data_quality.spread import Spread, fences, measure

Semantic = Literal["integer", "decimal", "date", "code", "category", "text", "boolean", "empty"]

DOMINATING: Final = 0.95  # share of the filled cells from which a type or a shape is what the column holds
_FEWEST_FORMATTED: Final = 20  # distinct values that must share a shape: yes/no columns have no format
_LONGEST_CODE: Final = 40
_MOST_CATEGORIES: Final = 50
_PADDED_SHARE: Final = 0.01  # share of numbers with leading zeros from which the column holds codes
_SAME_WIDTH: Final = 5  # digits; numbers of one such width (postal codes, keys) are codes
_DATE: Final = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}.*)?|\d{1,2}([/.-])\d{1,2}\1\d{2,4}(?: \d{1,2}:\d{2}.*)?|\d{4}/\d{1,2}/\d{1,2}",
    re.ASCII,
)
_BOOLEANS: Final = tuple(map(frozenset, (("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"))))


@dataclass(frozen=True, slots=True)
class Column:
    """One column, every distinct value once.

    Attributes:
        counts: How many rows hold each of `values`.
        codes: For every row, the index of its value.
        is_bare: A list of numbers given alone, which nothing but its own numbers can judge.
        stores_text: Numbers are written as texts here, so a repair writes them as texts too.
    """

    name: str
    values: list[Cell]
    counts: list[int]
    codes: "array[int]"
    is_bare: bool
    stores_text: bool

    def rows_of(self, codes: Iterable[int]) -> list[tuple[int, int]]:
        """The (row, code) pairs of all rows that hold one of `codes`, in row order."""
        wanted = set(codes)
        return [(row, code) for row, code in enumerate(self.codes) if code in wanted] if wanted else []

    def rows_with(self, codes: Iterable[int]) -> int:
        """How many rows hold one of `codes`."""
        return sum(self.counts[code] for code in codes)


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


@dataclass(frozen=True, slots=True)
class Study:
    """What a column holds; all sets and lists are of codes (indexes into its distinct values).

    Attributes:
        numbers: The number in each filled value that has one.
        grouping_is_safe: No value uses a decimal comma, so `1,234` can only be a thousand and more.
    """

    column: Column
    empty: list[int]
    placeholders: list[int]
    filled: list[int]
    numbers: dict[int, float]
    semantic: Semantic
    format: Format | None
    spread: Spread | None
    grouping_is_safe: bool

    @property
    def is_numeric(self) -> bool:
        return self.semantic in ("integer", "decimal")

    @property
    def filled_rows(self) -> int:
        return self.column.rows_with(self.filled)

    @property
    def missing_rows(self) -> int:
        return len(self.column.codes) - self.filled_rows


def encode(name: str, cells: Iterable[Cell], *, is_bare: bool = False) -> Column:
    """Make a column of JSON values."""
    index: dict[str | tuple[str], int] = {}  # a text stands for itself; any other value for its repr, in a tuple
    values: list[Cell] = []
    codes = array("I")
    for cell in cells:
        key = cell if isinstance(cell, str) else (repr(cell),)
        code = index.get(key)
        if code is None:
            code = index[key] = len(values)
            values.append(cell)
        codes.append(code)
    counted = Counter(codes)
    return column_of(name, values, [counted[code] for code in range(len(values))], codes, is_bare=is_bare)


def column_of(
    name: str, values: list[Cell], counts: list[int], codes: "array[int]", *, is_bare: bool = False
) -> Column:
    """Make a column that is encoded already."""
    texts = numbers = 0
    for value, count in zip(values, counts, strict=True):
        if isinstance(value, str):
            texts += count
        elif value is not None:
            numbers += count
    return Column(name, values, counts, codes, is_bare, stores_text=not is_bare and texts > numbers)


def study(column: Column) -> Study:
    """Find out what a column holds."""
    empty: list[int] = []
    placeholders: list[int] = []
    filled: list[int] = []
    for code, value in enumerate(column.values):
        (empty if is_empty(value) else placeholders if is_placeholder(value) else filled).append(code)
    numbers = {code: number for code in filled if (number := read_number(column.values[code])) is not None}
    rows = column.rows_with(filled)
    is_numeric = column.is_bare or (rows > 0 and column.rows_with(numbers) >= DOMINATING * rows)
    if is_numeric and not column.is_bare and _are_codes(column, list(numbers)):
        is_numeric = False
    column_format = None if is_numeric else _dominating_format(column, filled)
    if column_format:
        # "NA" among two-letter codes is Namibia, not a missing value.
        values = [code for code in placeholders if column_format.fits(str(column.values[code]))]
        placeholders = [code for code in placeholders if code not in values]
        filled = sorted(filled + values)
    if is_numeric:
        sentinels = _sentinels(column, numbers)
        placeholders = sorted(placeholders + sentinels)
        filled = [code for code in filled if code not in sentinels]
        numbers = {code: number for code, number in numbers.items() if code not in sentinels}
    return Study(
        column=column,
        empty=empty,
        placeholders=placeholders,
        filled=filled,
        numbers=numbers,
        semantic=_number_type(column, numbers) if is_numeric else _semantic(column, filled, column_format),
        format=column_format,
        spread=measure(_in_order(column, numbers)) if is_numeric and numbers else None,
        grouping_is_safe=not any(has_decimal_comma(column.values[code]) for code in filled),
    )


def _in_order(column: Column, numbers: dict[int, float]) -> list[float]:
    pairs = sorted((number, column.counts[code]) for code, number in numbers.items())
    return [number for number, count in pairs for _ in range(count)]


def _are_codes(column: Column, codes: list[int]) -> bool:
    """True for digits that name something: padded with zeros, or all of one width (which leaves no room for outliers)."""
    texts = [(code, value) for code in codes if isinstance(value := column.values[code], str)]
    padded = column.rows_with(code for code, text in texts if text[0] == "0" and text.isdigit() and len(text) > 1)
    if padded >= max(1, _PADDED_SHARE * column.rows_with(codes)):
        return True
    widths = {len(text) if text.isdigit() else 0 for _, text in texts}
    return len(texts) == len(codes) and len(widths) == 1 and widths.pop() >= _SAME_WIDTH


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
    if len(members) < _FEWEST_FORMATTED or holding < DOMINATING * column.rows_with(filled):
        return None
    widths = any(re.search(r"(?<!\d)0\d", texts[code]) for code in members) or not any(
        mark == "9" for mark in shape_without_lengths(shape)
    )
    return Format(shape, widths, holding / len(members))


def _semantic(column: Column, filled: list[int], column_format: Format | None) -> Semantic:
    """The type of a column that holds no numbers to calculate with."""
    if not filled:
        return "empty"
    rows = column.rows_with(filled)
    words = {str(column.values[code]).strip().casefold() for code in filled}
    if any(words <= booleans for booleans in _BOOLEANS):
        return "boolean"
    if (
        column.rows_with(code for code in filled if _DATE.fullmatch(str(column.values[code]).strip()))
        >= DOMINATING * rows
    ):
        return "date"
    if column_format:
        return "code"
    if len(filled) <= _MOST_CATEGORIES and len(filled) <= max(rows * 0.2, 2):
        return "category"
    texts = [(code, str(column.values[code])) for code in filled]
    looks_coded = (code for code, text in texts if len(text) <= _LONGEST_CODE and " " not in text and _has_digit(text))
    return "code" if column.rows_with(looks_coded) >= DOMINATING * rows else "text"


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))
