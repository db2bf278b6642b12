"""Which edges a node takes when it has ended. Looks at one node and its out-edges, nothing else."""

from msgspec import UNSET

from runtime.graph.conditions import ConditionError, Lookup, Operands
from runtime.graph.paths import MISSING
from runtime.graph.plan import PlanEdge, PlanNode
from runtime.run.decision import Turn
from runtime.run.loops import goes_on
from runtime.run.model import NodeStatus
from runtime.run.records import DeadReason, EdgeDead, EdgeTaken, RouteUnmatched
from runtime.run.state import View


def route_success(turn: Turn, node: PlanNode, view: View | None = None) -> None:
    """Decide the out-edges of a node that completed, or whose failure `on_error: continue` passes over.

    `view` is what the edges carry, where the node is not the one that ended last.
    """
    lookup = _lookup(view or turn.frame.outcome)
    try:
        tested: Operands = []
        if node.loop is not None and goes_on(turn, node, node.loop, lookup, tested):
            _take(turn, node, turn.frame.plan.edges[node.loop.back_edge], tested)
            for index in (*node.out, *node.default, *node.error_out):
                _kill(turn, node, turn.frame.plan.edges[index], "loop_goes_on")
            return
        if turn.frame.is_stopping:
            return
        seen: Operands = []
        taken = _take_those_that_hold(
            turn, node, node.out, lookup, default=node.default, first=node.takes_first, seen=seen
        )
    except ConditionError as error:
        turn.fail("CONDITION_ERROR", f"Routing after node {node.name!r}: {error}", node)
        return
    if node.out and not taken:
        _unmatched(turn, node, seen)
    for index in node.error_out:
        _kill(turn, node, turn.frame.plan.edges[index], "succeeded")


def _unmatched(turn: Turn, node: PlanNode, seen: Operands) -> None:
    if node.fails_unmatched:
        turn.fail("NO_ROUTE", f"No edge of node {node.name!r} holds: {seen}", node)
    else:
        iteration = turn.frame.iteration(node.index)
        turn.emit(RouteUnmatched(node=node.name, iteration=iteration, operands=seen))


def route_error(turn: Turn, node: PlanNode) -> bool:
    """Decide the out-edges of a node that failed and says `on_error: route`; return whether one of them was taken."""
    try:
        taken = _take_those_that_hold(turn, node, node.error_out, _lookup(turn.frame.outcome))
    except ConditionError as error:
        turn.fail("CONDITION_ERROR", f"Routing after the failure of node {node.name!r}: {error}", node)
        return False
    for index in (*node.out, *node.default):
        _kill(turn, node, turn.frame.plan.edges[index], "failed")
    return taken


def _take_those_that_hold(
    turn: Turn,
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
    edges = turn.frame.plan.edges
    taken = False
    for index in out:
        edge = edges[index]
        if first and taken:
            _kill(turn, node, edge, "not_first")
            continue
        operands: Operands = []
        if edge.test is None or edge.test(lookup, operands):
            taken = True
            _take(turn, node, edge, operands)
        else:
            if seen is not None:
                seen += operands
            _kill(turn, node, edge, "condition", operands)
    for index in default:
        if taken:
            _kill(turn, node, edges[index], "default_unused")
        else:
            _take(turn, node, edges[index])
    return taken or bool(default)


def _take(turn: Turn, node: PlanNode, edge: PlanEdge, operands: Operands | None = None) -> None:
    frame = turn.frame
    target = frame.plan.nodes[edge.target]
    counts = not edge.exits and edge.back_to is None
    turn.emit(
        EdgeTaken(
            node=node.name,
            iteration=frame.iteration(node.index),
            edge=edge.index,
            to_node=target.name,
            operands=operands or UNSET,
            late=True if counts and frame.nodes[edge.target] is not NodeStatus.IDLE else UNSET,
        )
    )
    if counts and target.losers:
        turn.pending.appendleft(edge.target)  # before anything starts that it would only cancel
    elif counts:
        turn.pending.append(edge.target)


def _kill(turn: Turn, node: PlanNode, edge: PlanEdge, reason: DeadReason, operands: Operands | None = None) -> None:
    frame = turn.frame
    target = frame.plan.nodes[edge.target].name
    turn.emit(
        EdgeDead(
            node=node.name,
            iteration=frame.iteration(node.index),
            edge=edge.index,
            to_node=target,
            reason=reason,
            operands=operands or UNSET,
        )
    )
    if not edge.exits and edge.back_to is None:
        turn.pending.append(edge.target)


def _lookup(view: View | None) -> Lookup:
    seen: View = view or {}

    def lookup(key: str) -> object:
        write = seen.get(key)
        return MISSING if write is None else write.value

    return lookup
