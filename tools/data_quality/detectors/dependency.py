"""Cells that contradict what other columns determine, and empty cells that they fill.

All dependencies of a table are judged together. A row may disagree because the cell is wrong, or because the cell that
determines it is wrong; so after a first count, votes cast by a cell that is itself outvoted lose their weight. Where
several sources tell the same facts, their majority is likely and not certain, and is only ever suggested.

Invariant: a value that repeats within its group is an exception and needs the agreement of nearly all determinants.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

from tools.data_quality.columns.table import Table
from tools.data_quality.dependencies.keys import Keys
from tools.data_quality.dependencies.mining import mine
from tools.data_quality.dependencies.model import Dependency
from tools.data_quality.dependencies.voting import Verdict, is_slip, vote_all
from tools.data_quality.detectors.flags import Flag, Suggestion, Tier
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("dependency",)

_AUTO: Final = 0.85  # confidence from which a repair needs nobody's agreement
_AUTO_SUPPORT: Final = 3
_SUGGESTED: Final = 0.6
_MOST_NAMED: Final = 4


def discover(table: Table, visit: Callable[[int, int], None] = lambda done, total: None) -> Iterator[Rule]:
    """One rule for each column that others determine."""
    keys = Keys(table)
    names = [column.name for column in table.columns]
    for dependent, group in groupby(mine(keys, visit), key=lambda item: item.dependent):
        dependencies = list(group)
        used = dict.fromkeys(names[place] for item in dependencies for place in item.determinants)
        yield make_rule(
            "dependency",
            [names[dependent], *used],
            {
                "determinants": [[names[place] for place in item.determinants] for item in dependencies],
                "agreement": [round(item.agreement, 4) for item in dependencies],
                "lift": [round(item.lift, 4) for item in dependencies],
                "offset": [item.offset for item in dependencies],
                "foreign_only": [item.foreign_only for item in dependencies],
                "source": next((names[item.source] for item in dependencies if item.source is not None), None),
            },
            tier="suggest" if any(item.is_noisy for item in dependencies) else "auto",
            repair="writes the value that the other rows of the same group have",
        )


def check_all(rules: Sequence[Rule], table: Table) -> Iterator[Flag]:
    """Every cell that the determinants of its column outvote."""
    known: dict[str, Rule] = {}
    found: dict[tuple[int, tuple[int, ...], int], Dependency] = {}
    for rule in rules:
        if all(table.place(name) is not None for name in rule.columns):
            known.setdefault(rule.columns[0], rule)
            for item in dependencies(rule, table):
                found.setdefault((item.dependent, item.determinants, item.offset), item)
    if not found:
        return
    keys = Keys(table)
    by_value: dict[tuple[int, int, int, float, int], list[Verdict]] = {}
    for place, verdicts in sorted(vote_all(keys, list(found.values())).items()):
        for verdict in verdicts:
            code = table.columns[place].codes[verdict.row]
            group = (place, code, verdict.winner, verdict.confidence, verdict.support)
            by_value.setdefault(group, []).append(verdict)
    for (place, code, _, _, _), verdicts in by_value.items():
        yield _flag(keys, place, code, verdicts, known[table.columns[place].name])


def dependencies(rule: Rule, table: Table) -> Iterator[Dependency]:
    dependent = table.place(rule.columns[0])
    assert dependent is not None  # noqa: S101  # callers have looked
    source = None if rule.params["source"] is None else table.place(rule.params["source"])
    params = rule.params
    for names, agreement, foreign_only, offset in zip(
        params["determinants"], params["agreement"], params["foreign_only"], params["offset"], strict=True
    ):
        places = tuple(place for name in names if (place := table.place(name)) is not None)
        yield Dependency(places, dependent, agreement, source=source, foreign_only=foreign_only, offset=offset)


def _flag(keys: Keys, place: int, code: int, verdicts: Sequence[Verdict], rule: Rule) -> Flag:
    first = verdicts[0]
    table = keys.table
    column = table.columns[place]
    is_empty = first.current is None
    names = sorted({table.columns[voter].name for voters in first.voters for voter in voters})
    same = " or ".join(map(repr, names[:_MOST_NAMED]))
    others = f"{first.support:,} of {first.of:,} other rows with the same {same}"
    evidence = {"determined_by": names, "rows_that_agree": first.support, "of": first.of}
    is_noisy = rule.params["source"] is not None
    if is_noisy:
        evidence["source"] = rule.params["source"]
        others = f"most other sources, weighed by how often they are right, for the same {same}"
    reason = f"empty, while {others} have a value" if is_empty else f"differs from what {others} have"
    confidence = round(first.confidence, 3)
    tier: Tier = "suggest" if confidence >= _SUGGESTED or is_noisy else "report"
    is_respelled = not is_empty and len(column.text(first.winner)) > 4 and is_slip(keys, place, code, first.winner)
    is_backed = len(first.voters) > 1 or is_respelled
    if confidence >= _AUTO and first.support >= _AUTO_SUPPORT and not is_noisy and is_backed:
        tier = "auto"
    return Flag(
        column=place,
        code=code,
        rows=tuple(verdict.row for verdict in verdicts),
        kind="missing" if is_empty else "dependency",
        confidence=confidence,
        reason=reason,
        rule_id=rule.rule_id,
        tier=tier,
        suggestion=Suggestion(column.values[first.winner]),
        evidence=evidence,
    )
