"""Who watches too late, too far ahead or far behind gets exactly the records that are there, in order, and then an end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from httpx2.websockets import WebSocketDisconnect, WebSocketSession

from runtime.settings import Settings
from tests.acceptance.server import DEADLINE_S, Server

pytestmark = pytest.mark.acceptance

TOOLS: Final = '''
from pathlib import Path
from typing import Any

import anyio

from tools import ToolContext, tool


@tool(effect="pure")
async def write(state: dict[str, Any], lines: int, context: ToolContext) -> None:
    """Write so many lines."""
    for number in range(lines):
        context.log.info("line", number=number)


@tool(effect="pure")
async def wait_for(state: dict[str, Any], path: str) -> None:
    """Wait until the file exists."""
    while not Path(path).exists():
        await anyio.sleep(0.01)
'''

RING: Final = Settings().recent_records
"""Records of a live run that are in memory; those before them are read from the journal."""

LINES: Final = 4 * RING


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("streams")
    (folder / "tools.py").write_text(TOOLS)
    arguments = ["--port", "0", "--data-dir", str(folder / "data"), "--log-format", "none"]
    server = Server(folder / "server", [*arguments, "--tools", str(folder / "tools.py")])
    yield server.wait_ready()
    server.close()


def written_then_held(server: Server, gate: Path, lines: int) -> str:
    """Return a run that has written so many lines and waits for the gate, and writes as many behind it."""
    definition: dict[str, Any] = {
        "name": "stream",
        "nodes": [
            {"name": "before", "tool": "write", "config": {"lines": lines}},
            {"name": "wait", "tool": "wait_for", "config": {"path": str(gate)}},
            {"name": "after", "tool": "write", "config": {"lines": lines}},
        ],
        "edges": [{"from_node": "before", "to_node": "wait"}, {"from_node": "wait", "to_node": "after"}],
        "entry_point": "before",
    }
    run_id = server.submit(server.create(definition), {})
    server.wait_event(run_id, "step_started", node="wait")
    return run_id


def log_of(server: Server, run_id: str) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = server.state(run_id)["execution_log"]
    return log


def watching(server: Server, run_id: str, query: str = "") -> Any:
    return server.client.websocket(f"{server.ws_url}/ws/monitor/{run_id}{query}")


def rest(socket: WebSocketSession) -> tuple[list[dict[str, Any]], dict[str, Any], int]:
    """Return the records that still come, the last message, and the code that the socket is closed with."""
    records = []
    while (message := socket.receive_json(timeout=DEADLINE_S))["type"] == "log":
        records.append(message["data"])
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json(timeout=DEADLINE_S)
    return records, message, closed.value.code


def assert_completed(run_id: str, message: dict[str, Any], code: int) -> None:
    expected = {"run_id": run_id, "status": "completed", "final_state": {}}
    assert (message["type"], message["data"], code) == ("complete", expected, 1000)


@pytest.mark.parametrize("lines", [3, LINES], ids=["few", "more than are in memory"])
def test_f52_who_subscribes_after_the_end_gets_the_whole_log_and_the_end(
    server: Server, tmp_path: Path, lines: int
) -> None:
    (tmp_path / "gate").touch()
    run_id = written_then_held(server, tmp_path / "gate", lines)
    server.wait_ended(run_id)
    log = log_of(server, run_id)
    assert len(log) > 2 * lines
    for after in (0, 1, lines, len(log) - 1):
        with watching(server, run_id, f"?after={after}") as socket:
            records, message, code = rest(socket)
        assert records == log[after:]
        assert_completed(run_id, message, code)


@pytest.mark.parametrize("beyond", [0, 1, 1_000_000, 10**15])
def test_f52_who_asks_for_more_than_an_ended_run_has_gets_the_end_at_once(
    server: Server, tmp_path: Path, beyond: int
) -> None:
    (tmp_path / "gate").touch()
    run_id = written_then_held(server, tmp_path / "gate", 3)
    server.wait_ended(run_id)
    with watching(server, run_id, f"?after={len(log_of(server, run_id)) + beyond}") as socket:
        records, message, code = rest(socket)
    assert records == []
    assert_completed(run_id, message, code)


@pytest.mark.parametrize("beyond", [0, 1, 5])
def test_f52_who_is_ahead_of_a_live_run_waits_and_gets_what_comes_behind_that(
    server: Server, tmp_path: Path, beyond: int
) -> None:
    gate = tmp_path / "gate"
    run_id = written_then_held(server, gate, 10)
    after = len(log_of(server, run_id)) + beyond
    with watching(server, run_id, f"?after={after}") as socket:
        with pytest.raises(TimeoutError):
            socket.receive_json(timeout=0.3)  # nothing has come, and the socket is open
        gate.touch()
        records, message, code = rest(socket)
    assert [record["seq"] for record in records][:1] == [after + 1]
    assert records == log_of(server, run_id)[after:]
    assert_completed(run_id, message, code)


def test_f52_who_is_ahead_of_a_live_run_that_ends_before_gets_the_end(server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    run_id = written_then_held(server, gate, 3)
    with watching(server, run_id, "?after=1000000") as socket:
        with pytest.raises(TimeoutError):
            socket.receive_json(timeout=0.3)
        gate.touch()
        records, message, code = rest(socket)
    assert records == []
    assert_completed(run_id, message, code)


@pytest.mark.parametrize("after", [0, 1, RING, LINES - RING])
def test_f52_who_is_far_behind_a_live_run_misses_nothing(server: Server, tmp_path: Path, after: int) -> None:
    gate = tmp_path / "gate"
    run_id = written_then_held(server, gate, LINES)
    there = len(log_of(server, run_id))
    assert there - after > RING  # so the first ones are in the journal only
    with watching(server, run_id, f"?after={after}") as socket:
        seen = [socket.receive_json(timeout=DEADLINE_S)["data"] for _ in range(there - after)]
        assert [record["seq"] for record in seen] == list(range(after + 1, there + 1))
        gate.touch()
        live, message, code = rest(socket)
    assert seen + live == log_of(server, run_id)[after:]
    assert_completed(run_id, message, code)


def test_f52_who_was_cut_off_goes_on_behind_the_last_record_seen(server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    run_id = written_then_held(server, gate, LINES)
    seen: list[dict[str, Any]] = []
    for _ in range(5):
        with watching(server, run_id, f"?after={len(seen)}") as socket:
            seen += [socket.receive_json(timeout=DEADLINE_S)["data"] for _ in range(LINES // 6)]
    gate.touch()
    with watching(server, run_id, f"?after={len(seen)}") as socket:
        records, message, code = rest(socket)
    assert seen + records == log_of(server, run_id)
    assert_completed(run_id, message, code)
