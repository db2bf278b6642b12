"""When a loop goes on and when it is over. Knows scopes and their counters, not what the nodes inside do."""

from msgspec import UNSET

from runtime.graph.conditions import Lookup, Operands
from runtime.graph.plan import ROOT, PlanLoop, PlanNode
from runtime.run.apply import waiting_view
from runtime.run.decision import Decision
from runtime.run.records import LoopCompleted, LoopExhausted, LoopIteration


def goes_on(decision: Decision, node: PlanNode, loop: PlanLoop, lookup: Lookup) -> bool:
    """Test a loop definition after its node: return whether the loop's back-edge is to be taken.

    Raises:
        ConditionError: The condition's operands cannot be compared.
    """
    operands: Operands = []
    if loop.test(lookup, operands):
        return False
    if decision.run.scopes[loop.scope].entered < loop.max_iterations:
        return True
    iteration = decision.run.iteration(node.index)
    decision.emit(
        LoopExhausted(node=node.name, iteration=iteration, max_iterations=loop.max_iterations, operands=operands)
    )
    if loop.fail_at_max:
        decision.fail_run(
            "LOOP_EXHAUSTED", f"The loop on {node.name!r} reached {loop.max_iterations} iterations.", node
        )
    return False


def turn_over(decision: Decision) -> int | None:
    """End the iteration of one loop that has no token left, the innermost first.

    Returns:
        The header to run next if the loop goes on; None if there was nothing to end, or the loop is over and the nodes behind
        its exit edges are pending.
    """
    run = decision.run
    for index in sorted(decision.touched, reverse=True):
        counters = run.scopes[index]
        if index == ROOT or counters.entered == 0 or counters.tokens > 0:
            continue
        scope = run.plan.scopes[index]
        if any(waiting_view(run, edge) is not None for edge in scope.back_edges):
            decision.emit(
                LoopIteration(
                    node=scope.label,
                    iteration=counters.total + 1,
                    scope=index,
                    entered=counters.entered + 1,
                    max_iterations=UNSET if scope.max_iterations is None else scope.max_iterations,
                )
            )
            return scope.header
        decision.touched.discard(index)
        decision.emit(LoopCompleted(node=scope.label, iteration=counters.total, scope=index, entered=counters.entered))
        decision.pending.extend(run.plan.edges[edge].target for edge in scope.exit_edges)
        return None
    decision.touched.clear()
    return None
