"""A tool of any bad kind hurts its own step, and nothing else."""

import anyio
import pytest

from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import assert_whole, followed, named, of, stored
from tests.support.graphs import Source

ONCE = {"retry": {"max_attempts": 1}}

BAD: dict[str, tuple[Source, str]] = {
    "Exception": (scripted("raise", node=ONCE), "TOOL_EXCEPTION"),
    "SystemExit": (scripted("raise", error="SystemExit", node=ONCE), "TOOL_EXCEPTION"),
    "KeyboardInterrupt": (scripted("raise", error="KeyboardInterrupt", node=ONCE), "TOOL_EXCEPTION"),
    "GeneratorExit": (scripted("raise", error="GeneratorExit", node=ONCE), "TOOL_EXCEPTION"),
    "RecursionError": (scripted("raise", error="RecursionError", node=ONCE), "TOOL_EXCEPTION"),
    "ExceptionGroup": (scripted("raise", error="ExceptionGroup", node=ONCE), "TOOL_EXCEPTION"),
    "stray cancellation": (scripted("raise", error="cancellation", node=ONCE), "SPURIOUS_CANCEL"),
    "tool error": (scripted("fail", code="MINE", node=ONCE), "MINE"),
    "thread: Exception": (scripted("raise", tool="threaded"), "TOOL_EXCEPTION"),
    "thread: SystemExit": (scripted("raise", tool="threaded", error="SystemExit"), "TOOL_EXCEPTION"),
    "thread: KeyboardInterrupt": (scripted("raise", tool="threaded", error="KeyboardInterrupt"), "TOOL_EXCEPTION"),
    "thread: StopIteration": (scripted("raise", tool="threaded", error="StopIteration"), "TOOL_EXCEPTION"),
    "thread: bytes": (scripted("return", tool="threaded", output="bytes"), "INVALID_OUTPUT"),
    "bytes": (scripted("return", output="bytes"), "INVALID_OUTPUT"),
    "cycle": (scripted("return", output="cycle"), "INVALID_OUTPUT"),
    "text": (scripted("return", output="text"), "INVALID_OUTPUT"),
    "surrogate": (scripted("return", output="surrogate"), "INVALID_OUTPUT"),
    "huge": (scripted("return", output="huge"), "UPDATE_TOO_LARGE"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_tool_fails_its_step_while_other_runs_go_on(opened: Open, tools: ScriptedTools, kind: str) -> None:
    keys, code = BAD[kind]
    async with opened() as engine:
        other = await engine.submit(await stored(engine, [named("a", scripted("wait", update={"x": 1}))]))
        await tools.gate("gate").wait_reached()
        view = await engine.run(await stored(engine, [named("bad", keys)]), {"y": 1})
        assert view.status == "failed"
        assert (view.error or "").startswith(code)
        assert view.state == {"y": 1}
        [failed] = await of(engine, view.run_id, "step_failed")
        assert (failed["node"], failed["error"]["code"], failed["attempt"]) == ("bad", code, 1)
        assert len(failed["error"]["message"]) < 5_000
        assert_whole(await followed(engine, view.run_id))
        tools.gate("gate").open()
        assert (await engine.wait(other.run_id)).state == {"x": 1}


@pytest.mark.parametrize("kind", ["SystemExit", "stray cancellation", "huge", "thread: SystemExit"])
async def test_the_worker_of_a_bad_call_serves_the_next_one(opened: Open, kind: str) -> None:
    keys, _ = BAD[kind]
    async with opened(max_workers_per_node=1) as engine:
        graph_id = await stored(engine, [named("bad", keys)])
        for _ in range(3):
            assert (await engine.run(graph_id)).status == "failed"


async def test_a_bad_step_takes_the_route_for_errors(opened: Open) -> None:
    async with opened() as engine:
        bad = named("bad", scripted("raise", error="SystemExit", node={**ONCE, "on_error": "route"}))
        edges: list[str | Source] = [{"from_node": "bad", "to_node": "mend", "on": "error"}, "bad > next"]
        nodes = [bad, named("mend", scripted("ok", update={"mended": True})), named("next", scripted("ok"))]
        view = await engine.run(await stored(engine, nodes, *edges))
        assert (view.status, view.state) == ("completed", {"mended": True})


async def test_a_flood_of_log_lines_is_kept_to_its_rate_and_counted(opened: Open) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, [named("a", scripted("log", times=7_000))]))
        records = await followed(engine, run.run_id)
        assert_whole(records)
        kept = sum(record.event == "tool_log" for record in records)
        dropped = sum(record.data["count"] for record in records if record.event == "tool_log_dropped")
        assert kept >= 5_000
        assert dropped > 0
        assert kept + dropped == 7_000
        assert [record.event for record in records][-1] == "run_completed"


async def test_lines_from_a_tools_thread_join_the_log_in_order(opened: Open) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, [named("a", scripted("log", tool="threaded", times=30))]))
        lines = await of(engine, run.run_id, "tool_log")
        assert [line["fields"]["number"] for line in lines] == list(range(30))
        assert {(line["node"], line["attempt"]) for line in lines} == {("a", 1)}


async def test_a_tool_blocked_in_its_thread_does_not_hold_other_runs_up(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        blocked = await engine.submit(await stored(engine, [named("a", scripted("wait", tool="threaded"))]))
        try:
            assert (await engine.run(await stored(engine, [named("a", scripted("ok"))]))).status == "completed"
        finally:
            tools.thread_gate("gate").open()
        assert (await engine.wait(blocked.run_id)).status == "completed"


async def test_many_bad_runs_at_once_leave_the_good_ones_alone(opened: Open) -> None:
    async with opened() as engine:
        graphs = [await stored(engine, [named("bad", keys)]) for keys, _ in BAD.values()]
        good = await stored(engine, [named("a", scripted("count"))])
        ended: list[str] = []

        async def run(graph_id: str) -> None:
            ended.append((await engine.run(graph_id)).status)

        async with anyio.create_task_group() as tasks:
            for graph_id in graphs:
                tasks.start_soon(run, graph_id)
                tasks.start_soon(run, good)
        assert sorted(ended) == ["completed"] * len(BAD) + ["failed"] * len(BAD)
