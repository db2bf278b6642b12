"""An engine that drains: it takes no new work, what runs may finish, and the grace is granted once."""

import anyio
import pytest

from runtime.clock import LoopClock
from runtime.errors import Closing
from runtime.run.records import RunStatus
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import named, stored

WAIT = named("a", scripted("wait"))


async def test_what_was_drained_already_is_not_granted_again_at_the_end(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    async with opened_virtual(close_grace_s=20) as engine:
        run = await engine.submit(await stored(engine, [WAIT]))
        await tools.gate("gate").wait_reached()
        began = anyio.current_time()
        with anyio.move_on_after(15):
            await engine.drain()
        assert anyio.current_time() - began == 15
    assert anyio.current_time() - began == 20
    tools.gate("gate").open()
    async with opened_virtual() as engine:
        assert (await engine.wait(run.run_id)).status == "completed"


async def test_the_grace_is_granted_from_when_closing_began(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    async with opened_virtual(close_grace_s=20) as engine:
        await engine.submit(await stored(engine, [WAIT]))
        await tools.gate("gate").wait_reached()
        began = engine.begin_closing()
        await anyio.sleep(5)
        assert engine.begin_closing() == began
    assert anyio.current_time() == began + 20


async def test_new_work_is_refused_from_the_moment_closing_begins_and_runs_go_on(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [WAIT, named("b", scripted())], "a > b")
        run = await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        assert not engine.is_closing
        engine.begin_closing()
        assert engine.is_closing
        for refused in (engine.submit(graph_id), engine.retry(run.run_id), engine.fork(run.run_id, "a")):
            with pytest.raises(Closing):
                await refused
        assert (await engine.state(run.run_id)).status == RunStatus.RUNNING
        assert (await engine.cancel(run.run_id)).run_id == run.run_id  # commands to runs that are there are carried out
        assert (await engine.wait(run.run_id)).status == "cancelled"
