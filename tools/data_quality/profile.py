"""The profile of a table: what each column holds, in a form small enough to keep in a run's state.

Invariant: strictly JSON, of bounded size, and a function of the data alone; every list has an order of its own.
"""

from collections import Counter
from typing import Any, Final

from tools.data_quality.anomalies import Detection, Judged
from tools.data_quality.cells import shape_of, shown
from tools.data_quality.columns import Study
from tools.data_quality.spread import Spread

_COLUMNS: Final = 100
_TOP: Final = 5


def profile(detection: Detection) -> dict[str, Any]:
    """Return `{"rows", "columns", "duplicate_rows", "notes", "column_profiles", "columns_left_out"}`."""
    columns = detection.columns
    return {
        "rows": detection.dataset.rows,
        "columns": len(columns),
        "duplicate_rows": detection.repeated_rows,
        "notes": list(detection.dataset.notes),
        "column_profiles": [_column(judged) for judged in columns[:_COLUMNS]],
        "columns_left_out": max(0, len(columns) - _COLUMNS),
    }


def _column(judged: Judged) -> dict[str, Any]:
    studied = judged.study
    column = studied.column
    result: dict[str, Any] = {
        "name": shown(column.name),
        "type": studied.semantic,
        "missing": column.rows_with(studied.empty),
        "placeholders": column.rows_with(studied.placeholders),
        "distinct": len(column.values) - len(studied.empty),
        "top": _top(studied),
        "findings": judged.findings,
    }
    if studied.spread:
        result["numbers"] = _numbers(studied.spread)
    if studied.semantic == "code":
        result["shapes"] = _shapes(studied)
    return result


def _top(studied: Study) -> list[dict[str, Any]]:
    column = studied.column
    # Codes are in order of first appearance, which decides between values that are equally frequent.
    codes = sorted(studied.filled, key=lambda code: (-column.counts[code], code))[:_TOP]
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


def _shapes(studied: Study) -> list[dict[str, Any]]:
    counted: Counter[str] = Counter()
    for code in studied.filled:
        counted[shape_of(str(studied.column.values[code]))] += studied.column.counts[code]
    top = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_TOP]
    return [{"shape": shown(shape), "count": count} for shape, count in top]
