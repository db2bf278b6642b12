"""A dataset in every shape it may come in, seen as columns; and the same dataset with some cells replaced.

Four shapes: a list of numbers and nulls, a list of row objects, a mapping of columns, and `{"path": ...}`. Invariant: the
content is kept as it came, and `replaced` makes a new one of the same shape in which every other cell is the same object;
nothing is ever rebuilt from the column view.
"""

import math
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tools.data_quality import files, limits
from tools.data_quality.cells import Cell
from tools.data_quality.columns import Column, column_of, encode
from tools.data_quality.limits import invalid

Content = list[Cell] | list[dict[str, Any]] | dict[str, list[Cell]] | pl.DataFrame

BARE_COLUMN = "value"
"""Name of the only column of a bare list."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table and where it came from.

    Attributes:
        path: The reference it was read from; None for inline data.
        notes: What had to be assumed to read it.
    """

    content: Content
    columns: tuple[Column, ...]
    rows: int
    path: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_bare_list(self) -> bool:
        return len(self.columns) == 1 and self.columns[0].is_bare

    def replaced(self, changes: Mapping[str, Mapping[int, Cell]], removed: Collection[int]) -> "Dataset":
        """Return a dataset in which `changes` (column -> code -> new value) are made and the rows `removed` left out."""
        if isinstance(self.content, pl.DataFrame):
            content: Content = _replace_in_frame(self.content, self.columns, changes, removed)
        elif isinstance(self.content, dict):
            content = {
                column.name: _replaced_cells(self.content[column.name], column, changes) for column in self.columns
            }
            content = {name: _without(cells, removed) for name, cells in content.items()}
        elif self.is_bare_list:
            content = _without(_replaced_cells(self.content, self.columns[0], changes), removed)
        else:
            content = _without(_replace_in_rows(self.content, self.columns, changes), removed)
        columns = _columns_of(content, is_bare=self.is_bare_list)
        return Dataset(content, columns, self.rows - len(removed), self.path, self.notes)


def load(dataset: object, datasets_dir: Path | None) -> Dataset:
    """Return the dataset that the state's `dataset` stands for.

    Raises:
        ToolError: `DATASET_INVALID`, `DATASET_REFUSED` or `DATASET_TOO_LARGE`.
    """
    if isinstance(dataset, dict) and isinstance(dataset.get("path"), str):
        if set(dataset) != {"path"}:
            raise invalid("a file reference has the key 'path' and no other")
        content, notes = files.read(dataset["path"], datasets_dir)
        if isinstance(content, list):
            _check_rows(content)
        columns = _columns_of(content, is_bare=False)
        rows = len(content)
        return Dataset(content, columns, rows, dataset["path"], tuple(notes))
    if isinstance(dataset, dict):
        _check_columns(dataset)
        return Dataset(dataset, _columns_of(dataset, is_bare=False), len(next(iter(dataset.values()))))
    if not isinstance(dataset, list):
        raise invalid(
            "'dataset' must be a list of numbers, a list of row objects, a mapping of columns or {'path': ...}"
        )
    is_bare = not any(isinstance(item, dict) for item in dataset)
    if is_bare:
        limits.check("numbers", len(dataset), limits.INLINE_NUMBERS)
        _check_cells(dataset, BARE_COLUMN)
    else:
        limits.check("inline rows", len(dataset), limits.INLINE_ROWS)
        _check_rows(dataset)
    return Dataset(dataset, _columns_of(dataset, is_bare=is_bare), len(dataset))


def _columns_of(content: Any, *, is_bare: bool) -> tuple[Column, ...]:
    if isinstance(content, pl.DataFrame):
        columns = [_column_of_series(series) for series in content]
    elif isinstance(content, dict):
        columns = [encode(name, cells) for name, cells in content.items()]
    elif is_bare:
        columns = [encode(BARE_COLUMN, content, is_bare=True)]
    else:
        names = dict.fromkeys(name for row in content for name in row)
        limits.check("columns", len(names), limits.COLUMNS)
        limits.check("cells", len(names) * len(content), limits.CELLS)
        columns = [encode(name, [row.get(name) for row in content]) for name in names]
    for column in columns:
        _check_lengths(column)
    return tuple(columns)


def _column_of_series(series: pl.Series) -> Column:
    # Dates and the like are judged as the texts a reader would see; decimals as the numbers they are.
    if series.dtype.is_decimal():
        series = series.cast(pl.Float64)
    elif not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.String)):
        series = series.cast(pl.String)
    frame = pl.DataFrame({"value": series})
    distinct = frame.unique(maintain_order=True).with_row_index("code")
    codes = frame.join(distinct, on="value", how="left", nulls_equal=True, maintain_order="left")["code"]
    counts = codes.value_counts().sort("code")["count"].to_list()
    return column_of(series.name, distinct["value"].to_list(), counts, array("I", codes.to_list()))


def _replaced_cells(cells: Any, column: Column, changes: Mapping[str, Mapping[int, Cell]]) -> list[Cell]:
    new = changes.get(column.name)
    if not new:
        return list(cells)
    return [new.get(code, cell) for cell, code in zip(cells, column.codes, strict=True)]


def _replace_in_rows(rows: Any, columns: tuple[Column, ...], changes: Mapping[str, Mapping[int, Cell]]) -> Any:
    rows = [dict(row) for row in rows]
    for column in columns:
        new = changes.get(column.name, {})
        for row, code in column.rows_of(new):
            rows[row][column.name] = new[code]
    return rows


def _replace_in_frame(
    frame: pl.DataFrame,
    columns: tuple[Column, ...],
    changes: Mapping[str, Mapping[int, Cell]],
    removed: Collection[int],
) -> pl.DataFrame:
    for column in columns:
        new = changes.get(column.name)
        if new:
            codes = pl.Series(column.codes.tolist(), dtype=pl.UInt32)
            old = frame[column.name]
            values = pl.Series([new.get(code) for code in range(len(column.values))], strict=False).cast(old.dtype)
            is_new = codes.is_in(list(new))
            frame = frame.with_columns(pl.when(is_new).then(values.gather(codes)).otherwise(old).alias(column.name))
    if removed:
        gone = set(removed)
        frame = frame.filter(pl.Series([row not in gone for row in range(frame.height)], dtype=pl.Boolean))
    return frame


def _without(items: list[Any], removed: Collection[int]) -> list[Any]:
    gone = set(removed)
    return [item for index, item in enumerate(items) if index not in gone] if gone else items


def _check_columns(dataset: Mapping[Any, Any]) -> None:
    if not dataset or not all(isinstance(name, str) and isinstance(cells, list) for name, cells in dataset.items()):
        raise invalid("a mapping of columns needs at least one column, each a list")
    limits.check("columns", len(dataset), limits.COLUMNS)
    lengths = {name: len(cells) for name, cells in dataset.items()}
    if len(set(lengths.values())) > 1:
        shortest, longest = min(lengths, key=lambda name: lengths[name]), max(lengths, key=lambda name: lengths[name])
        raise invalid(
            f"columns differ in length: {shortest!r} has {lengths[shortest]} cells, {longest!r} has {lengths[longest]}"
        )
    limits.check("inline rows", max(lengths.values()), limits.INLINE_ROWS)
    for name, cells in dataset.items():
        _check_cells(cells, name)


def _check_rows(rows: list[Any]) -> None:
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or not all(isinstance(name, str) for name in row):
            raise invalid(f"row {index} is not an object, while others are")
        for name, cell in row.items():
            if not _is_cell(cell):
                raise invalid(f"row {index}, column {name!r} holds no single JSON value")


def _check_cells(cells: list[Any], name: str) -> None:
    for row, cell in enumerate(cells):
        if not _is_cell(cell):
            raise invalid(f"row {row}, column {name!r} holds no single JSON value")


def _is_cell(cell: object) -> bool:
    if isinstance(cell, float):
        return math.isfinite(cell)
    return cell is None or isinstance(cell, str | int)


def _check_lengths(column: Column) -> None:
    for value in column.values:
        if isinstance(value, str) and len(value) * 4 > limits.CELL_BYTES:
            limits.check(
                f"bytes in one cell of {column.name!r}", len(value.encode("utf-8", "surrogatepass")), limits.CELL_BYTES
            )
