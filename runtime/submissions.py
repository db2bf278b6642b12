"""How runs are accepted: judged, numbered, journaled, and only then answered; each idempotency key at most once."""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from msgspec import structs

from runtime.actors.live import LiveRun, Memory
from runtime.actors.run_actor import first_row
from runtime.actors.supervisor import Supervisor
from runtime.catalog import Catalog
from runtime.clock import Clock
from runtime.errors import Closing, IdempotencyMismatch, InvalidInput, Problem
from runtime.ids import new_run_id
from runtime.inputs import check_initial_state
from runtime.journal import RunRow
from runtime.json_values import NotJson, canonical, checked_copy

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class Submissions:
    """Accepts runs.

    Attributes:
        is_closed: No new work is taken any more.
    """

    def __init__(
        self, catalog: Catalog, supervisor: Supervisor, memory: Memory, clock: Clock, last_run_number: int
    ) -> None:
        self.is_closed = False
        self._catalog = catalog
        self._supervisor = supervisor
        self._memory = memory
        self._clock = clock
        self._last_run_number = last_run_number
        self._in_progress: dict[str, anyio.Event] = {}

    def require_open(self) -> None:
        """Refuse new work once the engine is closing.

        Raises:
            Closing: It is.
        """
        if self.is_closed:
            raise Closing

    def next_number(self) -> int:
        """Return a number that no run has had."""
        self._last_run_number += 1
        return self._last_run_number

    async def submit(
        self, graph_id: str, initial_state: Mapping[str, Any], key: str | None
    ) -> tuple[RunRow, LiveRun | None]:
        """Accept a run, or find the one that was accepted under the same key; see `Engine.submit`.

        Returns:
            The run's row, durable, and the run if this submission made it.
        """
        self.require_open()
        if key is None:
            return await self._durable(await self._accept(graph_id, initial_state, None, None))
        if _KEY.fullmatch(key) is None:
            detail = f"An idempotency key has 1 to 255 visible ASCII characters, got {key[:80]!r}."
            problem = Problem("/idempotency_key", detail, "invalid_value")
            raise InvalidInput("The run cannot be submitted under that key.", problems=[problem])
        request = _digest(graph_id, initial_state)
        while True:
            accepted = None
            async with self._alone(key):  # not until it is durable: nobody queues for another one's disk
                live = self._live(key)
                known = await self._stored(key) if live is None else None
                if live is None and known is None:
                    accepted = await self._accept(graph_id, initial_state, key, request)
            if accepted is not None:
                return await self._durable(accepted)
            if live is not None:
                await self._supervisor.confirm(live, 1)
                known = await self._stored(key)
            if known is not None:  # else it has ended and was deleted meanwhile
                return _replayed(known, request), None

    def _live(self, key: str) -> LiveRun | None:
        return self._supervisor.keyed.get(key)

    async def _stored(self, key: str) -> RunRow | None:
        return await self._memory.reader.call(self._memory.journal.run_of_key, key)

    async def _durable(self, accepted: tuple[RunRow, LiveRun]) -> tuple[RunRow, LiveRun]:
        await self._supervisor.confirm(accepted[1], 1)
        return accepted

    async def _accept(
        self, graph_id: str, initial_state: Mapping[str, Any], key: str | None, request: bytes | None
    ) -> tuple[RunRow, LiveRun]:
        compiled = await self._catalog.compiled(graph_id)
        state = check_initial_state(compiled.definition, initial_state)
        bound = await self._catalog.bound(compiled)
        self.require_open()
        self._supervisor.check_room()
        row = first_row(self.next_number(), new_run_id(), graph_id, self._clock.now())
        if key is not None:
            row = structs.replace(row, key=key, request=request)
        live = self._supervisor.submit(row, bound, state)
        return row if live.actor is None else live.actor.row, live

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Let those who submit under one key do so one after the other."""
        while (other := self._in_progress.get(key)) is not None:
            await other.wait()
        self._in_progress[key] = done = anyio.Event()
        try:
            yield
        finally:
            del self._in_progress[key]
            done.set()


def _replayed(known: RunRow, request: bytes) -> RunRow:
    if known.request != request:
        raise IdempotencyMismatch(known.key or "", known.run_id)
    return known


def _digest(graph_id: str, initial_state: Mapping[str, Any]) -> bytes:
    try:
        request = canonical([graph_id, checked_copy(dict(initial_state))])
    except NotJson as error:
        problem = Problem(f"/initial_state{error.pointer}", f"The state has {error}.", "not_json")
        raise InvalidInput("The initial state is not JSON.", problems=[problem]) from error
    return hashlib.blake2b(request, digest_size=16).digest()
