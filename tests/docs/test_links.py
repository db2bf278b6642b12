"""Links between the pages, and from them to files, lead to something that exists."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, name_of, prose


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_every_page_can_be_found() -> None:
    """From the README, following links."""
    seen: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page not in seen:
            seen.add(page)
            places = (link.partition("#")[0] for link in links(page) if "://" not in link)
            pending += [path for place in places if (path := (page.parent / place).resolve()).suffix == ".md"]
    assert set(PAGES) - seen == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_in_tables_and_text_exist(page: Path) -> None:
    """Paths in backticks that begin with a folder of the project."""
    folders = ("runtime/", "tools/", "api/", "tests/", "bench/", "docs/")
    named = {word for part in prose(page).split("`")[1::2] for word in part.split() if word.startswith(folders)}
    assert [word for word in sorted(named) if not list(ROOT.glob(word.rstrip("/")))] == []
