"""Faults that runs and their tools once met, each kept from coming back."""

import io
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, cast

import anyio
import pytest

from runtime import Engine
from runtime.errors import Overloaded
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import assert_whole, events, followed, named, of, stored, until
from tests.support.graphs import Source
from tools.contract import Tool, ToolError, tool

PROMPT_S = 5.0
"""What passes as at once, on a busy machine; what is waited for here would take much longer, or for ever."""

OK = named("x", scripted("ok"))


# --- runs without a place ---------------------------------------------------------------------------------------------


async def test_a_pending_run_that_is_cancelled_starts_nothing(opened: Open, tools: ScriptedTools) -> None:
    async with opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait", tool="once"))])
        first, second = await engine.submit(graph_id), await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        await engine.cancel(second.run_id)
        assert (await engine.wait(second.run_id)).status == "cancelled"
        assert await events(engine, second.run_id) == ["run_submitted", "run_cancel_requested", "run_cancelled"]
        tools.gate("gate").open()
        assert (await engine.wait(first.run_id)).status == "completed"
        assert {call.run_id for call in tools.calls} == {first.run_id}


async def test_a_pending_run_of_an_earlier_engine_that_is_cancelled_starts_nothing(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait", tool="idempotent"))])
        first, second = await engine.submit(graph_id), await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
    async with opened(max_active_runs=1) as engine:
        await tools.gate("gate").wait_reached(2)
        await engine.cancel(second.run_id)
        assert (await engine.wait(second.run_id)).status == "cancelled"
        assert "run_started" not in await events(engine, second.run_id)
        tools.gate("gate").open()
        assert (await engine.wait(first.run_id)).status == "completed"
    assert {call.run_id for call in tools.calls} == {first.run_id}


async def test_a_blocked_run_ends_when_it_is_cancelled(opened: Open, tools: ScriptedTools) -> None:
    async with opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        started, pending = await engine.submit(graph_id), await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
    tools.hide("pure")
    async with opened(max_active_runs=1) as engine:
        for run in (started, pending):
            await until(engine, run.run_id, "run_blocked")
            with anyio.fail_after(PROMPT_S):
                await engine.cancel(run.run_id)
                assert (await engine.wait(run.run_id)).status == "cancelled"
            assert_whole(await followed(engine, run.run_id))
        assert len(await of(engine, started.run_id, "step_cancelled")) == 1
        assert (await engine.statistics()).finished == 2
    assert len(tools.calls) == 1


async def test_a_blocked_run_holds_no_place(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        blocked = await engine.submit(await stored(engine, [named("a", scripted("wait", tool="idempotent"))]))
        await tools.gate("gate").wait_reached()
    tools.hide("idempotent")
    async with opened(max_active_runs=1, max_pending_runs=0) as engine:
        await until(engine, blocked.run_id, "run_blocked")
        assert (await engine.statistics()).active == 0
        with anyio.fail_after(PROMPT_S):
            assert (await engine.run(await stored(engine, [OK]))).status == "completed"
        assert (await engine.state(blocked.run_id)).status == "waiting"


async def test_an_engine_that_lets_no_run_wait_takes_as_many_as_may_be_active(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened(max_active_runs=2, max_pending_runs=0) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        runs = [await engine.submit(graph_id) for _ in range(2)]
        assert [run.status for run in runs] == ["running"] * 2
        with pytest.raises(Overloaded):
            await engine.submit(graph_id)
        tools.gate("gate").open()
        for run in runs:
            assert (await engine.wait(run.run_id)).status == "completed"
        assert (await engine.run(graph_id)).status == "completed"


async def test_a_run_that_waits_for_its_turn_after_a_restart_can_be_watched(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        first, second = await engine.submit(graph_id), await engine.submit(graph_id)
        await tools.gate("gate").wait_reached(2)
    async with opened(max_active_runs=1) as engine:
        await tools.gate("gate").wait_reached(3)
        stored_before = await engine.log(second.run_id)
        async with aclosing(engine.subscribe(second.run_id)) as records:
            with anyio.fail_after(PROMPT_S):
                seen = [await anext(records) for _ in stored_before]
            assert seen == stored_before
            assert (await engine.statistics()).pending == 1
            tools.gate("gate").open()
            seen += [record async for record in records]
        assert_whole(seen)
        then = [record.event for record in seen[len(stored_before) :]]
        assert (then[:2], then[-1]) == (["run_recovering", "run_recovered"], "run_completed")
        assert (await engine.wait(first.run_id)).status == "completed"


# --- cancelling -------------------------------------------------------------------------------------------------------


async def test_a_call_that_is_cancelled_while_it_queues_ends_at_once_and_is_not_abandoned(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened(max_workers_per_node=1, cancel_grace_s=600) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        served = await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        queued = await engine.submit(graph_id)
        await until(engine, queued.run_id, "step_started")
        with anyio.fail_after(PROMPT_S):
            await engine.cancel(queued.run_id)
            assert (await engine.wait(queued.run_id)).status == "cancelled"
        [cancelled] = await of(engine, queued.run_id, "step_cancelled")
        assert "abandoned" not in cancelled
        assert (await engine.statistics()).abandoned_attempts == 0
        tools.gate("gate").open()
        assert (await engine.wait(served.run_id)).status == "completed"
        assert (await engine.run(graph_id)).status == "completed"
    assert queued.run_id not in {call.run_id for call in tools.calls}


async def test_a_failure_stays_one_when_the_run_is_cancelled_meanwhile(opened: Open, tools: ScriptedTools) -> None:
    async with opened(cancel_grace_s=600) as engine:
        bad = named("bad", scripted("fail", code="MINE", retryable=False))
        graph_id = await stored(engine, [OK, bad, named("slow", scripted("ignore_cancel"))], "x > bad", "x > slow")
        run = await engine.submit(graph_id)
        await until(engine, run.run_id, "run_failing")
        await tools.gate("gate").wait_reached()
        await engine.cancel(run.run_id)
        tools.gate("gate").open()
        view = await engine.wait(run.run_id)
        assert (view.status, (view.error or "")[:4]) == ("failed", "MINE")
        ending = [name for name in await events(engine, run.run_id) if name.startswith("run_")]
        assert ending[2:] == ["run_failing", "run_cancel_requested", "run_failed"]


# --- what tools return and raise --------------------------------------------------------------------------------------


class Unreadable:
    def __repr__(self) -> str:
        raise LookupError("no name")


def returning(output: Callable[[], object]) -> Tool:
    @tool(name="bad", effect="pure")
    async def bad(state: dict[str, object]) -> object:
        return output()

    return bad


def failing(code: object) -> Tool:
    @tool(name="bad")
    async def bad(state: dict[str, object]) -> None:
        raise ToolError("no", code=cast("str", code))

    return bad


async def stored_around_bad(engine: Engine, last: Source) -> str:
    """Store a graph that goes on to `last` whatever becomes of the tool `bad`."""
    bad = named("bad", {"tool": "bad", "on_error": "continue", "retry": {"max_attempts": 1}})
    return await stored(engine, [bad, last], "bad > x")


@pytest.mark.parametrize("code", [404, None, b"MINE", ["MINE"], "", "\ud800", "MINE" * 100])
async def test_a_code_that_is_no_code_becomes_one_and_the_journal_stays_readable(
    opened: Open, tools: ScriptedTools, code: object
) -> None:
    tools.add(failing(code))
    async with opened() as engine:
        run = await engine.submit(await stored_around_bad(engine, named("x", scripted("wait"))))
        await tools.gate("gate").wait_reached()
    tools.gate("gate").open()
    async with opened() as engine:
        assert (await engine.wait(run.run_id)).status == "completed"
        [failed] = await of(engine, run.run_id, "step_failed")
        assert failed["error"] == {"code": "TOOL_ERROR", "message": "no"}
        assert_whole(await followed(engine, run.run_id))


@pytest.mark.parametrize(
    "output",
    [
        lambda: {"\ud800": 1},
        lambda: {"a": {"\udfff": 1}},
        lambda: {"a": {"\ud800": {1}}},
        lambda: {Unreadable(): 1},
        lambda: {"a": [{Unreadable(): 1}]},
    ],
    ids=["surrogate", "surrogate inside", "above a fault", "no repr", "no repr inside"],
)
async def test_a_key_that_cannot_be_written_down_fails_its_step_only(
    opened: Open, tools: ScriptedTools, output: Callable[[], object]
) -> None:
    tools.add(returning(output))
    async with opened(max_workers_per_node=1) as engine:
        other = await engine.submit(await stored(engine, [named("a", scripted("wait"))]))
        graph_id = await stored_around_bad(engine, OK)
        for _ in range(2):  # the second one needs the worker of the first
            view = await engine.run(graph_id, {"y": 1})
            assert (view.status, view.state) == ("completed", {"y": 1})
            [failed] = await of(engine, view.run_id, "step_failed")
            assert failed["error"]["code"] == "INVALID_OUTPUT"
            assert "run_recovered" not in await events(engine, view.run_id)
        tools.gate("gate").open()
        assert (await engine.wait(other.run_id)).status == "completed"


# --- the console ------------------------------------------------------------------------------------------------------


class BrokenConsole(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.refused = 0

    def write(self, text: str) -> int:
        self.refused += 1
        raise self.error


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("error", [BrokenPipeError("gone"), ValueError("closed"), OSError("disk full")], ids=repr)
async def test_a_console_that_breaks_hurts_no_run(
    opened: Open, monkeypatch: pytest.MonkeyPatch, error: Exception, log_format: str
) -> None:
    console = BrokenConsole(error)
    monkeypatch.setattr(sys, "stderr", console)
    keys: dict[str, Any] = {"log_format": log_format, "log_level": "debug"}
    async with opened(**keys) as engine:
        graph_id = await stored(engine, [OK])
        views = [await engine.run(graph_id) for _ in range(2)]
        assert [view.status for view in views] == ["completed"] * 2
        assert (await engine.statistics()).finished == 2
    assert console.refused > 0
