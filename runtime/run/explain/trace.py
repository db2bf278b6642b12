"""How one frame of a run came to where it stands: the record behind every decided edge and every step of one node.

The rules are those of `apply.py`; where that keeps state and counters, this keeps the records that changed them.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from runtime.graph.plan import ROOT, Plan, PlanEdge, PlanNode
from runtime.run.explain.surroundings import Surroundings
from runtime.run.records import (
    ApprovalRequested,
    EdgeDead,
    EdgeTaken,
    ItemFailed,
    ItemRecord,
    ItemStarted,
    LoopCompleted,
    LoopIteration,
    MapStopping,
    Record,
    RunFailing,
    RunRetried,
    StepCancelled,
    StepCancelRequested,
    StepCompleted,
    StepFailed,
    StepRecord,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepWaiting,
    ToolLog,
)

R = TypeVar("R", bound=Record)

Status = Literal[
    "waiting_for_edges",
    "ready",
    "running",
    "retry_wait",
    "waiting_time",
    "waiting_signal",
    "waiting_approval",
    "completed",
    "failed",
    "skipped",
    "cancelled",
]
"""Where an activation of a node stands."""

OVER: Final = frozenset[Status | None]({"completed", "failed", "skipped", "cancelled"})

Causes = Sequence[tuple[int, "Decided | None"]]
"""Edges, and how they were decided."""


@dataclass(frozen=True, slots=True)
class Decided:
    """How an edge was decided.

    Attributes:
        state: `late`: taken when its target had been decided already.
        by: The record that says why: one of the edge's source, or the end of the loop in which the source never came to it.
        seq: Number of the record that decided it: `by`, or the end of the loop that held the edge.
        instead: What the source took before, where that is why the edge is dead.
        causes: The in-edges of a source that was skipped.
    """

    state: Literal["taken", "late", "dead"]
    by: StepRecord
    seq: int
    instead: EdgeTaken | None = None
    causes: Causes = ()


@dataclass(slots=True)
class Story:
    """One activation of the node that is looked at.

    Attributes:
        edges: How its in-edges were decided; the forward ones are filled in when the activation makes way for the next.
        led_back: Whether a back-edge led to it.
        records: What the log says about it, in order; of the items of a map only the first that failed.
        items: The newest event of each item; `unbegun` has those that failed before they began.
        stopped_by: Why the run was ending when the step did, as a clause.
    """

    iteration: int
    edges: dict[int, Decided | None]
    led_back: bool
    status: Status = "running"
    records: list[Record] = field(default_factory=list)
    items: dict[int, str] = field(default_factory=dict)
    unbegun: set[int] = field(default_factory=set)
    stopped_by: str | None = None


@dataclass(slots=True)
class Stand:
    """Where a node stands in the present iteration of its loop.

    Attributes:
        status: None as long as it is not decided.
        is_stopped: Whether it is being stopped while the run goes on.
        took: The first edge it took.
        causes: Its in-edges, if it was skipped.
    """

    status: Status | None = None
    iteration: int = 0
    last: StepRecord | None = None
    attempt: int = 0
    is_stopped: bool = False
    took: EdgeTaken | None = None
    causes: Causes = ()


@dataclass(slots=True)
class Turns:
    """A loop's counters: `total` iterations ever begun, `entered` of them since it was last entered (0: not inside)."""

    total: int = 0
    entered: int = 0


class Trace:
    """The frame at `path`, as its records tell it, with the newest `limit` activations of one node.

    Attributes:
        edges: How each edge was decided in this iteration of its loop; None while it is not.
        carried: What last took an edge that leaves a loop which goes on; `refused`: what last did not take it.
        stories: The newest activations; `older` counts those before them by status.
    """

    def __init__(self, plan: Plan, node: int, path: str, limit: int) -> None:
        self.plan = plan
        self.node = plan.nodes[node]
        self.run = Surroundings(path)
        self.nodes = [Stand() for _ in plan.nodes]
        self.edges: list[Decided | None] = [None] * len(plan.edges)
        self.carried: dict[int, EdgeTaken] = {}
        self.refused: dict[int, StepRecord] = {}
        self.turns = [Turns() for _ in plan.scopes]
        self.stories: deque[Story] = deque()
        self.older: Counter[Status] = Counter()
        self._retried = False
        self._limit = limit

    def follow(self, record: Record) -> None:
        """Take in the next record of the run."""
        path = record.path if isinstance(record.path, str) else ""
        self.run.follow(record, path)
        if isinstance(record, RunRetried):
            self._retried = True
        elif self._retried and isinstance(record, StepRecord) and self.run.is_inside(path):
            self._revive()
        if path != self.run.path:
            return
        newest = (self.node.name, self.stories[-1].iteration) if self.stories else None
        if isinstance(record, RunFailing) and (record.node, record.iteration) == newest:
            self.stories[-1].records.append(record)
        change = _CHANGES.get(type(record))
        if change is not None:
            change(self, record)
        if isinstance(record, StepRecord) and record.node == self.node.name:
            self._tell(record)

    def forward(self, node: PlanNode) -> list[int]:
        """Return the in-edges of a node that count for its join."""
        return [edge for edge in node.in_edges if self.plan.edges[edge].back_to is None]

    def back(self, node: PlanNode) -> list[int]:
        """Return the in-edges of a node that begin the next iteration of a loop."""
        return [edge for edge in node.in_edges if self.plan.edges[edge].back_to is not None]

    def holding(self, edge: PlanEdge) -> list[int]:
        """Return the loops that hold an edge: it leaves them, and they go on."""
        return [scope for scope in edge.exits if self.turns[scope].entered]

    def next_iteration(self, node: PlanNode) -> int:
        """Return the number that a step of the node has, or would have if it began now."""
        if node.index in self.plan.final:
            return max(self.run.endings, 1)
        if node.scope == ROOT:
            return 1
        turns = self.turns[node.scope]
        return turns.total if turns.entered else turns.total + 1

    def leads_back(self, node: PlanNode) -> bool:
        """Return whether a back-edge leads to the node now."""
        return any(is_taken(self.edges[edge]) for edge in self.back(node))

    def may_start(self, node: PlanNode) -> bool:
        """Return whether the in-edges let the node run, which is not decided yet."""
        if node.index in self.plan.final:
            return self.run.finishing
        if self.leads_back(node):
            return True
        if node.index == self.plan.entry:
            return self.run.begun
        forward = self.forward(node)
        taken = sum(is_taken(self.edges[edge]) for edge in forward)
        if node.needs:
            return taken >= node.needs
        return taken > 0 and all(self.edges[edge] is not None for edge in forward)

    # --- activations of the node --------------------------------------------------------------------------------------

    def _tell(self, record: StepRecord) -> None:
        if not self.stories or isinstance(record, LoopIteration | LoopCompleted | ToolLog):
            return
        story = self.stories[-1]
        if isinstance(record, ItemRecord):
            if isinstance(record, ItemStarted):
                story.unbegun.discard(record.item)
            elif record.item not in story.items:
                story.unbegun.add(record.item)
            story.items[record.item] = record.event
        if not isinstance(record, ItemRecord) or _is_first_failure(record, story.records):
            story.records.append(record)
        if isinstance(record, StepCompleted | StepCancelled) and self.node.index not in self.plan.final:
            story.stopped_by = self.run.stopping
        story.status = self.nodes[self.node.index].status or story.status

    def _open(self, iteration: int) -> None:
        """Begin the next activation."""
        if len(self.stories) == self._limit:
            self.older[self.stories.popleft().status] += 1
        edges = {edge: self.edges[edge] for edge in self.back(self.node)}
        self.stories.append(Story(iteration, edges, self.leads_back(self.node)))

    def close(self) -> None:
        """Note how the forward in-edges of the newest activation were decided, before the next iteration begins."""
        if self.stories and self.nodes[self.node.index].status is not None:
            self.stories[-1].edges.update((edge, self.edges[edge]) for edge in self.forward(self.node))

    # --- steps --------------------------------------------------------------------------------------------------------

    def _step(self, record: StepRecord) -> None:
        """A step began, goes on, or ended."""
        node = self.plan.nodes[self.plan.index_of[record.node]]
        stand = self.nodes[node.index]
        if stand.status is None or stand.iteration != record.iteration:
            self._begin(node, record)
        stand.last = record
        stand.iteration = record.iteration
        stand.status = _status_after(record) or stand.status
        stand.attempt = getattr(record, "attempt", stand.attempt)
        if isinstance(record, StepStarted):
            stand.took = None
        elif isinstance(record, StepCancelRequested):
            stand.is_stopped = True
        elif isinstance(record, StepSkipped):
            stand.causes = tuple((edge, self.edges[edge]) for edge in self.forward(node))
            self._kill(node, record, stand.causes)
            for scope in node.enters:
                if self.turns[scope].entered == 0:
                    self._leave(scope, record)
        elif isinstance(record, StepCancelled) and stand.is_stopped:
            self._kill(node, record, ())

    def _revive(self) -> None:
        """Let the steps go on that ended because the run did; those without a graph inside begin their next attempt."""
        self._retried = False
        for index, stand in enumerate(self.nodes):
            failed = isinstance(stand.last, StepFailed) and stand.last.handled == "fail_run" and stand.last.attempt
            stopped = isinstance(stand.last, StepCancelled) and not stand.is_stopped
            if index in self.plan.final or not (failed or stopped):
                continue
            stand.last, stand.status = None, "running"
            if index == self.node.index and self.stories:
                self._revive_story(self.stories[-1])

    def _revive_story(self, story: Story) -> None:
        story.status = "running"
        story.stopped_by = None
        story.records = [record for record in story.records if not isinstance(record, RunFailing)]
        if any(isinstance(record, MapStopping) and record.reason != "item_failed" for record in story.records):
            return
        again = {"item_cancelled"}
        if self.node.map is None or not self.node.map.collects:
            again.add("item_failed")
            story.records = [record for record in story.records if not isinstance(record, MapStopping | ItemFailed)]
        story.items.update((item, "item_started") for item, event in story.items.items() if event in again)
        for item in story.unbegun if "item_failed" in again else ():
            story.items.pop(item, None)

    def _begin(self, node: PlanNode, record: StepRecord) -> None:
        if node is self.node:
            self._open(record.iteration)
        if isinstance(record, StepSkipped):
            return
        for scope in node.enters:
            if self.turns[scope].entered == 0:
                self.turns[scope].entered = 1
                self.turns[scope].total += 1
        for edge in self.back(node):
            self.edges[edge] = None

    def _kill(self, node: PlanNode, record: StepRecord, causes: Causes) -> None:
        """Let the out-edges of a node die that does not route."""
        for index in node.all_out:
            if self.plan.edges[index].exits:
                self.refused[index] = record
            else:
                self.edges[index] = Decided("dead", record, record.seq, causes=causes)

    # --- edges and loops ----------------------------------------------------------------------------------------------

    def _edge_taken(self, record: EdgeTaken) -> None:
        edge = self.plan.edges[record.edge]
        self.nodes[edge.source].took = self.nodes[edge.source].took or record
        if edge.exits:
            self.carried[edge.index] = record
        else:
            self._take(edge, record, record.seq)

    def _take(self, edge: PlanEdge, record: EdgeTaken, seq: int) -> None:
        late = edge.back_to is None and self.nodes[edge.target].status is not None
        self.edges[edge.index] = Decided("late" if late else "taken", record, seq)

    def _edge_dead(self, record: EdgeDead) -> None:
        edge = self.plan.edges[record.edge]
        if edge.exits:
            self.refused[edge.index] = record
        else:
            self.edges[edge.index] = Decided("dead", record, record.seq, self.nodes[edge.source].took)

    def _loop_iteration(self, record: LoopIteration) -> None:
        scope = self.plan.scopes[record.scope]
        if self.node.index in scope.body:
            self.close()
        turns = self.turns[scope.index]
        turns.entered = record.entered
        turns.total += 1
        for edge in scope.edges:
            self.edges[edge] = None
        for node in scope.body:
            self.nodes[node] = Stand()
        for inner in scope.inner:
            self.turns[inner].entered = 0
            for edge in self.plan.scopes[inner].back_edges:
                self.edges[edge] = None

    def _loop_completed(self, record: LoopCompleted) -> None:
        self.turns[record.scope].entered = 0
        for edge in self.plan.scopes[record.scope].back_edges:
            self.edges[edge] = None
        self._leave(record.scope, record)

    def _leave(self, scope: int, record: StepRecord) -> None:
        """Decide the edges that leave a loop which is over, or does not run."""
        for index in self.plan.scopes[scope].exit_edges:
            edge = self.plan.edges[index]
            if edge.exits[-1] != scope:
                continue
            carried, refused = self.carried.pop(index, None), self.refused.pop(index, record)
            if carried is not None:
                self._take(edge, carried, record.seq)
            else:
                source = self.nodes[self.plan.index_of[refused.node]]
                causes = source.causes if isinstance(refused, StepSkipped) else ()
                self.edges[index] = Decided("dead", refused, record.seq, source.took, causes)


def _is_first_failure(record: ItemRecord, known: Sequence[Record]) -> bool:
    return isinstance(record, ItemFailed) and not any(isinstance(other, ItemFailed) for other in known)


def last(story: Story, kind: type[R]) -> R | None:
    """Return the newest record of that type in an activation."""
    return next((record for record in reversed(story.records) if isinstance(record, kind)), None)


def is_taken(decided: Decided | None) -> bool:
    """Return whether an edge is taken, in time for its target."""
    return decided is not None and decided.state == "taken"


def _status_after(record: StepRecord) -> Status | None:
    if isinstance(record, StepWaiting):
        return "waiting_signal" if isinstance(record.signal, str) else "waiting_time"
    return _STATUS_AFTER.get(type(record))


_STATUS_AFTER: Final[Mapping[type[Record], Status]] = {
    StepStarted: "running",
    StepRetrying: "retry_wait",
    ApprovalRequested: "waiting_approval",
    StepCompleted: "completed",
    StepFailed: "failed",
    StepCancelled: "cancelled",
    StepSkipped: "skipped",
}

_CHANGES: Final[Mapping[type[Record], Callable[[Trace, Any], None]]] = {
    StepStarted: Trace._step,
    StepRetrying: Trace._step,
    StepWaiting: Trace._step,
    ApprovalRequested: Trace._step,
    StepCancelRequested: Trace._step,
    StepCompleted: Trace._step,
    StepFailed: Trace._step,
    StepCancelled: Trace._step,
    StepSkipped: Trace._step,
    EdgeTaken: Trace._edge_taken,
    EdgeDead: Trace._edge_dead,
    LoopIteration: Trace._loop_iteration,
    LoopCompleted: Trace._loop_completed,
}
