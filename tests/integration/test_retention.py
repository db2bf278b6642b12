"""Ended runs are deleted when their time is up or there are too many, whole, and never one that goes on."""

import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from functools import partial
from typing import Any

import anyio
import apsw
import pytest
from anyio import from_thread

from runtime import Engine, open_engine, retention
from runtime.errors import UnknownRun
from runtime.journal import Entry, Journal, MemoryJournal, RunRow, SqliteJournal
from runtime.testing import Gate, ScriptedTools, scripted
from tests.conftest import Open, Store, settings
from tests.integration.flow import followed, named, stored
from tests.support.graphs import graph

HOUR = 3_600.0
SOON = retention.LOOK_EVERY_S + 5


def on(journal: Journal, tools: ScriptedTools, **keys: Any) -> AbstractAsyncContextManager[Engine]:
    """Open an engine on a journal of the test's own."""
    return open_engine(settings(**keys), tools, journal=journal)


async def ended(engine: Engine, count: int = 1) -> list[str]:
    """Let runs end, and return their ids."""
    graph_id = await stored(engine, [named("a", scripted("ok", update={"x": 1}))])
    return [(await engine.run(graph_id)).run_id for _ in range(count)]


async def there(engine: Engine) -> list[str]:
    """Return the ids of all stored runs, the oldest first."""
    return [line.run_id for line in (await engine.runs(limit=200)).items][::-1]


async def test_a_run_is_deleted_when_its_time_is_up(opened_virtual: Open) -> None:
    async with opened_virtual(keep_ended_s=HOUR) as engine:
        [run_id] = await ended(engine)
        await anyio.sleep(HOUR - SOON)
        assert (await engine.state(run_id)).status == "completed"
        await anyio.sleep(2 * SOON)
        for asked in (engine.state, engine.wait, engine.log, engine.summary, engine.blame, engine.retry, engine.cancel):
            with pytest.raises(UnknownRun):
                await asked(run_id)
        with pytest.raises(UnknownRun):
            await engine.explain(run_id, "a")
        counts = await engine.statistics()
        assert (counts.runs, counts.deleted_runs, counts.graphs) == (0, 1, 1)


async def test_the_newest_runs_that_have_ended_are_kept(opened_virtual: Open) -> None:
    async with opened_virtual(keep_ended_runs=2) as engine:
        ids = await ended(engine, 5)
        await anyio.sleep(SOON)
        assert await there(engine) == ids[-2:]


async def test_a_run_goes_when_either_bound_says_so(opened_virtual: Open) -> None:
    async with opened_virtual(keep_ended_runs=2, keep_ended_s=HOUR) as engine:
        ids = await ended(engine, 3)
        await anyio.sleep(SOON)
        assert await there(engine) == ids[-2:]
        await anyio.sleep(HOUR / 2)
        [newest] = await ended(engine)
        await anyio.sleep(SOON)
        assert await there(engine) == [ids[-1], newest]
        await anyio.sleep(HOUR / 2)
        assert await there(engine) == [newest]


async def test_everything_is_kept_unless_asked_otherwise(opened_virtual: Open) -> None:
    async with opened_virtual() as engine:
        ids = await ended(engine, 3)
        await anyio.sleep(1_000 * 86_400)
        assert await there(engine) == ids


async def test_a_run_that_has_not_ended_is_kept_however_old_it_is(opened_virtual: Open, tools: ScriptedTools) -> None:
    async with opened_virtual(keep_ended_s=0, keep_ended_runs=0) as engine:
        waits = graph([{"name": "a", "type": "wait", "wait": {"signal": "go"}}], limits={"timeout_s": 30 * 86_400})
        run = await engine.submit((await engine.create_graph(waits)).graph_id)
        await anyio.sleep(20 * 86_400)
        assert (await engine.state(run.run_id)).status == "waiting"
        await engine.signal(run.run_id, "go")
        assert (await engine.wait(run.run_id)).status == "completed"
        await anyio.sleep(SOON)
        assert await there(engine) == []


async def test_runs_of_an_earlier_process_are_deleted_soon_after_the_start(opened_virtual: Open) -> None:
    async with opened_virtual() as engine:
        ids = await ended(engine, 3)
    async with opened_virtual(keep_ended_runs=1) as engine:
        await anyio.sleep(1)
        assert await there(engine) == ids[-1:]


async def test_more_than_a_century_is_kept_for_ever(opened_virtual: Open) -> None:
    async with opened_virtual(keep_ended_s=1e300) as engine:
        ids = await ended(engine)
        await anyio.sleep(SOON)
        assert await there(engine) == ids


class Noting(MemoryJournal):
    """Notes what is written, in order: the size of each deletion, and 0 for a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[int] = []

    def commit(self, entries: Sequence[Entry]) -> None:
        super().commit(entries)
        self.written.append(0)

    def delete_runs(self, numbers: Sequence[int]) -> None:
        super().delete_runs(numbers)
        self.written.append(len(numbers))


async def test_many_runs_go_in_small_batches_with_commits_of_live_runs_between_them(opened_virtual: Open) -> None:
    journal = Noting()
    async with opened_virtual(journal) as engine:
        await ended(engine, 250)
    journal.written.clear()
    async with opened_virtual(journal, keep_ended_runs=0) as engine:
        while 100 not in journal.written:
            await anyio.wait_all_tasks_blocked()
        await ended(engine, 3)  # no time passes meanwhile
        await anyio.sleep(SOON)
        assert await there(engine) == []
    first, *others = (place for place, size in enumerate(journal.written) if size)
    assert [journal.written[place] for place in (first, *others)] == [100, 100, 53]
    assert journal.written[first + 1 : others[0]].count(0) >= 3


async def test_a_batch_has_few_records_or_one_run(opened_virtual: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Noting()
    async with opened_virtual(journal) as engine:
        graph_id = await stored(engine, [named("a", scripted("log", times=40))])
        long = (await engine.run(graph_id)).run_id
        short = len(await engine.log((await ended(engine, 4))[0]))
        assert len(await engine.log(long)) > 2 * short
    monkeypatch.setattr(retention, "MAX_RECORDS", 2 * short)
    journal.written.clear()
    async with opened_virtual(journal, keep_ended_runs=0):
        await anyio.sleep(SOON)
    assert [size for size in journal.written if size] == [1, 2, 2]


class Held(MemoryJournal):
    """Holds up what a test says, once: the answer of `ended_runs`, or `delete_runs` before it does anything."""

    blocks = True

    def __init__(self) -> None:
        super().__init__()
        self.holds = ""
        self.asked = 0
        self.gate = Gate()
        self._go = threading.Event()

    def _pass(self, what: str) -> None:
        if self.holds == what:
            self.holds = ""
            from_thread.run(self.gate.passage)

    def ended_runs(self, *, before: datetime | None, beyond: int | None, limit: int) -> list[RunRow]:
        found = super().ended_runs(before=before, beyond=beyond, limit=limit)
        self._pass("ended_runs")
        self.asked += 1
        return found

    def delete_runs(self, numbers: Sequence[int]) -> None:
        self._pass("delete_runs")
        super().delete_runs(numbers)


async def failing(engine: Engine) -> str:
    """Let a run fail that can be retried, and then waits at its gate."""
    nodes = [
        named("a", scripted("fail_times", times=1, node={"retry": {"max_attempts": 1}})),
        named("b", scripted("wait")),
    ]
    return (await engine.run(await stored(engine, nodes, "a > b"))).run_id


async def test_a_run_that_is_retried_just_before_it_is_deleted_goes_on(tools: ScriptedTools) -> None:
    journal = Held()
    async with on(journal, tools) as engine:
        run_id = await failing(engine)
    journal.holds = "ended_runs"
    async with on(journal, tools, keep_ended_runs=0) as engine:
        await journal.gate.wait_reached()  # it is on the list
        await engine.retry(run_id)
        await tools.gate("gate").wait_reached()
        journal.gate.open()
        await anyio.wait_all_tasks_blocked()
        tools.gate("gate").open()
        assert (await engine.wait(run_id)).status == "completed"
        assert (await engine.statistics()).deleted_runs == 0


async def test_a_run_that_ended_again_meanwhile_counts_by_its_new_end(tools: ScriptedTools) -> None:
    journal = Held()
    tools.gate("gate").open()
    async with on(journal, tools) as engine:
        retried = await failing(engine)
        [other] = await ended(engine)
    journal.holds = "ended_runs"
    async with on(journal, tools, keep_ended_runs=1) as engine:
        await journal.gate.wait_reached()  # the older one is on the list
        await engine.retry(retried)
        await engine.wait(retried)
        journal.gate.open()
        while journal.asked < 2:
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert await there(engine) == [retried, other]


async def test_a_run_that_is_being_deleted_cannot_be_retried(tools: ScriptedTools) -> None:
    journal = Held()
    async with on(journal, tools) as engine:
        run_id = await failing(engine)
    journal.holds = "delete_runs"
    async with on(journal, tools, keep_ended_runs=0) as engine:
        await journal.gate.wait_reached()
        with pytest.raises(UnknownRun):
            await engine.retry(run_id)
        assert (await engine.state(run_id)).status == "failed"
        journal.gate.open()
        while await there(engine):
            await anyio.lowlevel.checkpoint()
        assert [entry for number in range(9) for entry in journal.entries(number, after=0, limit=9)] == []


async def test_who_reads_the_records_of_a_run_that_is_deleted_meanwhile_is_told_so(
    opened_virtual: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.reading._ENTRIES_PER_READ", 1)
    async with opened_virtual(keep_ended_runs=0) as engine:
        [run_id] = await ended(engine)
        async with aclosing(engine.subscribe(run_id)) as records:
            assert (await anext(records)).seq == 1
            await anyio.sleep(SOON)
            with pytest.raises(UnknownRun):
                async for _ in records:
                    pass


async def test_who_has_all_records_of_a_run_that_is_deleted_is_not_disturbed(opened_virtual: Open) -> None:
    async with opened_virtual(keep_ended_runs=0) as engine:
        [run_id] = await ended(engine)
        count = len(await engine.log(run_id))
        async with aclosing(engine.subscribe(run_id)) as records:
            assert [(await anext(records)).seq for _ in range(count)] == list(range(1, count + 1))
            await anyio.sleep(SOON)
            assert [record async for record in records] == []


class Vanishing(MemoryJournal):
    """Deletes a run while its records are read, page by page."""

    victim = 0

    def entries(self, run: int, *, after: int, limit: int) -> list[Entry]:
        if run == self.victim and after:
            self.delete_runs([run])
        return super().entries(run, after=after, limit=limit)


@pytest.mark.parametrize("asked", ["retry", "fork", "explain", "blame", "log"])
async def test_a_run_that_vanishes_while_it_is_read_is_unknown_and_not_damaged(
    tools: ScriptedTools, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr("runtime.reading._ENTRIES_PER_READ", 1)
    monkeypatch.setattr("runtime.actors.recovery.PAGE", 1)
    journal = Vanishing()
    async with on(journal, tools) as engine:
        run_id = await failing(engine)
        row = journal.run(run_id)
        assert row is not None
        journal.victim = row.number
        ways: dict[str, Callable[[str], Awaitable[object]]] = {
            "retry": engine.retry,
            "fork": partial(engine.fork, node="a"),
            "explain": partial(engine.explain, node="a"),
            "blame": engine.blame,
            "log": engine.log,
        }
        with pytest.raises(UnknownRun):
            await ways[asked](run_id)
        assert (await engine.statistics()).active == 0


class CopiedBeforeCommit(SqliteJournal):
    """Copies its files whenever a deletion is about to be committed, as a crash would leave them then."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.path)
        self.copies: list[Store] = []
        self._store = store

    def delete_runs(self, numbers: Sequence[int]) -> None:
        assert self._writer is not None
        self._writer.set_commit_hook(self._copy)
        super().delete_runs(numbers)
        self._writer.set_commit_hook(None)
        self._copy()

    def _copy(self) -> bool:
        self.copies.append(self._store.copied(f"crash{len(self.copies)}"))
        return False


def assert_none_is_half_there(path: str) -> int:
    """Check that each run has all its records or is gone, and return how many there are."""
    connection = apsw.Connection(path)
    runs = connection.execute(
        "SELECT last_seq, (SELECT sum(count) FROM journal WHERE run = number), final_state IS NOT NULL FROM runs"
    ).fetchall()
    assert all(last_seq == count and ended for last_seq, count, ended in runs)
    assert connection.execute("SELECT count(*) FROM journal WHERE run NOT IN (SELECT number FROM runs)").get == 0
    assert connection.pragma("integrity_check") == "ok"
    connection.close()
    return len(runs)


async def test_a_crash_in_the_middle_leaves_no_run_half_deleted(
    sqlite: Store, tools: ScriptedTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_RUNS", 4)
    async with on(sqlite.journal(), tools) as engine:
        ids = await ended(engine, 10)
    journal = CopiedBeforeCommit(sqlite)
    async with on(journal, tools, keep_ended_runs=1) as engine:
        while len(await there(engine)) > 1:
            await anyio.lowlevel.checkpoint()
    counts = [assert_none_is_half_there(str(copy.path)) for copy in journal.copies]
    assert counts == [10, 6, 6, 2, 2, 1]
    for copy in journal.copies:
        async with on(copy.journal(), tools, keep_ended_runs=1) as engine:
            while len(await there(engine)) > 1:
                await anyio.lowlevel.checkpoint()
            assert await there(engine) == ids[-1:]
            assert [record.event for record in await followed(engine, ids[-1])][-1] == "run_completed"


async def test_an_idempotency_key_is_free_again_once_its_run_is_deleted(opened_virtual: Open) -> None:
    async with opened_virtual(keep_ended_s=HOUR) as engine:
        graph_id = await stored(engine, [named("a", scripted("ok"))])
        first = (await engine.run(graph_id, idempotency_key="k")).run_id
        assert (await engine.submit(graph_id, idempotency_key="k")).run_id == first
        await anyio.sleep(HOUR + SOON)
        assert (await engine.submit(graph_id, idempotency_key="k")).run_id != first
