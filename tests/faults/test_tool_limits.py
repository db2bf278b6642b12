"""Tools that take what all share, and what the engine does about it: the event loop, the memory, the log."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from runtime.testing import ScriptedTools, scripted
from tests.acceptance.server import Server, eventually
from tests.conftest import Open
from tests.integration.flow import assert_whole, followed, named, of, stored
from tools import ToolContext, tool

BLOCK_S: Final = 1.5
LIMIT_S: Final = 0.2
FLOOD: Final = int(os.environ.get("WORKFLOW_FLOOD", "200000"))
MEMORY_MB: Final = 600

TOOLS: Final = '''
from pathlib import Path
from typing import Any

import anyio

from tools import tool


@tool(effect="idempotent")
async def take_memory(state: dict[str, Any], mb: int, path: str) -> None:
    """Hold that much memory until the file exists."""
    if Path(path).exists():
        return
    held = bytearray(mb << 20)
    held[::4096] = b"x" * len(held[::4096])
    while not Path(path).exists():
        await anyio.sleep(0.02)
'''


# --- F29: blocks the event loop -----------------------------------------------------------------------------------------


def told(text: str, event: str) -> list[dict[str, Any]]:
    """Return the engine's own log lines of that event."""
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line.get("event") == event]


async def test_f29_a_tool_that_blocks_the_event_loop_is_named_once_and_called_in_threads_from_then_on(
    opened: Open, tools: ScriptedTools, capsys: pytest.CaptureFixture[str]
) -> None:
    threads: list[int] = []
    let_go = threading.Event()

    @tool(effect="pure")
    async def hog(state: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        threads.append(threading.get_ident())
        context.log.info("here")
        let_go.wait(BLOCK_S if len(threads) == 1 else 20)  # that is what is wrong with it
        return {"n": state.get("n", 0) + 1}

    tools.add(hog)
    async with opened(block_limit_s=LIMIT_S, log_format="json", log_level="warning") as engine:
        graph_id = await stored(engine, [{"name": "bad", "tool": "hog"}])
        other = await engine.submit(await stored(engine, [named("a", scripted("wait", update={"x": 1}))]))
        await tools.gate("gate").wait_reached()
        first = await engine.run(graph_id)
        counts = await engine.statistics()
        assert (first.state, counts.blocking_tools) == ({"n": 1}, ("hog@1",))
        assert counts.loop_lag_ms > 1_000 * (BLOCK_S - 2 * LIMIT_S)

        second = await engine.submit(graph_id)
        tools.gate("gate").open()
        assert (await engine.wait(other.run_id)).state == {"x": 1}  # delayed, and right
        assert (await engine.state(second.run_id)).status == "running"  # its thread waits, and the loop turns
        let_go.set()
        assert (await engine.wait(second.run_id)).state == {"n": 1}
        assert [line["message"] for line in await of(engine, second.run_id, "tool_log")] == ["here"]
        assert [thread == threading.get_ident() for thread in threads] == [True, False]

    [line] = told(capsys.readouterr().err, "tool_blocks_loop")
    assert (line["tool"], line["node"], line["run_id"]) == ("hog@1", "bad", first.run_id)
    assert line["lag_s"] >= LIMIT_S  # rounded
    assert " < hog (test_tool_limits.py:" in line["stack"]


async def test_f29_a_loop_that_is_blocked_by_no_tool_is_told_without_blame(
    opened: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(block_limit_s=LIMIT_S, log_format="json", log_level="warning") as engine:
        await anyio.sleep(LIMIT_S)  # the watch has begun
        time.sleep(BLOCK_S)  # noqa: ASYNC251
        await anyio.sleep(LIMIT_S)
        assert (await engine.statistics()).blocking_tools == ()
    text = capsys.readouterr().err
    assert told(text, "loop_blocked")
    assert told(text, "tool_blocks_loop") == []


# --- F30: takes the memory ----------------------------------------------------------------------------------------------


def used_mb(server: Server) -> int:
    """Return the memory of the server's process."""
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") >> 20


def taking(mb: int, path: Path) -> dict[str, Any]:
    node = {"name": "a", "tool": "take_memory", "config": {"mb": mb, "path": str(path)}}
    return {"name": f"take {mb}", "nodes": [node], "entry_point": "a"}


@pytest.mark.acceptance
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is measured as it is now on Linux only")
def test_f30_a_server_short_of_memory_takes_no_runs_and_one_without_any_ends_and_resumes_them(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve("--max-memory-mb", str(MEMORY_MB), "--close-grace", "0.2", "--log-level", "error")
    assert server.client.get("/readyz").json() == {"status": "ready"}

    some = server.create(taking(MEMORY_MB * 8 // 10 - used_mb(server), tmp_path / "enough"))
    much = server.create(taking(MEMORY_MB, tmp_path / "enough again"))
    first = server.submit(some, {})
    eventually(lambda: server.client.get("/readyz").status_code == 503)
    assert server.client.get("/readyz").json() == {"status": "not_ready", "reasons": ["memory"]}
    refused = server.client.post("/api/graph/run-async", json={"graph_id": much})
    assert (refused.status_code, refused.json()["code"]) == (503, "OVERLOADED")
    assert int(refused.headers["retry-after"]) > 0
    assert server.client.get("/livez").json() == {"status": "alive"}
    assert server.state(first)["status"] == "running"

    (tmp_path / "enough").touch()
    assert server.wait_ended(first)["status"] == "completed"
    eventually(lambda: server.client.get("/readyz").status_code == 200)

    second = server.submit(much, {})
    assert server.process.wait(30) == 70
    assert "Traceback" not in server.err
    [line] = [line for line in server.err.splitlines() if not line.startswith("{")]
    assert "--max-memory-mb" in line

    (tmp_path / "enough again").touch()
    again = serve()
    assert again.wait_ended(second)["status"] == "completed"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on one folder, with the tools above."""
    servers: list[Server] = []
    (tmp_path / "tools.py").write_text(TOOLS)

    def serve(*options: str) -> Server:
        folder, file = str(tmp_path / "data"), str(tmp_path / "tools.py")
        arguments = ["--port", "0", "--data-dir", folder, "--tools", file, "--log-format", "json", *options]
        servers.append(Server(tmp_path / f"server{len(servers)}", arguments))
        return servers[-1].wait_ready()

    yield serve
    for server in servers:
        server.close()


# --- F35: floods the log ------------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", ["flood", "flood_in_thread"])
async def test_f35_a_flood_of_lines_is_kept_to_its_rate_while_other_runs_go_on(
    opened: Open, tools: ScriptedTools, where: str
) -> None:
    @tool(effect="pure")
    async def flood(state: dict[str, Any], context: ToolContext) -> None:
        for number in range(FLOOD):
            context.log.info("line", number=number)
            if number % 500 == 0:
                await anyio.lowlevel.checkpoint()
        await tools.gate("other").passage()

    @tool(effect="pure")
    def flood_in_thread(state: dict[str, Any], context: ToolContext) -> None:
        for number in range(FLOOD):
            context.log.info("line", number=number)
        tools.thread_gate("other").passage(200)

    tools.add(flood)
    tools.add(flood_in_thread)
    async with opened() as engine:
        flooded = await engine.submit(await stored(engine, [{"name": "a", "tool": where, "timeout_s": 250}]))
        other = await engine.run(await stored(engine, [named("a", scripted("count"))]))
        assert other.status == "completed"
        assert (await engine.state(flooded.run_id)).status == "running"
        tools.gate("other").open()
        tools.thread_gate("other").open()
        assert (await engine.wait(flooded.run_id)).status == "completed"

        records = await followed(engine, flooded.run_id)
        assert_whole(records)
        lines = [record.data["fields"]["number"] for record in records if record.event == "tool_log"]
        drops = await of(engine, flooded.run_id, "tool_log_dropped")
        [started] = await of(engine, flooded.run_id, "step_started")
        [ended] = await of(engine, flooded.run_id, "step_completed")
        lasted = (
            datetime.fromisoformat(ended["timestamp"]) - datetime.fromisoformat(started["timestamp"])
        ).total_seconds()
        assert lines == sorted(lines)
        assert len(lines) + sum(drop["count"] for drop in drops) == FLOOD
        assert 5_000 <= len(lines) <= 5_000 + 1_000 * (lasted + 1)
        assert 1 <= len(drops) <= lasted + 2


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31mred\x1b[0m", "nul\x00", "x" * 50_000_000])
async def test_f35_any_text_is_one_line_of_the_log_and_harmless_to_a_terminal(
    opened: Open, tools: ScriptedTools, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    @tool(effect="pure")
    async def say(state: dict[str, Any], context: ToolContext) -> None:
        context.log.info(text, field=text)

    tools.add(say)
    async with opened(log_format="console") as engine:
        run = await engine.run(await stored(engine, [{"name": "a", "tool": "say"}]))
        [record] = [record for record in await engine.log(run.run_id) if record.event == "tool_log"]
        assert len(record.encoded) < 20_000
        assert record.encoded.isascii() or "…" in record.encoded.decode()
        assert record.encoded.decode().isprintable()
        assert record.data["message"][:8_000] == text[:8_000]
    shown = capsys.readouterr().err
    assert "tool_log" in shown
    assert all(line.isprintable() for line in shown.splitlines())
    assert sum("tool_log" in line for line in shown.split("\n")) == 1
