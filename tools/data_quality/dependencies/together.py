"""Two columns that together decide a third one, which neither decides alone: a way has one length, from here to there.

Only columns of words are tried as determinants, since two measures nearly decide anything; and only for what no single column
decides. There are many such pairs, so what is asked of them is stricter than of single columns.
Invariant: a function of the table alone; the shuffle has a fixed seed.
"""

from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Final

import polars as pl

from tools.data_quality.dependencies.agreement import Agreement, agreement, usual_share
from tools.data_quality.dependencies.keys import Keys
from tools.data_quality.dependencies.model import Dependency

_SAMPLE_ROWS: Final = 20_000
_FEWEST_GROUPS: Final = 20
_COVERED: Final = 0.7  # share of the rows that must have another row in their group
_SIZE: Final = 4  # rows of a group on average
_DISTINCT: Final = 0.3  # distinct values for each row, at most: more hardly ever agree
_CLEAR: Final = 0.9  # agreement, and lift
_BETTER: Final = 0.4  # share of the disagreement that a single column leaves, at most
_EVEN: Final = 0.5  # share of the most frequent value of the dependent, at most
_MOST_COLUMNS: Final = 12
_WORDS: Final = ("category", "code", "name", "boolean")
_SEED: Final = 7


def mine_together(keys: Keys, known: Iterable[Dependency], visit: Callable[[], None]) -> list[Dependency]:
    """Find what two columns decide together.

    Args:
        keys: The table.
        known: What single columns decide.
        visit: Called before each pair; may raise to end the search.
    """
    single = {(item.determinants[0], item.dependent) for item in known if not item.offset}
    decided = {dependent for _, dependent in single}
    repeating = [place for place in range(keys.width) if 2 <= keys.distinct[place] <= _DISTINCT * keys.filled[place]]
    words = [place for place in repeating if keys.table.study_at(place).semantic in _WORDS][:_MOST_COLUMNS]
    open_ = [place for place in repeating if place not in decided]
    found = []
    for pair in combinations(words, 2):
        dependents = [place for place in open_ if place not in pair]
        if not dependents or pair in single or pair[::-1] in single:
            continue
        visit()
        groups = _sample(keys, *pair)
        if groups is not None:
            judged = (_judged(groups, pair, dependent) for dependent in dependents)
            found += [item for item in judged if item is not None and _holds(keys, item)]
    return found


def _sample(keys: Keys, one: int, other: int) -> pl.DataFrame | None:
    """Whole groups of rows that agree in two columns, as many as fit in the sample."""
    by = [str(one), str(other)]
    rows = keys.frame.drop_nulls(by)
    counts = rows.group_by(by).len("rows").filter(pl.col("rows") > 1)
    grouped = int(counts["rows"].sum())
    if counts.height < _FEWEST_GROUPS or grouped < max(_COVERED * rows.height, _SIZE * counts.height):
        return None
    spread = (pl.col(by[0]).cast(pl.UInt64) * 2_654_435_761 + pl.col(by[1]) * 40_503) % 4_294_967_296
    chosen = counts.sort(spread, *by).filter(pl.col("rows").cum_sum() <= _SAMPLE_ROWS)
    frame = rows.join(chosen.select(by), on=by, how="semi", maintain_order="left")
    return frame.with_columns(pl.all().exclude(by).shuffle(seed=_SEED).name.prefix("shuffled "))


def _judged(groups: pl.DataFrame, pair: tuple[int, int], dependent: int) -> Dependency | None:
    names = [str(place) for place in pair]
    seen = agreement(groups, names, str(dependent))
    if seen is None or seen.agreement < _CLEAR or not seen.scatters or usual_share(groups, dependent) > _EVEN:
        return None
    lift = _less(seen, agreement(groups, names, f"shuffled {dependent}"))
    alone = min(_less(seen, agreement(groups, [name], str(dependent))) for name in names)
    if lift < _CLEAR or alone < 1 - _BETTER:
        return None
    return Dependency(pair, dependent, seen.agreement, lift, seen.repeated, seen.groups)


def _less(seen: Agreement, other: Agreement | None) -> float:
    """How much of another disagreement is gone."""
    left = 1.0 if other is None else 1 - other.agreement
    return 1 - (1 - seen.agreement) / left if left else 0.0


def _holds(keys: Keys, item: Dependency) -> bool:
    """Whether what a sample shows is so in all rows."""
    seen = agreement(keys.frame, [str(place) for place in item.determinants], str(item.dependent))
    return seen is not None and seen.scatters and seen.agreement >= _CLEAR
