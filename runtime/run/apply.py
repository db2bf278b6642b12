"""`apply(run, record)`: the only way a run changes.

Deciding and recovering both go through here, so a run folded from its journal is the run that wrote it. Nothing is decided in
this module: a record says what happened, and this says what that means for nodes, edges, tokens and state.
"""

from collections.abc import Callable, Mapping
from typing import Any

from runtime.graph.plan import ROOT, PlanEdge
from runtime.run.model import EdgeStatus, NodeStatus, Run, Step
from runtime.run.records import (
    EdgeDead,
    EdgeTaken,
    LoopCompleted,
    LoopIteration,
    Record,
    RunBlocked,
    RunCancelRequested,
    RunDeadlinePassed,
    RunFailing,
    RunRecovered,
    RunStarted,
    RunStatus,
    RunSubmitted,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
)
from runtime.run.state import View, Writer


def apply(run: Run, record: Record) -> None:
    """Change `run` as `record` says.

    Raises:
        ValueError: The record does not follow the last one; the history is damaged.
    """
    if record.seq != run.seq + 1:
        raise ValueError(f"record {record.seq} of run {run.run_id} follows record {run.seq}")
    run.seq = record.seq
    change = _CHANGES.get(type(record))
    if change is not None:
        change(run, record)
    elif record.terminal is not None:
        run.status = record.terminal
        run.completed_at = _time(record)


def _time(record: Record) -> Any:
    return record.timestamp


# --- the run ----------------------------------------------------------------------------------------------------------


def _run_submitted(run: Run, record: RunSubmitted) -> None:
    run.tools = record.tools
    run.initial = run.state.initial(record.initial_state)


def _run_started(run: Run, record: RunStarted) -> None:
    run.status = RunStatus.RUNNING
    run.started_at = _time(record)
    run.deadline = record.deadline
    _count(run, ROOT, 1)


def _run_blocked(run: Run, record: RunBlocked) -> None:
    run.status = RunStatus.WAITING
    run.blocked = record.reason


def _run_recovered(run: Run, _record: RunRecovered) -> None:
    if run.blocked is not None:
        run.blocked = None
        run.status = RunStatus.RUNNING if run.started_at else RunStatus.PENDING


def _run_cancel_requested(run: Run, _record: RunCancelRequested) -> None:
    run.ending = RunStatus.CANCELLED


def _run_deadline_passed(run: Run, _record: RunDeadlinePassed) -> None:
    run.ending = RunStatus.TIMED_OUT


def _run_failing(run: Run, record: RunFailing) -> None:
    run.failing = record.error
    run.failed_node = record.node if isinstance(record.node, str) else None


# --- steps ------------------------------------------------------------------------------------------------------------


def _step_started(run: Run, record: StepStarted) -> None:
    index = run.plan.index_of[record.node]
    step = run.active.get(index)
    if step is None:
        view = _consume(run, index, record.seq, resolve=False)
        _count(run, run.plan.nodes[index].scope, 1)
        run.nodes[index] = NodeStatus.ACTIVE
        run.steps += 1
        run.active[index] = Step(index, record.iteration, view, record.attempt, 0, None, _time(record))
    else:
        step.attempt = record.attempt
        step.retry_due = None


def _consume(run: Run, index: int, number: int, *, resolve: bool) -> View:
    """Take the tokens of the node's taken in-edges, enter the loops it is the header of, and return its input."""
    node = run.plan.nodes[index]
    for scope in node.enters:
        if run.scopes[scope].entered == 0:
            run.scopes[scope].entered = 1
            run.scopes[scope].total += 1
    views = arrived(run, index)
    for edge in node.in_edges:
        _drop_view(run, run.plan.edges[edge])
    if run.initial is not None:
        run.initial = None
        _count(run, ROOT, -1)
    view = run.state.merge(views, number, resolve=resolve, commit=True)
    if len(views) > 1 and not run.scopes[ROOT].tokens and not run.held:
        run.state.cut_lineages(view)
    return view


def _drop_view(run: Run, edge: PlanEdge) -> None:
    """Take the token off an edge, if one waits there for the edge's target."""
    if waiting_view(run, edge.index) is None:
        return
    run.views[edge.index] = None
    if edge.back_to is None:
        _count(run, edge.scope, -1)
    else:
        run.held -= 1


def arrived(run: Run, index: int) -> list[View]:
    """Return the views on the node's taken in-edges, in edge-list order; the initial state for the entry's first run."""
    views = [view for edge in run.plan.nodes[index].in_edges if (view := waiting_view(run, edge)) is not None]
    return views if run.initial is None else [run.initial]


def waiting_view(run: Run, edge: int) -> View | None:
    """Return what a taken edge carries to its target; None if it is not taken, held, or was consumed."""
    return run.views[edge] if run.edges[edge] is EdgeStatus.TAKEN else None


def _step_completed(run: Run, record: StepCompleted) -> None:
    index = run.plan.index_of[record.node]
    step = run.active.pop(index)
    writer = Writer(record.seq, record.node, record.iteration)
    run.outcome = run.state.update(step.view, record.update, writer, alone=run.is_alone)
    run.nodes[index] = NodeStatus.COMPLETED
    _count(run, run.plan.nodes[index].scope, -1)


def _step_retrying(run: Run, record: StepRetrying) -> None:
    step = run.active[run.plan.index_of[record.node]]
    step.failures += 1
    step.retry_due = record.due


def _step_failed(run: Run, record: StepFailed) -> None:
    index = run.plan.index_of[record.node]
    step = run.active.pop(index, None)
    if step is None:
        run.outcome = _consume(run, index, record.seq, resolve=True)
    else:
        run.outcome = step.view
        _count(run, run.plan.nodes[index].scope, -1)
    run.nodes[index] = NodeStatus.FAILED


def _step_cancelled(run: Run, record: StepCancelled) -> None:
    index = run.plan.index_of[record.node]
    del run.active[index]
    run.nodes[index] = NodeStatus.CANCELLED
    _count(run, run.plan.nodes[index].scope, -1)


def _step_skipped(run: Run, record: StepSkipped) -> None:
    index = run.plan.index_of[record.node]
    run.nodes[index] = NodeStatus.SKIPPED
    for edge in run.plan.nodes[index].in_edges:
        _drop_view(run, run.plan.edges[edge])
    for out in run.plan.nodes[index].all_out:
        _kill(run, run.plan.edges[out])
    for scope in skipped_loops(run, index):
        _leave(run, scope)


def skipped_loops(run: Run, index: int) -> list[int]:
    """Return the loops that do not run because the node, their header, is skipped."""
    return [scope for scope in run.plan.nodes[index].enters if run.scopes[scope].entered == 0]


# --- edges and loops --------------------------------------------------------------------------------------------------


def _edge_taken(run: Run, record: EdgeTaken) -> None:
    edge = run.plan.edges[record.edge]
    if run.outcome is None:
        raise ValueError(f"record {record.seq} takes an edge before any node ended")
    if edge.exits:
        run.held += run.views[edge.index] is None
        run.views[edge.index] = run.outcome
    else:
        _take(run, edge, run.outcome)


def _take(run: Run, edge: PlanEdge, view: View) -> None:
    run.edges[edge.index] = EdgeStatus.TAKEN
    if edge.back_to is not None:
        run.views[edge.index] = view
        run.held += 1
        return
    run.undecided[edge.target] -= 1
    run.taken[edge.target] += 1
    if run.nodes[edge.target] is NodeStatus.IDLE:
        run.views[edge.index] = view
        _count(run, edge.scope, 1)


def _edge_dead(run: Run, record: EdgeDead) -> None:
    _kill(run, run.plan.edges[record.edge])


def _kill(run: Run, edge: PlanEdge) -> None:
    """Decide a forward edge as dead. One that leaves a loop is only decided when the loop ends."""
    if edge.exits:
        return
    run.edges[edge.index] = EdgeStatus.DEAD
    if edge.back_to is None:
        run.undecided[edge.target] -= 1


def _loop_iteration(run: Run, record: LoopIteration) -> None:
    plan = run.plan
    scope = plan.scopes[record.scope]
    counters = run.scopes[record.scope]
    counters.entered = record.entered
    counters.total += 1
    for edge in scope.edges:
        run.edges[edge] = EdgeStatus.UNDECIDED
    for node in scope.body:
        run.nodes[node] = NodeStatus.IDLE
        if node != scope.header:
            run.undecided[node] = plan.undecided[node]
            run.taken[node] = 0
    for inner in scope.inner:
        run.scopes[inner].entered = 0
        for edge in plan.scopes[inner].back_edges:
            run.edges[edge] = EdgeStatus.UNDECIDED


def _loop_completed(run: Run, record: LoopCompleted) -> None:
    scope = run.plan.scopes[record.scope]
    run.scopes[record.scope].entered = 0
    for index in scope.back_edges:
        run.edges[index] = EdgeStatus.UNDECIDED
    _leave(run, record.scope)


def _leave(run: Run, scope: int) -> None:
    """Decide the edges that leave a loop: it is over, or is skipped. One that leaves an outer loop too goes on waiting."""
    for index in run.plan.scopes[scope].exit_edges:
        edge = run.plan.edges[index]
        if edge.exits[-1] != scope:
            continue
        view = run.views[index]
        if view is None:
            run.edges[index] = EdgeStatus.DEAD
            run.undecided[edge.target] -= edge.back_to is None
        else:
            run.held -= 1
            run.views[index] = None
            _take(run, edge, view)


def _count(run: Run, scope: int, change: int) -> None:
    for around in run.plan.scopes[scope].chain:
        run.scopes[around].tokens += change


_CHANGES: Mapping[type[Record], Callable[[Run, Any], None]] = {
    RunSubmitted: _run_submitted,
    RunStarted: _run_started,
    RunBlocked: _run_blocked,
    RunRecovered: _run_recovered,
    RunCancelRequested: _run_cancel_requested,
    RunDeadlinePassed: _run_deadline_passed,
    RunFailing: _run_failing,
    StepStarted: _step_started,
    StepCompleted: _step_completed,
    StepRetrying: _step_retrying,
    StepFailed: _step_failed,
    StepCancelled: _step_cancelled,
    StepSkipped: _step_skipped,
    EdgeTaken: _edge_taken,
    EdgeDead: _edge_dead,
    LoopIteration: _loop_iteration,
    LoopCompleted: _loop_completed,
}
