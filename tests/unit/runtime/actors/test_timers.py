"""Timers, on virtual time: they fire in order, at their time, once, and not when cancelled."""

from collections.abc import AsyncIterator

import anyio
import pytest

from runtime.actors.timers import Timers
from runtime.clock import LoopClock

pytestmark = pytest.mark.usefixtures("virtual")


@pytest.fixture
async def timers(virtual: LoopClock) -> AsyncIterator[Timers]:
    timers = Timers()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        yield timers
        tasks.cancel_scope.cancel()


async def test_timers_fire_in_order_of_their_time_and_exactly_then(timers: Timers) -> None:
    fired: list[tuple[str, float]] = []
    start = anyio.current_time()
    for name, delay in (("late", 3600.0), ("early", 0.5), ("middle", 30.0)):
        timers.schedule(start + delay, lambda name=name: fired.append((name, anyio.current_time() - start)))  # type: ignore[misc]
    await anyio.sleep(4000)
    assert fired == [("early", 0.5), ("middle", 30.0), ("late", 3600.0)]


async def test_timers_of_the_same_time_fire_in_the_order_of_scheduling(timers: Timers) -> None:
    fired: list[int] = []
    at = anyio.current_time() + 1
    for number in range(50):
        timers.schedule(at, lambda number=number: fired.append(number))  # type: ignore[misc]
    await anyio.sleep(2)
    assert fired == list(range(50))


async def test_a_time_that_has_passed_fires_at_once(timers: Timers) -> None:
    fired = anyio.Event()
    timers.schedule(anyio.current_time() - 10, fired.set)
    start = anyio.current_time()
    await fired.wait()
    assert anyio.current_time() == start


async def test_an_earlier_timer_scheduled_later_wakes_the_sleeper(timers: Timers) -> None:
    fired: list[str] = []
    start = anyio.current_time()
    timers.schedule(start + 100, lambda: fired.append("long"))
    await anyio.sleep(1)
    timers.schedule(start + 2, lambda: fired.append("short"))
    await anyio.sleep(5)
    assert fired == ["short"]


async def test_a_cancelled_timer_does_nothing(timers: Timers) -> None:
    fired: list[str] = []
    timer = timers.schedule(anyio.current_time() + 1, lambda: fired.append("no"))
    assert timer.is_pending
    timer.cancel()
    timer.cancel()
    assert not timer.is_pending
    await anyio.sleep(5)
    assert fired == []


async def test_cancelling_after_firing_does_nothing(timers: Timers) -> None:
    fired: list[str] = []
    timer = timers.schedule(anyio.current_time() + 1, lambda: fired.append("once"))
    await anyio.sleep(2)
    assert not timer.is_pending
    timer.cancel()
    await anyio.sleep(2)
    assert fired == ["once"]


async def test_a_timer_may_schedule_another_one(timers: Timers) -> None:
    fired: list[float] = []
    start = anyio.current_time()

    def again() -> None:
        fired.append(anyio.current_time() - start)
        if len(fired) < 3:
            timers.schedule(anyio.current_time() + 10, again)

    timers.schedule(start + 10, again)
    await anyio.sleep(100)
    assert fired == [10, 20, 30]


async def test_cancelled_timers_do_not_pile_up(timers: Timers) -> None:
    fired: list[int] = []
    at = anyio.current_time() + 1000
    kept = [timers.schedule(at, lambda number=number: fired.append(number)) for number in range(5)]  # type: ignore[misc]
    for _ in range(10_000):
        timers.schedule(at, lambda: fired.append(-1)).cancel()
    assert len(timers._heap) < 500
    assert all(timer.is_pending for timer in kept)
    await anyio.sleep(2000)
    assert fired == [0, 1, 2, 3, 4]
