"""The clients of the simulated world: they submit, watch, signal, answer, cancel, pause, and come again when it did not work."""

from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final

import trio

from runtime import Engine
from runtime.errors import (
    AlreadyAnswered,
    IdempotencyMismatch,
    RunFinished,
    TooManySignals,
    UnknownApproval,
)
from runtime.views import LogRecord
from tests.proof.simulation.programs import Program
from tests.proof.simulation.world import LATER, Ack, Lost, Violation, Watched, World
from tests.support.random_graphs import INITIAL
from tests.support.replies import SILENCE, answer_of, data_of

ENDS: Final = ("run_completed", "run_failed", "run_cancelled", "run_timed_out", "run_dead_lettered")
LATE: Final = (RunFinished, AlreadyAnswered, UnknownApproval, TooManySignals)
"""Refusals that a command may get because something else was faster."""


class Client:
    """Somebody with a program to run. `tasks` is where it does several things at once."""

    def __init__(self, world: World, tasks: trio.Nursery, program: Program, key: str | None) -> None:
        self.world = world
        self.tasks = tasks
        self.program = program
        self.key = key
        self.chance = world.random

    async def live(self) -> None:
        """Submit the program, and do with its run whatever comes to mind."""
        chance = self.chance
        await trio.sleep(chance.choice([0.0, chance.random() * 5]))
        created = await self.world.insist(lambda engine: engine.create_graph(self.program.source))
        self.world.programs[created.graph_id] = self.program
        graph_id = created.graph_id
        if self.key is not None and chance.random() < 0.5:
            for _ in range(chance.randrange(1, 3)):
                self.tasks.start_soon(self._submit, graph_id, chance.choice([0.0, chance.random() * 6]))
        run_id = await self._submit(graph_id, 0.0)
        self.tasks.start_soon(self.watch, run_id)
        if chance.random() < 0.3:
            self.tasks.start_soon(self.watch, run_id, chance.random() * 20, False)
        if chance.random() < 0.3:
            self.tasks.start_soon(self._wait, run_id)
        if chance.random() < 0.12:
            self.tasks.start_soon(self._cancel, run_id)
        if chance.random() < 0.15:
            self.tasks.start_soon(self._pause, run_id)
        if chance.random() < 0.3:
            self.tasks.start_soon(self._look, run_id)
        if self.key is not None and chance.random() < 0.3:
            await self._misuse(graph_id)

    async def _submit(self, graph_id: str, delay_s: float) -> str:
        await trio.sleep(delay_s)
        patience_s = self.chance.choice([60.0, 0.05])
        summary = await self.world.insist(
            lambda engine: engine.submit(graph_id, INITIAL, idempotency_key=self.key), patience_s
        )
        self.world.acks.append(Ack(self.key, self.program, summary.run_id))
        return summary.run_id

    async def _misuse(self, graph_id: str) -> None:
        """Submit something else under the same key."""
        other = {**INITIAL, "other": True}
        try:
            await self.world.insist(lambda engine: engine.submit(graph_id, other, idempotency_key=self.key))
        except IdempotencyMismatch:
            return
        raise Violation(f"key {self.key} was taken for two requests")

    # --- watching -----------------------------------------------------------------------------------------------------

    async def watch(self, run_id: str, delay_s: float = 0.0, reacts: bool = True) -> None:
        """Watch a run to its end, over as many connections as that takes; see to what it asks for."""
        await trio.sleep(delay_s)
        watched = Watched(run_id)
        self.world.watched.append(watched)
        while not watched.has_ended:
            try:
                await self.world.ask(partial(self._follow, watched, reacts), 100_000)
            except (Lost, *LATER):
                pass
            await trio.sleep(self.chance.choice([0.01, 0.1, 1.0]))

    async def _follow(self, watched: Watched, reacts: bool, engine: Engine) -> None:
        server = next(one for one in reversed(self.world.incarnations) if one.engine is engine)
        async with aclosing(engine.subscribe(watched.run_id, after=len(watched.lines))) as records:
            async for record in records:
                await server.thaw()
                if server.is_dead:
                    raise Lost
                self.world.observe(watched, record)
                if reacts:
                    self._react(watched.run_id, record)
                watched.has_ended = record.event in ENDS
                if self.chance.random() < 0.02:
                    return

    def _react(self, run_id: str, record: LogRecord) -> None:
        if record.event == "step_waiting" and "signal" in record.data:
            self.tasks.start_soon(self._signal, run_id, record.data)
        elif record.event == "approval_requested":
            self.tasks.start_soon(self._answer, run_id, record.data)

    async def _signal(self, run_id: str, waiting: Mapping[str, Any]) -> None:
        name = waiting["signal"]
        data = data_of(self.program.script, {"signal": name} | ({"timeout_s": 1} if "until" in waiting else {}))
        if data is SILENCE:
            return
        await trio.sleep(self.chance.choice([0.0, self.chance.random() * 3]))
        signal_id = f"signal-{waiting['seq']}"
        for _ in range(self.chance.choice([1, 1, 2])):
            await self._command(lambda engine: engine.signal(run_id, name, data, signal_id=signal_id))

    async def _answer(self, run_id: str, asked: Mapping[str, Any]) -> None:
        keys = {"timeout_s": 1} if "due" in asked else {}
        answer = answer_of(self.program.script, keys, asked.get("path", ""), asked["node"], asked["iteration"])
        if answer is SILENCE:
            return
        await trio.sleep(self.chance.choice([0.0, self.chance.random() * 3]))
        await self._command(lambda engine: engine.answer(run_id, asked["approval"], answer))

    # --- commands -----------------------------------------------------------------------------------------------------

    async def _command(self, command: Any) -> bool:
        """Give a command until it is answered; return whether it was carried out, and did not come too late."""
        try:
            await self.world.insist(command, self.chance.choice([60.0, 60.0, 0.05]), of_owner=True)
        except LATE:
            return False
        return True

    async def _cancel(self, run_id: str) -> None:
        await trio.sleep(self.chance.random() * 8)
        if await self._command(lambda engine: engine.cancel(run_id)):
            self.world.cancelled.append(run_id)

    async def _pause(self, run_id: str) -> None:
        await trio.sleep(self.chance.random() * 8)
        await self._command(lambda engine: engine.pause(run_id))
        await trio.sleep(self.chance.random() * 4)
        await self._command(lambda engine: engine.resume(run_id))

    async def _wait(self, run_id: str) -> None:
        view = await self.world.insist(lambda engine: engine.wait(run_id), 100_000)
        self.world.views.append(view)

    async def _look(self, run_id: str) -> None:
        await trio.sleep(self.chance.random() * 8)
        self.world.views.append(await self.world.insist(lambda engine: engine.state(run_id)))
        log = Watched(run_id)
        for record in await self.world.insist(lambda engine: engine.log(run_id)):
            self.world.observe(log, record)
        self.world.read.append(log)
        for approval in await self.world.insist(lambda engine: engine.approvals(run_id)):
            assert approval.approval


async def adopt_orphans(world: World) -> None:
    """See to runs that nobody knows of, because their submission was never answered."""
    known = {watched.run_id for watched in world.watched}
    while True:
        page = await world.insist(lambda engine: engine.runs(limit=200))
        orphans = [run for run in page.items if run.run_id not in known]
        if not orphans:
            return
        known |= {run.run_id for run in orphans}
        world.orphans |= {run.run_id for run in orphans}
        async with trio.open_nursery() as tasks:
            for run in orphans:
                client = Client(world, tasks, world.programs[run.graph_id], None)
                tasks.start_soon(client.watch, run.run_id)
