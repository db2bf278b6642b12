"""A run as its records tell it: where every node, edge, loop and token stands.

Filled only by `apply.py`, read by the deciding modules beside it. Nodes, edges and scopes are named by their index in the plan.

A run is a tree of *frames*: the run itself is the outermost one, and every running sub-graph and every running item of a map
is a frame inside the step that started it.

Tokens: the entry gives a run one token; a node takes the tokens of its taken in-edges and holds one while it is active; each
forward edge it takes then gets one. So a run is over when no token is left, and a loop's iteration when none is left in its
scope. Edges that leave a loop are *held* until it ends, and a taken back-edge waits for the next iteration: neither counts.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from runtime.errors import escape
from runtime.graph.definition import RetryDefinition
from runtime.graph.plan import ROOT, Plan
from runtime.run.records import ApprovalRequested, CancelReason, Failure, RecoveryCause, RunStatus, StoppingReason
from runtime.run.state import View, WorkflowState


class NodeStatus(IntEnum):
    """Where a node stands in the present iteration of its scope."""

    IDLE = 0
    ACTIVE = 1
    COMPLETED = 2
    FAILED = 3
    SKIPPED = 4
    CANCELLED = 5


class EdgeStatus(IntEnum):
    """Where an edge stands in the present iteration of its scope."""

    UNDECIDED = 0
    TAKEN = 1
    DEAD = 2


@dataclass(frozen=True, slots=True)
class StepPolicy:
    """How one node's step is tried: what the node says, else what its tool's effect implies. Times in seconds.

    Attributes:
        tool: `name@version`; None for a node that calls none itself.
        reruns: Whether an attempt that a crash interrupted may be started again.
        waits: Whether an attempt starts only once everything before it is durable.
        timeout_s: Bound of one attempt; of the whole step, where a graph runs in it, and None there without one.
        inside: Policies of the graph that runs in the step.
    """

    tool: str | None = None
    max_attempts: int = 1
    reruns: bool = True
    waits: bool = False
    timeout_s: float | None = 60.0
    retry: RetryDefinition = field(default_factory=RetryDefinition)
    inside: Sequence["StepPolicy"] = ()


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal that came in; `seq` is the number of its record, `size` that of its data in bytes."""

    id: str
    name: str
    data: Any
    seq: int
    size: int


@dataclass(slots=True)
class MapProgress:
    """How far a `map` step is.

    Attributes:
        results: Result by item; None for those without one.
        todo: Items that have not begun, in order.
        completed: Number of items with a result.
        running: Frames of the items that run, by item.
        halted: Frames of items that failed or were stopped with the map, for a retry of the run.
        errors: What went wrong, by item.
        stopping: Why no further item starts.
    """

    items: Sequence[Any]
    results: list[Any]
    todo: deque[int]
    completed: int = 0
    running: dict[int, "Frame"] = field(default_factory=dict)
    halted: dict[int, "Frame"] = field(default_factory=dict)
    errors: dict[int, Failure] = field(default_factory=dict)
    stopping: StoppingReason | None = None


@dataclass(slots=True)
class Step:
    """An active node.

    Attributes:
        order: Number of the record that started it.
        failures: Attempts that failed; those lost in a crash do not count.
        killed: Attempts that were lost because the process was killed.
        retry_due: When the next attempt starts; None while one is running.
        due: When a wait is over, or a sub-graph, a map or an approval is out of time.
        first_started: Start of the first attempt, for the retry budget.
        signal: Name of the signal that it waits for.
        is_parked: Whether it only waits: for a time, a signal or an answer.
        approval: The question that it waits for the answer to.
        cancelling: Why it is being stopped while the run goes on.
        frame: The sub-graph that runs in it.
        map: The items that run in it.
    """

    node: int
    iteration: int
    view: View
    attempt: int
    failures: int
    retry_due: datetime | None
    first_started: datetime
    order: int = 0
    due: datetime | None = None
    signal: str | None = None
    is_parked: bool = False
    approval: ApprovalRequested | None = None
    cancelling: CancelReason | None = None
    frame: "Frame | None" = None
    map: MapProgress | None = None
    killed: int = 0

    @property
    def frames(self) -> Sequence["Frame"]:
        """The frames that run in the step."""
        if self.map is not None:
            return tuple(self.map.running.values())
        return () if self.frame is None else (self.frame,)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for its next attempt, or only waits: ending it stops nothing that runs."""
        return self.is_parked or self.retry_due is not None


@dataclass(slots=True)
class Scope:
    """A loop's counters: `total` iterations ever begun, `entered` of them since it was last entered (0: not inside)."""

    total: int = 0
    entered: int = 0
    tokens: int = 0


@dataclass(slots=True, eq=False)
class Frame:
    """One graph in execution: that of the run, of a sub-graph's step, or of an item of a map.

    Attributes:
        path: Where it is, as in the records; empty at the top.
        parent: The frame whose step runs it, and `step`, the node of that step; None at the top.
        item: The index of the map's item.
        failing: The failure that nothing handles, once there is one.
        ending: What a cancellation, the deadline or an `end` node leads to, once there was one.
        finishing: What it ends as when the `finally` nodes have run.
        finals: How many of them have started in this ending.
        endings: How often it has come to its end.
        active: Active steps by node.
        stopped: Steps that ended with the frame, and run again in a retry.
        unrouted: What steps left behind that completed while the frame was stopping: a retry takes it on.
        rerouted: Those that the last retry took on.
        is_dead_end: Whether it failed by something that a retry cannot change.
        views: What each taken edge, or held one, carries.
        taken: Taken forward in-edges of each node, in this iteration of its scope.
        undecided: Forward in-edges of each node that are not decided yet.
        held: Number of views that wait on held edges and back-edges.
        outcome: What the node that ended last left behind: its out-edges, decided next, carry it.
        returned: Keys that steps of a sub-graph returned.
        policies: How each node's step is tried, by node.
    """

    plan: Plan
    state: WorkflowState
    nodes: list[NodeStatus]
    edges: list[EdgeStatus]
    views: list[View | None]
    undecided: list[int]
    taken: list[int]
    scopes: list[Scope]
    policies: Sequence[StepPolicy]
    path: str = ""
    parent: "Frame | None" = None
    step: int = 0
    item: int | None = None
    initial: View | None = None
    outcome: View | None = None
    active: dict[int, Step] = field(default_factory=dict)
    stopped: dict[int, Step] = field(default_factory=dict)
    unrouted: dict[int, View] = field(default_factory=dict)
    rerouted: dict[int, View] = field(default_factory=dict)
    is_dead_end: bool = False
    returned: set[str] = field(default_factory=set)
    held: int = 0
    failing: Failure | None = None
    failed_node: str | None = None
    ending: RunStatus | None = None
    finishing: RunStatus | None = None
    finals: int = 0
    endings: int = 0

    @property
    def is_stopping(self) -> bool:
        """Whether no further step may start, but for those of `finally` nodes."""
        if self.failing is not None or self.ending is not None:
            return True
        parent = self.parent
        return parent is not None and not parent.is_final(self.step) and parent.is_stopping

    def is_final(self, node: int) -> bool:
        """Whether the node is one that runs now because the frame has come to its end."""
        return self.finishing is not None and node in self.plan.final

    @property
    def is_alone(self) -> bool:
        """Whether it has one token only, so that nothing in it can be concurrent with that."""
        return self.scopes[ROOT].tokens == 1 and not self.held

    def iteration(self, node: int) -> int:
        """Return the number that a step of the node has, or would have if it began now."""
        if self.is_final(node):
            return self.endings
        index = self.plan.nodes[node].scope
        if index == ROOT:
            return 1
        scope = self.scopes[index]
        return scope.total if scope.entered else scope.total + 1

    def inside(self) -> Iterator["Frame"]:
        """Yield the frames inside, at any depth, each before those inside it."""
        for step in self.active.values():
            for frame in step.frames:
                yield frame
                yield from frame.inside()


@dataclass(slots=True, eq=False)
class Run(Frame):
    """The whole of one run.

    Attributes:
        status: A status word; `waiting` and `paused` are seen in `word` only.
        frames: Every frame, by path.
        waiting: Number of steps, in all frames, that only wait.
        working: Number of steps that run a tool or wait for a retry.
        steps: Number of steps ever started, in all frames.
        unbegun: Number of steps that failed before they could begin.
        recovered_from: Why it was rebuilt last.
        signals: Those that nobody took yet, oldest first.
        signal_ids: The ids of all that ever came.
        is_behind: Whether a decision stopped before everything was done that had become possible. Not part of the history:
            whoever rebuilds the run has everything looked at again.
        patch: Step of a fork, and what is put over its input.
    """

    run_id: str = ""
    tools: dict[str, str] = field(default_factory=dict)
    seq: int = 0
    status: RunStatus = RunStatus.PENDING
    blocked: str | None = None
    paused: bool = False
    started_at: datetime | None = None
    completed_at: datetime | None = None
    deadline: datetime | None = None
    frames: dict[str, Frame] = field(default_factory=dict)
    waiting: int = 0
    working: int = 0
    steps: int = 0
    unbegun: int = 0
    recovered_from: RecoveryCause | None = None
    signals: list[Signal] = field(default_factory=list)
    signal_ids: set[str] = field(default_factory=set)
    is_behind: bool = False
    patch: tuple[str, int, dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        self.frames[""] = self

    def patch_of(self, frame: Frame, node: int) -> dict[str, Any] | None:
        """Return what a fork puts over the input of the step that a node begins now."""
        return self.patch[2] if self.patch is not None and self.patch[:2] == (frame.path, node) else None

    @property
    def word(self) -> RunStatus:
        """The status that others see."""
        if self.status.is_final:
            return self.status
        if self.paused:
            return RunStatus.PAUSED
        if self.blocked is not None or (self.waiting and not self.working):
            return RunStatus.WAITING
        return self.status


def _tables(plan: Plan) -> dict[str, Any]:
    return {
        "state": WorkflowState(plan.reducers),
        "nodes": [NodeStatus.IDLE] * len(plan.nodes),
        "edges": [EdgeStatus.UNDECIDED] * len(plan.edges),
        "views": [None] * len(plan.edges),
        "undecided": list(plan.undecided),
        "taken": [0] * len(plan.nodes),
        "scopes": [Scope() for _ in plan.scopes],
    }


def new_run(plan: Plan, run_id: str, policies: Sequence[StepPolicy]) -> Run:
    """Return a run before its first record."""
    return Run(plan=plan, policies=policies, run_id=run_id, **_tables(plan))


def new_frame(parent: Frame, step: Step, item: int | None = None) -> Frame:
    """Return the frame of a sub-graph, or of an item of a map, before its first record."""
    node = parent.plan.nodes[step.node]
    if node.child is None:
        raise ValueError(f"node {node.name!r} has no graph inside")
    name = f"{escape(node.name)}#{step.iteration}{'' if item is None else f'[{item}]'}"
    return Frame(
        plan=node.child.plan,
        policies=parent.policies[step.node].inside,
        path=f"{parent.path}/{name}" if parent.path else name,
        parent=parent,
        step=step.node,
        item=item,
        **_tables(node.child.plan),
    )
