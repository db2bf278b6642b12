"""An event loop whose clock stands still while there is work, and jumps to the next timer when there is none.

An asyncio loop, because asyncio runs what is ready in the order in which it became so. Trio shuffles it, on purpose; then even
with the same seed it would be left to luck in which order attempts end that are cancelled at once.
"""

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import anyio

T = TypeVar("T")

PATIENCE_S: Final = 0.1
"""How long it is waited, in real time, for a thread; then `is_over` is asked again."""


def run_virtually(main: Callable[[], Awaitable[T]], is_over: Callable[[], bool]) -> T | None:
    """Run `main` on virtual time, from 0 on; cancel it and return None once `is_over`, which is asked in each turn of the loop."""

    async def bounded() -> T | None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _VirtualLoop)  # noqa: S101
        with anyio.CancelScope() as scope:
            loop.selector.watch(is_over, lambda: loop.call_soon(scope.cancel))
            return await main()
        return None

    return anyio.run(bounded, backend="asyncio", backend_options={"loop_factory": _VirtualLoop})


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = _Jumping()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


class _Jumping(selectors.DefaultSelector):
    """Waits for no timer: what asyncio would sleep is added to `now`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._is_over: Callable[[], bool] | None = None
        self._end: Callable[[], object] = lambda: None

    def watch(self, is_over: Callable[[], bool], end: Callable[[], object]) -> None:
        """Call `end` once when `is_over`."""
        self._is_over, self._end = is_over, end

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._is_over is not None and self._is_over():
            self._is_over = None
            self._end()
            return super().select(0)
        ready: list[Any] = super().select(PATIENCE_S if timeout is None else 0)
        if not ready and timeout:
            self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
        return ready
