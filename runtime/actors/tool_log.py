"""The log that a tool writes to: its lines become messages to the run's actor, as many as the run's rate allows.

Limit: a token bucket of `BURST` lines, refilled by `RATE` lines a second, for all tools of a run; what it refuses is counted
and told in the log. A line that is too long is cut.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

from runtime.clock import Clock
from runtime.json_values import NotJson, checked_copy, encoded_size
from runtime.run.messages import DropLogs, Message, WriteLog
from runtime.run.records import Level

RATE: Final = 1_000
BURST: Final = 5_000
MAX_LINE_BYTES: Final = 8_192


class LogBudget:
    """The token bucket of one run."""

    __slots__ = ("_clock", "_dropped", "_last", "_tokens")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens = float(BURST)
        self._last = 0.0  # it is full at first, so it does not matter since when
        self._dropped = 0

    def admit(self) -> bool:
        """Return whether a line may be written now."""
        now = self._clock.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._last) * RATE)
        self._last = now
        if self._tokens < 1:
            self._dropped += 1
            return False
        self._tokens -= 1
        return True

    def take_dropped(self) -> int:
        """Return how many lines were refused since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped


@dataclass(frozen=True, slots=True)
class Home:
    """The event loop that the engine lives in, and its thread."""

    loop: EventLoopToken = field(default_factory=current_token)
    thread: int = field(default_factory=threading.get_ident)


class StepLog:
    """The `context.log` of one attempt; `step` is its node, iteration, attempt and path."""

    __slots__ = ("_budget", "_home", "_send", "_step")

    def __init__(
        self, send: Callable[[Message], None], budget: LogBudget, home: "Home", step: tuple[int, int, int, str]
    ) -> None:
        self._send = send
        self._budget = budget
        self._home = home
        self._step = step

    def debug(self, message: str, **fields: Any) -> None:
        """Write a line of level debug."""
        self._write("debug", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """Write a line of level info."""
        self._write("info", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """Write a line of level warning."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        """Write a line of level error."""
        self._write("error", message, fields)

    def _write(self, level: Level, message: str, fields: dict[str, Any]) -> None:
        node, iteration, attempt, path = self._step
        shown = _fitting({k: _json(v) for k, v in fields.items()})
        line = WriteLog(node, iteration, attempt, level, _text(str(message)), shown, path)
        if threading.get_ident() == self._home.thread:
            self._deliver(line)
        else:
            from_thread.run_sync(self._deliver, line, token=self._home.loop)

    def _deliver(self, line: WriteLog) -> None:
        if self._budget.admit():
            if dropped := self._budget.take_dropped():
                self._send(DropLogs(dropped))
            self._send(line)


def _text(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_LINE_BYTES else f"{text[:MAX_LINE_BYTES]}… ({len(text)} characters)"


def _json(value: Any) -> Any:
    try:
        return checked_copy(value)
    except NotJson:
        return _text(repr(value))


def _fitting(fields: dict[str, Any]) -> dict[str, Any]:
    if fields and (size := encoded_size(fields)) > MAX_LINE_BYTES:
        return {"omitted": f"{size} bytes of fields: {', '.join(fields)[:200]}"}
    return fields
