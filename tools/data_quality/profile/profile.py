"""The profile of a table: what each column holds and how columns hang together, small enough to keep in a run's state.

Invariant: strictly JSON, of bounded size, and a function of the data alone; every list has an order of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final

from tools.data_quality.columns.cells import shape_of, shown
from tools.data_quality.columns.spread import Spread
from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.duplicates import repeated_rows
from tools.data_quality.judging import Judgement
from tools.data_quality.rules.model import Rule

_COLUMNS: Final = 200
_TOP: Final = 20
_SHAPES: Final = 10
_DEPENDENCIES: Final = 200
_KEYS: Final = 20


def profile(judgement: Judgement, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Describe a judged table.

    Returns:
        `{"rows", "columns", "duplicate_rows", "notes", "column_profiles", "columns_left_out", "candidate_keys",
        "dependencies", "panels"}`; at most 200 columns, 20 most frequent values of each, and 200 dependencies.
    """
    table = judgement.table
    findings: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for place, finding in judgement.findings:
        findings[place].append(finding)
    rules = judgement.rules
    dependencies = [entry for rule in rules if rule.type == "dependency" for entry in _dependencies(rule)]
    return {
        "rows": table.rows,
        "columns": len(table.columns),
        "duplicate_rows": len(repeated_rows(table)),
        "notes": list(notes),
        "column_profiles": [_column(table.study_at(place), findings[place]) for place in _shown(table)],
        "columns_left_out": max(0, len(table.columns) - _COLUMNS),
        "candidate_keys": [rule.columns for rule in rules if rule.type in ("unique", "key")][:_KEYS],
        "dependencies": dependencies[:_DEPENDENCIES],
        "panels": _panels(rules),
    }


def _shown(table: Table) -> range:
    return range(min(_COLUMNS, len(table.columns)))


def _column(study: Study, findings: list[dict[str, Any]]) -> dict[str, Any]:
    column = study.column
    result: dict[str, Any] = {
        "name": shown(column.name),
        "type": study.semantic,
        "missing": column.rows_with(study.empty),
        "placeholders": column.rows_with(study.placeholders),
        "unknowns": column.rows_with(study.unknowns),
        "distinct": len(column.values) - len(study.empty),
        "top": _top(study),
        "findings": findings,
    }
    if study.spread:
        result["numbers"] = _numbers(study.spread)
    if study.dates:
        result["format"] = study.dates.pattern
    if study.semantic in ("code", "unit_number", "name", "category"):
        result["shapes"] = _shapes(study)
    if study.filled and not study.is_numeric:
        lengths = [len(column.text(code)) for code in study.filled]
        result["lengths"] = {"min": min(lengths), "max": max(lengths)}
    return result


def _top(study: Study) -> list[dict[str, Any]]:
    column = study.column
    # Codes are in order of first appearance, which decides between values that are equally frequent.
    codes = sorted(study.filled, key=lambda code: (-column.counts[code], code))[:_TOP]
    return [{"value": shown(column.values[code]), "count": column.counts[code]} for code in codes]


def _numbers(spread: Spread) -> dict[str, Any]:
    return {
        "count": spread.count,
        "min": spread.minimum,
        "q1": spread.q1,
        "median": spread.median,
        "q3": spread.q3,
        "max": spread.maximum,
        "mad": shown(spread.mad),
        "fences": list(spread.fences) if spread.fences else None,
    }


def _shapes(study: Study) -> list[dict[str, Any]]:
    counted: Counter[str] = Counter()
    for code in study.filled:
        counted[shape_of(study.column.text(code))] += study.column.counts[code]
    top = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_SHAPES]
    return [{"shape": shown(shape), "count": count} for shape, count in top]


def _dependencies(rule: Rule) -> list[dict[str, Any]]:
    params = rule.params
    return [
        {
            "determinant": names,
            "dependent": rule.columns[0],
            "share": agreement,
            "lift": lift,
            "offset": offset,
            "noisy": params["source"] is not None,
        }
        for names, agreement, lift, offset in zip(
            params["determinants"], params["agreement"], params["lift"], params["offset"], strict=True
        )
    ]


def _panels(rules: Sequence[Rule]) -> list[dict[str, str]]:
    """Which column names the entity and which the source, in a table where several sources tell the same facts."""
    found = {
        (names[0], rule.params["source"])
        for rule in rules
        if rule.type == "dependency" and rule.params["source"] is not None
        for names in rule.params["determinants"]
    }
    return [{"entity": entity, "source": source} for entity, source in sorted(found)]
