"""The four steps in a loop: find what is wrong, derive rules, repair, and look again.

Repairs that lose nothing come first, pass after pass, until nothing changes; then those that wait for a person are tried
on a copy, since they show what more would be found. A pass that leaves as many anomalies as before is undone. Invariant:
the table as it came is never changed, no cell changes twice, and equal tables give equal outcomes.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from tools.data_quality.columns.table import Table
from tools.data_quality.datasets.dataset import Dataset
from tools.data_quality.detectors.flags import Tier
from tools.data_quality.judging import Judgement, Visit, discover, judge, nobody
from tools.data_quality.outcome import Anomaly, Change, Outcome, Pass, Stop
from tools.data_quality.profile.profile import profile
from tools.data_quality.recent import Recent
from tools.data_quality.repair.patch import applied, repairs
from tools.data_quality.rules.model import Rule
from tools.data_quality.rules.policies import Policies, decided

RECENT: Final = Recent(most_cells=500_000)
PASSES: Final = 3
MIN_CONFIDENCE: Final = 0.5


def find_rules(dataset: Dataset, policies: Policies | None = None, visit: Visit = nobody) -> tuple[Table, list[Rule]]:
    """The columns of a dataset, and the rules it keeps to, with the repairs that the policies ask for."""
    table = Table(dataset.columns)
    return table, decided(discover(table, visit), table, policies or Policies())


def examine(
    dataset: Dataset, policies: Policies | None = None, visit: Visit = nobody, known: Iterable[Rule] = ()
) -> Judgement:
    """Find the rules of a dataset and what breaks them.

    Args:
        dataset: The table.
        policies: What to do about gaps, outliers and repeated rows.
        visit: Called while there is work.
        known: Rules of an earlier pass. What determines what was found with all errors in place, and stays true when
            those are left that are hardest to tell from exceptions.
    """
    lasting = [rule for rule in known if rule.type == "dependency"]
    asked = repr((policies or Policies(), [rule.model_dump_json() for rule in lasting]))
    judgement = RECENT.of(dataset.columns, asked, lambda: _examined(dataset, policies, visit, lasting))
    width = len(dataset.columns)
    visit("anomalies", width, width)
    return judgement


def _examined(dataset: Dataset, policies: Policies | None, visit: Visit, lasting: Iterable[Rule]) -> Judgement:
    table, rules = find_rules(dataset, policies, visit)
    found = {rule.rule_id for rule in rules}
    return judge(table, rules + [rule for rule in lasting if rule.rule_id not in found], visit)


def clean(
    dataset: Dataset,
    *,
    name: str = "table",
    passes: int = PASSES,
    min_confidence: float = MIN_CONFIDENCE,
    target: int = 0,
    policies: Policies | None = None,
    visit: Visit = nobody,
) -> Outcome:
    """Run the four steps over a table until nothing more can be repaired.

    Args:
        dataset: The table; it is not changed.
        name: What the report calls it.
        passes: At most so many passes of repairs that need nobody, and as many of those that wait for a person.
        min_confidence: Anomalies below are neither shown nor repaired.
        target: The loop ends once there are no more anomalies than this.
        policies: What to do about gaps, outliers and repeated rows.
        visit: Called while there is work; may raise to end it.
    """
    loop = _Loop(dataset, examine(dataset, policies, visit), min_confidence, policies or Policies(), visit)
    described = profile(loop.judgement, dataset.notes)
    loop.note()
    stopped = loop.run(("auto",), passes, target)
    repaired = loop.dataset
    loop.waits = True
    ended = loop.run(("auto", "suggest"), passes, target) if repaired.rows == dataset.rows else stopped
    place = {column.name: index for index, column in enumerate(dataset.columns)}

    def position(found: Anomaly | Change) -> tuple[int, int]:
        return found.row, -1 if found.column is None else place[found.column]

    return Outcome(
        name=name,
        before=dataset,
        repaired=repaired,
        proposed=loop.dataset,
        profile=described,
        profile_after=profile(loop.judgement, dataset.notes),
        anomalies=sorted(loop.seen.values(), key=position),
        rules=list(loop.rules.values()),
        contract=_contract(loop),
        patch=sorted(loop.patch, key=position),
        passes=loop.passes,
        stopped=ended if stopped in ("unchanged", "not_fewer") else stopped,
    )


def _contract(loop: "_Loop") -> list[Rule]:
    newest = {(rule.type, *rule.columns): rule for rule in loop.rules.values()}
    newest |= {(rule.type, *rule.columns): rule for rule in loop.judgement.rules}
    return judge(loop.judgement.table, list(newest.values()), loop.visit).rules


def accepted(outcome: Outcome, rule_ids: Collection[str] | None) -> Outcome:
    """The outcome with the suggestions made that a person was shown and has approved.

    Args:
        outcome: What came of the table.
        rule_ids: The rules whose suggestions are approved; None for all of them.
    """
    shown = min((change.number for change in outcome.patch if change.tier == "suggest"), default=None)
    patch = [
        replace(change, tier="auto")
        if change.number == shown and (rule_ids is None or change.rule_id in rule_ids)
        else change
        for change in outcome.patch
    ]
    repaired = applied(outcome.before, [change for change in patch if change.tier == "auto"])
    return replace(outcome, patch=patch, repaired=repaired)


@dataclass
class _Loop:
    """The state of the loop between two passes.

    Attributes:
        waits: Whatever is repaired from now on waits for a person, since it rests on repairs that do.
        removed: Rows are counted as the table came as long as none is removed; after that, only the patch goes on.
    """

    dataset: Dataset
    judgement: Judgement
    min_confidence: float
    policies: Policies
    visit: Visit
    waits: bool = False
    removed: bool = False
    patch: list[Change] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)
    seen: dict[tuple[int, str | None], Anomaly] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)

    def note(self) -> None:
        """Remember what the present judgement says about each cell."""
        if not self.removed:
            flags = [flag for flag in self.judgement.flags if flag.confidence >= self.min_confidence]
            for anomaly in self.judgement.anomalies(flags):
                self.seen.setdefault((anomaly.row, anomaly.column), anomaly)
        for rule in self.judgement.rules:
            self.rules.setdefault(rule.rule_id, rule)

    def run(self, tiers: tuple[Tier, ...], most: int, target: int) -> Stop:
        """Repair until nothing more can be done."""
        for _ in range(most):
            if self.judgement.total <= target:
                return "target"
            if self.removed:
                return "unchanged"
            number = len(self.passes) + 1
            changed = {(change.row, change.column) for change in self.patch}
            found = repairs(self.judgement, tiers, min_confidence=self.min_confidence, number=number, changed=changed)
            if self.waits:
                found = [replace(change, tier="suggest") for change in found]
            if not found:
                return "unchanged"
            if not self._take(found, number):
                return "not_fewer"
        return "target" if self.judgement.total <= target else "cap"

    def _take(self, found: list[Change], number: int) -> bool:
        before = self.judgement
        repaired = applied(self.dataset, found)
        after = examine(repaired, self.policies, self.visit, self.rules.values())
        is_better = after.total < before.total
        tier: Tier = "suggest" if self.waits else "auto"
        self.passes.append(Pass(number, tier, before.total, before.by_kind, len(found), not is_better))
        if is_better:
            self.dataset, self.judgement = repaired, after
            self.patch += found
            self.removed |= any(change.column is None for change in found)
            self.note()
        return is_better
