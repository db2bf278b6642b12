"""Slips of the keyboard in values too short, or too much like codes, for their looks alone to be believed: `JKF` for `JFK`.

In a column of a few frequent values, one that is rare and one letter from a frequent one may be a value of its own. How
often that happens can be counted in the column itself: by the rare values that are near none, and by how many of the
frequent values are near each other. Where that many cannot explain the near ones, they are slips.

Invariant: a function of the column alone; nothing is said where the near values look like variants, which differ in the
same way or at the same place, while slips are of all kinds and anywhere.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rapidfuzz.distance import OSA

from tools.data_quality.columns.cells import ending_of
from tools.data_quality.columns.study import Study

_SHORTEST: Final = 3  # letters of what is meant: too many pairs of two letters are one letter apart
_LONGEST: Final = 40
_RATIO: Final = 8  # how many times as frequent what is meant must be; with fewer rows no value is frequent
_REPEATED: Final = 3  # rows from which it may well be a value of its own ...
_REPEATED_RATIO: Final = 15  # ... unless the other is so many times as frequent
_FEWEST: Final = 5  # distinct slips of a column
_DOUBT: Final = 0.5  # added to both counts, since few values say little (the prior of Jeffreys)
_RIGHT: Final = 0.9  # estimated share of the near values that are slips ...
_LIKELY: Final = 0.6  # ... and the least of which anything is said
_SUBSTITUTED: Final = 0.8  # share of the slips that may be another letter at the same place
_AT_THE_END: Final = 0.5  # share of them that may differ at the end alone
_MOST_VALUES: Final = 30_000
_CONFIDENCE: Final = 0.85
_EITHER: Final = 0.6  # where two values could be meant
_CLEARLY: Final = 4  # how many times as frequent as the next one the value must be that is meant


@dataclass(frozen=True, slots=True)
class _Value:
    """A value in all its spellings: how many rows have it, and the spelling most of them use."""

    rows: int
    text: str


def slips(study: Study) -> dict[str, tuple[str, float]]:
    """Return each slip in a column, with the value that is meant and the confidence; or nothing."""
    values = _values(study)
    if not 2 <= len(values) <= _MOST_VALUES:
        return {}
    frequent = (text for text, value in values.items() if value.rows >= _RATIO)
    neighbours = _Neighbours([text for text in frequent if len(text) >= _SHORTEST])
    near: dict[str, list[str]] = {}
    established: dict[str, list[str]] = {}
    strangers = 0
    for text, value in values.items():
        beside = neighbours.of(text)
        meant = [other for other in beside if values[other].rows >= _RATIO * value.rows and not _is_ending(text, other)]
        meant.sort(key=lambda other: (-values[other].rows, other))
        if meant and value.rows >= _REPEATED and values[meant[0]].rows < _REPEATED_RATIO * value.rows:
            continue  # may be either
        if meant:
            near[text] = meant
        elif value.rows >= _RATIO:
            established[text] = beside
        else:
            strangers += 1
    if len(near) < _FEWEST or not _are_of_all_kinds(near):
        return {}
    right = 1 - _near_by_chance(established, strangers) / len(near)
    if right < _LIKELY:
        return {}
    most = _CONFIDENCE if right >= _RIGHT else _EITHER
    return {
        study.column.text(code): (values[near[folded][0]].text, min(most, _confidence(values, near[folded])))
        for code, folded in study.folded.items()
        if folded in near
    }


def _near_by_chance(established: Mapping[str, list[str]], strangers: int) -> float:
    """How many rare values would be near a frequent one if all were values of their own, judged by those that are not.

    A share of the frequent values is near another one. Of the rare values that are no slips the same share is near one, and the
    rest are the strangers; with one more of these, in case there is none by luck.
    """
    close = sum(any(other in established for other in beside) for beside in established.values())
    share = (close + _DOUBT) / (len(established) + 2 * _DOUBT)
    return (strangers + 1) / (1 - share) * share


def _values(study: Study) -> dict[str, _Value]:
    spellings: defaultdict[str, list[int]] = defaultdict(list)
    for code, text in study.folded.items():
        if _SHORTEST <= len(text) + 1 <= _LONGEST:
            spellings[text].append(code)
    counts = study.column.counts
    return {
        text: _Value(
            sum(counts[code] for code in codes),
            study.column.text(min(codes, key=lambda code: (-counts[code], code))),
        )
        for text, codes in spellings.items()
    }


class _Neighbours:
    """Texts one slip apart, found by what is left of both once a letter is taken away: no pair is compared in vain."""

    def __init__(self, texts: list[str]) -> None:
        self._left: defaultdict[str, list[str]] = defaultdict(list)
        for text in texts:
            for left in _without_one(text):
                self._left[left].append(text)

    def of(self, text: str) -> list[str]:
        found = dict.fromkeys(other for left in _without_one(text) for other in self._left.get(left, ()))
        return [other for other in found if other != text and OSA.distance(text, other, score_cutoff=1) == 1]


def _without_one(text: str) -> Iterator[str]:
    yield text
    for place in range(len(text)):
        yield text[:place] + text[place + 1 :]


def _is_ending(text: str, other: str) -> bool:
    """True where the two differ by an ending, and not by a letter that was doubled."""
    ending = ending_of(text, other)
    return ending in ("s", "e", "n") and ending != min(text, other, key=len)[-1]


def _are_of_all_kinds(near: dict[str, list[str]]) -> bool:
    pairs = [(text, meant[0]) for text, meant in near.items()]
    substituted = sum(
        len(text) == len(meant) and sum(a != b for a, b in zip(text, meant, strict=True)) == 1 for text, meant in pairs
    )
    at_the_end = sum(text[: len(meant) - 1] == meant[:-1] for text, meant in pairs)
    return substituted <= _SUBSTITUTED * len(near) and at_the_end <= _AT_THE_END * len(near)


def _confidence(values: dict[str, _Value], meant: list[str]) -> float:
    is_clear = len(meant) == 1 or values[meant[0]].rows >= _CLEARLY * values[meant[1]].rows
    return _CONFIDENCE if is_clear else _EITHER
