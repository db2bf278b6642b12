"""Rules: what a table was found to keep to, as versioned JSON that says what breaks it and how that is repaired.

A rule is complete in itself: whether a value breaks it is decided by its `type` and `params` alone, so applying a rule
needs no detector, and a stored rule means the same tomorrow. Invariant: a rule is only proposed with the share of the data
(`mostly`) that it does hold on, and rules for the values of one column are always tried in the order of `ORDER`.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from tools.contract import ToolError
from tools.data_quality.anomalies import MANY, Detection, Judged
from tools.data_quality.cells import Cell, is_empty, is_placeholder, read_number, tidy_number, word
from tools.data_quality.columns import DOMINATING, Format, Study

RuleType = Literal[
    "placeholder",
    "trimmed",
    "plain_number",
    "type",
    "not_null",
    "range",
    "format",
    "allowed_values",
    "unique",
    "unique_rows",
]
MissingPolicy = Literal["auto", "keep", "median", "drop"]
OutlierPolicy = Literal["auto", "keep", "clip"]

ORDER: Final[tuple[RuleType, ...]] = get_args(RuleType)
"""A value is first emptied or tidied, so that later rules judge what it says and not how it was written."""

_MOST_RULES: Final = 500
_MOST_ALLOWED: Final = 20


class Repair(BaseModel):
    """What is done to a value that breaks the rule; `value` is what `fill` writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: Literal["set_null", "trim", "plain_number", "fill", "clip", "drop_row"]
    value: int | float | None = None


class Rule(BaseModel):
    """One rule of version 1.

    Attributes:
        rule_id: Hash of type, columns, params and repair: equal rules have equal ids, in every run.
        mostly: Share of `support` that the rule holds on at least, rounded down.
        support: How many cells (rows, for `unique_rows`) the rule speaks about; `violations` of them break it.
        confidence: Share that a further value may be expected to keep to (rule of succession).
        repair: None where breaking the rule is reported only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1] = 1
    rule_id: str
    type: RuleType
    columns: list[str]
    params: dict[str, Any]
    mostly: float
    support: int
    violations: int
    confidence: float
    repair: Repair | None


def propose(detection: Detection, missing: MissingPolicy, outliers: OutlierPolicy) -> list[Rule]:
    """Return the rules that the data keeps to, at most 500, those that repair something first."""
    is_bare = detection.dataset.is_bare_list
    if missing == "auto":
        missing = "median" if is_bare else "keep"
    if outliers == "auto":
        outliers = "clip" if is_bare else "keep"
    rules = [rule for judged in detection.columns for rule in _column_rules(judged, missing, outliers)]
    rows = detection.dataset.rows
    if len(detection.columns) > 1 and rows > 1 and detection.repeated_rows == len(detection.duplicates):
        columns = [judged.study.column.name for judged in detection.columns]
        rules.append(_rule("unique_rows", columns, {}, rows, len(detection.duplicates), Repair(action="drop_row")))
    return sorted(rules, key=lambda rule: rule.repair is None)[:_MOST_RULES]


def parse(rules: object) -> list[Rule]:
    """Read rules from a state.

    Raises:
        ToolError: `RULES_INVALID`: they are no rules of version 1.
    """
    try:
        parsed = [Rule.model_validate(rule) for rule in rules] if isinstance(rules, list) else None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ToolError(
            f"a rule is invalid at {where}: {first['msg']}", code="RULES_INVALID", retryable=False
        ) from error
    if parsed is None:
        raise ToolError(
            "'rules' must be a list; run generate_rules before apply_rules", code="RULES_INVALID", retryable=False
        )
    return parsed


def breaker(rule: Rule) -> Callable[[Cell], bool]:
    """Return the test that is true for a value which breaks the rule; rules about rows break on no value.

    Raises:
        ToolError: `RULES_INVALID`: a parameter is missing or of the wrong kind.
    """
    try:
        return _BREAKERS[rule.type](rule.params) if rule.type in _BREAKERS else lambda cell: False
    except (KeyError, TypeError, ValueError) as error:
        message = f"rule {rule.rule_id!r} of type {rule.type!r} has invalid params"
        raise ToolError(message, code="RULES_INVALID", retryable=False) from error


def _breaks_placeholder(params: dict[str, Any]) -> Callable[[Cell], bool]:
    words = frozenset(params["words"])
    return lambda cell: not is_empty(cell) and word(cell) in words


def _breaks_plain_number(params: dict[str, Any]) -> Callable[[Cell], bool]:
    as_text, safe = bool(params["as_text"]), bool(params["grouping_is_safe"])
    return lambda cell: tidy_number(cell, as_text=as_text, grouping_is_safe=safe) is not cell


def _breaks_range(params: dict[str, Any]) -> Callable[[Cell], bool]:
    low, high = float(params["min"]), float(params["max"])
    return lambda cell: (number := read_number(cell)) is not None and not low <= number <= high


def _breaks_format(params: dict[str, Any]) -> Callable[[Cell], bool]:
    expected = Format(str(params["shape"]), bool(params["has_fixed_widths"]), 0.0)
    return lambda cell: isinstance(cell, str) and bool(cell.strip()) and not expected.fits(cell.strip())


def _breaks_allowed_values(params: dict[str, Any]) -> Callable[[Cell], bool]:
    allowed = frozenset(map(str, params["values"]))
    return lambda cell: not is_empty(cell) and str(cell) not in allowed


_BREAKERS: Final[dict[str, Callable[[dict[str, Any]], Callable[[Cell], bool]]]] = {
    "placeholder": _breaks_placeholder,
    "trimmed": lambda params: lambda cell: isinstance(cell, str) and cell != cell.strip(),
    "plain_number": _breaks_plain_number,
    "type": lambda params: lambda cell: not is_empty(cell) and not is_placeholder(cell) and read_number(cell) is None,
    "not_null": lambda params: is_empty,
    "range": _breaks_range,
    "format": _breaks_format,
    "allowed_values": _breaks_allowed_values,
}


def _column_rules(judged: Judged, missing: MissingPolicy, outliers: OutlierPolicy) -> Iterator[Rule]:
    studied = judged.study
    column = studied.column

    def rule(type_: RuleType, params: dict[str, Any], codes: list[int], repair: Repair | None = None) -> Iterator[Rule]:
        made = _rule(type_, [column.name], params, column.rows_with(codes), 0, repair)
        breaks = breaker(made)
        violations = column.rows_with(code for code in codes if breaks(column.values[code]))
        if made.support:
            yield _rule(type_, [column.name], params, made.support, violations, repair)

    params: dict[str, Any]
    everything = list(range(len(column.values)))
    if placeholders := judged.flagged("placeholder"):
        words = sorted({word(column.values[code]) for code in placeholders})
        yield from rule("placeholder", {"words": words}, everything, Repair(action="set_null"))
    if judged.flagged("trimmed"):
        yield from rule("trimmed", {}, studied.filled, Repair(action="trim"))
    if judged.flagged("plain_number"):
        params = {"as_text": column.stores_text, "grouping_is_safe": studied.grouping_is_safe}
        yield from rule("plain_number", params, studied.filled, Repair(action="plain_number"))
    gap = _gap_repair(studied, missing)
    if studied.is_numeric:
        # A text in a bare list of numbers is a number that is missing; in a table it may be a fact, and is kept.
        yield from rule("type", {"type": studied.semantic}, studied.filled, gap if column.is_bare else None)
    if column.is_bare or gap or studied.missing_rows <= (1 - DOMINATING) * len(column.codes):
        yield from rule("not_null", {}, everything, gap)
    if limits := _limits(studied):
        clip = Repair(action="clip") if outliers == "clip" else None
        yield from rule("range", {"min": limits[0], "max": limits[1]}, list(studied.numbers), clip)
    if studied.format:
        params = {"shape": studied.format.shape, "has_fixed_widths": studied.format.has_fixed_widths}
        yield from rule("format", params, studied.filled)
    if studied.semantic in ("category", "boolean") and len(studied.filled) <= _MOST_ALLOWED:
        values = sorted({str(column.values[code]).strip() for code in studied.filled})
        if not judged.flagged("trimmed"):
            yield from rule("allowed_values", {"values": values}, studied.filled)
    if studied.filled_rows == len(studied.filled) > 1 and not column.is_bare:
        yield from rule("unique", {}, studied.filled)


def _gap_repair(studied: Study, missing: MissingPolicy) -> Repair | None:
    rows = len(studied.column.codes)
    if not studied.column.is_bare and studied.missing_rows > MANY * rows:
        return None
    if missing == "drop":
        return Repair(action="drop_row")
    if missing == "median" and studied.spread:
        median = float(f"{studied.spread.median:.12g}")  # the mean of 0.1 and 0.3 is 0.2
        return Repair(action="fill", value=math.floor(median) if studied.semantic == "integer" else median)
    return None


def _limits(studied: Study) -> tuple[float, float] | None:
    """The fences; for whole numbers rounded inwards, which no whole number can notice and keeps clipped ones whole."""
    if studied.spread is None or studied.spread.fences is None:
        return None
    low, high = studied.spread.fences
    return (math.ceil(low), math.floor(high)) if studied.semantic == "integer" else (low, high)


def _rule(
    type_: RuleType, columns: list[str], params: dict[str, Any], support: int, violations: int, repair: Repair | None
) -> Rule:
    identity = [type_, columns, params, repair.model_dump() if repair else None]
    held = support - violations
    return Rule(
        rule_id=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12],
        type=type_,
        columns=columns,
        params=params,
        mostly=math.floor(1000 * held / support) / 1000 if support else 0.0,
        support=support,
        violations=violations,
        confidence=round((held + 1) / (support + 2), 4),
        repair=repair,
    )
