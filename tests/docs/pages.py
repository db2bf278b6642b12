"""Reads the documentation: its pages, their fenced blocks, headings and links."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE: Final = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_NO_SLUG: Final = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `info` is what stands behind the fence, such as `python runnable`."""

    page: str
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(info: str) -> list[Block]:
    """Return the blocks of all pages with exactly that info string."""
    return [block for block in _all_blocks() if block.info == info]


def blocks_that_begin(info: str) -> list[Block]:
    """Return the blocks of all pages whose info string begins so."""
    return [block for block in _all_blocks() if block.info.startswith(info)]


def _all_blocks() -> list[Block]:
    return [
        Block(name_of(page), text.count("\n", 0, match.start()) + 1, match["info"], match["text"])
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for match in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings get where Markdown is shown as GitHub does."""
    titles = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in _HEADING.findall(prose(page)))
    return {_NO_SLUG.sub("", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    """Return where the links and pictures of a page lead."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(page)))


def section(page: Path, title: str) -> str:
    """Return the text under the heading `title`, up to the next heading; empty if there is none."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", page.read_text(encoding="utf-8"), re.M | re.S)
    return found[1] if found else ""
