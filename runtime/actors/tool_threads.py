"""Threads for tools that are plain functions: a bounded number of them, those that were left alone included.

A thread cannot be stopped, only left alone when its call is cancelled. It counts until its function returns, so functions that
never do use the bound up instead of filling the process with threads; later calls queue then, and their time limits go on.
"""

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import TypeVar

import anyio
from anyio import from_thread, to_thread

from runtime.actors.tool_log import Home

T = TypeVar("T")


class ToolThreads:
    """At most `limit` threads at once. Made in the event loop that its `run` is called in.

    Attributes:
        abandoned: Threads whose function goes on although nobody waits for it any more, now.
    """

    def __init__(self, limit: int) -> None:
        self.abandoned = 0
        self._home = Home()
        self._places = anyio.CapacityLimiter(limit)
        # Places are counted here, because AnyIO gives one back on asyncio as soon as its thread is left alone.
        self._unlimited = anyio.CapacityLimiter(math.inf)

    @property
    def busy(self) -> int:
        """Threads in use, those left alone included."""
        return self._places.borrowed_tokens

    async def run(self, function: Callable[[], T], on_place: Callable[[], None] | None = None) -> T:
        """Call a function in a thread once there is a place. If this is cancelled, the function is left alone.

        Args:
            function: What to call.
            on_place: Called here, in the event loop, when there is a place.
        """
        visit = _Visit()
        await self._places.acquire_on_behalf_of(visit)
        try:
            if on_place is not None:
                on_place()
            return await to_thread.run_sync(
                self._visit, visit, function, abandon_on_cancel=True, limiter=self._unlimited
            )
        finally:
            if visit.is_left_running():
                self.abandoned += 1
            else:
                self._places.release_on_behalf_of(visit)

    def _visit(self, visit: "_Visit", function: Callable[[], T]) -> T:
        if not visit.begin():
            raise RuntimeError("nobody waits for this thread, and nobody sees this")
        try:
            return function()
        finally:
            if visit.end():
                with suppress(RuntimeError):  # the engine may be gone by now
                    from_thread.run_sync(self._leave, visit, token=self._home.loop)

    def _leave(self, visit: "_Visit") -> None:
        self.abandoned -= 1
        self._places.release_on_behalf_of(visit)


class _Stage(Enum):
    """How far a visit is; only one of the two sides takes it from `RUNNING` on."""

    EXPECTED = auto()
    RUNNING = auto()
    LEFT = auto()
    OVER = auto()


class _Visit:
    """One function in a thread. Event loop and thread agree by it on who gives the place back."""

    __slots__ = ("_lock", "_stage")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage = _Stage.EXPECTED

    def begin(self) -> bool:
        """Return whether somebody still waits for the function, for the thread."""
        with self._lock:
            if self._stage is not _Stage.EXPECTED:
                return False
            self._stage = _Stage.RUNNING
            return True

    def end(self) -> bool:
        """Return whether the event loop has left the thread alone, which then has to give the place back."""
        with self._lock:
            was_left = self._stage is _Stage.LEFT
            self._stage = _Stage.OVER
            return was_left

    def is_left_running(self) -> bool:
        """Return whether the thread still runs the function, for the event loop, which waits no longer."""
        with self._lock:
            is_running = self._stage is _Stage.RUNNING
            self._stage = _Stage.LEFT if is_running else _Stage.OVER
            return is_running
