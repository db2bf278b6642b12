"""When a loop goes on and when it is over. Knows scopes and their counters, not what the nodes inside do."""

from msgspec import UNSET

from runtime.graph.conditions import Lookup, Operands
from runtime.graph.plan import ROOT, PlanLoop, PlanNode
from runtime.run.decision import Turn
from runtime.run.joins import is_locked, lost_to
from runtime.run.records import LoopCompleted, LoopEnding, LoopExhausted, LoopIteration
from runtime.run.tokens import waiting_view


def goes_on(turn: Turn, node: PlanNode, loop: PlanLoop, lookup: Lookup, operands: Operands) -> bool:
    """Test a loop definition after its node: return whether the loop's back-edge is to be taken.

    `operands` gets what its condition saw.

    Raises:
        ConditionError: The condition's operands cannot be compared.
    """
    iteration = turn.frame.iteration(node.index)
    if loop.test(lookup, operands):
        turn.emit(LoopEnding(node=node.name, iteration=iteration, operands=operands))
        return False
    if turn.frame.scopes[loop.scope].entered < loop.max_iterations:
        return True
    turn.emit(LoopExhausted(node=node.name, iteration=iteration, max_iterations=loop.max_iterations, operands=operands))
    if loop.fail_at_max:
        turn.fail("LOOP_EXHAUSTED", f"The loop on {node.name!r} reached {loop.max_iterations} iterations.", node)
    return False


def turn_over(turn: Turn) -> int | None:
    """End the iteration of one loop that has no token left, the innermost first.

    Returns:
        The header to run next if the loop goes on; None if there was nothing to end, or the loop is over and the nodes behind
        its exit edges are pending.
    """
    frame = turn.frame
    if frame.is_stopping:
        turn.touched.clear()
    for index in sorted(turn.touched, reverse=True):
        counters = frame.scopes[index]
        if index == ROOT or counters.entered == 0 or counters.tokens > 0:
            continue
        scope = frame.plan.scopes[index]
        goes_round = any(waiting_view(frame, edge) is not None for edge in scope.back_edges)
        if goes_round and lost_to(frame, scope.header, scope.body) is None:  # a join inside does not end its own loop
            if is_locked(frame, scope.header):
                continue
            turn.emit(
                LoopIteration(
                    node=scope.label,
                    iteration=counters.total + 1,
                    scope=index,
                    entered=counters.entered + 1,
                    max_iterations=UNSET if scope.max_iterations is None else scope.max_iterations,
                )
            )
            return scope.header
        turn.touched.discard(index)
        turn.emit(LoopCompleted(node=scope.label, iteration=counters.total, scope=index, entered=counters.entered))
        turn.pending.extend(frame.plan.edges[edge].target for edge in scope.exit_edges)
        return None
    turn.touched.clear()
    return None
