"""Places where a call waits until the test lets it go on: so a test decides what happens first, and never sleeps for it."""

import threading

import anyio


class Gate:
    """Holds tasks up until it is opened; once open it stays so. Used within one event loop.

    gate = tools.gate("a")                # node config: {"do": "wait", "gate": "a"}
    await gate.wait_reached()             # the tool is being called now
    gate.open()                           # it returns
    """

    def __init__(self) -> None:
        self.reached = 0
        self._arrived = anyio.Event()
        self._opened = anyio.Event()

    def open(self) -> None:
        """Let everybody through, now and later."""
        self._opened.set()

    async def wait_reached(self, times: int = 1) -> None:
        """Wait until that many calls have come to the gate, in all."""
        while self.reached < times:
            self._arrived = anyio.Event()
            await self._arrived.wait()

    async def passage(self) -> None:
        """Wait for the gate to open; what a held-up task calls."""
        self.reached += 1
        self._arrived.set()
        await self._opened.wait()


class ThreadGate:
    """The same for plain functions, which run in threads. Open it in any case, or the thread outlives the test."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def open(self) -> None:
        """Let everybody through, now and later."""
        self._opened.set()

    def passage(self, timeout_s: float = 30.0) -> None:
        """Block the calling thread until the gate opens.

        Raises:
            TimeoutError: It did not open in time.
        """
        if not self._opened.wait(timeout_s):
            raise TimeoutError("the gate was not opened")
