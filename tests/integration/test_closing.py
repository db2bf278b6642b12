"""However an engine closes, it closes soon, calls nothing any more, and what it leaves behind can be taken up."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import apsw
import pytest

from runtime import Engine
from runtime.errors import Closing, EngineError, JournalDamaged, JournalNewer
from runtime.journal import SqliteJournal
from runtime.testing import GatedJournal, ScriptedTools, scripted
from tests.conftest import Open, Store
from tests.integration.flow import assert_whole, events, followed, named, stored
from tools.contract import tool

GRACE_S = 15.0
"""A grace that no test here is to wait for."""

WAIT = named("a", scripted("wait"))


@pytest.mark.parametrize("error", [OSError, SystemExit, KeyboardInterrupt])
async def test_a_tool_whose_clean_up_fails_does_not_disturb_the_closing(
    opened: Open, tools: ScriptedTools, error: type[BaseException]
) -> None:
    @tool(effect="pure")
    async def untidy(state: dict[str, object]) -> None:
        try:
            await tools.gate("gate").passage()
        except anyio.get_cancelled_exc_class():
            raise error("the clean-up failed") from None

    tools.add(untidy)
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [named("a", {"tool": "untidy"})]))
        await tools.gate("gate").wait_reached()
    tools.gate("gate").open()
    async with opened() as engine:
        assert (await engine.wait(run.run_id)).status == "completed"
        assert "step_failed" not in await events(engine, run.run_id)


@pytest.mark.parametrize("effect", ["pure", "idempotent", "undeclared"])
async def test_closing_during_a_slow_commit_waits_for_it_and_calls_nothing(
    opened: Open, store: Store, tools: ScriptedTools, effect: str
) -> None:
    journal = GatedJournal(store.journal())

    async def release_when_closing() -> None:
        await anyio.wait_all_tasks_blocked()
        journal.release()

    async with anyio.create_task_group() as tasks:
        async with opened(journal=journal, close_grace_s=0) as engine:
            nodes = [named("a", scripted("wait", tool="idempotent")), named("b", scripted("wait", tool=effect))]
            run = await engine.submit(await stored(engine, nodes, "a > b"))
            await tools.gate("gate").wait_reached()
            journal.hold()
            tools.gate("gate").open()
            await journal.wait_begun()
            await anyio.wait_all_tasks_blocked()
            called = len(tools.calls)
            tasks.start_soon(release_when_closing)
        assert len(tools.calls) == called
        assert called == (2 if effect == "pure" else 1)  # a pure tool does not wait for the disk
    async with opened() as engine:
        assert (await engine.wait(run.run_id)).status == "completed"
        assert len(tools.called("a")) == 1
        assert_whole(await followed(engine, run.run_id))


async def test_whoever_waits_for_an_unfinished_run_is_told_that_the_engine_closes(
    opened: Open, tools: ScriptedTools
) -> None:
    told: list[str] = []

    async def wait(engine: Engine, run_id: str) -> None:
        with pytest.raises(Closing):
            await engine.wait(run_id)
        told.append(run_id)

    async with anyio.create_task_group() as tasks, opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [WAIT])
        runs = [await engine.submit(graph_id) for _ in range(2)]
        for run in runs:
            tasks.start_soon(wait, engine, run.run_id)
        await tools.gate("gate").wait_reached()
        await anyio.wait_all_tasks_blocked()
        assert told == []
    assert sorted(told) == sorted(run.run_id for run in runs)


async def test_cancelling_the_scope_around_an_engine_ends_it_before_its_grace(
    opened: Open, tools: ScriptedTools
) -> None:
    before = anyio.current_time()
    with anyio.CancelScope() as scope:
        async with opened(close_grace_s=GRACE_S) as engine:
            run = await engine.submit(await stored(engine, [WAIT]))
            await tools.gate("gate").wait_reached()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert anyio.current_time() - before < GRACE_S / 3
    tools.gate("gate").open()
    async with opened() as engine:
        assert (await engine.wait(run.run_id)).status == "completed"


@pytest.mark.parametrize(
    "error",
    [LookupError("mine"), Closing(), ExceptionGroup("mine", [Closing()]), SystemExit(3), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
async def test_an_exception_of_the_caller_comes_out_as_itself(
    opened: Open, tools: ScriptedTools, error: BaseException
) -> None:
    async def fail(engine: Engine) -> None:
        run_ids.append((await engine.submit(await stored(engine, [WAIT]))).run_id)
        await tools.gate("gate").wait_reached()
        raise error

    run_ids: list[str] = []
    with pytest.raises(type(error)) as caught:
        async with opened() as engine:
            await fail(engine)
    assert caught.value is error
    tools.gate("gate").open()
    async with opened() as engine:
        assert (await engine.wait(run_ids[0])).status == "completed"


# --- a journal that does not open; plain functions, for these calls block ---------------------------------------------


def damage(path: Path) -> None:
    path.write_bytes(b"this is no database " * 500)


def outdate(path: Path) -> None:
    """Make the file one of a newer version than this."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(("spoil", "error"), [(damage, JournalDamaged), (outdate, JournalNewer)])
def test_a_journal_that_did_not_open_is_not_in_use(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[EngineError]
) -> None:
    path = tmp_path / "work.db"
    spoil(path)
    refused = [SqliteJournal(path) for _ in range(3)]  # none is closed or forgotten meanwhile
    for journal in refused:
        with pytest.raises(error):
            journal.open()
    path.unlink()
    for journal in (*refused, SqliteJournal(path)):
        with closing(journal):
            assert journal.open() > 0
