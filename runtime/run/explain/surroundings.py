"""What a frame's records do not say: how the run stands, and how the steps around a sub-graph or a map item do."""

import re
from collections.abc import Mapping
from typing import Final

from runtime.run.explain.clauses import failure
from runtime.run.records import (
    EndReached,
    ItemCancelled,
    ItemCompleted,
    ItemFailed,
    ItemRecord,
    ItemStarted,
    MapStopping,
    Record,
    RunBlocked,
    RunCancelRequested,
    RunDeadlinePassed,
    RunFailing,
    RunFinishing,
    RunForked,
    RunPaused,
    RunRecovered,
    RunResumed,
    RunRetried,
    RunStarted,
    RunStatus,
    StepCancelled,
    StepCancelRequested,
    StepCompleted,
    StepFailed,
    StepRecord,
    StepStarted,
)


class Surroundings:
    """What the records say about the run, and about the steps around the frame at `path`.

    Attributes:
        begun: Whether the frame has begun; that of the run has as soon as it is accepted.
        started: Whether the run has got its turn.
        stopping: Why nothing new starts in the frame, as a clause; None if it may.
        finishing: Whether the frame has come to its end, where its `finally` nodes run.
        endings: How often it came to its end.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.run_id = ""
        self.begun = not path
        self.started = False
        self.paused = False
        self.blocked: str | None = None
        self.stopping: str | None = None
        self.finishing = False
        self.endings = 0
        self._around = _around(path)
        self._ended: dict[str, str] = {}

    @property
    def ended(self) -> str | None:
        """How the run, or a step around the frame, ended, as a clause; None if none has."""
        return next(iter(self._ended.values()), None)

    def follow(self, record: Record, path: str) -> None:
        """Take in the next record of the run, one of the frame at `path`."""
        if isinstance(record, StepRecord):
            self._follow_step(record, path)
        else:
            self._follow_run(record, path)

    def _follow_step(self, record: StepRecord, path: str) -> None:
        if self.is_inside(path):
            self._ended.clear()  # if it had, a retry of the run revived it
        else:
            self._follow_around(record, path)
        if isinstance(record, EndReached) and self._is_here_or_around(path):
            self.stopping = self.stopping or f"end node {record.node!r} was reached"

    def _follow_run(self, record: Record, path: str) -> None:
        self.run_id = record.run_id
        match record:
            case RunStarted():
                self.started = True
            case RunForked():
                self.started = True
                self.paused = False
                self.blocked = None
            case RunPaused():
                self.paused = True
            case RunResumed():
                self.paused = False
            case RunBlocked():
                self.blocked = record.reason
            case RunRecovered():
                self.blocked = None
            case RunRetried():
                self.stopping = None
                self.finishing = False
                self._ended.pop("", None)
            case RunCancelRequested() | RunDeadlinePassed():
                self.paused = False
                is_cancel = isinstance(record, RunCancelRequested)
                self.stopping = self.stopping or ("the run is being cancelled" if is_cancel else "the run's time is up")
            case RunFailing() if self._is_here_or_around(path):
                self.stopping = self.stopping or f"{graph_at(path)} is failing ({failure(record.error)})"
            case RunFinishing() if path == self.path:
                self.finishing = True
                self.endings += 1
        if record.terminal is not None:
            error = getattr(record, "error", None)
            how = _ENDS[record.terminal]
            self._ended[""] = f"the run {how}" + (f" ({failure(error)})" if error else "")

    def is_inside(self, path: str) -> bool:
        """Return whether a path is that of the frame, or of one inside it."""
        return not self.path or path == self.path or path.startswith(f"{self.path}/")

    def _is_here_or_around(self, path: str) -> bool:
        return path in ("", self.path) or self.path.startswith(f"{path}/")

    def _follow_around(self, record: StepRecord, path: str) -> None:
        """Take in a record of another frame, if it is about a step, or an item, around this one."""
        for inside, around, node, iteration, item in self._around:
            is_other = isinstance(record, ItemRecord) and record.item != item
            if (path, record.node, record.iteration) != (around, node, iteration) or is_other:
                continue
            self._end_or_begin(record, inside, f"item {item} of {node!r}" if item is not None else repr(node))

    def _end_or_begin(self, record: StepRecord, inside: str, what: str) -> None:
        match record:
            case ItemStarted():
                self.begun = self.begun or inside == self.path
            case StepStarted():
                self.begun = self.begun or (inside == self.path and not inside.endswith("]"))
            case StepCancelRequested():
                self.stopping = self.stopping or f"{what} is being cancelled"
            case MapStopping():
                self.stopping = self.stopping or "the map around it needs no more"
            case StepCompleted() | ItemCompleted():
                self._ended[inside] = f"{what} completed"
            case StepFailed() | ItemFailed():
                self._ended[inside] = f"{what} failed"
            case StepCancelled() | ItemCancelled():
                self._ended[inside] = f"{what} was cancelled"


def graph_at(path: str) -> str:
    """Return what people call the frame at a path."""
    if not path:
        return "the run"
    return "the item" if path.endswith("]") else "the sub-graph"


_ENDS: Final[Mapping[RunStatus, str]] = {
    RunStatus.COMPLETED: "completed",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "was cancelled",
    RunStatus.TIMED_OUT: "timed out",
    RunStatus.DEAD_LETTERED: "was put aside",
}
_SEGMENT: Final = re.compile(r"(.*)#(\d+)(?:\[(\d+)\])?", re.DOTALL)


def _around(path: str) -> list[tuple[str, str, str, int, int | None]]:
    """Return the steps around a frame: the path inside, the path outside, node, iteration and item; outermost first.

    A path that is none names no steps, so that nothing ever begins there.
    """
    steps = []
    outside = ""
    for part in path.split("/") if path else ():
        match = _SEGMENT.fullmatch(part)
        if match is None:
            return []
        name = match[1].replace("~1", "/").replace("~0", "~")
        inside = f"{outside}/{part}" if outside else part
        steps.append((inside, outside, name, int(match[2]), None if match[3] is None else int(match[3])))
        outside = inside
    return steps
