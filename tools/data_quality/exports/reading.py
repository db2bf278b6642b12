"""How a cell is read before a rule judges it, and the tests that several exports share.

The rules of a table are applied in order: placeholders are emptied and white space is trimmed before later rules look at a
value. Another tool has no such order, so an export has to tell it. Patterns are written in what the engines of all three
tools understand alike (RE2, Python's `re`, Rust's `regex`): no look-around, no back-references, no classes of Unicode.

Invariant: a pattern begins with `^` and ends with `$`, since some of the tools search and others match from the start.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tools.data_quality.columns.study import Semantic
from tools.data_quality.exports.coverage import TIDYING, Unsupported, is_strict
from tools.data_quality.rules.model import Rule

BLANK: Final = r"[\s\xa0]"  # RE2's \s is that of ASCII; the no-break space is the one that files hold besides
NUMBER: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
GROUPED: Final = "(?:" + "|".join(
    rf"[+-]?[0-9]{{1,3}}(?:{mark}[0-9]{{3}})+(?:\.[0-9]+)?" for mark in (" ", ",", "'", "\\xa0", "\u202f")
) + ")"  # fmt: skip
_MEASURED: Final = r"[+-]?(?:[0-9][0-9,]*\.?[0-9]*|\.[0-9]+)"
_UNIT: Final = r"[^\s0-9!-@\[-`{-~][^0-9]{0,23}|%|‰|°\s?[A-Za-z]?"  # a letter is what is no digit, space or mark
_CURRENCIES: Final = "$€£¥"
_BOOLEANS: Final = ("true", "false", "yes", "no", "y", "n", "t", "f", "1", "0")
ISO_DATE: Final = "%Y-%m-%d"


@dataclass(frozen=True, slots=True)
class Reading:
    """How the cells of one column are to be read.

    Attributes:
        words: Lower-case words that stand for "no value" in this column.
        is_untrimmed: Some cells have white space at their ends.
        is_grouped: Some numbers have separators between thousands.
        is_number: Every filled cell is a number, plainly written: a tool with types may read it as one.
        date_format: Format of its dates or times, as for `strptime`.
    """

    words: tuple[str, ...] = ()
    is_untrimmed: bool = False
    is_grouped: bool = False
    is_number: bool = False
    date_format: str | None = None

    @property
    def is_tidy(self) -> bool:
        """True when a value can be judged as it stands."""
        return not self.words and not self.is_untrimmed


@dataclass(frozen=True, slots=True)
class Matching:
    """A text must match a pattern; with `wanted` False it must not."""

    pattern: str
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Listed:
    """A text must be one of these; with `wanted` False it must be none of them."""

    values: tuple[str, ...]
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Bounded:
    """A number must lie within bounds that belong to it, None being no bound; with `wanted` False it must not."""

    low: float | None
    high: float | None
    wanted: bool = True


Test = Matching | Listed | Bounded


def readings(
    rules: Sequence[Rule], columns: Mapping[str, Semantic], missing_words: Mapping[str, Sequence[str]]
) -> dict[str, Reading]:
    """How each column is to be read, from the rules that speak about how its values are written.

    Args:
        rules: All rules of the table.
        columns: The columns of the table.
        missing_words: Words of a column that no rule is asked about, besides those of its placeholder rule.
    """
    return {
        name: _reading([rule for rule in rules if rule.columns == [name]], missing_words.get(name, ()))
        for name in columns
    }


def cell_test(rule: Rule, reading: Reading) -> Test | None:
    """What a rule asks of each filled cell of its column by itself; None where it asks for more or for something else.

    Raises:
        Unsupported: the params are not those of a rule of this type, or a text does not show what breaks it.
    """
    try:
        return _cell_test(rule, reading)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unsupported(f"its params are not those of a rule of type {rule.type}") from error


def anchored(pattern: str) -> str:
    """A pattern that only the whole value matches."""
    return f"^(?:{_bare(pattern)})$"


def tolerant(pattern: str, reading: Reading) -> str:
    """An anchored pattern that also matches what is tidied before the rule is asked."""
    if reading.is_tidy:
        return pattern
    words = f"|(?i:{_one_of(reading.words)})" if reading.words else ""
    return f"^{BLANK}*(?:{_bare(pattern)}{words}){BLANK}*$"


def as_pattern(listed: Listed) -> Matching:
    """The same test as a pattern."""
    return Matching(anchored(_one_of(listed.values)), listed.wanted)


def _reading(rules: Sequence[Rule], missing_words: Sequence[str]) -> Reading:
    words = list(missing_words)
    date_format: str | None = None
    number = grouped = untrimmed = False
    untidy = bool(missing_words)
    for rule in rules:
        is_broken = not is_strict(rule) or rule.violations > 0
        if rule.type == "placeholder":
            words += map(str, rule.params.get("words") or ())
        if rule.type in ("type", "date_range") and isinstance(rule.params.get("format"), str):
            date_format = rule.params["format"]
        number = number or (rule.type == "type" and rule.params.get("type") in ("integer", "decimal") and not is_broken)
        untidy = untidy or (rule.type in TIDYING and is_broken)
        untrimmed = untrimmed or (rule.type in ("trimmed", "plain_number") and is_broken)
        grouped = grouped or (rule.type == "plain_number" and is_broken and bool(rule.params.get("grouping_is_safe")))
    # The empty word is a cell of white space alone, which is empty once it is trimmed.
    filled = tuple(sorted({word.strip().lower() for word in words} - {""}))
    return Reading(filled, untrimmed or "" in words, grouped, number and not untidy, date_format)


def _cell_test(rule: Rule, reading: Reading) -> Test | None:
    params = rule.params
    match rule.type:
        case "placeholder":
            return Matching(f"^{BLANK}*(?i:{_one_of(params['words'])}){BLANK}*$", wanted=False)
        case "trimmed":
            return Matching(rf"^(?:{BLANK}(?s:.*)|(?s:.*){BLANK})$", wanted=False)
        case "plain_number":
            return _plain_number(params["as_text"], params["grouping_is_safe"])
        case "unit":
            return _unit(params["unit"], sorted(params["spellings"]))
        case "encoding" | "variant_map" | "typo_map":
            return Listed(tuple(str(entry[0]) for entry in params["map"]), wanted=False)
        case "type":
            return _type(params["type"], reading)
        case "regex":
            return Matching(anchored(str(params["pattern"])))
        case "set":
            return Listed(tuple(map(str, params["values"])))
        case "range":
            return Bounded(float(params["min"]), float(params["max"]))
        case "sign":
            return _sign(params["sign"], params.get("from"), params.get("to"))
        case _:
            return None


def _plain_number(as_text: bool, grouping_is_safe: bool) -> Test:
    if not as_text:
        raise Unsupported("texts among numbers are told apart by type, which a file of texts does not have")
    padded = f"{BLANK}+{NUMBER}{BLANK}*|{BLANK}*{NUMBER}{BLANK}+"
    grouped = f"|{BLANK}*{GROUPED}{BLANK}*" if grouping_is_safe else ""
    return Matching(anchored(padded + grouped), wanted=False)


def _bare(pattern: str) -> str:
    """The pattern without its anchors; a dollar sign that stands for itself is none."""
    before = re.fullmatch(r"(?s:\^?((?:[^\\]|\\.)*?)\$?)", pattern)
    return before[1] if before else pattern


def _unit(unit: str | None, spellings: Sequence[str]) -> Test:
    if not spellings:
        # All write the one unit. What does not begin like a number is no measure, and not this rule's concern.
        other = r"[^0-9+\-.\s$€£¥](?s:.*)"
        return Matching(f"^{BLANK}*(?:{_MEASURED}{BLANK}*(?:{_one_of([str(unit)])})|{other}){BLANK}*$")
    behind = f"{_MEASURED}{BLANK}*(?:{_one_of(spellings)})"
    signs = [spelling for spelling in spellings if spelling in _CURRENCIES and spelling]
    before = f"|(?:{_one_of(signs)}){BLANK}*{_MEASURED}" if signs else ""
    return Matching(f"^{BLANK}*(?:{behind}{before}){BLANK}*$", wanted=False)


def _sign(sign: int, low: float | None, high: float | None) -> Test:
    """With the sizes that are usual here, only a number of such a size has the wrong sign."""
    if low is None or high is None:
        return Bounded(0, None) if sign > 0 else Bounded(None, 0)
    sizes = (-float(high), -float(low)) if sign > 0 else (float(low), float(high))
    return Bounded(*sizes, wanted=False)


def _type(name: str, reading: Reading) -> Test | None:
    grouped = f"|{GROUPED}" if reading.is_grouped else ""
    match name:
        case "integer":
            return Matching(anchored(r"[+-]?[0-9]+(?:\.0*)?" + grouped))
        case "decimal":
            return Matching(anchored(NUMBER + grouped))
        case "unit_number":
            return Matching(anchored(f"[{_CURRENCIES}]?{BLANK}*{_MEASURED}{BLANK}*(?:{_UNIT})?"))
        case "boolean":
            return Matching(anchored(f"(?i:{_one_of(_BOOLEANS)})"))
        case "date" | "time" | "datetime":
            return None  # which days exist is no matter of patterns
    raise ValueError(name)


def _one_of(values: Sequence[str]) -> str:
    """Alternatives, the longer first, so that an engine that takes the first that fits takes the whole."""
    if not values:
        raise ValueError(values)
    return "|".join(re.escape(value) for value in sorted(map(str, values), key=lambda value: (-len(value), value)))
