"""A fault of the engine itself in one run: the run is rebuilt, then put aside; all others never notice."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from runtime import open_engine
from runtime.run import machine
from runtime.run.messages import AttemptEnded, Message, Pause
from runtime.run.model import Run
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open, Store, settings
from tests.integration.flow import assert_whole, events, followed, named, of, stored

Break = Callable[..., None]


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Makes the machine raise for one run: for messages that `when` picks, so many `times`."""

    def install(run_id: str, when: Callable[[Message], bool] = lambda message: True, times: int = 1_000) -> None:
        left = [times]

        def decide(run: Run, message: Message, **keys: Any) -> Any:
            if run.run_id == run_id and when(message) and left[0] > 0:
                left[0] -= 1
                raise RuntimeError("a fault of ours")
            return machine.decide(run, message, **keys)

        monkeypatch.setattr("runtime.actors.run_actor.decide", decide)

    return install


def an_end(message: Message) -> bool:
    return isinstance(message, AttemptEnded)


async def test_a_run_is_rebuilt_after_a_fault_and_goes_on(opened: Open, tools: ScriptedTools, breaks: Break) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [named("a", scripted("wait", update={"x": 1}))]))
        await tools.gate("gate").wait_reached()
        breaks(run.run_id, an_end, times=2)
        tools.gate("gate").open()
        view = await engine.wait(run.run_id)
        assert (view.status, view.state) == ("completed", {"x": 1})
        recovering = await of(engine, run.run_id, "run_recovering")
        assert [record["cause"] for record in recovering] == ["crash", "crash"]
        assert "a fault of ours" in recovering[0]["detail"]
        recovered = await of(engine, run.run_id, "run_recovered")
        assert [record["cause"] for record in recovered] == ["crash", "crash"]
        assert_whole(await followed(engine, run.run_id))


@pytest.mark.parametrize("when", [an_end, lambda _: True], ids=["an end", "everything"])
async def test_a_run_that_fails_again_and_again_is_put_aside_and_others_go_on(
    opened: Open, tools: ScriptedTools, breaks: Break, when: Callable[[Message], bool]
) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        bad, good = await engine.submit(graph_id), await engine.submit(graph_id)
        await tools.gate("gate").wait_reached(2)
        breaks(bad.run_id, when)
        tools.gate("gate").open()
        view = await engine.wait(bad.run_id)
        assert (view.status, (view.error or "")[:8]) == ("dead_lettered", "POISONED")
        assert (await engine.wait(good.run_id)).status == "completed"
        assert (await engine.run(graph_id)).status == "completed"
        assert (await events(engine, bad.run_id)).count("run_recovering") == 3
        assert "a fault of ours" in (view.error or "")
        assert_whole(await followed(engine, bad.run_id))
        counts = await engine.statistics()
        assert (counts.active, counts.finished) == (0, 3)


async def test_a_run_that_is_put_aside_stays_so_after_a_restart(
    opened: Open, tools: ScriptedTools, breaks: Break
) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [named("a", scripted("wait"))]))
        await tools.gate("gate").wait_reached()
        breaks(run.run_id)
        tools.gate("gate").open()
        await engine.wait(run.run_id)
    async with opened() as engine:
        assert (await engine.wait(run.run_id)).status == "dead_lettered"
        assert [line.run_id for line in (await engine.runs(status="dead_lettered")).items] == [run.run_id]


async def test_a_run_that_cannot_be_rebuilt_at_a_restart_is_put_aside_and_others_go_on(
    store: Store, tools: ScriptedTools, breaks: Break
) -> None:
    async with open_engine(settings(), tools, journal=store.journal()) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        bad, good = await engine.submit(graph_id), await engine.submit(graph_id)
        await tools.gate("gate").wait_reached(2)
    tools.gate("gate").open()
    breaks(bad.run_id)
    async with open_engine(settings(), tools, journal=store.journal()) as engine:
        assert (await engine.wait(good.run_id)).status == "completed"
        assert (await engine.wait(bad.run_id)).status == "dead_lettered"


async def test_whoever_sends_a_command_that_meets_a_fault_is_told_so_and_the_run_goes_on(
    opened: Open, tools: ScriptedTools, breaks: Break
) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [named("a", scripted("wait", update={"x": 1}))]))
        await tools.gate("gate").wait_reached()
        breaks(run.run_id, lambda message: isinstance(message, Pause))
        with anyio.fail_after(10), pytest.raises(RuntimeError, match="a fault of ours"):
            await engine.pause(run.run_id)
        tools.gate("gate").open()
        assert (await engine.wait(run.run_id)).status == "completed"
        assert (await events(engine, run.run_id)).count("run_recovering") == 1
