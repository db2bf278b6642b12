"""The only place that reads a clock: wall time for records, monotonic time for waiting."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import anyio


class Clock(Protocol):
    """Source of time, handed to everything that needs it."""

    def now(self) -> datetime:
        """Return the wall time in UTC, for records and deadlines that outlive the process."""
        ...

    def monotonic(self) -> float:
        """Return seconds of the running event loop's clock, for durations and timers."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's wall time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the event loop's time."""
        return anyio.current_time()


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
