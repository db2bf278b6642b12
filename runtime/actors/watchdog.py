"""Notices when the event loop does not turn, and which tool is to blame: an asynchronous tool that blocks instead of waiting.

A task beats, and a thread looks whether it has. Nothing in the event loop could tell that it stands still; and while it does,
the stack of its thread says why. A tool is only blamed if the same call stood there twice, or for so long that the thread could
not look: a loop that is merely busy with thousands of calls shows another one at every look.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import PurePath
from types import FrameType
from typing import Final

import anyio
from structlog.typing import FilteringBoundLogger

from runtime.actors.calls import NodeCall

BEATS_PER_LIMIT: Final = 4
REMEMBERED_BEATS: Final = 20
MAX_FRAMES: Final = 12
_ENGINE: Final = ("runtime.actors.", "runtime.json_values")
"""Modules that work on a call for the engine's own sake: what they take long for is not the tool's doing."""


class Watchdog:
    """Watches the event loop that `beat` runs in; a thread has to call `look` every `every_s` seconds.

    Attributes:
        every_s: Seconds between two beats.
        blocking: References of the tools that blocked the event loop, to which this adds.
    """

    def __init__(self, limit_s: float, log: FilteringBoundLogger, blocking: set[str]) -> None:
        self.every_s = limit_s / BEATS_PER_LIMIT
        self.blocking = blocking
        self._limit_s = limit_s
        self._log = log
        self._thread = 0
        self._beat: float | None = None  # when the loop turned last; None as long as it does not matter
        self._late = deque([0.0], maxlen=REMEMBERED_BEATS)
        self._is_stalled = False
        self._suspect: NodeCall | None = None
        self._looked, self._used = time.monotonic(), time.process_time()

    @property
    def lag_ms(self) -> int:
        """By how much the event loop was late at most, in the last few seconds."""
        now = 0.0 if self._beat is None else time.monotonic() - self._beat - self.every_s
        return round(max(now, *self._late) * 1_000)

    async def beat(self) -> None:
        """Note that the event loop turns, until cancelled."""
        self._thread = threading.get_ident()
        self._beat = time.monotonic()
        try:
            while True:
                await anyio.sleep(self.every_s)
                now = time.monotonic()
                self._late.append(max(0.0, now - self._beat - self.every_s))
                self._beat = now
        finally:
            self._beat = None

    def look(self) -> None:
        """Tell the log, once, if the event loop has not turned for too long. Called by a thread of its own."""
        now, used = time.monotonic(), time.process_time()
        since_look, has_worked = now - self._looked, used - self._used > self._limit_s / 2
        self._looked, self._used = now, used
        beat = self._beat
        stands_s = 0.0 if beat is None else now - beat
        if stands_s < 2 * self.every_s:
            self._suspect, self._is_stalled = None, False
            return
        was_kept_off = since_look > self._limit_s
        if was_kept_off and not has_worked:
            return  # the whole process was stopped, and the loop with it
        frame = sys._current_frames().get(self._thread)
        call = None if frame is None else called_in(frame)
        is_certain = call is not None and (call is self._suspect or was_kept_off)
        self._suspect = call
        if stands_s > self._limit_s and not self._is_stalled:
            self._is_stalled = True
            self._tell(call if is_certain else None, stands_s, frame)

    def _tell(self, call: NodeCall | None, lag_s: float, frame: FrameType | None) -> None:
        facts = {"lag_s": round(lag_s, 3), "stack": stack_of(frame)}
        if call is None:
            self._log.warning("loop_blocked", **facts)
            return
        self.blocking.add(call.tool.reference)
        self._log.warning("tool_blocks_loop", tool=call.tool.reference, node=call.name, run_id=call.run_id, **facts)


class Watch:
    """The thread that looks: it calls every one of `looks` again and again, from `start` until `stop`."""

    def __init__(self, looks: Sequence[Callable[[], None]], every_s: float) -> None:
        self._looks = looks
        self._every_s = every_s
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start looking, if there is anything to look at."""
        if self._looks:
            threading.Thread(target=self._run, name="engine watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            for look in self._looks:
                look()


def called_in(frame: FrameType) -> NodeCall | None:
    """Return the call whose tool is at work in a stack, if one is."""
    inner: FrameType | None = None
    outer: FrameType | None = frame
    while outer is not None:
        if "call" in outer.f_code.co_varnames and isinstance(call := outer.f_locals.get("call"), NodeCall):
            works_for_itself = inner is not None and not str(inner.f_globals.get("__name__")).startswith(_ENGINE)
            return call if works_for_itself else None
        inner, outer = outer, outer.f_back
    return None


def stack_of(frame: FrameType | None) -> str:
    """Return the innermost frames of a stack in one line, the innermost first."""
    places: list[str] = []
    while frame is not None and len(places) < MAX_FRAMES:
        code = frame.f_code
        places.append(f"{code.co_name} ({PurePath(code.co_filename).name}:{frame.f_lineno})")
        frame = frame.f_back
    return " < ".join(places)
