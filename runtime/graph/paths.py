"""Dotted paths into JSON values, such as `items.0.id`: keys of objects and indexes of lists, never attributes."""

from typing import Any, Final

MISSING: Final = object()


def member(value: Any, part: str) -> Any:
    """Return what `value` has under one part of a path, or `MISSING`."""
    if isinstance(value, dict):
        return value.get(part, MISSING)
    if isinstance(value, list) and part.isascii() and part.isdigit() and len(part) <= 9 and int(part) < len(value):
        return value[int(part)]
    return MISSING


def follow(value: Any, path: str) -> Any:
    """Return what the path leads to from `value`, or `MISSING`."""
    for part in path.split("."):
        value = member(value, part)
    return value
