"""Retries, time-outs and graces on virtual time: exact to the millisecond, and over in no time."""

import random
from datetime import datetime
from typing import Any

import anyio
import pytest

from runtime import Engine
from runtime.clock import LoopClock
from runtime.testing import ScriptedTools, scripted
from tests.conftest import START, Open
from tests.integration.flow import named, of, stored, until
from tools import ToolContext, ToolError, tool


def steady(**retry: Any) -> dict[str, Any]:
    return {"retry": {"jitter": "none", **retry}}


async def started_at(engine: Engine, run_id: str, event: str = "step_started") -> list[float]:
    """Return the seconds after `START` of each record of that event."""
    records = await of(engine, run_id, event)
    return [(datetime.fromisoformat(record["timestamp"]) - START).total_seconds() for record in records]


async def test_retries_back_off_exactly_as_told(opened_virtual: Open, tools: ScriptedTools) -> None:
    async with opened_virtual() as engine:
        keys = scripted("fail_times", times=4, node=steady(max_attempts=5, initial_s=1, factor=3, max_s=10))
        run = await engine.run(await stored(engine, [named("a", keys)]))
        assert run.status == "completed"
        assert await started_at(engine, run.run_id) == [0, 1, 4, 13, 23]
        assert [call.attempt for call in tools.calls] == [1, 2, 3, 4, 5]
        assert len({call.idempotency_key for call in tools.calls}) == 1


async def test_full_jitter_waits_no_longer_than_the_back_off(opened_virtual: Open) -> None:
    async with opened_virtual() as engine:
        keys = scripted("fail_times", times=3, node={"retry": {"max_attempts": 4, "initial_s": 8, "factor": 1}})
        run = await engine.run(await stored(engine, [named("a", keys)]))
        delays = [record["delay_ms"] for record in await of(engine, run.run_id, "step_retrying")]
        assert len(set(delays)) == 3
        assert all(0 <= delay < 8_000 for delay in delays)


async def test_attempts_end_with_their_number_and_the_last_failure_counts(opened_virtual: Open) -> None:
    async with opened_virtual() as engine:
        keys = scripted("fail_times", times=9, node=steady(max_attempts=3))
        run = await engine.run(await stored(engine, [named("a", keys)]))
        assert (run.status, run.error) == ("failed", "SCRIPTED: attempt 3 fails")


async def test_no_attempt_starts_beyond_the_retry_budget(opened_virtual: Open, tools: ScriptedTools) -> None:
    async with opened_virtual() as engine:
        keys = scripted("fail", node=steady(max_attempts=25, initial_s=10, factor=1, budget_s=25))
        run = await engine.run(await stored(engine, [named("a", keys)]))
        assert run.status == "failed"
        assert len(tools.calls) == 3


@pytest.mark.parametrize(("tool", "attempts"), [("pure", 3), ("idempotent", 3), ("undeclared", 1), ("once", 1)])
async def test_the_effect_decides_how_often_a_tool_is_tried(
    opened_virtual: Open, tools: ScriptedTools, tool: str, attempts: int
) -> None:
    async with opened_virtual() as engine:
        await engine.run(await stored(engine, [named("a", scripted("fail", tool=tool))]))
        assert len(tools.calls) == attempts


async def test_a_hanging_tool_times_out_each_attempt(opened_virtual: Open, tools: ScriptedTools) -> None:
    async with opened_virtual() as engine:
        keys = scripted("hang", node={"timeout_s": 5, **steady(max_attempts=2, initial_s=1)})
        run = await engine.run(await stored(engine, [named("a", keys)]))
        assert (run.status, (run.error or "")[:7]) == ("failed", "TIMEOUT")
        assert await started_at(engine, run.run_id) == [0, 6]
        assert await started_at(engine, run.run_id, "step_failed") == [11]
        assert (await engine.statistics()).abandoned_attempts == 0


async def test_an_attempt_times_out_after_a_minute_unless_told(opened_virtual: Open) -> None:
    async with opened_virtual() as engine:
        run = await engine.run(await stored(engine, [named("a", scripted("hang", tool="undeclared"))]))
        assert await started_at(engine, run.run_id, "step_failed") == [60]


async def test_a_tool_that_ignores_its_time_out_is_abandoned_after_the_grace_and_its_result_is_rejected(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    async with opened_virtual(cancel_grace_s=10) as engine:
        keys = scripted("ignore_cancel", update={"late": True}, node={"timeout_s": 5, "retry": {"max_attempts": 1}})
        run = await engine.run(await stored(engine, [named("a", keys)]))
        assert run.status == "failed"
        [failed] = await of(engine, run.run_id, "step_failed")
        assert (failed["error"]["code"], failed["abandoned"]) == ("TIMEOUT", True)
        assert await started_at(engine, run.run_id, "step_failed") == [15]
        counts = await engine.statistics()
        assert (counts.abandoned_attempts, counts.rejected_results) == (1, 0)
        tools.gate("gate").open()
        await anyio.sleep(1)
        assert (await engine.statistics()).rejected_results == 1
        assert (await engine.state(run.run_id)).state == {}


async def test_an_abandoned_attempt_gives_its_place_in_the_pool_to_the_next_run(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    async with opened_virtual(max_workers_per_node=1, cancel_grace_s=1) as engine:
        keys = scripted("ignore_cancel", node={"timeout_s": 1, "retry": {"max_attempts": 1}})
        graph_id = await stored(engine, [named("a", keys)])
        for _ in range(3):
            assert (await engine.run(graph_id)).status == "failed"
        assert len(tools.calls) == 3
        tools.gate("gate").open()


async def test_a_retry_that_succeeds_wins_over_the_late_result_of_the_attempt_before(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    async with opened_virtual(cancel_grace_s=1) as engine:
        keys = scripted("ignore_cancel", update={"x": 1}, node={"timeout_s": 5, **steady(max_attempts=2, initial_s=1)})
        run = await engine.submit(await stored(engine, [named("a", keys)]))
        await tools.gate("gate").wait_reached(2)
        tools.gate("gate").open()
        assert (await engine.wait(run.run_id)).state == {"x": 1}
        assert [record["attempt"] for record in await of(engine, run.run_id, "step_completed")] == [2]
        assert (await engine.statistics()).rejected_results == 1


async def test_cancelling_a_run_whose_tool_ignores_it_ends_the_run_after_the_grace(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    async with opened_virtual(cancel_grace_s=10) as engine:
        run = await engine.submit(await stored(engine, [named("a", scripted("ignore_cancel"))]))
        await tools.gate("gate").wait_reached()
        asked = virtual.monotonic()
        assert (await engine.cancel(run.run_id)).status == "running"
        assert virtual.monotonic() == asked
        assert (await engine.wait(run.run_id)).status == "cancelled"
        assert virtual.monotonic() - asked == pytest.approx(10)
        assert (await engine.statistics()).abandoned_attempts == 1
        tools.gate("gate").open()


async def test_a_run_ends_when_its_time_is_up(opened_virtual: Open) -> None:
    async with opened_virtual() as engine:
        nodes = [named("a", scripted("ok", update={"x": 1})), named("b", scripted("hang", node={"timeout_s": 9_999}))]
        run = await engine.run(await stored(engine, nodes, "a > b", limits={"timeout_s": 3_600}))
        assert (run.status, run.state) == ("timed_out", {"x": 1})
        assert await started_at(engine, run.run_id, "run_timed_out") == [3_600]


async def test_a_run_that_waits_for_a_retry_ends_when_its_time_is_up(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    async with opened_virtual() as engine:
        keys = scripted("fail", node=steady(initial_s=500, max_s=500))
        run = await engine.run(await stored(engine, [named("a", keys)], limits={"timeout_s": 100}))
        assert run.status == "timed_out"
        assert len(tools.calls) == 1


async def test_a_run_that_waits_for_a_retry_is_cancelled_at_once(opened_virtual: Open, tools: ScriptedTools) -> None:
    async with opened_virtual() as engine:
        keys = scripted("fail", node=steady(initial_s=3_600, max_s=3_600))
        run = await engine.submit(await stored(engine, [named("a", keys)]))
        await until(engine, run.run_id, "step_retrying")
        await engine.cancel(run.run_id)
        assert (await engine.wait(run.run_id)).status == "cancelled"
        assert await started_at(engine, run.run_id, "run_cancelled") == [0]
        await anyio.sleep(10_000)
        assert len(tools.calls) == 1


async def test_a_retry_that_was_due_while_the_engine_was_away_starts_at_once(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    async with opened_virtual() as engine:
        run = await engine.submit(await stored(engine, [named("a", scripted("fail_times", node=steady(initial_s=30)))]))
        await until(engine, run.run_id, "step_retrying")
    await anyio.sleep(1_000)
    async with opened_virtual() as engine:
        assert (await engine.wait(run.run_id)).status == "completed"
        assert (await started_at(engine, run.run_id))[1] == pytest.approx(1_000, abs=0.1)


async def test_a_retry_that_is_due_later_waits_for_its_time_across_a_restart(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    async with opened_virtual() as engine:
        keys = scripted("fail_times", times=2, node=steady(initial_s=3_000, factor=1, max_s=3_000))
        run = await engine.submit(await stored(engine, [named("a", keys)]))
        await until(engine, run.run_id, "step_retrying")
    await anyio.sleep(1_000)
    async with opened_virtual() as engine:
        assert (await engine.wait(run.run_id)).status == "completed"
        assert await started_at(engine, run.run_id) == pytest.approx([0, 3_000, 6_000])
        assert [call.attempt for call in tools.calls] == [1, 2, 3]


async def test_the_time_limit_of_a_run_counts_across_a_restart(opened_virtual: Open, tools: ScriptedTools) -> None:
    async with opened_virtual() as engine:
        keys = scripted("hang", node={"timeout_s": 9_999})
        run = await engine.submit(await stored(engine, [named("a", keys)], limits={"timeout_s": 1_000}))
    await anyio.sleep(400)
    async with opened_virtual() as engine:
        assert (await engine.wait(run.run_id)).status == "timed_out"
        assert await started_at(engine, run.run_id, "run_timed_out") == pytest.approx([1_000])


async def test_no_retry_starts_while_the_engine_drains(opened_virtual: Open, tools: ScriptedTools) -> None:
    async with opened_virtual() as engine:
        retried = await engine.submit(
            await stored(engine, [named("a", scripted("fail_times", node=steady(initial_s=5)))])
        )
        await engine.submit(await stored(engine, [named("b", scripted("wait"))]))
        await tools.gate("gate").wait_reached()
        await until(engine, retried.run_id, "step_retrying")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.drain)
            await anyio.sleep(100)
            tools.gate("gate").open()
        assert len(tools.called("a")) == 1
    async with opened_virtual() as engine:
        assert (await engine.wait(retried.run_id)).status == "completed"


async def test_closing_takes_no_longer_than_its_grace(opened_virtual: Open, virtual: LoopClock) -> None:
    async with opened_virtual(close_grace_s=20) as engine:
        await engine.submit(await stored(engine, [named("a", scripted("hang"))]))
        await anyio.sleep(1)
        left = virtual.monotonic()
    assert virtual.monotonic() - left == pytest.approx(20, abs=1)


@pytest.mark.parametrize("seed", [61, 90, 187, 196])
async def test_no_retry_is_lost_between_the_clocks_of_loop_and_wall(
    opened_virtual: Open, tools: ScriptedTools, seed: int
) -> None:
    @tool(name="flaky", effect="pure")
    async def flaky(state: dict[str, Any], context: ToolContext) -> None:
        await anyio.sleep(random.Random(seed).random())
        if context.attempt == 1:
            raise ToolError("once")

    tools.add(flaky)
    async with opened_virtual() as engine:
        graph_id = await stored(engine, [{"name": "a", "tool": "flaky"}])
        assert (await engine.run(graph_id)).status == "completed"
