"""Charts as inline SVG: bars of parts, pairs of bars, and a box plot, all sized by the page's style sheet.

Numbers get into attributes only after being rounded here, and texts only escaped, so no value of a table can break out.
Invariant: a chart says in words (`aria-label`) what it shows, or is hidden from readers because its words stand beside it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from tools.data_quality.report.text import figure

_WIDTH: Final = 300.0
_MIDDLE: Final = 17.0
_ROOM: Final = (
    0.25  # of the span between the fences: how far beyond them the axis goes, before values stand off the scale
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar; `tone` is a class of the style sheet."""

    tone: str
    amount: float
    label: str


def parts(shares: Sequence[Part], whole: float, label: str) -> Markup:
    """One bar made of parts, each at least wide enough to be seen."""
    place = 0.0
    rects = Markup("")
    for part in shares:
        if part.amount > 0 and whole > 0:
            width = max(0.8, 100 * part.amount / whole)
            rects += Markup('<rect class="{}" x="{:.2f}" width="{:.2f}" height="10"><title>{}</title></rect>').format(
                part.tone, min(place, 99.2), min(width, 100 - min(place, 99.2)), part.label
            )
            place += width
    return Markup(
        '<svg class="parts" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="ground" width="100" height="10"/>{}</svg>'
    ).format(label, rects)


def bar(amount: float, whole: float, tone: str = "plain") -> Markup:
    """A small bar beside a number that says the same."""
    width = min(100.0, max(0.8, 100 * amount / whole)) if whole > 0 and amount > 0 else 0.0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="ground" width="100" height="6"/><rect class="{}" width="{:.2f}" height="6"/></svg>'
    ).format(tone, width)


def box(numbers: Mapping[str, Any]) -> Markup | None:
    """A box plot: quartiles as a box, median as a line, fences as dashes; None where the profile has no quartiles.

    The axis ends a little beyond the fences. What lies further out is a dot at its end, or one number far away would
    squeeze the box into a line.
    """
    read = [_finite(numbers.get(name)) for name in ("min", "q1", "median", "q3", "max")]
    if any(number is None for number in read):
        return None
    low, q1, median, q3, high = (number for number in read if number is not None)
    start, end = low, high
    fences = _fences(numbers.get("fences"))
    if fences:
        room = _ROOM * (fences[1] - fences[0])
        start, end = max(low, min(fences[0] - room, q1)), min(high, max(fences[1] + room, q3))

    def x(number: float) -> float:
        inside = (number - start) / (end - start) if end > start else 0.5
        return 8 + (_WIDTH - 16) * min(1.0, max(0.0, inside))

    drawn = Markup('<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="17" y2="17"/>').format(x(start), x(end))
    drawn += Markup('<rect class="box" x="{:.1f}" y="8" width="{:.1f}" height="18" rx="2"/>').format(
        x(q1), max(1.5, x(q3) - x(q1))
    )
    drawn += Markup('<line class="median" x1="{0:.1f}" x2="{0:.1f}" y1="6" y2="28"/>').format(x(median))
    for fence in fences or ():
        if start < fence < end:
            drawn += Markup('<line class="fence" x1="{0:.1f}" x2="{0:.1f}" y1="4" y2="30"/>').format(x(fence))
    for number, is_off in ((low, low < start), (high, high > end)):
        tone = "off" if is_off else "end"
        drawn += Markup('<circle class="{}" cx="{:.1f}" cy="{}" r="{}"/>').format(
            tone, x(number), _MIDDLE, 4 if is_off else 2.5
        )
    far = " Beyond the ends of the axis lie values far out." if low < start or high > end else ""
    label = f"From {figure(low)} to {figure(high)}, half of them from {figure(q1)} to {figure(q3)}.{far}"
    return Markup('<svg class="boxplot" viewBox="0 0 300 34" role="img" aria-label="{}">{}</svg>').format(label, drawn)


def _fences(given: Any) -> tuple[float, float] | None:
    if not isinstance(given, Sequence) or len(given) != 2:
        return None
    low, high = _finite(given[0]), _finite(given[1])
    return (low, high) if low is not None and high is not None and low < high else None


def _finite(given: Any) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        number = float(given)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) < 1e300 else None
