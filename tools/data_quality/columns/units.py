"""Numbers written with a unit: `12.0 oz`, `0.05%`, `$ 1,200`.

Invariant: reading splits a text into a number and the rest, and the two written together again say the same.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tools.data_quality.columns.cells import without_separators

_MEASURED: Final = re.compile(
    r"(?P<before>[$€£¥])?\s*(?P<number>[+-]?(?:\d[\d,]*\.?\d*|\.\d+))(?P<gap>\s*)(?P<unit>[^\W\d_][^\d]{0,23}|[%‰$€£¥]|°\s?[A-Za-z]?)?"
)
_MOST_WORDS: Final = 2
_LETTERS: Final = frozenset("ghlLmst")
"""Single letters that are units right behind a number; others are more often a part of it: a house (12B), thousands (5K)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A number with its unit.

    Attributes:
        number: Written plainly, as it was.
        unit: As written, without white space around it; empty for a plain number.
        gap: White space between the two.
    """

    number: str
    unit: str
    gap: str = ""


def read_measured(text: str, letters: Collection[str] = _LETTERS) -> Measured | None:
    """The number and the unit in a trimmed text; None where it is something else: a code, or a sentence.

    Args:
        text: Without white space around it.
        letters: The letters that are units right behind a number.
    """
    match = _MEASURED.fullmatch(text)
    if match is None:
        return None
    number = without_separators(match["number"])
    if number is None:
        return None
    unit = re.sub(r"\s*/\s*", "/", (match["unit"] or "").strip())
    if len(unit) == 1 and unit.isalpha() and unit not in letters and not match["gap"]:
        return None
    if match["before"]:
        return None if unit else Measured(number, match["before"])
    return None if len(unit.split()) > _MOST_WORDS else Measured(number, unit, match["gap"])


def bare_unit(unit: str) -> str:
    """The unit without what spellings of it differ in: case, full stops, white space and a plural s."""
    plain = re.sub(r"[\s.]", "", unit).casefold()
    return plain[:-1] if len(plain) > 3 and plain.endswith("s") else plain
