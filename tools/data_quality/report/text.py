"""Values, changes and counts as HTML that shows them as they are and cannot become anything else.

Invariant: every text of a table goes through `escape`; each value stands in an element of its own that isolates its
direction of writing; a difference that cannot be seen (spaces at an end, invisible characters) is made visible.
"""

import json
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

from markupsafe import Markup, escape

from tools.data_quality.columns.cells import Cell
from tools.data_quality.columns.visible import SHOWN_CHARACTERS, glyphs, text_of, visible

EMPTY: Final = Markup('<span class="nil">empty</span>')

_COMPARED_CHARACTERS: Final = 2_000  # a page of a thousand changes is to be there at once, whatever the cells hold
_BEFORE_A_DIFFERENCE: Final = 30
_SHOWN_EVIDENCE: Final = 8

_Range = tuple[int, int]


def value(cell: Cell, most: int = SHOWN_CHARACTERS) -> Markup:
    """A cell; a long one is cut, and its length said."""
    return _marked(text_of(cell), (0, 0), "ins", 0, most)


def change(old: Cell, new: Cell) -> tuple[Markup, Markup]:
    """Both cells, with what differs marked where they are alike otherwise; long ones are shown around the difference."""
    before, after = text_of(old), text_of(new)
    start = same_end = 0
    shorter = min(len(before), len(after), _COMPARED_CHARACTERS)
    while start < shorter and before[start] == after[start]:
        start += 1
    while same_end < shorter - start and before[-1 - same_end] == after[-1 - same_end]:
        same_end += 1
    is_alike = 2 * (start + same_end) >= max(len(before), len(after))
    first = max(0, start - _BEFORE_A_DIFFERENCE) if max(len(before), len(after)) > SHOWN_CHARACTERS else 0
    old_range, new_range = ((start, len(text) - same_end) if is_alike else (0, 0) for text in (before, after))
    return _marked(before, old_range, "del", first), _marked(after, new_range, "ins", first)


def _marked(text: str, marked: _Range, tag: str, first: int, most: int = SHOWN_CHARACTERS) -> Markup:
    if not text:
        return EMPTY
    end = min(len(text), first + most)
    shown = glyphs(text[: end + 1])[first:end]  # one more, lest a cut make an edge
    parts = [escape("…")] if first else []
    for (is_marked, is_itself), group in groupby(
        range(first, end), lambda place: (marked[0] <= place < marked[1], shown[place - first] == text[place])
    ):
        part = escape("".join(shown[place - first] for place in group))
        if not is_itself:
            part = Markup('<span class="esc">{}</span>').format(part)
        parts.append(Markup("<{0}>{1}</{0}>").format(tag, part) if is_marked else part)
    rest = Markup("")
    if end < len(text):
        rest = Markup('<span class="cut">… {} characters</span>').format(number(len(text)))
    return Markup('<bdi class="v">{}</bdi>{}').format(Markup("").join(parts), rest)


def evidence(items: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a judgement rests on, as (name, value) in words; at most eight."""
    return [
        (visible(str(key).replace("_", " "), 40), _json(item)) for key, item in list(items.items())[:_SHOWN_EVIDENCE]
    ]


def _json(item: Any) -> str:
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, int | float):
        return figure(item)
    if isinstance(item, str):
        return visible(item, 80)
    if isinstance(item, list | tuple) and all(isinstance(entry, str | int | float | None) for entry in item):
        return visible(", ".join(text_of(entry)[:80] for entry in item[:20]), 120)
    return visible(json.dumps(item, ensure_ascii=False, default=str), 120)


def number(count: int) -> str:
    """`1458` as `1,458`."""
    return f"{count:,}"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 row`, `2 rows`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def figure(amount: Any) -> str:
    """A measured number, to six digits; anything else as it is."""
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not abs(amount) < 1e300:
        return visible(amount, 40)
    if abs(amount) < 1e15 and amount == int(amount):
        return f"{int(amount):,}".replace("-", "−")  # noqa: RUF001  # the minus sign, as wide as a digit
    return f"{amount:,.6g}".replace("-", "−")  # noqa: RUF001


def percent(part: float, whole: float) -> str:
    """A share to one decimal; only nothing is `0 %`, and only everything `100 %`."""
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    if share < 0.1:
        return "< 0.1 %"
    if part < whole and share > 99.9:
        return "> 99.9 %"
    return f"{share:.1f} %".replace(".0 %", " %")
