"""Submitting under an idempotency key: however often, and whatever happened in between, it is one run."""

import anyio
import pytest

from runtime import open_engine
from runtime.errors import IdempotencyMismatch, InvalidInput
from runtime.testing import GatedJournal, ScriptedTools, scripted
from tests.conftest import Open, Store, settings
from tests.integration.flow import named, stored


async def test_submitting_again_under_a_key_gives_the_same_run(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        first = await engine.submit(graph_id, {"n": 1, "m": 2}, idempotency_key="k")
        again = await engine.submit(graph_id, {"m": 2, "n": 1}, idempotency_key="k")
        assert (first.is_replay, again.is_replay) == (False, True)
        assert again.run_id == first.run_id
        tools.gate("gate").open()
        assert (await engine.run(graph_id, {"n": 1, "m": 2}, idempotency_key="k")).run_id == first.run_id
        assert len(tools.calls) == 1
        assert [run.run_id for run in (await engine.runs()).items] == [first.run_id]


async def test_a_key_is_known_after_the_end_of_its_run_and_after_a_restart(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("count"))])
        waits = await stored(engine, [named("a", scripted("wait"))])
        ended = await engine.run(graph_id, idempotency_key="ended")
        live = await engine.submit(waits, idempotency_key="live")
        await tools.gate("gate").wait_reached()
        assert (await engine.submit(graph_id, idempotency_key="ended")).run_id == ended.run_id
    async with opened() as engine:
        again = await engine.submit(graph_id, idempotency_key="ended")
        assert (again.run_id, again.status) == (ended.run_id, "completed")
        assert (await engine.submit(waits, idempotency_key="live")).run_id == live.run_id
        assert len((await engine.runs()).items) == 2


async def test_a_key_of_another_request_is_refused_and_changes_nothing(opened: Open) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("ok"))])
        other = await stored(engine, [named("b", scripted("ok"))])
        run = await engine.run(graph_id, {"n": 1}, idempotency_key="k")
        for wrong in ((graph_id, {"n": 2}), (other, {"n": 1}), (graph_id, None)):
            with pytest.raises(IdempotencyMismatch, match=run.run_id):
                await engine.submit(*wrong, idempotency_key="k")
        assert len((await engine.runs()).items) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "ä", "line\n"])
async def test_what_is_no_key_is_refused(opened: Open, key: str) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("ok"))])
        with pytest.raises(InvalidInput) as caught:
            await engine.submit(graph_id, idempotency_key=key)
        assert [problem.pointer for problem in caught.value.problems] == ["/idempotency_key"]
        assert (await engine.runs()).items == ()


async def test_a_submission_that_was_refused_leaves_its_key_free(opened: Open) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("ok"))], input_schema={"required": ["n"]})
        with pytest.raises(InvalidInput):
            await engine.submit(graph_id, {}, idempotency_key="k")
        assert not (await engine.submit(graph_id, {"n": 1}, idempotency_key="k")).is_replay


async def test_a_hundred_submissions_at_once_under_one_key_are_one_run(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("count", tool="undeclared"))])
        answers: list[tuple[str, bool]] = []

        async def submit() -> None:
            run = await engine.submit(graph_id, idempotency_key="k")
            answers.append((run.run_id, run.is_replay))

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(submit)
        assert len({run_id for run_id, _ in answers}) == 1
        assert [is_replay for _, is_replay in answers].count(False) == 1
        await engine.wait(answers[0][0])
        assert len(tools.calls) == 1


async def test_a_repetition_is_not_acknowledged_before_the_first_one_is_durable(
    sqlite: Store, tools: ScriptedTools
) -> None:
    journal = GatedJournal(sqlite.journal())
    async with open_engine(settings(), tools, journal=journal) as engine:
        graph_id = await stored(engine, [named("a", scripted("ok"))])
        answered: list[str] = []

        async def submit() -> None:
            answered.append((await engine.submit(graph_id, idempotency_key="k")).run_id)

        journal.hold()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(submit)
            await journal.wait_begun()
            tasks.start_soon(submit)
            await anyio.wait_all_tasks_blocked()
            assert answered == []
            journal.release()
        assert len(set(answered)) == 1


async def test_a_key_outlives_the_graph_of_its_run(opened: Open) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("ok"))])
        run = await engine.run(graph_id, idempotency_key="k")
        await engine.delete_graph(graph_id)
        assert (await engine.submit(graph_id, idempotency_key="k")).run_id == run.run_id
