"""Rules in words: one sentence for each, to be read by people on a page, on a terminal and in exported files.

Invariant: every type of rule has its sentence, whatever stands in a rule's params a sentence comes out, and nothing from
the table gets into it unprintable or at length.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from tools.data_quality.columns.visible import visible
from tools.data_quality.rules.model import Rule, RuleType

_SHOWN_VALUES: Final = 4
_SHOWN_CHARACTERS: Final = 60
_PLAIN_NAME: Final = re.compile(r"[^\W\d][\w.-]*")
_TYPES: Final = {
    "integer": "whole numbers",
    "decimal": "numbers",
    "date": "dates",
    "time": "times of day",
    "boolean": "yes-or-no values",
}
_OPERATORS: Final = {
    "<=": "is at most",
    "<": "is less than",
    ">=": "is at least",
    ">": "is more than",
    "==": "equals",
    "!=": "differs from",
}
_OPERATORS_OF_TIME: Final = {
    "<=": "is not after",
    "<": "is before",
    ">=": "is not before",
    ">": "is after",
    "==": "is the same as",
    "!=": "differs from",
}

_Params = Mapping[str, Any]


def rule_in_words(rule: Rule, *, with_share: bool = True) -> str:
    """What a rule says, with the share of the table that keeps to it: `lat lies between 19 and 72, in 99.9 % of values`.

    Args:
        rule: Of any type; one with params that mean nothing is named by its type.
        with_share: False leaves the share to who shows it elsewhere. For dependencies, `zip is determined by city in 98.2 %
            of rows`, it is part of what they say, and stays.
    """
    try:
        sentence = _SENTENCES[rule.type](rule.columns, rule.params)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # a rule written by hand may hold anything
        sentence = f"rule {visible(rule.type)} about {_all_of(map(column_in_words, rule.columns), 'and')}"
    if rule.type == "dependency" or not with_share or not rule.support or not rule.violations:
        return sentence
    return f"{sentence}, in {share_in_words(rule.mostly)} of {'rows' if rule.type in _OF_ROWS else 'values'}"


def column_in_words(name: str) -> str:
    """The name of a column, in quotes where it would not be taken for a name."""
    shown = visible(name, _SHOWN_CHARACTERS)
    return shown if _PLAIN_NAME.fullmatch(shown) else f"“{shown}”"


def share_in_words(share: float) -> str:
    """`0.982` as `98.2 %`; never rounded up to a whole that it is not."""
    if share >= 1:
        return "100 %"
    return f"{int(share * 1000 + 1e-9) / 10:g} %"


def _quoted(value: Any) -> str:
    return f"“{visible(value, _SHOWN_CHARACTERS)}”"


def _number(value: Any) -> str:
    if isinstance(value, float) and abs(value) < 1e15:
        return f"{value:.12g}"
    return visible(value, _SHOWN_CHARACTERS)


def _all_of(words: Iterable[str], last: str) -> str:
    """`a, b and c`."""
    *others, final = list(words) or ["nothing"]
    return f"{', '.join(others)} {last} {final}" if others else final


def _some_of(values: Sequence[Any], last: str) -> str:
    words = [_quoted(value) for value in values[:_SHOWN_VALUES]]
    if len(values) > _SHOWN_VALUES:
        words.append(f"{len(values) - _SHOWN_VALUES:,} more")
        last = "and"
    return _all_of(words, last)


def _replacements(params: _Params, between: str) -> str:
    pairs: Sequence[Any] = params["map"]
    bad, good = pairs[0][:2]
    more = f", and {len(pairs) - 1:,} more" if len(pairs) > 1 else ""
    return f"{_quoted(bad)} {between} {_quoted(good)}{more}"


def _placeholder(columns: Sequence[str], params: _Params) -> str:
    words = params["words"]
    stand = "stands" if len(words) == 1 else "stand"
    return f"{column_in_words(columns[0])} is free of {_some_of(words, 'and')}, which {stand} for “no value”"


def _plain_number(columns: Sequence[str], params: _Params) -> str:
    return f"{column_in_words(columns[0])} has its numbers written plainly, without separators or white space"


def _unit(columns: Sequence[str], params: _Params) -> str:
    unit, spellings = params["unit"], list(params["spellings"])
    name = column_in_words(columns[0])
    if not unit:
        return f"{name} has plain numbers, without {_some_of(spellings, 'or')} behind them"
    return f"{name} is a plain number of {_quoted(unit)}, without {_some_of(spellings, 'or')} behind it"


def _type(columns: Sequence[str], params: _Params) -> str:
    held = _TYPES.get(params["type"]) or f"values of type {_quoted(params['type'])}"
    written = f", written as {visible(params['format'], _SHOWN_CHARACTERS)}" if params.get("format") else ""
    return f"{column_in_words(columns[0])} holds {held}{written}"


def _range(columns: Sequence[str], params: _Params) -> str:
    return f"{column_in_words(columns[0])} lies between {_number(params['min'])} and {_number(params['max'])}"


def _regex(columns: Sequence[str], params: _Params) -> str:
    name = column_in_words(columns[0])
    if params.get("shape"):
        return f"{name} has the shape {_quoted(params['shape'])} (A: capital letter, a: small letter, 9: digit)"
    return f"{name} matches {_quoted(params['pattern'])}"


def _set(columns: Sequence[str], params: _Params) -> str:
    values = params["values"]
    how_many = f"one of {len(values):,} values: " if len(values) > _SHOWN_VALUES else ""
    return f"{column_in_words(columns[0])} is {how_many}{_some_of(values, 'or')}"


def _key(columns: Sequence[str], params: _Params) -> str:
    together = "together identify" if len(columns) > 1 else "identifies"
    return f"{_all_of(map(column_in_words, columns), 'and')} {together} a row"


def _dependency(columns: Sequence[str], params: _Params) -> str:
    determinants = params.get("determinants") or [[column] for column in columns[1:]]
    by = []
    for names, share, offset in zip_longest(determinants, params.get("agreement", ()), params.get("offset", ())):
        words = f"by {_all_of(map(column_in_words, names), 'and')}{' together' if len(names) > 1 else ''}"
        if offset:
            words += " of the row before" if offset < 0 else " of the row after"
        if share is not None:
            words += " in every row" if share >= 1 else f" in {share_in_words(share)} of rows"
        by.append(words)
    source = params.get("source")
    told = f"; sources ({column_in_words(source)}) disagree, and what most of them say counts" if source else ""
    return f"{column_in_words(columns[0])} is determined {_all_of(by, 'and')}{told}"


def _merged(columns: Sequence[str], params: _Params) -> str:
    column, other = map(column_in_words, columns[:2])
    return f"{column} does not hold at its end what belongs into {other}"


def _swapped(columns: Sequence[str], params: _Params) -> str:
    a, b = map(column_in_words, columns[:2])
    return f"{a} and {b} do not hold each other's value"


def _compare(columns: Sequence[str], params: _Params) -> str:
    a, b = map(column_in_words, columns[:2])
    operators = _OPERATORS_OF_TIME if params.get("type") in ("date", "time") else _OPERATORS
    return f"{a} {operators[params['operator']]} {b}"


def _location(columns: Sequence[str], params: _Params) -> str:
    latitude, longitude, *by = map(column_in_words, columns)
    near = f"near the other rows of the same {_all_of(by, 'and')}" if by else "on the map where the other rows do"
    return f"{latitude} and {longitude} lie {near}"


def _sign(columns: Sequence[str], params: _Params) -> str:
    return f"{column_in_words(columns[0])} is never {'negative' if params['sign'] > 0 else 'positive'}"


_OF_ROWS: Final[frozenset[RuleType]] = frozenset({"key", "merged", "swapped", "compare", "location", "duplicate_rows"})
_SENTENCES: Final[Mapping[RuleType, Callable[[Sequence[str], _Params], str]]] = {
    "placeholder": _placeholder,
    "trimmed": lambda columns, params: f"{column_in_words(columns[0])} has no white space at either end",
    "encoding": lambda columns, params: (
        f"{column_in_words(columns[0])} was decoded correctly: {_replacements(params, 'should read')}"
    ),
    "plain_number": _plain_number,
    "unit": _unit,
    "variant_map": lambda columns, params: (
        f"{column_in_words(columns[0])} has one spelling for each value: {_replacements(params, 'is usually')}"
    ),
    "typo_map": lambda columns, params: (
        f"{column_in_words(columns[0])} is free of typos: {_replacements(params, 'is meant to be')}"
    ),
    "type": _type,
    "not_null": lambda columns, params: f"{column_in_words(columns[0])} is never empty",
    "range": _range,
    "date_range": _range,
    "regex": _regex,
    "set": _set,
    "unique": lambda columns, params: f"{column_in_words(columns[0])} holds no value twice",
    "key": _key,
    "dependency": _dependency,
    "merged": _merged,
    "swapped": _swapped,
    "compare": _compare,
    "location": _location,
    "sign": _sign,
    "duplicate_rows": lambda columns, params: "no row repeats another",
}
