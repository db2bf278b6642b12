"""Rules: what a table was found to keep to, as versioned JSON that says what breaks it and how that is repaired.

A rule is complete in itself: what breaks it is decided by its `type` and `params` and the table at hand, so a stored rule
can be checked against tomorrow's table. Invariant: equal rules have equal ids, in every run and on every machine.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from tools.contract import ToolError
from tools.data_quality.detectors.flags import Tier

RuleType = Literal[
    "placeholder",  # {"words": [...]}: words that stand for "no value" here    -> empties the cell, or as not_null
    "trimmed",  # {}: no white space at either end                                                -> trims
    "encoding",  # {"map": [[bad, good], ...]}: texts decoded with the wrong character set       -> replaces
    "plain_number",  # {"as_text": bool, "grouping_is_safe": bool}: numbers without separators   -> rewrites
    "unit",  # {"unit": "oz" | None, "spellings": {"oz.": 1.0, ...}}: factor to the plain number  -> converts
    "variant_map",  # {"map": [[variant, usual, confidence], ...]}: same value, written otherwise -> replaces
    "typo_map",  # {"map": [[typo, meant, confidence], ...]}                                       -> replaces
    "type",  # {"type": "integer" | "decimal" | "date" | "time" | "boolean", "format": str | None}
    "not_null",  # {"fill": number}: writes it into gaps; {"drop": true}: removes the row; {}: only reported
    "range",  # {"min": number, "max": number, "clip": true}: moves a number to the nearest bound; else only reported
    "date_range",  # {"min": "YYYY-MM-DD", "max": "YYYY-MM-DD", "format": str}
    "regex",  # {"pattern": str, "shape": str}: pattern matches the whole value, RE2 syntax
    "set",  # {"values": [...]}
    "unique",  # {}
    "key",  # {}: the columns together are unique
    # columns [dependent, determinant, ...]; each of "determinants" (lists of columns) decides the first column by itself:
    # {"determinants": [["a"], ["b", "c"]], "agreement": [0.97, ...], "lift": [...], "offset": [0, ...], "foreign_only":
    # [false, ...], "source": "column" | None}. An offset of -1 (1) reads the determinant in the row before (after);
    # "source" names the source of each row where several sources tell the same facts: their majority is only likely.
    "dependency",
    "merged",  # columns [column, other]; {}: the end of a value belongs into the empty `other`
    "swapped",  # columns [a, b]; {}: no row has the value of each in the other
    "compare",  # columns [a, b]; {"operator": "<=", "type": "number" | "date" | "time", ...}: a <= b
    "location",  # columns [latitude, longitude, by...]; see detectors/geography.py
    "sign",  # {"sign": 1 | -1}
    "duplicate_rows",  # columns: all; {}: no row repeats another; {"drop": true}: the later one is removed
]
RULE_TYPES: Final[tuple[RuleType, ...]] = get_args(RuleType)
"""A value is first emptied or tidied, so that later rules judge what it says and not how it was written."""

VERSION: Final = 2
_MEASURED: Final = frozenset({"agreement", "lift"})  # how well a rule holds is no part of which rule it is


class Rule(BaseModel):
    """One rule.

    Attributes:
        rule_id: Hash of type, columns and params: equal rules have equal ids.
        columns: Names of the columns it speaks about; for a rule of two columns the first is the one that is repaired.
        mostly: Share of `support` that the rule holds on at least, rounded down.
        support: How many cells (rows, where it speaks about rows) the rule was judged on; `violations` break it.
        confidence: Share that a further value may be expected to keep to (rule of succession).
        tier: What may be done about a violation at best: see `Tier`.
        repair: In a few words what a repair does; None where a violation is only reported.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[2] = 2
    rule_id: str
    type: RuleType
    columns: list[str]
    params: dict[str, Any]
    mostly: float = 1.0
    support: int = 0
    violations: int = 0
    confidence: float = 0.5
    tier: Tier = "report"
    repair: str | None = None

    def measured(self, support: int, violations: int) -> "Rule":
        """The same rule with the share of the data it holds on."""
        held = support - violations
        mostly = math.floor(1000 * held / support) / 1000 if support else 0.0
        confidence = round((held + 1) / (support + 2), 4)
        update = {"mostly": mostly, "support": support, "violations": violations, "confidence": confidence}
        return self.model_copy(update=update)


def make_rule(
    type_: RuleType,
    columns: Sequence[str],
    params: Mapping[str, Any] | None = None,
    *,
    tier: Tier = "report",
    repair: str | None = None,
) -> Rule:
    """A rule with its id; its share of the data is still to be measured."""
    params = dict(params or {})
    lasting = {key: value for key, value in params.items() if key not in _MEASURED}
    identity = json.dumps([type_, list(columns), lasting], sort_keys=True, ensure_ascii=False)
    rule_id = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return Rule(rule_id=rule_id, type=type_, columns=list(columns), params=params, tier=tier, repair=repair)


def parse(rules: object) -> list[Rule]:
    """Read rules from a state.

    Raises:
        ToolError: `RULES_INVALID`: they are no rules of this version.
    """
    try:
        parsed = [Rule.model_validate(rule) for rule in rules] if isinstance(rules, list) else None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = f"a rule is invalid at {where}: {first['msg']}"
        raise ToolError(message, code="RULES_INVALID", retryable=False) from error
    if parsed is None:
        message = "'rules' must be a list; run generate_rules before apply_rules"
        raise ToolError(message, code="RULES_INVALID", retryable=False)
    if nameless := [rule.rule_id for rule in parsed if not rule.columns]:
        message = f"rule {nameless[0]!r} names no column; let generate_rules make it anew"
        raise ToolError(message, code="RULES_INVALID", retryable=False)
    return parsed
