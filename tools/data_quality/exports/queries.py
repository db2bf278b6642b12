"""Rules as SQL: a query that counts the rows which break a rule, or says which share of the judged rows does.

The dialect is DuckDB's. Every column is read as a text, whatever type it has, so that a query runs on a file as it is and
on a table with types alike. Names and values come from data that nobody has looked at, so each passes through
`identifier` or `literal`. Invariant: a query is one SELECT that reads the one table.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from tools.data_quality.exports.coverage import Unsupported, is_strict
from tools.data_quality.exports.reading import (
    BLANK,
    GROUPED,
    NUMBER,
    Bounded,
    Listed,
    Matching,
    Reading,
    anchored,
    cell_test,
)
from tools.data_quality.rules.model import Rule, RuleType

_OPERATORS: Final = ("<=", "<", ">=", ">", "=", "==", "!=")
# Runners of contracts replace `${table}` and `{column}` anywhere in a query, and `${NAME}` by an environment variable.
_PLACEHOLDER: Final = re.compile(r"\{(?=[A-Za-z_])")
_SEPARATORS: Final = "[ ,'\\xa0\u202f]"
_LAST_WORDS: Final = tuple(rf"\S ((?:\S+ ){{{more}}}\S+)$" for more in range(3))
_HALF_A_DAY: Final = 43_200  # seconds
_AS_WRITTEN: Final[frozenset[RuleType]] = frozenset({"placeholder", "trimmed", "plain_number", "unit"})


@dataclass(frozen=True, slots=True)
class _Cells:
    """What a rule looks at: a SELECT, and two conditions on its columns."""

    select: str
    judged: str
    broken: str


def violations(rule: Rule, table: str, columns: Mapping[str, Reading]) -> str:
    """A query for the number of violations; for a rule with exceptions, their share of the judged rows in percent.

    Raises:
        Unsupported: no single query can tell what breaks the rule.
    """
    write = _WRITERS.get(rule.type, _of_cells)
    cells = write(rule, identifier(table), columns)
    start = f"WITH cells AS (\n  {cells.select}\n)\n"
    if is_strict(rule):
        return f"{start}SELECT count(*)\nFROM cells\nWHERE {cells.judged} AND {cells.broken}"
    # Rounded, since 100.0 * 3 / 1000 is not the number nearest to 0.3 in every engine.
    share = f"100.0 * count(*) FILTER (WHERE {cells.broken}) / nullif(count(*), 0)"
    return f"{start}SELECT coalesce(round({share}, 6), 0)\nFROM cells\nWHERE {cells.judged}"


def identifier(name: str) -> str:
    """The quoted name of a column or table.

    Raises:
        Unsupported: the name cannot be written so that every runner reads it as it is.
    """
    if _PLACEHOLDER.search(name):
        raise Unsupported(f"runners of contracts would replace a part of the name {name!r}")
    return '"' + _checked(name).replace('"', '""') + '"'


def literal(text: str) -> str:
    """The quoted text, taken apart where a runner would take it for a placeholder."""
    return "'" + _PLACEHOLDER.sub("{' || '", _checked(text).replace("'", "''")) + "'"


def _checked(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Unsupported("a name or value has a character that SQL cannot hold")
    return text


def _raw(name: str) -> str:
    return f"nullif(CAST({identifier(name)} AS VARCHAR), '')"


def _tidy(name: str, reading: Reading) -> str:
    """The text of a cell after what earlier rules do to it; null where it stands for "no value"."""
    text = _raw(name)
    if reading.is_untrimmed:
        text = f"nullif(regexp_replace({text}, {literal(f'^{BLANK}+|{BLANK}+$')}, '', 'g'), '')"
    if reading.words:
        words = ", ".join(map(literal, reading.words))
        text = f"CASE WHEN lower({text}) IN ({words}) THEN NULL ELSE {text} END"
    return text


def _number(text: str, reading: Reading) -> str:
    if reading.is_grouped:
        plain = f"regexp_replace({text}, {literal(_SEPARATORS)}, '', 'g')"
        text = f"CASE WHEN regexp_matches({text}, {literal(anchored(GROUPED))}) THEN {plain} ELSE {text} END"
    return f"TRY_CAST(regexp_extract({text}, {literal(anchored(NUMBER))}) AS DOUBLE)"


def _moment(text: str, pattern: str) -> str:
    """The moment a text says; DuckDB reads a.m. in any case, but not with full stops."""
    read = re.sub(r"%(?:P|\.p)", "%p", pattern)
    if read != pattern:
        text = f"regexp_replace({text}, '(?i)([ap])\\.?m\\.?', '\\1m')"
    return f"TRY_STRPTIME({text}, {literal(read)})"


def _of_cells(rule: Rule, table: str, columns: Mapping[str, Reading]) -> _Cells:
    """A rule that asks the same of every filled cell of one column."""
    if len(rule.columns) != 1:
        raise Unsupported(f"a rule of type {rule.type} speaks about one column")
    name = rule.columns[0]
    text = _raw(name) if rule.type in _AS_WRITTEN else _tidy(name, columns[name])
    test = cell_test(rule, columns[name])
    if isinstance(test, Bounded):
        bounds = [f"number < {test.low!r}"] if test.low is not None else []
        bounds += [f"number > {test.high!r}"] if test.high is not None else []
        outside = " OR ".join(bounds)
        select = f"SELECT value, {_number('value', columns[name])} AS number FROM (SELECT {text} AS value FROM {table})"
        return _Cells(select, "value IS NOT NULL", f"({outside})" if test.wanted else f"NOT ({outside})")
    if isinstance(test, Matching):
        holds = f"regexp_matches(value, {literal(test.pattern)})"
    elif isinstance(test, Listed):
        holds = f"value IN ({', '.join(map(literal, test.values))})"
    else:
        raise Unsupported(f"no query says what breaks a rule of type {rule.type}")
    broken = f"NOT {holds}" if test.wanted else holds
    return _Cells(f"SELECT {text} AS value FROM {table}", "value IS NOT NULL", broken)


def _type(rule: Rule, table: str, columns: Mapping[str, Reading]) -> _Cells:
    if rule.params.get("type") not in ("date", "time", "datetime"):
        return _of_cells(rule, table, columns)
    name = rule.columns[0]
    moment = _moment("value", _format_of(rule, name, columns))
    return _Cells(
        f"SELECT {_tidy(name, columns[name])} AS value FROM {table}", "value IS NOT NULL", f"{moment} IS NULL"
    )


def _not_null(rule: Rule, table: str, columns: Mapping[str, Reading]) -> _Cells:
    return _Cells(f"SELECT {_raw(rule.columns[0])} AS value FROM {table}", "TRUE", "value IS NULL")


def _date_range(rule: Rule, table: str, columns: Mapping[str, Reading]) -> _Cells:
    name = rule.columns[0]
    pattern = _format_of(rule, name, columns)
    if not re.search("%[Yy]", pattern):
        raise Unsupported("its bounds are those of a whole day, which every time of day lies between")
    text = _tidy(name, columns[name])
    low, high = (f"DATE '{_day(rule, key)}'" for key in ("min", "max"))
    select = f"SELECT {text} AS value, CAST({_moment(text, pattern)} AS DATE) AS day FROM {table}"
    return _Cells(select, "value IS NOT NULL", f"day NOT BETWEEN {low} AND {high}")


def _compare(rule: Rule, table: str, columns: Mapping[str, Reading]) -> _Cells:
    if len(rule.columns) != 2:
        raise Unsupported("a rule of type compare speaks about two columns")
    operator = _param(rule, "operator")
    if operator not in _OPERATORS:
        raise Unsupported(f"there is no operator {operator!r}")
    texts = [_tidy(name, columns[name]) for name in rule.columns]
    sides = [
        _number(text, columns[name])
        if _param(rule, "type") == "number"
        else _moment(text, _format_of(rule, name, columns))
        for text, name in zip(texts, rule.columns, strict=True)
    ]
    select = f"SELECT {texts[0]} AS a, {texts[1]} AS b, {sides[0]} AS left_side, {sides[1]} AS right_side FROM {table}"
    holds = f"left_side {'=' if operator == '==' else operator} right_side"
    if _param(rule, "type") == "time":
        # An end that lies more than half a day earlier is one of the next day.
        holds = f"({holds} OR abs(epoch(left_side) - epoch(right_side)) >= {_HALF_A_DAY})"
    return _Cells(select, "a IS NOT NULL AND b IS NOT NULL", f"NOT {holds}")


def _repeated(rule: Rule, table: str, columns: Mapping[str, Reading]) -> _Cells:
    """Rows that repeat an earlier one; a key with an empty part is no key, while whole rows may repeat empty cells."""
    names = [f"c{place}" for place in range(len(rule.columns))]
    texts = ", ".join(
        f"{_tidy(column, columns[column])} AS {name}" for column, name in zip(rule.columns, names, strict=True)
    )
    nth = f"row_number() OVER (PARTITION BY {', '.join(names)}) AS nth"
    filled = " AND ".join(f"{name} IS NOT NULL" for name in names)
    judged = "TRUE" if rule.type == "duplicate_rows" else filled
    return _Cells(f"SELECT *, {nth} FROM (SELECT {texts} FROM {table})", judged, "nth > 1")


def _dependency(rule: Rule, table: str, columns: Mapping[str, Reading]) -> _Cells:
    """Rows whose value is in the minority among the rows that agree with them, by every determinant that is filled."""
    if rule.params.get("noisy") or rule.params.get("source") is not None:
        raise Unsupported("its sources contradict each other, so that a majority alone does not tell who is right")
    if any(rule.params.get("offset") or ()):
        raise Unsupported("it compares a row with the next one, and the rows of a database have no order")
    determinants = rule.params.get("determinants") or [[name] for name in rule.columns[1:]]
    place = {name: number for number, name in enumerate(rule.columns)}
    if not determinants or not all(name in place for names in determinants for name in names):
        raise Unsupported("its params are not those of a rule of type dependency")
    texts = [f"lower({_tidy(name, columns[name])}) AS c{number}" for name, number in place.items()]
    keys = [[f"c{place[name]}" for name in names] for names in determinants]
    parts = [", ".join(key) for key in keys]
    counts = [f"count(c0) OVER (PARTITION BY {part}, c0) AS n{number}" for number, part in enumerate(parts)]
    most = [f"max(n{number}) OVER (PARTITION BY {part}) AS most{number}" for number, part in enumerate(parts)]
    select = (
        f"SELECT *, {', '.join(most)} FROM (\n    SELECT *, {', '.join(counts)} FROM (\n"
        f"      SELECT {', '.join(texts)} FROM {table}\n    )\n  )"
    )
    told = [" AND ".join(f"{name} IS NOT NULL" for name in key) for key in keys]
    outvoted = [f"(NOT ({filled}) OR n{number} < most{number})" for number, filled in enumerate(told)]
    return _Cells(select, "TRUE", f"(c0 IS NOT NULL AND ({' OR '.join(told)}) AND {' AND '.join(outvoted)})")


def _merged(rule: Rule, table: str, columns: Mapping[str, Reading]) -> _Cells:
    """Rows without the other value whose own value ends with one to three words that other rows have there."""
    if len(rule.columns) != 2:
        raise Unsupported("a rule of type merged speaks about two columns")
    column, other = (_tidy(name, columns[name]) for name in rule.columns)
    select = f"SELECT {column} AS value, {other} AS other FROM {table}"
    known = "SELECT other FROM cells WHERE other IS NOT NULL"
    ends = (f"trim(regexp_extract(value, {literal(last)}, 1), '(),;/ ')" for last in _LAST_WORDS)
    return _Cells(
        select,
        "TRUE",
        f"value IS NOT NULL AND other IS NULL AND ({' OR '.join(f'{end} IN ({known})' for end in ends)})",
    )


def _swapped(rule: Rule, table: str, columns: Mapping[str, Reading]) -> _Cells:
    raise Unsupported("what belongs to a column is judged by how all its values look, which one query cannot tell")


def _location(rule: Rule, table: str, columns: Mapping[str, Reading]) -> _Cells:
    raise Unsupported("a place is judged by where the other rows of its group lie, which one query cannot tell")


def _format_of(rule: Rule, name: str, columns: Mapping[str, Reading]) -> str:
    given = rule.params.get("format")
    pattern = given if isinstance(given, str) else columns[name].date_format
    if pattern is None:
        raise Unsupported(f"the format of the dates in {name!r} is not known")
    return pattern


def _day(rule: Rule, key: str) -> str:
    try:
        return date.fromisoformat(str(_param(rule, key))).isoformat()
    except ValueError as error:
        raise Unsupported(f"its {key!r} is no day written as YYYY-MM-DD") from error


def _param(rule: Rule, key: str) -> object:
    if key not in rule.params:
        raise Unsupported(f"its params are not those of a rule of type {rule.type}: there is no {key!r}")
    return rule.params[key]


_WRITERS: Final[Mapping[RuleType, Callable[[Rule, str, Mapping[str, Reading]], _Cells]]] = {
    "type": _type,
    "not_null": _not_null,
    "date_range": _date_range,
    "unique": _repeated,
    "key": _repeated,
    "duplicate_rows": _repeated,
    "dependency": _dependency,
    "merged": _merged,
    "swapped": _swapped,
    "compare": _compare,
    "location": _location,
}
