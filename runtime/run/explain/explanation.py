"""What an explanation is made of: frozen data that encodes to JSON; what has nothing to say is left out there."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from runtime.graph.plan import NodeKind
from runtime.run.explain.trace import Status
from runtime.run.records import Failure, Handling, StoppingReason

EdgeState = Literal["taken", "late", "dead", "held", "undecided"]
ReasonKind = Literal[
    "always",
    "condition",
    "default",
    "error",
    "loop_goes_on",
    "not_first",
    "default_unused",
    "succeeded",
    "failed",
    "source_skipped",
    "source_cancelled",
    "never_taken",
    "not_begun",
    "not_ended",
    "not_tested",
]
WaitKind = Literal[
    "node",
    "loop",
    "time",
    "signal",
    "approval",
    "retry",
    "worker",
    "call",
    "mutex",
    "place",
    "graph",
    "items",
    "turn",
    "run_paused",
    "run_blocked",
    "run_ending",
]


@dataclass(frozen=True, slots=True)
class Live:
    """What only the running process knows.

    Attributes:
        calls: Path and node of every tool that is being called.
        queued: Path and node of every attempt that waits for a worker.
        waits_for_place: Whether the run waits for its turn, because as many as may be active are.
    """

    calls: AbstractSet[tuple[str, str]] = frozenset()
    queued: AbstractSet[tuple[str, str]] = frozenset()
    waits_for_place: bool = False


class Loop(Struct, frozen=True, omit_defaults=True):
    """A loop that goes on. `iteration` counts from when it was last entered; `max_iterations` is that of its definition."""

    node: str
    iteration: int
    max_iterations: int | None = None


class Reason(Struct, frozen=True, omit_defaults=True):
    """Why an edge is as it is: a word, and the same as a clause.

    Attributes:
        operands: What the condition saw, as in the records.
        instead: Index of the edge that was taken instead.
        status: Where the edge's source stands, while it has not ended.
        causes: The in-edges of a source that was skipped.
        loops: The loops that hold the edge, innermost first.
    """

    kind: ReasonKind
    text: str
    operands: tuple[dict[str, Any], ...] = ()
    instead: int | None = None
    status: Status | None = None
    causes: "tuple[Edge, ...]" = ()
    loops: tuple[Loop, ...] = ()


class Edge(Struct, frozen=True, omit_defaults=True):
    """An edge as it stands for one activation.

    Attributes:
        state: `held`: it leaves a loop that goes on; `late`: taken when its target had been decided already.
        back: Whether it begins the next iteration of a loop.
        iteration: Iteration of the source that decided it.
        seq: Number of the record that decided it.
    """

    index: int
    from_node: str
    to_node: str
    state: EdgeState
    reason: Reason
    back: bool = False
    iteration: int | None = None
    seq: int | None = None


class Join(Struct, frozen=True):
    """What the in-edges have to be for the node to run. `needs` is 0 where all have to be decided and one taken."""

    needs: int
    total: int
    decided: int
    taken: int
    text: str


class Attempt(Struct, frozen=True, omit_defaults=True):
    """One attempt. `outcome` is `lost` if the process ended during it, or the run was forked."""

    number: int
    outcome: Literal["running", "completed", "failed", "cancelled", "lost"]
    tool: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    duration_ms: float | None = None
    error: Failure | None = None


class Wait(Struct, frozen=True, omit_defaults=True):
    """Something that the node waits for now.

    Attributes:
        text: A clause that follows "it".
        node: Whom it waits for: a node that holds it up, or that has the mutex; `status` says where that stands.
        until: When the wait is over, or times out; `seconds_left` until then, negative if it is over.
        path: The sub-graph that it waits for.
    """

    kind: WaitKind
    text: str
    node: str | None = None
    status: Status | None = None
    loop: Loop | None = None
    until: datetime | None = None
    seconds_left: float | None = None
    signal: str | None = None
    approval: str | None = None
    prompt: str | None = None
    mutex: str | None = None
    path: str | None = None
    reason: str | None = None


class LoopTest(Struct, frozen=True, omit_defaults=True):
    """How the loop definition of the node was tested after it."""

    outcome: Literal["goes_on", "over", "exhausted"]
    max_iterations: int
    operands: tuple[dict[str, Any], ...] = ()


class Items(Struct, frozen=True, omit_defaults=True):
    """How far a map is.

    Attributes:
        stopping: Why no further item starts; `operands` is what `until` saw.
        first_failed: The first item that failed, and its `error`.
    """

    total: int
    running: int
    completed: int
    failed: int
    cancelled: int
    stopping: StoppingReason | None = None
    operands: tuple[dict[str, Any], ...] = ()
    first_failed: int | None = None
    error: Failure | None = None


class Activation(Struct, frozen=True, omit_defaults=True):
    """One iteration of the node that began, was skipped, or is being waited for.

    Attributes:
        text: The whole of it in sentences.
        reason: Why it was skipped, as its record says.
        in_edges: What let it run, or not: the forward edges, or the back-edges that began a further iteration of a loop.
        origins: Where the dead path begins that it was skipped on.
        join: None where a run begins, and for further iterations of a loop.
        out_edges: What it decided, in the order of the tests.
        unmatched: Whether none of them held, so that the path ends here.
        outcome: What ended a wait or stopped the step, as a clause.
        stopped_by: Why the run was ending when the step did, so that it did not route.
        error: What the step failed with, and how that was `handled`.
        run_error: What the run failed with, here.
    """

    iteration: int
    status: Status
    text: str
    reason: str | None = None
    in_edges: tuple[Edge, ...] = ()
    origins: tuple[Edge, ...] = ()
    join: Join | None = None
    attempts: tuple[Attempt, ...] = ()
    waits_for: tuple[Wait, ...] = ()
    items: Items | None = None
    loop_test: LoopTest | None = None
    out_edges: tuple[Edge, ...] = ()
    unmatched: bool = False
    outcome: str | None = None
    stopped_by: str | None = None
    error: Failure | None = None
    handled: Handling | None = None
    run_error: Failure | None = None


class Explanation(Struct, frozen=True, omit_defaults=True):
    """Why a node ran, did not run, or waits.

    Attributes:
        path: The sub-graph or map item it stands in, "" at the top.
        type: What a step of the node does.
        text: The newest activation in sentences, and how many there were.
        counts: Number of activations by status, also of those that are not listed.
        activations: The newest ones, newest last.
        in_edges: How its in-edges stand, for a node that never came into question.
    """

    run_id: str
    node: str
    path: str
    type: NodeKind
    text: str
    counts: dict[Status, int]
    activations: tuple[Activation, ...]
    in_edges: tuple[Edge, ...] = ()
