"""The tools: profile a dataset, find its anomalies, derive rules, apply them; propose what waits for a person; report.

Each reads `dataset` from the state (a list of numbers, row objects, a mapping of columns or a reference) and judges it
anew, so any of them can be used alone and none trusts what another wrote, but for `rules`. Invariant: files are never
changed, and equal states give equal updates, also across processes.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from tools.contract import ToolContext, ToolError, tool
from tools.data_quality.columns.table import Table
from tools.data_quality.datasets import files, references
from tools.data_quality.datasets.dataset import Dataset, load, of_file
from tools.data_quality.datasets.limits import invalid
from tools.data_quality.judging import Judgement, Visit, judge, nobody
from tools.data_quality.outcome import Change, Stop
from tools.data_quality.pipeline import MIN_CONFIDENCE, accepted, clean, examine
from tools.data_quality.profile.profile import profile
from tools.data_quality.publish import files_of
from tools.data_quality.repair.patch import applied, repairs, summary
from tools.data_quality.reporting import verdict
from tools.data_quality.rules.model import Rule, parse
from tools.data_quality.rules.policies import DuplicatePolicy, MissingPolicy, OutlierPolicy, Policies

Mode = Literal["auto", "approved", "dry_run"]

_MEDIA_TYPES: Final = {
    ".csv": "text/csv; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".html": "text/html; charset=utf-8",
}
_MOST_RULES: Final = 500
_MOST_PROPOSED: Final = 100


@tool(effect="pure", writes=("profile", "source"), cpu_bound=True)
def profile_data(state: dict[str, Any], context: ToolContext | None = None) -> dict[str, Any]:
    """Describe `dataset`: what each column holds, what rows can be named by, and which columns determine which.

    Writes `profile`; for a file also `source`, a reference to exactly the content it had on the first pass.
    """
    dataset = _load(state, context)
    judgement = examine(dataset, visit=_visit(context), known=_known(state))
    _log(context, "profiled", dataset)
    update: dict[str, Any] = {"profile": profile(judgement, dataset.notes)}
    if dataset.pinned is not None and "source" not in state:
        update["source"] = dataset.pinned
    return update


@tool(effect="pure", writes=("anomalies", "anomaly_count", "quality_score"), cpu_bound=True)
def identify_anomalies(
    state: dict[str, Any], min_confidence: float = MIN_CONFIDENCE, context: ToolContext | None = None
) -> dict[str, Any]:
    """List the cells and rows of `dataset` that are wrong, each with a reason, evidence and, where there is one, a repair.

    Writes `anomalies` (`{"total", "by_kind", "by_tier", "sample"}`), `anomaly_count` and `quality_score` (100 times the
    share of cells without an anomaly).
    """
    dataset = _load(state, context)
    found = verdict(examine(dataset, visit=_visit(context), known=_known(state)), min_confidence)
    counts = {"anomalies": found["anomaly_count"], "by_kind": found["anomalies"]["by_kind"]}
    _log(context, "identified anomalies", dataset, **counts)
    return found


@tool(effect="pure", writes=("rules",), cpu_bound=True)
def generate_rules(
    state: dict[str, Any],
    missing: MissingPolicy = "auto",
    outliers: OutlierPolicy = "auto",
    duplicates: DuplicatePolicy = "keep",
    context: ToolContext | None = None,
) -> dict[str, Any]:
    """Derive the rules that `dataset` keeps to, with a repair for what breaks them.

    What loses something is up to the owner: `missing` ("median" fills gaps, "drop" removes the row), `outliers` ("clip")
    and `duplicates` ("drop"). "auto" repairs a bare list of numbers and only reports in a table.
    """
    dataset = _load(state, context)
    judgement = examine(dataset, Policies(missing, outliers, duplicates), _visit(context), _known(state))
    rules = _first(judgement.rules)
    _log(
        context, "generated rules", dataset, rules=len(rules), repairing=sum(rule.repair is not None for rule in rules)
    )
    return {"rules": [rule.model_dump() for rule in rules]}


@tool(
    effect="idempotent",
    writes=(
        *("dataset", "anomalies", "anomaly_count", "quality_score", "modifications_made", "iteration"),
        *("patch", "settled", "stopped"),
    ),
    cpu_bound=True,
)
def apply_rules(
    state: dict[str, Any],
    mode: Mode = "auto",
    min_confidence: float = MIN_CONFIDENCE,
    context: ToolContext | None = None,
) -> dict[str, Any]:
    """Repair `dataset` by `rules` and judge the result; a pass after which no fewer anomalies are left is undone.

    "auto" makes the repairs that are safe; "approved" those that `decision` approves (`{"approve": "all" | "none" |
    [rule ids]}`); "dry_run" writes `patch` and changes nothing. `settled` is true once another pass would not help, and
    `stopped` says why.
    """
    dataset = _load(state, context)
    rules = parse(state.get("rules"))
    before = _judged(dataset, rules, _visit(context))
    changes = _wanted(before, state, mode, min_confidence)
    if mode == "dry_run":
        return {"patch": summary(changes)}
    after = before
    stopped: Stop | None = "unchanged"
    if changes:
        repaired = applied(dataset, changes)
        policies = _policies_of(rules)
        after = examine(repaired, policies, _visit(context), rules)
        if after.total >= before.total and mode != "approved":
            _warn(context, before.total, after.total)
            after, changes, stopped = before, [], "not_fewer"
        elif repairs(after, ("auto",), min_confidence=min_confidence):
            stopped = None
    found = verdict(after, min_confidence)
    _log(context, "applied rules", dataset, changes=len(changes), anomalies=found["anomaly_count"])
    update = found | {
        "dataset": state["dataset"],
        "patch": summary(changes),
        "modifications_made": _count(state, "modifications_made") + len(changes),
        "iteration": _count(state, "iteration") + 1,
        "settled": stopped is not None,
        "stopped": stopped,
    }
    if changes:
        update["dataset"] = _stored(context, dataset, repaired)
    return update


@tool(effect="pure", writes=("proposals", "rules"), cpu_bound=True)
def propose_repairs(
    state: dict[str, Any], min_confidence: float = MIN_CONFIDENCE, context: ToolContext | None = None
) -> dict[str, Any]:
    """List the repairs that wait for a person, by rule.

    Writes `proposals`: `{"total", "by_rule": [{"rule_id", "type", "columns", "cells", "examples"}]}` and `rules`, by which
    `apply_rules` will judge the dataset as it was judged here.
    """
    dataset = _load(state, context)
    policies = _policies_of(parse(state.get("rules", [])))
    judgement = examine(dataset, policies, _visit(context), _known(state))
    changes = repairs(judgement, ("suggest",), min_confidence=min_confidence)
    cells = Counter(change.rule_id for change in changes)
    by_id = {rule.rule_id: rule for rule in judgement.rules}
    proposed = [
        {
            "rule_id": rule_id,
            "type": by_id[rule_id].type,
            "columns": by_id[rule_id].columns,
            "cells": count,
            "examples": summary([change for change in changes if change.rule_id == rule_id][:3])["sample"],
        }
        for rule_id, count in sorted(cells.items(), key=lambda item: (-item[1], item[0]))
    ]
    _log(context, "proposed repairs", dataset, cells=len(changes), rules=len(proposed))
    rules = [rule.model_dump() for rule in _first(judgement.rules)]
    return {"proposals": {"total": len(changes), "by_rule": proposed[:_MOST_PROPOSED]}, "rules": rules}


@tool(effect="idempotent", writes=("artifacts",), cpu_bound=True)
def report_quality(
    state: dict[str, Any], min_confidence: float = MIN_CONFIDENCE, context: ToolContext | None = None
) -> dict[str, Any]:
    """Write what came of a dataset from a file as artifacts of the run: report, repaired tables, patches, rules, exports.

    Goes over `source`, the file as it was, with as many passes as the run has made and what `decision` approves. Writes
    `artifacts`: name -> reference. Inline data has no artifacts: all there is to know about it is in the state.
    """
    source = state.get("source")
    if not isinstance(source, dict) or context is None or context.artifacts is None:
        return {"artifacts": {}}
    fetched = references.fetch(source, context.datasets_dir, context.artifacts)
    dataset = of_file(fetched.data, fetched.name)
    policies = _policies_of(parse(state.get("rules", [])))
    is_decided = isinstance(state.get("decision"), dict)
    outcome = clean(
        dataset,
        name=fetched.name,
        passes=max(1, _count(state, "iteration") - is_decided),  # what was approved was a pass of its own
        min_confidence=min_confidence,
        policies=policies,
        visit=_visit(context),
    )
    if is_decided:
        outcome = accepted(outcome, _approved(state))
    files = files_of(outcome, fetched.data, PurePosixPath(fetched.name).suffix.lower())
    written = {
        name: context.artifacts.write(name, data, _MEDIA_TYPES[PurePosixPath(name).suffix])
        for name, data in sorted(files.items())
    }
    _log(context, "reported", dataset, artifacts=len(written))
    return {"artifacts": written}


def _load(state: dict[str, Any], context: ToolContext | None) -> Dataset:
    if "dataset" not in state:
        raise invalid("the state has no 'dataset'")
    return load(state["dataset"], context.datasets_dir if context else None, context.artifacts if context else None)


def _known(state: dict[str, Any]) -> list[Rule]:
    """The rules of the passes before this one: what determines what was found with all errors in place."""
    return parse(state.get("rules", [])) if _count(state, "iteration") else []


def _first(rules: Sequence[Rule]) -> list[Rule]:
    """As many rules as a state may hold, those that repair something first."""
    return sorted(rules, key=lambda rule: rule.repair is None)[:_MOST_RULES]


def _judged(dataset: Dataset, rules: Sequence[Rule], visit: Visit) -> Judgement:
    return judge(Table(dataset.columns), rules, visit)


def _wanted(judgement: Judgement, state: dict[str, Any], mode: Mode, min_confidence: float) -> list[Change]:
    if mode != "approved":
        return repairs(judgement, ("auto",), min_confidence=min_confidence)
    return repairs(judgement, ("suggest",), min_confidence=min_confidence, rule_ids=_approved(state))


def _approved(state: dict[str, Any]) -> list[str] | None:
    """The ids of the rules whose suggestions are approved; None for all of them."""
    decision = state.get("decision")
    approve = decision.get("approve") if isinstance(decision, dict) else None
    if approve == "all":
        return None
    if approve == "none":
        return []
    if isinstance(approve, list) and all(isinstance(one, str) for one in approve):
        return approve
    message = "'decision' must be {'approve': 'all'}, {'approve': 'none'} or {'approve': [rule ids]}"
    raise ToolError(message, code="DECISION_INVALID", retryable=False)


def _stored(context: ToolContext | None, dataset: Dataset, repaired: Dataset) -> Any:
    """The repaired data in the shape it came in: inline, or as a reference to an artifact of the run."""
    if dataset.pinned is None:
        return repaired.content
    if context is None or context.artifacts is None:
        message = "there is no folder for artifacts to write the repaired table to; ask the operator to set one"
        raise ToolError(message, code="DATASET_NOT_WRITTEN", retryable=False)
    suffix = PurePosixPath(str(dataset.pinned.get("path") or dataset.pinned["artifact"])).suffix.lower()
    data = files.content_bytes(repaired.content, suffix)  # type: ignore[arg-type]  # a file holds a frame or row objects
    return context.artifacts.write(f"repaired{suffix}", data, _MEDIA_TYPES[suffix])


def _policies_of(rules: Sequence[Rule]) -> Policies:
    """What the rules were told to do, so that the repaired table is judged in the same way."""
    drops = any(rule.params.get("drop") for rule in rules if rule.type != "duplicate_rows")
    fills = any("fill" in rule.params for rule in rules)
    clips = any(rule.params.get("clip") for rule in rules)
    repeated = any(rule.params.get("drop") for rule in rules if rule.type == "duplicate_rows")
    return Policies(
        missing="drop" if drops else "median" if fills else "auto",
        outliers="clip" if clips else "auto",
        duplicates="drop" if repeated else "keep",
    )


def _visit(context: ToolContext | None) -> Visit:
    if context is None:
        return nobody

    def visit(what: str, done: int, total: int) -> None:
        context.progress(done, total, "columns", what)

    return visit


def _warn(context: ToolContext | None, before: int, after: int) -> None:
    if context:
        message = "rolled the pass back: repairing left no fewer anomalies"
        context.log.warning(message, before=before, after=after)


def _count(state: dict[str, Any], key: str) -> int:
    value = state.get(key, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _log(context: ToolContext | None, message: str, dataset: Dataset, **counts: Any) -> None:
    if context:
        context.log.info(message, rows=dataset.rows, columns=len(dataset.columns), **counts)
