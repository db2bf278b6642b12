"""Values written otherwise than their column: white space, separators in numbers, a foreign shape.

Invariant: a suggestion says the same as the value; where the meaning is in doubt there is none.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import polars as pl

from tools.data_quality.columns.cells import Cell, shape_of, shape_without_lengths, shown, tidy_number
from tools.data_quality.columns.study import Format, Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Suggestion
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("trimmed", "plain_number", "regex")


def discover(table: Table) -> Iterator[Rule]:
    """How the values of each column are written."""
    for study in table.studies:
        name = study.column.name
        if study.is_numeric:
            params = {"as_text": study.column.stores_text, "grouping_is_safe": study.grouping_is_safe}
            rule = make_rule("plain_number", [name], params, tier="auto", repair="writes the number plainly")
            if any(True for _ in _untidy(rule, study)):
                yield rule
        elif any(True for _ in _untrimmed(study)):
            yield make_rule("trimmed", [name], tier="auto", repair="removes white space at the ends")
        if study.format:
            yield make_rule("regex", [name], {"pattern": pattern_of(study.format), "shape": study.format.shape})


def pattern_of(form: Format) -> str:
    """The shape as a regular expression that every regex dialect reads the same way."""
    pieces = []
    for match in re.finditer(r"A+|a+|9+|.", form.shape, re.DOTALL):
        run = match[0]
        kind = {"A": "[A-Z]", "a": "[a-z]", "9": "[0-9]"}.get(run[0])
        if kind is None:
            pieces.append(re.escape(run))
        else:
            pieces.append(kind + ("+" if not form.has_fixed_widths else f"{{{len(run)}}}" if len(run) > 1 else ""))
    return "^" + "".join(pieces) + "$"


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every value that is written otherwise."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    study = table.studies[place]
    if rule.type == "trimmed":
        for code, text in _untrimmed(study):
            yield _tidied(place, code, text, "white space at an end", rule)
    elif rule.type == "plain_number":
        for code, plain in _untidy(rule, study):
            yield _tidied(place, code, plain, "a number not written as one", rule)
    else:
        yield from _misshapen(rule, place, study)


def _tidied(place: int, code: int, value: Cell, reason: str, rule: Rule) -> Flag:
    return Flag(place, code, None, "format", 0.99, reason, rule.rule_id, "auto", Suggestion(value))


def _untrimmed(study: Study) -> Iterator[tuple[int, str]]:
    """Values that equal another one of their column but for white space at their ends: it makes one value two."""
    known = {value for value in study.column.values if isinstance(value, str)}
    for code in study.filled:
        value = study.column.values[code]
        if isinstance(value, str) and value != value.strip() and value.strip() in known:
            yield code, value.strip()


def _untidy(rule: Rule, study: Study) -> Iterator[tuple[int, Cell]]:
    as_text, is_safe = bool(rule.params["as_text"]), bool(rule.params["grouping_is_safe"])
    for code in study.numbers:
        value = study.column.values[code]
        plain = tidy_number(value, as_text=as_text, grouping_is_safe=is_safe)
        if plain is not value:
            yield code, plain


def _misshapen(rule: Rule, place: int, study: Study) -> Iterator[Flag]:
    texts = {code: study.column.text(code) for code in study.filled}
    fitting = _matching(rule.params["pattern"], texts)
    usual = study.column.rows_with(fitting) / len(fitting) if fitting else 0.0
    dominating = shape_without_lengths(rule.params["shape"])
    for code in sorted(texts.keys() - fitting):
        shape = shape_of(texts[code])
        # Only a length that differs is weaker evidence than a character that does not belong; and a value that is as
        # frequent as the others is no slip.
        is_frequent = study.column.counts[code] > max(2.0, usual)
        confidence = 0.3 if is_frequent else 0.7 if shape_without_lengths(shape) == dominating else 0.85
        reason = f"shape {shown(shape)!r}, where the column has {shown(rule.params['shape'])!r}"
        evidence = {"like_the_others": study.column.rows_with(fitting)}
        yield Flag(place, code, None, "format", confidence, reason, rule.rule_id, evidence=evidence)


def _matching(pattern: str, texts: Mapping[int, str]) -> set[int]:
    """Codes of the texts that a pattern matches as a whole.

    Polars matches in linear time. A rule may come from anywhere, and Python's `re` can be kept busy for hours by a pattern.
    """
    cells = pl.Series([text.encode("utf-8", "replace").decode() for text in texts.values()], dtype=pl.String)
    return {code for code, fits in zip(texts, cells.str.contains(f"^(?:{pattern})$"), strict=True) if fits}
