"""Every record a run's log can hold: one vocabulary for journal, console, `execution_log` and WebSocket.

A record is what happened, in the past tense. The records of a run are numbered 1..n without gaps, and folding them with
`apply` gives the run back; so a record carries everything that `apply` needs and nothing a client may not see.
`docs/events.md` is this file for readers.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

Level = Literal["debug", "info", "warning", "error"]
Handling = Literal["route", "continue", "fail_run"]
DeadReason = Literal["condition", "not_first", "default_unused", "loop_goes_on", "succeeded", "failed"]
CancelReason = Literal["join", "timeout", "map"]
StoppingReason = Literal["item_failed", "until", "signal"]
RecoveryCause = Literal["restart", "killed", "crash", "tools_back"]


class RunStatus(StrEnum):
    """The status words of the documented API."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    DEAD_LETTERED = "dead_lettered"

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self in _FINAL


_FINAL: Final = frozenset(
    {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMED_OUT, RunStatus.DEAD_LETTERED}
)


class Failure(Struct, frozen=True):
    """Why a step or a run failed: a stable code and a sentence."""

    code: str
    message: str


def _event_name(class_name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in class_name).lstrip("_")


class Record(Struct, kw_only=True, tag_field="event", tag=_event_name):
    """Base of all records. `seq` and `timestamp` are given when a record is emitted.

    Keys with the value `UNSET` do not appear in the JSON.

    Attributes:
        path: The sub-graph or map item that the record is about, such as `pay#1` or `each#1[3]/pay#2`; unset at the top.
    """

    terminal: ClassVar[RunStatus | None] = None

    seq: int = 0
    timestamp: datetime | UnsetType = UNSET
    level: Level = "info"
    run_id: str = ""
    path: str | UnsetType = UNSET

    @property
    def event(self) -> str:
        """The event's name, such as `step_started`."""
        return str(type(self).__struct_config__.tag)


class StepRecord(Record, kw_only=True):
    """Base of the records about one step. `iteration` counts the runs of the innermost loop around the node, from 1."""

    node: str
    iteration: int = 1


# --- the run ----------------------------------------------------------------------------------------------------------


class RunSubmitted(Record, kw_only=True):
    """The run was accepted; `tools` pins the exact tool version of each node."""

    graph_id: str
    tools: dict[str, str]
    initial_state: dict[str, Any]


class RunStarted(Record, kw_only=True):
    """The run got its actor. It times out at `deadline`."""

    deadline: datetime


class RunRecovering(Record, kw_only=True):
    """The run's actor is about to be rebuilt from the journal. If nothing follows, that is what ended the process."""

    level: Level = "warning"
    cause: RecoveryCause
    detail: str | UnsetType = UNSET


class RunRecovered(Record, kw_only=True):
    """The run was rebuilt, or the tools that it was waiting for are back, and goes on."""

    level: Level = "warning"
    cause: RecoveryCause


class RunBlocked(Record, kw_only=True):
    """The run waits for something that the operator has to bring back; it goes on at the next start that has it."""

    level: Level = "warning"
    reason: str


class RunCancelRequested(Record, kw_only=True):
    """No step starts after this record; running attempts are being cancelled."""


class RunDeadlinePassed(Record, kw_only=True):
    """The run took longer than its `timeout_s`; no step starts after this record."""

    level: Level = "error"
    timeout_s: float


class RunFailing(Record, kw_only=True):
    """A failure that nothing handles: no step starts after this record, running attempts may finish."""

    level: Level = "error"
    error: Failure
    node: str | UnsetType = UNSET
    iteration: int | UnsetType = UNSET


class RunPaused(Record, kw_only=True):
    """Nothing starts after this record until `run_resumed`; running attempts go on to their end."""


class RunResumed(Record, kw_only=True):
    """The run goes on."""


class RunRetried(Record, kw_only=True):
    """The run that had ended goes on with the steps that failed or were stopped, until `deadline` at the latest."""

    deadline: datetime


class RunForked(Record, kw_only=True):
    """The run begins here: the records before this one were taken over from another run.

    `node` and `iteration` name the step that is to run next, with `update` put over its input.
    """

    source_run_id: str
    source_seq: int
    node: str
    iteration: int
    deadline: datetime
    update: dict[str, Any] | UnsetType = UNSET


class RunFinishing(Record, kw_only=True):
    """Nothing is left to do but the `finally` nodes; then the run, or the sub-graph at `path`, ends as `status`."""

    status: RunStatus
    error: Failure | UnsetType = UNSET


class SignalReceived(Record, kw_only=True):
    """A signal came in; it is kept until a node takes it."""

    id: str
    name: str
    data: Any = UNSET


class RunCompleted(Record, kw_only=True):
    """The run ended with nothing left to do."""

    terminal: ClassVar[RunStatus | None] = RunStatus.COMPLETED
    steps: int
    duration_ms: float


class RunFailed(Record, kw_only=True):
    """The run ended because of `error`."""

    terminal: ClassVar[RunStatus | None] = RunStatus.FAILED
    level: Level = "error"
    error: Failure
    node: str | UnsetType = UNSET
    steps: int
    duration_ms: float


class RunCancelled(Record, kw_only=True):
    """The run ended by request."""

    terminal: ClassVar[RunStatus | None] = RunStatus.CANCELLED
    level: Level = "warning"
    steps: int
    duration_ms: float


class RunTimedOut(Record, kw_only=True):
    """The run ended because its time was up."""

    terminal: ClassVar[RunStatus | None] = RunStatus.TIMED_OUT
    level: Level = "error"
    steps: int
    duration_ms: float


class RunDeadLettered(Record, kw_only=True):
    """The run was put aside: rebuilding it failed again and again."""

    terminal: ClassVar[RunStatus | None] = RunStatus.DEAD_LETTERED
    level: Level = "error"
    error: Failure


# --- steps ------------------------------------------------------------------------------------------------------------


class StepStarted(StepRecord, kw_only=True):
    """An attempt of a step began. A node that only routes starts and completes at once.

    `graph` is the id of the sub-graph that a `graph` node runs, or a `map` node for each of its `items`; `due` is when such a
    step is out of time.
    """

    attempt: int = 1
    tool: str | UnsetType = UNSET
    recovered: bool | UnsetType = UNSET
    graph: str | UnsetType = UNSET
    items: int | UnsetType = UNSET
    due: datetime | UnsetType = UNSET


class StepCompleted(StepRecord, kw_only=True):
    """An attempt succeeded. `update` was merged into the state key by key."""

    attempt: int = 1
    duration_ms: float = 0.0
    update: dict[str, Any]


class StepRetrying(StepRecord, kw_only=True):
    """An attempt failed; the next one starts at `due`."""

    level: Level = "warning"
    attempt: int
    error: Failure
    duration_ms: float = 0.0
    delay_ms: float
    due: datetime


class StepFailed(StepRecord, kw_only=True):
    """The step failed for good. `handled` says how `on_error` goes on: `route`, `continue`, or not at all."""

    level: Level = "error"
    attempt: int
    error: Failure
    duration_ms: float = 0.0
    handled: Handling
    abandoned: bool | UnsetType = UNSET


class StepCancelled(StepRecord, kw_only=True):
    """A step was ended because the run is ending, or goes on without it; in the latter case its out-edges are dead."""

    level: Level = "warning"
    attempt: int
    duration_ms: float = 0.0
    abandoned: bool | UnsetType = UNSET


class StepCancelRequested(StepRecord, kw_only=True):
    """The run goes on without this step: what it has running is being stopped.

    `join`: the join it leads to needs no more; `timeout`: its time is up; `map`: the map around it needs no more.
    """

    level: Level = "warning"
    reason: CancelReason


class StepSkipped(StepRecord, kw_only=True):
    """The node does not run in this iteration: too few of its in-edges were taken. Its own out-edges are dead."""

    level: Level = "debug"
    reason: str


# --- waiting, and ends ------------------------------------------------------------------------------------------------


class StepWaiting(StepRecord, kw_only=True):
    """A `wait` node waits: until an instant, or for a signal, with `until` as its time-out."""

    until: datetime | UnsetType = UNSET
    signal: str | UnsetType = UNSET


class SignalDelivered(StepRecord, kw_only=True):
    """The node took the signal with that id."""

    id: str


class ApprovalRequested(StepRecord, kw_only=True):
    """An `approval` node waits for an answer to `prompt`, until `due` at the latest."""

    approval: str
    prompt: str
    answer_schema: dict[str, Any] | bool | UnsetType = UNSET
    due: datetime | UnsetType = UNSET


class ApprovalAnswered(StepRecord, kw_only=True):
    """The answer, which is final; `timed_out` marks the one that the graph gives when nobody does."""

    answer: Any
    by: str | UnsetType = UNSET
    timed_out: bool | UnsetType = UNSET


class EndReached(StepRecord, kw_only=True):
    """An `end` node ends the run, or the sub-graph it stands in; what else runs there is being stopped."""


# --- maps -------------------------------------------------------------------------------------------------------------


class ItemRecord(StepRecord, kw_only=True):
    """Base of the records about one item of a `map` node, numbered from 0."""

    item: int


class ItemStarted(ItemRecord, kw_only=True):
    """The item's graph or tool begins."""

    level: Level = "debug"


class ItemCompleted(ItemRecord, kw_only=True):
    """The item has a result."""

    level: Level = "debug"


class ItemFailed(ItemRecord, kw_only=True):
    """The item has none."""

    level: Level = "warning"
    error: Failure


class ItemCancelled(ItemRecord, kw_only=True):
    """The item was stopped, because the map needs it no more or the run is ending."""

    level: Level = "debug"


class MapStopping(StepRecord, kw_only=True):
    """No further item of the map starts, and those that run are being stopped."""

    reason: StoppingReason
    operands: list[dict[str, Any]] | UnsetType = UNSET


# --- edges and loops --------------------------------------------------------------------------------------------------


class EdgeTaken(StepRecord, kw_only=True):
    """A node routed along an edge. `operands` are those of its condition; `late` marks one that a join no longer waits for.

    `edge` is the edge's index in the graph; a loop that repeats its own node has an edge past the last one.
    """

    level: Level = "debug"
    edge: int
    to_node: str
    operands: list[dict[str, Any]] | UnsetType = UNSET
    late: bool | UnsetType = UNSET


class EdgeDead(StepRecord, kw_only=True):
    """A node routed, and not along this edge."""

    level: Level = "debug"
    edge: int
    to_node: str
    reason: DeadReason
    operands: list[dict[str, Any]] | UnsetType = UNSET


class RouteUnmatched(StepRecord, kw_only=True):
    """No edge of the node held, so this path ends here; `operands` are all that were tested."""

    level: Level = "warning"
    operands: list[dict[str, Any]]


class LoopIteration(StepRecord, kw_only=True):
    """An iteration of the loop ended and the next one, `iteration`, begins. `entered` counts within this entry of the loop."""

    scope: int
    entered: int
    max_iterations: int | UnsetType = UNSET


class LoopEnding(StepRecord, kw_only=True):
    """The condition of the node's loop definition holds: no further iteration begins because of it."""

    level: Level = "debug"
    operands: list[dict[str, Any]]


class LoopExhausted(StepRecord, kw_only=True):
    """The loop reached `max_iterations` with its condition still false; the run goes on along the exit edges."""

    level: Level = "warning"
    max_iterations: int
    operands: list[dict[str, Any]]


class LoopCompleted(StepRecord, kw_only=True):
    """The loop is over after `entered` iterations; the edges that leave it are now decided."""

    scope: int
    entered: int


# --- logs -------------------------------------------------------------------------------------------------------------


class ToolLog(StepRecord, kw_only=True):
    """A line that a tool wrote."""

    attempt: int
    message: str
    fields: dict[str, Any] | UnsetType = UNSET


class ToolLogDropped(Record, kw_only=True):
    """Lines that tools of this run wrote faster than the limit, or beyond what one run may write; they are not in the log."""

    level: Level = "warning"
    count: int
    reason: Literal["run_limit"] | UnsetType = UNSET


AnyRecord = (
    RunSubmitted
    | RunStarted
    | RunRecovering
    | RunRecovered
    | RunBlocked
    | RunCancelRequested
    | RunDeadlinePassed
    | RunFailing
    | RunPaused
    | RunResumed
    | RunRetried
    | RunForked
    | RunFinishing
    | SignalReceived
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunTimedOut
    | RunDeadLettered
    | StepStarted
    | StepCompleted
    | StepRetrying
    | StepFailed
    | StepCancelled
    | StepCancelRequested
    | StepSkipped
    | StepWaiting
    | SignalDelivered
    | ApprovalRequested
    | ApprovalAnswered
    | EndReached
    | ItemStarted
    | ItemCompleted
    | ItemFailed
    | ItemCancelled
    | MapStopping
    | EdgeTaken
    | EdgeDead
    | RouteUnmatched
    | LoopIteration
    | LoopEnding
    | LoopExhausted
    | LoopCompleted
    | ToolLog
    | ToolLogDropped
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)
encode_json = _encoder.encode
"""Encode a JSON value or a record; about 0.3 microseconds for a small record."""


def encode_records(records: Sequence[Record]) -> list[bytes]:
    """Return each record as one line of JSON, without the line end."""
    return [_encoder.encode(record) for record in records]


def decode_record(line: bytes) -> AnyRecord:
    """Return the record that `encode_records` wrote.

    Raises:
        msgspec.ValidationError: The line is no record of this vocabulary.
    """
    return _decoder.decode(line)
