"""Writes a golden journal: `python -m tests.golden.make FOLDER` makes `workflow.db` and `expected.json` in it.

It is run once for each schema of the journal, with the version that is about to be released, and its result is kept for ever. Time
is virtual and ids are counted, so that two journals differ only where the versions do, and in how long calls took.
"""

import itertools
import json
import random
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import anyio
import apsw
from trio.testing import MockClock

from runtime import Engine, open_engine
from runtime.actors import run_actor, tool_log
from runtime.clock import LoopClock
from runtime.run import machine
from runtime.run.messages import Message
from runtime.run.model import Run
from runtime.testing import ScriptedTools
from tests.golden.scenarios import ENDED, STORED, UNFINISHED, Scenario
from tests.golden.told import InlineJournal, Json, all_rows, copied, digest, ends, provide, quiet, told, until_status

START: Final = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
ACTIVE: Final = 12
"""Unfinished runs that hold a place; the last one finds none and stays pending."""


class Maker:
    """Makes the runs of one journal, in a few openings of an engine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = LoopClock(START)
        self.tools = ScriptedTools()
        self.names: dict[str, str] = {}

    @asynccontextmanager
    async def engine(self, **keys: Any) -> AsyncIterator[Engine]:
        chance = random.Random(1)
        journal = InlineJournal(self.path)
        async with open_engine(quiet(**keys), self.tools, clock=self.clock, journal=journal, chance=chance) as engine:
            yield engine

    async def submit(self, engine: Engine, name: str, scenario: Scenario) -> str:
        for inner in STORED.values():
            await engine.create_graph(inner)
        definition = await _with_ids(engine, {**scenario.graph, "name": name})
        graph_id = (await engine.create_graph(definition)).graph_id
        keys = {"idempotency_key": "key-1"} if scenario.command == "key" else {}
        run = await engine.submit(graph_id, scenario.state, **keys)
        self.names[run.run_id] = name
        return run.run_id

    async def make_ended(self, engine: Engine) -> None:
        for name, scenario in ENDED.items():
            if name == "missed":
                continue
            run_id = await self.submit(engine, name, scenario)
            if scenario.command == "cancel":
                await anyio.sleep(1)
                await engine.cancel(run_id)
            elif scenario.command == "pause and resume":
                await engine.pause(run_id)
                await engine.resume(run_id)
            elif scenario.command == "break":
                await self.tools.gate("poison").wait_reached()
                _break(run_id)
                self.tools.gate("poison").open()
            await provide(engine, run_id, scenario)
            await engine.wait(run_id)
            if scenario.command == "retry":
                await engine.retry(run_id)
                await engine.wait(run_id)
            elif scenario.command == "fork b":
                fork = await engine.fork(run_id, "b", state={"n": 40})
                self.names[fork.run_id] = f"{name}: the fork"
                await engine.wait(fork.run_id)

    async def make_unfinished(self, engine: Engine) -> None:
        for name, scenario in UNFINISHED.items():
            if name == "blocked":
                continue
            run_id = await self.submit(engine, name, scenario)
            await anyio.sleep(0.1)
            if scenario.command == "cancel":
                await engine.cancel(run_id)
            elif scenario.command == "pause":
                await engine.pause(run_id)
            elif scenario.command == "retry":
                await engine.wait(run_id)
                await engine.retry(run_id)
        await anyio.sleep(0.1)
        assert (await engine.state(run_id)).status == "pending"

    async def make(self, copy: Path) -> datetime:
        """Make all runs; return the time at which the files were copied, in the middle of the unfinished ones."""
        async with self.engine() as engine:
            await self.make_ended(engine)
            missed = await self.submit(engine, "missed", ENDED["missed"])
            await self.tools.gate("missed").wait_reached()
        self.tools.hide("idempotent")
        async with self.engine() as engine:
            await until_status(engine, missed, "waiting")
            self.tools.show("idempotent")
            await engine.resume(missed)
            self.tools.gate("missed").open()
            await engine.wait(missed)
            blocked = await self.submit(engine, "blocked", UNFINISHED["blocked"])
            await self.tools.gate("gate").wait_reached()
        self.tools.hide("undeclared")
        async with self.engine(max_active_runs=ACTIVE) as engine:
            await until_status(engine, blocked, "waiting")
            await self.make_unfinished(engine)
            _copy(self.path, copy)
            now = self.clock.now()
            self.tools.gate("gate").open()
        return now


async def _with_ids(engine: Engine, source: Any) -> Any:
    """Put ids in the place of the names of stored graphs."""
    if isinstance(source, Mapping):
        if set(source) == {"stored"}:
            return (await engine.create_graph(STORED[source["stored"]])).graph_id
        return {key: await _with_ids(engine, value) for key, value in source.items()}
    return [await _with_ids(engine, item) for item in source] if isinstance(source, list) else source


def _break(run_id: str) -> None:
    """Let every decision about a run fail from now on."""

    def decide(run: Run, message: Message, **keys: Any) -> Any:
        if run.run_id == run_id:
            raise RuntimeError("a fault of ours")
        return machine.decide(run, message, **keys)

    setattr(run_actor, "decide", decide)  # noqa: B010 - as a test would


def _copy(source: Path, target: Path) -> None:
    """Copy the files as a crash would leave them, and put the write-ahead log into the journal."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-wal", ".watermark"):
        if Path(f"{source}{suffix}").exists():
            shutil.copyfile(f"{source}{suffix}", f"{target}{suffix}")
    connection = apsw.Connection(str(target))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _count_ids() -> None:
    numbers = itertools.count(1)
    uuid.uuid4 = lambda: uuid.UUID(int=next(numbers))


def read(path: Path, names: Mapping[str, str]) -> dict[str, Json]:
    """Return what the journal tells about each run, by its id."""
    journal = InlineJournal(path)
    journal.open()
    try:
        return {row.run_id: {"name": names[row.run_id], **told(journal, row)} for row in all_rows(journal)}
    finally:
        journal.close()


async def make(folder: Path, scratch: Path) -> None:
    """Write the journal and what is expected of it into the folder."""
    maker = Maker(scratch / "made" / "workflow.db")
    golden = folder / "workflow.db"
    interrupted_at = await maker.make(golden)
    for name in ("read", "gone_on"):
        copied(folder, scratch / name)
    runs = read(scratch / "read" / "workflow.db", maker.names)
    unfinished = {run_id: UNFINISHED[run["name"]] for run_id, run in runs.items() if not run["row"]["final_state"]}
    clock = LoopClock(interrupted_at)
    for run_id, end in (await ends(scratch / "gone_on" / "workflow.db", clock, unfinished)).items():
        runs[run_id]["ends"] = end
    connection = apsw.Connection(str(scratch / "read" / "workflow.db"))
    [(schema,)] = connection.execute("PRAGMA user_version")
    connection.close()
    expected = {"schema": schema, "sha256": digest(folder), "interrupted_at": interrupted_at.isoformat(), "runs": runs}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    _count_ids()
    tool_log.BURST = 4  # type: ignore[misc]  # so that a few lines are too many
    with tempfile.TemporaryDirectory() as scratch:
        options = {"clock": MockClock(autojump_threshold=0)}
        anyio.run(make, Path(sys.argv[1]), Path(scratch), backend="trio", backend_options=options)
