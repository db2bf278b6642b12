"""The only place that reads a clock: wall time for records, monotonic time for waiting."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import anyio

JUMP_S: Final = 1.0
"""How far the machine's clock may be from ours before that is told; slewing and rounding stay below."""


class Clock(Protocol):
    """Source of time, handed to everything that needs it."""

    def now(self) -> datetime:
        """Return the wall time in UTC, for records and deadlines that outlive the process."""
        ...

    def monotonic(self) -> float:
        """Return seconds of the running event loop's clock, for durations and timers."""
        ...

    def not_before(self, at: datetime) -> None:
        """Hear that it was `at` already: no later `now` is earlier. What was due in a minute is never due in an hour."""
        ...


class SystemClock:
    """The machine's clock as it is at first; from then on time passes as the event loop's clock says.

    So setting the machine's clock, which people and daemons do, moves no timer and puts no record before another one. Where
    the two part, `on_jump` hears `ahead_s`, how far the machine's clock is ahead of ours, once for each jump; records go on by
    the old reckoning until the next start.

    Args:
        wall: Returns the machine's time in seconds since the epoch.
        loop_time: Returns seconds of a clock that nobody sets.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, loop_time: Callable[[], float] = anyio.current_time
    ) -> None:
        self.on_jump: Callable[..., object] = lambda **_: None
        self._wall = wall
        self._loop_time = loop_time
        self._offset: float | None = None
        self._known = 0.0

    def now(self) -> datetime:
        """Return the wall time."""
        return datetime.fromtimestamp(self._seconds(), UTC)

    def monotonic(self) -> float:
        """Return the event loop's time."""
        return self._loop_time()

    def not_before(self, at: datetime) -> None:
        """Go on behind `at`, if that is not past."""
        behind = at.timestamp() - self._seconds()
        if behind > 0 and self._offset is not None:
            self._offset += behind

    def _seconds(self) -> float:
        passed, wall = self._loop_time(), self._wall()
        if self._offset is None:
            self._offset = wall - passed
        ahead = wall - passed - self._offset
        if abs(ahead - self._known) > JUMP_S:
            self._known = ahead
            self.on_jump(ahead_s=round(ahead, 3))
        return passed + self._offset


class LoopClock:
    """Wall time that follows the event loop's clock from a fixed instant: virtual where the loop's clock is."""

    def __init__(self, start: datetime, loop_time: Callable[[], float] = anyio.current_time) -> None:
        self._start = start.timestamp()
        self._loop_time = loop_time
        self._origin: float | None = None

    def now(self) -> datetime:
        """Return `start` plus the loop time that has passed since the first call."""
        time = self.monotonic()
        if self._origin is None:
            self._origin = time
        return datetime.fromtimestamp(self._start + time - self._origin, UTC)

    def monotonic(self) -> float:
        """Return the event loop's time."""
        return self._loop_time()

    def not_before(self, at: datetime) -> None:
        """Go on behind `at`, if that is not past."""
        behind = (at - self.now()).total_seconds()
        if behind > 0 and self._origin is not None:
            self._origin -= behind
