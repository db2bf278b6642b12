"""The loop on virtual time: hours pass at once, in the right order, and nobody can hold it up."""

import threading
import time

import anyio
import pytest
from anyio import to_thread

from runtime.simulation.virtual_time import run_virtually


def never() -> bool:
    return False


def test_a_month_passes_at_once_and_exactly() -> None:
    async def main() -> float:
        await anyio.sleep(30 * 86_400)
        await anyio.sleep(0.25)
        return anyio.current_time()

    began = time.monotonic()
    assert run_virtually(main, never) == 30 * 86_400 + 0.25
    assert time.monotonic() - began < 5


def test_time_stands_still_while_there_is_work() -> None:
    async def main() -> float:
        for _ in range(1_000):
            await anyio.lowlevel.checkpoint()
        time.sleep(0.01)  # noqa: ASYNC251 - real time is not virtual time
        return anyio.current_time()

    assert run_virtually(main, never) == 0.0


def test_timers_fire_in_the_order_of_their_instants() -> None:
    seen: list[float] = []

    async def sleeper(seconds: float) -> None:
        await anyio.sleep(seconds)
        seen.append(seconds)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for seconds in (3.0, 1.000_001, 1.0, 2.0, 1_000_000.0):
                tasks.start_soon(sleeper, seconds)

    run_virtually(main, never)
    assert seen == [1.0, 1.000_001, 2.0, 3.0, 1_000_000.0]


def test_a_wait_for_a_thread_takes_no_virtual_time() -> None:
    async def main() -> float:
        await to_thread.run_sync(time.sleep, 0.15)
        return anyio.current_time()

    assert run_virtually(main, never) == 0.0


def test_what_main_raises_is_raised() -> None:
    async def main() -> None:
        await anyio.sleep(1)
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_virtually(main, never)


@pytest.mark.parametrize("blocked", [False, True], ids=["endless", "stuck"])
def test_it_is_cancelled_once_it_is_over(blocked: bool) -> None:
    over = threading.Event()
    cleaned: list[bool] = []

    async def main() -> int:
        try:
            while True:
                over.set()
                await (anyio.sleep_forever() if blocked else anyio.sleep(1))
        finally:
            cleaned.append(True)

    assert run_virtually(main, over.is_set) is None
    assert cleaned == [True]
