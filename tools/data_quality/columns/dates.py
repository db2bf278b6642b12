"""Dates, times and their formats: which one a column uses, what a text says in it, and how it is written.

The interface: `recognise([(text, rows), ...])` gives the format that dominates a column, `parse(pattern, text)` reads a
text in it, `render(pattern, moment)` writes one, `is_written_in` and `is_written_exactly` judge the form alone, and
`readings(text)` gives every format that a text alone could be in. `seconds(moment)` puts moments on one line.

A pattern is written as for `strptime`, with four additions of its own: `%-d` (as `%-m`, `%-H`, `%-I`) is not padded with
a zero, `%P` is `am`, `%.p` is `a.m.`, and a final `Z` is UTC. Reading is lenient about padding, case and the way a.m. is
written; writing is exact. Years of two digits are read as POSIX has it: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to
2068. Seconds since 1970 are numbers, not dates. Month names are English.

Invariant: what `render` writes, `parse` reads back as the same moment, down to the fields the pattern has.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal

DateKind = Literal["date", "time", "datetime"]
Moment = date | time
"""What a text says; a `datetime` is a `date`. Offsets are taken off, so that all moments of a column are in UTC."""

DOMINATING: Final = 0.9  # share of the filled rows that must be dates (or times) that make sense
LEADING: Final = 0.6  # share of the filled rows that must be written in the column's format
_PADDED: Final = 0.95  # share of the fields below ten that start with a zero, where a format is padded
_LONGEST: Final = 40
_SCREENED: Final = 200  # distinct texts that decide whether a closer look is worth it
_COMPACT: Final = "%Y%m%d"
_COMPACT_YEARS: Final = range(1800, 2200)  # 20030112 is taken for a date only within these: most numbers are none
_PIVOT: Final = 69  # POSIX: years of two digits from here on belong to the twentieth century
_DAY: Final = 86_400

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_NUMBER_OF: Final = {month[:3].casefold(): number for number, month in enumerate(_MONTHS, 1)}
_FIELDS: Final = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<I>\d{1,2})",
    "M": r"(?P<M>\d{2})",
    "S": r"(?P<S>\d{2})",
    "f": r"(?P<f>\d{1,9})",
    "b": r"(?P<b>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?)",
    "B": "(?P<b>" + "|".join(_MONTHS) + ")",
    "p": r"(?P<p>[ap]\.?m\.?)",
    "z": r"(?P<z>[+-]\d{2}:?\d{2}|Z)",
}
_EXACT: Final = _FIELDS | {
    **{f"-{field}": r"(?:[1-9]\d?|0)" for field in "mdHI"},
    **dict.fromkeys("mdHI", r"\d{2}"),
    "b": "(?:" + "|".join(month[:3] for month in _MONTHS) + ")",
    "p": "[AP]M",
    "P": "[ap]m",
    ".p": r"[ap]\.m\.",
}
_DIRECTIVE: Final = re.compile(r"%([-.]?)([A-Za-z])")
_DATES: Final = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", _COMPACT,
    "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y",
    "%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d %b %y", "%d-%b-%y", "%b %d, %Y", "%b %d %Y", "%Y-%b-%d",
    "%d %B %Y", "%d-%B-%Y", "%B %d, %Y", "%B %d %Y",
)  # fmt: skip
_TIMES: Final = (
    "%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M%p", "%I:%M:%S %p", "%I:%M:%S%p", "%I %p", "%I%p",
)  # fmt: skip
_ZONES: Final = ("", "Z", "%z", " %z")
_SPLIT: Final = re.compile(r"(?P<date>.*?\d{2,})(?P<gap>T|, | {1,2})(?P<time>\d{1,2}(?::| ?[ap]\.?m).*)", re.I | re.A)


@dataclass(frozen=True, slots=True)
class DateFormat:
    """The format that dominates a column.

    Attributes:
        pattern: As for `strptime`, see above; all else follows from it.
        is_ambiguous: Day and month could be exchanged without any value being wrong (`01/02/2003`, `03/04/2003`).
    """

    pattern: str
    is_ambiguous: bool = False

    @property
    def kind(self) -> DateKind:
        """Whether it says a day, a time of day, or both."""
        return kind_of(self.pattern)


def kind_of(pattern: str) -> DateKind:
    """Whether a pattern says a day, a time of day, or both."""
    has_day, has_time = "%Y" in pattern or "%y" in pattern, "%M" in pattern or "%I" in pattern or "%-I" in pattern
    return "datetime" if has_day and has_time else "date" if has_day else "time"


def recognise(texts: Iterable[tuple[str, int]]) -> DateFormat | None:
    """The format that dominates, where at least nine tenths of the rows are dates that make sense; or None.

    Args:
        texts: Distinct trimmed texts, each with the number of rows that hold it; missing values left out.
    """
    counted = list(texts)
    sample = counted[:: max(1, len(counted) // _SCREENED)]
    rows = sum(count for _, count in counted)
    written: Counter[str] = Counter()
    for text, count in sample:
        for pattern in _layouts(text):
            written[pattern] += count
    sampled = sum(count for _, count in sample)
    right = {
        pattern: sum(count for text, count in counted if _is_right(pattern, text))
        for pattern, times in written.items()
        if times * 2 >= sampled
    }
    # Of formats that fit equally, the first in the lists above is taken, and the plainer name of a month.
    best = min(right, key=lambda pattern: (-right[pattern], _preference(pattern)), default=None)
    if best is None or right[best] < LEADING * rows:
        return None
    if right[best] < DOMINATING * rows:
        kind = kind_of(best)
        readable = (count for text, count in counted if any(kind_of(pattern) == kind for pattern, _ in readings(text)))
        if sum(readable) < DOMINATING * rows:
            return None
    exchanged = _exchanged(best)
    is_ambiguous = exchanged != best and right.get(exchanged) == right[best]
    return DateFormat(_as_written(best, sample), is_ambiguous)


def parse(pattern: str, text: str) -> Moment | None:
    """What `text` says in the format of `pattern`; None when it is written otherwise, or says a day or time that is none."""
    match = _regex(pattern).fullmatch(text)
    return _moment(match.groupdict(), kind_of(pattern)) if match else None


def is_written_in(pattern: str, text: str) -> bool:
    """True when `text` has the form of `pattern`, whether or not it says a day that exists."""
    return _regex(pattern).fullmatch(text) is not None


def is_written_exactly(pattern: str, text: str) -> bool:
    """True when padding, case and the way a.m. is written are those of `pattern`, too."""
    return _exact_regex(pattern).fullmatch(text) is not None


def readings(text: str) -> list[tuple[str, Moment]]:
    """Every (pattern, moment) that the text alone could mean."""
    found = ((pattern, parse(pattern, text)) for pattern in _layouts(text))
    return [(pattern, moment) for pattern, moment in found if moment is not None]


def render(pattern: str, moment: Moment) -> str:
    """Write a moment; fields it does not have (the time of a `date`) are written as zero."""
    day = moment if isinstance(moment, date) else date.min
    clock = moment if isinstance(moment, time) else moment.time() if isinstance(moment, datetime) else time.min
    hour = clock.hour % 12 or 12
    meridiem = "AM" if clock.hour < 12 else "PM"
    fields: dict[str, str] = {
        "%Y": f"{day.year:04}", "%y": f"{day.year % 100:02}", "%m": f"{day.month:02}", "%-m": f"{day.month}",
        "%d": f"{day.day:02}", "%-d": f"{day.day}", "%b": _MONTHS[day.month - 1][:3], "%B": _MONTHS[day.month - 1],
        "%H": f"{clock.hour:02}", "%-H": f"{clock.hour}", "%I": f"{hour:02}", "%-I": f"{hour}",
        "%M": f"{clock.minute:02}", "%S": f"{clock.second:02}", "%f": f"{clock.microsecond:06}", "%z": "+0000",
        "%p": meridiem, "%P": meridiem.lower(), "%.p": f"{meridiem[0].lower()}.m.",
    }  # fmt: skip
    return _DIRECTIVE.sub(lambda directive: fields[directive[0]], pattern)


def seconds(moment: Moment) -> float:
    """A place on one line, in seconds: since midnight for a time, since the first day of year 1 for all else."""
    clock = moment if isinstance(moment, time) else moment.time() if isinstance(moment, datetime) else time.min
    days = moment.toordinal() - 1 if isinstance(moment, date) else 0
    return days * _DAY + clock.hour * 3600 + clock.minute * 60 + clock.second + clock.microsecond / 1e6


def _is_right(pattern: str, text: str) -> bool:
    moment = parse(pattern, text)
    if pattern == _COMPACT and isinstance(moment, date):
        return moment.year in _COMPACT_YEARS
    return moment is not None


def _preference(pattern: str) -> tuple[int, int]:
    days = [place for place, layout in enumerate(_DATES) if pattern.startswith(layout)]
    return (days[-1] if days else len(_DATES), len(pattern))


def _exchanged(pattern: str) -> str:
    """The pattern with day and month exchanged, where both are numbers and the year stands last."""
    day_first, month_first = re.match(r"%d([/.-])%m\1", pattern), re.match(r"%m([/.-])%d\1", pattern)
    if day_first:
        return f"%m{day_first[1]}%d{day_first[1]}{pattern[day_first.end() :]}"
    if month_first:
        return f"%d{month_first[1]}%m{month_first[1]}{pattern[month_first.end() :]}"
    return pattern


def _layouts(text: str) -> tuple[str, ...]:
    """The patterns a text has the form of; texts of one form share the answer."""
    if len(text) > _LONGEST or not text.isascii():
        return ()
    # Digits count, because two or four of them tell a year from another field; which ones they are does not.
    return _layouts_of_form(re.sub(r"\d", "9", text))


@lru_cache(maxsize=4096)
def _layouts_of_form(text: str) -> tuple[str, ...]:
    if "9" not in text:
        return ()
    split = _SPLIT.fullmatch(text)
    if split:
        gap = "T" if split["gap"] in "Tt" else split["gap"]
        times = [clock + zone for clock in _TIMES for zone in _ZONES if is_written_in(clock + zone, split["time"])]
        return tuple(day + gap + clock for day in _DATES if is_written_in(day, split["date"]) for clock in times)
    return tuple(layout for layout in (*_DATES, *_TIMES) if is_written_in(layout, text))


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str]:
    is_compact = pattern.startswith(_COMPACT)
    fixed = _DIRECTIVE.split(pattern)
    parts = [re.escape(fixed[0])]
    for letter, text in zip(fixed[2::3], fixed[3::3], strict=True):
        field = _FIELDS["p" if letter == "P" else letter]
        parts += (field.replace("{1,2}", "{2}") if is_compact else field, re.escape(text))
    return re.compile("".join(parts), re.ASCII | re.IGNORECASE)


@lru_cache(maxsize=256)
def _exact_regex(pattern: str) -> re.Pattern[str]:
    fixed = _DIRECTIVE.split(pattern)  # between two pieces of text: the mark and the letter of a directive
    parts = [re.escape(fixed[0])]
    for mark, letter, text in zip(fixed[1::3], fixed[2::3], fixed[3::3], strict=True):
        parts += (_EXACT[mark + letter], re.escape(text))
    return re.compile("".join(parts), re.ASCII)


def _moment(fields: dict[str, str], kind: DateKind) -> Moment | None:
    try:
        clock = _clock(fields) if kind != "date" else time.min
        if kind == "time":
            return clock
        month = _NUMBER_OF[fields["b"][:3].casefold()] if "b" in fields else int(fields["m"])
        day = date(_year(fields), month, int(fields["d"]))
        if kind == "date":
            return day
        return datetime.combine(day, clock) - _offset(fields.get("z", "Z"))
    except (ValueError, OverflowError):
        return None


def _year(fields: dict[str, str]) -> int:
    if "Y" in fields:
        return int(fields["Y"])
    short = int(fields["y"])
    return short + (1900 if short >= _PIVOT else 2000)


def _clock(fields: dict[str, str]) -> time:
    if "I" in fields:
        hour = int(fields["I"])
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + (12 if fields["p"][0] in "pP" else 0)
    else:
        hour = int(fields["H"])
    fraction = (fields.get("f") or "0").ljust(6, "0")[:6]
    return time(hour, int(fields.get("M") or 0), int(fields.get("S") or 0), int(fraction))


def _offset(zone: str) -> timedelta:
    if zone in "Zz":
        return timedelta()
    size = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return -size if zone[0] == "-" else size


def _as_written(pattern: str, counted: list[tuple[str, int]]) -> str:
    """The pattern with the padding and the way of writing a.m. that most rows use."""
    padded: Counter[str] = Counter()
    single: Counter[str] = Counter()
    meridiems: Counter[str] = Counter()
    regex = _regex(pattern)
    for text, count in counted:
        match = regex.fullmatch(text)
        for name, value in match.groupdict().items() if match else ():
            if name == "p":
                meridiems["%.p" if "." in value else "%p" if value.isupper() else "%P"] += count
            elif len(value) == 1:
                single[name] += count
            elif value[0] == "0":
                padded[name] += count
    for name, like in zip("mdHI", "dmII", strict=True):
        shown = name if single[name] + padded[name] else like  # a day below ten may not occur, while a month does
        if single[shown] > (1 - _PADDED) * (single[shown] + padded[shown]):
            pattern = pattern.replace(f"%{name}", f"%-{name}")
    if meridiems:
        pattern = pattern.replace("%p", min(meridiems, key=lambda way: (-meridiems[way], way)))
    return pattern
