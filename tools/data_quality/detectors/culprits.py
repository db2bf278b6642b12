"""Which of two values that are out of order is wrong: the first, the second, or both because they were exchanged.

Two cells alone do not tell. All broken rows together do: had their values been exchanged, the gap between them would be as
large as it usually is. And so do other columns of the row: a value that keeps its usual distance to one that goes with it
closely is vouched for. Invariant: all series are of one length, a number for each row of the table, null where there is none.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

_FEWEST_EXCHANGED: Final = 5  # broken rows from which their gaps can be compared with the usual ones
_HALF: Final = (0.25, 0.75)  # share of exchanged rows whose gap is below the usual median: one half, and chance
_WITHIN: Final = 0.9  # share of exchanged rows whose gap is not beyond nearly all others
_CLOSE: Final = (
    0.25  # how far a distance varies, compared with the column itself, where two columns go together closely
)
_USUAL: Final = (0.02, 0.98)
_FAR: Final = 1.5  # interquartile ranges from the median: the fence of a box plot, seen from its middle


def are_exchanged(low: pl.Series, high: pl.Series, broken: pl.Series) -> bool:
    """Whether the broken rows look like rows whose two values were exchanged.

    Args:
        low: Of nearly all rows, not greater than `high`.
        high: The other of the two.
        broken: True for the rows where it is greater.
    """
    gaps = (high - low).abs()
    usual, wrong = gaps.filter((high > low).fill_null(value=False)), gaps.filter(broken)
    middle, most = usual.median(), usual.quantile(0.99)
    if len(wrong) < _FEWEST_EXCHANGED or not isinstance(middle, float) or most is None:
        return False
    below, within = float((wrong <= middle).mean() or 0), float((wrong <= most).mean() or 0)  # type: ignore[arg-type]
    return _HALF[0] <= below <= _HALF[1] and within >= _WITHIN


def vouched_for(pair: Sequence[pl.Series], others: Iterable[pl.Series], rows: Sequence[int]) -> list[set[int]]:
    """For each of two columns those of `rows` whose value keeps its usual distance to another one which goes with it closely."""
    found: list[set[int]] = [set() for _ in pair]
    for other in others:
        lower, upper = (other.quantile(share) for share in _USUAL)
        if lower is None or upper is None or upper <= lower:
            continue
        for values, vouched in zip(pair, found, strict=True):
            distance = other - values
            least, most = (distance.quantile(share) for share in _USUAL)
            if least is not None and most is not None and most - least <= _CLOSE * (upper - lower):
                vouched.update(row for row in rows if distance[row] is not None and least <= distance[row] <= most)
    return found


def unusual_side(low: pl.Series, high: pl.Series, row: int) -> int | None:
    """Return the side whose value lies far from its column while the other does not; None if that tells nothing."""
    far = [_is_far(series, row) for series in (low, high)]
    return None if far[0] == far[1] else far.index(True)


def _is_far(series: pl.Series, row: int) -> bool:
    median, lower, upper = series.median(), series.quantile(0.25), series.quantile(0.75)
    if not isinstance(median, float) or lower is None or upper is None:
        return False
    return bool(abs(series[row] - median) > _FAR * ((upper - lower) or 1.0))
