"""The watchdog blames a tool only if it is sure: a loop that is busy with many calls is nobody's fault."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import structlog
from anyio import to_thread
from structlog.testing import CapturingLogger

from runtime.actors import watchdog as module
from runtime.actors.calls import NodeCall
from runtime.actors.watchdog import Watchdog, called_in
from runtime.testing import ScriptedTools

LIMIT_S = 4.0


class Time:
    """The two clocks that the watchdog reads, set by the test."""

    def __init__(self) -> None:
        self.wall = self.cpu = 100.0

    def monotonic(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.cpu


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def log() -> CapturingLogger:
    return CapturingLogger()


class Watched:
    """A watchdog of a loop that stands still, and what its thread finds on the stack."""

    def __init__(self, clock: Time, log: CapturingLogger, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: NodeCall | None = None
        self._clock = clock
        self._log = log
        self.dog = Watchdog(LIMIT_S, structlog.wrap_logger(log, processors=[]), set())
        self.dog._beat = clock.wall
        monkeypatch.setattr(module, "called_in", lambda frame: self.found)

    def look(self, after_s: float, cpu_s: float = 0.0) -> None:
        self._clock.wall += after_s
        self._clock.cpu += cpu_s
        self.dog.look()

    @property
    def told(self) -> list[str]:
        return [str(call.args[0] if call.args else call.kwargs["event"]) for call in self._log.calls]


@pytest.fixture
async def watched(clock: Time, log: CapturingLogger, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(clock, log, monkeypatch)
    watched.dog._thread = threading.get_ident()
    return watched


def call_of(tools: ScriptedTools) -> NodeCall:
    tool = tools.find("pure")
    assert tool is not None
    return NodeCall(0, 1, 1, tool, {}, None, {}, lambda *_: None, run_id="run-1", name="a")


async def test_a_call_that_is_seen_again_and_again_is_blamed_once(watched: Watched, tools: ScriptedTools) -> None:
    watched.found = call_of(tools)
    for _ in range(12):
        watched.look(1.0)
    assert watched.told == ["tool_blocks_loop"]
    assert watched.dog.blocking == {"pure@1"}


async def test_calls_that_come_and_go_are_not_blamed(watched: Watched, tools: ScriptedTools) -> None:
    for _ in range(12):
        watched.found = call_of(tools)
        watched.look(1.0)
    assert watched.told == ["loop_blocked"]
    assert watched.dog.blocking == set()


async def test_a_call_that_kept_even_the_thread_from_looking_is_blamed(watched: Watched, tools: ScriptedTools) -> None:
    watched.found = call_of(tools)
    watched.look(10.0, cpu_s=10.0)
    assert watched.told == ["tool_blocks_loop"]


async def test_a_process_that_was_stopped_as_a_whole_is_no_news(watched: Watched, tools: ScriptedTools) -> None:
    watched.found = call_of(tools)
    watched.look(60.0, cpu_s=0.001)
    assert watched.told == []


async def test_each_stall_is_told(watched: Watched, clock: Time) -> None:
    for _ in range(2):
        for _ in range(6):
            watched.look(1.0)
        watched.dog._beat = clock.wall
        watched.look(0.5)
    assert watched.told == ["loop_blocked"] * 2


async def test_a_loop_that_turns_is_not_told_of_and_its_lag_is_known() -> None:
    dog = Watchdog(0.04, structlog.wrap_logger(CapturingLogger(), processors=[]), set())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dog.beat)
        await anyio.wait_all_tasks_blocked()
        time.sleep(0.1)  # noqa: ASYNC251
        assert dog.lag_ms >= 80
        tasks.cancel_scope.cancel()


async def test_only_a_tool_at_work_is_found_on_a_stack(tools: ScriptedTools) -> None:
    def tool_at_work(call: NodeCall, work: Callable[[], Any]) -> Any:
        return work()

    def look() -> NodeCall | None:
        return called_in(sys._getframe())

    call = call_of(tools)
    assert tool_at_work(call, look) is call
    assert await to_thread.run_sync(look) is None
    assert tool_at_work(call, lambda: called_in(sys._getframe(1))) is None  # the engine's own work on the call
