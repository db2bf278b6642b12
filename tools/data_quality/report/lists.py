"""The page's lists of cells: what waits, what was repaired, and what was found, in groups and with a bound on each.

Invariant: a group says how many there are, also where it shows only some; all groups together show at most as many cells
as the page has room for, and what they leave out is said.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from markupsafe import Markup

from tools.data_quality.columns.column import Column
from tools.data_quality.columns.visible import visible
from tools.data_quality.detectors.flags import Tier
from tools.data_quality.outcome import Anomaly, Change, Outcome
from tools.data_quality.report import charts, room
from tools.data_quality.report.summary import Place, change_of
from tools.data_quality.report.text import change, counted, evidence, value
from tools.data_quality.report.words import KIND_WORDS, TIER_WORDS
from tools.data_quality.rules.model import Rule
from tools.data_quality.rules.words import rule_in_words

WAITING_SHOWN: Final = 50
REPAIRS_SHOWN: Final = 5
EXAMPLES_SHOWN: Final = 5
_GROUPS_SHOWN: Final = 100
_REASON_CHARACTERS: Final = 300
_NAME_CHARACTERS: Final = 40
_WHOLE_ROW: Final = Markup('<span class="nil">whole row</span>')
_REMOVED: Final = Markup('<span class="nil">removed</span>')

_Item = TypeVar("_Item", Anomaly, Change)


@dataclass(frozen=True, slots=True)
class Line:
    """One cell as a line of a table; what is not shown is left empty."""

    row: str
    row_name: Markup | None
    column: Markup
    old: Markup
    new: Markup | None
    confidence: int
    confidence_bar: Markup
    reason: str
    evidence: Sequence[tuple[str, str]] = ()
    tone: str = ""
    fate: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Cells that have a rule or a kind in common; `reason` is what all shown lines would repeat."""

    title: str
    note: str
    reason: str
    count: int
    lines: Sequence[Line]

    @property
    def left_out(self) -> int:
        return self.count - len(self.lines)

    @property
    def basis(self) -> str:
        """What the last column of the group's table is called."""
        return "Based on" if self.reason else "Reason"


@dataclass(frozen=True, slots=True)
class Groups:
    """All groups of one section; `left_out` counts groups that are not on the page, with `left_out_items` in them."""

    groups: Sequence[Group]
    count: int
    left_out: int = 0
    left_out_items: int = 0


class Lists:
    """Makes the lists of one outcome; looks up what belongs to a cell only for cells that are shown."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._anomalies = {(anomaly.row, anomaly.column): anomaly for anomaly in outcome.anomalies}
        self._fate: dict[Place, Change] = {(change.row, change.column): change for change in outcome.patch}
        self._rules = {rule.rule_id: rule for rule in outcome.rules}
        self._key = _key_column(outcome)

    def changes(self, tier: Tier, most: int, space: int) -> Groups:
        """The changes of a tier, by the rule that asks for them: `most` of each, in `space` bytes."""
        changes = [change for change in self._outcome.patch if change.tier == tier]
        return self._grouped(
            changes,
            lambda change: change.rule_id,
            lambda change: (change.column, change.old),
            self._title_of_rule,
            self._change_line,
            most,
            space,
        )

    def kinds(self) -> Groups:
        """The anomalies, by their kind, the most frequent kind first."""
        return self._grouped(
            self._outcome.anomalies,
            lambda anomaly: anomaly.kind,
            lambda anomaly: (anomaly.column, anomaly.value),
            lambda kind: (KIND_WORDS[kind].title, KIND_WORDS[kind].meaning),
            self._anomaly_line,
            EXAMPLES_SHOWN,
            room.ANOMALIES,
        )

    def _grouped(
        self,
        items: Iterable[_Item],
        key: Callable[[_Item], Any],
        likeness: Callable[[_Item], Hashable],
        title: Callable[[Any], tuple[str, str]],
        line: Callable[[_Item], Line],
        most: int,
        space: int,
    ) -> Groups:
        members: dict[Hashable, list[_Item]] = {}
        for item in items:
            members.setdefault(key(item), []).append(item)
        ordered = sorted(members.items(), key=lambda entry: (-len(entry[1]), str(entry[0])))
        groups: list[Group] = []
        for place, (name, group) in enumerate(ordered[:_GROUPS_SHOWN]):
            if space <= 0:
                break
            share = space // (min(len(ordered), _GROUPS_SHOWN) - place)
            lines = list(room.fitting(map(line, _various(group, likeness, most)), share))
            reasons = {line.reason for line in lines}
            reason = lines[0].reason if len(reasons) == 1 < len(lines) and lines[0].evidence else ""
            groups.append(Group(*title(name), reason, len(group), lines))
            space -= room.taken(groups[-1]) + sum(map(room.taken, lines))
        rest = [len(group) for _, group in ordered[len(groups) :]]
        return Groups(groups, sum(map(len, members.values())), len(rest), sum(rest))

    def _title_of_rule(self, rule_id: str) -> tuple[str, str]:
        rule: Rule | None = self._rules.get(rule_id)
        if rule is None:
            return f"rule {visible(rule_id, 40)}", ""
        return rule_in_words(rule), visible(rule.repair, 80) if rule.repair else ""

    def _change_line(self, change_: Change) -> Line:
        anomaly = self._anomalies.get((change_.row, change_.column))
        old, new = change(change_.old, change_.new)
        if change_.column is None:
            old, new = _WHOLE_ROW, _REMOVED
        return Line(
            f"{change_.row:,}",
            self._row_name(change_.row, change_.column),
            _column(change_.column),
            old,
            new,
            *_confidence(change_.confidence),
            visible(anomaly.reason, _REASON_CHARACTERS) if anomaly else "",
            evidence(anomaly.evidence) if anomaly else (),
            change_.tier,
        )

    def _anomaly_line(self, anomaly: Anomaly) -> Line:
        made = change_of(self._fate, anomaly)
        tier: Tier = made.tier if made else "report"
        old, new = value(anomaly.value), None
        if made and made.column is not None:
            old, new = change(anomaly.value, made.new)
        elif made:
            new = _REMOVED
        elif anomaly.suggestion is not None and not anomaly.suggestion.drops_row:
            old, new = change(anomaly.value, anomaly.suggestion.value)
        if anomaly.column is None:
            old = _WHOLE_ROW
        return Line(
            f"{anomaly.row:,}",
            self._row_name(anomaly.row, anomaly.column),
            _column(anomaly.column),
            old,
            new,
            *_confidence(anomaly.confidence),
            visible(anomaly.reason, _REASON_CHARACTERS),
            evidence(anomaly.evidence),
            tier,
            TIER_WORDS[tier].title,
        )

    def _row_name(self, row: int, column: str | None) -> Markup | None:
        """What the table itself calls the row: its value in the column that identifies rows."""
        if self._key is None or self._key.name == column or not 0 <= row < len(self._key.codes):
            return None
        return value(self._key.values[int(self._key.codes[row])], _NAME_CHARACTERS)


def _various(items: Sequence[_Item], likeness: Callable[[_Item], Hashable], most: int) -> Sequence[_Item]:
    """The first items, or, where not all can be shown, the first of each value: the same one five times tells little."""
    if len(items) <= most:
        return items
    first: dict[Hashable, int] = {}
    for place, item in enumerate(items):
        first.setdefault(likeness(item), place)
        if len(first) == most:
            break
    chosen = [*dict.fromkeys([*first.values(), *range(most)])][:most]
    return [items[place] for place in sorted(chosen)]


def _confidence(confidence: float) -> tuple[int, Markup]:
    """In whole percent, rounded down: nothing is sure that is not."""
    return int(100 * confidence + 1e-9), charts.bar(confidence, 1, "accent")


def _column(name: str | None) -> Markup:
    return value(name, 80) if name is not None else Markup('<span class="nil">all</span>')


def _key_column(outcome: Outcome) -> Column | None:
    keys: Sequence[Any] = outcome.profile.get("candidate_keys") or ()
    columns: Mapping[str, Column] = {column.name: column for column in outcome.before.columns}
    for key in keys:
        if len(key) == 1 and key[0] in columns:
            return columns[key[0]]
    return None


def left_out_in_words(groups: Groups, what: str) -> str:
    """What is not on the page; empty where everything is."""
    if not groups.left_out:
        return ""
    return f"{counted(groups.left_out, 'more group')} with {counted(groups.left_out_items, what)} not shown here."
