"""Watching runs: every record once, in order, from any place, however slow the watcher is."""

import threading
from contextlib import aclosing

import anyio
import anyio.to_thread
import pytest

from runtime import LogRecord
from runtime.journal import Entry, MemoryJournal
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import assert_whole, followed, named, stored

CHAIN = [named(name, scripted("count")) for name in "abc"]
EDGES = ("a > b", "b > c")
HELD = [named("a", scripted("log", times=40)), named("b", scripted("wait")), named("c", scripted("log", times=40))]


async def test_from_any_place_of_an_ended_run_comes_the_rest(opened: Open) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, CHAIN, *EDGES))
        whole = await followed(engine, run.run_id)
        assert_whole(whole)
        assert whole[-1].event == "run_completed"
        for after in range(len(whole) + 3):
            assert await followed(engine, run.run_id, after) == whole[after:]


@pytest.mark.parametrize("recent", [0, 1, 3, 256])
async def test_from_any_place_of_a_running_run_comes_everything_behind_it(
    opened: Open, tools: ScriptedTools, recent: int
) -> None:
    async with opened(recent_records=recent) as engine:
        run = await engine.submit(await stored(engine, HELD, *EDGES))
        await tools.gate("gate").wait_reached()
        so_far = (await engine.state(run.run_id)).last_seq
        got: dict[int, list[LogRecord]] = {}

        async def watch(after: int) -> None:
            got[after] = await followed(engine, run.run_id, after)

        async with anyio.create_task_group() as tasks:
            for after in (0, 1, so_far // 2, so_far - 1, so_far, so_far + 5):
                tasks.start_soon(watch, after)
            await anyio.wait_all_tasks_blocked()
            tools.gate("gate").open()
        whole = await engine.log(run.run_id)
        assert_whole(whole)
        assert len(whole) > 80
        for after, records in got.items():
            assert records == whole[after:]


async def test_a_slow_watcher_behind_the_recent_records_loses_nothing_and_holds_nothing_up(opened: Open) -> None:
    async with opened(recent_records=4) as engine:
        nodes = [named("a", scripted("log", times=300)), named("b", scripted("log", times=300))]
        run = await engine.submit(await stored(engine, nodes, "a > b"))
        got: list[LogRecord] = []
        async with aclosing(engine.subscribe(run.run_id)) as records:
            got.append(await anext(records))
            await engine.wait(run.run_id)  # the run ends while the watcher has seen one record
            got += [record async for record in records]
        assert got == await engine.log(run.run_id)
        assert_whole(got)
        assert sum(record.event == "tool_log" for record in got) == 600


async def test_batches_are_never_empty_and_follow_each_other(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, HELD, *EDGES))
        await tools.gate("gate").wait_reached()
        tools.gate("gate").open()
        batches = [batch async for batch in engine.subscribe_batches(run.run_id)]
        assert all(batches)
        assert_whole([record for batch in batches for record in batch])


async def test_a_watcher_that_leaves_is_not_felt(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, HELD, *EDGES))
        async with aclosing(engine.subscribe(run.run_id)) as records:
            await anext(records)
        tools.gate("gate").open()
        assert (await engine.wait(run.run_id)).status == "completed"


async def test_a_cancelled_watcher_ends_and_the_run_goes_on(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, HELD, *EDGES))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(followed, engine, run.run_id)
            tasks.start_soon(engine.wait, run.run_id)
            await tools.gate("gate").wait_reached()
            tasks.cancel_scope.cancel()
        tools.gate("gate").open()
        assert (await engine.wait(run.run_id)).status == "completed"


async def test_cancelling_the_wait_for_a_run_does_not_cancel_the_run(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("wait", tool="undeclared"))])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run, graph_id)
            await tools.gate("gate").wait_reached()
            tasks.cancel_scope.cancel()
        tools.gate("gate").open()
        [run] = (await engine.runs()).items
        assert (await engine.wait(run.run_id)).status == "completed"


class LateReader(MemoryJournal):
    """A journal in memory whose next reading that finds no record comes back late, when `gate` is set."""

    blocks = True

    def __init__(self) -> None:
        super().__init__()
        self.gate: threading.Event | None = None
        self.has_read = threading.Event()

    def entries(self, run: int, *, after: int, limit: int) -> list[Entry]:
        found = super().entries(run, after=after, limit=limit)
        if not found and self.gate is not None:
            gate, self.gate = self.gate, None
            self.has_read.set()
            gate.wait(30)
        return found


@pytest.mark.parametrize("store", ["memory"], indirect=True)
async def test_what_ends_a_run_while_its_watcher_reads_the_journal_is_not_missed(
    opened: Open, tools: ScriptedTools
) -> None:
    journal = LateReader()
    async with opened(journal=journal, max_active_runs=1) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        waiting = await engine.submit(graph_id)  # it has no actor, so its records are read from the journal
        journal.gate = gate = threading.Event()
        got: list[LogRecord] = []

        async def watch() -> None:
            got.extend(await followed(engine, waiting.run_id))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.to_thread.run_sync(journal.has_read.wait, 30)
            await engine.cancel(waiting.run_id)
            await engine.wait(waiting.run_id)
            gate.set()
        assert got[-1].event == "run_cancelled"
        assert_whole(got)
