"""A right table as the gate sees it: which of its columns an error makes sense in.

Invariant: reading it twice gives the same table; nothing here is known to the tools that are measured.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.data_quality.injector import Table

TABLES: Final = Path(__file__).parent / "tables"


@dataclass(frozen=True, slots=True)
class Subject:
    """A right table, and what its columns are.

    Attributes:
        words: Texts of a language: typos, case, gaps, encoding.
        codes: Texts with a fixed form: typos.
        numbers: Outliers, placeholders like 9999.
        signed: Numbers whose sign is always the same.
        large: Numbers of which some are 1,000 or more.
        dates, times: ISO dates, with or without a time; times as HH:MM.
        facts: Columns that other columns of the row determine.
        blanks: Columns in which a value may go missing; those above if not said.
        units: Columns and the spellings of their unit.
        shares: Columns of percents without a sign.
        swapped, merged, ordered, periods, coordinates: Pairs of columns, one after the other.
        sources: The column that names the source of a row, if several tell the same facts, and how often each one errs.
    """

    name: str
    words: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()
    large: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    blanks: tuple[str, ...] = ()
    units: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shares: tuple[str, ...] = ()
    swapped: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    ordered: tuple[str, ...] = ()
    periods: tuple[str, ...] = ()
    coordinates: tuple[str, ...] = ()
    sources: tuple[str, Mapping[str, float]] | None = None
    is_held_out: bool = False

    @property
    def file(self) -> Path:
        folder = TABLES / "holdout" if self.is_held_out else TABLES
        return folder / f"{self.name}.csv"

    def read(self) -> Table:
        """Return the right table."""
        with self.file.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        return {name: list(values) for name, values in zip(header, zip(*rows, strict=True), strict=True)}

    def columns_for(self, kind: str) -> tuple[str, ...]:
        """Return where an error of this kind of a mix makes sense: single columns, or pairs one after the other."""
        if kind == "whole_unit":
            return tuple(self.units)[:1]
        if kind == "unit":
            return tuple(self.units)[1:]
        if kind == "sources":
            return self.facts if self.sources else ()
        if kind == "date_format":
            return (*self.dates, *self.times)
        columns: tuple[str, ...] = getattr(self, _COLUMNS_OF[kind])
        return columns or (self._all if kind in ("missing", "placeholder") else ())

    @property
    def _all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.words, *self.codes, *self.numbers, *self.dates, *self.times, *self.facts)))


_COLUMNS_OF: Final = {
    "typo": "words", "code_typo": "codes", "odd_letter": "words", "case": "words", "spaces": "words", "encoding": "words",
    "near_duplicate": "words", "missing": "blanks", "placeholder": "blanks", "outlier": "numbers", "sign": "signed",
    "thousands": "large", "far_future": "dates", "other_row": "facts", "percent": "shares",
    "swap": "swapped", "merged": "merged", "order": "ordered", "end_before_start": "periods",
    "coordinates": "coordinates",
}  # fmt: skip
