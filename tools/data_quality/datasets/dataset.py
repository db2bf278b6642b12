"""A dataset in every shape it may come in, seen as columns; and the same dataset with some cells replaced.

Four shapes: a list of numbers and nulls, a list of row objects, a mapping of columns, and `{"path": ...}`. Invariant: the
content is kept as it came, and `replaced` makes a new one of the same shape in which every other cell is the same object;
nothing is ever rebuilt from the column view.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tools.contract import Artifacts
from tools.data_quality.columns.cells import Cell
from tools.data_quality.columns.column import Column, encode, encode_series
from tools.data_quality.datasets import files, limits, references
from tools.data_quality.datasets.limits import invalid

Content = list[Cell] | list[dict[str, Any]] | dict[str, list[Cell]] | pl.DataFrame

BARE_COLUMN = "value"
"""Name of the only column of a bare list."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table and where it came from.

    Attributes:
        path: The reference it was read from; None for inline data.
        notes: What had to be assumed to read it.
        pinned: A reference to exactly this content, for the state; None for inline data.
    """

    content: Content
    columns: tuple[Column, ...]
    rows: int
    path: str | None = None
    notes: tuple[str, ...] = ()
    pinned: dict[str, Any] | None = None

    @property
    def is_bare_list(self) -> bool:
        return len(self.columns) == 1 and self.columns[0].is_bare

    def replaced(self, changes: Mapping[str, Mapping[int, Cell]], removed: Collection[int] = ()) -> "Dataset":
        """Return a dataset in which `changes` (column -> row -> new value) are made and the rows `removed` left out."""
        if isinstance(self.content, pl.DataFrame):
            content: Content = _replace_in_frame(self.content, changes, removed)
        elif isinstance(self.content, dict):
            new = {name: _replaced_cells(cells, changes.get(name, {})) for name, cells in self.content.items()}
            content = {name: _without(cells, removed) for name, cells in new.items()}
        elif self.is_bare_list:
            content = _without(_replaced_cells(self.content, changes.get(BARE_COLUMN, {})), removed)
        else:
            content = _without(_replace_in_rows(self.content, changes), removed)
        columns = self._columns_after(content, changes, removed)
        return Dataset(content, columns, self.rows - len(removed), self.path, self.notes)

    def _columns_after(
        self, content: Content, changes: Mapping[str, Mapping[int, Cell]], removed: Collection[int]
    ) -> tuple[Column, ...]:
        """The columns of the new content; those that nothing touched are kept."""
        if removed or not isinstance(content, pl.DataFrame):
            return _columns_of(content, is_bare=self.is_bare_list)
        return tuple(
            encode_series(content[column.name]) if changes.get(column.name) else column for column in self.columns
        )


def load(dataset: object, datasets_dir: Path | None, artifacts: Artifacts | None = None) -> Dataset:
    """Return the dataset that the state's `dataset` stands for.

    Args:
        dataset: A table, or a reference as in `references.py`.
        datasets_dir: Where files are.
        artifacts: The run's, which then holds what a pinned reference stands for.

    Raises:
        ToolError: `DATASET_INVALID`, `DATASET_REFUSED`, `DATASET_TOO_LARGE`, `DATASET_CHANGED`, or one of an artifact.
    """
    if isinstance(dataset, dict) and references.is_reference(dataset):
        content, notes, pinned = references.read(dataset, datasets_dir, artifacts)
        if isinstance(content, list):
            _check_rows(content)
        columns = _columns_of(content, is_bare=False)
        rows = len(content)
        return Dataset(content, columns, rows, pinned.get("path"), tuple(notes), pinned)
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


def of_file(data: bytes, name: str) -> Dataset:
    """Return the dataset that the bytes of a file hold; the ending of `name` says how to read them.

    Raises:
        ToolError: `DATASET_INVALID` or `DATASET_TOO_LARGE`.
    """
    limits.check("bytes", len(data), limits.FILE_BYTES)
    content, notes = files.parse(data, name)
    if isinstance(content, list):
        _check_rows(content)
    return Dataset(content, _columns_of(content, is_bare=False), len(content), name, tuple(notes))


def _columns_of(content: Any, *, is_bare: bool) -> tuple[Column, ...]:
    if isinstance(content, pl.DataFrame):
        columns = [encode_series(series) for series in content]
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


def _replaced_cells(cells: Any, changes: Mapping[int, Cell]) -> list[Cell]:
    new = list(cells)
    for row, value in changes.items():
        new[row] = value
    return new


def _replace_in_rows(rows: Any, changes: Mapping[str, Mapping[int, Cell]]) -> Any:
    touched = {row for cells in changes.values() for row in cells}
    new = [dict(row) if number in touched else row for number, row in enumerate(rows)]
    for name, cells in changes.items():
        for number, value in cells.items():
            new[number][name] = value
    return new


def _replace_in_frame(
    frame: pl.DataFrame, changes: Mapping[str, Mapping[int, Cell]], removed: Collection[int]
) -> pl.DataFrame:
    for name, cells in changes.items():
        if cells:
            old = frame[name]
            values = pl.Series(list(cells.values()), dtype=old.dtype, strict=False)
            frame = frame.with_columns(old.scatter(list(cells), values).alias(name))
    if removed:
        frame = frame.filter(~pl.int_range(frame.height, eager=True).is_in(sorted(removed)))
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
        check_row(index, row)


def check_row(index: int, row: object) -> None:
    """Refuse a row that is no object of single JSON values.

    Raises:
        ToolError: `DATASET_INVALID`.
    """
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
