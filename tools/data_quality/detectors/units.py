"""Numbers whose unit is written in several ways, sometimes left out, or misspelled.

A column that has one unit, always written alike, is as good as a plain number and is left alone. Where spellings mix, the
plain number is what all of them can be turned into. Invariant: a number is only multiplied where both units are known, or
where the plain numbers of the column show the scale.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from rapidfuzz.distance import Levenshtein

from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.columns.units import Measured, bare_unit, read_measured
from tools.data_quality.detectors.flags import Flag, Suggestion, Tier
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("unit",)

_FREQUENT: Final = 0.01  # share of the rows from which a spelling is a way of writing and no slip
_FEWEST: Final = 5  # distinct numbers that show a size
_ALIKE: Final = 1.6
_DIGITS: Final = 12  # significant digits kept: what is beyond them is rounding of binary fractions
_LAST_ZERO: Final = re.compile(r"\.\d*0$")
_MEANT_ZERO: Final = re.compile(r"\.\d+0$")
_NAMES: Final = {
    "ounce": "oz", "pound": "lb", "lbs": "lb", "kilogram": "kg", "kilo": "kg", "kgs": "kg", "gram": "g", "gramme": "g",
    "milligram": "mg", "tonne": "t", "ton": "t", "litre": "l", "liter": "l", "millilitre": "ml", "milliliter": "ml",
    "gallon": "gal", "metre": "m", "meter": "m", "kilometre": "km", "kilometer": "km", "centimetre": "cm",
    "centimeter": "cm", "millimetre": "mm", "millimeter": "mm", "inch": "in", "inches": "in", "foot": "ft", "feet": "ft",
    "mile": "mi", "yard": "yd", "hour": "h", "hr": "h", "hrs": "h", "minute": "min", "mins": "min", "second": "s",
    "sec": "s", "secs": "s", "percent": "%", "pct": "%", "dollar": "$", "usd": "$", "euro": "€", "eur": "€", "gbp": "£",
}  # fmt: skip
_SIZES: Final = {
    "mass": {"mg": 1e-6, "g": 1e-3, "kg": 1.0, "t": 1e3, "oz": 0.028349523125, "lb": 0.45359237},
    "length": {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3, "in": 0.0254, "ft": 0.3048, "yd": 0.9144, "mi": 1609.344},
    "volume": {"ml": 1e-3, "l": 1.0, "gal": 3.785411784},
    "time": {"s": 1.0, "min": 60.0, "h": 3600.0},
}
_KNOWN: Final = frozenset(_NAMES.values()).union(*_SIZES.values())


def discover(table: Table) -> Iterator[Rule]:
    """The unit of each column whose numbers have one."""
    for study in table.studies:
        if study.is_numeric:
            yield from _stray(study)
        if not study.measured:
            continue
        rows: Counter[str] = Counter()
        for code, measured in study.measured.items():
            rows[measured.unit] += study.column.counts[code]
        frequent = sorted(
            (unit for unit, count in rows.items() if count >= _FREQUENT * study.filled_rows),
            key=lambda unit: (-rows[unit], unit),
        )
        written = [unit for unit in frequent if unit]
        if not written:
            continue
        name = study.column.name
        if len(frequent) == 1:
            gap = next(measured.gap for measured in study.measured.values() if measured.unit == written[0])
            params = {"unit": written[0], "gap": gap, "spellings": {}}
            yield make_rule("unit", [name], params, tier="suggest", repair="writes the unit as the others do")
            continue
        factors = _factors(study, written, [unit for unit in rows if unit])
        if factors:
            # Unknown words for a unit are believed to mean the same, which is no certainty.
            known = len({_canonical(spelling) for spelling in factors}) == 1
            exact = known and all(factor == 1 for factor in factors.values())
            params = {"unit": written[0], "spellings": factors}
            tier: Tier = "auto" if exact else "suggest"
            yield make_rule("unit", [name], params, tier=tier, repair="writes the plain number")


def _stray(study: Study) -> Iterator[Rule]:
    """A few numbers with a unit, in a column of plain numbers of the same size."""
    if study.spread is None:
        return
    factors: dict[str, float] = {}
    for code in study.filled:
        read = None if code in study.numbers else read_measured(study.column.text(code))
        if read is None or not read.unit:
            continue
        number = float(read.number)
        fits = [factor for factor in (1.0, 0.01) if study.spread.minimum <= number * factor <= study.spread.maximum]
        if fits and (fits[0] == 1 or read.unit == "%"):
            factors[read.unit] = min(factors.get(read.unit, 1.0), fits[0])
    if factors:
        params = {"unit": min(factors), "spellings": dict(sorted(factors.items()))}
        yield make_rule("unit", [study.column.name], params, tier="suggest", repair="writes the plain number")


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every number whose unit is not written as the rule wants it."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    study = table.studies[place]
    as_written = _keeps_zeros(study)
    for code in study.filled:
        text = study.column.text(code)
        measured = study.measured.get(code) or read_measured(text)
        if measured is None:
            yield from _mark_exchanged(rule, place, code, text)
        elif rule.params["spellings"]:
            yield from _plainly(rule, place, code, measured, as_written=as_written)
        elif measured.unit != rule.params["unit"]:
            yield _respelled(rule, place, code, measured)


def _mark_exchanged(rule: Rule, place: int, code: int, text: str) -> Iterator[Flag]:
    """Where all numbers end in one and the same mark (`80%`), a letter in its place (`80x`) is a slip."""
    unit = rule.params["unit"]
    if rule.params["spellings"] or len(unit) != 1 or unit.isalnum() or not text[-1:].isalpha():
        return
    if read := read_measured(text[:-1]):
        reason = f"ends in {text[-1]!r}, where all other rows end in {unit!r}"
        value = Suggestion(f"{read.number}{rule.params['gap']}{unit}")
        yield Flag(place, code, None, "unit", 0.9, reason, rule.rule_id, "suggest", value)


def _keeps_zeros(study: Study) -> bool:
    """Whether numbers stay as they are written: some are plain with a last zero, or `74.20` shows that decimals are meant.

    `12.0 oz` alone shows nothing: that is how programs write a number that may have decimals.
    """
    plain = (
        (code for code, measured in study.measured.items() if not measured.unit) if study.measured else study.numbers
    )
    if any(_LAST_ZERO.search(study.column.text(code)) for code in plain):
        return True
    return any(_MEANT_ZERO.search(measured.number) for measured in study.measured.values())


def _plainly(rule: Rule, place: int, code: int, measured: Measured, *, as_written: bool) -> Iterator[Flag]:
    """The number without its unit, and without needless zeros unless the column keeps them."""
    factor = rule.params["spellings"].get(measured.unit)
    if factor is None or not measured.unit:
        return
    unit = rule.params["unit"]
    number = f"{float(measured.number) * factor:.{_DIGITS}g}"
    if as_written and factor == 1 and sum(map(str.isdigit, measured.number)) <= _DIGITS:
        number = measured.number
    reason = f"written with its unit, which this column spells in several ways or leaves out ({unit})"
    says_more = len(measured.unit.split()) > 1
    tier: Tier = "auto" if factor == 1 and not says_more and rule.tier == "auto" else "suggest"
    evidence = {"spellings": sorted(rule.params["spellings"]), "factor": factor}
    yield Flag(place, code, None, "unit", 0.97, reason, rule.rule_id, tier, Suggestion(number), evidence)


def _respelled(rule: Rule, place: int, code: int, measured: Measured) -> Flag:
    unit, reason = rule.params["unit"], f"the unit is not {rule.params['unit']!r} as in all other rows"
    slips = Levenshtein.distance(measured.unit, unit)
    is_slip = len(measured.unit) == len(unit) > 1 and slips <= max(1, len(unit) // 3)
    if not (is_slip or (measured.unit and bare_unit(measured.unit) == bare_unit(unit))):
        return Flag(place, code, None, "unit", 0.85, reason, rule.rule_id)
    tier: Tier = "auto" if len(unit) > 3 else "suggest"
    suggestion = Suggestion(f"{measured.number}{rule.params['gap']}{unit}")
    return Flag(place, code, None, "unit", 0.93, reason, rule.rule_id, tier, suggestion)


def _factors(study: Study, written: list[str], spellings: list[str]) -> Mapping[str, float] | None:
    """What to multiply the number of each spelling with; None where the units cannot be compared."""
    usual = _canonical(written[0])
    factors = {}
    for spelling in sorted(spellings):
        unit = _canonical(spelling)
        if unit == usual:
            factors[spelling] = 1.0
        else:
            size = next((sizes for sizes in _SIZES.values() if unit in sizes and usual in sizes), None)
            if size is not None:
                factors[spelling] = size[unit] / size[usual]
            elif spelling in written:
                # Kilograms and litres, or dollars and euros, are never the same, however alike the numbers are.
                if (unit in _KNOWN and usual in _KNOWN) or not _are_alike(study, written[0], spelling):
                    return None
                factors[spelling] = 1.0
    if usual == "%":
        scale = _scale(study)
        if scale is None:
            return None
        factors = {spelling: factor * scale for spelling, factor in factors.items()}
    return factors


def _are_alike(study: Study, one: str, other: str) -> bool:
    """True where the numbers before two unknown units are of one size: then both are words for the same thing."""
    usual, numbers = (
        sorted(abs(float(read.number)) for read in study.measured.values() if read.unit == unit)
        for unit in (one, other)
    )
    ratio = numbers[len(numbers) // 2] / (usual[len(usual) // 2] or 1)
    return min(len(usual), len(numbers)) >= _FEWEST and 1 / _ALIKE <= ratio <= _ALIKE


def _canonical(unit: str) -> str:
    """The usual name of a unit; a remark behind it (`oz. cans`) does not change it."""
    bare = bare_unit(unit.split()[0])
    return _NAMES.get(bare, bare)


def _scale(study: Study) -> float | None:
    """Whether the plain numbers of a column with percentages are percentages too (1) or shares (0.01); None: neither."""
    plain = sorted(abs(float(read.number)) for read in study.measured.values() if not read.unit)
    marked = sorted(abs(float(read.number)) for read in study.measured.values() if read.unit)
    if not plain:
        return 1.0
    usual, usual_marked = plain[len(plain) // 2], marked[len(marked) // 2]
    if not usual or not usual_marked:
        return None
    ratio = usual_marked / usual
    return 1.0 if 0.1 <= ratio <= 10 else 0.01 if 30 <= ratio <= 300 else None
