"""How far the numbers of a column spread, and where that spread ends.

The fences answer one question: which numbers lie so far out that the column itself speaks against them. They come from
quartiles and medians, which a quarter of wild values cannot move. Invariant: a fence is only ever widened by skew, and
where the numbers give no measure of spread there are no fences rather than bad ones.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

_FEWEST: Final = 8  # numbers below which quartiles say nothing
_FAR_OUT: Final = 3.0  # Tukey's outer fence, in interquartile ranges
_MODIFIED_Z: Final = 3.5  # Iglewicz and Hoaglin (1993)
_MAD_TO_DEVIATION: Final = 0.6745  # the MAD of a normal distribution with standard deviation 1
_SKEWED: Final = 0.25  # medcouple from which positive numbers are also judged on a log scale
_LARGEST_LOG: Final = 700  # e to this power is still a float
_MEDCOUPLE_POINTS: Final = 51  # quantiles the medcouple is taken on: its exact form costs n * n


@dataclass(frozen=True, slots=True)
class Spread:
    """The numbers of one column, summed up; `fences` is None where none can be drawn."""

    count: int
    minimum: float
    q1: float
    median: float
    q3: float
    maximum: float
    mad: float
    fences: tuple[float, float] | None


def measure(ordered: Sequence[float]) -> Spread:
    """Sum up at least one number, given in ascending order."""
    median = quantile(ordered, 0.5)
    return Spread(
        count=len(ordered),
        minimum=ordered[0],
        q1=quantile(ordered, 0.25),
        median=median,
        q3=quantile(ordered, 0.75),
        maximum=ordered[-1],
        mad=_mad(ordered, median),
        fences=fences(ordered),
    )


def quantile(ordered: Sequence[float] | pl.Series, share: float) -> float:
    """Return the value below which `share` of the ordered numbers lie, interpolated between neighbours."""
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    # Weighted so that huge neighbours of opposite sign do not overflow in their difference.
    return ordered[low] * (1 - (position - low)) + ordered[high] * (position - low)


def fences(ordered: Sequence[float]) -> tuple[float, float] | None:
    """Return the lowest and highest number that is no outlier, or None where the numbers do not say.

    A number lies outside when it is far out by quartiles (Tukey) and by its modified z-score (median and MAD) alike.
    Skew widens the fence on the long side by the medcouple (Hubert and Vandervieren 2008), and a tail is followed to its
    first gap of an interquartile range.
    """
    if len(ordered) < _FEWEST:
        return None
    q1, median, q3 = (quantile(ordered, share) for share in (0.25, 0.5, 0.75))
    mad = _mad(ordered, median)
    if mad == 0 or q1 == q3:
        # More than half are one value, as with counts that are mostly 0: the others are judged among themselves.
        others = [number for number in ordered if number != median]
        inner = fences(others) if len(others) < len(ordered) else None
        return inner and (min(inner[0], median), max(inner[1], median))
    skew = _medcouple(ordered, median)
    reach = _FAR_OUT * (q3 - q1)
    least = _MODIFIED_Z * mad / _MAD_TO_DEVIATION
    low = min(q1 - reach * math.exp(3 * max(-skew, 0)), median - least)
    high = max(q3 + reach * math.exp(3 * max(skew, 0)), median + least)
    if skew > _SKEWED and ordered[0] >= 0 and q1 > 0:
        high_log = math.log(q3) + _FAR_OUT * (math.log(q3) - math.log(q1))
        high = max(high, math.exp(min(high_log, _LARGEST_LOG)))
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    # Numbers clipped to a fence should not have more digits than the spread gives them.
    digits = 3 - math.floor(math.log10(q3 - q1))
    try:
        low, high = round(low, digits), round(high, digits)
    except OverflowError:  # next to the largest number that a float can hold
        return None
    return -_past_tail([-number for number in reversed(ordered)], -low, q3 - q1), _past_tail(ordered, high, q3 - q1)


def _past_tail(ordered: Sequence[float], high: float, gap: float) -> float:
    """Move a fence outwards past numbers that follow each other without a gap: they are the end of a long tail."""
    index = bisect_right(ordered, high)
    last = ordered[index - 1] if index else -math.inf
    for number in ordered[index:]:
        if number - last > gap:
            break
        high = last = number
    return high


def _mad(ordered: Sequence[float], median: float) -> float:
    return quantile((pl.Series(ordered, dtype=pl.Float64) - median).abs().sort(), 0.5)


def _medcouple(ordered: Sequence[float], median: float) -> float:
    """Skew from -1 to 1: how much further the upper half lies from the median than the lower half, for a typical pair."""
    points = [quantile(ordered, index / (_MEDCOUPLE_POINTS - 1)) for index in range(_MEDCOUPLE_POINTS)]
    above = [point - median for point in points if point > median]
    below = [median - point for point in points if point < median]
    pairs = sorted((up - down) / (up + down) for up in above for down in below)
    return quantile(pairs, 0.5) if pairs else 0.0
