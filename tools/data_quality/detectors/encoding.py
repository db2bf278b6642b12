"""Texts that were decoded with the wrong character set or escaped once too often, and characters that nobody sees.

UTF-8 that was read as Windows-1252 or Latin-1 (`CafÃ©`) is undone by writing the whole text back in that character set and
reading the bytes as UTF-8. By accident that succeeds for hardly any text, because the sequences of UTF-8 are rare in what
people write; where one could be meant (É before a closing quotation mark) the text is left alone. It is tried again on its
own result, for texts that went wrong twice. HTML entities and characters without a shape are errors only where few values
of a column have them.

The rule: params {"map": [[bad, good], ...]}, with null for what cannot be repaired; other texts that went wrong in one of
these ways break it, too.
Invariant: what is suggested for a wrong character set becomes the value again by the same wrong reading.
"""

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors.flags import Flag, Suggestion, Tier
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("encoding",)

_FEW: Final = 0.05  # share of the rows that may have an entity or an unseen character and still be errors
_TIMES: Final = 3  # how often a text may have been decoded wrongly in a row
_LOST: Final = "\ufffd"

# Windows-1252 leaves five bytes open, which programs read as in Latin-1 (WHATWG Encoding Standard, index windows-1252).
_BYTES: Final = {
    ord(bytes([byte]).decode("cp1252")) if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else byte: byte
    for byte in range(256)
} | {byte: byte for byte in range(0x80, 0xA0)}
_MEANT: Final = {chr(byte): chr(code) for code, byte in _BYTES.items() if 0x80 <= byte < 0xA0 <= code}
_LED: Final = (
    "[\u00c2-\u00f4][" + re.escape("".join(chr(code) for code, byte in _BYTES.items() if 0x80 <= byte < 0xC0)) + "]"
)
_SEQUENCE: Final = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_QUOTES: Final = frozenset(b"\x82\x84\x85\x8b\x91\x92\x93\x94\x96\x97\x99\x9b\xa0\xab\xae\xb0\xb4\xbb")
"""Bytes that read as a quotation mark, dash, space or the like: after a capital letter such as É they may be meant."""

_ENTITY: Final = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|[A-Za-z]{2,8}\d{0,2}|#\d{2,5}|#[xX][0-9A-Fa-f]{2,5});")
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*>")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_WINDOWS: Final = re.compile(r"[\x80-\x9f]")
_UNSEEN: Final = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")
_NEVER_NEEDED: Final = re.compile(r"[\u200b\u2060\ufeff]")
_SPACES: Final = re.compile(r"[\u00a0\u2007\u202f]")
_LEFT_OVER: Final = re.compile(r"(?<=[a-z\d.,;:)])\u00c2(?=\s|$)")
"""What is left of a no-break space in UTF-8 that was read in another character set, once a program made it a plain one."""

_SUSPECT: Final = re.compile(
    "|".join((_LEFT_OVER.pattern, _LED, _LOST, "&", *(form.pattern for form in (_CONTROL, _WINDOWS, _UNSEEN, _SPACES))))
)
"""Most texts have none of this, and need no closer look."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """One way to go wrong: how it is undone (the text itself: not this fault; None: no telling), and how sure that is."""

    undo: Callable[[str], str | None]
    confidence: float
    tier: Tier
    reason: str
    is_habitual: bool  # where many values of a column are so, that is how the column is


def discover(table: Table) -> Iterator[Rule]:
    """Columns in which some text went wrong."""
    for study in table.studies:
        found = [(study.column.values[code], good) for code, _, good in _broken(study)]
        if found:
            pairs = sorted(found, key=lambda pair: (pair[1] is None, str(pair[0])))
            params = {"map": [[bad, good] for bad, good in pairs]}
            yield make_rule("encoding", [study.column.name], params, tier="auto", repair="decodes again")


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every text that went wrong, whether the rule lists it or not."""
    place = table.place(rule.columns[0])
    if place is None:
        return
    study = table.study_at(place)
    found = {code: (fault, good) for code, fault, good in _broken(study)}
    listed = {bad: good for bad, good in rule.params["map"] if good is not None}
    for code in study.filled:
        value = study.column.values[code]
        if code in found:
            fault, good = found[code]
            tier: Tier = "report" if good is None else fault.tier
            suggestion = None if good is None else Suggestion(good)
            yield Flag(place, code, None, "encoding", fault.confidence, fault.reason, rule.rule_id, tier, suggestion)
        elif isinstance(value, str) and value in listed:
            reason = "known to have been decoded wrongly"
            yield Flag(place, code, None, "encoding", 0.9, reason, rule.rule_id, "auto", Suggestion(listed[value]))


def decoded_again(text: str) -> str:
    """The text as it was before UTF-8 was read in another character set; the text itself where that cannot be shown."""
    stage = text
    for _ in range(_TIMES):
        before = _undo_reading(stage)
        if before is None:
            break
        stage = before
        if not _WINDOWS.search(stage):  # else it went wrong once more, or was no wrong reading at all
            text = stage
    return text


def _undo_reading(text: str) -> str | None:
    if not _SUSPECT.search(text):
        return None
    try:
        raw = bytes(_BYTES[ord(character)] for character in text)
        before = raw.decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return None
    sequences = _SEQUENCE.findall(raw)
    is_meant = len(sequences) == 1 and len(sequences[0]) == 2 and _may_be_meant(sequences[0])
    return None if is_meant else before


def _may_be_meant(sequence: bytes) -> bool:
    """True for a capital letter and a quotation mark or the like, where what they decode to is no common letter."""
    if sequence[0] in b"\xc2\xc3":
        return False
    return sequence[1] in _QUOTES or not 0x0100 <= ord(sequence.decode()) <= 0x017F


def _unescaped(text: str) -> str:
    """The text without HTML entities; the text itself where it is HTML."""
    if "&" not in text or not _ENTITY.search(text) or _TAG.search(text):
        return text
    once = html.unescape(text)
    return html.unescape(once).replace("\u00a0", " ")


def _windows_characters(text: str) -> str:
    """The text with control characters of Latin-1 read as the quotation marks and dashes of Windows-1252."""
    return _WINDOWS.sub(lambda match: _MEANT.get(match[0], match[0]), text)


def _without_unseen(text: str) -> str:
    """The text without characters that cannot be seen, but for those that other scripts than Latin need."""
    plain = _UNSEEN.sub("", text)
    return plain if plain.isascii() else _NEVER_NEEDED.sub("", text)


_FAULTS: Final = (
    _Fault(decoded_again, 0.95, "auto", "UTF-8 that was read in another character set", False),
    _Fault(
        lambda text: None if _LOST in text else text, 0.95, "report", "a character that was lost in decoding", False
    ),
    _Fault(lambda text: _LEFT_OVER.sub("", text), 0.9, "auto", "what a no-break space left behind in decoding", False),
    _Fault(_windows_characters, 0.9, "auto", "characters of Windows-1252 that were read as Latin-1", False),
    _Fault(_unescaped, 0.85, "auto", "escaped for HTML, where the others are not", True),
    _Fault(lambda text: _CONTROL.sub("", text), 0.9, "suggest", "a control character", True),
    _Fault(_without_unseen, 0.85, "auto", "a character that cannot be seen", True),
    _Fault(lambda text: _SPACES.sub(" ", text), 0.7, "auto", "a space that looks like any other and is not", True),
)


def _broken(study: Study) -> list[tuple[int, _Fault, str | None]]:
    """Every text that went wrong, the fault that was found first, and what it was before."""
    by_fault: dict[int, list[tuple[int, str | None]]] = {}
    texts = [(code, value) for code in study.filled if isinstance(value := study.column.values[code], str)]
    for code, text in texts:
        if not _SUSPECT.search(text):
            continue
        for number, fault in enumerate(_FAULTS):
            good = fault.undo(text)
            # White space at the ends is another fault, and not of this kind.
            if good is None or good.strip() != text.strip():
                by_fault.setdefault(number, []).append((code, good))
                break
    few = max(2, _FEW * study.filled_rows)
    broken = [
        (code, _FAULTS[number], good)
        for number, found in by_fault.items()
        if not _FAULTS[number].is_habitual or study.column.rows_with(code for code, _ in found) <= few
        for code, good in found
    ]
    return sorted(broken, key=lambda found: found[0])
