"""Worker tasks: one elastic pool for each node of a plan, shared by all runs of it.

Workers live in the engine's task group and not in a run's, for two reasons. Starting a task costs ten times as much as a
message to one that is there; and a tool that swallows cancellation can hold its worker for ever, but never its run.

A worker's work is a short pipeline: take a call, have it made (`running.py`) inside the call's own cancel scope, report. Bounds:
`max_workers` tasks of a pool, and further calls queue (at most one per run, so never more than there are runs); so many idle
workers of all pools together, and whoever waits longest ends.
"""

import time
from collections import deque

import anyio
from anyio.abc import TaskGroup
from msgspec import structs

from runtime.actors.calls import NodeCall, Outcome
from runtime.actors.running import ToolRunner
from runtime.run.messages import Stopped


class Resting:
    """The idle workers of all pools, those that wait longest first; at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seats: dict[_Seat, NodeWorkers] = {}

    def __len__(self) -> int:
        return len(self._seats)

    def enter(self, seat: "_Seat", pool: "NodeWorkers") -> None:
        """Let a worker rest; if that makes too many, end the one that waits longest."""
        self._seats[seat] = pool
        if len(self._seats) > self._limit:
            oldest = next(iter(self._seats))
            self._seats[oldest].dismiss(oldest)

    def leave(self, seat: "_Seat") -> None:
        """Call a worker back to work, or to its end."""
        del self._seats[seat]


class NodeWorkers:
    """The pool of one node."""

    def __init__(self, tasks: TaskGroup, runner: ToolRunner, resting: Resting, max_workers: int) -> None:
        self._tasks = tasks
        self._resting = resting
        self._runner = runner
        self._max_workers = max_workers
        self._workers = 0
        self._stuck = 0
        self._waiting: deque[NodeCall] = deque()
        self._idle: list[_Seat] = []
        self.rejected = 0

    def send(self, call: NodeCall) -> None:
        """Give a call to a worker, a new one if all are busy; it waits if there are too many."""
        if self._idle:
            seat = self._idle.pop()
            self._resting.leave(seat)
            seat.give(call)
        elif self._workers - self._stuck < self._max_workers:
            self._workers += 1
            self._tasks.start_soon(self._work, call, name="node worker")
        else:
            self._waiting.append(call)

    @property
    def abandoned(self) -> int:
        """Calls that nobody waits for any more and that hold a worker all the same, now."""
        return self._stuck

    @property
    def queued(self) -> int:
        """Calls that wait for a worker."""
        return len(self._waiting)

    @property
    def is_unused(self) -> bool:
        """Whether no call is with a worker, or waits for one."""
        return self._workers == len(self._idle)

    def is_waiting(self, call: NodeCall) -> bool:
        """Whether the call waits for a worker."""
        return call in self._waiting

    def withdraw(self, call: NodeCall) -> bool:
        """Take back a call that no worker has taken yet; return whether that was so."""
        if call not in self._waiting:
            return False
        self._waiting.remove(call)
        return True

    def abandon(self, call: NodeCall) -> None:
        """Stop waiting for a call that does not end; until it does, its worker does not count."""
        call.is_abandoned = True
        self._stuck += 1
        if self._waiting:
            self.send(self._waiting.popleft())

    def close(self) -> None:
        """End the idle workers."""
        for seat in self._idle.copy():
            self.dismiss(seat)

    def dismiss(self, seat: "_Seat") -> None:
        """End one idle worker."""
        self._idle.remove(seat)
        self._resting.leave(seat)
        seat.give(None)

    async def _work(self, call: NodeCall | None) -> None:
        seat = _Seat()
        while call is not None:
            started, is_reported = 0.0, False
            with anyio.CancelScope() as scope:
                # One scope serves call after call until it is used to cancel one of them: entering a scope for each call
                # would cost as much as the rest of a short call.
                while call is not None:
                    call.scope, started, is_reported = scope, time.perf_counter(), False
                    outcome = call.stop or await self._runner.attempt(call)
                    is_reported = True
                    self._report(call, outcome, started)
                    if scope.cancel_called:
                        break
                    call = await self._next(seat)
            if call is not None:
                if not is_reported:
                    self._report(call, _stopped(call), started)
                call = await self._next(seat)
        self._workers -= 1

    def _report(self, call: NodeCall, outcome: Outcome, started: float) -> None:
        call.scope = None
        if call.is_abandoned:
            self.rejected += 1
            self._stuck -= 1
        else:
            call.report(call, outcome, round((time.perf_counter() - started) * 1000, 3))

    async def _next(self, seat: "_Seat") -> NodeCall | None:
        if self._waiting:
            return self._waiting.popleft()
        self._idle.append(seat)
        self._resting.enter(seat, self)
        return await seat.take()


def _stopped(call: NodeCall) -> Outcome:
    """Return what a cancelled call is reported as. A thread cannot be stopped, only left alone."""
    stop = call.stop or Stopped()
    return structs.replace(stop, abandoned=True) if call.is_in_thread else stop


class _Seat:
    """Where a worker waits for its next call. A semaphore can be waited on again and again, unlike an event."""

    __slots__ = ("_call", "_given")

    def __init__(self) -> None:
        self._given = anyio.Semaphore(0, fast_acquire=True)
        self._call: NodeCall | None = None

    def give(self, call: NodeCall | None) -> None:
        self._call = call
        self._given.release()

    async def take(self) -> NodeCall | None:
        await self._given.acquire()
        return self._call
