"""What has a name that users meet is in the documentation: codes, endpoints, options, tools, settings, keys of graphs."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.main import get_command

from api.__main__ import cli
from api.app import create_app
from api.errors import ANSWERS
from api.settings import VERSION, ServerSettings
from runtime.graph.checks import REDUCERS
from runtime.graph.conditions import OPERATORS
from runtime.graph.definition import (
    ApprovalDefinition,
    EdgeDefinition,
    GraphDefinition,
    LimitsDefinition,
    LoopDefinition,
    MapDefinition,
    NodeDefinition,
    RetryDefinition,
    WaitDefinition,
)
from runtime.graph.node_types import NODE_TYPES
from runtime.settings import Settings
from tests.docs.pages import ROOT, section
from tools import default_registry

DOCS = ROOT / "docs"


def text_of(*names: str) -> str:
    return "\n".join((DOCS / name).read_text(encoding="utf-8") for name in names)


def missing(words: set[str], text: str) -> list[str]:
    """Return the words that stand nowhere in backticks."""
    quoted = set(re.findall(r"[\w.\-<>=!@/{}]+", " ".join(re.findall(r"`([^`\n]+)`", text))))
    return sorted(words - quoted)


def test_every_error_code_of_the_api_has_its_statuses() -> None:
    lines = section(DOCS / "api.md", "Error codes").splitlines()
    for code, answer in ANSWERS.items():
        line = next((line for line in lines if f"`{code}`" in line), "")
        assert f"| {answer.status} | {answer.close} |" in line, code


def test_every_code_in_the_source_is_documented() -> None:
    files = [*(ROOT / "runtime").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    sources = [file.read_text(encoding="utf-8") for file in files if "testing" not in file.parts]
    made = (
        r'(?:Failure|StateError|fail_run|super\(\).__init__)\(\s*"([A-Z][A-Z_]+)"|code(?:: str)? ?= ?"([A-Z][A-Z_]+)"'
    )
    codes = {code for source in sources for pair in re.findall(made, source) for code in pair if code}
    codes |= {code for source in sources for code in re.findall(r'_refusal\([^()]*"(HTTP_[A-Z_]+)"\)', source)}
    assert len(codes) > 30
    pages = ("graphs.md", "tools.md", "data_quality.md", "datasets.md", "api.md")
    assert missing(codes, text_of(*pages)) == []


def test_every_endpoint_is_documented() -> None:
    text = text_of("api.md", "operations.md")
    paths = create_app(ServerSettings()).openapi()["paths"]
    operations = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert [operation for operation in sorted(operations) if f"`{operation}`" not in text] == []


def test_every_option_and_variable_is_documented() -> None:
    options = [option for option in get_command(cli).params if option.envvar]
    words = {word for option in options for word in (option.opts[0], str(option.envvar))}
    assert len(words) > 10
    assert missing(words | {"WFE_HTTP_ALLOW"}, text_of("operations.md")) == []


def test_every_tool_is_documented() -> None:
    names = {tool.name for tool in default_registry()}
    assert missing(names, text_of("tools.md", "data_quality.md")) == []


def test_every_setting_is_documented() -> None:
    assert missing({field.name for field in fields(Settings)}, text_of("embedding.md")) == []


@pytest.mark.parametrize(
    "model",
    [
        GraphDefinition,
        NodeDefinition,
        EdgeDefinition,
        LoopDefinition,
        LimitsDefinition,
        RetryDefinition,
        WaitDefinition,
        ApprovalDefinition,
        MapDefinition,
    ],
)
def test_every_key_of_a_graph_is_documented(model: type[BaseModel]) -> None:
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert missing(keys, text_of("graphs.md")) == []


def test_every_type_of_node_is_documented() -> None:
    assert missing(set(NODE_TYPES), text_of("graphs.md")) == []


def test_every_reducer_is_documented() -> None:
    assert missing(set(REDUCERS), text_of("graphs.md")) == []


def test_every_operator_is_documented() -> None:
    assert missing(set(OPERATORS), text_of("graphs.md")) == []


def test_every_problem_type_is_documented() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(ROOT / "runtime" / "graph").glob("*.py"))
    types = set(re.findall(r'Problem\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*"([a-z_]+)",?\s*\)', sources))
    assert len(types) > 25
    assert missing(types, text_of("graphs.md")) == []


def test_the_changelog_knows_the_version() -> None:
    assert VERSION in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
