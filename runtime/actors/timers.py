"""One task that sleeps until the next of any number of deadlines: cheaper than a cancel scope for each of them.

Cancelled deadlines stay in the heap until they are due or until they are more than half of it, as in asyncio's own loop.
"""

import heapq
from collections.abc import Callable
from typing import Final

import anyio

_MIN_TO_COMPACT: Final = 64


class Timer:
    """A deadline; `cancel` makes it do nothing."""

    __slots__ = ("_action", "_timers")

    def __init__(self, action: Callable[[], None], timers: "Timers") -> None:
        self._action: Callable[[], None] | None = action
        self._timers = timers

    @property
    def is_pending(self) -> bool:
        """Whether it has neither fired nor been cancelled."""
        return self._action is not None

    def cancel(self) -> None:
        """Do nothing at the deadline; safe to call at any time."""
        if self._action is not None:
            self._action = None
            self._timers.forget()

    def fire(self) -> None:
        """Act, once."""
        action, self._action = self._action, None
        if action is not None:
            action()


class Timers:
    """Deadlines of the event loop's clock. Actions are quick, synchronous and do not raise."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = 0
        self._cancelled = 0
        self._wake = anyio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def schedule(self, at: float, action: Callable[[], None]) -> Timer:
        """Call `action` when the loop's clock reaches `at`; those of the same time in the order of their scheduling."""
        self._order += 1
        timer = Timer(action, self)
        heapq.heappush(self._heap, (at, self._order, timer))
        if self._heap[0][2] is timer:
            self._wake.set()
        return timer

    def forget(self) -> None:
        """Count a cancelled timer, and drop them all when they are the greater part."""
        self._cancelled += 1
        if self._cancelled > _MIN_TO_COMPACT and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].is_pending]
            heapq.heapify(self._heap)
            self._cancelled = 0

    async def run(self) -> None:
        """Fire timers until cancelled."""
        while True:
            self._wake = anyio.Event()
            now = anyio.current_time()
            while self._heap and self._heap[0][0] <= now:
                _, _, timer = heapq.heappop(self._heap)
                if not timer.is_pending:
                    self._cancelled = max(0, self._cancelled - 1)
                timer.fire()
            if not self._heap:
                await self._wake.wait()
            else:
                with anyio.CancelScope(deadline=self._heap[0][0]):
                    await self._wake.wait()
