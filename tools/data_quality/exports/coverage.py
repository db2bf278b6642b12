"""What an export carries, and what it has to leave out.

Every rule is either in the exported text or in its list, so that a reader knows which promises of the table the other
tool will not keep. Invariant: a rule is carried or listed; what is carried breaks where the params of the rule say so, and
what only a study of the whole table could find (a text that went wrong in a way not yet listed) is nobody's check.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tools.data_quality.columns.study import Semantic
from tools.data_quality.rules.model import Rule, RuleType

TIDYING: Final[frozenset[RuleType]] = frozenset({"placeholder", "trimmed", "encoding", "plain_number", "unit"})
"""Rules about how a value is written. The others judge what it says, once these have been applied."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A rule that the export cannot carry."""

    rule_id: str
    type: RuleType
    columns: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Export:
    """A file for another tool.

    Attributes:
        text: The whole file, ending with a line break; may be encoded as UTF-8.
        left_out: The rules that are not in it, in the order they were given.
    """

    text: str
    left_out: tuple[LeftOut, ...]


class Unsupported(Exception):
    """A rule cannot be written in the language of the export; the message is the reason."""


def check_usable(rule: Rule, columns: Mapping[str, Semantic]) -> None:
    """Refuse what no tool could check: columns that are not there, and rules that nothing was seen to keep to.

    Raises:
        Unsupported: with the reason.
    """
    missing = [name for name in rule.columns if name not in columns]
    if missing:
        raise Unsupported(f"the table has no column {missing[0]!r}")
    if not rule.columns:
        raise Unsupported("it names no column")
    if rule.mostly <= 0:
        raise Unsupported("it holds on no cell of its own data")


def left_out(rule: Rule, reason: str) -> LeftOut:
    """The entry for a rule that is not carried."""
    return LeftOut(rule.rule_id, rule.type, tuple(rule.columns), reason)


def as_records(missing: Sequence[LeftOut]) -> list[dict[str, object]]:
    """The list as it stands inside the exported files."""
    return [
        {"ruleId": entry.rule_id, "type": entry.type, "columns": list(entry.columns), "reason": entry.reason}
        for entry in missing
    ]


def held(rule: Rule) -> float:
    """The share of judged cells or rows that an export demands to keep to a rule.

    A dependency is judged by votes, which say more than counting; what a count finds broken is bounded by how well the
    columns agree.
    """
    if rule.type != "dependency":
        return rule.mostly
    shares = rule.params.get("agreement") or rule.params.get("shares") or []
    return min([rule.mostly, *(share for share in shares if isinstance(share, int | float))])


def is_strict(rule: Rule) -> bool:
    """True when the rule was broken nowhere, so that a single violation is one too many."""
    return held(rule) >= 1


def allowed_percent(rule: Rule) -> float:
    """The share of judged cells or rows that may break a rule, in percent; rounded up where it is no round number."""
    return math.ceil(round(1e6 * (1 - held(rule)), 3)) / 1e4
