"""What bad tools do to an engine: nothing, but to their own step.

They raise what no tool should, hang, swallow their cancellation, return what is no JSON, and reach for a state that is not
theirs. Tools that take the event loop, the memory or the log are in `test_tool_limits.py`.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import anyio
import pytest

from runtime import Engine
from runtime.clock import LoopClock
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import assert_whole, followed, named, of, stored
from tools import tool

ONCE: dict[str, Any] = {"retry": {"max_attempts": 1}}

RAISED = ["ValueError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "ExceptionGroup", "RecursionError"]

NO_JSON = {
    "object": "/a/0",
    "bytes": "/a/b",
    "set": "/a",
    "tuple": "/a",
    "nan": "/a/1",
    "infinity": "/a",
    "surrogate": "/a",
    "integer_key": "/a",
    "big_integer": "/a",
    "cycle": "/self/self",
    "deep": "/a/0/0",
    "list": "list",
    "text": "str",
}


@pytest.fixture
def thread_released(tools: ScriptedTools) -> Iterator[Callable[[], None]]:
    """Lets functions that hold their threads return; at the latest when the test ends."""
    gate = tools.thread_gate("gate")
    yield gate.open
    gate.open()


def seconds(earlier: dict[str, Any], later: dict[str, Any]) -> float:
    """Return how long after one record another one was made."""
    times = [datetime.fromisoformat(record["timestamp"]) for record in (earlier, later)]
    return (times[1] - times[0]).total_seconds()


async def until(engine: Engine, **counts: int) -> None:
    """Wait for what a thread does, which there is no event for."""
    while not counts.items() <= asdict(await engine.statistics()).items():  # noqa: ASYNC110
        await anyio.sleep(0.005)


# --- F26: raises --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["pure", "threaded"])
@pytest.mark.parametrize("error", RAISED)
async def test_f26_whatever_a_tool_raises_is_the_failure_of_its_step_by_name(
    opened: Open, tools: ScriptedTools, error: str, where: str
) -> None:
    async with opened() as engine:
        other = await engine.submit(await stored(engine, [named("a", scripted("wait", update={"x": 1}))]))
        await tools.gate("gate").wait_reached()
        run = await engine.run(
            await stored(engine, [named("bad", scripted("raise", tool=where, error=error, node=ONCE))])
        )
        [failed] = await of(engine, run.run_id, "step_failed")
        assert (run.status, failed["error"]["code"]) == ("failed", "TOOL_EXCEPTION")
        assert failed["error"]["message"].startswith(error)
        assert_whole(await followed(engine, run.run_id))
        tools.gate("gate").open()
        assert (await engine.wait(other.run_id)).state == {"x": 1}


async def test_f26_a_stray_cancellation_cancels_nothing_but_fails_its_step(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        other = await engine.submit(await stored(engine, [named("a", scripted("wait"))]))
        await tools.gate("gate").wait_reached()
        keys = scripted("raise", error="cancellation", node=ONCE)
        run = await engine.run(await stored(engine, [named("bad", keys)]))
        assert (run.status, (run.error or "")[:15]) == ("failed", "SPURIOUS_CANCEL")
        tools.gate("gate").open()
        assert (await engine.wait(other.run_id)).status == "completed"


async def test_f26_the_text_of_an_exception_is_kept_to_4_kib(opened: Open, tools: ScriptedTools) -> None:
    @tool(effect="pure")
    async def rant(state: dict[str, Any]) -> None:
        raise ValueError("x" * 1_000_000)

    tools.add(rant)
    async with opened() as engine:
        run = await engine.run(await stored(engine, [{"name": "a", "tool": "rant", **ONCE}]))
        [failed] = await of(engine, run.run_id, "step_failed")
        assert failed["error"]["message"].startswith("ValueError: xxx")
        assert len(failed["error"]["message"]) < 4_200


# --- F27: hangs ---------------------------------------------------------------------------------------------------------


async def test_f27_a_hanging_tool_times_out_within_a_second_and_is_tried_again_as_told(opened_virtual: Open) -> None:
    async with opened_virtual() as engine:
        retry = {"max_attempts": 3, "initial_s": 2, "factor": 1, "jitter": "none"}
        keys = scripted("hang", node={"timeout_s": 5, "retry": retry})
        run = await engine.run(await stored(engine, [named("a", keys)]))
        started = await of(engine, run.run_id, "step_started")
        ended = [*await of(engine, run.run_id, "step_retrying"), *await of(engine, run.run_id, "step_failed")]
        assert (run.status, len(started)) == ("failed", 3)
        assert [one["error"]["code"] for one in ended] == ["TIMEOUT"] * 3
        for one, other in zip(started, ended, strict=True):
            assert 5 <= seconds(one, other) < 6


# --- F28: does not end --------------------------------------------------------------------------------------------------


async def test_f28_a_tool_that_swallows_its_cancellation_holds_its_run_for_ten_seconds_at_most(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    async with opened_virtual() as engine:
        keys = scripted("ignore_cancel", update={"late": True}, node={"timeout_s": 5, **ONCE})
        began = virtual.monotonic()
        run = await engine.run(await stored(engine, [named("a", keys)]))
        assert virtual.monotonic() - began <= 15
        counts = await engine.statistics()
        assert (run.status, counts.abandoned_attempts, counts.abandoned_now) == ("failed", 1, 1)
        tools.gate("gate").open()
        await anyio.wait_all_tasks_blocked()
        counts = await engine.statistics()
        assert (counts.abandoned_attempts, counts.abandoned_now, counts.rejected_results) == (1, 0, 1)
        assert (await engine.state(run.run_id)).state == {}


async def test_f28_a_thread_that_never_returns_is_left_alone_and_its_late_result_rejected(
    opened: Open, thread_released: Callable[[], None]
) -> None:
    async with opened() as engine:
        keys = scripted("wait", tool="threaded", update={"late": True}, node={"timeout_s": 0.5, **ONCE})
        run = await engine.run(await stored(engine, [named("a", keys)]))
        [failed] = await of(engine, run.run_id, "step_failed")
        assert (failed["error"]["code"], failed["abandoned"]) == ("TIMEOUT", True)
        assert (await engine.statistics()).abandoned_now == 1
        thread_released()
        await until(engine, rejected_results=1, abandoned_now=0)
        assert (await engine.state(run.run_id)).state == {}


async def test_f28_too_many_abandoned_attempts_that_still_run_make_the_engine_unready(
    opened_virtual: Open, tools: ScriptedTools, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened_virtual(max_abandoned=2, log_format="json", log_level="error") as engine:
        keys = scripted("ignore_cancel", node={"timeout_s": 1, **ONCE})
        graph_id = await stored(engine, [named("a", keys)])
        for expected in ((), (), ("too_many_abandoned_attempts",), ("too_many_abandoned_attempts",)):
            assert (await engine.run(graph_id)).status == "failed"
            assert engine.readiness() == expected
        good = await stored(engine, [named("a", scripted("ok"))])
        assert (await engine.run(good)).status == "completed"  # not refused: only a restart helps, and that is not ours
        tools.gate("gate").open()
        await anyio.wait_all_tasks_blocked()
        assert engine.readiness() == ()
    assert capsys.readouterr().err.count('"too_many_abandoned_attempts"') == 1


async def test_f28_attempts_that_are_abandoned_count_although_their_graph_is_deleted(
    opened_virtual: Open, tools: ScriptedTools
) -> None:
    async with opened_virtual(max_abandoned=0) as engine:
        graph_id = await stored(engine, [named("a", scripted("ignore_cancel", node={"timeout_s": 1, **ONCE}))])
        await engine.run(graph_id)
        await engine.delete_graph(graph_id)
        assert engine.readiness() == ("too_many_abandoned_attempts",)
        tools.gate("gate").open()
        await anyio.wait_all_tasks_blocked()
        assert engine.readiness() == ()
        assert (await engine.statistics()).rejected_results == 1


async def test_f28_threads_that_never_return_do_not_become_more_than_there_may_be(
    opened: Open, tools: ScriptedTools, thread_released: Callable[[], None]
) -> None:
    async with opened(tool_threads=1) as engine:
        node = {"timeout_s": 0.5, **ONCE}
        held = await stored(engine, [named("a", scripted("wait", tool="threaded", node=node))])
        threads = threading.active_count()
        for number in range(4):
            run = await engine.run(held)
            [failed] = await of(engine, run.run_id, "step_failed")
            assert failed["error"]["code"] == "TIMEOUT"
            assert failed.get("abandoned", False) is (number == 0)  # the others were still in the queue
        assert len(tools.calls) == 1
        assert threading.active_count() <= threads + 2
        assert (await engine.statistics()).abandoned_now == 1
        queued = await engine.submit(await stored(engine, [named("b", scripted("ok", tool="threaded"))]))
        thread_released()
        assert (await engine.wait(queued.run_id)).status == "completed"


# --- F31: returns what is no JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["pure", "threaded"])
@pytest.mark.parametrize("output", NO_JSON)
async def test_f31_what_is_no_json_fails_the_step_and_names_the_place(opened: Open, output: str, where: str) -> None:
    async with opened() as engine:
        keys = scripted("return", tool=where, output=output, node={"retry": {"max_attempts": 3}})
        run = await engine.run(await stored(engine, [named("a", keys)]), {"a": "before"})
        [failed] = await of(engine, run.run_id, "step_failed")
        assert (failed["error"]["code"], failed["attempt"]) == ("INVALID_OUTPUT", 1)
        assert NO_JSON[output] in failed["error"]["message"]
        assert run.state == {"a": "before"}


# --- F34: reaches for the state -----------------------------------------------------------------------------------------


async def test_f34_what_a_tool_does_to_its_state_or_its_result_later_has_no_effect(
    opened: Open, tools: ScriptedTools
) -> None:
    kept: list[dict[str, Any]] = []

    @tool(effect="pure")
    async def scribble(state: dict[str, Any]) -> dict[str, Any]:
        state["list"].append("mine")
        state["own"] = state.pop("text")
        kept.append({"result": ["returned"]})
        return kept[-1]

    @tool(effect="pure")
    def scribble_more(state: dict[str, Any]) -> None:
        kept[-1]["result"].append("late")
        state["list"].clear()
        state["result"].clear()

    tools.add(scribble)
    tools.add(scribble_more)
    async with opened() as engine:
        nodes = [{"name": "a", "tool": "scribble"}, {"name": "b", "tool": "scribble_more"}]
        run = await engine.run(await stored(engine, nodes, "a > b"), {"list": [1], "text": "t"})
        assert run.state == {"list": [1], "text": "t", "result": ["returned"]}


async def test_f34_a_thread_that_a_tool_leaves_behind_does_not_hold_its_run_up(
    opened: Open, tools: ScriptedTools
) -> None:
    ended = threading.Event()

    @tool(effect="pure")
    async def litter(state: dict[str, Any]) -> dict[str, Any]:
        threading.Thread(target=ended.wait, daemon=True).start()
        return {"done": True}

    tools.add(litter)
    async with opened() as engine:
        run = await engine.run(await stored(engine, [{"name": "a", "tool": "litter"}]))
        assert run.state == {"done": True}
    ended.set()
