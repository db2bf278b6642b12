"""Dates and times that do not exist, lie far from all others of their column, or are written in another format.

Whether a date is too late is decided by its column and never by the clock, so that a table is judged alike every day.
Invariant: a suggestion is the same moment in the format of the column, unless the reason says that the moment is wrong.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Final

from tools.data_quality.columns.dates import (
    DateFormat,
    Moment,
    is_written_exactly,
    is_written_in,
    kind_of,
    parse,
    readings,
    render,
)
from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Kind, Suggestion, Tier
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("date_range",)

_FEWEST: Final = 20  # rows with a date, below which there is no usual range
_FEWEST_DAYS: Final = 5  # distinct days, likewise
_LEAST_GAP: Final = 5 * 366  # days between the usual range and what lies outside it, at least
_VERY_FAR: Final = 50 * 366  # days outside the range from which hardly any date is right
_CENTURY: Final = 100  # years by which a two-digit year is off when it was read in the wrong century
_FEW: Final = 0.01  # share of rows that may be written otherwise, and still be errors
_TRIMMED: Final = 0.1  # share of rows at either end that may lie outside the range
_MEANT: Final = 3  # rows of one far day; more, and more than few, mean something by it, such as "for ever"
_DEFAULTS: Final = frozenset(
    map(date.fromisoformat, ("0001-01-01", "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1970-01-01"))
)
"""First days of the calendars of databases, spreadsheets and Unix: what an empty date becomes on its way through one."""
_MOST_DEFAULTS: Final = 0.2  # share of rows from which such a day is how the column says "no value"
_MIDNIGHT: Final = re.compile(r"24:00(?::00)?", re.ASCII)  # ISO 8601-1:2004 has it as the end of a day


def discover(table: Table) -> Iterator[Rule]:
    """How the dates of each column are written, and when they lie."""
    for study in table.studies:
        if study.dates is None or study.filled_rows < _FEWEST:
            continue
        limits = ("00:00", "23:59") if study.dates.kind == "time" else _limits(study, study.dates)
        if limits:
            params = {"format": study.dates.pattern, "min": limits[0], "max": limits[1]}
            yield make_rule("date_range", [study.column.name], params, tier="auto", repair="writes in the usual format")


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every value outside the range, and every value written otherwise."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    study = table.study_at(place)
    if study.dates is None:
        return  # another type of column under the same name is not a column of wrong dates
    foreign: list[Flag] = []
    uneven: list[Flag] = []
    pattern = str(rule.params["format"])
    for code in study.filled:
        text = study.column.text(code)
        moment = parse(pattern, text)
        if moment is None:
            flag = _unreadable(rule, place, code, text)
            if flag and flag.kind == "type":
                foreign.append(flag)
            elif flag:
                yield flag
        elif outside := _outside(rule, moment):
            yield _too_far(rule, place, code, moment, outside)
        elif not is_written_exactly(pattern, text):
            evidence = {"format": pattern}
            reason = "a date written otherwise than the others"
            uneven.append(_flag(rule, place, code, "format", 0.8, reason, "auto", render(pattern, moment), evidence))
    for flags in (foreign, uneven):
        # A word that is used again and again, or padding that comes and goes, is a habit of the column.
        if study.column.rows_with(flag.code for flag in flags) <= max(2, _FEW * study.filled_rows):
            yield from flags


def _limits(study: Study, dates: DateFormat) -> tuple[str, str] | None:
    """First and last day that can be expected: the usual days, widened by their own span."""
    counts = study.column.counts
    days: Counter[int] = Counter()
    defaults: Counter[int] = Counter()
    for code in study.filled:
        moment = parse(dates.pattern, study.column.text(code))
        if isinstance(moment, date):
            (defaults if _day(moment) in _DEFAULTS else days)[moment.toordinal()] += counts[code]
    if defaults.total() > _MOST_DEFAULTS * study.filled_rows:
        days += defaults
    ordered = sorted(days)
    rows = days.total()
    if rows < _FEWEST or len(ordered) < _FEWEST_DAYS:
        return None
    first, last = (
        _without(ordered, days, _TRIMMED * rows),
        -_without([-day for day in reversed(ordered)], days, _TRIMMED * rows),
    )
    reach = max(_LEAST_GAP, last - first)
    low, high = _follow(ordered, first, -reach), _follow(ordered, last, reach)
    meant = [day for day, count in days.items() if count > max(_MEANT, _FEW * rows)]
    low, high = min([low, *meant]), max([high, *meant])
    low, high = max(low - reach, date.min.toordinal()), min(high + reach, date.max.toordinal())
    return date.fromordinal(low).isoformat(), date.fromordinal(high).isoformat()


def _without(ordered: list[int], days: Counter[int], rows: float) -> int:
    """The first day after leaving out that many rows."""
    passed = 0
    for day in ordered:
        passed += days[abs(day)]
        if passed > rows:
            return day
    return ordered[-1]


def _follow(ordered: list[int], start: int, reach: int) -> int:
    """The last day that can be reached from `start` in steps no longer than `reach`, backwards where that is negative."""
    end = start
    for day in ordered if reach > 0 else reversed(ordered):
        if (day - end) * reach > 0:
            if abs(day - end) > abs(reach):
                break
            end = day
    return end


def _outside(rule: Rule, moment: Moment) -> int:
    """Days by which a moment lies before (negative) or after the range; 0 within it."""
    if not isinstance(moment, date) or kind_of(str(rule.params["format"])) == "time":
        return 0
    low, high = (date.fromisoformat(rule.params[key]).toordinal() for key in ("min", "max"))
    return min(moment.toordinal() - low, 0) or max(moment.toordinal() - high, 0)


def _too_far(rule: Rule, place: int, code: int, moment: Moment, outside: int) -> Flag:
    day = moment if isinstance(moment, date) else date.min
    evidence = {"min": rule.params["min"], "max": rule.params["max"], "days_outside": outside}
    if _day(day) in _DEFAULTS:
        reason = "the day a calendar begins with, far from all others: stands for a missing value"
        return _flag(rule, place, code, "date", 0.9, reason, "suggest", None, evidence)
    earlier = _years_before(day, _CENTURY)
    if outside > 0 and earlier and not _outside(rule, earlier):
        reason = "far later than the others; a century earlier it would lie among them"
        return _flag(rule, place, code, "date", 0.8, reason, "report", None, evidence)
    reason = "far " + ("later" if outside > 0 else "earlier") + " than all others"
    confidence = 0.9 if abs(outside) > _VERY_FAR else 0.75
    return _flag(rule, place, code, "date", confidence, reason, "report", None, evidence)


def _unreadable(rule: Rule, place: int, code: int, text: str) -> Flag | None:
    """Judge a text that says nothing in the format of its column."""
    pattern = str(rule.params["format"])
    kind = kind_of(pattern)
    evidence = {"format": pattern}
    if kind == "time" and _MIDNIGHT.fullmatch(text):
        return None
    found = [(other, moment) for other, moment in readings(text) if not _outside(rule, moment)]
    alike = [(other, moment) for other, moment in found if kind_of(other) == kind]
    if is_written_in(pattern, text):
        if alike:
            reason = "day and month are exchanged, against the others"
            return _flag(rule, place, code, "format", 0.85, reason, "suggest", render(pattern, alike[0][1]), evidence)
        reason = "a time that does not exist" if kind == "time" else "a day that does not exist"
        return _flag(rule, place, code, "date", 0.95, reason, "report", None, evidence)
    if alike:
        moments = sorted({moment.isoformat() for _, moment in alike})
        is_certain = len(moments) == 1 and all("%y" not in other for other, _ in alike)
        reason = "a date in another format than the others" if kind != "time" else "a time in another format"
        if len(moments) > 1:
            return _flag(rule, place, code, "format", 0.8, reason, "report", None, {**evidence, "readings": moments})
        tier: Tier = "auto" if is_certain and _is_lossless(pattern, alike[0][1]) else "suggest"
        return _flag(rule, place, code, "format", 0.9, reason, tier, render(pattern, alike[0][1]), evidence)
    if found:
        return _other_kind(rule, place, code, found)
    if readings(text):
        return _flag(
            rule, place, code, "date", 0.85, "far from all others, and in another format", "report", None, evidence
        )
    return _flag(rule, place, code, "type", 0.8, f"no {kind}, in a column of such", "report", None, evidence)


def _other_kind(rule: Rule, place: int, code: int, found: list[tuple[str, Moment]]) -> Flag:
    """A date with a time among dates, and the like: lossless only where the time is midnight."""
    pattern = str(rule.params["format"])
    kind = kind_of(pattern)
    moments = sorted({moment.isoformat() for _, moment in found})
    evidence = {"format": pattern, "readings": moments}
    moment = found[0][1]
    reason = f"another kind of value than a {kind}"
    if kind == "date" and len(moments) == 1 and isinstance(moment, datetime) and moment.time() == time.min:
        return _flag(rule, place, code, "format", 0.85, reason, "auto", render(pattern, moment.date()), evidence)
    if kind == "time" and isinstance(moment, datetime):
        return _flag(rule, place, code, "format", 0.8, reason, "suggest", render(pattern, moment), evidence)
    return _flag(rule, place, code, "format", 0.6, reason, "report", None, evidence)


def _flag(
    rule: Rule,
    place: int,
    code: int,
    kind: Kind,
    confidence: float,
    reason: str,
    tier: Tier,
    value: str | None,
    evidence: Mapping[str, object],
) -> Flag:
    suggestion = None if tier == "report" else Suggestion(value)
    return Flag(place, code, None, kind, confidence, reason, rule.rule_id, tier, suggestion, evidence)


def _is_lossless(pattern: str, moment: Moment) -> bool:
    return parse(pattern, render(pattern, moment)) == moment


def _day(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _years_before(day: date, years: int) -> date | None:
    try:
        return _day(day).replace(year=day.year - years)
    except ValueError:  # 29 February, or before the first year
        return None
