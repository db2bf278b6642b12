"""A card for each column: what it holds, how full it is, its most frequent values, and what repairs change about it.

Invariant: made from the profile alone, which may lack any key; one card for each column that the profile lists, up to the
number that the page has room for.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from tools.data_quality.columns.cells import shown
from tools.data_quality.columns.visible import visible
from tools.data_quality.outcome import Outcome
from tools.data_quality.report import charts, room
from tools.data_quality.report.text import counted, figure, number, percent, value
from tools.data_quality.report.words import KIND_WORDS

COLUMNS_SHOWN: Final = 200
_VALUES_SHOWN: Final = 5
_FEW_NUMBERS: Final = 20  # distinct numbers up to which the most frequent say more than the quartiles alone
_FINDINGS_SHOWN: Final = 5
_COMPARED: Final = (
    ("type", "type", ""),
    ("missing", "missing", ""),
    ("placeholders", "placeholders", ""),
    ("distinct", "distinct values", ""),
    ("min", "smallest", "numbers"),
    ("max", "largest", "numbers"),
)


@dataclass(frozen=True, slots=True)
class Frequent:
    """A frequent value or shape, with its bar."""

    value: Markup
    count: str
    bar: Markup


@dataclass(frozen=True, slots=True)
class Card:
    """One column; `is_sound` when nothing was found in it."""

    name: Markup
    semantic: str
    anomalies: str
    is_sound: bool
    fill: Markup
    fill_words: Sequence[tuple[str, str]]
    distinct: str
    values: Sequence[Frequent]
    more_values: str
    shapes: Sequence[Frequent]
    box: Markup | None
    numbers: Sequence[tuple[str, str]]
    lengths: str
    findings: Sequence[tuple[str, str]]
    changed: Sequence[tuple[str, str, str]]


def cards(outcome: Outcome) -> tuple[list[Card], int]:
    """The cards, and how many columns have none."""
    profiles: Sequence[Mapping[str, Any]] = outcome.profile.get("column_profiles") or ()
    after: Mapping[str, Mapping[str, Any]] = {
        str(profile.get("name")): profile for profile in outcome.profile_after.get("column_profiles") or ()
    }
    found = Counter(str(shown(anomaly.column)) for anomaly in outcome.anomalies if anomaly.column is not None)
    rows = outcome.before.rows
    made = (
        _card(profile, after.get(str(profile.get("name"))) or {}, rows, found[str(shown(profile.get("name", "")))])
        for profile in profiles[:COLUMNS_SHOWN]
    )
    fitting = list(room.fitting(made, room.COLUMNS))
    return fitting, max(0, len(outcome.before.columns) - len(fitting))


def _card(profile: Mapping[str, Any], after: Mapping[str, Any], rows: int, anomalies: int) -> Card:
    missing, placeholders = _count(profile.get("missing")), _count(profile.get("placeholders"))
    filled = max(0, rows - missing - placeholders)
    distinct = _count(profile.get("distinct"))
    top: Sequence[Mapping[str, Any]] = profile.get("top") or ()
    numbers: Mapping[str, Any] = profile.get("numbers") or {}
    is_all_different = distinct == filled > 1
    drawn = charts.box(numbers)
    is_telling = max((_count(entry.get("count")) for entry in top), default=0) > 2
    shows_values = distinct <= _VALUES_SHOWN or (is_telling and (drawn is None or distinct <= _FEW_NUMBERS))
    values = _frequent(top, "value", filled) if shows_values and not is_all_different else []
    fill_words = [("filled", filled, "auto"), ("placeholder", placeholders, "suggest"), ("missing", missing, "gap")]
    fill = charts.parts(
        [charts.Part(tone, count, f"{title}: {number(count)}") for title, count, tone in fill_words],
        rows,
        f"{percent(filled, rows)} filled, {percent(placeholders, rows)} placeholders, {percent(missing, rows)} missing",
    )
    return Card(
        name=value(profile.get("name", ""), 80),
        semantic=visible(profile.get("type", "unknown"), 40).replace("_", " "),
        anomalies=counted(anomalies, "suspicious cell") if anomalies else "",
        is_sound=not anomalies and not profile.get("findings"),
        fill=fill,
        fill_words=[
            (title, f"{number(count)} ({percent(count, rows)})")
            for title, count, _ in fill_words
            if count or title == "filled"
        ],
        distinct="all different" if is_all_different else counted(distinct, "distinct value"),
        values=values,
        more_values=_more(distinct, len(values)),
        shapes=_frequent(profile.get("shapes") or (), "shape", filled),
        box=drawn,
        numbers=[
            (title, figure(numbers[key]))
            for key, title in (("min", "min"), ("q1", "¼"), ("median", "median"), ("q3", "¾"), ("max", "max"))
            if numbers.get(key) is not None
        ],
        lengths=_lengths(profile.get("lengths") or {}),
        findings=[_finding(finding) for finding in (profile.get("findings") or ())[:_FINDINGS_SHOWN]],
        changed=_changed(profile, after),
    )


def _frequent(top: Sequence[Mapping[str, Any]], key: str, filled: int) -> list[Frequent]:
    return [
        Frequent(
            value(entry.get(key), 48),
            number(_count(entry.get("count"))),
            charts.bar(_count(entry.get("count")), filled),
        )
        for entry in top[:_VALUES_SHOWN]
    ]


def _more(distinct: int, shown: int) -> str:
    return f"and {counted(distinct - shown, 'other value')}" if distinct > shown > 0 else ""


def _lengths(lengths: Mapping[str, Any]) -> str:
    low, high = lengths.get("min"), lengths.get("max")
    if low is None or high is None:
        return ""
    return counted(_count(high), "character") if low == high else f"{_count(low):,} to {_count(high):,} characters"


def _finding(finding: Any) -> tuple[str, str]:
    if not isinstance(finding, Mapping):
        return "", visible(finding, 200)
    kind = finding.get("kind")
    title = next((words.title for name, words in KIND_WORDS.items() if name == kind), visible(kind, 40))
    rows = f" ({counted(_count(finding['rows']), 'row')})" if finding.get("rows") else ""
    return title, visible(finding.get("reason", ""), 200) + rows


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    changed = []
    for key, title, inside in _COMPARED:
        old, new = ((side.get(inside) or {}) if inside else side for side in (before, after))
        if key in old and key in new and old[key] != new[key]:
            changed.append((title, _shown(old[key]), _shown(new[key])))
    return changed


def _shown(item: Any) -> str:
    return figure(item) if isinstance(item, int | float) else visible(item, 40)


def _count(item: Any) -> int:
    return item if isinstance(item, int) and not isinstance(item, bool) else 0
