"""Waits, signals and approvals through the engine: on virtual time, across restarts, and when many come at once."""

from typing import Any

import anyio
import pytest

from runtime import Engine
from runtime.clock import LoopClock
from runtime.errors import AlreadyAnswered, InvalidInput, RunFinished, UnknownApproval, UnknownRun
from runtime.testing import ScriptedTools, scripted
from tests.conftest import START, Open
from tests.integration.flow import assert_whole, events, followed, named, of, stored, until
from tests.support.graphs import Source, graph, node

PROMPT_S = 10


def wait(name: str = "w", **keys: Any) -> Source:
    return node(name, tool=None, type="wait", wait=keys)


def approval(name: str = "q", **keys: Any) -> Source:
    return node(name, tool=None, type="approval", approval={"prompt": "ok?", **keys})


def inside(name: str, inner: Source, **keys: Any) -> Source:
    return node(name, tool=None, type="graph", graph=inner, **keys)


async def waiting(engine: Engine, run_id: str, event: str = "step_waiting") -> None:
    with anyio.fail_after(PROMPT_S):
        await until(engine, run_id, event)


# --- time -------------------------------------------------------------------------------------------------------------


async def test_a_wait_takes_exactly_its_time(opened_virtual: Open, virtual: LoopClock) -> None:
    async with opened_virtual() as engine:
        run = await engine.submit(await stored(engine, [wait(for_s=3_600)]))
        assert (await engine.wait(run.run_id)).status == "completed"
        assert (virtual.now() - START).total_seconds() == pytest.approx(3_600, abs=0.01)


@pytest.mark.parametrize("away_s", [10, 5_000])
async def test_a_wait_counts_while_the_engine_is_away(opened_virtual: Open, virtual: LoopClock, away_s: float) -> None:
    inner = graph([wait(for_s=3_600)])
    for source in (wait(for_s=3_600), inside("w", inner)):
        begun = virtual.now()
        async with opened_virtual() as engine:
            run = await engine.submit(await stored(engine, [source]))
            await until(engine, run.run_id, "step_waiting")
        await anyio.sleep(away_s)
        async with opened_virtual() as engine:
            assert (await engine.wait(run.run_id)).status == "completed"
            took = (virtual.now() - begun).total_seconds()
            assert took == pytest.approx(max(3_600, away_s), abs=1)


@pytest.mark.parametrize("way", ["wait", "approval"])
async def test_time_outs_answer_for_those_who_do_not(opened_virtual: Open, way: str) -> None:
    source = (
        wait(signal="go", timeout_s=60, timeout_data="late", into="got")
        if way == "wait"
        else approval(timeout_s=60, timeout_answer="late", into="got")
    )
    async with opened_virtual() as engine:
        run = await engine.submit(await stored(engine, [source]))
        await until(engine, run.run_id, "step_waiting" if way == "wait" else "approval_requested")
        assert (await engine.state(run.run_id)).status == "waiting"
    async with opened_virtual() as engine:
        assert (await engine.wait(run.run_id)).state == {"got": "late"}


async def test_a_graph_inside_that_takes_too_long_fails_across_a_restart(
    opened_virtual: Open, virtual: LoopClock
) -> None:
    async with opened_virtual() as engine:
        run = await engine.submit(await stored(engine, [inside("g", graph([wait(signal="never")]), timeout_s=100)]))
        await until(engine, run.run_id, "step_waiting")
    async with opened_virtual() as engine:
        view = await engine.wait(run.run_id)
        assert (view.status, (view.error or "")[:7]) == ("failed", "TIMEOUT")
        assert (virtual.now() - START).total_seconds() == pytest.approx(100, abs=1)


async def test_the_deadline_of_a_run_counts_while_it_waits_and_while_it_is_paused(opened_virtual: Open) -> None:
    async with opened_virtual() as engine:
        graph_id = await stored(engine, [wait(signal="go")], limits={"timeout_s": 100})
        waits, paused = await engine.submit(graph_id), await engine.submit(graph_id)
        await engine.pause(paused.run_id)
        for run in (waits, paused):
            assert (await engine.wait(run.run_id)).status == "timed_out"


async def test_a_wait_that_was_over_during_a_pause_ends_at_the_resume(opened_virtual: Open, virtual: LoopClock) -> None:
    async with opened_virtual() as engine:
        run = await engine.submit(await stored(engine, [wait(for_s=10)]))
        await until(engine, run.run_id, "step_waiting")
        await engine.pause(run.run_id)
    await anyio.sleep(50)
    async with opened_virtual() as engine:
        assert (await engine.state(run.run_id)).status == "paused"
        await anyio.sleep(50)
        assert (await engine.resume(run.run_id)).status in ("running", "completed", "waiting")
        assert (await engine.wait(run.run_id)).status == "completed"
        assert (virtual.now() - START).total_seconds() == pytest.approx(100, abs=1)


async def test_a_wait_that_timed_out_waits_its_whole_time_after_a_retry(
    opened_virtual: Open, virtual: LoopClock
) -> None:
    async with opened_virtual() as engine:
        run = await engine.submit(await stored(engine, [wait(signal="go", timeout_s=10)]))
        assert (await engine.wait(run.run_id)).status == "failed"
        await anyio.sleep(1_000)
        await engine.retry(run.run_id)
        asked = virtual.monotonic()
        assert (await engine.wait(run.run_id)).status == "failed"
        assert virtual.monotonic() - asked == pytest.approx(10, abs=0.1)


# --- signals ----------------------------------------------------------------------------------------------------------


async def test_a_signal_reaches_a_wait_across_a_restart_and_only_once(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        nodes = [wait(signal="go", into="got"), named("a", scripted("wait"))]
        run = await engine.submit(await stored(engine, nodes, "w > a"))
        await waiting(engine, run.run_id)
    async with opened() as engine:
        first = await engine.signal(run.run_id, "go", {"n": 1}, signal_id="one")
        assert (first.signal_id, first.duplicate) == ("one", False)
        await tools.gate("gate").wait_reached()
    async with opened() as engine:
        again = await engine.signal(run.run_id, "go", {"n": 2}, signal_id="one")
        assert again.duplicate
        tools.gate("gate").open()
        with anyio.fail_after(PROMPT_S):
            view = await engine.wait(run.run_id)
        assert (view.status, view.state) == ("completed", {"got": {"n": 1}})
        assert_whole(await followed(engine, run.run_id))


async def test_a_signal_that_comes_before_its_wait_is_kept_across_a_restart(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        nodes = [named("a", scripted("wait")), wait(signal="go", into="got")]
        run = await engine.submit(await stored(engine, nodes, "a > w"))
        await tools.gate("gate").wait_reached()
        assert (await engine.signal(run.run_id, "go", 5)).signal_id
    tools.gate("gate").open()
    async with opened() as engine:
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(run.run_id)).state == {"got": 5}


async def test_signals_to_runs_that_are_none_or_have_ended_are_refused(opened: Open) -> None:
    async with opened() as engine:
        with pytest.raises(UnknownRun):
            await engine.signal("run-none", "go")
        run = await engine.run(await stored(engine, [named("a", scripted())]))
        with pytest.raises(RunFinished):
            await engine.signal(run.run_id, "go")


@pytest.mark.parametrize("data", [{1, 2}, float("nan"), {"a": object()}, 2**70])
async def test_data_that_is_no_json_is_refused(opened: Open, data: Any) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [wait(signal="go")]))
        with pytest.raises(InvalidInput):
            await engine.signal(run.run_id, "go", data)
        await engine.cancel(run.run_id)


async def test_a_thousand_runs_that_wait_hold_no_places_and_each_gets_its_signal(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    async with opened_virtual(max_active_runs=10, max_pending_runs=2_000) as engine:
        graph_id = await stored(engine, [wait(signal="go", into="got")])
        runs = [await engine.submit(graph_id) for _ in range(1_000)]
        for run in runs:
            await until(engine, run.run_id, "step_waiting")
        counts = await engine.statistics()
        assert (counts.active, counts.pending) == (0, 0)
        assert (await engine.run(await stored(engine, [named("a", scripted())]))).status == "completed"
        async with anyio.create_task_group() as tasks:
            for number, run in enumerate(runs):
                tasks.start_soon(engine.signal, run.run_id, "go", number)
        for number, run in enumerate(runs):
            assert (await engine.wait(run.run_id)).state == {"got": number}
        assert (await engine.statistics()).active == 0


async def test_many_runs_that_wait_are_all_taken_up_after_a_restart(opened: Open) -> None:
    async with opened(max_active_runs=3) as engine:
        graph_id = await stored(engine, [wait(signal="go", into="got")])
        runs = [await engine.submit(graph_id) for _ in range(20)]
        for run in runs:
            await waiting(engine, run.run_id)
    async with opened(max_active_runs=3) as engine:
        for number, run in enumerate(runs):
            await engine.signal(run.run_id, "go", number)
        with anyio.fail_after(PROMPT_S):
            assert [(await engine.wait(run.run_id)).state for run in runs] == [{"got": n} for n in range(20)]
        counts = await engine.statistics()
        assert (counts.active, counts.pending) == (0, 0)


# --- approvals --------------------------------------------------------------------------------------------------------


async def test_of_many_answers_at_once_exactly_one_wins(opened: Open) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [approval()]))
        await waiting(engine, run.run_id, "approval_requested")
        won: list[int] = []
        lost: list[int] = []

        async def give(number: int) -> None:
            try:
                await engine.answer(run.run_id, "q#1", number)
                won.append(number)
            except AlreadyAnswered:
                lost.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(give, number)
        assert (len(won), len(lost)) == (1, 19)
        assert (await engine.wait(run.run_id)).state == {"q": won[0]}


async def test_questions_are_open_across_a_restart_wherever_they_are(opened: Open) -> None:
    schema = {"type": "boolean"}
    inner = graph([approval(answer_schema=schema)])
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [inside("g", inner)]))
        await waiting(engine, run.run_id, "approval_requested")
        before = await engine.approvals(run.run_id)
    async with opened() as engine:
        [question] = await engine.approvals(run.run_id)
        assert (question,) == before
        assert (question.approval, question.path, question.answer_schema) == ("g#1/q#1", "g#1", schema)
        with pytest.raises(InvalidInput) as refused:
            await engine.answer(run.run_id, "g#1/q#1", "yes")
        assert refused.value.problems[0].pointer == "/answer"
        with pytest.raises(UnknownApproval):
            await engine.answer(run.run_id, "q#1", True)
        await engine.answer(run.run_id, "g#1/q#1", True, by="ada")
        with anyio.fail_after(PROMPT_S):
            assert (await engine.wait(run.run_id)).state == {"q": True}
        assert await engine.approvals(run.run_id) == ()
        assert (await of(engine, run.run_id, "approval_answered"))[0]["by"] == "ada"
        with pytest.raises(AlreadyAnswered):
            await engine.answer(run.run_id, "g#1/q#1", False)
        with pytest.raises((UnknownApproval, RunFinished)):
            await engine.answer(run.run_id, "other#1", False)


async def test_an_answer_to_a_run_that_waits_for_its_turn_after_a_restart_is_taken(
    opened: Open, tools: ScriptedTools
) -> None:
    async with opened(max_active_runs=2) as engine:
        busy = await engine.submit(await stored(engine, [named("a", scripted("wait", tool="idempotent"))]))
        await tools.gate("gate").wait_reached()
        run = await engine.submit(await stored(engine, [approval()]))
        await waiting(engine, run.run_id, "approval_requested")
    async with opened(max_active_runs=1) as engine:
        with anyio.fail_after(PROMPT_S):
            await engine.answer(run.run_id, "q#1", 1)
            with pytest.raises(AlreadyAnswered):
                await engine.answer(run.run_id, "q#1", 2)
            tools.gate("gate").open()
            assert (await engine.wait(run.run_id)).state == {"q": 1}
        assert (await engine.wait(busy.run_id)).status == "completed"
        assert (await engine.statistics()).active == 0


async def test_a_question_that_was_answered_has_one_record_of_it(opened: Open) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [approval()]))
        await waiting(engine, run.run_id, "approval_requested")
        await engine.answer(run.run_id, "q#1", None)
        await engine.wait(run.run_id)
        assert (await events(engine, run.run_id)).count("approval_answered") == 1
