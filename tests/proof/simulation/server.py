"""The server of the simulated world: one engine after the other on the same disk, each until it is killed, fails or is stopped.

A *zombie* is an engine that was frozen, as by SIGSTOP or a long pause of its machine, and goes on after its successor opened.
"""

from typing import TYPE_CHECKING, Final

import trio

from runtime import Engine, Settings, open_engine
from runtime.errors import JournalUnavailable
from tests.proof.simulation.disk import SimulatedJournal, as_journal
from tests.proof.simulation.tools import SimulatedTools

if TYPE_CHECKING:
    from tests.proof.simulation.world import World

ZOMBIE_S: Final = 30.0


class Incarnation:
    """One engine, from its opening to its death.

    Attributes:
        epoch: 0 until it has opened the journal.
        up: Set once clients can connect.
        lost: Set once it is dead or frozen, so that another one is needed.
        connections: Calls of clients under way; they are broken off at its death.
        was_killed: By the simulation, so nothing it says any more counts.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.epoch = 0
        self.engine: Engine | None = None
        self.up = trio.Event()
        self.lost = trio.Event()
        self.is_dead = self.was_killed = self.is_frozen = False
        self.connections: dict[trio.CancelScope, None] = {}
        self.journal = SimulatedJournal(world.disk, self, world.random)
        self._stopping = trio.Event()
        self._thawed = trio.Event()
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Be an engine. Raises what an engine must not raise."""
        world = self.world
        try:
            with self._scope:
                async with open_engine(
                    self._settings(),
                    SimulatedTools(self),
                    journal=as_journal(self.journal),
                    clock=world.clock,
                    chance=world.random,
                ) as engine:
                    self.engine = engine
                    self.up.set()
                    await self._stopping.wait()
        except JournalUnavailable:
            if not (self.was_killed or self.journal.has_failed):
                raise
        except Exception:
            if not self.was_killed:  # what happens inside a process that is gone is nobody's business
                raise
        finally:
            self._die()

    def _settings(self) -> Settings:
        chance = self.world.random
        return Settings(
            log_format="none",
            close_grace_s=chance.choice([0.05, 2.0]),
            max_active_runs=chance.choice([1, 2, 10_000, 10_000]),
            max_workers_per_node=chance.choice([1, 1_000]),
            recent_records=chance.choice([4, 256]),
            block_limit_s=None,  # no thread watches: threads know nothing of virtual time
            max_memory_mb=0,
        )

    def _die(self) -> None:
        self.is_dead = True
        self.lost.set()
        self.up.set()
        self._thawed.set()
        for scope in list(self.connections):
            scope.cancel()

    def kill(self) -> None:
        """End it here and now: nothing that it still does reaches disk, ledger or clients."""
        if not self.is_dead:
            self.was_killed = True
            self._die()
            self._scope.cancel()

    def stop(self) -> None:
        """Let it close in good order."""
        self._stopping.set()

    def freeze(self) -> None:
        """Let it stand still from its next look at disk or ledger on, until `melt`."""
        self.is_frozen = True
        self.lost.set()

    async def rise(self, after_s: float) -> None:
        """Go on as a zombie, for a while."""
        await trio.sleep(after_s)
        self.is_frozen = False
        self._thawed.set()
        await trio.sleep(ZOMBIE_S)
        self.kill()

    async def thaw(self) -> None:
        """Wait as long as it is frozen."""
        while self.is_frozen and not self.is_dead:
            await self._thawed.wait()

    async def breathe(self) -> None:
        """Wait as long as it is frozen, and for ever once it is dead."""
        await self.thaw()
        if self.is_dead:
            await trio.sleep_forever()


async def serve(world: "World", tasks: trio.Nursery) -> None:
    """Keep a server up: after each death another one, after some time."""
    while True:
        world.current = incarnation = Incarnation(world)
        world.incarnations.append(incarnation)
        tasks.start_soon(incarnation.run)
        world.restarted()
        await incarnation.lost.wait()
        await trio.sleep(world.random.choice([0.0, 0.01, 0.5, 3.0]))
