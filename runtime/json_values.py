"""Python values that are JSON: copying, measuring and encoding them. What counts as JSON is said in `tools.json_values`."""

from typing import Any, Final

import msgspec

from tools.json_values import MAX_DEPTH, MAX_INTEGER, MIN_INTEGER, NotJson, checked_copy

__all__ = [
    "MAX_DEPTH",
    "MAX_INTEGER",
    "MIN_INTEGER",
    "NotJson",
    "canonical",
    "checked_copy",
    "copy_json",
    "encoded_size",
]

_encode = msgspec.json.Encoder().encode


def copy_json(value: Any) -> Any:
    """Return a copy of a value that is known to be JSON; scalars are shared."""
    kind = type(value)
    if kind is dict:
        return {key: copy_json(item) if type(item) in _CONTAINERS else item for key, item in value.items()}
    if kind is list:
        return [copy_json(item) if type(item) in _CONTAINERS else item for item in value]
    return value


def encoded_size(value: Any) -> int:
    """Return the number of bytes of a JSON value, encoded."""
    return len(_encode(value))


def canonical(value: Any) -> bytes:
    """Return the one encoding of a JSON value: keys sorted, no white space."""
    return msgspec.json.encode(value, order="sorted")


_CONTAINERS: Final = (dict, list)
