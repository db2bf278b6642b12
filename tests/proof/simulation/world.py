"""What the simulated servers and clients share: one seed, one clock, one disk, and the notes that are checked in the end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from runtime import Engine
from runtime.clock import LoopClock
from runtime.errors import Closing, EngineError, JournalUnavailable, Overloaded
from runtime.views import LogRecord, RunView
from tests.proof.simulation.disk import Disk
from tests.proof.simulation.programs import Program
from tests.proof.simulation.tools import Effected

if TYPE_CHECKING:
    from tests.proof.simulation.server import Incarnation

T = TypeVar("T")
NOON: Final = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
LATER: Final = (JournalUnavailable, Closing, Overloaded)
"""Refusals after which a client comes again."""


class Violation(AssertionError):
    """A promise that was broken."""


class Lost(Exception):
    """The connection broke, or the client lost patience: whether the request was carried out is not known."""


@dataclass(frozen=True, slots=True)
class Ack:
    """A submission that was answered."""

    key: str | None
    program: Program
    run_id: str


@dataclass(slots=True)
class Watched:
    """All that one subscriber saw of a run, over all its connections."""

    run_id: str
    lines: list[bytes] = field(default_factory=list)
    has_ended: bool = False


class World:
    """One seed's world.

    Attributes:
        acks, cancelled, views, watched: What clients were told; `read` is logs as they were at some moment.
        struck: What befell the servers.
        orphans: Runs that nobody saw to from their beginning, because their submission was never answered.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.clock = LoopClock(NOON)
        self.disk = Disk()
        self.programs: dict[str, Program] = {}
        self.effects: list[Effected] = []
        self.incarnations: list[Incarnation] = []
        self.current: Incarnation | None = None
        self.acks: list[Ack] = []
        self.cancelled: list[str] = []
        self.views: list[RunView] = []
        self.watched: list[Watched] = []
        self.read: list[Watched] = []
        self.struck: list[str] = []
        self.orphans: set[str] = set()
        self._restart = trio.Event()

    def note_effect(self, tool: str, key: str, attempt: int, epoch: int) -> None:
        """Write a call down in the ledger outside."""
        self.effects.append(Effected(key, attempt, tool, epoch, (key, attempt) in self.disk.announced))

    def restarted(self) -> None:
        """Tell the clients that there is another server."""
        self._restart.set()
        self._restart = trio.Event()

    async def _connected(self) -> "Incarnation":
        """Return a server that takes connections, at times one that is not the current one any more."""
        ghosts = [one for one in self.incarnations if one is not self.current and not one.is_dead and one.up.is_set()]
        if ghosts and self.random.random() < 0.3:
            return ghosts[-1]
        while True:
            current = self.current
            if current is None or current.lost.is_set():
                await self._restart.wait()
                continue
            await current.up.wait()
            if not current.is_dead:
                return current

    async def ask(
        self, request: Callable[[Engine], Awaitable[T]], patience_s: float = 60.0, *, of_owner: bool = False
    ) -> T:
        """Ask whoever serves now.

        Args:
            request: What to ask.
            patience_s: When to give up.
            of_owner: Take no answer of a zombie: that nothing is to be done it may say without writing anything.

        Raises:
            Lost: No answer came; perhaps the request was carried out.
        """
        with trio.CancelScope(deadline=trio.current_time() + patience_s) as scope:
            server = await self._connected()
            assert server.engine is not None
            server.connections[scope] = None
            try:
                answer = await request(server.engine)
                await server.thaw()
                if not server.is_dead and (server is self.current or not of_owner):
                    return answer
            except EngineError:
                if server is self.current:
                    raise  # what a zombie does not know proves nothing
            finally:
                del server.connections[scope]
        raise Lost

    async def insist(
        self, request: Callable[[Engine], Awaitable[T]], patience_s: float = 60.0, *, of_owner: bool = False
    ) -> T:
        """Ask until there is an answer, or a refusal that is final."""
        while True:
            try:
                return await self.ask(request, patience_s, of_owner=of_owner)
            except (Lost, *LATER):
                await trio.sleep(self.random.choice([0.0, 0.1, 1.0]))

    def observe(self, watched: Watched, record: LogRecord) -> None:
        """Note what a subscriber sees.

        Raises:
            Violation: It is not what follows.
        """
        if record.seq != len(watched.lines) + 1:
            raise Violation(f"{watched.run_id}: record {record.seq} was shown where {len(watched.lines) + 1} follows")
        watched.lines.append(bytes(record.encoded))
