"""The detectors: one function per fault, each saying which values of a column speak against the column.

False alarms come first: in real tables far fewer than one value in a hundred is wrong, so every detector stays silent
where the column does not clearly say what it holds. Invariant: a cell has at most one anomaly, the first of the order
below, so that repairing it can at most reveal the next one.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from tools.data_quality.cells import Cell, shape_of, shown, tidy_number
from tools.data_quality.columns import DOMINATING, Column, Study, study
from tools.data_quality.datasets import Dataset

Kind = Literal["missing", "placeholder", "wrong_type", "format", "outlier", "duplicate_row"]

MANY: Final = 0.2  # share of a column from which a kind is how the column is, not an error in it
_STRUCTURE: Final = 0.6  # share of missing cells from which "no value" is the column's usual value
_SAMPLE: Final = 50


@dataclass(frozen=True, slots=True)
class Flag:
    """One distinct value of a column that is wrong wherever it stands.

    Attributes:
        rule: Type of the rule that the value breaks.
        suggestion: What a lossless repair would write, where there is one (`has_suggestion`).
    """

    code: int
    kind: Kind
    rule: str
    confidence: float
    reason: str
    suggestion: Cell = None
    has_suggestion: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """One column with its flags, and the kinds that were too frequent to be errors."""

    study: Study
    flags: list[Flag]
    findings: list[dict[str, Any]]

    def flagged(self, rule: str) -> list[int]:
        return [flag.code for flag in self.flags if flag.rule == rule]


@dataclass(frozen=True, slots=True)
class Detection:
    """All that was found in a dataset; `duplicates` are the rows that repeat an earlier one."""

    dataset: Dataset
    columns: list[Judged]
    duplicates: list[int]
    repeated_rows: int

    @property
    def by_kind(self) -> dict[str, int]:
        """Anomalies per kind, in the kinds' order of names; kinds without any are left out."""
        counted: defaultdict[str, int] = defaultdict(int)
        for judged in self.columns:
            for flag in judged.flags:
                counted[flag.kind] += judged.study.column.counts[flag.code]
        if self.duplicates:
            counted["duplicate_row"] = len(self.duplicates)
        return dict(sorted(counted.items()))

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())

    @property
    def quality_score(self) -> float:
        """100 times the share of cells without an anomaly, a repeated row counting with all its cells; 100 if empty."""
        width = len(self.columns)
        cells = self.dataset.rows * width
        cells_at_fault = self.total + len(self.duplicates) * (width - 1)
        return round(100 * max(0.0, 1 - cells_at_fault / cells), 2) if cells else 100.0


def detect(dataset: Dataset) -> Detection:
    """Look for every kind of fault in every column, and for rows that repeat an earlier one."""
    columns = [_judge(study(column)) for column in dataset.columns]
    repeated = [] if dataset.is_bare_list else repeated_rows(dataset.columns)
    are_errors = len(repeated) <= max(2, MANY * dataset.rows)
    return Detection(dataset, columns, repeated if are_errors else [], len(repeated))


def find_missing(studied: Study) -> Iterator[Flag]:
    """Empty cells in a column that is otherwise filled; in a bare list, every null."""
    column = studied.column
    if column.is_bare or studied.missing_rows <= max(1, (1 - DOMINATING) * len(column.codes)):
        for code in studied.empty:
            yield Flag(code, "missing", "not_null", 0.95, "empty, where the column is otherwise filled")


def find_placeholders(studied: Study) -> Iterator[Flag]:
    """Words and sentinel numbers that stand for "no value"."""
    for code in studied.placeholders:
        certain = 0.95 if isinstance(studied.column.values[code], str) else 0.9
        yield Flag(code, "placeholder", "placeholder", certain, "stands for a missing value", None, has_suggestion=True)


def find_wrong_types(studied: Study) -> Iterator[Flag]:
    """Texts that are no number, in a column of numbers."""
    if studied.is_numeric:
        for code in studied.filled:
            if code not in studied.numbers:
                yield Flag(code, "wrong_type", "type", 0.9, "not a number, in a column of numbers")


def find_untidy_numbers(studied: Study) -> Iterator[Flag]:
    """Numbers written with white space, with separators, or as a text among numbers."""
    column = studied.column
    if not studied.is_numeric:
        return
    for code in studied.numbers:
        value = column.values[code]
        plain = tidy_number(value, as_text=column.stores_text, grouping_is_safe=studied.grouping_is_safe)
        if plain is not value:
            yield Flag(code, "format", "plain_number", 0.99, "a number not written as one", plain, has_suggestion=True)


def find_untrimmed(studied: Study) -> Iterator[Flag]:
    """Texts with white space at either end."""
    if not studied.is_numeric:
        for code in studied.filled:
            value = studied.column.values[code]
            if isinstance(value, str) and value != value.strip():
                yield Flag(code, "format", "trimmed", 0.99, "white space at an end", value.strip(), has_suggestion=True)


def find_misshapen(studied: Study) -> Iterator[Flag]:
    """Rare codes whose shape differs from the one that dominates the column."""
    expected = studied.format
    if expected is None:
        return
    for code in studied.filled:
        value = studied.column.values[code]
        is_rare = studied.column.counts[code] <= max(2.0, expected.usual_count)
        if isinstance(value, str) and is_rare and not expected.fits(value.strip()):
            reason = f"shape {shown(shape_of(value.strip()))!r}, where the column has {expected.shape!r}"
            yield Flag(code, "format", "format", 0.8, reason)


def find_outliers(studied: Study) -> Iterator[Flag]:
    """Numbers far outside the spread of the others."""
    spread = studied.spread
    if spread is None or spread.fences is None:
        return
    low, high = spread.fences
    for code, number in studied.numbers.items():
        if not low <= number <= high:
            beyond = (low - number if number < low else number - high) / (high - low)
            reason = f"far from the others, half of which lie from {spread.q1:.6g} to {spread.q3:.6g}"
            yield Flag(code, "outlier", "range", round(min(0.95, 0.6 + beyond), 2), reason)


DETECTORS: Final = (
    find_missing,
    find_placeholders,
    find_wrong_types,
    find_untidy_numbers,
    find_untrimmed,
    find_misshapen,
    find_outliers,
)


def repeated_rows(columns: tuple[Column, ...]) -> list[int]:
    """Return the rows that equal an earlier row in every cell, in order.

    Groups of rows that agree so far are split by one column after the other, the one with most values first; as a rule
    every row stands alone after a column or two.
    """
    rows = len(columns[0].codes) if columns else 0
    together = list(range(rows)) if len(columns) > 1 else []
    group_of = [0] * rows
    for column in sorted(columns, key=lambda column: -len(column.values)):
        groups: dict[tuple[int, int], list[int]] = {}
        for row in together:
            groups.setdefault((group_of[row], column.codes[row]), []).append(row)
        together = []
        for number, members in enumerate(groups.values()):
            if len(members) > 1:
                together += members
                for row in members:
                    group_of[row] = number
        if not together:
            return []
    firsts: set[int] = set()
    later = []
    for row in sorted(together):
        if group_of[row] in firsts:
            later.append(row)
        firsts.add(group_of[row])
    return later


def report(detection: Detection) -> dict[str, Any]:
    """Return `{"total", "by_kind", "sample"}`; the sample takes turns among the kinds, and is in row order."""
    by_kind: dict[str, list[dict[str, Any]]] = {kind: [] for kind in detection.by_kind}
    for judged in detection.columns:
        flags = {flag.code: flag for flag in judged.flags}
        taken: defaultdict[str, int] = defaultdict(int)
        for row, code in judged.study.column.rows_of(flags):
            flag = flags[code]
            taken[flag.kind] += 1
            if taken[flag.kind] <= _SAMPLE:
                by_kind[flag.kind].append(_cell(row, judged.study.column, flag))
    for row in detection.duplicates[:_SAMPLE]:
        anomaly = {"row": row, "column": None, "value": None, "kind": "duplicate_row", "confidence": 0.99}
        by_kind["duplicate_row"].append({**anomaly, "reason": "equals an earlier row in every cell"})
    place = {judged.study.column.name: index for index, judged in enumerate(detection.columns)}

    def position(anomaly: dict[str, Any]) -> tuple[int, int]:
        return anomaly["row"], place.get(anomaly["column"], -1)

    turns = [
        (turn, kind, anomaly)
        for kind, anomalies in by_kind.items()
        for turn, anomaly in enumerate(sorted(anomalies, key=position))
    ]
    chosen = [anomaly for _, _, anomaly in sorted(turns, key=lambda item: item[:2])[:_SAMPLE]]
    return {"total": detection.total, "by_kind": detection.by_kind, "sample": sorted(chosen, key=position)}


def _cell(row: int, column: Column, flag: Flag) -> dict[str, Any]:
    anomaly = {"row": row, "column": column.name, "value": shown(column.values[flag.code]), "kind": flag.kind}
    anomaly |= {"confidence": flag.confidence, "reason": flag.reason}
    return anomaly | ({"suggestion": shown(flag.suggestion)} if flag.has_suggestion else {})


def _judge(studied: Study) -> Judged:
    """Run all detectors on one column; what hits too many of its cells becomes a finding about the column."""
    column = studied.column
    rows = len(column.codes)
    flags: list[Flag] = []
    findings: list[dict[str, Any]] = []
    taken: set[int] = set()
    for detector in DETECTORS:
        found = [flag for flag in detector(studied) if flag.code not in taken]
        if not found:
            continue
        hit = column.rows_with(flag.code for flag in found)
        kind = found[0].kind
        # Nothing but the numbers themselves says what a bare list should hold: there, every gap is a gap.
        is_gap = kind in ("missing", "placeholder")
        is_structure = is_gap and studied.missing_rows > max(2, _STRUCTURE * rows)
        if (hit > max(2, MANY * rows) or is_structure) and not (column.is_bare and is_gap):
            findings.append({"kind": kind, "rows": hit, "reason": f"{found[0].reason}, too often to be an error"})
            continue
        taken.update(flag.code for flag in found)
        flags += found
    return Judged(studied, flags, findings)
