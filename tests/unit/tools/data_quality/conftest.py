from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tools.artifact_store import ArtifactStore
from tools.contract import ToolContext
from tools.data_quality import apply_rules, generate_rules, identify_anomalies, profile_data

State = dict[str, Any]


@dataclass
class Lines:
    """A `ToolLog` that keeps what it is told as (level, message, fields)."""

    written: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def debug(self, message: str, **fields: Any) -> None:
        self.written.append(("debug", message, fields))

    def info(self, message: str, **fields: Any) -> None:
        self.written.append(("info", message, fields))

    def warning(self, message: str, **fields: Any) -> None:
        self.written.append(("warning", message, fields))

    def error(self, message: str, **fields: Any) -> None:
        self.written.append(("error", message, fields))


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def context(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, lines: Lines) -> ToolContext:
    artifacts = ArtifactStore(tmp_path_factory.mktemp("artifacts"), 2**28).of_run("run")
    return ToolContext("run", "node", 1, 1, "run/node/1", lines, tmp_path, artifacts=artifacts)


@pytest.fixture
def one_pass(context: ToolContext) -> Callable[..., State]:
    """Run the four tools once on a state, with `config` for generate_rules."""

    def run(state: State, **config: Any) -> State:
        state = {**state}
        state |= profile_data(state, context=context)
        state |= identify_anomalies(state, context=context)
        state |= generate_rules(state, context=context, **config)
        state |= apply_rules(state, context=context)
        return state

    return run
