"""The run's files compared with the table as it came and with the truth about it.

Rows are counted from 0 below the header. Invariant: a function of the files' bytes alone.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from api.demo.server import DemoFailed

Cell = tuple[int, str]
"""Row and column."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is wrong with a table: right value and kind of error of each wrong cell, and the rows that repeat another."""

    right: Mapping[Cell, str]
    kinds: Mapping[Cell, str]
    repeated_rows: frozenset[int]

    @classmethod
    def read(cls, data: bytes) -> "Truth":
        lines = _records(data)
        cells = {(int(line["row"]), line["column"]): line for line in lines if line["column"]}
        return cls(
            {cell: line["right"] for cell, line in cells.items()},
            {cell: line["kind"] for cell, line in cells.items()},
            frozenset(int(line["row"]) for line in lines if not line["column"]),
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """Cells that some repairs changed: how many got the right value, another wrong one, or were right before."""

    cells: Mapping[Cell, tuple[str, str]]  # old and new
    right: int
    still_wrong: int
    broken: int


def differences(before: bytes, after: bytes) -> dict[Cell, tuple[str, str]]:
    """Return (row, column) -> (value before, value after), in order.

    Raises:
        DemoFailed: The tables have not the same rows and columns.
    """
    left, right = _records(before), _records(after)
    if len(left) != len(right) or (left and list(left[0]) != list(right[0])):
        raise DemoFailed("The repaired table has not the rows and columns of the one that came in.")
    return {
        (row, column): (here[column], there[column])
        for row, (here, there) in enumerate(zip(left, right, strict=True))
        for column in here
        if here[column] != there[column]
    }


def judged(cells: Mapping[Cell, tuple[str, str]], truth: Truth) -> Changes:
    """Compare changes with the truth."""
    fate = Counter(
        "broken" if cell not in truth.right else "right" if new == truth.right[cell] else "still_wrong"
        for cell, (_, new) in cells.items()
    )
    return Changes(cells, fate["right"], fate["still_wrong"], fate["broken"])


def flags(data: bytes) -> dict[Cell, str]:
    """Return the kind of anomaly of each cell in `flags.csv`."""
    return {(int(line["row"]), line["column"]): line["kind"] for line in _records(data)}


def by_kind(cells: Iterable[Cell], kinds: Mapping[Cell, str]) -> Counter[str]:
    """Count cells by their kind; those without one are left out."""
    return Counter(kinds[cell] for cell in cells if cell in kinds)


def _records(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))
