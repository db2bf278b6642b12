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
        _take_those_that_hold(decision, node, node.out, node.default, lookup, first=node.takes_first)
    except ConditionError as error:
        decision.fail_run("CONDITION_ERROR", f"Routing after node {node.name!r}: {error}", node)
        return
    for index in node.error_out:
        _kill(decision, node, decision.run.plan.edges[index], "succeeded")


def route_error(decision: Decision, node: PlanNode) -> None:
    """Decide the out-edges of a node that failed and says `on_error: route`."""
    try:
        _take_those_that_hold(decision, node, node.error_out, (), _lookup(decision.run), first=False)
    except ConditionError as error:
        decision.fail_run("CONDITION_ERROR", f"Routing after the failure of node {node.name!r}: {error}", node)
        return
    for index in (*node.out, *node.default):
        _kill(decision, node, decision.run.plan.edges[index], "failed")


def _take_those_that_hold(
    decision: Decision,
    node: PlanNode,
    out: tuple[int, ...],
    default: tuple[int, ...],
    lookup: Lookup,
    *,
    first: bool,
) -> None:
    edges = decision.run.plan.edges
    seen: Operands = []
    taken = 0
    for index in out:
        edge = edges[index]
        if first and taken:
            _kill(decision, node, edge, "not_first")
            continue
        operands: Operands = []
        if edge.test is None or edge.test(lookup, operands):
            taken += 1
            _take(decision, node, edge, operands)
        else:
            seen += operands
            _kill(decision, node, edge, "condition", operands)
    for index in default:
        if taken:
            _kill(decision, node, edges[index], "default_unused")
        else:
            _take(decision, node, edges[index])
    if out and not default and not taken:
        if node.fails_unmatched:
            decision.fail_run("NO_ROUTE", f"No edge of node {node.name!r} holds: {seen}", node)
        else:
            iteration = decision.run.iteration(node.index)
            decision.emit(RouteUnmatched(node=node.name, iteration=iteration, operands=seen))


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
