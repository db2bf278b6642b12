"""Pause, resume, retry, fork and cancel through the engine, on runs in every condition."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from runtime.clock import LoopClock
from runtime.errors import NothingToRetry, RunFinished, ToolMissing, UnknownRun, UnknownStep
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import assert_whole, events, followed, named, of, stored, until
from tests.support.graphs import Source, graph, node

PROMPT_S = 10
OK = named("x", scripted("ok", update={"x": 1}))


def slow(name: str = "a", **keys: Any) -> Source:
    return named(name, scripted("wait", tool="idempotent", **keys))


def once_failing(name: str = "a", **keys: Any) -> Source:
    """Return a node whose first attempt fails, and every later one does not."""
    return named(name, scripted("fail_times", node={"retry": {"max_attempts": 1}}, **keys))


def inside(name: str, inner: Source) -> Source:
    return node(name, tool=None, type="graph", graph=inner)


# --- pause and resume -------------------------------------------------------------------------------------------------


async def test_a_paused_run_stays_so_across_a_restart_and_goes_on_when_it_is_resumed(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [slow(), OK], "a > x"))
        await tools.gate("gate").wait_reached()
        assert (await engine.pause(run.run_id)).status == "paused"
        assert (await engine.pause(run.run_id)).status == "paused"
        tools.gate("gate").open()
        await until(engine, run.run_id, "step_completed")
    async with opened() as engine:
        assert (await engine.state(run.run_id)).status == "paused"
        await engine.resume(run.run_id)
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(run.run_id)).state == {"x": 1}
        assert_whole(await followed(engine, run.run_id))
        assert (await events(engine, run.run_id)).count("run_paused") == 1


async def test_a_run_that_waits_for_its_turn_can_be_paused_and_starts_when_it_is_resumed(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened(max_active_runs=1) as engine:
        first = await engine.submit(await stored(engine, [slow()]))
        second = await engine.submit(await stored(engine, [OK]))
        await tools.gate("gate").wait_reached()
        with anyio.fail_after(PROMPT_S):
            assert (await engine.pause(second.run_id)).status == "paused"
        tools.gate("gate").open()
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(first.run_id)).status == "completed"
            assert (await engine.state(second.run_id)).status == "paused"
            await engine.resume(second.run_id)
            assert (await engine.wait(second.run_id)).status == "completed"
        assert (await engine.statistics()).active == 0


async def test_a_run_that_was_paused_before_it_started_starts_after_a_restart_when_it_is_resumed(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened(max_active_runs=1) as engine:
        first = await engine.submit(await stored(engine, [slow()]))
        second = await engine.submit(await stored(engine, [OK]))
        await tools.gate("gate").wait_reached()
        await engine.pause(second.run_id)
        tools.gate("gate").open()
        await engine.wait(first.run_id)
    async with opened(max_active_runs=1) as engine:
        with anyio.fail_after(PROMPT_S):
            assert (await engine.state(second.run_id)).status == "paused"
            await engine.resume(second.run_id)
            assert (await engine.wait(second.run_id)).status == "completed"


async def test_commands_on_runs_that_are_none_or_have_ended_are_refused(opened: Open) -> None:
    async with opened() as engine:
        done = await engine.run(await stored(engine, [OK]))
        commands: list[Callable[[str], Any]] = [engine.pause, engine.resume, engine.cancel]
        for command in commands:
            with pytest.raises(UnknownRun):
                await command("run-none")
            with pytest.raises(RunFinished):
                await command(done.run_id)
        with pytest.raises(UnknownRun):
            await engine.retry("run-none")
        with pytest.raises(UnknownRun):
            await engine.fork("run-none", "x")
        with pytest.raises(NothingToRetry):
            await engine.retry(done.run_id)


async def test_a_paused_run_can_be_cancelled(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [slow(), OK], "a > x"))
        await tools.gate("gate").wait_reached()
        await engine.pause(run.run_id)
        await engine.cancel(run.run_id)
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(run.run_id)).status == "cancelled"


# --- tools that are missing -------------------------------------------------------------------------------------------


async def test_a_blocked_run_goes_on_soon_after_its_tools_are_back(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    async with opened_virtual() as engine:
        run = await engine.submit(await stored(engine, [inside("g", graph([slow(), OK], "a > x"))]))
        await tools.gate("gate").wait_reached()
    tools.hide("idempotent")
    tools.gate("gate").open()
    async with opened_virtual() as engine:
        await until(engine, run.run_id, "run_blocked")
        assert (await engine.state(run.run_id)).status == "waiting"
        await anyio.sleep(60)
        assert (await engine.state(run.run_id)).status == "waiting"
        tools.show("idempotent")
        back = virtual.monotonic()
        assert (await engine.wait(run.run_id)).status == "completed"
        assert virtual.monotonic() - back <= 5.5
        assert (await engine.statistics()).active == 0


async def test_a_blocked_run_goes_on_at_once_when_it_is_resumed_with_its_tools(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened() as engine:
        started = await engine.submit(await stored(engine, [slow(), OK], "a > x"))
        await tools.gate("gate").wait_reached()
    tools.hide("idempotent")
    tools.gate("gate").open()
    async with opened() as engine:
        await until(engine, started.run_id, "run_blocked")
        await engine.resume(started.run_id)
        assert (await engine.state(started.run_id)).status == "waiting"
        tools.show("idempotent")
        with anyio.fail_after(4):
            await engine.resume(started.run_id)
            assert (await engine.wait(started.run_id)).status == "completed"
        assert_whole(await followed(engine, started.run_id))


async def test_a_blocked_run_can_be_paused_and_does_not_go_on_when_its_tools_are_back(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    async with opened_virtual() as engine:
        run = await engine.submit(await stored(engine, [slow(), OK], "a > x"))
        await tools.gate("gate").wait_reached()
    tools.hide("idempotent")
    tools.gate("gate").open()
    async with opened_virtual() as engine:
        await until(engine, run.run_id, "run_blocked")
        await engine.pause(run.run_id)
        tools.show("idempotent")
        await anyio.sleep(30)
        assert (await engine.state(run.run_id)).status == "paused"
        assert len(tools.called("x")) == 0
        await engine.resume(run.run_id)
        assert (await engine.wait(run.run_id)).status == "completed"


# --- retry ------------------------------------------------------------------------------------------------------------


async def test_a_retried_run_goes_on_in_the_same_log(opened: Open) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, [OK, once_failing(update={"a": 1})], "x > a"))
        assert run.status == "failed"
        before = await engine.log(run.run_id)
        assert (await engine.retry(run.run_id)).status in ("running", "completed")
        with anyio.fail_after(PROMPT_S):
            view = await engine.wait(run.run_id)
        assert (view.status, view.state, view.error) == ("completed", {"x": 1, "a": 1}, None)
        records = await followed(engine, run.run_id)
        assert records[: len(before)] == before
        assert records[len(before)].event == "run_retried"
        assert_whole(records)
        assert (await engine.summary(run.run_id)).status == "completed"
        with pytest.raises(NothingToRetry):
            await engine.retry(run.run_id)


async def test_a_run_is_retried_again_and_again_and_after_restarts(opened: Open) -> None:
    async with opened() as engine:
        source = named("a", scripted("fail_times", times=3, node={"retry": {"max_attempts": 1}}, update={"a": 1}))
        inner = graph(
            [
                node(
                    "m",
                    type="map",
                    map={"items": [1], "concurrency": 1},
                    **{k: v for k, v in source.items() if k != "name"},
                )
            ]
        )
        run = await engine.run(await stored(engine, [inside("g", inner)]))
        assert run.status == "failed"
    for number in range(3):
        async with opened() as engine:
            await engine.retry(run.run_id)
            with anyio.fail_after(PROMPT_S):
                view = await engine.wait(run.run_id)
            assert view.status == ("completed" if number == 2 else "failed")
            assert (await engine.statistics()).active == 0
            assert_whole(await followed(engine, run.run_id))
    assert view.state == {"m": [{"a": 1}]}


async def test_of_two_retries_at_once_one_is_refused(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        bad = named("bad", scripted("fail_times", times=1, node={"retry": {"max_attempts": 1}}))
        run = await engine.run(await stored(engine, [bad, slow()], "bad > a"))
        refused: list[BaseException] = []

        async def again() -> None:
            try:
                await engine.retry(run.run_id)
            except NothingToRetry as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(again)
        assert len(refused) == 4
        tools.gate("gate").open()
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(run.run_id)).status == "completed"
        assert (await events(engine, run.run_id)).count("run_retried") == 1
        assert (await engine.statistics()).active == 0


async def test_a_retry_that_is_refused_leaves_the_run_ended(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        bad = named("a", scripted("fail", tool="idempotent", node={"retry": {"max_attempts": 1}}))
        run = await engine.run(await stored(engine, [bad]))
        tools.hide("idempotent")
        with pytest.raises(ToolMissing):
            await engine.retry(run.run_id)
        assert (await engine.wait(run.run_id)).status == "failed"
        assert [record.event async for record in engine.subscribe(run.run_id)][-1] == "run_failed"
        tools.show("idempotent")
        await engine.retry(run.run_id)
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(run.run_id)).status == "failed"
        assert (await engine.statistics()).active == 0


async def test_a_retried_run_survives_a_restart_and_times_out_by_its_new_deadline(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    async with opened_virtual() as engine:
        graph_id = await stored(
            engine,
            [named("a", scripted("hang", tool="idempotent", node={"timeout_s": 9_999}))],
            limits={"timeout_s": 100},
        )
        run = await engine.submit(graph_id)
        assert (await engine.wait(run.run_id)).status == "timed_out"
        await anyio.sleep(1_000)
        await engine.retry(run.run_id)
        begun = virtual.monotonic()
        await anyio.sleep(40)
    async with opened_virtual() as engine:
        assert (await engine.wait(run.run_id)).status == "timed_out"
        assert virtual.monotonic() - begun == pytest.approx(100, abs=1)


# --- fork -------------------------------------------------------------------------------------------------------------


async def test_a_fork_of_an_ended_run_is_a_run_of_its_own(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [OK, named("y", scripted("count", key="n"))], "x > y")
        run = await engine.run(graph_id, {"n": 1})
        fork = await engine.fork(run.run_id, "y", state={"n": 10})
        assert fork.run_id != run.run_id
        assert fork.graph_id == graph_id
        with anyio.fail_after(PROMPT_S):
            view = await engine.wait(fork.run_id)
        assert (view.status, view.state) == ("completed", {"n": 11, "x": 1})
        records = await followed(engine, fork.run_id)
        assert_whole(records)
        assert {record.data["run_id"] for record in records} == {fork.run_id}
        assert (await engine.state(run.run_id)).state == {"n": 2, "x": 1}
        assert {one.run_id for one in (await engine.runs()).items} == {run.run_id, fork.run_id}
        assert len(tools.called("x")) == 1
    async with opened() as engine:
        assert (await engine.state(fork.run_id)).state == {"n": 11, "x": 1}
        again = await engine.fork(fork.run_id, "y")
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(again.run_id)).status == "completed"


async def test_a_fork_of_a_live_run_does_not_touch_it_and_survives_a_restart(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened() as engine:
        run = await engine.submit(
            await stored(engine, [OK, slow(), named("z", scripted("count", key="z"))], "x > a", "a > z")
        )
        await tools.gate("gate").wait_reached()
        fork = await engine.fork(run.run_id, "a", state={"x": 2})
        await tools.gate("gate").wait_reached(2)
    tools.gate("gate").open()
    async with opened() as engine:
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(run.run_id)).state == {"x": 1, "z": 1}
            assert (await engine.wait(fork.run_id)).state == {"x": 2, "z": 1}
        for one in (run, fork):
            assert_whole(await followed(engine, one.run_id))


async def test_a_fork_that_cannot_be_made_is_refused(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, [OK, slow("b"), named("c", scripted())], "x > c"))
        for wrong in ({"node": "b"}, {"node": "none"}, {"node": "x", "iteration": 2}, {"node": "x", "path": "x#1"}):
            with pytest.raises(UnknownStep):
                await engine.fork(run.run_id, **wrong)
        tools.hide("pure")
        with pytest.raises(ToolMissing):
            await engine.fork(run.run_id, "x")
        tools.show("pure")
        fork = await engine.fork(run.run_id, "x")
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(fork.run_id)).status == "completed"
        assert (await engine.statistics()).active == 0


# --- cancelling -------------------------------------------------------------------------------------------------------


async def test_cancelling_a_run_whose_items_ignore_it_ends_it_after_the_grace(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    async with opened_virtual(cancel_grace_s=10) as engine:
        keys = scripted("ignore_cancel")
        source = node("m", type="map", map={"items": [1, 2, 3], "concurrency": 2}, **keys)
        run = await engine.submit(await stored(engine, [source]))
        await tools.gate("gate").wait_reached(2)
        asked = virtual.monotonic()
        await engine.cancel(run.run_id)
        assert (await engine.wait(run.run_id)).status == "cancelled"
        assert virtual.monotonic() - asked == pytest.approx(10)
        assert (await engine.statistics()).abandoned_attempts == 2
        tools.gate("gate").open()


async def test_a_run_that_is_cancelled_while_its_last_nodes_run_ends_when_they_have(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [OK, slow("f", update={"f": 1})], **{"finally": ["f"]})
        run = await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        await engine.cancel(run.run_id)
    async with opened() as engine:
        await tools.gate("gate").wait_reached(2)
        tools.gate("gate").open()
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(run.run_id)).state == {"x": 1, "f": 1}
        assert len(await of(engine, run.run_id, "run_finishing")) == 1


async def test_a_paused_run_leaves_its_place_to_others(opened: Open) -> None:
    async with opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [{"name": "w", "type": "wait", "wait": {"signal": "go"}}])
        paused = await engine.submit(graph_id)
        await engine.pause(paused.run_id)
        other = await engine.submit(graph_id)
        await engine.signal(other.run_id, "go")
        assert (await engine.wait(other.run_id)).status == "completed"
        await engine.signal(paused.run_id, "go")
        await engine.resume(paused.run_id)
        assert (await engine.wait(paused.run_id)).status == "completed"
        assert (await engine.statistics()).active == 0


async def test_a_retry_that_is_refused_leaves_no_timer_behind(opened: Open) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, [named("a", scripted("ok"))]))
        before = {buffer.name: buffer.in_use for buffer in await engine.buffers()}["timers"]
        for _ in range(3):
            with pytest.raises(NothingToRetry):
                await engine.retry(run.run_id)
        assert {buffer.name: buffer.in_use for buffer in await engine.buffers()}["timers"] <= before
