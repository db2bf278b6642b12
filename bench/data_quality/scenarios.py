"""Which errors happen to which tables: the gate, and the tables held out.

A subject says in which columns of a table an error makes sense, a mix which kinds happen how often compared with each
other, and a scenario puts both together at a rate. Invariant: the errors of a scenario add up to `rate` of the table's cells
as far as its columns allow, and no kind takes more than `MOST` of a column; only `whole_unit` comes on top of the rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.data_quality.cell_errors import PAIRS
from bench.data_quality.injector import Error
from bench.data_quality.subject import Subject
from bench.data_quality.subjects import GATE, HOLDOUT

MOST: Final = 0.25

Mix = Mapping[str, float]
"""Kind -> its weight among the cells made wrong. `code_typo`, `unit`, `whole_unit`, `duplicate` and `sources` count, too."""

MIXES: Final[dict[str, Mix]] = {
    "typing": {"typo": 4, "code_typo": 2, "odd_letter": 2, "case": 1, "spaces": 1, "encoding": 1},
    "filling": {"missing": 3, "placeholder": 3, "date_format": 2, "thousands": 1, "percent": 2, "unit": 2, "whole_unit": 1},
    "mixing": {"other_row": 4, "swap": 1, "merged": 1, "order": 1, "end_before_start": 1, "coordinates": 1, "sources": 4},
    "numbers": {"outlier": 3, "sign": 2, "far_future": 1, "thousands": 1, "unit": 1, "percent": 1},
    "everything": {
        "typo": 3, "code_typo": 1, "odd_letter": 2, "case": 1, "spaces": 1, "encoding": 1, "missing": 2, "placeholder": 2,
        "date_format": 2, "thousands": 1, "percent": 1, "unit": 1, "outlier": 1, "sign": 1, "far_future": 1,
        "other_row": 3, "swap": 1, "merged": 1, "order": 1, "end_before_start": 1, "coordinates": 1, "duplicate": 1,
        "near_duplicate": 1, "sources": 3,
    },
    # Those below are for the tables held out only.
    "careless": {"typo": 5, "code_typo": 3, "missing": 2, "placeholder": 1, "case": 2, "other_row": 2, "near_duplicate": 2},
    "imported": {"date_format": 3, "thousands": 2, "unit": 2, "percent": 2, "encoding": 3, "merged": 2, "placeholder": 2,
                 "whole_unit": 1, "spaces": 1},
    "joined": {"other_row": 6, "swap": 2, "order": 1, "end_before_start": 2, "missing": 2, "sources": 6, "duplicate": 2,
               "outlier": 1},
}  # fmt: skip
GATE_MIXES: Final = {"typing": 0.03, "filling": 0.05, "mixing": 0.04, "numbers": 0.02, "everything": 0.06}
HOLDOUT_MIXES: Final = tuple((mix, rate) for mix in ("careless", "imported", "joined") for rate in (0.01, 0.05, 0.15))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A table, a mix of errors, and the share of the table's cells that they make wrong."""

    subject: Subject
    mix: str
    rate: float

    @property
    def name(self) -> str:
        return f"{self.subject.name} {self.mix} {self.rate:.0%}"

    @property
    def kinds(self) -> Mix:
        """The part of the mix that the table has columns for."""
        mix = MIXES[self.mix].items()
        return {kind: weight for kind, weight in mix if kind == "duplicate" or self.subject.columns_for(kind)}

    def errors(self, width: int) -> list[Error]:
        """Return the errors for the table, which has `width` columns."""
        total = sum(self.kinds.values())
        errors: list[Error] = []
        for kind, weight in self.kinds.items():
            errors += _errors(self.subject, kind, self.rate * weight / total * width)
        # What has the fewest cells to choose from goes first: a whole column, then pairs, then single cells.
        return sorted(errors, key=lambda error: (error.rate < 1, error.kind not in PAIRS, len(error.columns)))


def _errors(subject: Subject, kind: str, per_row: float) -> list[Error]:
    """Return the errors of one kind of a mix, `per_row` of them in each row."""
    if kind == "duplicate":
        # Rows, not cells: a tenth of what a cell would get.
        return [Error("duplicate", min(MOST, per_row / 10))]
    places = subject.columns_for(kind)
    if kind == "near_duplicate":
        return [Error("near_duplicate", min(MOST, per_row / 2), places)]
    if kind == "whole_unit":
        return [Error("unit", 1, places, subject.units[places[0]])]
    if kind == "unit":
        return [Error("unit", min(MOST, per_row / len(places)), (name,), subject.units[name]) for name in places]
    if kind == "sources":
        return _of_sources(subject, per_row)
    if kind in PAIRS:
        touched = 1 if kind == "end_before_start" else 2
        return [Error(kind, min(MOST, per_row / (len(places) // 2) / touched), places)]
    return [Error("typo" if kind == "code_typo" else kind, min(MOST, per_row / len(places)), places)]


def _of_sources(subject: Subject, per_row: float) -> list[Error]:
    """Return errors that some sources make more often than others: other values, gaps, other formats."""
    assert subject.sources is not None
    column, weights = subject.sources
    mean = sum(weights.values()) / len(weights)
    errors = []
    for source, weight in weights.items():
        rate = min(0.6, per_row / len(subject.facts) * weight / mean)
        where = column, source
        errors.append(Error("shifted", rate * 0.6, subject.facts, where=where))
        errors.append(Error("missing", rate * 0.25, subject.facts, where=where))
        errors.append(Error("date_format", rate * 0.15, subject.facts, where=where))
    return errors


def scenarios(*, held_out: bool) -> list[Scenario]:
    """Return the gate, or what is held out, in the order in which it is run; mixes that a table has no column for are left out."""
    subjects = HOLDOUT if held_out else GATE
    mixes = HOLDOUT_MIXES if held_out else tuple(GATE_MIXES.items())
    pairs = [Scenario(subject, mix, rate) for subject in subjects for mix, rate in mixes]
    return [scenario for scenario in pairs if scenario.kinds]
