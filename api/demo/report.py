"""What the demo says besides the steps, as sections of text and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.demo import marks, words
from api.demo.marks import Cell, Changes, Truth
from tools.data_quality.rules.model import Rule
from tools.data_quality.rules.words import rule_in_words

_MOST_RULES: Final = 8


@dataclass(frozen=True, slots=True)
class Table:
    """Texts in columns; those named in `numeric` are aligned to the right."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numeric: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Section:
    """A title, and what stands below it in this order."""

    title: str
    table: Table | None = None
    after: str = ""


def waiting(proposals: Mapping[str, Any], rules: Mapping[str, Mapping[str, Any]]) -> Section:
    """What waits for approval, by rule, the rules with most repairs first."""
    shown = proposals["by_rule"][:_MOST_RULES]
    rows = []
    for entry in shown:
        rule = Rule.model_validate(rules[entry["rule_id"]])
        example = entry["examples"][0]
        change = f"row {example['row']}: {words.shown(example['old'])} → {words.shown(example['new'])}"
        rows.append((f"{entry['cells']:,}", rule_in_words(rule, with_share=False), change))
    more = len(proposals["by_rule"]) - len(shown)
    after = f"{words.count(more, 'more rule is', 'more rules are')} in the report." if more else ""
    table = Table(("cells", "rule", "an example"), rows, numeric=frozenset({"cells"}))
    return Section(f"{words.count(proposals['total'], 'repair waits', 'repairs wait')} for approval", table, after)


def found(flags: Mapping[Cell, str], repeated_rows: int, at_once: Changes, approved: Changes) -> Section:
    """What was found, by kind, and what became of it."""
    counted = [marks.by_kind(cells, flags) for cells in (flags, at_once.cells, approved.cells)]
    rows = [
        (words.kind(kind), *(f"{each[kind]:,}" for each in counted), f"{count - counted[1][kind] - counted[2][kind]:,}")
        for kind, count in counted[0].most_common()
    ]
    if repeated_rows:
        rows.append((words.kind("duplicate_row"), f"{repeated_rows:,}", "0", "0", f"{repeated_rows:,}"))
    header = ("what was found", "cells", "repaired at once", "approved", "only reported")
    total = len(flags) + repeated_rows
    return Section(f"{total:,} anomalies", Table(header, rows, numeric=frozenset(header[1:])))


def examples(at_once: Changes, flags: Mapping[Cell, str]) -> Section:
    """One repair of each kind that was done at once."""
    seen: dict[str, tuple[Cell, tuple[str, str]]] = {}
    for cell, change in at_once.cells.items():
        seen.setdefault(flags.get(cell, "other"), (cell, change))
    rows = [
        (words.kind(kind), str(row), column, words.shown(old), words.shown(new))
        for kind, ((row, column), (old, new)) in seen.items()
    ]
    table = Table(("one of each kind", "row", "column", "old", "new"), rows, numeric=frozenset({"row"}))
    return Section(f"{words.count(len(at_once.cells), 'cell was', 'cells were')} repaired at once", table)


def compared(
    truth: Truth, flags: Mapping[Cell, str], repeated_rows: Sequence[int], at_once: Changes, approved: Changes
) -> Section:
    """How all that compares with the truth."""
    hits = [cell for cell in truth.right if cell in flags]
    repaired = [
        cell
        for cell, right in truth.right.items()
        if any(changes.cells.get(cell, ("", None))[1] == right for changes in (at_once, approved))
    ]
    wrong, seen, mended = (marks.by_kind(cells, truth.kinds) for cells in (truth.right, hits, repaired))
    rows = [(kind, f"{count:,}", f"{seen[kind]:,}", f"{mended[kind]:,}") for kind, count in wrong.most_common()]
    rows.append(("all", f"{len(truth.right):,}", f"{len(hits):,}", f"{len(repaired):,}"))
    header = ("error that was put in", "cells", "found", "repaired right")
    rows_found = len(truth.repeated_rows.intersection(repeated_rows))
    after = (
        f"Found {len(hits):,} of {words.count(len(truth.right), 'wrong cell')}, and {rows_found:,} of "
        f"{words.count(len(truth.repeated_rows), 'repeated row')}; "
        f"{words.count(len(flags) - len(hits), 'false alarm')}. "
        f"{_fate('Repaired at once', at_once)} {_fate('Approved', approved)}"
    )
    return Section("Compared with the truth", Table(header, rows, numeric=frozenset(header[1:])), after)


def _fate(what: str, changes: Changes) -> str:
    return (
        f"{what}: {words.count(len(changes.cells), 'cell')}, {changes.right:,} of them right, {changes.still_wrong:,} "
        f"still wrong, and {changes.broken:,} that had been right."
    )
