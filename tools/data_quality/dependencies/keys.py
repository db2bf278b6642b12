"""A table as the search for dependencies sees it: only which cells are equal, and which are missing.

Two spellings of one value that differ in case or white space count as equal. Invariant: the key of a cell is the code of
the first value of its column that is written like it, so keys can be turned back into values.
"""

from functools import cached_property

import polars as pl

from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table


class Keys:
    """The cells of a table as keys (UInt32), null where a cell is missing; columns are named by their place."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.frame = pl.DataFrame({str(place): _keys(study) for place, study in enumerate(table.studies)})
        self.width = self.frame.width

    def beside(self, place: int, offset: int) -> str:
        """Name of the column that holds, in every row, the key of another row: the one before (-1) or after (1)."""
        name = f"{place}@{offset}"
        if name not in self.frame.columns:
            self.frame = self.frame.with_columns(pl.col(str(place)).shift(-offset).alias(name))
        return name

    @cached_property
    def distinct(self) -> tuple[int, ...]:
        """Number of distinct keys of each column."""
        return tuple(series.drop_nulls().n_unique() for series in self.frame.get_columns()[: self.width])

    @cached_property
    def filled(self) -> tuple[int, ...]:
        """Number of cells that are not missing, of each column."""
        return tuple(len(series) - series.null_count() for series in self.frame.get_columns()[: self.width])


def _keys(study: Study) -> pl.Series:
    first: dict[str, int] = {}
    key_of: list[int | None] = [None] * len(study.column.values)
    for code in study.filled:
        key_of[code] = first.setdefault(study.folded[code], code)
    return pl.Series(key_of, dtype=pl.UInt32).gather(study.column.codes)
