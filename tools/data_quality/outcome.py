"""What running the pipeline over a table led to: everything the files, the report and the state are made from.

Invariant: rows are counted from 0 in the table as it came; what `patch` lists is exactly what differs between `before`
and `proposed`, and its entries of tier `auto` exactly what differs between `before` and `repaired`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tools.data_quality.columns.cells import Cell
from tools.data_quality.datasets.dataset import Dataset
from tools.data_quality.detectors.flags import Kind, Suggestion, Tier
from tools.data_quality.rules.model import Rule

Stop = Literal["target", "unchanged", "not_fewer", "cap"]
"""Why the loop ended: few enough anomalies; no cell changed; a pass that did not help, undone; the cap on passes."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One cell that is wrong; or, with `column` None, one row."""

    row: int
    column: str | None
    value: Cell
    kind: Kind
    confidence: float
    reason: str
    evidence: Mapping[str, Any]
    suggestion: Suggestion | None
    tier: Tier
    rule_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """A cell that got another value; or, with `column` None, a row that was removed.

    Attributes:
        tier: `auto` was done at once; `suggest` waits for a person, and is in `Outcome.proposed` only.
        number: The pass it was found in, from 1.
    """

    row: int
    column: str | None
    old: Cell
    new: Cell
    rule_id: str
    confidence: float
    tier: Tier
    number: int


@dataclass(frozen=True, slots=True)
class Pass:
    """One round of the loop: what was found before it, what it changed, and whether it was undone."""

    number: int
    tier: Tier
    anomalies: int
    by_kind: Mapping[str, int]
    changes: int
    rolled_back: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that came of one table.

    Attributes:
        repaired: With the repairs of tier `auto`.
        proposed: With the repairs of tiers `auto` and `suggest`.
        rules: Every rule that some pass found, measured on the table of the first pass that had it; repairs name them.
        contract: What the table keeps to from now on: one rule of each type for the same columns, measured on `proposed`.
        profile, profile_after: See `profile.profile`; the latter is of `proposed`.
        anomalies: Every cell that any pass found, at its highest confidence, in order of row and column.
    """

    name: str
    before: Dataset
    repaired: Dataset
    proposed: Dataset
    profile: Mapping[str, Any]
    profile_after: Mapping[str, Any]
    anomalies: list[Anomaly]
    rules: list[Rule]
    contract: list[Rule]
    patch: list[Change]
    passes: list[Pass]
    stopped: Stop
