"""The pool of a node: workers are used again, bounded, and never lost, whatever a call does."""

import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from runtime.actors.calls import NodeCall, Outcome
from runtime.actors.node_workers import NodeWorkers, Resting
from runtime.actors.processes import ToolProcesses, backend_name
from runtime.actors.running import ToolRunner
from runtime.actors.tool_threads import ToolThreads
from runtime.run.messages import Failed, Stopped, Succeeded
from runtime.run.records import Failure
from runtime.testing import Gate, ScriptedTools
from tools.contract import Tool, ToolContext, tool


class Silent:
    """A log that nobody reads."""

    def debug(self, message: str, **fields: Any) -> None: ...
    def info(self, message: str, **fields: Any) -> None: ...
    def warning(self, message: str, **fields: Any) -> None: ...
    def error(self, message: str, **fields: Any) -> None: ...


class Pool:
    """A pool of two workers at most, and the calls that it was sent."""

    def __init__(self, tasks: anyio.abc.TaskGroup, tools: ScriptedTools, resting: Resting) -> None:
        self.blocking: set[str] = set()
        self.runner = ToolRunner(ToolThreads(2), ToolProcesses(1, 256), self.blocking)
        self.workers = NodeWorkers(tasks, self.runner, resting, max_workers=2)
        self.ended: dict[int, Outcome] = {}
        self.milliseconds: list[float] = []
        self.tasks = tasks
        self.tools = tools
        self._changed = anyio.Event()
        self._sent = 0

    def send(self, tool: str = "pure", **config: Any) -> NodeCall:
        found = self.tools.find(tool)
        assert found is not None
        return self.send_to(found, config)

    def send_to(self, tool: Tool, config: Mapping[str, Any]) -> NodeCall:
        number, self._sent = self._sent, self._sent + 1
        context = ToolContext("run-1", f"call {number}", 1, 1, "key", Silent())
        call = NodeCall(number, 1, 1, tool, tool.arguments(config), context, {}, self._report)
        self.workers.send(call)
        return call

    def _report(self, call: NodeCall, outcome: Outcome, duration_ms: float) -> None:
        assert call.node not in self.ended
        self.ended[call.node] = outcome
        self.milliseconds.append(duration_ms)
        self._changed.set()

    async def wait_ended(self, count: int) -> None:
        while len(self.ended) < count:
            self._changed = anyio.Event()
            await self._changed.wait()


@pytest.fixture
async def pool(tools: ScriptedTools) -> AsyncIterator[Pool]:
    async with anyio.create_task_group() as tasks:
        yield Pool(tasks, tools, Resting(limit=8))
        tasks.cancel_scope.cancel()


@pytest.fixture
def gate(tools: ScriptedTools) -> Gate:
    return tools.gate("gate")


def code(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed)
    return outcome.error.code


async def test_a_call_is_reported_once_with_its_outcome_and_its_time(pool: Pool) -> None:
    pool.send(update={"x": 1})
    await pool.wait_ended(1)
    assert pool.ended == {0: Succeeded({"x": 1})}
    assert pool.milliseconds[0] >= 0


async def test_an_idle_worker_is_used_again(pool: Pool) -> None:
    for number in range(1, 20):
        pool.send()
        await pool.wait_ended(number)
        await anyio.wait_all_tasks_blocked()
    assert pool.workers._workers == 1


async def test_the_idle_worker_that_waits_longest_ends_when_there_are_too_many(tools: ScriptedTools) -> None:
    resting = Resting(limit=1)
    async with anyio.create_task_group() as tasks:
        first, second = Pool(tasks, tools, resting), Pool(tasks, tools, resting)
        for pool in (first, second):
            pool.send()
            await pool.wait_ended(1)
            await anyio.wait_all_tasks_blocked()
            assert len(resting) == 1
        second.send()  # finds its worker again
        assert len(resting) == 0
        first.send()  # has to start another one
        await first.wait_ended(2)
        await second.wait_ended(2)
        await anyio.wait_all_tasks_blocked()
        assert len(resting) == 1
        first.workers.close()
        second.workers.close()
        assert len(resting) == 0  # so that the task group has nobody to wait for


async def test_calls_beyond_the_cap_queue_and_are_served_in_order(pool: Pool, gate: Gate, tools: ScriptedTools) -> None:
    for _ in range(5):
        pool.send(do="wait")
    await gate.wait_reached(2)
    await anyio.wait_all_tasks_blocked()
    assert gate.reached == 2
    gate.open()
    await pool.wait_ended(5)
    assert pool.workers._workers == 2
    assert [call.node for call in tools.calls[2:]] == ["call 2", "call 3", "call 4"]


async def test_cancelling_a_call_leaves_its_worker_usable(pool: Pool, gate: Gate) -> None:
    for number in range(3):
        call = pool.send(do="wait")
        await gate.wait_reached(number + 1)
        call.cancel(Stopped())
        await pool.wait_ended(number + 1)
    gate.open()
    pool.send(do="wait", update={"x": 1})
    await pool.wait_ended(4)
    assert pool.ended == {0: Stopped(), 1: Stopped(), 2: Stopped(), 3: Succeeded({"x": 1})}
    assert pool.workers._workers == 1


async def test_cancelling_one_call_leaves_the_others(pool: Pool, gate: Gate) -> None:
    first, _ = pool.send(do="wait"), pool.send(do="wait")
    await gate.wait_reached(2)
    first.cancel(Stopped())
    await pool.wait_ended(1)
    gate.open()
    await pool.wait_ended(2)
    assert pool.ended == {0: Stopped(), 1: Succeeded({})}


async def test_the_first_reason_to_cancel_is_the_one_reported(pool: Pool, gate: Gate) -> None:
    call = pool.send(do="wait")
    await gate.wait_reached()
    timeout = Failed(Failure("TIMEOUT", "late"))
    call.cancel(timeout)
    call.cancel(Stopped())
    await pool.wait_ended(1)
    assert pool.ended == {0: timeout}


async def test_a_call_cancelled_before_it_began_is_not_made(pool: Pool, tools: ScriptedTools) -> None:
    pool.send().cancel(Stopped())
    await pool.wait_ended(1)
    assert pool.ended == {0: Stopped()}
    assert tools.calls == []


async def test_a_call_that_returns_in_spite_of_its_cancellation_is_reported_as_cancelled(
    pool: Pool, gate: Gate
) -> None:
    call = pool.send(do="ignore_cancel", update={"x": 1})
    await gate.wait_reached()
    call.cancel(Stopped())
    await anyio.wait_all_tasks_blocked()
    assert pool.ended == {}
    gate.open()
    await pool.wait_ended(1)
    pool.send()
    await pool.wait_ended(2)
    assert pool.ended == {0: Stopped(), 1: Succeeded({})}


async def test_a_call_that_fails_while_it_is_cancelled_is_reported_as_cancelled(pool: Pool) -> None:
    call = pool.send(do="fail_when_cancelled")
    await anyio.wait_all_tasks_blocked()
    call.cancel(Stopped())
    await pool.wait_ended(1)
    assert pool.ended == {0: Stopped()}


async def test_an_abandoned_call_frees_its_place_and_its_late_result_is_rejected_and_counted(
    pool: Pool, gate: Gate, tools: ScriptedTools
) -> None:
    stuck = [pool.send(do="ignore_cancel") for _ in range(2)]
    await gate.wait_reached(2)
    pool.send(update={"x": 1})
    for call in stuck:
        call.cancel(Stopped())
    await anyio.wait_all_tasks_blocked()
    assert pool.ended == {}
    pool.workers.abandon(stuck[0])
    await pool.wait_ended(1)
    assert pool.ended == {2: Succeeded({"x": 1})}
    assert pool.workers.rejected == 0
    gate.open()
    await pool.wait_ended(2)
    await anyio.wait_all_tasks_blocked()
    assert pool.workers.rejected == 1
    assert set(pool.ended) == {1, 2}


async def test_a_call_that_is_withdrawn_from_the_queue_is_never_made(
    pool: Pool, gate: Gate, tools: ScriptedTools
) -> None:
    for _ in range(2):
        pool.send(do="wait")
    queued = pool.send()
    await gate.wait_reached(2)
    assert pool.workers.withdraw(queued)
    gate.open()
    await pool.wait_ended(2)
    await anyio.wait_all_tasks_blocked()
    assert set(pool.ended) == {0, 1}
    assert len(tools.calls) == 2
    assert pool.workers.rejected == 0


@pytest.mark.parametrize(
    "error", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "ExceptionGroup", "StopIteration"]
)
@pytest.mark.parametrize("tool", ["pure", "threaded"])
async def test_whatever_a_tool_raises_fails_one_attempt_and_the_worker_goes_on(
    pool: Pool, tool: str, error: str
) -> None:
    pool.send(tool, do="raise", error=error)
    await pool.wait_ended(1)
    assert code(pool.ended[0]) == "TOOL_EXCEPTION"
    await anyio.wait_all_tasks_blocked()
    pool.send(update={"x": 1})
    await pool.wait_ended(2)
    assert pool.ended[1] == Succeeded({"x": 1})
    assert pool.workers._workers == 1


async def test_a_cancellation_that_nobody_asked_for_fails_one_attempt(pool: Pool) -> None:
    pool.send(do="raise", error="cancellation")
    await pool.wait_ended(1)
    assert code(pool.ended[0]) == "SPURIOUS_CANCEL"
    pool.send()
    await pool.wait_ended(2)
    assert pool.ended[1] == Succeeded({})


async def test_a_call_in_a_thread_is_left_alone_when_it_is_cancelled(pool: Pool, tools: ScriptedTools) -> None:
    gate = tools.thread_gate("gate")
    try:
        call = pool.send("threaded", do="wait")
        while not tools.calls:  # noqa: ASYNC110 - the thread has no event to wait for
            await anyio.sleep(0.001)
        call.cancel(Stopped())
        await pool.wait_ended(1)
        assert pool.ended == {0: Stopped(abandoned=True)}
    finally:
        gate.open()


async def test_closing_ends_the_idle_workers(pool: Pool, gate: Gate) -> None:
    pool.send(do="wait")
    pool.send(do="wait")
    await gate.wait_reached(2)
    gate.open()
    await pool.wait_ended(2)
    await anyio.wait_all_tasks_blocked()
    pool.workers.close()
    await anyio.wait_all_tasks_blocked()
    assert pool.workers._workers == 0
    pool.send()
    await pool.wait_ended(3)


def thread_of(outcome: Outcome) -> int:
    assert isinstance(outcome, Succeeded)
    number = outcome.update["thread"]
    assert isinstance(number, int)
    return number


async def test_an_async_tool_that_blocks_runs_in_a_thread_with_an_event_loop_of_its_own(
    pool: Pool, anyio_backend_name: str
) -> None:
    @tool
    async def blocks(state: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        return {"thread": threading.get_ident(), "backend": backend_name()}

    pool.send_to(blocks, {})
    await pool.wait_ended(1)
    assert thread_of(pool.ended[0]) == threading.get_ident()
    pool.blocking.add("blocks@1")
    pool.send_to(blocks, {})
    await pool.wait_ended(2)
    ended = pool.ended[1]
    assert thread_of(ended) != threading.get_ident()
    assert isinstance(ended, Succeeded)
    assert ended.update["backend"] == anyio_backend_name


async def test_a_tool_in_a_loop_of_its_own_is_told_of_its_cancellation_and_left_alone(pool: Pool) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    @tool
    async def blocks(state: dict[str, Any]) -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    pool.blocking.add("blocks@1")
    call = pool.send_to(blocks, {})
    await to_thread.run_sync(begun.wait, 10)
    call.cancel(Stopped())
    await pool.wait_ended(1)
    assert pool.ended == {0: Stopped(abandoned=True)}
    assert await to_thread.run_sync(cancelled.wait, 10)


async def test_a_stray_cancellation_in_a_loop_of_its_own_has_the_same_code(pool: Pool) -> None:
    pool.blocking.add("pure@1")
    pool.send(do="raise", error="cancellation")
    await pool.wait_ended(1)
    assert code(pool.ended[0]) == "SPURIOUS_CANCEL"
