"""The log that a tool writes to: its lines become messages to the run's actor, as many as the run's rate allows.

Limits: a token bucket of `BURST` lines, refilled by `RATE` lines a second, for all tools of a run; and no line beyond
`MAX_RECORDS` records of the run or `MAX_LOG_BYTES` of lines since it was taken up. What is refused is counted and told in the
log: once a second as long as lines are let through, once when the log is full, and at the end of the attempt. A line that is
too long is cut.
"""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from anyio import NoEventLoopError, from_thread
from anyio.lowlevel import EventLoopToken, current_token

from runtime.clock import Clock
from runtime.json_values import NotJson, checked_copy, encoded_size
from runtime.run.messages import DropLogs, Message, WriteLog
from runtime.run.records import Level

RATE: Final = 1_000
BURST: Final = 5_000
MAX_LINE_BYTES: Final = 8_192
MAX_RECORDS: Final = 100_000
MAX_LOG_BYTES: Final = 64 << 20
TELL_EVERY_S: Final = 1.0


class LogBudget:
    """What all tools of one run may write together. `admit` and what follows it belong to the event loop.

    `records` tells how many records the run's log has.
    """

    __slots__ = (
        "_admitted",
        "_bytes",
        "_clock",
        "_dropped",
        "_is_told_full",
        "_last",
        "_lock",
        "_records",
        "_refused_until",
        "_tokens",
        "_told",
    )

    def __init__(self, clock: Clock, records: Callable[[], int] = lambda: 0) -> None:
        self._clock = clock
        self._records = records
        self._tokens = float(BURST)
        self._last = 0.0  # it is full at first, so it does not matter since when
        self._lock = threading.Lock()
        self._dropped = 0
        self._told = -math.inf
        self._is_told_full = False
        self._refused_until = 0.0
        self._admitted = records()
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the run's log takes no line any more."""
        return max(self._admitted, self._records()) >= MAX_RECORDS or self._bytes >= MAX_LOG_BYTES

    def admit(self) -> bool:
        """Return whether a line may be written now."""
        now = self._clock.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._last) * RATE)
        self._last = now
        if self._tokens < 1 or self.is_full:
            # Threads drop their lines on their own until there can be a token again: to ask costs far more than a line.
            self._refused_until = time.monotonic() + 1 / RATE
            self._drop()
            return False
        self._tokens -= 1
        self._admitted += 1
        return True

    def spend(self, size_bytes: int) -> None:
        """Count the bytes of a line that was admitted."""
        self._bytes += size_bytes

    def refuses_unasked(self) -> bool:
        """Return whether a line is dropped already, for a thread that would have to ask the event loop otherwise."""
        if time.monotonic() >= self._refused_until:
            return False
        self._drop()
        return True

    def take_due(self, *, is_admitted: bool) -> DropLogs | None:
        """Return what to tell about dropped lines now: before a line that is let through, but only once in a while."""
        if is_admitted:
            is_due = self._clock.monotonic() - self._told >= TELL_EVERY_S
        else:
            is_due = self.is_full and not self._is_told_full
            self._is_told_full = self.is_full
        return self.take_dropped() if is_due else None

    def take_dropped(self) -> DropLogs | None:
        """Return how many lines were refused since the last call, if any."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if not dropped:
            return None
        self._told = self._clock.monotonic()
        return DropLogs(dropped, "run_limit" if self.is_full else None)

    def _drop(self) -> None:
        with self._lock:
            self._dropped += 1


@dataclass(frozen=True, slots=True)
class Home:
    """The event loop that the engine lives in, and its thread."""

    loop: EventLoopToken = field(default_factory=current_token)
    thread: int = field(default_factory=threading.get_ident)

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the event loop, from another thread, and wait for it.

        Raises:
            RuntimeError: The event loop has ended.
        """
        call = partial(from_thread.run_sync, function, token=self.loop)
        if not _runs_a_loop():
            call()
            return
        # A tool that blocked the event loop has one of its own, and trio lets nobody wait in it for another one.
        errand = threading.Thread(target=_suppressed, args=(call,), daemon=True)
        errand.start()
        errand.join()


def _runs_a_loop() -> bool:
    try:
        current_token()
    except NoEventLoopError:
        return False
    return True


def _suppressed(call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # nobody is there to hear the line any more
        call()


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
        if threading.get_ident() == self._home.thread:
            if self._is_admitted():
                self._send_line(*self._line(level, message, fields))
        elif not self._budget.refuses_unasked():
            deliver = partial(self._deliver, *self._line(level, message, fields))
            self._home.call(deliver)

    def _line(self, level: Level, message: str, fields: dict[str, Any]) -> tuple[WriteLog, int]:
        """Return a line and about how many bytes it has in the log."""
        node, iteration, attempt, path = self._step
        text = _text(str(message))
        shown, size = _fitting(fields)
        return WriteLog(node, iteration, attempt, level, text, shown, path), size + len(text.encode())

    def _deliver(self, line: WriteLog, size_bytes: int) -> None:
        if self._is_admitted():
            self._send_line(line, size_bytes)

    def _is_admitted(self) -> bool:
        is_admitted = self._budget.admit()
        if (dropped := self._budget.take_due(is_admitted=is_admitted)) is not None:
            self._send(dropped)
        return is_admitted

    def _send_line(self, line: WriteLog, size_bytes: int) -> None:
        self._budget.spend(size_bytes)
        self._send(line)


def _text(text: str) -> str:
    """Return a text that is UTF-8, cut to `MAX_LINE_BYTES`: cut first, so that a long one is not copied."""
    encoded = text[:MAX_LINE_BYTES].encode("utf-8", "backslashreplace")
    if len(text) <= MAX_LINE_BYTES and len(encoded) <= MAX_LINE_BYTES:
        return encoded.decode()
    return f"{encoded[:MAX_LINE_BYTES].decode('utf-8', 'ignore')}… ({len(text)} characters)"


def _json(value: Any) -> Any:
    try:
        return checked_copy(value)
    except NotJson:
        return _text(repr(value))


def _fitting(fields: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return fields as JSON, or what is said in place of too many, and about how many bytes that is."""
    if not fields:
        return fields, 0
    if any(isinstance(value, str | bytes | bytearray) and len(value) > MAX_LINE_BYTES for value in fields.values()):
        return _omitted(f"more than {MAX_LINE_BYTES}", fields)
    shown = {_text(key): _json(value) for key, value in fields.items()}
    size = encoded_size(shown)
    return _omitted(str(size), fields) if size > MAX_LINE_BYTES else (shown, size)


def _omitted(size: str, fields: dict[str, Any]) -> tuple[dict[str, Any], int]:
    said = _text(f"{size} bytes of fields: {', '.join(fields)[:200]}")
    return {"omitted": said}, len(said)
