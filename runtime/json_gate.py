"""The strict JSON gate: bytes from outside in, plain JSON values out, or one clear error.

Every byte string that a client can choose passes here, whichever door it comes through. Its one invariant: what comes
out means exactly what was sent; nothing is repaired, dropped or silently replaced. Lenient parsers do all of that: the
last of two equal keys wins, `NaN` becomes null, a lone surrogate breaks the first encoder it meets.

The order matters. C-level string operations scan the text before anything recurses. Then msgspec parses it, which
already refuses NaN, Infinity, numbers too large for a double and lone surrogates. One flat walk over the result does
the rest: two equal keys show as a member that the text has and the result has not.
"""

import json
import re
from itertools import accumulate
from typing import Any, Final

import msgspec

from runtime.errors import InvalidJson, TooLarge

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1
_BRACKETS: Final = b"[]{}"
_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(_BRACKETS))
_STEPS: Final = bytes.maketrans(
    _BRACKETS, b"\x01\xff\x01\xff"
)  # as signed bytes: +1 for an opening one, -1 for a closing one
_CONTAINERS: Final = frozenset({dict, list})
_DIGITS_TO_ONES: Final = bytes.maketrans(b"023456789", b"111111111")
_WIDE_NUMBER: Final = b"1" * 19  # shorter whole numbers fit into 64 bits
_OFFSET: Final = re.compile(r"\(byte (\d+)\)$")
_BAD_NUMBER: Final = re.compile(r"-?(?:Infinity|NaN|\d[\d.eE+-]{18,}|\d+(?:\.\d+)?[eE]\+?\d{3,})")


def parse(
    data: bytes,
    *,
    max_bytes: int,
    max_depth: int = 64,
    max_keys: int = 10_000,
    max_string: int = 1_048_576,
) -> Any:
    """Return the JSON value that `data` spells, never recursing deeper than `max_depth`.

    Args:
        data: JSON text in UTF-8.
        max_bytes: Longest `data`.
        max_depth: Deepest nesting of arrays and objects; `[[]]` has depth 2.
        max_keys: Most members of one object.
        max_string: Longest string or key, in characters.

    Raises:
        TooLarge: `data` is longer than `max_bytes`.
        InvalidJson: Anything else: the message says what and, where it can, at which byte.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"The JSON text has {len(data):,} bytes; at most {max_bytes:,} are accepted.")
    _require_utf8(data)
    outside, longest_string = _split(data)
    _require_depth(outside, max_depth)
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidJson(_explain(data, error)) from None
    if longest_string > max_string or _WIDE_NUMBER in outside.translate(_DIGITS_TO_ONES):
        _require_scalars(value, max_string)
    members = _require_members(value, max_keys, max_string)
    if members != outside.count(b":"):
        raise InvalidJson(
            f"The key {_repeated_key(data)!r} occurs twice in one object; only one of the values could be kept."
        )
    return value


def _require_utf8(data: bytes) -> None:
    if data.startswith(b"\xef\xbb\xbf"):
        raise InvalidJson("The JSON text starts with a byte order mark (byte 0); send plain UTF-8 without one.")
    if (nul := data.find(b"\0")) >= 0:
        raise InvalidJson(f"There is a NUL byte at byte {nul}; JSON is sent as UTF-8, not as UTF-16 or UTF-32.")
    if data.isascii():
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The JSON text is not UTF-8: {error.reason} at byte {error.start}.") from None


def _split(data: bytes) -> tuple[bytes, int]:
    """Return the text without its strings, and the length of the longest string as it was sent.

    What is left has structure only, so counting in it needs no parser. Backslashes occur inside strings only: masking
    pairs of them first, from the left, leaves one before a quote exactly when that quote is escaped. Text that is not
    JSON may be cut wrongly here; the parser refuses it all the same.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    parts = data.split(b'"')
    return b"".join(parts[::2]), max(map(len, parts[1::2]), default=0)


def _require_depth(outside: bytes, max_depth: int) -> None:
    if outside.count(b"[") + outside.count(b"{") <= max_depth:
        return
    steps = outside.translate(_STEPS, _ALL_BUT_BRACKETS)
    if (depth := max(accumulate(memoryview(steps).cast("b")))) > max_depth:
        raise InvalidJson(f"Arrays and objects are nested {depth:,} deep; at most {max_depth} levels are accepted.")


def _require_members(value: Any, max_keys: int, max_string: int) -> int:
    """Return how many members all objects of `value` have, having checked each key.

    A flat walk over containers only, for lists of plain values are most of what large texts hold.
    """
    members = 0
    todo = [value]
    for item in todo:  # grows while it is read
        kind = type(item)
        if kind is dict:
            members += len(item)
            if len(item) > max_keys:
                raise InvalidJson(f"An object has {len(item):,} keys; at most {max_keys:,} are accepted.")
            for key in item:
                if len(key) > max_string or "\0" in key:
                    raise InvalidJson(_explain_key(key, max_string))
            item = item.values()
        elif kind is not list:
            break  # only the whole text can be a plain value
        if not _CONTAINERS.isdisjoint(map(type, item)):
            todo += [child for child in item if child and type(child) in _CONTAINERS]
    return members


def _require_scalars(value: Any, max_string: int) -> None:
    todo = [value]
    for item in todo:
        if isinstance(item, dict):
            todo += item.values()
        elif isinstance(item, list):
            todo += item
        elif isinstance(item, str):
            if len(item) > max_string:
                raise InvalidJson(f"A string has {len(item):,} characters; at most {max_string:,} are accepted.")
        elif isinstance(item, int) and not _INT_MIN <= item <= _INT_MAX:
            raise InvalidJson(
                f"The whole number {_shortened(str(item))} does not fit into 64 bits; send it as a string."
            )


def _explain(data: bytes, error: Exception) -> str:
    reason = str(error)
    if isinstance(error, RecursionError):
        return "Arrays and objects are nested too deep."
    if isinstance(error, msgspec.ValidationError) or "invalid character" in reason:
        number = _BAD_NUMBER.search(_split(data)[0].decode("utf-8", "replace"))
        if number is not None:
            return f"{_shortened(number[0])} is not a number that JSON and a 64-bit double can hold."
    reason = reason.removeprefix("JSON is malformed: ")
    if "surrogate" in reason or (
        "truncated" in reason and data.rstrip()[-1:] in b'"]}' and re.search(rb"\\u[dD][89abAB]", data)
    ):
        return "A string has half of a surrogate pair (\\ud800 to \\udfff alone), which is no character."
    if "truncated" in reason:
        return (
            f"The JSON text ends too early, at byte {len(data)}."
            if data.strip()
            else "There is no JSON text: it is empty."
        )
    if (offset := _OFFSET.search(reason)) is None:
        return f"This is not JSON: {reason}."
    at = int(offset[1])
    line = data.count(b"\n", 0, at) + 1
    column = at - (data.rfind(b"\n", 0, at) + 1) + 1
    return f"This is not JSON: {reason[: offset.start()].rstrip()} at byte {at} (line {line}, column {column})."


def _explain_key(key: str, max_string: int) -> str:
    if len(key) > max_string:
        return f"A key has {len(key):,} characters; at most {max_string:,} are accepted."
    return f"The key {_shortened(key)!r} holds a NUL character, which no key may."


def _repeated_key(data: bytes) -> str:
    """Return the first key that occurs twice in its object; slow, for the message only."""

    def first_repeated(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found.append(key)
                return
            seen.add(key)

    found: list[str] = []
    json.loads(data, object_pairs_hook=first_repeated)
    return _shortened(found[0]) if found else "?"


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:30]}… ({len(text):,} characters)"
