"""How much room a part of the page takes, so that the page stays small whatever the table holds.

Counting entries is not enough: a value of 120 characters is 120 bytes as a rule, and two thousand where each second one is
invisible and written out. Invariant: what is measured is what the template writes, but for markup that it adds itself.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeVar

from markupsafe import escape

WAITING: Final = 600_000
REPAIRED: Final = 200_000
ANOMALIES: Final = 200_000
COLUMNS: Final = 400_000
RULES: Final = 250_000
DEPENDENCIES: Final = 60_000
NAMES: Final = 20_000
"""Bytes for each section, which together stay below 2 MB."""

_MARKUP: Final = 400
"""Bytes that the template adds to an entry, more or less."""

_T = TypeVar("_T")


def taken(item: Any) -> int:
    """Bytes that an entry takes on the page."""
    return _MARKUP + _bytes(item)


def fitting(items: Iterable[_T], room: int) -> Iterator[_T]:
    """The first items that fit into the room; always the first one."""
    for place, item in enumerate(items):
        room -= taken(item)
        if room < 0 and place:
            return
        yield item


def _bytes(item: Any) -> int:
    if isinstance(item, str):
        return len(escape(item).encode())
    if isinstance(item, list | tuple):
        return sum(map(_bytes, item))
    if is_dataclass(item):
        return sum(_bytes(getattr(item, field.name)) for field in fields(item))
    return 0
