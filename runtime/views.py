"""What the engine answers to those who ask: frozen, and only of what is committed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from runtime.errors import Problem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GraphCreated:
    """Answer of `create_graph`. The same definition always gets the same id and version."""

    graph_id: str
    version: str
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class GraphView:
    """A stored graph.

    Attributes:
        definition: The definition as JSON text, exactly as it was accepted.
    """

    graph_id: str
    version: str
    created_at: datetime
    definition: bytes


@dataclass(frozen=True, slots=True)
class GraphSummary:
    """A line of the list of graphs; `nodes` is their number."""

    graph_id: str
    name: str
    description: str
    nodes: int
    entry_point: str


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A line of the list of runs. `status` is a `RunStatus` word."""

    run_id: str
    graph_id: str
    status: str
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class AcceptedRun(RunSummary):
    """Answer of `submit`.

    Attributes:
        is_replay: The run was submitted before, under the same idempotency key; nothing was changed.
    """

    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as far as it is committed.

    Attributes:
        status: A `RunStatus` word.
        state_json: The `WorkflowState` as a JSON object, encoded.
        last_seq: Number of the newest record that `state_json` takes in.
    """

    run_id: str
    graph_id: str
    status: str
    state_json: bytes
    last_seq: int
    error: str | None = None

    @property
    def state(self) -> dict[str, Any]:
        """The state, decoded anew at each call."""
        decoded: dict[str, Any] = msgspec.json.decode(self.state_json)
        return decoded


@dataclass(frozen=True, slots=True)
class SignalReceipt:
    """Answer of `signal`.

    Attributes:
        signal_id: The id it was sent with, or the one it was given.
        duplicate: Whether the run had a signal with this id already; then nothing was changed.
    """

    signal_id: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Approval:
    """A question that a run waits for somebody to answer.

    Attributes:
        approval: What `answer` takes, such as `review#1`, or `pay#1/review#2` in a sub-graph.
        iteration: Iteration of the node, from 1.
        path: The sub-graph or map item it stands in, "" at the top.
        answer_schema: JSON Schema that the answer has to fit; None when any JSON value will do.
        due: When the question times out; None when it never does.
    """

    approval: str
    node: str
    iteration: int
    path: str
    prompt: str
    answer_schema: dict[str, Any] | bool | None
    requested_at: datetime
    due: datetime | None


class LogRecord(msgspec.Struct, frozen=True):
    """One committed record of a run's log.

    Attributes:
        seq: Number in the run, from 1, without gaps.
        encoded: The record as a JSON object: the bytes of journal, stream and `execution_log` alike.
    """

    seq: int
    encoded: bytes

    @property
    def data(self) -> Mapping[str, Any]:
        """The record, decoded anew at each call."""
        decoded: dict[str, Any] = msgspec.json.decode(self.encoded)
        return decoded

    @property
    def event(self) -> str:
        """The event's name, a word of the vocabulary in `docs/events.md`."""
        return str(self.data["event"])


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, newest first; `next_cursor` asks for the part after it, None at the end."""

    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """Counts since start unless said otherwise.

    Attributes:
        graphs: Stored graphs, now.
        runs: Stored runs, now.
        active: Runs that hold an actor, now.
        pending: Accepted runs that wait for one, now.
        deleted_runs: Ended runs that were deleted, as `keep_ended_s` and `keep_ended_runs` say.
        abandoned_now: Abandoned attempts whose tools still run.
        blocking_tools: References of the tools that blocked the event loop.
        loop_lag_ms: By how much the event loop was late at most, in the last few seconds.
        durability: `none` for the memory journal, else `fsync`.
    """

    graphs: int
    runs: int
    active: int
    pending: int
    finished: int
    deleted_runs: int
    abandoned_attempts: int
    abandoned_now: int
    rejected_results: int
    blocking_tools: tuple[str, ...]
    loop_lag_ms: int
    durability: str
