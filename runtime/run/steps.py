"""When a node starts, and when it is skipped."""

from collections.abc import Sequence
from datetime import timedelta

from msgspec import UNSET

from runtime.graph.plan import PlanNode
from runtime.run import inside, maps, waits
from runtime.run.decision import Turn
from runtime.run.joins import is_locked, is_ready, is_ruled_out, lost_to, why_not
from runtime.run.messages import Failed
from runtime.run.model import Frame, NodeStatus
from runtime.run.outcomes import complete, fail, follow_dead_edges, request_cancel
from runtime.run.records import EndReached, Failure, StepSkipped, StepStarted
from runtime.run.state import StateError, View, WorkflowState
from runtime.run.tokens import arrived, skipped_loops


def settle(turn: Turn, index: int) -> None:
    """Start a node, or skip it, if its in-edges allow or rule out that it runs."""
    frame = turn.frame
    if frame.nodes[index] is not NodeStatus.IDLE or frame.is_stopping or not turn.node(index).in_edges:
        return
    node = turn.node(index)
    if node.loses_to and frame.taken[index] and lost_to(frame, index) is not None:
        skip(turn, index)
    elif is_ready(frame, index):
        if node.mutex is None or not is_locked(frame, index):
            start(turn, index)
    elif is_ruled_out(frame, index):
        skip(turn, index)


def skip(turn: Turn, index: int) -> None:
    """Pass a node over; what only it leads to will be as well."""
    frame = turn.frame
    node = turn.node(index)
    turn.emit(StepSkipped(node=node.name, iteration=frame.iteration(index), reason=why_not(frame, index)))
    follow_dead_edges(turn, node)
    for scope in skipped_loops(frame, index):
        turn.pending.extend(frame.plan.edges[out].target for out in frame.plan.scopes[scope].exit_edges)


def start(turn: Turn, index: int) -> None:
    """Start the first attempt of a node's step."""
    frame, run = turn.frame, turn.run
    node = turn.node(index)
    if max(run.steps, run.unbegun) >= run.plan.max_steps and not frame.is_final(index):
        _exceed_limit(turn, node)
        return
    iteration = frame.iteration(index)
    tool = frame.policies[index].tool if node.child is None else None
    started = StepStarted(node=node.name, iteration=iteration, tool=UNSET if tool is None else tool)
    try:
        _check_start(turn, node, started)
    except (StateError, inside.InsideError) as error:
        fail(turn, node, iteration, 0, Failed(Failure(error.code, error.message)), 0.0)
        return
    turn.emit(started)
    if node.losers:
        _cancel_losers(turn, node)
    match node.kind:
        case "route":
            complete(turn, frame.active[index], {})
        case "end":
            complete(turn, frame.active[index], {})
            turn.emit(EndReached(node=node.name, iteration=iteration))
            turn.stop_inside()
        case "wait" | "approval":
            waits.begin(turn, frame.active[index])
        case "graph":
            turn.decision.turn(frame.active[index].frame or frame)
        case "map":
            maps.go_on(turn, frame.active[index])


def _exceed_limit(turn: Turn, node: PlanNode) -> None:
    """Fail the whole run, wherever in it the step would be: the limit is the run's. In a `finally` node, only that node."""
    message = f"The run may take at most {turn.run.plan.max_steps} steps (limits.max_steps)."
    frame: Frame | None = turn.frame
    while frame is not None:
        turn.decision.turn(frame).fail("STEP_LIMIT", message, node)
        around = frame.parent
        if around is None or around.is_final(frame.step):
            return
        node = around.plan.nodes[frame.step]
        frame = around


def _check_start(turn: Turn, node: PlanNode, started: StepStarted) -> None:
    """Raise the reason why a step cannot begin; note what it begins with."""
    if len(node.in_edges) < 2 and node.child is None and node.wait is None:
        return
    frame = turn.frame
    patch = turn.run.patch_of(frame, node.index) or {}
    views: Sequence[View] = arrived(frame, node.index)
    if patch:
        views = [{key: write for key, write in view.items() if key not in patch} for view in views]
    number = turn.run.seq + 1
    if len(views) > 1 and not frame.is_final(node.index):
        frame.state.check_join(views, number)
    if node.child is None and node.wait is None:
        return
    is_final = frame.is_final(node.index)
    view: View = frame.state.current(frame.plan.index_of, number) if is_final else frame.state.merge(views, number)
    if patch:
        view = {**view, **WorkflowState({}).initial(patch)}
    if node.wait is not None:
        waits.check(node.wait, view)
    if node.child is None:
        return
    started.graph = UNSET if node.child.definition is None else node.child.plan.graph_id
    timeout_s = frame.policies[node.index].timeout_s
    started.due = UNSET if timeout_s is None else turn.at + timedelta(seconds=timeout_s)
    if node.map is not None:
        started.items = len(inside.items_of(node.map, view))
    else:
        inside.check_input(node.child, inside.child_input(node.child, view))


def _cancel_losers(turn: Turn, join: PlanNode) -> None:
    frame = turn.frame
    for index in join.losers:
        step = frame.active.get(index)
        if step is not None:
            request_cancel(turn, step, "join")
        turn.touched.update(frame.plan.scopes[turn.node(index).scope].chain)
        turn.pending.append(index)
