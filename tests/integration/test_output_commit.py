"""The output-commit rule: the disk is waited for exactly where the outside could see the difference."""

from typing import Any

import anyio
import pytest

from runtime import Engine, open_engine
from runtime.errors import JournalUnavailable
from runtime.testing import GatedJournal, ScriptedTools, scripted
from tests.conftest import Store, settings
from tests.integration.flow import named, stored


@pytest.fixture
def journal(store: Store) -> GatedJournal:
    return GatedJournal(store.journal())


async def test_nothing_is_shown_before_it_is_committed(journal: GatedJournal, tools: ScriptedTools) -> None:
    async with open_engine(settings(), tools, journal=journal) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait")), named("b", scripted("wait", gate="b"))], "a > b")
        run = await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        seen: list[str] = []
        states: list[Any] = []

        async def watch() -> None:
            seen.extend([record.event async for record in engine.subscribe(run.run_id)])

        async def look() -> None:
            states.append(await engine.state(run.run_id))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            journal.hold()
            tools.gate("gate").open()
            await tools.gate("b").wait_reached()  # `b` is pure: it runs ahead of the disk
            await journal.wait_begun()
            tasks.start_soon(look)
            await anyio.wait_all_tasks_blocked()
            committed = [record.event for record in await engine.log(run.run_id)]
            assert states == []
            assert "step_completed" not in committed
            journal.release()
            tools.gate("b").open()
        assert seen == [record.event for record in await engine.log(run.run_id)]
        assert states[0].last_seq >= len(committed)


async def test_a_run_is_accepted_only_once_that_is_committed(journal: GatedJournal, tools: ScriptedTools) -> None:
    async with open_engine(settings(), tools, journal=journal) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        accepted: list[str] = []

        async def submit() -> None:
            accepted.append((await engine.submit(graph_id)).status)

        journal.hold()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(submit)
            await journal.wait_begun()
            await tools.gate("gate").wait_reached()  # pure, so it did not wait
            tools.gate("gate").open()
            await anyio.wait_all_tasks_blocked()
            assert accepted == []
            journal.let_through()
            await journal.wait_begun(2)
            await anyio.wait_all_tasks_blocked()
            assert accepted == ["running"]  # the end is decided already, and not durable
            journal.release()


@pytest.mark.parametrize("effect", ["idempotent", "undeclared", "once"])
async def test_a_tool_with_effects_is_called_once_its_start_is_committed(
    journal: GatedJournal, tools: ScriptedTools, effect: str
) -> None:
    async with open_engine(settings(), tools, journal=journal) as engine:
        graph_id = await stored(
            engine, [named("a", scripted("wait")), named("b", scripted("ok", tool=effect))], "a > b"
        )
        run = await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        journal.hold()
        tools.gate("gate").open()
        await journal.wait_begun()
        await anyio.wait_all_tasks_blocked()
        assert tools.called("b") == []
        journal.release()
        await engine.wait(run.run_id)
        assert len(tools.called("b")) == 1


async def test_pure_tools_run_ahead_of_the_disk(journal: GatedJournal, tools: ScriptedTools) -> None:
    async with open_engine(settings(), tools, journal=journal) as engine:
        nodes = [named(name, scripted("count")) for name in "abcd"]
        graph_id = await stored(engine, nodes, "a > b", "b > c", "c > d")
        journal.hold()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run, graph_id)
            await journal.wait_begun()
            await anyio.wait_all_tasks_blocked()
            assert [call.node for call in tools.calls] == ["a", "b", "c", "d"]
            journal.release()


async def test_a_cancel_is_answered_once_it_is_committed(journal: GatedJournal, tools: ScriptedTools) -> None:
    async with open_engine(settings(), tools, journal=journal) as engine:
        run = await engine.submit(await stored(engine, [named("a", scripted("wait"))]))
        await tools.gate("gate").wait_reached()
        journal.hold()
        done = anyio.Event()

        async def cancel() -> None:
            await engine.cancel(run.run_id)
            done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            await journal.wait_begun()
            await anyio.wait_all_tasks_blocked()
            assert not done.is_set()
            journal.release()
        assert (await engine.wait(run.run_id)).status == "cancelled"


async def test_a_tool_that_waits_for_the_disk_is_not_called_after_a_cancel(
    journal: GatedJournal, tools: ScriptedTools
) -> None:
    async with open_engine(settings(), tools, journal=journal) as engine:
        nodes = [named("a", scripted("wait")), named("b", scripted("ok", tool="undeclared"))]
        run = await engine.submit(await stored(engine, nodes, "a > b"))
        await tools.gate("gate").wait_reached()
        journal.hold()
        tools.gate("gate").open()
        await journal.wait_begun()
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.cancel, run.run_id)
            await anyio.wait_all_tasks_blocked()
            journal.release()
        assert (await engine.wait(run.run_id)).status == "cancelled"
        assert tools.called("b") == []


async def test_a_commit_that_fails_ends_the_engine_and_nothing_of_it_was_shown(
    journal: GatedJournal, tools: ScriptedTools, store: Store
) -> None:
    error = JournalUnavailable("the disk is gone")
    shown: list[str] = []

    async def watch(engine: Engine, run_id: str) -> None:
        async for record in engine.subscribe(run_id):
            shown.append(record.event)  # noqa: PERF401 - what came before the end counts

    async def fail(engine: Engine) -> None:
        run = await engine.submit(await stored(engine, [named("a", scripted("wait"))]))
        await tools.gate("gate").wait_reached()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, engine, run.run_id)
            await anyio.wait_all_tasks_blocked()
            journal.hold()
            tools.gate("gate").open()
            await journal.wait_begun()
            journal.fail(error)
            await anyio.sleep_forever()

    with anyio.fail_after(10), pytest.raises(JournalUnavailable, match="the disk is gone"):
        async with open_engine(settings(), tools, journal=journal) as engine:
            await fail(engine)
    assert shown == ["run_submitted", "run_started", "step_started"]
    async with open_engine(settings(), tools, journal=store.journal()) as engine:
        [run] = (await engine.runs()).items
        assert (await engine.wait(run.run_id)).status == "completed"


async def test_runs_share_commits(journal: GatedJournal, tools: ScriptedTools) -> None:
    async with open_engine(settings(), tools, journal=journal) as engine:
        graph_id = await stored(engine, [named("a", scripted("count"))])
        await engine.run(graph_id)
        before = len(journal.batches)
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(engine.run, graph_id)
        assert len(journal.batches) - before < 20
