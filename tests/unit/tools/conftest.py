"""Shared by the tests of `tools`: every async test runs on asyncio and on trio."""

from collections.abc import Callable
from typing import Any

import pytest

from tools import ToolContext

Line = tuple[str, str, dict[str, Any]]


class ListLog:
    """A `ToolLog` that keeps its lines as (level, message, fields)."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def debug(self, message: str, **fields: Any) -> None:
        self.lines.append(("debug", message, fields))

    def info(self, message: str, **fields: Any) -> None:
        self.lines.append(("info", message, fields))

    def warning(self, message: str, **fields: Any) -> None:
        self.lines.append(("warning", message, fields))

    def error(self, message: str, **fields: Any) -> None:
        self.lines.append(("error", message, fields))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log() -> ListLog:
    return ListLog()


@pytest.fixture
def make_context(log: ListLog) -> Callable[..., ToolContext]:
    def make(*, attempt: int = 1, iteration: int = 1, run_id: str = "run-1") -> ToolContext:
        key = f"{run_id}/node/{iteration}"
        return ToolContext(
            run_id=run_id, node="node", iteration=iteration, attempt=attempt, idempotency_key=key, log=log
        )

    return make
