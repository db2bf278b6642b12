"""The engine as the model's counterpart: the same operations, the same words; it crashes and starts anew on demand."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, cast

import trio
import trio.testing

from runtime import Engine, Settings, open_engine
from runtime.clock import LoopClock
from runtime.errors import EngineError, JournalUnavailable
from runtime.journal import Entry, Journal
from runtime.testing import ScriptedTools, scripted
from tests.proof.model.model import WAIT_S
from tests.support.graphs import Source, edge

NOON: Final = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
PATIENCE: Final = 2_000
"""How often it is looked, each time a millisecond apart, whether the engine has come to rest."""

LAST: Final = {"name": "last", **scripted("ok", tool="idempotent", update={"done": True})}


def _graph(name: str, *waits: Source) -> Source:
    nodes = [*waits, LAST]
    edges = [edge(f"{one['name']} > {other['name']}") for one, other in pairwise(nodes)]
    return {"name": name, "nodes": nodes, "edges": edges, "entry_point": nodes[0]["name"]}


GRAPHS: Final = {
    "quick": _graph("quick"),
    "signals": _graph(
        "signals",
        {"name": "one", "type": "wait", "wait": {"signal": "go", "into": "first"}},
        {"name": "two", "type": "wait", "wait": {"signal": "go", "into": "second"}},
    ),
    "asks": _graph("asks", {"name": "ask", "type": "approval", "approval": {"prompt": "?", "into": "answer"}}),
    "timer": _graph("timer", {"name": "sleep", "type": "wait", "wait": {"for_s": WAIT_S}}),
}


class Mortal:
    """A journal that takes nothing more once its process is dead."""

    def __init__(self, inner: Journal) -> None:
        self.inner = inner
        self.is_dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def commit(self, entries: Sequence[Entry]) -> None:
        """Commit, unless the process is dead."""
        if self.is_dead:
            raise JournalUnavailable("The process is dead.")
        self.inner.commit(entries)


class RealEngine:
    """One engine after the other on the same journal, on a clock that stands still unless it is told to jump."""

    def __init__(self, tasks: trio.Nursery, make_journal: Callable[[], Journal], clock: trio.testing.MockClock) -> None:
        self._tasks = tasks
        self._make_journal = make_journal
        self._clock = clock
        self._wall = LoopClock(NOON)
        self._engine: Engine | None = None
        self._graphs: dict[str, str] = {}
        self.run_ids: list[str] = []
        self.logs: dict[str, list[bytes]] = {}

    async def start(self) -> None:
        """Open an engine."""
        self._stop, self._gone, self._scope = trio.Event(), trio.Event(), trio.CancelScope()
        self._journal = Mortal(self._make_journal())
        await self._tasks.start(self._be)
        for kind, source in GRAPHS.items():
            self._graphs[kind] = (await self._opened.create_graph(source)).graph_id

    @property
    def _opened(self) -> Engine:
        assert self._engine is not None
        return self._engine

    async def _be(self, task_status: trio.TaskStatus[None]) -> None:
        settings = Settings(log_format="none", close_grace_s=0, block_limit_s=None, max_memory_mb=0)
        try:
            with self._scope:
                async with open_engine(
                    settings,
                    ScriptedTools(),
                    journal=cast("Journal", self._journal),
                    clock=self._wall,
                    chance=random.Random(1),
                ) as self._engine:
                    task_status.started()
                    await self._stop.wait()
        except JournalUnavailable:
            assert self._journal.is_dead
        finally:
            self._gone.set()

    async def restart(self) -> None:
        """Close the engine in good order and open the next one."""
        self._stop.set()
        await self._gone.wait()
        await self.start()

    async def crash(self) -> None:
        """Let nothing more reach the journal from now on, and open the next engine."""
        self._journal.is_dead = True
        self._scope.cancel()
        await self._gone.wait()
        await self.start()

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._clock.jump(seconds)

    async def close(self) -> None:
        """Close the engine."""
        self._stop.set()
        await self._gone.wait()

    # --- requests -----------------------------------------------------------------------------------------------------

    async def submit(self, kind: str, key: str | None) -> tuple[str, int]:
        """Submit a run."""
        try:
            accepted = await self._opened.submit(self._graphs[kind], {}, idempotency_key=key)
        except EngineError as error:
            return error.code, -1
        if accepted.is_replay:
            return "again", self.run_ids.index(accepted.run_id)
        self.run_ids.append(accepted.run_id)
        return "ok", len(self.run_ids) - 1

    async def cancel(self, index: int) -> str:
        return await _word(self._opened.cancel(self.run_ids[index]))

    async def pause(self, index: int) -> str:
        return await _word(self._opened.pause(self.run_ids[index]))

    async def resume(self, index: int) -> str:
        return await _word(self._opened.resume(self.run_ids[index]))

    async def signal(self, index: int, signal_id: str, data: int) -> str:
        return await _word(self._opened.signal(self.run_ids[index], "go", data, signal_id=signal_id))

    async def answer(self, index: int, data: int) -> str:
        return await _word(self._opened.answer(self.run_ids[index], "ask#1", data))

    # --- looking ------------------------------------------------------------------------------------------------------

    async def settle(self, expected: list[str]) -> list[str]:
        """Wait until the runs have the expected statuses and nothing moves, or that takes too long; return what they are."""
        for _ in range(PATIENCE):
            await trio.testing.wait_all_tasks_blocked(0.0 if not self._journal.blocks else 0.001)
            found = [(await self._opened.summary(run_id)).status for run_id in self.run_ids]
            if found == expected:
                break
        return found

    async def state(self, index: int) -> dict[str, Any]:
        """Return the state of a run."""
        return (await self._opened.state(self.run_ids[index])).state

    async def listed(self) -> list[str]:
        """Return the ids of all runs, the oldest first."""
        return [run.run_id for run in reversed((await self._opened.runs(limit=200)).items)]

    async def check_logs(self) -> None:
        """Assert that every log begins with what it was when it was read before."""
        for run_id in self.run_ids:
            log = [record.encoded for record in await self._opened.log(run_id)]
            before = self.logs.get(run_id, [])
            assert log[: len(before)] == before, f"the log of {run_id} was changed"
            self.logs[run_id] = log


async def _word(request: Awaitable[Any]) -> str:
    try:
        answer = await request
    except EngineError as error:
        return error.code
    return "again" if getattr(answer, "duplicate", False) else "ok"


@asynccontextmanager
async def opened(make_journal: Callable[[], Journal], clock: trio.testing.MockClock) -> AsyncIterator[RealEngine]:
    """Open the first engine; close the last one."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(trio.open_nursery())
        engine = RealEngine(tasks, make_journal, clock)
        await engine.start()
        yield engine
        await engine.close()
