"""Words that are misspelled in texts which are all different: `Dawson Municipak` among many that end in `Municipal`.

Names are words that stand once and are nearly another one, too, so a word is only believed to be a slip of one that is
everywhere in its column. Invariant: neither short words nor digits nor first letters change, and no ending that has a sense.
"""

import re
from collections import Counter, defaultdict
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from tools.data_quality.columns.cells import ending_of
from tools.data_quality.columns.study import Study

CONFIDENCE: Final = 0.7

_WORD: Final = re.compile(r"[^\W\d_]{5,}")
_FREQUENT: Final = 30  # rows in which a word stands that others are slips of
_FREQUENT_SHARE: Final = 0.01
_SHORTEST: Final = 6  # letters of the word that is meant: shorter ones have neighbours that are words, too
_LONG: Final = 10  # letters from which a word may have two slips
_MOST_FREQUENT: Final = 500
_ENDINGS: Final = ("s", "es", "e", "n", "r", "d", "y", "ed", "er", "al", "ly")
_SPELLINGS: Final = (("re", "er"), ("our", "or"), ("ise", "ize"), ("isation", "ization"), ("ogue", "og"))


def misspelled(study: Study) -> dict[str, str]:
    """Return each text of a column in which a word is misspelled, and what it is meant to be."""
    texts = {code: study.column.text(code) for code in study.filled}
    rows: Counter[str] = Counter()
    holding: defaultdict[str, list[int]] = defaultdict(list)
    for code, text in texts.items():
        for word in dict.fromkeys(match[0].casefold() for match in _WORD.finditer(text)):  # a set would have no order
            rows[word] += study.column.counts[code]
            holding[word].append(code)
    fewest = max(_FREQUENT, _FREQUENT_SHARE * study.filled_rows)
    frequent = sorted(
        (word for word, count in rows.items() if count >= fewest and len(word) >= _SHORTEST),
        key=lambda word: (-rows[word], word),
    )[:_MOST_FREQUENT]
    found: dict[str, str] = {}
    if not frequent:
        return found
    for word, codes in holding.items():
        if len(codes) > 1 or study.column.counts[codes[0]] > 1:
            continue
        meant = process.extractOne(word, frequent, scorer=OSA.distance, score_cutoff=2 if len(word) >= _LONG else 1)
        if meant is not None and _is_slip(word, meant[0]):
            text = texts[codes[0]]
            found[text] = _replaced(found.get(text, text), word, meant[0])
    return found


def _is_slip(word: str, meant: str) -> bool:
    if word[0] != meant[0]:
        return False
    ending = ending_of(word, meant)
    if ending in _ENDINGS and ending != min(word, meant, key=len)[-1]:
        return False
    return not any(
        one in word and word.replace(one, other) == meant for pair in _SPELLINGS for one, other in (pair, pair[::-1])
    )


def _replaced(text: str, word: str, meant: str) -> str:
    """The text with a word replaced in the case that it has."""

    def written(match: re.Match[str]) -> str:
        old = match[0]
        if old.casefold() != word:
            return old
        return meant.upper() if old.isupper() else meant.capitalize() if old[0].isupper() else meant

    return _WORD.sub(written, text)
