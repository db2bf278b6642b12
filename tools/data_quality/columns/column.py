"""A column with every distinct value once.

A table repeats itself, so a value is looked at once, however often it occurs: rows refer to values by code. Work on texts
is done in plain Python on the distinct values; work on rows is done by Polars on the codes. Invariant: `values` are
distinct (1, 1.0, True and "1" all differ) and in order of first appearance, so equal tables have equal columns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from tools.data_quality.columns.cells import Cell


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column, every distinct value once.

    Attributes:
        counts: How many rows hold each of `values`.
        codes: For every row, the index of its value (UInt32).
        is_bare: A list of numbers given alone, which nothing but its own numbers can judge.
        stores_text: Numbers are written as texts here, so a repair writes them as texts too.
    """

    name: str
    values: list[Cell]
    counts: list[int]
    codes: pl.Series
    is_bare: bool = False
    stores_text: bool = True

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.codes)

    def rows_of(self, codes: Iterable[int]) -> list[int]:
        """The rows that hold one of `codes`, in order."""
        wanted = list(codes)
        if not wanted:
            return []
        found: list[int] = self.codes.is_in(pl.Series(wanted, dtype=pl.UInt32).implode()).arg_true().to_list()
        return found

    def rows_with(self, codes: Iterable[int]) -> int:
        """How many rows hold one of `codes`."""
        return sum(self.counts[code] for code in codes)

    def text(self, code: int) -> str:
        """The value as a trimmed text; empty for null."""
        value = self.values[code]
        return "" if value is None else str(value).strip()


def encode(name: str, cells: Iterable[Cell], *, is_bare: bool = False) -> Column:
    """Make a column of JSON values."""
    index: dict[str | tuple[str], int] = {}  # a text stands for itself; any other value for its repr, in a tuple
    values: list[Cell] = []
    codes: list[int] = []
    counts: list[int] = []
    for cell in cells:
        key = cell if isinstance(cell, str) else (repr(cell),)
        code = index.get(key)
        if code is None:
            code = index[key] = len(values)
            values.append(cell)
            counts.append(0)
        codes.append(code)
        counts[code] += 1
    return _column(name, values, counts, pl.Series(codes, dtype=pl.UInt32), is_bare=is_bare)


def encode_series(series: pl.Series) -> Column:
    """Make a column of a Polars series of single values."""
    # Dates and the like are judged as the texts a reader would see; decimals as the numbers they are.
    if series.dtype.is_decimal():
        series = series.cast(pl.Float64)
    elif not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.String)):
        series = series.cast(pl.String)
    distinct = series.to_frame("value").unique(maintain_order=True).with_row_index("code")
    cells = series.to_frame("value")
    codes = cells.join(distinct, on="value", how="left", nulls_equal=True, maintain_order="left")["code"]
    counts: Sequence[int] = codes.value_counts().sort("code")["count"].to_list()
    return _column(series.name, distinct["value"].to_list(), list(counts), codes, is_bare=False)


def _column(name: str, values: list[Cell], counts: list[int], codes: pl.Series, *, is_bare: bool) -> Column:
    texts = numbers = 0
    for value, count in zip(values, counts, strict=True):
        if isinstance(value, str):
            texts += count
        elif value is not None:
            numbers += count
    return Column(name, values, counts, codes, is_bare, stores_text=not is_bare and texts >= numbers)
