"""A run as its records tell it: where every node, edge, loop and token stands.

Filled only by `apply.py`, read by the deciding modules beside it. Nodes, edges and scopes are named by their index in the plan.

Tokens: the entry gives a run one token; a node takes the tokens of its taken in-edges and holds one while it is active; each
forward edge it takes then gets one. So a run is over when no token is left, and a loop's iteration when none is left in its
scope. Edges that leave a loop are *held* until it ends, and a taken back-edge waits for the next iteration: neither counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from runtime.graph.definition import RetryDefinition
from runtime.graph.plan import ROOT, Plan
from runtime.run.records import Failure, RunStatus
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
        tool: `name@version`; None for a node that only routes.
        reruns: Whether an attempt that a crash interrupted may be started again.
        waits: Whether an attempt starts only once everything before it is durable.
    """

    tool: str | None = None
    max_attempts: int = 1
    reruns: bool = True
    waits: bool = False
    timeout_s: float = 60.0
    retry: RetryDefinition = field(default_factory=RetryDefinition)


@dataclass(slots=True)
class Step:
    """An active node.

    Attributes:
        failures: Attempts that failed; those lost in a crash do not count.
        retry_due: When the next attempt starts; None while one is running.
        first_started: Start of the first attempt, for the retry budget.
    """

    node: int
    iteration: int
    view: View
    attempt: int
    failures: int
    retry_due: datetime | None
    first_started: datetime


@dataclass(slots=True)
class Scope:
    """A loop's counters: `total` iterations ever begun, `entered` of them since it was last entered (0: not inside)."""

    total: int = 0
    entered: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Run:
    """The whole of one run.

    Attributes:
        failing: The failure that nothing handles, once there is one.
        ending: The status that a cancel request or the deadline leads to, once there was one.
        active: Active steps by node.
        views: What each taken edge, or held one, carries.
        taken: Taken forward in-edges of each node, in this iteration of its scope.
        undecided: Forward in-edges of each node that are not decided yet.
        held: Number of views that wait on held edges and back-edges.
        outcome: What the node that ended last left behind: its out-edges, decided next, carry it.
        policies: How each node's step is tried, by node.
    """

    plan: Plan
    run_id: str
    state: WorkflowState
    nodes: list[NodeStatus]
    edges: list[EdgeStatus]
    views: list[View | None]
    undecided: list[int]
    taken: list[int]
    scopes: list[Scope]
    policies: Sequence["StepPolicy"]
    initial: View | None = None
    outcome: View | None = None
    active: dict[int, Step] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    held: int = 0
    steps: int = 0
    seq: int = 0
    status: RunStatus = RunStatus.PENDING
    failing: Failure | None = None
    failed_node: str | None = None
    ending: RunStatus | None = None
    blocked: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    deadline: datetime | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether no further step may start."""
        return self.failing is not None or self.ending is not None

    @property
    def is_alone(self) -> bool:
        """Whether the run has one token only, so that nothing can be concurrent with it."""
        return self.scopes[ROOT].tokens == 1 and not self.held

    def iteration(self, node: int) -> int:
        """Return the number that a step of the node has, or would have if it began now."""
        index = self.plan.nodes[node].scope
        if index == ROOT:
            return 1
        scope = self.scopes[index]
        return scope.total if scope.entered else scope.total + 1


def new_run(plan: Plan, run_id: str, policies: Sequence[StepPolicy]) -> Run:
    """Return a run before its first record."""
    return Run(
        plan=plan,
        run_id=run_id,
        state=WorkflowState(plan.reducers),
        nodes=[NodeStatus.IDLE] * len(plan.nodes),
        edges=[EdgeStatus.UNDECIDED] * len(plan.edges),
        views=[None] * len(plan.edges),
        undecided=list(plan.undecided),
        taken=[0] * len(plan.nodes),
        scopes=[Scope() for _ in plan.scopes],
        policies=policies,
    )
