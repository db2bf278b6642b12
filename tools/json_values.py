"""Python values that are JSON, exactly: what a tool may return, wherever it runs.

Nothing is coerced. A set, a NaN or a key that is no string is refused with its place, because a value that changes on its way
into a journal or to another process would be another one there. What is accepted is copied, so that nobody keeps a hand on it.
"""

import math
from typing import Any, Final

MAX_DEPTH: Final = 64
MAX_INTEGER: Final = (1 << 63) - 1
MIN_INTEGER: Final = -(1 << 63)
MAX_POINTER: Final = 500
"""Characters after which a pointer to a fault is not made longer."""


def escape(part: str) -> str:
    """Return a key as a part of a JSON pointer."""
    return part.replace("~", "~0").replace("/", "~1")


class NotJson(Exception):
    """A value is not JSON; `pointer` is the JSON pointer to it."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.pointer = ""

    def __str__(self) -> str:
        return f"{self.args[0]} at {self.pointer or 'the top'}"

    def is_under(self, key: object) -> None:
        """Put a step in front of the pointer, on the way out of the nested value."""
        if len(self.pointer) < MAX_POINTER:
            step = str(key).encode("utf-8", "backslashreplace").decode()[:MAX_POINTER]
            self.pointer = f"/{escape(step)}{self.pointer}"


def checked_copy(value: Any, depth: int = 1) -> Any:
    """Return a copy of `value` after checking all of it.

    Raises:
        NotJson: Something in it is not JSON, is nested deeper than `MAX_DEPTH`, or contains itself.
    """
    kind = type(value)
    if kind is str:
        _check_text(value)
    elif kind is int:
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise NotJson("an integer beyond 64 bits")
    elif kind is float:
        if not math.isfinite(value):
            raise NotJson(f"the number {value}, which JSON cannot express,")
    elif kind is dict or kind is list:
        if depth > MAX_DEPTH:
            raise NotJson(f"more than {MAX_DEPTH} levels of nesting")
        return _copied_object(value, depth) if kind is dict else _copied_list(value, depth)
    elif value is not None and kind is not bool:
        raise NotJson(f"a value of type {kind.__name__}, which is not JSON,")
    return value


def _copied_object(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    copied: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is not str:
            raise NotJson(f"a key of type {type(key).__name__}, where JSON has strings,")
        try:
            _check_text(key)
            copied[key] = checked_copy(item, depth + 1)
        except NotJson as error:
            error.is_under(key)
            raise
    return copied


def _copied_list(value: list[Any], depth: int) -> list[Any]:
    copied: list[Any] = []
    try:
        for item in value:
            copied.append(checked_copy(item, depth + 1))  # noqa: PERF401 - the length tells the place of a fault
    except NotJson as error:
        error.is_under(len(copied))
        raise
    return copied


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise NotJson("text with half a surrogate pair") from None
