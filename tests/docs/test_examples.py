"""The examples in the pages do what the pages say: JSON parses, graphs are accepted, Python runs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from runtime.graph.checks import judge
from tests.docs.pages import ROOT, Block, blocks, section
from tools import default_registry
from tools.data_quality import get_data_quality_graph_definition
from tools.data_quality.detectors.flags import KINDS
from tools.data_quality.rules.model import RULE_TYPES

JSON = blocks("json")
RUNNABLE = blocks("python runnable")
TOOL_FILES = blocks("python tools-file")


@pytest.mark.parametrize("block", JSON, ids=str)
def test_json_parses_and_graphs_are_accepted(block: Block) -> None:
    value = json.loads(block.text)
    if isinstance(value, dict) and "nodes" in value:
        verdict = judge(value, default_registry())
        assert (verdict.errors, verdict.warnings) == ([], [])


def test_the_data_quality_graphs_are_those_that_are_shown() -> None:
    shown = [json.loads(block.text) for block in JSON if block.page == "docs/data_quality.md"]
    assert get_data_quality_graph_definition() in shown
    assert get_data_quality_graph_definition(review=True) in shown


def test_what_the_data_quality_tools_detect_and_the_rules_they_derive_are_all_listed() -> None:
    page = ROOT / "docs" / "data_quality.md"
    kinds = re.findall(r"^\| `(\w+)` \|", section(page, "What is detected"), re.MULTILINE)
    rules = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", section(page, "Rules"), re.MULTILINE)))
    assert (tuple(kinds), sorted(rules)) == (KINDS, sorted(RULE_TYPES))


@pytest.mark.parametrize("block", RUNNABLE, ids=str)
async def test_python_runs(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "an_example"}
    exec(compile(block.text, str(block), "exec"), names)  # noqa: S102 - the pages are ours
    await names["main"]()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("block", TOOL_FILES, ids=str)
def test_tool_files_load(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "mytools.py"
    file.write_text(block.text, encoding="utf-8")
    registry = default_registry([file])
    assert registry.broken == ()
    assert len(registry) > len(default_registry())


def test_every_kind_of_example_was_found() -> None:
    assert [bool(found) for found in (JSON, RUNNABLE, TOOL_FILES)] == [True] * 3
