"""One seed, from the first submission to the last check."""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, Final, TypeVar
from unittest.mock import patch

import anyio
import trio
from trio._core import _run as scheduler
from trio.testing import MockClock

from runtime import opening
from runtime.actors import node_workers
from runtime.journal import writer
from tests.proof.simulation.checks import check, demand
from tests.proof.simulation.clients import Client, adopt_orphans
from tests.proof.simulation.disk import SimulatedJournal
from tests.proof.simulation.programs import program
from tests.proof.simulation.server import serve
from tests.proof.simulation.trouble import trouble
from tests.proof.simulation.world import Violation, World

T = TypeVar("T")

DAY_S: Final = 86_400.0
PROGRAMS: Final = 4_096
MAX_RUNS: Final = 8
MAX_STEPS: Final = 60
"""How many steps the runs of a seed have together, so that no seed takes long."""

MAX_TURNS: Final = 5_000
"""How often the event loop may turn without any time passing."""

MAX_TURNS_IN_ALL: Final = 100_000
"""How often it may turn in all: a seed takes a few thousand turns, and one in which clients ask for ever need not end its day."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a seed came to: a digest of everything that was stored, shown and done, and some counts."""

    digest: str
    runs: int
    records: int
    engines: int
    struck: tuple[str, ...]


def simulate(seed: int) -> Trace:
    """Simulate one seed.

    Raises:
        Violation: A promise was broken.
        BaseExceptionGroup: An engine raised what it must not raise.
    """
    world = World(seed)
    with _deterministic(seed):
        turns = _Turns()
        trio.run(_live, world, turns, clock=MockClock(autojump_threshold=0), instruments=[turns])
        check(world)
    return _trace(world)


class _Turns(trio.abc.Instrument):
    """Counts how often the event loop turns while no time passes, and ends the world when that is too often."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope(deadline=DAY_S)
        self.is_spinning = False
        self._turns = self._in_all = 0
        self._time = 0.0

    def before_io_wait(self, _timeout: float) -> None:
        self._turns += 1
        self._in_all += 1
        if self._in_all > MAX_TURNS_IN_ALL:
            self.scope.cancel()
        if self._turns > MAX_TURNS:
            now = trio.current_time()
            if now == self._time:
                self.is_spinning = True
                self.scope.cancel()
            self._turns, self._time = 0, now


async def _live(world: World, turns: _Turns) -> None:
    with turns.scope:
        async with trio.open_nursery() as servers:
            servers.start_soon(serve, world, servers)
            async with trio.open_nursery() as troubles:
                troubles.start_soon(trouble, world, servers)
                async with trio.open_nursery() as clients:
                    _submit_programs(world, clients)
                troubles.cancel_scope.cancel()
            await adopt_orphans(world)
            servers.cancel_scope.cancel()
            for server in world.incarnations:
                server.kill()
    demand(not turns.is_spinning, "the event loop turns and turns, and no time passes: somebody waits without waiting")
    if turns.scope.cancelled_caught:
        unfinished = [row.run_id for row in world.disk.unfinished()]
        raise Violation(f"not quiet after a day; unfinished: {unfinished}")


def _submit_programs(world: World, clients: trio.Nursery) -> None:
    steps, runs = 0, world.random.randrange(1, MAX_RUNS + 1)
    for number in range(runs):
        work = program(world.random.randrange(PROGRAMS))
        steps += work.steps
        if steps > MAX_STEPS and number:
            break
        key = f"key-{number}" if world.random.random() < 0.7 else None
        clients.start_soon(Client(world, clients, work, key).live)


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Let nothing but the seed decide: neither the order of tasks, nor threads, nor clocks, nor ids."""
    ids = Random(f"ids of {seed}")
    numbers = SimpleNamespace(uuid4=lambda: uuid.UUID(int=ids.getrandbits(128), version=4))
    with ExitStack() as stack:
        stack.enter_context(patch.object(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True))
        stack.enter_context(patch.object(writer, "_off_loop", _on_disk))
        stack.enter_context(patch.object(opening, "to_thread", SimpleNamespace(run_sync=_at_once)))
        stack.enter_context(patch.object(node_workers, "time", SimpleNamespace(perf_counter=trio.current_time)))
        for module in ("runtime.ids", "runtime.control"):
            stack.enter_context(patch(f"{module}.uuid", numbers))
        scheduler._r.seed(seed)
        yield


async def _on_disk(
    journal: SimulatedJournal, limiter: anyio.CapacityLimiter, function: Callable[..., T], *arguments: object
) -> T:
    async with limiter:
        return await journal.perform(function, arguments)


async def _at_once(function: Callable[..., T], *arguments: Any, **_keys: Any) -> T:
    return function(*arguments)


def _trace(world: World) -> Trace:
    digest = hashlib.blake2b(digest_size=16)
    for entry in world.disk.stored:
        digest.update(entry.hash + entry.body + entry.epoch.to_bytes(4))
    for told in (world.effects, [(ack.key, ack.run_id) for ack in world.acks], world.cancelled, world.views):
        digest.update(repr(told).encode())
    for watched in (*world.watched, *world.read):
        digest.update(b"\n".join(watched.lines))
    records = sum(entry.count for entry in world.disk.stored)
    return Trace(
        digest.hexdigest(), world.disk.last_run_number(), records, len(world.incarnations), tuple(world.struck)
    )
