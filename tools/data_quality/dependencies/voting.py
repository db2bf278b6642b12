"""What the rows that agree with a row say one of its cells should hold.

Each determinant of a column gives a row one vote: the value that most of the other rows of its group have. The row's own
cell never votes for itself, so a value that is wrong in one row cannot outvote the truth. Votes weigh as log-odds of
being right, which follow from how well the determinant decides and how many rows stand behind the vote. A vote cast by a
cell that is itself outvoted is counted again with the weight that is left to that cell.

Invariant: a function of the keys and the dependencies alone; ties go to the value that appears first.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl
from rapidfuzz.distance import OSA

from tools.data_quality.dependencies.keys import Keys
from tools.data_quality.dependencies.model import Dependency
from tools.data_quality.dependencies.sources import source_ballots

_SURE: Final = 0.995
_ROUNDS: Final = 2
_ALONE: Final = 0.6  # what is left of a verdict with one row behind it: either of the two may be wrong
_EXCEPTION: Final = 0.6  # ... of one about a value that repeats in its group, or that a single vote speaks against
_REPEATED: Final = 3  # rows of a group with another value, from which it is an exception
_REPEATED_SHARE: Final = 0.1
_FEW: Final = 4  # rows behind a single vote that do not suffice against a value that is known elsewhere
_BALLOT: Final = ("value", "support", "of", "same", "known")

Trust = Mapping[tuple[int, int], float]
"""(row, column) -> weight that is left to a cell; 1 where there is no entry."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The votes about one cell.

    Attributes:
        current: Key the cell has; None where it is missing.
        winner: Key of the value with most weight.
        confidence: How sure it is that the cell should hold it, from 0 to 1.
        voters: Determinants (places of columns) that vote for the winner.
        support: Rows behind the strongest vote for the winner, and `of` how many others in its group.
    """

    row: int
    current: int | None
    winner: int
    confidence: float
    voters: tuple[tuple[int, ...], ...]
    support: int
    of: int


def vote_all(keys: Keys, dependencies: Sequence[Dependency]) -> dict[int, list[Verdict]]:
    """Judge every cell that some determinant votes to change: column -> verdicts, in order of rows."""
    of_column: defaultdict[int, list[Dependency]] = defaultdict(list)
    for dependency in dependencies:
        of_column[dependency.dependent].append(dependency)
    contested = {place: _contested(keys, place, items) for place, items in sorted(of_column.items())}
    trust: dict[tuple[int, int], float] = {}
    verdicts: dict[int, list[Verdict]] = {}
    for _ in range(_ROUNDS):
        verdicts = {}
        for place, records in contested.items():
            counted = (_count(keys, place, record, of_column[place], trust) for record in records)
            verdicts[place] = [verdict for verdict in counted if verdict is not None]
        trust = {(v.row, place): 1 - v.confidence for place, found in verdicts.items() for v in found}
    return verdicts


def agreeing(keys: Keys, dependencies: Sequence[Dependency], rows: Sequence[int]) -> set[int]:
    """Those of `rows` whose cell is what every determinant of the column votes for, with at least two rows behind it."""
    place = dependencies[0].dependent
    frame = pl.DataFrame({"current": keys.frame[str(place)]}).with_row_index("row")
    chosen = frame.filter(pl.col("row").is_in(pl.Series(sorted(set(rows)), dtype=pl.UInt32).implode()))
    backed = pl.DataFrame(
        {"row": chosen["row"], "yes": pl.Series([False] * chosen.height), "no": [False] * chosen.height}
    )
    for dependency in dependencies:
        ballot = _ballots(keys, dependency)[chosen["row"]]
        says = ballot["value"].eq_missing(chosen["current"])
        strong = (ballot["support"] >= 2).fill_null(value=False)
        backed = backed.with_columns(
            yes=backed["yes"] | (says & strong), no=backed["no"] | (~says & ballot["value"].is_not_null())
        )
    return set(backed.filter(pl.col("yes") & ~pl.col("no"))["row"].to_list())


def _contested(keys: Keys, place: int, dependencies: Sequence[Dependency]) -> list[tuple[int | None, ...]]:
    """(row, current, then value, support, of, same of each determinant) of the rows that some vote speaks against."""
    frame = pl.DataFrame({"current": keys.frame[str(place)]})
    for number, dependency in enumerate(dependencies):
        ballot = _ballots(keys, dependency)
        frame = frame.hstack(ballot.rename({name: f"{name} {number}" for name in _BALLOT}))
    disagrees = pl.any_horizontal(
        pl.col(f"value {number}").is_not_null() & pl.col(f"value {number}").ne_missing(pl.col("current"))
        for number in range(len(dependencies))
    )
    return frame.with_row_index("row").filter(disagrees).rows()


def _ballots(keys: Keys, dependency: Dependency) -> pl.DataFrame:
    """For every row the vote of its group: columns `value`, `support`, `of`, `same` and `known`.

    `support` of `of` other rows stand behind `value`; `same` rows of the group have the row's own value, which is `known` where
    it is the usual one of some group.
    """
    if dependency.source is not None:
        return source_ballots(keys, dependency)
    by = [str(place) for place in dependency.determinants]
    if dependency.offset:
        by = [keys.beside(dependency.dependent, dependency.offset)]
    dependent = str(dependency.dependent)
    rows = keys.frame.select(*by, dependent)
    pairs = rows.drop_nulls().group_by(*by, dependent).len("rows")
    pairs = pairs.sort(*by, "rows", dependent, descending=[False] * len(by) + [True, False])
    groups = pairs.group_by(by, maintain_order=True).agg(
        top=pl.col(dependent).first(),
        top_rows=pl.col("rows").first().cast(pl.Int64),
        second=pl.col(dependent).get(1, null_on_oob=True),
        second_rows=pl.col("rows").get(1, null_on_oob=True).fill_null(0).cast(pl.Int64),
        all=pl.col("rows").sum().cast(pl.Int64),
    )
    told = rows.join(groups, on=by, how="left", maintain_order="left")
    usual = groups.filter(pl.col("top_rows") > 1)["top"].unique()
    told = told.with_columns(known=pl.col(dependent).is_in(usual.implode()).fill_null(value=False))
    if dependency.foreign_only:
        told = told.with_columns(pl.when(~pl.col("known")).then("top").alias("top"))
    is_filled = pl.col(dependent).is_not_null()
    is_top = pl.col(dependent).eq_missing(pl.col("top")) & is_filled
    top_without = pl.col("top_rows") - is_top.cast(pl.Int64)
    second_wins = is_top & (pl.col("second_rows") > top_without)
    return told.select(
        value=pl.when(second_wins).then("second").when(top_without > 0).then("top"),
        support=pl.when(second_wins).then("second_rows").otherwise(top_without),
        of=pl.col("all") - is_filled.cast(pl.Int64),
        same=pl.when(is_filled).then(pl.len().over(*by, dependent)).otherwise(0).cast(pl.Int64),
        known=pl.col("known"),
    )


def _count(
    keys: Keys, place: int, record: tuple[int | None, ...], dependencies: Sequence[Dependency], trust: Trust
) -> Verdict | None:
    row, current, *ballots = record
    assert row is not None  # noqa: S101  # the index of a row
    tally = _Tally()
    for number, dependency in enumerate(dependencies):
        value, support, of, same, known = ballots[5 * number : 5 * number + 5]
        if value is None or not support or not of:
            continue
        if dependency.source is None and 2 * support <= of:
            continue  # no majority, no vote
        if dependency.foreign_only and current is not None and not is_slip(keys, place, current, value):
            continue  # where nearly all cells are alike, a rare value is no error until it looks like one
        left = min(trust.get((row + dependency.offset, other), 1.0) for other in dependency.determinants)
        tally.add(dependency, value, 0.5 + (_chance(dependency, support, of) - 0.5) * left, support, of)
        # Among numbers, one that stands nowhere else is as plausible as any other.
        is_plausible = known or (current is not None and keys.table.study_at(place).is_numeric)
        if value != current and is_plausible and dependency.source is None:
            tally.is_exception |= _is_exception(same or 0, support, of)
            tally.is_known = True
    return tally.verdict(keys, place, row, current)


class _Tally:
    """The votes about one cell, while they are counted."""

    def __init__(self) -> None:
        self.weights: defaultdict[int, float] = defaultdict(float)
        self.chances: defaultdict[int, float] = defaultdict(float)
        self.voters: defaultdict[int, list[Dependency]] = defaultdict(list)
        self.behind: dict[int, tuple[int, int]] = {}
        self.is_exception = False
        self.is_known = False

    def add(self, dependency: Dependency, value: int, chance: float, support: int, of: int) -> None:
        self.weights[value] += max(0.01, math.log(chance / (1 - chance)))
        self.chances[value] = max(self.chances[value], chance)
        self.voters[value].append(dependency)
        self.behind[value] = max(self.behind.get(value, (0, 0)), (support, of))

    def verdict(self, keys: Keys, place: int, row: int, current: int | None) -> Verdict | None:
        if not self.weights:
            return None
        winner = min(self.weights, key=lambda value: (-self.weights[value], value))
        if winner == current:
            return None
        voters = self.voters[winner]
        if all(voter.offset for voter in voters) and current in self.weights:
            return None  # a row is left out before or after this one; nothing is wrong with it
        confidence = self.chances[winner] * math.sqrt(self.weights[winner] / sum(self.weights.values()))
        support, of = self.behind[winner]
        alike = current is not None and is_slip(keys, place, current, winner)
        if support == 1:
            confidence *= _ALONE
        if self.is_exception or (self.is_known and len(voters) == 1 and support < _FEW and not alike):
            confidence *= _EXCEPTION
        if all(voter.offset for voter in voters) and len(voters) == 1:
            confidence *= _ALONE
        return Verdict(row, current, winner, confidence, tuple(voter.determinants for voter in voters), support, of)


def is_slip(keys: Keys, place: int, one: int, other: int) -> bool:
    """True where a value looks like another one with a slip or two in it."""
    if keys.table.study_at(place).is_numeric:
        return False  # a number that is nearly another one is another number
    column = keys.table.columns[place]
    text, meant = column.text(one), column.text(other)
    return len(meant) > 1 and OSA.distance(text, meant) <= max(1, len(meant) // 4)


def _is_exception(same: int, support: int, of: int) -> bool:
    """True where a value repeats more often in its group than errors do, which in a large one repeat by chance."""
    others = of - support + 1
    return (same > 1 and same > _REPEATED_SHARE * of) or (same >= _REPEATED and 2 * same >= others)


def _chance(dependency: Dependency, support: int, of: int) -> float:
    """Chance that a vote is right: share of the group behind it, with half a row of doubt, times the determinant's own."""
    own = 1 - (1 - dependency.agreement) / 2 if dependency.source is None else 1.0
    return max(0.5, min(_SURE, own * (support + 0.5) / (of + 1)))
