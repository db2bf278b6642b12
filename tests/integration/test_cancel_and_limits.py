"""Ending runs by request, and bounding how many there are."""

import anyio
import pytest

from runtime.errors import Overloaded, RunFinished
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import events, named, of, stored

WAIT = named("a", scripted("wait"))
NEXT = named("b", scripted("ok"))


async def test_cancelling_a_running_run_ends_its_attempts_and_starts_nothing(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [WAIT, NEXT], "a > b"), {"x": 1})
        await tools.gate("gate").wait_reached()
        await engine.cancel(run.run_id)
        view = await engine.wait(run.run_id)
        assert (view.status, view.state) == ("cancelled", {"x": 1})
        names = await events(engine, run.run_id)
        assert names[-3:] == ["run_cancel_requested", "step_cancelled", "run_cancelled"]
        assert [call.node for call in tools.calls] == ["a"]


async def test_cancelling_again_is_cancelling_once(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [WAIT]))
        await tools.gate("gate").wait_reached()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(engine.cancel, run.run_id)
        await engine.wait(run.run_id)
        assert (await engine.cancel(run.run_id)).status == "cancelled"
        assert (await events(engine, run.run_id)).count("run_cancel_requested") == 1


async def test_a_finished_run_cannot_be_cancelled(opened: Open) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, [NEXT]))
        with pytest.raises(RunFinished):
            await engine.cancel(run.run_id)
        assert (await engine.state(run.run_id)).status == "completed"


async def test_a_cancelled_tool_in_a_thread_is_left_alone_and_its_run_ends(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [named("a", scripted("wait", tool="threaded"))]))
        try:
            while not tools.calls:  # noqa: ASYNC110 - the thread has no event to wait for
                await anyio.sleep(0.001)
            await engine.cancel(run.run_id)
            assert (await engine.wait(run.run_id)).status == "cancelled"
            assert [step["abandoned"] for step in await of(engine, run.run_id, "step_cancelled")] == [True]
        finally:
            tools.thread_gate("gate").open()


async def test_cancelling_one_run_leaves_its_neighbours(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [WAIT])
        runs = [await engine.submit(graph_id) for _ in range(3)]
        await tools.gate("gate").wait_reached(3)
        await engine.cancel(runs[1].run_id)
        assert (await engine.wait(runs[1].run_id)).status == "cancelled"
        tools.gate("gate").open()
        assert [(await engine.wait(run.run_id)).status for run in runs] == ["completed", "cancelled", "completed"]


async def test_runs_beyond_the_bound_wait_their_turn_in_order(opened: Open, tools: ScriptedTools) -> None:
    async with opened(max_active_runs=2) as engine:
        graph_id = await stored(engine, [WAIT])
        runs = [await engine.submit(graph_id) for _ in range(6)]
        assert [run.status for run in runs] == ["running"] * 2 + ["pending"] * 4
        await tools.gate("gate").wait_reached(2)
        assert (await engine.state(runs[5].run_id)).status == "pending"
        assert await events(engine, runs[5].run_id) == ["run_submitted"]
        assert len((await engine.runs(status="pending")).items) == 4
        tools.gate("gate").open()
        for run in runs:
            assert (await engine.wait(run.run_id)).status == "completed"


async def test_runs_that_wait_for_a_single_place_get_it_in_the_order_they_came(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [WAIT])
        runs = [await engine.submit(graph_id) for _ in range(5)]
        tools.gate("gate").open()
        for run in runs:
            await engine.wait(run.run_id)
        assert [call.run_id for call in tools.calls] == [run.run_id for run in runs]


async def test_cancelling_pending_runs_ends_them_and_lets_no_further_run_in(opened: Open, tools: ScriptedTools) -> None:
    async with opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [WAIT])
        runs = [await engine.submit(graph_id) for _ in range(5)]
        await tools.gate("gate").wait_reached()
        for run in runs[1:4]:
            await engine.cancel(run.run_id)
            assert (await engine.wait(run.run_id)).status == "cancelled"
        counts = await engine.statistics()
        assert (counts.active, counts.pending) == (1, 1)
        tools.gate("gate").open()
        assert (await engine.wait(runs[4].run_id)).status == "completed"


async def test_too_many_pending_runs_are_refused_and_leave_no_trace(opened: Open, tools: ScriptedTools) -> None:
    async with opened(max_active_runs=1, max_pending_runs=2) as engine:
        graph_id = await stored(engine, [WAIT])
        runs = [await engine.submit(graph_id) for _ in range(3)]
        with pytest.raises(Overloaded) as caught:
            await engine.submit(graph_id)
        assert caught.value.retry_after_s
        assert (await engine.statistics()).runs == 3
        tools.gate("gate").open()
        for run in runs:
            await engine.wait(run.run_id)
        assert (await engine.run(graph_id)).status == "completed"


async def test_calls_beyond_the_workers_of_a_node_queue_and_all_are_served(opened: Open, tools: ScriptedTools) -> None:
    async with opened(max_workers_per_node=2) as engine:
        graph_id = await stored(engine, [WAIT])
        runs = [await engine.submit(graph_id) for _ in range(6)]
        await tools.gate("gate").wait_reached(2)
        await anyio.wait_all_tasks_blocked()
        assert len(tools.calls) == 2
        tools.gate("gate").open()
        for run in runs:
            assert (await engine.wait(run.run_id)).status == "completed"
        assert len(tools.calls) == 6


async def test_a_run_ends_at_its_step_limit(opened: Open) -> None:
    async with opened() as engine:
        loop = {"node": "a", "condition": {"field": "x", "operator": "==", "value": 1}, "max_iterations": 100}
        graph_id = await stored(engine, [named("a", scripted("count"))], loops=[loop], limits={"max_steps": 7})
        view = await engine.run(graph_id)
        assert (view.status, (view.error or "")[:10]) == ("failed", "STEP_LIMIT")
        assert view.state == {"count": 7}


async def test_a_later_run_does_not_overtake_one_that_waits_for_its_turn(opened: Open, tools: ScriptedTools) -> None:
    async with opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [WAIT])
        first, second = await engine.submit(graph_id), await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        tools.gate("gate").open()
        await engine.wait(first.run_id)  # its place is free now, and not yet taken
        third = await engine.submit(graph_id)
        await engine.wait(third.run_id)
        assert [call.run_id for call in tools.calls] == [first.run_id, second.run_id, third.run_id]
