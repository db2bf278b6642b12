"""The threads of plain tools: never more than there may be, whoever left them alone."""

import threading
from collections.abc import Iterator

import anyio
import pytest

from runtime.actors.tool_threads import ToolThreads


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def until_none_is_abandoned(threads: ToolThreads) -> None:
    while threads.abandoned:  # only the thread knows when it ends
        await anyio.lowlevel.checkpoint()


async def leave(threads: ToolThreads, release: threading.Event) -> None:
    """Have a function wait in a thread, and leave it alone there."""
    began = threading.Event()

    def wait() -> None:
        began.set()
        release.wait(20)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.run, wait)
        while not began.is_set():  # noqa: ASYNC110
            await anyio.sleep(0.002)
        tasks.cancel_scope.cancel()


async def test_a_function_runs_in_another_thread_and_its_result_or_error_comes_back() -> None:
    threads = ToolThreads(1)
    assert await threads.run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    assert await threads.run(lambda: 3) == 3
    assert threads.abandoned == 0


async def test_no_more_functions_run_at_once_than_there_are_threads() -> None:
    threads, lock = ToolThreads(2), threading.Lock()
    running = most = 0
    both = threading.Barrier(2, timeout=20)

    def count() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()
        with lock:
            running -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(threads.run, count)
    assert most == 2


async def test_a_thread_that_is_left_alone_counts_until_its_function_returns(release: threading.Event) -> None:
    threads = ToolThreads(1)
    await leave(threads, release)
    assert threads.abandoned == 1
    with anyio.move_on_after(0.05) as patience:
        await threads.run(lambda: pytest.fail("it must not be called"))
    assert patience.cancelled_caught
    assert threads.abandoned == 1
    release.set()
    assert await threads.run(lambda: "next") == "next"
    await until_none_is_abandoned(threads)


async def test_a_call_that_is_cancelled_before_its_thread_began_leaves_its_place() -> None:
    threads = ToolThreads(1)
    for _ in range(3):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await threads.run(lambda: None)
    assert threads.abandoned == 0
    assert await threads.run(lambda: "next") == "next"


async def test_places_are_neither_lost_nor_made_when_cancellation_meets_the_end() -> None:
    threads = ToolThreads(2)
    for number in range(200):
        with anyio.move_on_after(number % 5 * 0.0001):
            await threads.run(lambda: None)
    await until_none_is_abandoned(threads)
    both = threading.Barrier(2, timeout=20)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.run, both.wait)
        tasks.start_soon(threads.run, both.wait)
    assert threads._places.borrowed_tokens == 0
