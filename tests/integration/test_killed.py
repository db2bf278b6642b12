"""After the process was killed: attempts to rebuild are counted, one culprit is found, and the innocent go on."""

from collections.abc import Sequence

import anyio
import pytest

from runtime.actors.rebuilding import Rebuilder
from runtime.actors.recovery import MAX_RECOVERIES
from runtime.errors import Overloaded, RunFinished
from runtime.journal import Entry, MemoryJournal
from runtime.journal.base import chain_next
from runtime.run.outcomes import MAX_KILLED
from runtime.run.records import RunRecovering, decode_record, encode_json
from runtime.testing import GatedJournal, ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import assert_whole, completed_steps, events, followed, named, of, stored, until
from tests.support.graphs import Source

pytestmark = pytest.mark.parametrize("store", ["memory"], indirect=True)


class KilledJournal(MemoryJournal):
    """A journal in memory that nobody ever closes, as if every process had been killed.

    Attributes:
        told: Run id and event of each record, in the order they became durable.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str]] = []

    def close(self) -> None:
        """Forget nothing."""

    def commit(self, entries: Sequence[Entry]) -> None:
        super().commit(entries)
        for entry in entries:
            self.told += [(record.run_id, record.event) for record in map(decode_record, entry.lines)]

    def begin_to_rebuild(self, number: int) -> None:
        """Append what a process leaves behind that was killed while it rebuilt the run."""
        last = self._entries[number][-1]
        seq = last.first_seq + last.count
        run_id = self._rows[number].run_id
        then = decode_record(last.lines[-1]).timestamp
        line = encode_json(RunRecovering(cause="killed", seq=seq, timestamp=then, run_id=run_id))
        super().commit([Entry(number, seq, 1, last.epoch, line, chain_next(last.hash, line))])


@pytest.fixture
def journal() -> KilledJournal:
    return KilledJournal()


WAITING: list[Source] = [named("a", scripted("wait", tool="undeclared", update={"x": 1}))]


async def left_behind(opened: Open, tools: ScriptedTools, journal: KilledJournal, runs: int) -> list[str]:
    """Submit runs that a kill interrupts in their first step."""
    async with opened(journal=journal) as engine:
        graph_id = await stored(engine, WAITING)
        submitted = [(await engine.submit(graph_id)).run_id for _ in range(runs)]
        await tools.gate("gate").wait_reached(runs)
    return submitted


async def test_a_run_that_was_being_rebuilt_at_three_kills_is_put_aside_and_the_others_go_on(
    opened: Open, tools: ScriptedTools, journal: KilledJournal
) -> None:
    poison, other = await left_behind(opened, tools, journal, 2)
    for _ in range(MAX_RECOVERIES):
        journal.begin_to_rebuild(1)
    tools.gate("gate").open()
    async with opened(journal=journal) as engine:
        assert (await engine.wait(other)).status == "completed"
        view = await engine.wait(poison)
        assert view.status == "dead_lettered"
        assert "POISONED" in (view.error or "")
        assert len(tools.calls) == 3  # never called again
        await engine.retry(poison)
        ended = await engine.wait(poison)
        assert (ended.status, ended.state) == ("completed", {"x": 1})
        assert_whole(await followed(engine, poison))
        assert set(completed_steps(await followed(engine, poison)).values()) == {1}


@pytest.mark.parametrize("times", range(1, MAX_RECOVERIES))
async def test_a_run_that_was_being_rebuilt_less_often_goes_on_and_is_clear_of_suspicion(
    opened: Open, tools: ScriptedTools, journal: KilledJournal, times: int
) -> None:
    [run] = await left_behind(opened, tools, journal, 1)
    for _ in range(3):
        for _ in range(times):
            journal.begin_to_rebuild(1)
        seen = len(tools.calls)
        async with opened(journal=journal):
            await tools.gate("gate").wait_reached(seen + 1)
    tools.gate("gate").open()
    async with opened(journal=journal) as engine:
        assert (await engine.wait(run)).status == "completed"


async def test_suspects_are_rebuilt_one_at_a_time_behind_the_others_the_least_suspicious_first(
    opened: Open, tools: ScriptedTools, journal: KilledJournal
) -> None:
    runs = await left_behind(opened, tools, journal, 6)
    for number, times in ((1, 2), (2, 1), (4, 1)):
        for _ in range(times):
            journal.begin_to_rebuild(number)
    journal.told.clear()
    async with opened(journal=journal):
        await tools.gate("gate").wait_reached(12)
    told = [(runs.index(run_id) + 1, event) for run_id, event in journal.told if event.startswith("run_recover")]
    assert {run for run, _ in told[:6]} == {3, 5, 6}
    alone = [2, 4, 1] if told[6][0] == 2 else [4, 2, 1]
    assert told[6:] == [(run, event) for run in alone for event in ("run_recovering", "run_recovered")]


async def test_kills_do_not_put_a_run_aside_that_only_waits(opened: Open, journal: KilledJournal) -> None:
    async with opened(journal=journal) as engine:
        graph_id = await stored(engine, [{"name": "a", "type": "wait", "wait": {"signal": "go"}}])
        run = await engine.submit(graph_id)
    for _ in range(3 * MAX_RECOVERIES):
        async with opened(journal=journal) as engine:
            await until(engine, run.run_id, "run_recovered")
            assert (await engine.state(run.run_id)).status == "waiting"
    async with opened(journal=journal) as engine:
        await engine.signal(run.run_id, "go")
        assert (await engine.wait(run.run_id)).status == "completed"


@pytest.mark.parametrize(("on_error", "status"), [("fail_run", "failed"), ("continue", "completed")])
async def test_a_step_that_is_always_running_when_the_process_is_killed_fails_in_the_end(
    opened: Open, tools: ScriptedTools, journal: KilledJournal, on_error: str, status: str
) -> None:
    async with opened(journal=journal) as engine:
        run = await engine.submit(
            await stored(engine, [named("a", scripted("wait", tool="undeclared", node={"on_error": on_error}))])
        )
        await tools.gate("gate").wait_reached()
    for times in range(2, MAX_KILLED + 2):
        async with opened(journal=journal):
            await tools.gate("gate").wait_reached(times)
    async with opened(journal=journal) as engine:
        assert (await engine.wait(run.run_id)).status == status
        [failed] = await of(engine, run.run_id, "step_failed")
        assert failed["error"]["code"] == "PROCESS_LOST"
    assert len(tools.calls) == MAX_KILLED + 1


async def test_stops_in_order_never_count(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, WAITING))
        await tools.gate("gate").wait_reached()
    for times in range(2, MAX_KILLED + 4):
        async with opened() as engine:
            await tools.gate("gate").wait_reached(times)
            assert "killed" not in str(await of(engine, run.run_id, "run_recovered"))
    tools.gate("gate").open()
    async with opened() as engine:
        assert (await engine.wait(run.run_id)).status == "completed"


async def test_a_run_that_was_cancelled_and_put_aside_ends_cancelled_when_it_is_retried(
    opened: Open, tools: ScriptedTools, journal: KilledJournal
) -> None:
    async with opened(journal=journal, cancel_grace_s=60) as engine:
        run = await engine.submit(await stored(engine, [named("a", scripted("ignore_cancel", tool="undeclared"))]))
        await tools.gate("gate").wait_reached()
        await engine.cancel(run.run_id)
        tools.gate("gate").open()
        journal_then = len(journal._entries[1])
    del journal._entries[1][journal_then:]
    assert "step_cancelled" not in str(journal._entries[1])
    for _ in range(MAX_RECOVERIES):
        journal.begin_to_rebuild(1)
    journal._unfinished.add(1)
    async with opened(journal=journal) as engine:
        assert (await engine.wait(run.run_id)).status == "dead_lettered"
        await engine.retry(run.run_id)
        assert (await engine.wait(run.run_id)).status == "cancelled"
        assert (await events(engine, run.run_id)).count("step_started") == 1


async def test_a_suspect_is_not_rebuilt_only_because_somebody_reads_it(
    opened: Open, tools: ScriptedTools, journal: KilledJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    [run] = await left_behind(opened, tools, journal, 1)
    journal.begin_to_rebuild(1)
    tools.gate("gate").open()
    with monkeypatch.context() as patched:
        patched.setattr(Rebuilder, "next_suspect", lambda _: None)  # its turn never comes
        async with opened(journal=journal) as engine:
            for read in (engine.state, engine.blame, engine.approvals):
                with pytest.raises(Overloaded, match="taken up last"):
                    await read(run)
            assert [line.run_id for line in (await engine.runs()).items] == [run]
            assert await engine.log(run)
    async with opened(journal=journal) as engine:
        assert (await engine.wait(run)).status == "completed"


async def test_suspects_beyond_the_places_there_are_all_get_their_turn(
    opened: Open, tools: ScriptedTools, journal: KilledJournal
) -> None:
    runs = await left_behind(opened, tools, journal, 5)
    for number in range(1, 6):
        journal.begin_to_rebuild(number)
    tools.gate("gate").open()
    async with opened(journal=journal, max_active_runs=2) as engine:
        for run in runs:
            assert (await engine.wait(run)).status == "completed"


async def test_a_command_to_a_run_that_is_being_put_aside_finds_it_ended(
    opened: Open, tools: ScriptedTools, journal: KilledJournal
) -> None:
    [poison] = await left_behind(opened, tools, journal, 1)
    for _ in range(MAX_RECOVERIES):
        journal.begin_to_rebuild(1)
    gated = GatedJournal(journal)
    gated.hold()
    async with opened(journal=gated) as engine, anyio.create_task_group() as tasks:

        async def cancel() -> None:
            with pytest.raises(RunFinished, match="dead_lettered"):
                await engine.cancel(poison)

        tasks.start_soon(cancel)
        await gated.wait_begun()
        for _ in range(20):  # whoever takes it up again reads its records meanwhile
            await engine.statistics()
        gated.release()
        assert (await engine.wait(poison)).status == "dead_lettered"
        assert (await engine.statistics()).active == 0
    assert journal.told[-1] == (poison, "run_dead_lettered")


async def test_a_run_that_waited_for_its_turn_in_this_process_was_killed_in_none(
    opened: Open, tools: ScriptedTools, journal: KilledJournal
) -> None:
    await left_behind(opened, tools, journal, 1)
    async with opened(journal=journal, max_active_runs=1) as engine:
        await tools.gate("gate").wait_reached(2)
        run = await engine.submit(await stored(engine, WAITING))
        tools.gate("gate").open()
        assert (await engine.wait(run.run_id)).status == "completed"
        assert not [event for event in await events(engine, run.run_id) if event.startswith("run_recover")]
