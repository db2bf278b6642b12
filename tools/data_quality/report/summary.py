"""What the page says first: how large the table is, how much of it is suspicious, and what became of that.

Invariant: every cell or row that was found is counted once, as repaired, as waiting or as only reported.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from markupsafe import Markup

from tools.data_quality.detectors.flags import Tier
from tools.data_quality.outcome import Anomaly, Change, Outcome, Pass
from tools.data_quality.report import charts
from tools.data_quality.report.text import counted, number
from tools.data_quality.report.words import KIND_WORDS, TIER_WORDS

Place = tuple[int, str | None]
"""A cell by row and column; a whole row where the column is None."""


@dataclass(frozen=True, slots=True)
class Count:
    """One of the numbers at the top."""

    tone: str
    title: str
    meaning: str
    amount: int


@dataclass(frozen=True, slots=True)
class Round:
    """One pass as it is drawn: what was found before it, and what is left after it."""

    number: int
    title: str
    before: int
    after: int
    text: str
    kinds: str
    before_bar: Markup
    after_bar: Markup
    is_undone: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers at the top, each made once.

    Attributes:
        facts: Further counts, each with its name.
        scores: What is so, and the score: as the table came, as it is now, as it would be with everything approved.
    """

    size: str
    verdict: str
    counts: tuple[Count, ...]
    bar: Markup
    scores: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    rounds: tuple[Round, ...]


def summarize(outcome: Outcome) -> Summary:
    """Count what was found and what became of it."""
    fate = {(change.row, change.column): change for change in outcome.patch}
    by_tier: dict[Tier, list[Anomaly]] = {"auto": [], "suggest": [], "report": []}
    for anomaly in outcome.anomalies:
        made = change_of(fate, anomaly)
        by_tier[made.tier if made else "report"].append(anomaly)
    rows, width = outcome.before.rows, len(outcome.before.columns)
    size = f"{counted(rows, 'row')} × {counted(width, 'column')}"  # noqa: RUF001  # the sign, not the letter
    found = len(outcome.anomalies)
    counts = tuple(
        Count(tier, TIER_WORDS[tier].title, TIER_WORDS[tier].meaning, len(anomalies))
        for tier, anomalies in by_tier.items()
    )
    verdict = _verdict(outcome.anomalies, *(len(anomalies) for anomalies in by_tier.values()))
    bar = charts.parts(
        [charts.Part(count.tone, count.amount, f"{count.title}: {number(count.amount)}") for count in counts],
        found,
        verdict,
    )
    waiting = by_tier["suggest"] + by_tier["report"]
    scores = [("As it came", score(outcome.anomalies, rows, width)), ("Now", score(waiting, rows, width))]
    if by_tier["suggest"]:
        scores.append(("With all repairs approved", score(by_tier["report"], rows, width)))
    shown = tuple((title, f"{amount:.2f}") for title, amount in scores)
    bad_rows = len({anomaly.row for anomaly in outcome.anomalies})
    bad_columns = len({anomaly.column for anomaly in outcome.anomalies if anomaly.column is not None})
    facts = (
        ("Cells", number(rows * width)),
        ("Rows with something suspicious", f"{number(bad_rows)} of {number(rows)}"),
        ("Columns with something suspicious", f"{number(bad_columns)} of {number(width)}"),
    )
    return Summary(size, verdict, counts, bar, shown, facts, _rounds(outcome.passes))


def change_of(fate: Mapping[Place, Change], anomaly: Anomaly) -> Change | None:
    """What became of an anomaly; a row that is removed goes with all that is wrong in it."""
    return fate.get((anomaly.row, anomaly.column)) or fate.get((anomaly.row, None))


def score(anomalies: Sequence[Anomaly], rows: int, width: int) -> float:
    """100 times the share of cells without an anomaly, rounded down; a repeated row counts with all its cells."""
    cells = rows * width
    bad_rows = {anomaly.row for anomaly in anomalies if anomaly.column is None}
    bad_cells = sum(anomaly.column is not None and anomaly.row not in bad_rows for anomaly in anomalies)
    bad = min(cells, len(bad_rows) * width + bad_cells)
    return math.floor(10_000 * (cells - bad) / cells) / 100 if cells else 100.0


def _verdict(anomalies: Sequence[Anomaly], repaired: int, waiting: int, reported: int) -> str:
    if not anomalies:
        return "nothing suspicious was found."
    rows = sum(anomaly.column is None for anomaly in anomalies)
    cells = len(anomalies) - rows
    what = [counted(cells, "suspicious cell")] if cells else []
    if rows:
        what.append(counted(rows, "repeated row"))
    waits = "waits" if waiting == 1 else "wait"
    return (
        f"{' and '.join(what)}, {number(repaired)} repaired, {number(waiting)} {waits} for you, "
        f"{number(reported)} only reported."
    )


def _rounds(passes: Sequence[Pass]) -> tuple[Round, ...]:
    most = max((each.anomalies for each in passes), default=0)
    rounds = []
    for each, following in zip_longest(passes, passes[1:]):
        after = each.anomalies if each.rolled_back or not each.changes else max(0, each.anomalies - each.changes)
        if following is not None and not each.rolled_back:
            after = following.anomalies
        made = counted(each.changes, "repair" if each.tier == "auto" else "proposed repair")
        text = f"{made}, undone again" if each.rolled_back else made if each.changes else "nothing to change"
        kinds = ", ".join(
            f"{KIND_WORDS[kind].title.lower()} {number(count)}"
            for kind in KIND_WORDS
            if (count := each.by_kind.get(kind, 0))
        )
        rounds.append(
            Round(
                each.number,
                TIER_WORDS[each.tier].title,
                each.anomalies,
                after,
                text,
                kinds,
                charts.bar(each.anomalies, most, "before"),
                charts.bar(after, most, "undone" if each.rolled_back else each.tier),
                each.rolled_back,
            )
        )
    return tuple(rounds)
