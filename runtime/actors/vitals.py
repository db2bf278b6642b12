"""How the engine is: what it watches about itself, and the reasons why it should not be sent new work."""

from collections.abc import Callable
from typing import Final

import anyio
from structlog.typing import FilteringBoundLogger

from runtime.actors.memory_limit import MemoryLimit
from runtime.actors.tool_host import ToolHost
from runtime.actors.watchdog import Watch, Watchdog
from runtime.journal.writer import JournalWriter

MEMORY_EVERY_S: Final = 0.25


class Vitals:
    """Watches event loop and memory while `watch` runs, and answers from what is known already: no disk, no waiting.

    Attributes:
        memory: None without a limit.
    """

    def __init__(
        self,
        block_limit_s: float | None,
        memory_bytes: int | None,
        writer: JournalWriter,
        host: ToolHost,
        log: FilteringBoundLogger,
    ) -> None:
        self.memory = None if memory_bytes is None else MemoryLimit(memory_bytes, log)
        self._watchdog = None if block_limit_s is None else Watchdog(block_limit_s, log, host.blocking)
        self._writer = writer
        self._host = host

    @property
    def blocking_tools(self) -> tuple[str, ...]:
        """References of the tools that blocked the event loop since the start."""
        return tuple(sorted(self._host.blocking))

    @property
    def loop_lag_ms(self) -> int:
        """By how much the event loop was late at most, in the last few seconds; 0 if nobody watches it."""
        return 0 if self._watchdog is None else self._watchdog.lag_ms

    def troubles(self) -> tuple[str, ...]:
        """Return a word for each reason why the engine is not ready for new work now."""
        reasons = []
        if (trouble := self._writer.trouble) is not None:
            reasons.append(trouble.code.lower())
        if self.memory is not None and self.memory.is_short:
            reasons.append("memory")
        if self._host.has_too_many_abandoned:
            reasons.append("too_many_abandoned_attempts")
        return tuple(reasons)

    async def watch(self) -> None:
        """Watch until cancelled."""
        looks: list[Callable[[], None]] = []
        every_s = MEMORY_EVERY_S
        if self.memory is not None:
            looks.append(self.memory.look)
        if self._watchdog is not None:
            looks.append(self._watchdog.look)
            every_s = min(every_s, self._watchdog.every_s)
        watch = Watch(looks, every_s)
        watch.start()
        try:
            if self._watchdog is not None:
                await self._watchdog.beat()
            await anyio.sleep_forever()
        finally:
            watch.stop()
