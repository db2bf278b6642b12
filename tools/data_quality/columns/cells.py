"""How one cell is read: is it missing, is it a number, what shape does it have.

Everything here looks at a single value and knows no column. Invariant: reading never changes a value; the only functions
that make a new one (`without_separators`, `as_number`) give the same number written plainly, or None.
"""

import math
import re
from typing import Final

Cell = str | int | float | bool | None
"""One value of a dataset: what JSON allows inside a row, or what a file's column holds."""

PLACEHOLDERS: Final = frozenset(
    {"", "-", "--", "---", "?", "??", "???", ".", "..", "#n/a", "#na", "#null!", "#value!", "#ref!", "#div/0!"}
    | {"(null)", "<na>", "n.a.", "n/a", "na", "nan", "nil", "null", "\\n", "n.d."}
)
"""Marks that programs write for "no value", trimmed and in lower case. The empty one is a cell of white space alone."""

UNKNOWNS: Final = frozenset(
    {"unknown", "undefined", "missing", "empty", "none", "not available", "not applicable", "not known", "not given"}
    | {"not specified", "unspecified", "not reported", "no data", "tbd", "to be determined"}
)
"""Words by which a person says that a value is missing: no error of writing, and in some columns a value of its own."""

SENTINELS: Final = frozenset(sign * (10**digits - 1) for sign in (-1, 1) for digits in range(2, 9))
"""Numbers such as 9999 that often stand for "no value"; only what lies far outside its column is taken for one."""

_PLAIN_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_GROUPED_NUMBER: Final = re.compile(r"[+-]?\d{1,3}([ ,'\u00a0\u202f])\d{3}(?:\1\d{3})*(?:\.\d+)?", re.ASCII)
_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d+,\d{1,2}", re.ASCII)
_DIGITS_A_FLOAT_KEEPS: Final = 15
_SHOWN_CHARACTERS: Final = 120


def is_empty(cell: Cell) -> bool:
    """True for null and for an empty text: nothing was written there at all."""
    return cell is None or cell == ""


def word(cell: Cell) -> str:
    """The cell as a trimmed lower-case word, so that `" N/A"` and `n/a`, or `9999` and `"9999"`, are the same."""
    if isinstance(cell, str):
        return cell.strip().casefold()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).casefold()


def is_placeholder(cell: Cell) -> bool:
    """True when something is written which stands for "no value"; also for a float that is not a number."""
    if isinstance(cell, str):
        return cell != "" and word(cell) in PLACEHOLDERS
    return isinstance(cell, float) and math.isnan(cell)


def is_unknown(cell: Cell) -> bool:
    """True for a word such as "unknown"."""
    return isinstance(cell, str) and word(cell) in UNKNOWNS


def folded(text: str) -> str:
    """The text without what readers overlook: case and white space, so that spellings of one value are equal."""
    return " ".join(text.split()).casefold()


def ending_of(one: str, other: str) -> str:
    """What the longer of two texts has behind the shorter one; empty where it does not begin with it, or is equal."""
    shorter, longer = sorted((one, other), key=len)
    return longer[len(shorter) :] if longer.startswith(shorter) else ""


def read_number(cell: Cell) -> float | None:
    """The number in a cell, also with white space around it or separators between thousands."""
    if isinstance(cell, bool) or cell is None:
        return None
    if isinstance(cell, str):
        text = cell.strip()
        if not _PLAIN_NUMBER.fullmatch(text):
            plain = without_separators(text)
            if plain is None:
                return None
            text = plain
        number = float(text)
    else:
        try:
            number = float(cell)
        except OverflowError:
            return None
    return number if math.isfinite(number) else None


def is_plain_number(cell: Cell) -> bool:
    """True for a number, and for a text that is one as it stands."""
    if isinstance(cell, str):
        return _PLAIN_NUMBER.fullmatch(cell) is not None
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def without_separators(text: str) -> str | None:
    """`" 1,234.50"` as `"1234.50"`; None when the text is no number written plainly or with separators."""
    text = text.strip()
    if _PLAIN_NUMBER.fullmatch(text):
        return text
    match = _GROUPED_NUMBER.fullmatch(text)
    return text.replace(match[1], "") if match else None


def as_number(text: str) -> int | float | None:
    """The number a text holds, or None when a float could not keep every digit of it."""
    plain = without_separators(text)
    if plain is None:
        return None
    if plain.lstrip("+-").isdigit():
        return int(plain) if len(plain) <= _SHOWN_CHARACTERS else None
    number = float(plain)
    return number if math.isfinite(number) and sum(map(str.isdigit, plain)) <= _DIGITS_A_FLOAT_KEEPS else None


def tidy_number(cell: Cell, *, as_text: bool, grouping_is_safe: bool) -> Cell:
    """The same number written plainly, as a text or as a number; the cell itself where nothing can or need be done."""
    if not isinstance(cell, str) or (as_text and is_plain_number(cell)):
        return cell
    if not grouping_is_safe and not is_plain_number(cell.strip()):
        return cell
    plain = without_separators(cell) if as_text else as_number(cell)
    return cell if plain is None else plain


def has_decimal_comma(cell: Cell) -> bool:
    """True for `3,5`: beside it, `1,234` may be a little more than one, and is left alone."""
    return isinstance(cell, str) and _DECIMAL_COMMA.fullmatch(cell.strip()) is not None


class _ShapeOfCharacter(dict[int, str]):
    def __missing__(self, code: int) -> str:
        character = chr(code)
        shape = character
        if character.isdigit():
            shape = "9"
        elif character.isalpha():
            shape = "A" if character.isupper() else "a"
        return self.setdefault(code, shape)


_SHAPES: Final = _ShapeOfCharacter()


def shape_of(text: str) -> str:
    """`"AB-104"` as `"AA-999"`: capital letters, small letters and digits, all else as it is."""
    return text.translate(_SHAPES)


def shape_without_lengths(shape: str) -> str:
    """`"AA-999"` as `"A-9"`: how many letters or digits stand together no longer counts."""
    return re.sub(r"([Aa9])\1+", r"\1", shape)


def shown(cell: Cell) -> Cell:
    """The cell as JSON that fits in a report: long texts are cut, and a float that is not finite becomes a text."""
    if isinstance(cell, str) and len(cell) > _SHOWN_CHARACTERS:
        return cell[: _SHOWN_CHARACTERS - 1] + "…"
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(cell)
    return cell
