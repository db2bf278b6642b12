"""Numbers with the wrong sign, in a column where nearly all have the other and none comes close to 0.

A column that reaches towards 0 may well go below it (delays, temperatures, profits, refunds), so only columns that stay
clear of it are judged: years, heights of people, depths, coordinates of one country.

The rule: params {"sign": 1 | -1, "from", "to"}, the sizes between which nearly all numbers lie. It is found and checked as
part of `geography`.
Invariant: a suggestion is the same number with the other sign.
"""

from collections.abc import Iterator
from typing import Final

from tools.data_quality.columns.cells import SENTINELS, Cell
from tools.data_quality.columns.spread import quantile
from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Suggestion
from tools.data_quality.detectors.places import position_word
from tools.data_quality.rules.model import Rule, make_rule

_FEWEST: Final = 100  # numbers, of which few may have the other sign
_ONE_SIGN: Final = 0.97
_CLEAR_OF_ZERO: Final = 0.2  # of the median: nearer to 0 there are hardly any numbers
_TAIL: Final = 0.005  # share of the numbers at either end that the usual sizes leave out
_FEWEST_SIZES: Final = 20  # distinct numbers below which they are grades of a scale


def discover(table: Table) -> Iterator[Rule]:
    """Columns of one sign that stay clear of 0; a latitude or longitude is judged with its place on the map instead."""
    for study in table.studies:
        if not study.is_numeric or study.column.is_bare or position_word(study.column.name)[0]:
            continue
        if params := _sign_and_sizes(study):
            yield make_rule("sign", [study.column.name], params, tier="suggest", repair="changes the sign")


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every number of the other sign that would lie among the others if it had theirs."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    study = table.study_at(place)
    sign, low, high = rule.params["sign"], rule.params["from"], rule.params["to"]
    wrong = [code for code, number in study.numbers.items() if number * sign < 0 and low <= abs(number) <= high]
    wrong = [code for code in wrong if study.numbers[code] not in SENTINELS]
    others = study.column.rows_with(study.numbers)
    if study.column.rows_with(wrong) > (1 - _ONE_SIGN) * others:
        return
    reason = f"{'negative' if sign > 0 else 'positive'}, where all others are not; with their sign it would be usual"
    evidence = {"from": low, "to": high}
    is_scale = len(study.numbers) < _FEWEST_SIZES
    for code in wrong:
        if is_scale:  # a grade or a time zone: a foreign one may be right, and its mirror image another one
            yield Flag(place, code, None, "sign", 0.6, reason, rule.rule_id, evidence=evidence)
            continue
        suggestion = Suggestion(negated(study.column.values[code]))
        yield Flag(place, code, None, "sign", 0.8, reason, rule.rule_id, "suggest", suggestion, evidence)


def negated(cell: Cell) -> Cell:
    """The same number with the other sign, written as it was."""
    if isinstance(cell, str):
        text = cell.strip()
        return text[1:] if text.startswith("-") else "-" + text.removeprefix("+")
    return cell if cell is None else -cell


def _sign_and_sizes(study: Study) -> dict[str, float] | None:
    counts = study.column.counts
    total = study.column.rows_with(study.numbers)
    above = study.column.rows_with(code for code, number in study.numbers.items() if number > 0)
    below = study.column.rows_with(code for code, number in study.numbers.items() if number < 0)
    sign = 1 if above >= below else -1
    if total < _FEWEST or max(above, below) < _ONE_SIGN * total or above + below < total:
        return None
    pairs = sorted((abs(number), counts[code]) for code, number in study.numbers.items() if number * sign > 0)
    sizes = [size for size, count in pairs for _ in range(count)]
    low, high = (float(f"{quantile(sizes, share):.6g}") for share in (_TAIL, 1 - _TAIL))
    if low < _CLEAR_OF_ZERO * quantile(sizes, 0.5):
        return None
    return {"sign": sign, "from": low, "to": high}
