"""Engines that are opened and closed again and again while runs are submitted: nothing may be left over, nothing may hang.

`WORKFLOW_CYCLES=1000` makes it that many cycles; a watchdog ends a closing that takes twenty seconds.
"""

import gc
import os
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from runtime import Engine
from runtime.errors import Closing
from runtime.testing import ScriptedTools
from tests.conftest import Open, Store
from tests.integration.flow import stored
from tools.contract import tool

CYCLES: Final = int(os.environ.get("WORKFLOW_CYCLES", "25"))
WARM_UP: Final = 3
"""Cycles after which what is made once, such as the threads that an event loop keeps, is there."""

THREADS: Final = 8
"""By how many the threads may differ that an event loop keeps for a while; a leak would be one for each cycle."""

STUCK_S: Final = 20.0
SUBMITTERS: Final = 3


def file_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Tasks:
    """Counts the tasks of the event loop that is running."""

    def __init__(self, backend: str) -> None:
        self._count = _asyncio_tasks if backend == "asyncio" else _trio_tasks

    def __call__(self) -> int:
        return self._count()


def _asyncio_tasks() -> int:
    import asyncio

    return len(asyncio.all_tasks())


def _trio_tasks() -> int:
    import trio

    return trio.lowlevel.current_statistics().tasks_living


async def submit_until_it_closes(engine: Engine, graph_id: str, accepted: list[str]) -> None:
    while True:
        try:
            accepted.append((await engine.submit(graph_id)).run_id)
        except Closing:
            return
        await anyio.lowlevel.checkpoint()


async def one_cycle(opened: Open, accepted: list[str]) -> None:
    """Open an engine, submit runs from several tasks, and close it while they are at it and some of the runs work."""
    async with anyio.create_task_group() as tasks:
        async with opened() as engine:
            before = len(accepted)
            graph_id = await stored(engine, [{"name": "a", "tool": "touch"}, {"name": "b", "tool": "linger"}], "a > b")
            for _ in range(SUBMITTERS):
                tasks.start_soon(submit_until_it_closes, engine, graph_id, accepted)
            while len(accepted) < before + 2 * SUBMITTERS:
                await anyio.lowlevel.checkpoint()
            begun = time.monotonic()
        assert time.monotonic() - begun < STUCK_S


@pytest.mark.timeout(60 + 5 * CYCLES)
async def test_f54_engines_opened_and_closed_under_load_leave_nothing_behind(
    opened: Open, store: Store, tools: ScriptedTools, anyio_backend_name: str
) -> None:
    visits = count(1)

    @tool(effect="idempotent")
    def touch(state: dict[str, Any]) -> dict[str, Any]:
        return {"visit": next(visits)}

    @tool(effect="idempotent")
    async def linger(state: dict[str, Any]) -> None:
        await anyio.sleep(next(visits) % 5 / 500)

    tools.add(touch)
    tools.add(linger)
    tasks = Tasks(anyio_backend_name)
    accepted: list[str] = []

    def left_over() -> dict[str, int]:
        gc.collect()
        return {"file descriptors": file_descriptors(), "tasks": tasks()}

    for _ in range(WARM_UP):
        await one_cycle(opened, accepted)
    before, threads = left_over(), threading.active_count()
    for _ in range(CYCLES):
        await one_cycle(opened, accepted)
    assert left_over() == before
    assert threading.active_count() <= threads + THREADS

    async with opened(close_grace_s=5) as engine:
        for run_id in accepted:
            assert (await engine.wait(run_id)).status == "completed"
