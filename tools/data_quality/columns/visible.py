"""What stands in an untrusted table, made fit to be read: on a terminal, in a sentence, on a page.

A cell may hold control characters that recolour a terminal, marks that turn the direction of a line around, or 64 KiB of
anything. Invariant: what `visible` returns is printable, on one line, and not much longer than it was allowed to be.
"""

from typing import Final

from tools.data_quality.columns.cells import Cell

SHOWN_CHARACTERS: Final = 120
EDGE_SPACE: Final = "␣"

_SIGNS: Final = {"\n": "↵", "\t": "⇥"}


def text_of(cell: Cell) -> str:
    """The cell as a text; empty for null."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    try:
        return str(cell)
    except ValueError:  # Python writes out no number of more than 4,300 digits, for that takes quadratic time
        return "a number of thousands of digits"


def glyph(character: str) -> str:
    """How one character is shown: itself when it is printable, else a sign or its number that stands for it."""
    if character.isprintable():
        return character
    return _SIGNS.get(character, f"[U+{ord(character):04X}]")


def glyphs(text: str) -> list[str]:
    """How every character of a text is shown; spaces at either end, which a reader would not see, as `␣`."""
    shown = [glyph(character) for character in text]
    start, end = len(text) - len(text.lstrip(" ")), len(text.rstrip(" "))
    for place in (*range(min(start, len(text))), *range(max(end, start), len(text))):
        shown[place] = EDGE_SPACE
    return shown


def visible(cell: Cell, most: int = SHOWN_CHARACTERS) -> str:
    """The cell as one printable line; what is longer than `most` characters is cut, and its length said."""
    text = text_of(cell)
    if len(text) <= most:
        return "".join(glyphs(text))
    return f"{''.join(glyphs(text[:most]))}… ({len(text):,} characters)"
