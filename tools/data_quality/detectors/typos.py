"""Rare values that are nearly a frequent value of their column, and spellings of one value that differ in case or space.

Two values that look alike are mostly two values: model codes, carriers, people. A slip is therefore only seen where the
neighbour is many times as frequent, the texts are long enough, and letters alone differ; or where the column has so many of
them that chance cannot explain it (`slips`). Invariant: without that, no digit is changed and no word of less than five letters.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from tools.data_quality.columns.cells import ending_of
from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Kind, Suggestion, Tier
from tools.data_quality.detectors.misspelled import CONFIDENCE, misspelled
from tools.data_quality.detectors.slips import slips
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("variant_map", "typo_map")

_SHORTEST: Final = 5
_RATIO: Final = 15  # how many times as frequent the neighbour must be
_FEWEST: Final = 8  # rows the neighbour must have
_MOST_RARE: Final = 20_000
_MOST_FREQUENT: Final = 2_000
_VARIANT_RATIO: Final = 4
_MOST_ENTRIES: Final = 5_000
_LETTERS_A_SLIP: Final = 7  # letters of a text that allow for one slip
_MOST_SLIPS: Final = 4
_LONG: Final = 16


def discover(table: Table) -> Iterator[Rule]:
    """The slips of each column of words."""
    for study in table.studies:
        if study.semantic not in ("name", "text", "category", "boolean", "code", "list"):
            continue
        name = study.column.name
        if variants := _variants(study):
            params = {"map": variants[:_MOST_ENTRIES]}
            yield make_rule("variant_map", [name], params, tier="auto", repair="writes the value as most rows do")
        typos: dict[str, tuple[str, float]] = slips(study)
        if study.semantic != "code":
            # What is said last about a text counts: a long text that is nearly a frequent one needs no other proof.
            typos = {text: (meant, CONFIDENCE) for text, meant in misspelled(study).items()} | typos | _typos(study)
        if typos:
            entries: list[list[str | float]] = [[text, *told] for text, told in sorted(typos.items())]
            params = {"map": entries[:_MOST_ENTRIES]}
            yield make_rule("typo_map", [name], params, tier="auto", repair="writes the frequent value")


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every value that the map has."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    study = table.studies[place]
    meant = {wrong: (right, confidence) for wrong, right, confidence in rule.params["map"]}
    for code in study.filled:
        entry = meant.get(study.column.text(code))
        if entry is None:
            continue
        right, confidence = entry
        kind: Kind = "typo" if rule.type == "typo_map" else "format"
        how = "nearly" if kind == "typo" else "but for case and white space"
        reason = f"{how} the frequent value {right!r}"
        tier: Tier = "auto" if confidence >= 0.9 else "suggest"
        evidence = {"rows": study.column.counts[code]}
        yield Flag(place, code, None, kind, confidence, reason, rule.rule_id, tier, Suggestion(right), evidence)


def _variants(study: Study) -> list[list[str | float]]:
    """Rare spellings that equal a frequent one but for case and white space."""
    spellings: defaultdict[str, list[int]] = defaultdict(list)
    for code in study.filled:
        spellings[study.folded[code]].append(code)
    found: list[list[str | float]] = []
    for codes in spellings.values():
        if len(codes) < 2:
            continue
        counts = study.column.counts
        first, *others = sorted(codes, key=lambda code: (-counts[code], code))
        right = study.column.text(first)
        for code in others:
            text = study.column.text(code)
            if text != right and counts[first] >= _VARIANT_RATIO * counts[code]:
                confidence = 0.93 if counts[first] >= 2 * _VARIANT_RATIO * counts[code] else 0.75
                found.append([text, right, confidence])
    return sorted(found, key=str)


def _typos(study: Study) -> dict[str, tuple[str, float]]:
    """Rare texts that are nearly a frequent one, with the value that is meant and the confidence."""
    counts = study.column.counts
    texts = {code: study.column.text(code) for code in study.filled}
    frequent = sorted(
        (code for code in texts if counts[code] >= _FEWEST and len(texts[code]) >= _SHORTEST),
        key=lambda code: (-counts[code], code),
    )[:_MOST_FREQUENT]
    if not frequent:
        return {}
    most = counts[frequent[0]]
    rare = [code for code in texts if counts[code] * _RATIO <= most and len(texts[code]) >= _SHORTEST][:_MOST_RARE]
    candidates = [texts[code] for code in frequent]
    found: dict[str, tuple[str, float]] = {}
    for code in rare:
        text = texts[code]
        most_slips = min(_MOST_SLIPS, max(1, len(text) // _LETTERS_A_SLIP))
        near = process.extract(text, candidates, scorer=OSA.distance, score_cutoff=most_slips, limit=3)
        for right, distance, index in near:
            if counts[frequent[index]] >= _RATIO * counts[code] and _is_slip(text, right):
                found[text] = right, _confidence(text, right, counts[frequent[index]] / counts[code], distance)
                break
    return found


def _confidence(text: str, right: str, ratio: float, distance: int) -> float:
    if text[0] != right[0] and len(right) < _LONG:
        return 0.5  # names differ in their first letter more often than they are misspelled there
    length = len(right)
    surprise = 0.1 if ratio >= 4 * _RATIO else 0.05 if ratio >= 2 * _RATIO else 0.0
    return round(0.8 + surprise + (0.05 if length >= _LETTERS_A_SLIP * (distance + 1) else 0.0), 2)


def _is_slip(text: str, right: str) -> bool:
    """True where no digit differs, and the difference is neither an ending nor a word of its own."""
    if re.sub(r"\D", "", text) != re.sub(r"\D", "", right) or text.casefold() == right.casefold():
        return False
    if " " not in right and not right.isalpha():
        return False  # a code: what is nearly the same is another one
    if ending_of(text.casefold(), right.casefold()) in ("s", "es", "e", "n"):
        return False
    words, right_words = text.split(), right.split()
    if len(words) != len(right_words):
        return True
    odd = [(word, meant) for word, meant in zip(words, right_words, strict=True) if word != meant]
    # In a long text a short word may be misspelled too: the rest of it says what is meant.
    shortest = 2 if len(right) >= _LONG else _SHORTEST - 1
    return all(len(meant) >= shortest and OSA.distance(word, meant) <= max(1, len(meant) // 3) for word, meant in odd)
