"""Kinds of anomalies, amounts and values, in the words of a reader."""

from collections.abc import Mapping
from typing import Final

_KINDS: Final = {
    "missing": "missing values",
    "placeholder": "placeholders",
    "type": "values of another type",
    "format": "other spellings",
    "unit": "units",
    "encoding": "wrong character sets",
    "typo": "typos",
    "rare_category": "rare categories",
    "outlier": "outliers",
    "dependency": "contradictions",
    "merged": "merged cells",
    "swapped": "exchanged cells",
    "date": "impossible dates",
    "geography": "misplaced places",
    "sign": "wrong signs",
    "order": "pairs out of order",
    "duplicate_row": "repeated rows",
}
_SHOWN: Final = 40


def count(number: int, one: str, many: str | None = None) -> str:
    """Return `1 row`, `1,458 rows`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def kind(name: str) -> str:
    """Return the name of a kind of anomaly, for many of them."""
    return _KINDS.get(name, name)


def most_frequent(by_kind: Mapping[str, int]) -> str:
    """Return `103 of them missing values`."""
    name, number = max(by_kind.items(), key=lambda item: item[1])
    return f"{number:,} of them {kind(name)}"


def duration(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def shown(value: object) -> str:
    """Return a value of a cell as it may stand in a sentence or a table."""
    text = "(empty)" if value is None or value == "" else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
