"""All detectors together: the rules a table keeps to, and the cells that break them.

Several detectors may speak about one cell: what they say is joined, so that a cell has one anomaly at most, with the
confidence of all that speaks for it and the best repair any of them knows. Invariant: what hits a large part of a column
is how the column is and becomes a finding about it, unless a repair loses nothing or other rows prove the error.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final

from polars.exceptions import PolarsError

from tools.contract import ToolError
from tools.data_quality.columns.table import Table
from tools.data_quality.dependencies.keys import Keys
from tools.data_quality.dependencies.voting import agreeing
from tools.data_quality.detectors import (
    categories,
    dates,
    dependency,
    duplicates,
    encoding,
    formats,
    geography,
    merged,
    missing,
    order,
    outliers,
    placeholders,
    swapped,
    types,
    typos,
    uniqueness,
    units,
)
from tools.data_quality.detectors.flags import KINDS, Flag, Kind, Tier
from tools.data_quality.outcome import Anomaly
from tools.data_quality.rules.model import Rule, RuleType

Visit = Callable[[str, int, int], None]
"""Called with (what, columns done, of total) while there is work; may raise to end it."""


def nobody(what: str, done: int, total: int) -> None:
    """The visitor where nobody watches."""


DETECTORS: Final[tuple[ModuleType, ...]] = (
    *(placeholders, encoding, formats, units, typos, types, missing, outliers),
    *(categories, merged, swapped, dates, order, geography, duplicates, uniqueness, dependency),
)
_OF_TYPE: Final[dict[RuleType, ModuleType]] = {type_: module for module in DETECTORS for type_ in module.TYPES}
_TIERS: Final[tuple[Tier, ...]] = ("report", "suggest", "auto")
MANY: Final = 0.2  # share of a column from which a kind is how the column is, not an error in it
_SOFT: Final[frozenset[Kind]] = frozenset({"typo", "outlier", "rare_category", "format", "type", "date", "order"})
_COUNTED: Final = 0.5  # confidence from which an anomaly counts
_AUTO_TOGETHER: Final = 0.8  # confidence a dependency needs where another detector speaks against the cell too
_ABOUT_ROWS: Final[frozenset[RuleType]] = frozenset(
    {"duplicate_rows", "key", "not_null", "location", "compare", "swapped"}
)
_PROVEN: Final = 0.85
_LOST: Final = 10  # gaps that other rows fill, from which a table is known to have lost values
_LOST_CONFIDENCE: Final = 0.6


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found in a table.

    Attributes:
        flags: In order of column and first row; each cell is in one of them at most.
        findings: (place of the column, finding), about whole columns.
        rules: The rules it was judged by, with the share of the table each holds on.
    """

    table: Table
    flags: list[Flag]
    findings: list[tuple[int, dict[str, Any]]]
    rules: list[Rule]

    def rows_of(self, flag: Flag) -> Sequence[int]:
        """The rows a flag speaks about, in order."""
        if flag.rows is not None or flag.column is None:
            return flag.rows or ()
        return self.table.columns[flag.column].rows_of([flag.code])

    def count(self, flag: Flag) -> int:
        """How many cells (rows) a flag speaks about."""
        return len(flag.rows) if flag.rows is not None else self.table.columns[flag.column or 0].counts[flag.code]

    @property
    def by_kind(self) -> dict[str, int]:
        """Anomalies of each kind, in the order of the kinds; kinds without any are left out."""
        counted: defaultdict[str, int] = defaultdict(int)
        for flag in self.flags:
            if flag.confidence >= _COUNTED:
                counted[flag.kind] += self.count(flag)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}

    @property
    def total(self) -> int:
        """Anomalies with a confidence of at least one half."""
        return sum(self.by_kind.values())

    @property
    def quality_score(self) -> float:
        """100 times the share of cells without an anomaly, a repeated row counting with all its cells; 100 if empty."""
        width = len(self.table.columns)
        rows = sum(self.count(flag) for flag in self.flags if flag.column is None and flag.confidence >= _COUNTED)
        cells = self.table.rows * width
        at_fault = self.total + rows * (width - 1)
        return round(100 * max(0.0, 1 - at_fault / cells), 2) if cells else 100.0

    def anomalies(self, flags: Iterable[Flag]) -> list[Anomaly]:
        """The cells of some flags, in order of row and column."""
        found = []
        for flag in flags:
            column = None if flag.column is None else self.table.columns[flag.column]
            value = None if column is None else column.values[flag.code]
            name = None if column is None else column.name
            place = -1 if flag.column is None else flag.column
            told = (flag.kind, flag.confidence, flag.reason, flag.evidence, flag.suggestion, flag.tier, flag.rule_id)
            found += [((row, place), Anomaly(row, name, value, *told)) for row in self.rows_of(flag)]
        return [anomaly for _, anomaly in sorted(found, key=lambda item: item[0])]


def discover(table: Table, visit: Visit = nobody) -> list[Rule]:
    """The rules that the table keeps to, unmeasured."""
    width = len(table.columns)
    for place in range(width):
        visit("profile", place, width)
        table.study_at(place)
    rules: list[Rule] = []
    for detector in DETECTORS:
        if detector is dependency:
            rules += dependency.discover(table, lambda done, total: visit("dependencies", done, total))
        else:
            visit("rules", width, width)
            rules += detector.discover(table)
    return rules


def judge(table: Table, rules: Sequence[Rule], visit: Visit = nobody) -> Judgement:
    """Check rules against a table.

    Raises:
        ToolError: `RULES_INVALID`: a rule has other params than its type needs.
    """
    flags: list[Flag] = []
    width = len(table.columns)
    for done, rule in enumerate(rules):
        if rule.type in _OF_TYPE and rule.type not in dependency.TYPES:
            visit("anomalies", min(width, done * width // len(rules)), width)
            flags += _checked(_OF_TYPE[rule.type].check(rule, table), rule)
    visit("anomalies", width, width)
    determined = [rule for rule in rules if rule.type in dependency.TYPES]
    flags += _checked(dependency.check_all(determined, table), *determined)
    measured = _measured(table, rules, flags)
    kept, findings = _without_structure(table, flags)
    kept = _weighed(table, determined, kept)
    joined = _joined(table, kept)
    joined = _without_explained(table, rules, joined)
    joined = _with_losses(table, joined)
    return Judgement(table, joined, findings, measured)


def _checked(flags: Iterable[Flag], *rules: Rule) -> list[Flag]:
    """What a detector says by rules that may have been written by hand."""
    try:
        return list(flags)
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError, PolarsError) as error:
        named = f"rule {rules[0].rule_id!r}" if len(rules) == 1 else "a rule"
        message = f"{named} of type {rules[0].type!r} has invalid params; let generate_rules make it anew"
        raise ToolError(message, code="RULES_INVALID", retryable=False) from error


def _without_structure(table: Table, flags: list[Flag]) -> tuple[list[Flag], list[tuple[int, dict[str, Any]]]]:
    """Leave out what hits too much of its column to be an error in it."""
    hits: defaultdict[tuple[int, Kind, str], int] = defaultdict(int)
    for flag in flags:
        if flag.column is not None and _may_be_structure(flag):
            hits[flag.column, flag.kind, flag.rule_id] += _count(table, flag)
    structure = {
        key: count
        for key, count in hits.items()
        if not table.columns[key[0]].is_bare and count > max(2, MANY * table.rows)
    }
    findings = [
        (place, {"kind": kind, "rows": count, "reason": "too often in this column to be an error"})
        for (place, kind, _), count in sorted(structure.items())
    ]
    kept = [
        flag
        for flag in flags
        if flag.column is None or not _may_be_structure(flag) or (flag.column, flag.kind, flag.rule_id) not in structure
    ]
    return kept, findings


def _may_be_structure(flag: Flag) -> bool:
    if flag.kind == "typo":
        return flag.confidence < _PROVEN  # each of them is many times as rare as what is meant
    return flag.kind not in ("unit", "placeholder", "dependency", "merged", "swapped", "encoding") and not (
        flag.kind == "missing" and flag.rows is not None
    )


def _count(table: Table, flag: Flag) -> int:
    return len(flag.rows) if flag.rows is not None else table.columns[flag.column or 0].counts[flag.code]


def _weighed(table: Table, rules: Sequence[Rule], flags: list[Flag]) -> list[Flag]:
    """Halve the confidence of what only looks wrong, where the other columns determine it to be as it is."""
    soft: defaultdict[int, list[Flag]] = defaultdict(list)
    for flag in flags:
        # Another spelling of the value that the others determine is still another spelling.
        is_spelling = flag.kind in ("format", "date") and flag.suggestion is not None
        if flag.column is not None and flag.kind in _SOFT and not is_spelling:
            soft[flag.column].append(flag)
    keys: Keys | None = None
    doubtful = {id(flag) for found in soft.values() for flag in found}
    result = [flag for flag in flags if id(flag) not in doubtful]
    for place, doubted in sorted(soft.items()):
        own = [rule for rule in rules if rule.columns[0] == table.columns[place].name]
        if not own:
            result += doubted
            continue
        keys = keys or Keys(table)
        dependencies = [item for rule in own for item in dependency.dependencies(rule, table)]
        rows = [_rows(table, flag) for flag in doubted]
        backed = agreeing(keys, dependencies, sorted({row for found in rows for row in found}))
        for number, flag in enumerate(doubted):
            right = tuple(row for row in rows[number] if row in backed)
            wrong = tuple(row for row in rows[number] if row not in backed)
            if right:
                result.append(replace(flag, rows=right, confidence=round(flag.confidence / 2, 3), tier="report"))
            if wrong:
                result.append(replace(flag, rows=wrong) if right else flag)
    return result


def _rows(table: Table, flag: Flag) -> Sequence[int]:
    return flag.rows if flag.rows is not None else table.columns[flag.column or 0].rows_of([flag.code])


def _joined(table: Table, flags: list[Flag]) -> list[Flag]:
    """One flag for each cell."""
    of_column: defaultdict[int | None, list[Flag]] = defaultdict(list)
    for flag in flags:
        of_column[flag.column].append(flag)
    joined: list[Flag] = list(of_column.pop(None, []))
    for place in sorted(of_column, key=lambda place: -1 if place is None else place):
        everywhere: dict[int, Flag] = {}
        in_rows: dict[int, Flag] = {}
        for flag in of_column[place]:
            if flag.rows is None:
                other = everywhere.get(flag.code)
                everywhere[flag.code] = flag if other is None else _both(other, flag)
            else:
                for row in flag.rows:
                    here = in_rows.get(row)
                    in_rows[row] = flag if here is None else _both(here, flag)
        groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        distinct: dict[tuple[int, int], Flag] = {}
        pairs: dict[tuple[int, int], Flag] = {}
        taken: defaultdict[int, set[int]] = defaultdict(set)
        for row, flag in in_rows.items():
            whole = everywhere.get(flag.code)
            if whole is not None:
                pair = (id(flag), id(whole))
                flag = pairs.setdefault(pair, _both(whole, flag))
                taken[flag.code].add(row)
            key = (flag.code, id(flag))
            distinct[key] = flag
            groups[key].append(row)
        column_flags = [replace(distinct[key], rows=tuple(sorted(rows))) for key, rows in groups.items()]
        for code, flag in everywhere.items():
            if taken[code]:
                left = tuple(row for row in _rows(table, flag) if row not in taken[code])
                if left:
                    column_flags.append(replace(flag, rows=left))
            else:
                column_flags.append(flag)
        joined += sorted(column_flags, key=lambda flag: (flag.code, flag.rows or ()))
    return joined


def _both(one: Flag, other: Flag) -> Flag:
    """What two flags say about the same cell."""
    first, second = sorted((one, other), key=lambda flag: (-_rank(flag), KINDS.index(flag.kind)))
    confidence = round(1 - (1 - one.confidence) * (1 - other.confidence), 3)
    voted = next((flag for flag in (one, other) if flag.rule_id and _is_voted(flag)), None)
    best = first if first.suggestion is not None else second
    if best.kind == "format":
        # A number that its owner wants moved is moved, however it is written.
        best = next((flag for flag in (one, other) if flag.kind == "outlier" and flag.suggestion is not None), best)
    if voted is not None and voted.suggestion is not None and voted.confidence >= _COUNTED:
        plain = one if voted is other else other
        agree = plain.suggestion is not None and plain.suggestion == voted.suggestion
        best = voted
        tier = voted.tier
        if tier == "suggest" and (agree or plain.suggestion is None) and voted.confidence >= _AUTO_TOGETHER:
            # A majority of sources is likely and not certain, until something else says the same.
            is_certain = (agree or "source" not in voted.evidence) and plain.kind != "outlier"
            tier = "auto" if is_certain else tier
        if agree and _TIERS.index(plain.tier) > _TIERS.index(tier):
            tier = plain.tier  # it would be made without the votes, too
        kind = "missing" if plain.kind == "placeholder" else plain.kind if agree else voted.kind
        return replace(voted, confidence=confidence, tier=tier, kind=kind)
    return replace(best, confidence=confidence, kind=first.kind if best.suggestion is None else best.kind)


def _rank(flag: Flag) -> float:
    return flag.confidence + (1 if flag.suggestion is not None else 0)


def _is_voted(flag: Flag) -> bool:
    return flag.kind == "dependency" or (flag.kind == "missing" and flag.rows is not None)


def _without_explained(table: Table, rules: Sequence[Rule], flags: list[Flag]) -> list[Flag]:
    """Leave out what is only out of order with a cell that something else speaks against."""
    pairs = {rule.rule_id: rule.columns for rule in rules if rule.type == "compare"}
    others: dict[int, int | None] = {}  # id of a flag -> the other column of its pair
    for flag in flags:
        if flag.kind == "order" and flag.suggestion is None and flag.column is not None and flag.rule_id in pairs:
            one, other = pairs[flag.rule_id][:2]
            others[id(flag)] = table.place(other if table.columns[flag.column].name == one else one)
    against: defaultdict[int | None, set[int]] = defaultdict(set)
    for flag in flags:
        if flag.column in others.values() and flag.kind != "order" and flag.confidence >= _COUNTED:
            against[flag.column].update(_rows(table, flag))
    result = []
    for flag in flags:
        left = (
            tuple(row for row in _rows(table, flag) if row not in against[others[id(flag)]])
            if id(flag) in others
            else ()
        )
        if id(flag) not in others or left:
            result.append(replace(flag, rows=left) if left else flag)
    return result


def _with_losses(table: Table, flags: list[Flag]) -> list[Flag]:
    """Believe in plain gaps more, where the gaps that other rows can fill show that this table has lost values."""
    filled: defaultdict[int, int] = defaultdict(int)
    for flag in flags:
        if (
            flag.kind == "missing"
            and flag.suggestion is not None
            and flag.confidence >= _COUNTED
            and flag.column is not None
        ):
            filled[flag.column] += len(flag.rows or ())
    places = [place for place, count in filled.items() if count >= 2]
    empty = sum(table.columns[place].rows_with(table.studies[place].empty) for place in places)
    if len(places) < 3 or sum(filled.values()) < max(_LOST, 0.5 * empty):
        return flags
    usual = max(table.studies[place].missing_rows for place in places)
    return [
        replace(flag, confidence=max(flag.confidence, _LOST_CONFIDENCE))
        if flag.kind == "missing" and flag.column is not None and table.studies[flag.column].missing_rows <= 1.5 * usual
        else flag
        for flag in flags
    ]


def _measured(table: Table, rules: Sequence[Rule], flags: Sequence[Flag]) -> list[Rule]:
    """Say of each rule how much of the table breaks it, whatever else is said about the same cells."""
    broken: defaultdict[str, int] = defaultdict(int)
    for flag in flags:
        broken[flag.rule_id] += _count(table, flag)
    return [rule.measured(max(_support(rule, table), broken[rule.rule_id]), broken[rule.rule_id]) for rule in rules]


def _support(rule: Rule, table: Table) -> int:
    study = table.study(rule.columns[0])
    if rule.type in _ABOUT_ROWS or study is None:
        return table.rows
    if rule.type == "dependency":
        return study.column.rows
    return study.filled_rows + study.column.rows_with(study.placeholders)
