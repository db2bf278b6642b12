"""Measures what ADR 0006 rests on: `PYTHONPATH=. python docs/adr/evidence/workers.py`.

Prints the price of one short call on asyncio and trio: in a task of its own, handed to an idle worker with a cancel scope for
each call, and handed to an idle worker that keeps one scope.
"""

# ruff: noqa: T201 - a measurement prints its table

import time

import anyio
from anyio.lowlevel import checkpoint

CALLS = 20_000


async def nothing() -> None:
    pass


async def task_per_call() -> None:
    async with anyio.create_task_group() as group:
        for _ in range(CALLS):
            group.start_soon(nothing)
            await checkpoint()


async def worker(*, scope_per_call: bool) -> None:
    given = [anyio.Event()]

    async def serve() -> None:
        with anyio.CancelScope():
            for _ in range(CALLS):
                await given[0].wait()
                given[0] = anyio.Event()
                if scope_per_call:
                    with anyio.CancelScope():
                        await nothing()
                else:
                    await nothing()

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await anyio.wait_all_tasks_blocked()
        for _ in range(CALLS):
            given[0].set()
            await checkpoint()
            while given[0].is_set():
                await checkpoint()


async def scope_per_call() -> None:
    await worker(scope_per_call=True)


async def one_scope() -> None:
    await worker(scope_per_call=False)


if __name__ == "__main__":
    for backend in ("asyncio", "trio"):
        for way in (task_per_call, scope_per_call, one_scope):
            best = 1.0
            for _ in range(5):
                started = time.perf_counter()
                anyio.run(way, backend=backend)
                best = min(best, (time.perf_counter() - started) / CALLS)
            print(f"{backend:8} {way.__name__:15} {best * 1e6:5.1f} µs per call, the switch between two tasks included")
