"""A disk that is full, locked, slow or broken: nothing fails that can wait, and nothing is said that is not so."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from runtime import Engine, open_engine
from runtime.errors import JournalUnavailable, StorageBusy, StorageError, StorageFull, StorageSlow
from runtime.journal import Entry, MemoryJournal, StoredGraph
from runtime.testing import GatedJournal, ScriptedTools, scripted
from tests.conftest import Open, Store, settings
from tests.integration.flow import assert_whole, completed_steps, followed, named, stored
from tests.support.graphs import Source


class RefusingJournal(MemoryJournal):
    """A journal in memory whose commits fail as long as `refusal` is set."""

    refusal: Exception | None = None
    refused = 0

    def commit(self, entries: Sequence[Entry]) -> None:
        if self.refusal is not None:
            self.refused += 1
            raise self.refusal
        super().commit(entries)


FULL = StorageFull("no space left", retry_after_s=30)
BUSY = StorageBusy("locked", retry_after_s=5)
CHAIN: list[Source] = [
    named("a", scripted("wait", tool="undeclared", update={"a": 1})),
    named("b", scripted("count", tool="undeclared")),
]


@pytest.mark.parametrize("refusal", [FULL, BUSY], ids=["full", "busy"])
async def test_runs_wait_for_the_disk_and_go_on_by_themselves(
    opened_virtual: Open, tools: ScriptedTools, refusal: JournalUnavailable
) -> None:
    journal = RefusingJournal()
    async with opened_virtual(journal=journal, commit_wait_s=2.0) as engine:
        graph_id = await stored(engine, CHAIN, "a > b")
        run = await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        journal.refusal = refusal
        tools.gate("gate").open()
        await anyio.sleep(60)
        assert journal.refused > 10
        assert [call.node for call in tools.calls] == ["a"]  # what comes next must not happen before it is on the disk
        view = await engine.state(run.run_id)
        assert (view.status, view.state) == ("running", {})  # answered, with what is durable
        assert "storage_" + {"STORAGE_FULL": "full", "STORAGE_BUSY": "busy"}[refusal.code] in engine.readiness()
        with pytest.raises(type(refusal)):
            await engine.submit(graph_id)
        with pytest.raises(type(refusal)):
            await stored(engine, [named("x", scripted("ok"))])
        journal.refusal = None
        with anyio.fail_after(5):
            ended = await engine.wait(run.run_id)
        assert (ended.status, ended.state) == ("completed", {"a": 1, "count": 1})
        assert set(completed_steps(await followed(engine, run.run_id)).values()) == {1}
        assert_whole(await followed(engine, run.run_id))
        assert engine.readiness() == ()
        assert (await engine.run(graph_id)).status == "completed"


async def test_a_submission_that_the_disk_does_not_confirm_is_answered_and_may_still_happen(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    journal = RefusingJournal()
    async with opened_virtual(journal=journal, commit_wait_s=2.0) as engine:
        graph_id = await stored(engine, [named("a", scripted("count"))])
        journal.refusal = FULL
        with pytest.raises(StorageFull):
            await engine.submit(graph_id, idempotency_key="k")  # taken in before the disk was known to be full
        with pytest.raises(StorageFull):
            await engine.submit(graph_id, idempotency_key="k")
        journal.refusal = None
        await anyio.sleep(5)
        run = await engine.submit(graph_id, idempotency_key="k")
        assert run.is_replay
        assert len((await engine.runs()).items) == 1


async def test_closing_with_a_full_disk_ends_and_the_next_start_goes_on(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    journal = RefusingJournal()
    async with opened_virtual(journal=journal) as engine:
        run = await engine.submit(await stored(engine, CHAIN, "a > b"))
        await tools.gate("gate").wait_reached()
        journal.refusal = FULL
        tools.gate("gate").open()
    journal.refusal = None
    async with opened_virtual(journal=journal) as engine:
        assert (await engine.wait(run.run_id)).status == "completed"


async def test_a_slow_disk_refuses_new_runs_and_holds_up_nobody_else(sqlite: Store, tools: ScriptedTools) -> None:
    journal = GatedJournal(sqlite.journal())
    async with open_engine(settings(commit_wait_s=0.05), tools, journal=journal) as engine:
        graph_id = await stored(engine, [named("a", scripted("ok"))])
        journal.hold()
        with pytest.raises(StorageSlow):
            await engine.submit(graph_id)
        with pytest.raises(StorageSlow):
            await engine.submit(graph_id)  # refused at once: nothing piles up
        assert engine.readiness() == ("storage_slow",)
        assert (await engine.runs()).items == ()
        journal.release()
    async with open_engine(settings(), tools, journal=sqlite.journal()) as engine:
        [run] = (await engine.runs()).items
        assert (await engine.wait(run.run_id)).status == "completed"


class UnreadableJournal(MemoryJournal):
    """A journal in memory of which single runs cannot be read as long as `failing` is set."""

    failing = False

    def entries(self, run: int, *, after: int, limit: int) -> list[Entry]:
        if self.failing:
            raise StorageError("input/output error")
        return super().entries(run, after=after, limit=limit)


@asynccontextmanager
async def an_ended_run(opened: Open, journal: UnreadableJournal) -> AsyncIterator[tuple[Engine, str]]:
    async with opened(journal=journal) as engine:
        view = await engine.run(await stored(engine, [named("a", scripted("ok"))]))
        yield engine, view.run_id


async def test_a_read_that_fails_is_told_to_whoever_asked_and_nobody_else(opened_virtual: Open) -> None:
    journal = UnreadableJournal()
    async with an_ended_run(opened_virtual, journal) as (engine, run_id):
        for _ in range(3):
            journal.failing = True
            with pytest.raises(StorageError):
                await engine.log(run_id)
            journal.failing = False
            assert await engine.log(run_id)
            await anyio.sleep(11)


async def test_reads_that_fail_again_and_again_end_the_engine(opened_virtual: Open) -> None:
    journal = UnreadableJournal()

    async def read_twice() -> None:
        async with an_ended_run(opened_virtual, journal) as (engine, run_id):
            journal.failing = True
            for _ in range(2):
                with pytest.raises(StorageError):
                    await engine.log(run_id)
            await anyio.sleep_forever()

    with pytest.raises(JournalUnavailable, match="could not be read twice"):
        await read_twice()


class BrokenGraphs(MemoryJournal):
    """A journal in memory whose flush fails when a graph is written."""

    is_broken = False
    commits_after = 0

    def commit(self, entries: Sequence[Entry]) -> None:
        self.commits_after += self.is_broken
        super().commit(entries)

    def add_graph(self, graph: StoredGraph) -> StoredGraph:
        if self.is_broken:
            raise JournalUnavailable("the flush failed")
        return super().add_graph(graph)

    def delete_graph(self, graph_id: str) -> None:
        if self.is_broken:
            raise JournalUnavailable("the flush failed")
        super().delete_graph(graph_id)


@pytest.mark.parametrize("what", ["create", "delete"])
async def test_a_graph_that_could_not_be_written_ends_the_engine_and_nothing_is_written_after_it(
    opened_virtual: Open, tools: ScriptedTools, what: str
) -> None:
    journal = BrokenGraphs()

    async def write_a_graph() -> None:
        async with opened_virtual(journal=journal) as engine:
            unused = await stored(engine, [named("b", scripted("ok"))])
            await engine.submit(await stored(engine, [named("a", scripted("wait"))]))
            await tools.gate("gate").wait_reached()
            journal.is_broken = True
            tools.gate("gate").open()
            with pytest.raises(JournalUnavailable, match="the flush failed"):
                await (
                    stored(engine, [named("x", scripted("ok"))]) if what == "create" else engine.delete_graph(unused)
                )
            await anyio.sleep_forever()

    with pytest.raises(JournalUnavailable, match="the flush failed"):
        await write_a_graph()
    assert journal.commits_after == 0
