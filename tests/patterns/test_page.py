"""`docs/patterns.md` has the 43 patterns by number and name, claims no more than is run, and shows the graphs that are run."""

import json
import re
from typing import Final

from tests.docs.pages import ROOT, blocks
from tests.patterns.table import GRAPHS, NAMES, graph_of

PAGE: Final = ROOT / "docs" / "patterns.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
ROWS: Final = re.findall(
    r"^\| (?:\[(\d+)\]\((\S+)\)|(\d+)) \| ([^|]+) \| (yes|restricted|no) \| ([^|]+) \|$", TEXT, re.MULTILINE
)


def test_every_pattern_has_its_number_and_name() -> None:
    assert [(int(linked or bare), name) for linked, _, bare, name, _, _ in ROWS] == list(NAMES.items())


def test_what_can_be_expressed_has_its_graph_and_nothing_else_has() -> None:
    for linked, link, bare, _, support, _ in ROWS:
        if support == "no":
            assert int(bare) not in GRAPHS
        else:
            assert (PAGE.parent / link).resolve() == GRAPHS[int(linked)].resolve()


def test_the_page_counts_right() -> None:
    supports = [support for *_, support, _ in ROWS]
    [(expressed, restricted, left)] = re.findall(r"\*\*(\d+) of the 43 [^*]*?(\d+) of them [^*]*?(\d+) cannot", TEXT)
    assert int(expressed) == len(GRAPHS) == 43 - supports.count("no")
    assert (int(restricted), int(left)) == (supports.count("restricted"), supports.count("no"))


def test_the_graphs_that_are_shown_are_those_that_are_run() -> None:
    shown = [block for block in blocks("json") if block.page == "docs/patterns.md"]
    titles = [int(number) for number in re.findall(r"^## (\d+): ", TEXT, re.MULTILINE)]
    assert [json.loads(block.text) for block in shown] == [graph_of(number) for number in titles]
    assert re.findall(r"^## \d+: (.+)$", TEXT, re.MULTILINE) == [NAMES[number] for number in titles]
