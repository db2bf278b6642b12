"""Faults that simulated worlds found, each as small as it can be told."""

from collections.abc import Sequence

import anyio
import pytest

from runtime.errors import StorageFull
from runtime.journal import Entry, MemoryJournal
from runtime.testing import GatedJournal, ScriptedTools, scripted
from tests.conftest import Open, Store
from tests.integration.flow import named, of, stored, until
from tests.support.graphs import graph, leaf


class FullJournal(MemoryJournal):
    """A journal in memory whose disk is full as long as `is_full`."""

    is_full = False

    def commit(self, entries: Sequence[Entry]) -> None:
        if self.is_full:
            raise StorageFull("full", retry_after_s=30)
        super().commit(entries)


async def test_a_command_to_a_run_whose_end_is_not_durable_waits_and_is_told_why(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    """It asked again and again without waiting, and kept the event loop busy as long as the disk was full."""
    journal = FullJournal()
    async with opened_virtual(journal=journal, commit_wait_s=2.0) as engine:
        run = await engine.submit(await stored(engine, [named("a", scripted("wait"))]))
        await tools.gate("gate").wait_reached()
        journal.is_full = True
        tools.gate("gate").open()
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(3), pytest.raises(StorageFull):
            await engine.pause(run.run_id)
        journal.is_full = False
        assert (await engine.wait(run.run_id)).status == "completed"


async def test_a_map_that_has_enough_does_not_stop_the_items_of_the_next_iteration(opened: Open) -> None:
    enough = {"field": "completed", "operator": ">=", "value": 1}
    each = {"name": "m", "type": "map", "map": {"items": [1], "until": enough}, **scripted("ok", update={"x": 1})}
    loops = [{"node": "m", "condition": leaf("done", "==", True), "max_iterations": 2}]
    async with opened() as engine:
        view = await engine.run(await stored(engine, [each], loops=loops))
        assert view.status == "completed"
        assert len(await of(engine, view.run_id, "item_completed")) == 2
        assert await of(engine, view.run_id, "item_cancelled") == []


async def test_who_gives_up_on_a_command_to_a_waiting_run_does_not_take_it_from_the_queue(
    opened: Open, store: Store, tools: ScriptedTools
) -> None:
    async with opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        first, second = await engine.submit(graph_id), await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
    journal = GatedJournal(store.journal())
    async with opened(journal=journal, max_active_runs=1) as engine:
        await tools.gate("gate").wait_reached(2)
        journal.hold()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.pause, second.run_id)
            await journal.wait_begun()
            tasks.cancel_scope.cancel()
        journal.release()
        tools.gate("gate").open()
        assert (await engine.wait(first.run_id)).status == "completed"
        await engine.resume(second.run_id)
        assert (await engine.wait(second.run_id)).status == "completed"


async def test_a_refusal_is_told_only_once_what_it_rests_on_is_durable(opened_virtual: Open) -> None:
    """The first answer is on its way to a full disk: whoever answers again cannot be told yet that it counts."""
    journal = FullJournal()
    asks = {"name": "a", "type": "approval", "approval": {"prompt": "?"}}
    waits = {"name": "b", "type": "wait", "wait": {"signal": "go"}}
    async with opened_virtual(journal=journal, commit_wait_s=2.0) as engine:
        run = await engine.submit(await stored(engine, [asks, waits], "a > b"))
        await anyio.wait_all_tasks_blocked()
        journal.is_full = True
        for _ in range(2):
            with pytest.raises(StorageFull):
                await engine.answer(run.run_id, "a#1", True)
    journal.is_full = False
    async with opened_virtual(journal=journal) as engine:
        assert [question.approval for question in await engine.approvals(run.run_id)] == ["a#1"]
        await engine.answer(run.run_id, "a#1", True)


@pytest.mark.parametrize("end", ["cancelled", "timed_out"])
async def test_a_last_node_that_was_to_be_tried_again_during_a_pause_is_when_the_run_is_told_to_end(
    opened_virtual: Open, tools: ScriptedTools, end: str
) -> None:
    """The retry had been due while nothing might start, and the end of the pause by a cancellation went unnoticed."""
    retry = {"max_attempts": 2, "initial_s": 1, "jitter": "none"}
    last = named("f", scripted("fail_times", times=1, update={"f": 1}, node={"retry": retry}))
    inner = graph([named("x", scripted("ok")), last], **{"finally": ["f"]})
    async with opened_virtual() as engine:
        outer = [{"name": "in", "type": "graph", "graph": inner}]
        run = await engine.submit(await stored(engine, outer, limits={"timeout_s": 60}))
        await until(engine, run.run_id, "step_retrying")
        await engine.pause(run.run_id)
        await anyio.sleep(10)
        if end == "cancelled":
            await engine.cancel(run.run_id)
        with anyio.fail_after(100):
            assert (await engine.wait(run.run_id)).status == end
        assert [call.attempt for call in tools.called("f")] == [1, 2]


async def test_a_retry_that_fails_at_once_in_the_same_way_is_the_end_that_the_run_is_listed_with(opened: Open) -> None:
    """Its line in the index was that of the former end, because the status was the same."""
    inner = graph([named("x", scripted("ok"))])
    each = {"name": "m", "type": "map", "map": {"items": [1]}, "graph": inner, "input": {"x": "lost"}}
    async with opened() as engine:
        first = await engine.run(await stored(engine, [each]))
        assert first.status == "failed"
        await engine.retry(first.run_id)
        again = await engine.wait(first.run_id)
        assert again.last_seq == len(await engine.log(first.run_id)) > first.last_seq
