"""Applying rules: the only place where a value of a dataset changes, and the rule's name is kept for every change.

A pass is all or nothing: if the repaired data has more anomalies than before, the pass is not taken. Invariant: what the
patch lists is exactly what differs between the old dataset and the new.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tools.data_quality.anomalies import Detection, detect, repeated_rows
from tools.data_quality.cells import Cell, read_number, shown, tidy_number
from tools.data_quality.columns import Column
from tools.data_quality.datasets import Dataset
from tools.data_quality.rules import ORDER, Rule, breaker

_SAMPLE: Final = 50


@dataclass(frozen=True, slots=True)
class Change:
    """A cell that got another value; or, with `column` None, a row that was removed."""

    row: int
    column: str | None
    old: Cell
    new: Cell
    rule_id: str


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over the data led to; when rolled back, the dataset is the old one and the patch empty."""

    detection: Detection
    patch: list[Change]
    refused_total: int | None = None
    """Anomalies the repaired data would have had, if that was a reason to roll back."""


def run_pass(dataset: Dataset, rules: Sequence[Rule]) -> Pass:
    """Apply the rules; keep the result unless it has more anomalies than the dataset had."""
    before = detect(dataset)
    repaired, patch = apply(dataset, rules)
    if not patch:
        return Pass(before, [])
    after = detect(repaired)
    if after.total > before.total:
        return Pass(before, [], refused_total=after.total)
    return Pass(after, patch)


def apply(dataset: Dataset, rules: Sequence[Rule]) -> tuple[Dataset, list[Change]]:
    """Return the repaired dataset, and every difference in order of row and column.

    Repeated rows are looked for after the cells are repaired, since `" x"` and `"x"` become the same row.
    """
    repairing = [rule for rule in rules if rule.repair]
    changes: dict[str, dict[int, Cell]] = {}
    removed: dict[int, str] = {}
    patch: list[Change] = []
    for column in dataset.columns:
        of_column = [rule for rule in repairing if rule.columns == [column.name] and rule.type != "unique_rows"]
        new, dropped = _repaired_values(column, sorted(of_column, key=lambda rule: ORDER.index(rule.type)))
        changes[column.name] = {code: value for code, (value, _) in new.items()}
        for row, code in column.rows_of(new):
            patch.append(Change(row, column.name, column.values[code], *new[code]))
        for row, code in column.rows_of(dropped):
            removed.setdefault(row, dropped[code])
    uniqueness = next((rule for rule in repairing if rule.type == "unique_rows"), None)
    if uniqueness:
        for row in repeated_rows(dataset.replaced(changes, ()).columns):
            removed.setdefault(row, uniqueness.rule_id)
    patch = [change for change in patch if change.row not in removed]
    patch += [Change(row, None, None, None, rule_id) for row, rule_id in removed.items()]
    place = {column.name: index for index, column in enumerate(dataset.columns)}
    patch.sort(key=lambda change: (change.row, -1 if change.column is None else place[change.column]))
    return (dataset.replaced(changes, removed) if patch else dataset), patch


def summary(patch: Sequence[Change]) -> dict[str, Any]:
    """Return `{"total", "sample"}`, the sample being the first 50 changes."""
    sample = [
        {
            "row": change.row,
            "column": change.column,
            "old": shown(change.old),
            "new": shown(change.new),
            "rule_id": change.rule_id,
        }
        for change in patch[:_SAMPLE]
    ]
    return {"total": len(patch), "sample": sample}


def as_csv(patch: Sequence[Change]) -> str:
    """Return the whole patch as a CSV file; a removed row has no column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "column", "old", "new", "rule_id"])
    writer.writerows((change.row, change.column, change.old, change.new, change.rule_id) for change in patch)
    return text.getvalue()


def _repaired_values(column: Column, rules: Sequence[Rule]) -> tuple[dict[int, tuple[Cell, str]], dict[int, str]]:
    """Return code -> (new value, rule) for values that change, and code -> rule for values whose rows go."""
    tests = [(rule, breaker(rule)) for rule in rules]
    new: dict[int, tuple[Cell, str]] = {}
    dropped: dict[int, str] = {}
    for code, value in enumerate(column.values):
        repaired, rule_id = value, ""
        for rule, breaks in tests:
            if breaks(repaired):
                rule_id = rule.rule_id
                if rule.repair and rule.repair.action == "drop_row":
                    dropped[code] = rule_id
                    break
                repaired = _repaired(repaired, rule, column)
        if code not in dropped and rule_id:
            new[code] = repaired, rule_id
    return new, dropped


def _repaired(value: Cell, rule: Rule, column: Column) -> Cell:
    assert rule.repair is not None  # noqa: S101  # callers pass repairing rules only; for the type checker
    match rule.repair.action:
        case "trim":
            return value.strip() if isinstance(value, str) else value
        case "plain_number":
            safe = bool(rule.params["grouping_is_safe"])
            return tidy_number(value, as_text=bool(rule.params["as_text"]), grouping_is_safe=safe)
        case "fill":
            return _written(rule.repair.value, column)
        case "clip":
            number, low, high = read_number(value), rule.params["min"], rule.params["max"]
            return value if number is None else _written(low if number < low else high, column)
        case _:
            return None


def _written(number: int | float | None, column: Column) -> Cell:
    return str(number) if column.stores_text and number is not None else number
