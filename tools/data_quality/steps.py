"""The four tools: profile a dataset, find its anomalies, derive rules, apply them.

Each reads `dataset` from the state (a list of numbers, row objects, a mapping of columns or `{"path": ...}`) and judges it
anew, so any of them can be used alone and none trusts what another wrote, but for `rules`. Invariant: files are never
changed, and equal states give equal updates, also across processes.
"""

from pathlib import PurePosixPath
from typing import Any

from tools.contract import ToolContext, tool
from tools.data_quality import files, profile, repair, rules
from tools.data_quality.anomalies import Detection, detect, report
from tools.data_quality.datasets import Dataset, load
from tools.data_quality.limits import invalid


@tool(effect="pure", writes=("profile", "source"))
def profile_data(state: dict[str, Any], context: ToolContext | None = None) -> dict[str, Any]:
    """Describe every column of `dataset`: its type, gaps, most frequent values, spread and shapes.

    Writes `profile`; for a file also `source`, the reference it had on the first pass.
    """
    dataset = _load(state, context)
    detection = detect(dataset)
    _log(context, "profiled", dataset, duplicate_rows=detection.repeated_rows)
    update: dict[str, Any] = {"profile": profile.profile(detection)}
    if dataset.path is not None and "source" not in state:
        update["source"] = {"path": dataset.path}
    return update


@tool(effect="pure", writes=("anomalies", "anomaly_count", "quality_score"))
def identify_anomalies(state: dict[str, Any], context: ToolContext | None = None) -> dict[str, Any]:
    """List the cells and rows of `dataset` that are missing, malformed, far off or repeated.

    Writes `anomalies` (`{"total", "by_kind", "sample"}`), `anomaly_count` and `quality_score` (100 times the share of
    cells without an anomaly).
    """
    dataset = _load(state, context)
    detection = detect(dataset)
    _log(context, "identified anomalies", dataset, anomalies=detection.total, by_kind=detection.by_kind)
    return _verdict(detection)


@tool(effect="pure", writes=("rules",))
def generate_rules(
    state: dict[str, Any],
    missing: rules.MissingPolicy = "auto",
    outliers: rules.OutlierPolicy = "auto",
    context: ToolContext | None = None,
) -> dict[str, Any]:
    """Derive the rules that `dataset` keeps to, with a repair for what breaks them.

    Repairs that lose nothing (white space, separators, placeholders, repeated rows) are always part of a rule. What loses
    something is up to `missing` and `outliers`: "auto" repairs a bare list of numbers and only reports in a table.
    """
    dataset = _load(state, context)
    proposed = rules.propose(detect(dataset), missing, outliers)
    repairing = sum(rule.repair is not None for rule in proposed)
    _log(context, "generated rules", dataset, rules=len(proposed), repairing=repairing)
    return {"rules": [rule.model_dump() for rule in proposed]}


@tool(
    effect="idempotent",
    writes=(
        *("dataset", "anomalies", "anomaly_count", "quality_score", "modifications_made", "iteration"),
        *("patch", "rules_path", "patch_path"),
    ),
)
def apply_rules(state: dict[str, Any], context: ToolContext | None = None) -> dict[str, Any]:
    """Repair `dataset` by `rules` and judge the result; a pass that would raise the count of anomalies is rolled back.

    The cleaned data has the shape it came in; a file gets a cleaned copy with its rules and patch log beside it.
    """
    dataset = _load(state, context)
    parsed = rules.parse(state.get("rules"))
    done = repair.run_pass(dataset, parsed)
    if done.refused_total is not None and context:
        message = "rolled the pass back: repairing would have raised the number of anomalies"
        context.log.warning(message, before=done.detection.total, after=done.refused_total)
    _log(context, "applied rules", dataset, changes=len(done.patch), anomalies=done.detection.total)
    update = _verdict(done.detection) | {
        "dataset": state["dataset"],
        "patch": repair.summary(done.patch),
        "modifications_made": _count(state, "modifications_made") + len(done.patch),
        "iteration": _count(state, "iteration") + 1,
    }
    if not done.patch:
        return update
    if dataset.path is None:
        return update | {"dataset": done.detection.dataset.content}
    return update | _write(state, context, dataset.path, done, parsed)


def _write(
    state: dict[str, Any], context: ToolContext | None, path: str, done: repair.Pass, parsed: list[rules.Rule]
) -> dict[str, Any]:
    source = state.get("source")
    cleaned, rules_path, patch_path = files.write_beside(
        source["path"] if isinstance(source, dict) and "path" in source else path,
        context.datasets_dir if context else None,
        done.detection.dataset.content,  # type: ignore[arg-type]  # what came from a file is a frame or row objects
        PurePosixPath(path).suffix.lower(),
        rules=[rule.model_dump() for rule in parsed],
        patch=repair.as_csv(done.patch),
    )
    return {"dataset": {"path": cleaned}, "rules_path": rules_path, "patch_path": patch_path}


def _load(state: dict[str, Any], context: ToolContext | None) -> Dataset:
    if "dataset" not in state:
        raise invalid("the state has no 'dataset'")
    return load(state["dataset"], context.datasets_dir if context else None)


def _verdict(detection: Detection) -> dict[str, Any]:
    return {
        "anomalies": report(detection),
        "anomaly_count": detection.total,
        "quality_score": detection.quality_score,
    }


def _count(state: dict[str, Any], key: str) -> int:
    value = state.get(key, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _log(context: ToolContext | None, message: str, dataset: Dataset, **counts: Any) -> None:
    if context:
        context.log.info(message, rows=dataset.rows, columns=len(dataset.columns), **counts)
