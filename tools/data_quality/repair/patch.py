"""Patches: the only place where a value of a table changes, and the rule's name is kept for every change.

Invariant: what a patch lists is exactly what differs between the old table and the new, and undoing it gives back the old
one, cell for cell.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

from tools.data_quality.columns.cells import Cell, shown
from tools.data_quality.datasets.dataset import Dataset
from tools.data_quality.detectors.flags import Tier
from tools.data_quality.judging import Judgement
from tools.data_quality.outcome import Change

FIELDS: Final = ("row", "column", "old", "new", "rule_id", "confidence")
_SAMPLE: Final = 50


def repairs(
    judgement: Judgement,
    tiers: Iterable[Tier],
    *,
    min_confidence: float,
    number: int = 1,
    changed: Iterable[tuple[int, str | None]] = (),
    rule_ids: Iterable[str] | None = None,
) -> list[Change]:
    """What repairing the anomalies of some tiers changes, in order of row and column.

    Args:
        judgement: What is wrong with the table.
        tiers: What may be done.
        min_confidence: Anomalies below are left alone.
        number: The pass, for the patch log.
        changed: Cells (row, column) that have changed already, and must not change again.
        rule_ids: Only what these rules demand; None for all.
    """
    wanted, done = set(tiers), set(changed)
    only = None if rule_ids is None else set(rule_ids)
    flags = [
        flag
        for flag in judgement.flags
        if flag.suggestion is not None
        and flag.tier in wanted
        and flag.confidence >= min_confidence
        and (only is None or flag.rule_id in only)
    ]
    changes: list[Change] = []
    removed: set[int] = set()
    for found in judgement.anomalies(flags):
        assert found.suggestion is not None  # noqa: S101  # chosen above; for the type checker
        cell = None if found.suggestion.drops_row or found.column is None else found.column
        if (found.row, cell) in done or (cell is not None and _same(found.value, found.suggestion.value)):
            continue
        if cell is None:
            if found.row in removed:
                continue
            removed.add(found.row)
        old, new = (None, None) if cell is None else (found.value, found.suggestion.value)
        changes.append(Change(found.row, cell, old, new, found.rule_id, found.confidence, found.tier, number))
    return [change for change in changes if change.column is None or change.row not in removed]


def applied(dataset: Dataset, changes: Iterable[Change]) -> Dataset:
    """A dataset in which some changes are made; the one given stays as it is."""
    cells: dict[str, dict[int, Cell]] = {}
    removed: list[int] = []
    for change in changes:
        if change.column is None:
            removed.append(change.row)
        else:
            cells.setdefault(change.column, {})[change.row] = change.new
    return dataset.replaced(cells, removed) if cells or removed else dataset


def undone(dataset: Dataset, changes: Sequence[Change]) -> Dataset:
    """The dataset as it was before changes of cells were made; removed rows are only in the original."""
    cells: dict[str, dict[int, Cell]] = {}
    for change in reversed(changes):
        if change.column is not None:
            cells.setdefault(change.column, {})[change.row] = change.old
    return dataset.replaced(cells) if cells else dataset


def summary(changes: Sequence[Change]) -> dict[str, Any]:
    """Return `{"total", "sample"}`, the sample being the first 50 changes."""
    sample = [
        {
            "row": change.row,
            "column": change.column,
            "old": shown(change.old),
            "new": shown(change.new),
            "rule_id": change.rule_id,
            "confidence": change.confidence,
        }
        for change in changes[:_SAMPLE]
    ]
    return {"total": len(changes), "sample": sample}


def as_csv(changes: Iterable[Change]) -> str:
    """Return the whole patch as a CSV file; a removed row has no column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    for change in changes:
        writer.writerow([change.row, change.column, change.old, change.new, change.rule_id, change.confidence])
    return text.getvalue()


def _same(one: Cell, other: Cell) -> bool:
    return (one == other and type(one) is type(other)) or (one in (None, "") and other in (None, ""))
