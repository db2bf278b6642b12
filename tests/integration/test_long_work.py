"""Long work of plain tools: it shows how far it is, ends when nobody waits for it, and leaves room for others."""

import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from anyio import to_thread

from runtime import Engine
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import assert_whole, events, followed, named, of, stored, until
from tests.support.graphs import Source, node
from tests.support.processes import eventually
from tools import CallCancelled, ToolContext, tool

State = dict[str, Any]

ONCE: Source = {"retry": {"max_attempts": 1}}
HELD_AT = 3


class Columns:
    """Work on ten columns in a thread, held up at the third of them until the test opens a gate.

    Attributes:
        seen: The columns that work began on.
        running, most: Calls that are at work now, and at most so far.
        ends: How calls ended.
    """

    def __init__(self, gate: Callable[[str], None]) -> None:
        self.seen: list[int] = []
        self.running = self.most = 0
        self.ends: list[str] = []
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._gate = gate

    def work(self, context: ToolContext, gate: str = "gate") -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        end = "failed"
        try:
            for column in range(1, 11):
                self.seen.append(column)
                context.progress(column, 10, "columns", "profile")
                if column == HELD_AT:
                    self._gate(gate)
            end = "done"
        except CallCancelled:
            end = "cancelled"
            raise
        finally:
            with self._lock:
                self.running -= 1
                self.ends.append(end)
            self.ended.set()


@pytest.fixture
def columns(tools: ScriptedTools) -> Iterator[Columns]:
    """The work that the tools `plain`, `computing` and `threading` do."""
    columns = Columns(lambda gate: tools.thread_gate(gate).passage())

    @tool(effect="pure")
    def plain(state: State, context: ToolContext, gate: str = "gate") -> State:
        columns.work(context, gate)
        return {"ended": True}

    def computing(state: State, context: ToolContext, gate: str = "gate") -> State:
        columns.work(context, gate)
        return {"ended": True}

    @tool(effect="pure", name="threading")
    async def threads(state: State, context: ToolContext) -> None:
        await to_thread.run_sync(columns.work, context)

    for one in (plain, tool(effect="pure", cpu_bound=True)(computing), threads):
        tools.add(one)
    yield columns
    for gate in ("gate", "one", "two"):
        tools.thread_gate(gate).open()


def working(tool: str, *, keys: Source | None = None, **config: object) -> Source:
    return node("a", tool=tool, config=config, **(keys or {}))


async def until_held(engine: Engine, run_id: str) -> list[int]:
    """Follow a run until its work is held up; return how far it said to be, again and again."""
    done: list[int] = []
    async with aclosing(engine.subscribe(run_id)) as records:
        async for record in records:
            if record.event == "tool_log":
                done.append(record.data["fields"]["done"])
            if done and done[-1] == HELD_AT:
                break
    return done


async def until_nothing_is_abandoned(engine: Engine) -> None:
    while (await engine.statistics()).abandoned_now:  # only the thread knows when it ends
        await anyio.lowlevel.checkpoint()


# --- Progress -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["plain", "computing", "threading"])
async def test_progress_is_seen_in_order_while_the_tool_is_at_work(
    opened: Open, tools: ScriptedTools, columns: Columns, tool: str
) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [working(tool)]))
        assert await until_held(engine, run.run_id) == [1, 2, 3]
        assert (await engine.state(run.run_id)).status == "running"
        assert columns.ends == []
        tools.thread_gate("gate").open()
        assert (await engine.wait(run.run_id)).status == "completed"
        lines = await of(engine, run.run_id, "tool_log")
        assert [line["fields"] for line in lines] == [
            {"done": done, "total": 10, "unit": "columns"} for done in range(1, 11)
        ]
        assert {(line["node"], line["message"], line["level"]) for line in lines} == {("a", "profile", "info")}
        assert_whole(await followed(engine, run.run_id))


async def test_an_async_tool_tells_its_progress_and_a_great_deal_of_work_few_times(
    opened: Open, tools: ScriptedTools
) -> None:
    @tool(effect="pure")
    async def passes(state: State, context: ToolContext) -> None:
        for name in ("read", "profile", "write"):
            for column in range(500):
                context.progress(column + 1, 500, "columns", name)

    tools.add(passes)
    async with opened() as engine:
        run = await engine.run(await stored(engine, [working("passes")]))
        lines = await of(engine, run.run_id, "tool_log")
        told = [1, *range(25, 501, 25)]
        assert [(line["message"], line["fields"]["done"]) for line in lines] == [
            (name, done) for name in ("read", "profile", "write") for done in told
        ]
        assert "tool_log_dropped" not in await events(engine, run.run_id)


# --- Cancellation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "computing"])
async def test_a_thread_of_a_cancelled_run_ends_at_the_next_column_and_serves_others(
    opened: Open, tools: ScriptedTools, columns: Columns, kind: str
) -> None:
    async with opened(tool_threads=1, cpu_threads=1) as engine:
        graph_id = await stored(engine, [working(kind)])
        run = await engine.submit(graph_id)
        await until_held(engine, run.run_id)
        await engine.cancel(run.run_id)
        assert (await engine.wait(run.run_id)).status == "cancelled"  # it does not wait for the thread
        assert (await engine.statistics()).abandoned_now == 1
        log = await events(engine, run.run_id)

        tools.thread_gate("gate").open()
        await until_nothing_is_abandoned(engine)
        assert columns.seen == [1, 2, 3, 4]
        assert columns.ends == ["cancelled"]
        assert await events(engine, run.run_id) == log  # nothing of it is a failure, or a line
        assert (await engine.statistics()).rejected_results == 0
        assert (await engine.run(graph_id)).state == {"ended": True}


async def test_a_thread_whose_step_is_out_of_time_ends_at_the_next_column(
    opened: Open, tools: ScriptedTools, columns: Columns
) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, [working("plain", keys={"timeout_s": 0.5, **ONCE})]))
        assert (run.error or "").startswith("TIMEOUT")
        tools.thread_gate("gate").open()
        await until_nothing_is_abandoned(engine)
        assert columns.ends in ([], ["cancelled"])  # none where the thread did not begin in time


async def test_threads_that_an_async_tool_started_end_at_the_next_column_too(
    opened: Open, tools: ScriptedTools, columns: Columns
) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [working("threading")]))
        await until_held(engine, run.run_id)
        await engine.cancel(run.run_id)
        tools.thread_gate("gate").open()
        assert (await engine.wait(run.run_id)).status == "cancelled"
        assert columns.ends == ["cancelled"]
        [cancelled] = await of(engine, run.run_id, "step_cancelled")
        assert "abandoned" not in cancelled


async def test_a_thread_that_is_at_work_when_the_engine_closes_ends_at_the_next_column(
    opened: Open, tools: ScriptedTools, columns: Columns
) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [working("plain")]))
        await until_held(engine, run.run_id)
    tools.thread_gate("gate").open()
    await eventually(columns.ended.is_set)
    assert columns.ends == ["cancelled"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_cancellation_that_nobody_asked_for_fails_the_attempt(
    opened: Open, tools: ScriptedTools, is_async: bool
) -> None:
    def plain(state: State) -> None:
        raise CallCancelled

    async def asynchronous(state: State) -> None:
        raise CallCancelled

    tools.add(tool(name="liar")(asynchronous if is_async else plain))
    async with opened() as engine:
        run = await engine.run(await stored(engine, [working("liar")]))
        assert (run.error or "").startswith("SPURIOUS_CANCEL")


# --- CPU-bound tools ----------------------------------------------------------------------------------------------------


async def test_no_more_cpu_bound_calls_than_their_threads_are_at_work_and_other_tools_go_through(
    opened: Open, tools: ScriptedTools, columns: Columns
) -> None:
    async with opened(cpu_threads=2, tool_threads=1) as engine:
        graph_id = await stored(engine, [working("computing")])
        runs = [await engine.submit(graph_id) for _ in range(5)]
        await eventually(lambda: columns.seen.count(HELD_AT) == 2)
        other = await engine.run(await stored(engine, [named("b", scripted("ok", tool="threaded", update={"x": 1}))]))
        assert other.state == {"x": 1}
        await anyio.wait_all_tasks_blocked()
        used = {use.name: (use.in_use, use.bound) for use in await engine.buffers()}
        assert (used["cpu_threads"], used["tool_threads"]) == ((2, 2), (0, 1))
        assert columns.seen.count(1) == 2

        tools.thread_gate("gate").open()
        assert {(await engine.wait(run.run_id)).status for run in runs} == {"completed"}
        assert columns.most == 2


async def test_a_call_that_waits_for_a_core_is_cancelled_without_ever_being_made(
    opened: Open, tools: ScriptedTools, columns: Columns
) -> None:
    async with opened(cpu_threads=1) as engine:
        graph_id = await stored(engine, [working("computing")])
        first = await engine.submit(graph_id)
        await until_held(engine, first.run_id)
        second = await engine.submit(graph_id)
        await until(engine, second.run_id, "step_started")
        await engine.cancel(second.run_id)
        assert (await engine.wait(second.run_id)).status == "cancelled"
        [cancelled] = await of(engine, second.run_id, "step_cancelled")
        assert "abandoned" not in cancelled
        tools.thread_gate("gate").open()
        assert (await engine.wait(first.run_id)).status == "completed"
        assert columns.ends == ["done"]


async def test_a_left_thread_keeps_its_core_until_it_ends(opened: Open, tools: ScriptedTools, columns: Columns) -> None:
    async with opened(cpu_threads=1) as engine:
        first = await engine.submit(await stored(engine, [working("computing", gate="one")]))
        await until_held(engine, first.run_id)
        await engine.cancel(first.run_id)
        await engine.wait(first.run_id)
        second = await engine.submit(await stored(engine, [working("computing")]))
        await until(engine, second.run_id, "step_started")
        await anyio.wait_all_tasks_blocked()
        assert columns.seen == [1, 2, 3]
        tools.thread_gate("gate").open()
        tools.thread_gate("one").open()
        assert (await engine.wait(second.run_id)).status == "completed"
        assert columns.most == 1


async def test_the_time_limit_of_a_cpu_bound_call_begins_when_it_has_its_core(
    opened: Open, tools: ScriptedTools, columns: Columns
) -> None:
    async with opened(cpu_threads=1) as engine:
        first = await engine.submit(await stored(engine, [working("computing", gate="one")]))
        await until_held(engine, first.run_id)
        limited = working("computing", gate="two", keys={"timeout_s": 0.2, **ONCE})
        second = await engine.submit(await stored(engine, [limited]))
        await until(engine, second.run_id, "step_started")
        longer = named("b", scripted("hang", node={"timeout_s": 0.4, **ONCE}))
        assert (await engine.run(await stored(engine, [longer]))).status == "failed"
        assert (await engine.state(second.run_id)).status == "running"  # it waits, and that is no fault of its own

        tools.thread_gate("one").open()
        assert (await engine.wait(first.run_id)).status == "completed"
        ended = await engine.wait(second.run_id)  # it does not get on
        assert (ended.error or "").startswith("TIMEOUT")
        assert "0.2 s" in (ended.error or "")
