"""Which edges a node takes when it has ended. Looks at one node and its out-edges, nothing else."""

from msgspec import UNSET

from runtime.graph.conditions import MISSING, ConditionError, Lookup, Operands
from runtime.graph.plan import PlanEdge, PlanNode
from runtime.run.decision import Decision
from runtime.run.loops import goes_on
from runtime.run.model import NodeStatus, Run
from runtime.run.records import DeadReason, EdgeDead, EdgeTaken, RouteUnmatched


def route_success(decision: Decision, node: PlanNode) -> None:
    """Decide the out-edges of a node that completed, or whose failure `on_error: continue` passes over."""
    lookup = _lookup(decision.run)
    try:
        if node.loop is not None and goes_on(decision, node, node.loop, lookup):
            _take(decision, node, decision.run.plan.edges[node.loop.back_edge])
            for index in (*node.out, *node.default, *node.error_out):
                _kill(decision, node, decision.run.plan.edges[index], "loop_goes_on")
            return
        if decision.run.is_stopping:
            return
        seen: Operands = []
        taken = _take_those_that_hold(
            decision, node, node.out, lookup, default=node.default, first=node.takes_first, seen=seen
        )
    except ConditionError as error:
        decision.fail_run("CONDITION_ERROR", f"Routing after node {node.name!r}: {error}", node)
        return
    if node.out and not taken:
        _unmatched(decision, node, seen)
    for index in node.error_out:
        _kill(decision, node, decision.run.plan.edges[index], "succeeded")


def _unmatched(decision: Decision, node: PlanNode, seen: Operands) -> None:
    if node.fails_unmatched:
        decision.fail_run("NO_ROUTE", f"No edge of node {node.name!r} holds: {seen}", node)
    else:
        iteration = decision.run.iteration(node.index)
        decision.emit(RouteUnmatched(node=node.name, iteration=iteration, operands=seen))


def route_error(decision: Decision, node: PlanNode) -> bool:
    """Decide the out-edges of a node that failed and says `on_error: route`; return whether one of them was taken."""
    try:
        taken = _take_those_that_hold(decision, node, node.error_out, _lookup(decision.run))
    except ConditionError as error:
        decision.fail_run("CONDITION_ERROR", f"Routing after the failure of node {node.name!r}: {error}", node)
        return False
    for index in (*node.out, *node.default):
        _kill(decision, node, decision.run.plan.edges[index], "failed")
    return taken


def _take_those_that_hold(
    decision: Decision,
    node: PlanNode,
    out: tuple[int, ...],
    lookup: Lookup,
    *,
    default: tuple[int, ...] = (),
    first: bool = False,
    seen: Operands | None = None,
) -> bool:
    """Take the edges whose conditions hold, or the first one only, or else the default; return whether any was taken.

    `seen` gets the operands of the conditions that did not hold.
    """
    edges = decision.run.plan.edges
    taken = False
    for index in out:
        edge = edges[index]
        if first and taken:
            _kill(decision, node, edge, "not_first")
            continue
        operands: Operands = []
        if edge.test is None or edge.test(lookup, operands):
            taken = True
            _take(decision, node, edge, operands)
        else:
            if seen is not None:
                seen += operands
            _kill(decision, node, edge, "condition", operands)
    for index in default:
        if taken:
            _kill(decision, node, edges[index], "default_unused")
        else:
            _take(decision, node, edges[index])
    return taken or bool(default)


def _take(decision: Decision, node: PlanNode, edge: PlanEdge, operands: Operands | None = None) -> None:
    run = decision.run
    target = run.plan.nodes[edge.target]
    counts = not edge.exits and edge.back_to is None
    decision.emit(
        EdgeTaken(
            node=node.name,
            iteration=run.iteration(node.index),
            edge=edge.index,
            to_node=target.name,
            operands=operands or UNSET,
            late=True if counts and run.nodes[edge.target] is not NodeStatus.IDLE else UNSET,
        )
    )
    if counts:
        decision.pending.append(edge.target)


def _kill(
    decision: Decision, node: PlanNode, edge: PlanEdge, reason: DeadReason, operands: Operands | None = None
) -> None:
    run = decision.run
    target = run.plan.nodes[edge.target].name
    decision.emit(
        EdgeDead(
            node=node.name,
            iteration=run.iteration(node.index),
            edge=edge.index,
            to_node=target,
            reason=reason,
            operands=operands or UNSET,
        )
    )
    if not edge.exits and edge.back_to is None:
        decision.pending.append(edge.target)


def _lookup(run: Run) -> Lookup:
    view = run.outcome or {}

    def lookup(key: str) -> object:
        write = view.get(key)
        return MISSING if write is None else write.value

    return lookup
