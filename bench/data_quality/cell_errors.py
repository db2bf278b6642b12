"""What an error makes of a right value: of one cell, or of two cells of a row.

Invariant: every function returns a text that differs from the right one by more than white space at its ends or the length
of a gap, or None where the error cannot happen to that value; all chance comes from the `random.Random` it is given.
"""

import random
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

SingleError = Callable[[str, random.Random], str | None]
PairError = Callable[[str, str, random.Random], tuple[str, str] | None]

ODD_LETTER: Final = "x"
PLACEHOLDERS: Final = ("N/A", "-", "?", "null", "unknown")
NUMBER_PLACEHOLDERS: Final = (*PLACEHOLDERS, "9999", "-999")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_KEYBOARD: Final = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS: Final = {
    key: row[max(0, place - 1) : place] + row[place + 1 : place + 2]
    for row in _KEYBOARD
    for place, key in enumerate(row)
}
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(?::\d\d)?)?")
_TIME: Final = re.compile(r"(\d\d):(\d\d)")
# What UTF-8 looks like when it was read as Windows-1252: typographic signs that editors put in for plain ones.
_MISREAD: Final = {"'": "â€™", "-": "â€“", " ": "Â ", '"': "â€œ"}


def number_of(value: str) -> Decimal | None:
    """Return the finite number that a text is, else None."""
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def same(one: str, other: str) -> bool:
    """Return whether two texts are the same but for white space at their ends and the length of gaps."""
    return one.split() == other.split()


def typo(value: str, chance: random.Random) -> str | None:
    """A character dropped, doubled, swapped with the next or replaced by its neighbour on the keyboard.

    Letters where there are at least three; in other texts of at least four letters and digits, any of those.
    """
    places = [place for place, character in enumerate(value) if character.isalpha()]
    if len(places) < 3:
        places = [place for place, character in enumerate(value) if character.isalnum()]
        if len(places) < 4:
            return None
    for _ in range(20):
        place = chance.choice(places)
        slip = chance.choice(_SLIPS)
        wrong = slip(value, place, chance)
        if wrong is not None and not same(wrong, value):
            return wrong
    return None


def _dropped(value: str, place: int, chance: random.Random) -> str | None:
    return value[:place] + value[place + 1 :]


def _doubled(value: str, place: int, chance: random.Random) -> str | None:
    return value[: place + 1] + value[place:]


def _swapped(value: str, place: int, chance: random.Random) -> str | None:
    if place + 1 >= len(value) or not value[place + 1].isalnum():
        return None
    return value[:place] + value[place + 1] + value[place] + value[place + 2 :]


def _neighbour(value: str, place: int, chance: random.Random) -> str | None:
    near = _NEIGHBOURS.get(value[place].lower())
    if not near:
        return None
    key = chance.choice(near)
    return value[:place] + (key.upper() if value[place].isupper() else key) + value[place + 1 :]


_SLIPS: Final = (_dropped, _doubled, _swapped, _neighbour)


def odd_letter(value: str, chance: random.Random) -> str | None:
    """One letter replaced by the same odd one everywhere."""
    places = [place for place, character in enumerate(value) if character.isalpha() and character.lower() != ODD_LETTER]
    if not places:
        return None
    place = chance.choice(places)
    return value[:place] + ODD_LETTER + value[place + 1 :]


def missing(value: str, chance: random.Random) -> str | None:
    return ""


def placeholder(value: str, chance: random.Random) -> str | None:
    """A word or a number that stands for nothing."""
    wrong = chance.choice(PLACEHOLDERS if number_of(value) is None else NUMBER_PLACEHOLDERS)
    return None if wrong == value else wrong


def date_format(value: str, chance: random.Random) -> str | None:
    """An ISO date, a date with a time, or a time, written another way."""
    match = _DATE.fullmatch(value)
    if match is None:
        return _time_otherwise(value, chance) if _TIME.fullmatch(value) else None
    day = date.fromisoformat(match[1])
    month = MONTHS[day.month - 1]
    written = chance.choice(
        (
            f"{day.day:02}.{day.month:02}.{day.year}",
            f"{day.month}/{day.day}/{day.year}",
            f"{day.day} {month} {day.year}",
            f"{month} {day.day}, {day.year}",
            f"{day.year}{day.month:02}{day.day:02}",
        )
    )
    return written if match[2] is None else f"{written} {_time_otherwise(match[2], chance)}"


def _time_otherwise(value: str, chance: random.Random) -> str:
    hour, minute = int(value[:2]), value[3:]
    half = "AM" if hour < 12 else "PM"
    return chance.choice((f"{(hour - 1) % 12 + 1}:{minute} {half}", f"{hour:02}{minute}", f"{hour}h{minute}"))


def case(value: str, chance: random.Random) -> str | None:
    """The same letters in another case."""
    others = [other for other in (value.upper(), value.lower(), value.title()) if other != value]
    return chance.choice(others) if others else None


def spaces(value: str, chance: random.Random) -> str | None:
    """A gap between words closed, or one made inside a word."""
    words = value.split()
    if len(words) > 1 and chance.random() < 0.5:
        place = chance.randrange(1, len(words))
        return " ".join(words[:place]) + " ".join(words[place:])
    places = [place for place in range(1, len(value)) if value[place - 1].isalnum() and value[place].isalnum()]
    if not places:
        return None
    place = chance.choice(places)
    return f"{value[:place]} {value[place:]}"


def thousands(value: str, chance: random.Random) -> str | None:
    number = number_of(value)
    return f"{number:,f}" if number is not None and abs(number) >= 1000 else None


def percent(value: str, chance: random.Random) -> str | None:
    return value + chance.choice(("%", " %")) if number_of(value) is not None else None


def unit(spellings: tuple[str, ...]) -> SingleError:
    """Return the error that writes a unit behind a number, in any of its `spellings`."""

    def with_unit(value: str, chance: random.Random) -> str | None:
        return value + chance.choice(("", " ")) + chance.choice(spellings) if number_of(value) is not None else None

    return with_unit


def encoding(value: str, chance: random.Random) -> str | None:
    """UTF-8 read as Windows-1252; a text in ASCII had a typographic sign first."""
    if not value.isascii():
        return value.encode().decode("cp1252", "replace")
    signs = [place for place, character in enumerate(value) if character in _MISREAD]
    if not signs:
        return None
    place = chance.choice(signs)
    return value[:place] + _MISREAD[value[place]] + value[place + 1 :]


def sign(value: str, chance: random.Random) -> str | None:
    number = number_of(value)
    if number is None or number == 0:
        return None
    return value[1:] if value.startswith("-") else f"-{value}"


def outlier(value: str, chance: random.Random) -> str | None:
    """Ten or a hundred times the number."""
    number = number_of(value)
    return f"{number * chance.choice((10, 100)):f}" if number else None


def shifted(value: str, chance: random.Random) -> str | None:
    """Another value that looks as right: a time 3 to 90 minutes off, a number 5 to 40 % off."""
    number = number_of(value)
    if number is not None:
        step = Decimal(1).scaleb(int(number.as_tuple().exponent))
        by = max(step, (abs(number) * chance.randint(5, 40) / 100).quantize(step))
        return f"{number + chance.choice((-1, 1)) * by:f}"
    minutes = timedelta(minutes=chance.choice((-1, 1)) * chance.randint(3, 90))
    match = _DATE.fullmatch(value)
    if match is not None and match[2] is not None:
        return (datetime.fromisoformat(value) + minutes).strftime("%Y-%m-%d %H:%M")
    if _TIME.fullmatch(value):
        return (datetime.fromisoformat(f"2000-01-02 {value}") + minutes).strftime("%H:%M")
    return None


def far_future(value: str, chance: random.Random) -> str | None:
    match = _DATE.fullmatch(value)
    return f"{chance.choice((2099, 2150, 2999))}{value[4:]}" if match and value[:4] < "2099" else None


def swap(one: str, other: str, chance: random.Random) -> tuple[str, str] | None:
    return None if same(one, other) else (other, one)


def merged(one: str, other: str, chance: random.Random) -> tuple[str, str] | None:
    return f"{one} {other}", ""


def order(low: str, high: str, chance: random.Random) -> tuple[str, str] | None:
    """Two values that have an order, put the wrong way round."""
    numbers = number_of(low), number_of(high)
    if numbers[0] is not None and numbers[1] is not None:
        return (high, low) if numbers[0] < numbers[1] else None
    both_dates = _DATE.fullmatch(low) and _DATE.fullmatch(high)
    return (high, low) if both_dates and low < high else None


def end_before_start(start: str, end: str, chance: random.Random) -> tuple[str, str] | None:
    """The end moved 1 to 400 days before the start."""
    match = _DATE.fullmatch(start)
    if match is None or not _DATE.fullmatch(end):
        return None
    earlier = date.fromisoformat(match[1]) - timedelta(days=chance.randint(1, 400))
    return start, earlier.isoformat() + end[10:]


SINGLE: Final[dict[str, SingleError]] = {
    "typo": typo,
    "odd_letter": odd_letter,
    "missing": missing,
    "placeholder": placeholder,
    "date_format": date_format,
    "case": case,
    "spaces": spaces,
    "thousands": thousands,
    "percent": percent,
    "encoding": encoding,
    "sign": sign,
    "outlier": outlier,
    "shifted": shifted,
    "far_future": far_future,
}
PAIRS: Final[dict[str, PairError]] = {
    "swap": swap,
    "coordinates": swap,
    "merged": merged,
    "order": order,
    "end_before_start": end_before_start,
}
