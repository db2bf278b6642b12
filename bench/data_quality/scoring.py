"""How right flags and repairs were, cell by cell.

Two cells are the same if they differ by no more than white space at their ends or the length of gaps. A cell is wrong if
dirty and clean are not the same; a flag is right if its cell is wrong; a repair is right if the cell is then the same as in
the clean table. Invariant: counts of several tables add up to the counts of all of them, and shares are made of sums only.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bench.data_quality.cell_errors import same
from bench.data_quality.injector import CellKey, Injected, Table

MISSING_KINDS: Final = ("missing", "placeholder")


@dataclass(frozen=True, slots=True)
class Result:
    """What the tools made of a table.

    Attributes:
        flags: Cells -> the kind that was reported.
        flagged_rows: Rows that were reported as a whole.
        repaired: With the repairs that were done at once; all rows of the dirty table, removed ones unchanged.
        proposed: With those that wait for a person, too.
        removed: Rows left out of `proposed`.
    """

    flags: Mapping[CellKey, str]
    flagged_rows: frozenset[int]
    repaired: Table
    proposed: Table
    removed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Share:
    """`right` out of `said`, of `wanted` there are."""

    right: int = 0
    said: int = 0
    wanted: int = 0

    def __add__(self, other: "Share") -> "Share":
        return Share(self.right + other.right, self.said + other.said, self.wanted + other.wanted)

    @property
    def precision(self) -> float:
        """1 if nothing was said: nothing was wrong in it."""
        return self.right / self.said if self.said else 1.0

    @property
    def recall(self) -> float:
        """1 if there was nothing to find."""
        return self.right / self.wanted if self.wanted else 1.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.said + self.wanted) if self.said + self.wanted else 1.0


@dataclass(slots=True)
class Score:
    """Counts of one table or of many.

    Attributes:
        detection: Cells flagged, of the wrong ones.
        repair, auto: Cells changed in `proposed` and in `repaired`, of the wrong ones.
        rows: Repeated rows found; either of the two that are the same may be the one flagged.
        broken, broken_by_auto: Right cells that were made wrong.
        emptied_by_auto: Wrong cells that were emptied at once and should hold a value: no right repairs, and no harm.
        right_cells: Cells that were right before.
        of_kind: Injected kind -> wrong cells, those flagged, those repaired.
        by_kind: Reported kind -> flags, those of wrong cells.
    """

    detection: Share = field(default_factory=Share)
    repair: Share = field(default_factory=Share)
    auto: Share = field(default_factory=Share)
    rows: Share = field(default_factory=Share)
    broken: int = 0
    broken_by_auto: int = 0
    emptied_by_auto: int = 0
    right_cells: int = 0
    rows_removed_wrongly: int = 0
    of_kind: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_kind: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: "Score") -> None:
        self.detection += other.detection
        self.repair += other.repair
        self.auto += other.auto
        self.rows += other.rows
        self.broken += other.broken
        self.broken_by_auto += other.broken_by_auto
        self.emptied_by_auto += other.emptied_by_auto
        self.right_cells += other.right_cells
        self.rows_removed_wrongly += other.rows_removed_wrongly
        self.of_kind.update(other.of_kind)
        self.by_kind.update(other.by_kind)

    @property
    def auto_precision_of_values(self) -> float:
        """The precision of the repairs done at once that wrote a value."""
        said = self.auto.said - self.emptied_by_auto
        return self.auto.right / said if said else 1.0

    @property
    def broken_percent(self) -> float:
        """Right cells that the repairs done at once made wrong, in percent."""
        return 100 * self.broken_by_auto / self.right_cells if self.right_cells else 0.0


def total(scores: Iterable[Score]) -> Score:
    """Return the sum of all counts."""
    result = Score()
    for score in scores:
        result.add(score)
    return result


def scored(injected: Injected, result: Result) -> Score:
    """Return how right `result` is about `injected`."""
    wrong = {
        (row, column)
        for column, values in injected.dirty.items()
        for row, (dirty, clean) in enumerate(zip(values, injected.clean[column], strict=True))
        if not same(dirty, clean)
    }
    score = Score(right_cells=sum(map(len, injected.dirty.values())) - len(wrong))
    found = wrong & result.flags.keys()
    score.detection = Share(len(found), len(result.flags), len(wrong))
    score.repair, score.broken, repaired = _repairs(injected, result.proposed, wrong)
    score.auto, score.broken_by_auto, _ = _repairs(injected, result.repaired, wrong)
    score.emptied_by_auto = sum(
        bool(injected.clean[column][row])
        and not result.repaired[column][row].strip()
        and bool(injected.dirty[column][row])
        for row, column in wrong
    )
    score.rows, score.rows_removed_wrongly = _rows(injected, result)
    for cell in wrong:
        kind = injected.kinds[cell]
        score.of_kind.update({(kind, "wrong"): 1, (kind, "found"): cell in found, (kind, "repaired"): cell in repaired})
    for cell, kind in result.flags.items():
        score.by_kind.update({(kind, "flags"): 1, (kind, "right"): cell in wrong})
    return score


def _repairs(injected: Injected, repaired: Table, wrong: set[CellKey]) -> tuple[Share, int, set[CellKey]]:
    """Return the share of right repairs, how many right cells were made wrong, and which cells were put right."""
    changed = {
        (row, column)
        for column, values in repaired.items()
        for row, (new, old) in enumerate(zip(values, injected.dirty[column], strict=True))
        if not same(new, old)
    }
    right = {(row, column) for row, column in changed if same(repaired[column][row], injected.clean[column][row])}
    return Share(len(right), len(changed), len(wrong)), len(changed - wrong), right


def _rows(injected: Injected, result: Result) -> tuple[Share, int]:
    partners = {*injected.duplicates, *injected.duplicates.values()}
    flagged = result.flagged_rows
    right = [copy for copy, first in injected.duplicates.items() if copy in flagged or first in flagged]
    idle = len(flagged - partners)
    return Share(len(right), len(right) + idle, len(injected.duplicates)), len(result.removed - partners)


def false_alarms(clean: Table, result: Result) -> int:
    """Return how many cells of a right table were flagged, those aside that were rightly said to be missing."""
    return sum(
        not (kind in MISSING_KINDS and not clean[column][row].strip()) for (row, column), kind in result.flags.items()
    )
