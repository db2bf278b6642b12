"""What the records about steps, and about what runs inside them, mean for a run. Called by `apply` only."""

from collections import deque
from datetime import datetime, timedelta
from typing import Any

from runtime.graph.plan import ROOT, PlanNode
from runtime.run.inside import child_input, item_input, items_of, result_of
from runtime.run.model import Frame, MapProgress, NodeStatus, Run, Step, new_frame
from runtime.run.records import (
    ApprovalAnswered,
    ApprovalRequested,
    EndReached,
    ItemCancelled,
    ItemCompleted,
    ItemFailed,
    ItemStarted,
    MapStopping,
    Record,
    RunStatus,
    SignalDelivered,
    StepCancelled,
    StepCancelRequested,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepWaiting,
)
from runtime.run.state import View, Writer
from runtime.run.tokens import consume, count, drop_arrived, kill_all, leave, skipped_loops


def _time(record: Record) -> Any:
    return record.timestamp


def _due(due: Any) -> datetime | None:
    return due if isinstance(due, datetime) else None


# --- beginning --------------------------------------------------------------------------------------------------------


def step_started(run: Run, frame: Frame, record: StepStarted) -> None:
    """Begin a step, or its next attempt."""
    index = frame.plan.index_of[record.node]
    step = frame.active.get(index)
    if step is not None:
        step.attempt = record.attempt
        step.killed += record.recovered is True and run.recovered_from == "killed"
        step.retry_due = step.due = step.signal = step.approval = None
        if step.is_parked:
            step.is_parked = False
            run.waiting -= 1
            run.working += 1
        return
    frame.rerouted.pop(index, None)
    node = frame.plan.nodes[index]
    view = _input(run, frame, index, record.seq)
    count(frame, node.scope, 1)
    frame.nodes[index] = NodeStatus.ACTIVE
    run.steps += 1
    step = Step(index, record.iteration, view, record.attempt, 0, None, _time(record), record.seq, _due(record.due))
    frame.active[index] = step
    if node.child is None:
        run.working += 1
    elif node.map is not None:
        items = items_of(node.map, view)
        step.map = MapProgress(items, [None] * len(items), deque(range(len(items))))
        step.signal = node.map.finish_on
    else:
        step.frame = _enter(run, frame, step, child_input(node.child, view))


def _input(run: Run, frame: Frame, index: int, number: int) -> View:
    patch = run.patch_of(frame, index)
    if frame.is_final(index):
        frame.finals += 1
        view = frame.state.current(frame.plan.index_of, number)
    else:
        view = consume(frame, index, number, resolve=patch is not None)
    if patch is None:
        return view
    run.patch = None
    return frame.state.update(view, patch, Writer(number, None, 1), alone=False, overwrite=True)


def _enter(run: Run, frame: Frame, step: Step, state: dict[str, Any], item: int | None = None) -> Frame:
    inside = new_frame(frame, step, item)
    inside.initial = inside.state.initial(state, step.view)
    count(inside, ROOT, 1)
    run.frames[inside.path] = inside
    return inside


# --- ending -----------------------------------------------------------------------------------------------------------


def _over(run: Run, frame: Frame, step: Step, status: NodeStatus) -> None:
    """Take an active step off."""
    node = frame.plan.nodes[step.node]
    del frame.active[step.node]
    frame.nodes[step.node] = status
    count(frame, node.scope, -1)
    if step.is_parked:
        step.is_parked = False
        run.waiting -= 1
    elif node.child is None:
        run.working -= 1
    for inside in step.frames:
        _leave_frame(run, inside)


def _leave_frame(run: Run, frame: Frame) -> None:
    run.frames.pop(frame.path, None)


def step_completed(run: Run, frame: Frame, record: StepCompleted) -> None:
    """Merge the step's update into its view, which its out-edges carry on."""
    step = frame.active[frame.plan.index_of[record.node]]
    writer = Writer(record.seq, record.node, record.iteration)
    is_stopping = frame.is_stopping  # steps that a retry may bring back are concurrent with this one
    frame.outcome = frame.state.update(step.view, record.update, writer, alone=frame.is_alone and not is_stopping)
    if is_stopping and not frame.is_final(step.node):
        frame.unrouted[step.node] = frame.outcome
    if frame.parent is not None:
        frame.returned.update(record.update)
    _over(run, frame, step, NodeStatus.COMPLETED)


def step_retrying(_run: Run, frame: Frame, record: StepRetrying) -> None:
    """Let the step wait for its next attempt."""
    step = frame.active[frame.plan.index_of[record.node]]
    step.failures += 1
    step.retry_due = record.due


def step_failed(run: Run, frame: Frame, record: StepFailed) -> None:
    """End a step that failed for good; one that could not even begin takes its tokens with it."""
    index = frame.plan.index_of[record.node]
    step = frame.active.get(index)
    if step is not None:
        frame.outcome = step.view
        _over(run, frame, step, NodeStatus.FAILED)
        if record.handled == "fail_run":
            _keep(frame, step)
    elif frame.is_final(index):
        frame.finals += 1
    else:
        run.unbegun += 1
        frame.outcome = consume(frame, index, record.seq, resolve=True)
        frame.nodes[index] = NodeStatus.FAILED


def step_cancelled(run: Run, frame: Frame, record: StepCancelled) -> None:
    """End a step that was stopped. If the run goes on without it, nothing comes after it."""
    index = frame.plan.index_of[record.node]
    step = frame.active[index]
    _over(run, frame, step, NodeStatus.CANCELLED)
    if step.cancelling is None:
        _keep(frame, step)
    else:
        kill_all(frame, index)


def _keep(frame: Frame, step: Step) -> None:
    """Keep a step that ended because its frame does, for a retry of the run."""
    if not frame.is_final(step.node):
        frame.stopped[step.node] = step


def step_cancel_requested(_run: Run, frame: Frame, record: StepCancelRequested) -> None:
    """Stop a step while the run goes on."""
    step = frame.active[frame.plan.index_of[record.node]]
    step.cancelling = record.reason
    for inside in step.frames:
        inside.ending = RunStatus.CANCELLED


def step_skipped(_run: Run, frame: Frame, record: StepSkipped) -> None:
    """Pass a node over, and the loops that it is the header of."""
    index = frame.plan.index_of[record.node]
    frame.nodes[index] = NodeStatus.SKIPPED
    drop_arrived(frame, index)
    kill_all(frame, index)
    for scope in skipped_loops(frame, index):
        leave(frame, scope)


def end_reached(_run: Run, frame: Frame, _record: EndReached) -> None:
    """Let the frame end as completed."""
    frame.ending = RunStatus.COMPLETED


# --- waiting ----------------------------------------------------------------------------------------------------------


def _park(run: Run, step: Step) -> None:
    step.is_parked = True
    run.working -= 1
    run.waiting += 1


def step_waiting(run: Run, frame: Frame, record: StepWaiting) -> None:
    """Let a step wait."""
    step = frame.active[frame.plan.index_of[record.node]]
    step.due = _due(record.until)
    step.signal = record.signal if isinstance(record.signal, str) else None
    _park(run, step)


def approval_requested(run: Run, frame: Frame, record: ApprovalRequested) -> None:
    """Let a step wait for an answer."""
    step = frame.active[frame.plan.index_of[record.node]]
    step.due = _due(record.due)
    step.approval = record
    _park(run, step)


def approval_answered(_run: Run, frame: Frame, record: ApprovalAnswered) -> None:
    """Close the question."""
    frame.active[frame.plan.index_of[record.node]].approval = None


def signal_delivered(run: Run, frame: Frame, record: SignalDelivered) -> None:
    """Take a signal off the list of those that wait."""
    run.signals = [signal for signal in run.signals if signal.id != record.id]
    frame.active[frame.plan.index_of[record.node]].signal = None


# --- maps -------------------------------------------------------------------------------------------------------------


def _map_of(frame: Frame, name: str) -> tuple[PlanNode, Step, MapProgress]:
    node = frame.plan.nodes[frame.plan.index_of[name]]
    step = frame.active[node.index]
    if step.map is None:
        raise ValueError(f"node {name!r} is no map")
    return node, step, step.map


def item_started(run: Run, frame: Frame, record: ItemStarted) -> None:
    """Begin the frame of the next item."""
    node, step, progress = _map_of(frame, record.node)
    if node.map is None or node.child is None:
        raise ValueError(f"node {record.node!r} is no map")
    progress.todo.remove(record.item)
    state = item_input(node.child, node.map, step.view, progress.items[record.item], record.item)
    progress.running[record.item] = _enter(run, frame, step, state, record.item)


def item_ended(run: Run, frame: Frame, record: ItemCompleted | ItemFailed | ItemCancelled) -> None:
    """Take an item's frame off and keep its result; what was stopped with the map is kept for a retry of the run."""
    node, _, progress = _map_of(frame, record.node)
    inside = progress.running.pop(record.item, None)
    if inside is None:
        progress.todo.remove(record.item)
    else:
        _leave_frame(run, inside)
    if isinstance(record, ItemCompleted):
        progress.completed += 1
        progress.results[record.item] = None if inside is None else result_of(node, inside)
        return
    collects = node.map is not None and node.map.collects
    if isinstance(record, ItemFailed):
        progress.errors[record.item] = record.error
    if inside is None:
        if not collects:
            progress.todo.appendleft(record.item)
    elif not (collects and isinstance(record, ItemFailed)) and progress.stopping in (None, "item_failed"):
        progress.halted[record.item] = inside


def map_stopping(_run: Run, frame: Frame, record: MapStopping) -> None:
    """Start no further item, and stop those that run."""
    _, _, progress = _map_of(frame, record.node)
    progress.stopping = record.reason
    for inside in progress.running.values():
        inside.ending = RunStatus.CANCELLED


# --- a retry of the run -----------------------------------------------------------------------------------------------


def revive(run: Run, frame: Frame, now: datetime) -> None:
    """Put the steps that ended with a frame back to where they were, as if none of their attempts had failed yet."""
    frame.failing = frame.failed_node = frame.ending = frame.finishing = None
    frame.is_dead_end = False
    frame.rerouted, frame.unrouted = frame.unrouted, {}
    stopped, frame.stopped = frame.stopped, {}
    for index, step in stopped.items():
        node = frame.plan.nodes[index]
        frame.active[index] = step
        frame.nodes[index] = NodeStatus.ACTIVE
        count(frame, node.scope, 1)
        step.failures = 0
        step.retry_due = step.cancelling = None
        step.first_started = now
        if node.child is None:
            run.working += 1
            continue
        renew(frame, step, now)
        if step.map is not None:
            _reopen(step.map)
        for inside in step.frames:
            run.frames[inside.path] = inside
            revive(run, inside, now)


def renew(frame: Frame, step: Step, now: datetime) -> None:
    """Give the graph or the items that run in a step their whole time again."""
    timeout_s = frame.policies[step.node].timeout_s
    if step.frames or step.map is not None:
        step.due = None if timeout_s is None else now + timedelta(seconds=timeout_s)


def _reopen(progress: MapProgress) -> None:
    if progress.stopping == "item_failed":
        progress.stopping = None
    progress.errors = {item: error for item, error in progress.errors.items() if _is_final(progress, item)}
    progress.running.update(progress.halted)
    progress.halted.clear()


def _is_final(progress: MapProgress, item: int) -> bool:
    return item not in progress.halted and item not in progress.todo
