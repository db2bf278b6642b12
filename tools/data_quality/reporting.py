"""What the state says about anomalies: counts, and a sample that shows something of every kind.

Invariant: bounded JSON; the sample takes turns among the kinds and is in row order.
"""

from collections import defaultdict
from typing import Any, Final

from tools.data_quality.columns.cells import shown
from tools.data_quality.detectors.flags import Flag
from tools.data_quality.judging import Judgement
from tools.data_quality.outcome import Anomaly

SAMPLE: Final = 100
_CANDIDATES: Final = 200  # flags of each kind that the sample is chosen from


def verdict(judgement: Judgement, min_confidence: float) -> dict[str, Any]:
    """Return `{"anomalies": {"total", "by_kind", "by_tier", "sample"}, "anomaly_count", "quality_score"}`."""
    flags = [flag for flag in judgement.flags if flag.confidence >= min_confidence]
    by_kind: defaultdict[str, list[Flag]] = defaultdict(list)
    by_tier: defaultdict[str, int] = defaultdict(int)
    for flag in flags:
        by_kind[flag.kind].append(flag)
        by_tier[flag.tier] += judgement.count(flag)
    turns: list[tuple[int, str, Anomaly]] = []
    for kind, found in by_kind.items():
        surest = sorted(found, key=lambda flag: -flag.confidence)[:_CANDIDATES]
        turns += [(turn, kind, anomaly) for turn, anomaly in enumerate(judgement.anomalies(surest)[:SAMPLE])]
    places = {column.name: place for place, column in enumerate(judgement.table.columns)}

    def position(anomaly: Anomaly) -> tuple[int, int]:
        return anomaly.row, -1 if anomaly.column is None else places[anomaly.column]

    chosen = [anomaly for _, _, anomaly in sorted(turns, key=lambda turn: turn[:2])[:SAMPLE]]
    total = sum(by_tier.values())
    return {
        "anomalies": {
            "total": total,
            "by_kind": {kind: sum(map(judgement.count, found)) for kind, found in sorted(by_kind.items())},
            "by_tier": {tier: by_tier[tier] for tier in ("auto", "suggest", "report") if tier in by_tier},
            "sample": [as_json(anomaly) for anomaly in sorted(chosen, key=position)],
        },
        "anomaly_count": total,
        "quality_score": judgement.quality_score,
    }


def as_json(anomaly: Anomaly) -> dict[str, Any]:
    """One anomaly as JSON; without `suggestion` where there is none."""
    told: dict[str, Any] = {
        "row": anomaly.row,
        "column": anomaly.column,
        "value": shown(anomaly.value),
        "kind": anomaly.kind,
        "confidence": anomaly.confidence,
        "tier": anomaly.tier,
        "reason": anomaly.reason,
        "evidence": dict(anomaly.evidence),
        "rule_id": anomaly.rule_id,
    }
    if anomaly.suggestion is not None and not anomaly.suggestion.drops_row:
        told["suggestion"] = shown(anomaly.suggestion.value)
    return told
