"""A CSV file as a person sees it: header, rows, and where two of them differ."""

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of texts; rows are counted from 0, as the tools count them."""

    path: Path
    header: list[str]
    rows: list[list[str]]

    @classmethod
    def read(cls, path: Path) -> "Sheet":
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        return cls(path, header, rows)

    def label(self, row: int) -> str:
        """Return the first two cells of a row: for people, they are its name."""
        return " ".join(self.rows[row][:2])

    def differences(self, other: "Sheet") -> dict[tuple[int, str], tuple[str, str]] | None:
        """Return (row, column) -> (value here, value there); None if the tables have not the same rows and columns."""
        if self.header != other.header or len(self.rows) != len(other.rows):
            return None
        return {
            (row, column): (here, there)
            for row, (left, right) in enumerate(zip(self.rows, other.rows, strict=True))
            for column, here, there in zip(self.header, left, right, strict=True)
            if here != there
        }
