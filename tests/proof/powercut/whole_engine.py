"""Works a whole engine until the power fails: clients submit runs, watch them and wait for them, all at once.

After a cut an engine on what is left has to go on with every run it accepted, and has to have every record that was shown.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import anyio

from runtime import Engine, Settings, open_engine
from runtime.errors import UnknownGraph, UnknownRun
from runtime.journal import SqliteJournal
from runtime.journal.sqlite import watermark
from runtime.testing import ScriptedTools, scripted
from tests.proof.powercut.disk import SimulatedDisk
from tests.proof.powercut.journals import Bug, EagerJournal
from tests.proof.powercut.system_calls import files_on
from tests.proof.powercut.vfs import sqlite_on
from tests.proof.powercut.world import Found, read_world
from tests.support.graphs import graph, node

CLIENTS: Final = 4
_TIME_LIMIT_S: Final = 30.0  # for a cut to come, or for all runs to end after it; both take milliseconds

_GRAPH: Final = graph(
    [node(name, **scripted("count", key=name)) for name in ("a", "b", "c", "d")], "a > b", "a > c", "b > d", "c > d"
)


class EngineWork:
    """One engine's journal, which is cut off once or several times, and what its clients were told."""

    kind = "engine"

    def __init__(self, chance: random.Random, bug: Bug | None) -> None:
        self._chance = chance
        self._bug = bug
        self._graphs: set[str] = set()
        self._asked = 0
        self._accepted: dict[str, tuple[str, dict[str, Any]]] = {}
        self._ended: dict[str, bytes] = {}
        self._shown: dict[str, dict[int, bytes]] = {}

    def begin_with(self, path: Path) -> None:
        """Never asked: stories of engines begin with nothing."""
        raise NotImplementedError

    def until_cut(self, disk: SimulatedDisk, path: Path) -> None:
        """Serve clients until the power fails."""
        journal = EagerJournal(path, checkpoint_pages=self._chance.choice([1, 4, 16, 64]), bug=self._bug)
        journal.blocks = self._chance.random() < 0.5  # with threads as always; or without, where a seed says it all
        with ExitStack() as stack:
            stack.enter_context(sqlite_on(disk))
            stack.enter_context(files_on(disk, path.parent))
            stack.enter_context(patch.object(watermark, "FLUSH_S", self._chance.choice([0.0, 1.0])))
            try:
                anyio.run(self._serve, disk, journal, backend=self._chance.choice(["asyncio", "trio"]))
            except Exception:
                if disk.is_on:
                    raise
            finally:
                journal.close_without_power()

    def check(self, path: Path) -> Found:
        """Let an engine go on, and compare what it has with what clients were told."""
        found = Found(acknowledged=len(self._accepted) + sum(map(len, self._shown.values())))
        try:
            anyio.run(self._go_on, path, found)
            world, _ = read_world(path, graph_ids=self._graphs)
        except Exception as error:  # whatever a damaged file leads to
            found.faults.append(("damaged", f"{type(error).__name__}: {error}"))
        else:
            if unfinished := [row.run_id for row in world.rows.values() if row.completed_at is None]:
                found.faults.append(("stuck", f"runs have not ended: {unfinished}"))
        return found

    # --- before the cut -----------------------------------------------------------------------------------------------

    async def _serve(self, disk: SimulatedDisk, journal: SqliteJournal) -> None:
        with anyio.fail_after(_TIME_LIMIT_S):
            async with _engine_on(journal) as engine, anyio.create_task_group() as clients:
                graph_id = (await engine.create_graph(_GRAPH)).graph_id
                if disk.is_on:
                    self._graphs.add(graph_id)
                for _ in range(CLIENTS):
                    clients.start_soon(self._be_client, disk, engine, graph_id)

    async def _be_client(self, disk: SimulatedDisk, engine: Engine, graph_id: str) -> None:
        while True:
            state = {"number": self._chance.randrange(1_000), "text": "x" * self._chance.randrange(2_000)}
            self._asked += 1
            key = f"key-{self._asked}"
            run_id = (await engine.submit(graph_id, state, idempotency_key=key)).run_id
            if not disk.is_on:
                return
            self._accepted[run_id] = key, state
            deed: Callable[..., Awaitable[None]] = self._chance.choice([self._watch, self._await_end, _forget])
            await deed(disk, engine, run_id)

    async def _watch(self, disk: SimulatedDisk, engine: Engine, run_id: str) -> None:
        shown = self._shown.setdefault(run_id, {})
        async for batch in engine.subscribe_batches(run_id):
            if disk.is_on:
                shown.update((record.seq, record.encoded) for record in batch)

    async def _await_end(self, disk: SimulatedDisk, engine: Engine, run_id: str) -> None:
        view = await engine.wait(run_id)
        if disk.is_on:
            self._ended[run_id] = view.state_json

    # --- after it -----------------------------------------------------------------------------------------------------

    async def _go_on(self, path: Path, found: Found) -> None:
        with anyio.fail_after(_TIME_LIMIT_S):
            async with _engine_on(SqliteJournal(path)) as engine:
                for graph_id in self._graphs:
                    try:
                        await engine.graph(graph_id)
                    except UnknownGraph:
                        found.faults.append(("lost", f"graph {graph_id}"))
                for run_id, (key, state) in self._accepted.items():
                    try:
                        await self._check_run(engine, run_id, key, state, found)
                    except UnknownRun:
                        found.faults.append(("lost", f"run {run_id} was accepted and is not there"))
                for listed in (await engine.runs(limit=200)).items:  # also those that nobody was told of
                    await engine.wait(listed.run_id)

    async def _check_run(self, engine: Engine, run_id: str, key: str, state: dict[str, Any], found: Found) -> None:
        view = await engine.wait(run_id)
        expected = {**state, "a": 1, "b": 1, "c": 1, "d": 1}
        if view.status != "completed" or view.state != expected:
            found.faults.append(("altered", f"run {run_id} {view.status} with {view.state_json!r}"))
        if view.state_json != self._ended.get(run_id, view.state_json):
            found.faults.append(("altered", f"run {run_id} ended a second time, with {view.state_json!r}"))
        again = await engine.submit(view.graph_id, state, idempotency_key=key)
        if again.run_id != run_id or not again.is_replay:
            found.faults.append(("lost", f"the key of run {run_id}: submitted again, it became {again.run_id}"))
        log = {record.seq: record.encoded for record in await engine.log(run_id)}
        for seq, encoded in self._shown.get(run_id, {}).items():
            if log.get(seq) != encoded:
                what = "altered" if seq in log else "lost"
                found.faults.append(
                    (what, f"record {seq} of run {run_id} was shown as {encoded!r}, is {log.get(seq)!r}")
                )


def _engine_on(journal: SqliteJournal) -> Any:
    settings = Settings(log_format="none", close_grace_s=0.05)
    return open_engine(settings, ScriptedTools(), journal=journal, chance=random.Random(1))


async def _forget(_: SimulatedDisk, __: Engine, ___: str) -> None:
    """Submit the next run at once."""
