"""How far the rows that agree in some columns agree in another one, and what the rows look like that do not.

Invariant: a function of the frame alone; each row is compared with the other rows of its group only.
"""

import math
from dataclasses import dataclass
from typing import Final

import polars as pl

FEWEST_OTHERS: Final = 4  # disagreeing rows from which it can be said what they look like
_REPEATED: Final = 0.5  # share of disagreeing rows that may be repeated exceptions
LARGE: Final = 20  # rows from which a group is large: errors repeat in it by chance
_CONCENTRATED: Final = 0.3  # share of disagreeing rows that may have the one exception of their group
_FEWEST_ALONE: Final = 10  # rows of which no other row of their group has the value
_DEVIATIONS: Final = 3
_LASTING: Final = 0.15  # share of the disagreement of any two rows that neighbours do not have


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far rows of one group agree, see `Dependency`.

    Attributes:
        pairs: Rows that have another row in their group.
        others: Rows that have not the usual value of their group.
        concentrated: Share of those whose value is what half of the others in their group have, and three rows at least: in
            a large group errors repeat by chance, but they do not gather in one value.
    """

    agreement: float
    repeated: float
    groups: int
    pairs: int
    others: int
    concentrated: float

    @property
    def scatters(self) -> bool:
        """Whether the rows that disagree look like errors, each different from the others, and not like exceptions."""
        if self.repeated <= _REPEATED or self.others < FEWEST_OTHERS:
            return True
        return self.pairs >= LARGE * self.groups and self.concentrated <= _CONCENTRATED


def pairs_of(frame: pl.DataFrame, determinants: list[str], dependent: str) -> pl.DataFrame:
    rows = frame.select(*determinants, dependent).drop_nulls()
    return rows.group_by(*determinants, dependent).len("rows")


def agreement(frame: pl.DataFrame, determinants: list[str], dependent: str) -> Agreement | None:
    of_group = (
        pairs_of(frame, determinants, dependent)
        .group_by(determinants)
        .agg(
            all=pl.col("rows").sum(),
            top=pl.col("rows").max(),
            repeated=pl.col("rows").filter(pl.col("rows") > 1).sum(),
            second=pl.when(pl.len() > 1).then(pl.col("rows").top_k(2).min()).otherwise(0),
        )
        .filter(pl.col("all") > 1)
    )
    is_concentrated = (pl.col("second") > 2) & (2 * pl.col("second") >= pl.col("all") - pl.col("top"))
    groups, all_pairs, agreeing, others, repeated, concentrated = of_group.select(
        groups=pl.len(),
        pairs=(pl.col("all") - 1).sum(),
        agreeing=(pl.col("top") - 1).sum(),
        others=(pl.col("all") - pl.col("top")).sum(),
        repeated=pl.when(pl.col("top") > 1).then(pl.col("repeated") - pl.col("top")).otherwise(0).sum(),
        concentrated=pl.col("second").filter(is_concentrated).sum(),
    ).row(0)
    if not all_pairs:
        return None
    shares = (repeated / others, concentrated / others) if others else (0.0, 0.0)
    return Agreement(agreeing / all_pairs, shares[0], groups, all_pairs, others, shares[1])


def usual_share(groups: pl.DataFrame, dependent: int) -> float:
    """Share of the most frequent value of a column."""
    filled = groups[str(dependent)].drop_nulls()
    most: int = filled.value_counts(name="rows").select(pl.col("rows").max()).item() if len(filled) else 0
    return most / len(filled) if len(filled) else 1.0


def changes(frame: pl.DataFrame, determinant: str, dependent: str) -> bool:
    """Whether the rows that disagree stand at the ends of their groups: no errors, what is told about one thing changes.

    Rows about one person or place often come in the order of time. An error stands anywhere among them; a change leaves the
    first or the last row different, more often by three standard deviations than the sizes of the groups make likely.
    """
    told = _in_order(frame, determinant, dependent)
    alone = told.filter((pl.col("same") == 1) & (pl.col("all") > 2) & (pl.col("same").max().over(determinant) > 1))
    if alone.height < _FEWEST_ALONE:
        return False
    at_an_end = (pl.col("place") == 0) | (pl.col("place") == pl.col("all") - 1)
    chance = 2 / pl.col("all")
    ends, likely, variance = alone.select(
        at_an_end.sum().alias("ends"), chance.sum().alias("likely"), (chance * (1 - chance)).sum().alias("variance")
    ).row(0)
    return bool(ends > likely + _DEVIATIONS * math.sqrt(variance))


def lasts(frame: pl.DataFrame, determinant: str, dependent: str) -> bool:
    """Whether rows of a group that follow each other agree more often than any two: a state that lasts, visit after visit.

    What sources tell of one fact has no order: there it makes no difference.
    """
    told = _in_order(frame, determinant, dependent).filter(pl.col("all") > 1)
    of_any = told.select((pl.col("same") - 1).sum() / (pl.col("all") - 1).sum()).item()
    of_neighbours = told.select((pl.col("before") == pl.col(dependent)).mean()).item()
    return bool(of_neighbours - of_any > _LASTING * (1 - of_any))


def _in_order(frame: pl.DataFrame, determinant: str, dependent: str) -> pl.DataFrame:
    """Each row with the size of its group, its place there, how many rows of it have its value, and the value before."""
    told = frame.select(determinant, dependent).drop_nulls()
    return told.with_columns(
        all=pl.len().over(determinant),
        same=pl.len().over(determinant, dependent),
        place=pl.int_range(pl.len()).over(determinant),
        before=pl.col(dependent).shift(1).over(determinant),
    )
