"""Why an edge is taken, dead, held or undecided: the records of a trace as data and clauses. Looks at one edge at a time."""

from typing import Any, Final

from msgspec import UnsetType
from msgspec.structs import replace

from runtime.graph.plan import PlanEdge, PlanNode
from runtime.run.explain import clauses
from runtime.run.explain.explanation import Edge, EdgeState, Loop, Reason
from runtime.run.explain.trace import OVER, Causes, Decided, Stand, Trace
from runtime.run.records import (
    ApprovalRequested,
    EdgeDead,
    EdgeTaken,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepWaiting,
)

MAX_EDGES: Final = 100
"""Edges that a list has; those that matter most are kept."""

MAX_CAUSES: Final = 5
"""Edges that are told of a source that was skipped."""


def edges(trace: Trace, decided: Causes, *, most: int = MAX_EDGES, open_first: bool = False) -> tuple[Edge, ...]:
    """Return edges as they were, or are, decided; of too many those that were taken, or, if asked, that are not decided."""

    def weight(one: tuple[int, Decided | None]) -> int:
        return (one[1] is not None) if open_first else (one[1] is None or one[1].state == "dead")

    kept = decided if len(decided) <= most else sorted(sorted(decided, key=weight)[:most])
    return tuple(edge(trace, trace.plan.edges[index], how) for index, how in kept)


def edge(trace: Trace, plan_edge: PlanEdge, decided: Decided | None) -> Edge:
    """Return one edge as it was decided, or as it stands now if it is not."""
    plan = trace.plan
    state: EdgeState
    if decided is not None:
        state, reason = decided.state, _decided(trace, plan_edge, decided)
    elif trace.holding(plan_edge):
        state, reason = "held", _held(trace, plan_edge)
    else:
        state, reason = "undecided", _undecided(trace, plan_edge)
    return Edge(
        index=plan_edge.index,
        from_node=plan.nodes[plan_edge.source].name,
        to_node=plan.nodes[plan_edge.target].name,
        state=state,
        reason=reason,
        back=plan_edge.back_to is not None,
        iteration=None if decided is None else decided.by.iteration,
        seq=None if decided is None else decided.seq,
    )


def _decided(trace: Trace, plan_edge: PlanEdge, decided: Decided) -> Reason:
    source = trace.plan.nodes[plan_edge.source]
    match decided.by:
        case EdgeTaken() as record:
            reason = _taken(source, plan_edge, operands(record.operands))
        case EdgeDead() as record:
            reason = _dead(source, record, decided.instead)
        case StepSkipped() as record:
            text = f"{record.node!r} was skipped: {record.reason}"
            causes = tuple(_without_causes(cause) for cause in edges(trace, decided.causes, most=MAX_CAUSES))
            reason = Reason("source_skipped", text, causes=causes)
        case StepCancelled() as record:
            reason = Reason("source_cancelled", f"{record.node!r} was cancelled")
        case record:
            reason = Reason(
                "never_taken", f"{source.name!r} never came to it while the loop on {record.node!r} went on"
            )
    if decided.seq != decided.by.seq and isinstance(decided.by, EdgeTaken | EdgeDead):
        return replace(reason, text=f"{reason.text} (in iteration {decided.by.iteration} of the loop)")
    return reason


def _without_causes(cause: Edge) -> Edge:
    return replace(cause, reason=replace(cause.reason, causes=()))


def _taken(source: PlanNode, plan_edge: PlanEdge, seen: tuple[dict[str, Any], ...]) -> Reason:
    if source.loop is not None and plan_edge.index == source.loop.back_edge:
        return Reason("loop_goes_on", f"the loop on {source.name!r} goes on{_because(seen, False)}", seen)
    if plan_edge.index in source.error_out:
        return Reason("error", f"{source.name!r} failed{_because(seen, True)}", seen)
    if plan_edge.index in source.default:
        return Reason("default", f"no other edge of {source.name!r} held")
    if seen:
        return Reason("condition", clauses.condition(seen, True), seen)
    return Reason("always", "it has no condition")


def _because(seen: tuple[dict[str, Any], ...], outcome: bool) -> str:
    return f", {clauses.condition(seen, outcome)}" if seen else ""


def _dead(source: PlanNode, record: EdgeDead, instead: EdgeTaken | None) -> Reason:
    other = "another edge" if instead is None else f"edge {instead.edge} to {instead.to_node!r}"
    index = None if instead is None else instead.edge
    match record.reason:
        case "condition":
            seen = operands(record.operands)
            return Reason("condition", clauses.condition(seen, False), seen)
        case "not_first":
            return Reason("not_first", f"{other} held before it", instead=index)
        case "default_unused":
            return Reason("default_unused", f"it is the default, and {other} held", instead=index)
        case "loop_goes_on":
            return Reason("loop_goes_on", f"the loop on {source.name!r} went on", instead=index)
        case "succeeded":
            return Reason("succeeded", f"it is for failures, and {source.name!r} succeeded")
        case "failed":
            return Reason("failed", f"it is for success, and {source.name!r} failed")


def _held(trace: Trace, plan_edge: PlanEdge) -> Reason:
    loops = tuple(loop(trace, scope) for scope in trace.holding(plan_edge))
    carried, refused = trace.carried.get(plan_edge.index), trace.refused.get(plan_edge.index)
    if carried is not None:
        source = trace.plan.nodes[plan_edge.source]
        why = _taken(source, plan_edge, operands(carried.operands))
        so_far = f"taken in iteration {carried.iteration} ({why.text})"
        seen = why.operands
    else:
        so_far = "not taken so far"
        seen = operands(refused.operands) if isinstance(refused, EdgeDead) else ()
        if isinstance(refused, EdgeDead) and refused.reason == "condition":
            so_far += f" ({clauses.condition(seen, False)})"
    text = f"{' and '.join(map(named, loops))} goes on; {so_far}"
    return Reason("loop_goes_on", text, seen, loops=loops)


def _undecided(trace: Trace, plan_edge: PlanEdge) -> Reason:
    source = trace.plan.nodes[plan_edge.source]
    stand = trace.nodes[source.index]
    if stand.status is None:
        if trace.may_start(source):
            return Reason("not_begun", f"{source.name!r} has not begun, but is ready to", status="ready")
        return Reason("not_begun", f"{source.name!r} has not begun", status="waiting_for_edges")
    text = f"{source.name!r} {standing(stand)}"
    if stand.status not in OVER:
        return Reason("not_ended", text, status=stand.status)
    return Reason("not_tested", f"{text}, and its edges were not tested", status=stand.status)


def loop(trace: Trace, scope: int) -> Loop:
    """Return a loop and the iteration that it is in."""
    known = trace.plan.scopes[scope]
    return Loop(known.label, trace.turns[scope].entered, known.max_iterations)


def named(known: Loop) -> str:
    """Return what people call a loop, and where it stands."""
    limit = "" if known.max_iterations is None else f" of at most {known.max_iterations}"
    return f"the loop on {known.node!r} (iteration {known.iteration}{limit})"


def standing(stand: Stand) -> str:
    """Return where a node that began stands, as a predicate."""
    match stand.last:
        case StepRetrying() as record:
            return f"waits until {clauses.instant(record.due)} for attempt {record.attempt + 1}"
        case StepWaiting() as record if isinstance(record.signal, str):
            return f"waits for signal {record.signal!r}"
        case StepWaiting() as record if not isinstance(record.until, UnsetType):
            return f"waits until {clauses.instant(record.until)}"
        case ApprovalRequested() as record:
            return f"waits for approval {record.approval!r}"
        case StepFailed() as record:
            return f"failed ({clauses.failure(record.error)})"
    match stand.status:
        case "running":
            return f"is running (attempt {stand.attempt})" if stand.attempt > 1 else "is running"
        case "cancelled" | "skipped":
            return f"was {stand.status}"
        case _:
            return str(stand.status)


def operands(seen: list[dict[str, Any]] | UnsetType) -> tuple[dict[str, Any], ...]:
    """Return the operands of a record, which may have none."""
    return () if isinstance(seen, UnsetType) else tuple(seen)


def origins(decided: Causes) -> Causes:
    """Return where a dead path begins: back from edges that are dead because their source was skipped, those that are not."""
    found: dict[int, Decided] = {}
    seen: set[int] = set()
    pending = [(index, how) for index, how in decided if how is not None]
    while pending:
        index, how = pending.pop()
        if id(how) in seen:
            continue
        seen.add(id(how))
        if isinstance(how.by, StepSkipped):
            pending += [(cause, known) for cause, known in how.causes if known is not None]
        elif how.state == "dead":
            found[index] = how
    return tuple(sorted(found.items()))
