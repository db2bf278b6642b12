"""Starts real server processes on free loopback ports, with tools that a test can hold up and count."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import Server

TOOLS = '''
import threading
from pathlib import Path
from typing import Any

import anyio

from tools import ToolError, tool


@tool(effect="pure")
async def wait_for(state: dict[str, Any], path: str) -> None:
    """Wait until the file exists."""
    while not Path(path).exists():
        await anyio.sleep(0.01)


@tool(effect="pure")
async def need_file(state: dict[str, Any], path: str) -> dict[str, Any]:
    """Fail unless the file exists."""
    if not Path(path).exists():
        raise ToolError("There is no file yet.", code="NO_FILE", retryable=False)
    return {"file": Path(path).name}


@tool(effect="pure")
async def never_end(state: dict[str, Any]) -> None:
    """Go on whatever anybody says."""
    while True:
        try:
            await anyio.sleep(1)
        except BaseException:
            pass


@tool(effect="pure")
def block_for_ever(state: dict[str, Any]) -> None:
    """Hold a thread."""
    threading.Event().wait()


@tool
def append_line(state: dict[str, Any], path: str, line: str) -> None:
    """Append a line that names the run to the file: an effect that the world can count."""
    with open(path, "a") as file:
        file.write(f"{line} {state['name']}\\n")
'''


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.acceptance)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on free ports; by default all on one data dir. They are killed when the test ends."""
    servers: list[Server] = []
    (tmp_path / "tools.py").write_text(TOOLS)

    def launch(*arguments: str, data_dir: str = "data", ready: bool = True) -> Server:
        defaults = ["--port", "0", "--data-dir", str(tmp_path / data_dir), "--tools", str(tmp_path / "tools.py")]
        server = Server(tmp_path / f"server{len(servers)}", [*defaults, "--log-format", "json", *arguments])
        servers.append(server)
        return server.wait_ready() if ready else server

    yield launch
    for server in servers:
        server.close()


@pytest.fixture
def server(launch: Callable[..., Server]) -> Server:
    return launch()


@pytest.fixture
def held(tmp_path: Path) -> dict[str, Any]:
    """A graph that writes a line, waits for the file `gate`, and writes another line, all below `tmp_path`."""
    ledger = str(tmp_path / "ledger")
    return {
        "name": "held",
        "nodes": [
            {"name": "before", "tool": "append_line", "config": {"path": ledger, "line": "before"}},
            {"name": "wait", "tool": "wait_for", "config": {"path": str(tmp_path / "gate")}, "timeout_s": 120},
            {"name": "after", "tool": "append_line", "config": {"path": ledger, "line": "after"}},
        ],
        "edges": [{"from_node": "before", "to_node": "wait"}, {"from_node": "wait", "to_node": "after"}],
        "entry_point": "before",
    }
