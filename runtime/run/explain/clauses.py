"""Clauses for values, times, conditions and lists of things, of which explanations are made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from runtime.run.records import Failure

T = TypeVar("T")

MAX_LISTED: Final = 5
"""Things of one kind that a sentence names; the others are counted."""

MAX_VALUE: Final = 80
"""Characters of a value."""


def listed(things: Sequence[T], show: Callable[[T], str], between: str = "; ", total: int = 0) -> str:
    """Return the first few things in words, and how many more there are, of `total` if that is more than are given."""
    words = [show(thing) for thing in things[:MAX_LISTED]]
    more = max(len(things), total) - len(words)
    return between.join([*words, f"and {more} more"] if more else words)


def sentences(clauses: Iterable[str], name: str = "") -> str:
    """Return clauses as sentences, without the empty ones; the first begins with `name`, which stays as it is."""
    text = " ".join(f"{clause[0].upper()}{clause[1:]}".rstrip(".") + "." for clause in clauses if clause)
    return name + text[len(name) :]


def failure(error: Failure) -> str:
    """Return a failure as `CODE: message`."""
    return f"{error.code}: {error.message.rstrip('.')}"


def value(anything: Any) -> str:
    """Return a JSON value, cut where it is long."""
    text = msgspec.json.encode(anything).decode()
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def span(seconds: float) -> str:
    """Return a duration in a unit that fits it."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def instant(time: datetime) -> str:
    """Return a point in time, in UTC."""
    exact = "milliseconds" if time.microsecond else "seconds"
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(' ', exact)} UTC"


def condition(operands: Sequence[Mapping[str, Any]], outcome: bool) -> str:
    """Return what a condition saw, as the reason why it was true, or was not."""
    if len(operands) == 1 and operands[0]["holds"] is outcome:
        return _leaf(operands[0]) if outcome else _verdict(operands[0])
    if outcome and all(leaf["holds"] for leaf in operands):
        return listed(operands, _leaf, ", ")
    return f"its condition is {'true' if outcome else 'false'}: {listed(operands, _verdict, ', ')}"


def _leaf(leaf: Mapping[str, Any]) -> str:
    if "expr" in leaf:
        seen = [f"{name} = {value(known)}" for name, known in leaf["operands"].items()]
        seen += [f"{name} is missing" for name in leaf.get("missing", ())]
        return f"{leaf['expr']}" + (f" ({', '.join(seen)})" if seen else "")
    actual = "missing" if leaf.get("missing") else value(leaf.get("actual"))
    against = "" if leaf["operator"] in ("exists", "not_exists") else f" {value(leaf['value'])}"
    return f"{leaf['field']} ({actual}) {leaf['operator']}{against}"


def _verdict(leaf: Mapping[str, Any]) -> str:
    return f"{_leaf(leaf)} {'holds' if leaf['holds'] else 'does not hold'}"
