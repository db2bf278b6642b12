"""What an anomaly is: a value that is wrong, in some or all of the rows that hold it.

Invariant: a flag names the rule it breaks, and its suggestion is what that rule's repair would write.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from tools.data_quality.columns.cells import Cell

Tier = Literal["auto", "suggest", "report"]
"""What may be done about an anomaly: repaired at once, repaired when a person agrees, or only shown."""

Kind = Literal[
    "missing",
    "placeholder",
    "type",
    "format",
    "unit",
    "encoding",
    "typo",
    "rare_category",
    "outlier",
    "dependency",
    "merged",
    "swapped",
    "date",
    "geography",
    "sign",
    "order",
    "duplicate_row",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a repair would write; None empties the cell. With `drops_row`, it removes the whole row instead."""

    value: Cell
    drops_row: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """One distinct value of a column that is wrong.

    Attributes:
        column: Index of the column in its table; None for a whole row (`duplicate_row`), and `code` is then -1.
        code: The value, as an index into the column's distinct values.
        rows: The rows in which it is wrong; None for all that hold the value.
        confidence: How sure this is, from 0 to 1.
        reason: One sentence for a person, without the value itself.
        evidence: What the judgement rests on, as small JSON.
        rule_id: The rule it breaks.
    """

    column: int | None
    code: int
    rows: tuple[int, ...] | None
    kind: Kind
    confidence: float
    reason: str
    rule_id: str
    tier: Tier = "report"
    suggestion: Suggestion | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
