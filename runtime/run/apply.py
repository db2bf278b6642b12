"""`apply(run, record)`: the only way a run changes.

Deciding and recovering both go through here, so a run folded from its journal is the run that wrote it. Nothing is decided in
this module: a record says what happened, and this says what that means. What it means for steps is in `apply_steps.py`, for
edges, loops and tokens in `tokens.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET

from runtime.graph.plan import ROOT
from runtime.json_values import encoded_size
from runtime.run import apply_steps, tokens
from runtime.run.model import Frame, Run, Signal
from runtime.run.records import (
    ApprovalAnswered,
    ApprovalRequested,
    EdgeDead,
    EdgeTaken,
    EndReached,
    ItemCancelled,
    ItemCompleted,
    ItemFailed,
    ItemStarted,
    LoopCompleted,
    LoopIteration,
    MapStopping,
    Record,
    RunBlocked,
    RunCancelRequested,
    RunDeadlinePassed,
    RunFailing,
    RunFinishing,
    RunForked,
    RunPaused,
    RunRecovered,
    RunResumed,
    RunRetried,
    RunStarted,
    RunStatus,
    RunSubmitted,
    SignalDelivered,
    SignalReceived,
    StepCancelled,
    StepCancelRequested,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepWaiting,
)


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
        change(run, run.frames[record.path] if isinstance(record.path, str) else run, record)
    elif record.terminal is not None:
        run.status = record.terminal
        run.completed_at = _time(record)


def _time(record: Record) -> Any:
    return record.timestamp


def _run_submitted(run: Run, _frame: Frame, record: RunSubmitted) -> None:
    run.tools = record.tools
    run.initial = run.state.initial(record.initial_state)


def _run_started(run: Run, _frame: Frame, record: RunStarted) -> None:
    run.status = RunStatus.RUNNING
    run.started_at = _time(record)
    run.deadline = record.deadline
    tokens.count(run, ROOT, 1)


def _run_blocked(run: Run, _frame: Frame, record: RunBlocked) -> None:
    run.blocked = record.reason


def _run_recovered(run: Run, _frame: Frame, record: RunRecovered) -> None:
    run.blocked = None
    run.recovered_from = record.cause


def _run_cancel_requested(run: Run, _frame: Frame, _record: RunCancelRequested) -> None:
    run.ending = RunStatus.CANCELLED
    run.paused = False


def _run_deadline_passed(run: Run, _frame: Frame, _record: RunDeadlinePassed) -> None:
    run.ending = RunStatus.TIMED_OUT
    run.paused = False


def _run_paused(run: Run, _frame: Frame, _record: RunPaused) -> None:
    run.paused = True


def _run_resumed(run: Run, _frame: Frame, _record: RunResumed) -> None:
    run.paused = False


def _run_retried(run: Run, _frame: Frame, record: RunRetried) -> None:
    was_put_aside = run.status is RunStatus.DEAD_LETTERED
    run.status = RunStatus.RUNNING
    run.completed_at = None
    run.deadline = record.deadline
    if not was_put_aside:
        run.paused = False
        apply_steps.revive(run, run, _time(record))


def _run_forked(run: Run, _frame: Frame, record: RunForked) -> None:
    run.started_at = _time(record)
    run.status = RunStatus.RUNNING
    run.deadline = record.deadline
    run.paused = False
    run.blocked = None
    for frame in run.frames.values():
        for step in frame.active.values():
            apply_steps.renew(frame, step, _time(record))
    if isinstance(record.update, dict):
        path = record.path if isinstance(record.path, str) else ""
        run.patch = (path, run.frames[path].plan.index_of[record.node], record.update)


def _signal_received(run: Run, _frame: Frame, record: SignalReceived) -> None:
    size = 0 if record.data is UNSET else encoded_size(record.data)
    run.signal_ids.add(record.id)
    run.signals.append(Signal(record.id, record.name, record.data, record.seq, size))


def _run_failing(_run: Run, frame: Frame, record: RunFailing) -> None:
    frame.failing = record.error
    if isinstance(record.node, str):
        frame.failed_node = record.node
        frame.is_dead_end = frame.plan.index_of[record.node] not in frame.stopped


def _run_finishing(_run: Run, frame: Frame, record: RunFinishing) -> None:
    frame.finishing = record.status
    frame.finals = 0
    frame.endings += 1


_CHANGES: Mapping[type[Record], Callable[[Run, Frame, Any], None]] = {
    RunSubmitted: _run_submitted,
    RunStarted: _run_started,
    RunBlocked: _run_blocked,
    RunRecovered: _run_recovered,
    RunCancelRequested: _run_cancel_requested,
    RunDeadlinePassed: _run_deadline_passed,
    RunPaused: _run_paused,
    RunResumed: _run_resumed,
    RunRetried: _run_retried,
    RunForked: _run_forked,
    SignalReceived: _signal_received,
    EdgeTaken: tokens.edge_taken,
    EdgeDead: tokens.edge_dead,
    LoopIteration: tokens.loop_iteration,
    LoopCompleted: tokens.loop_completed,
    RunFailing: _run_failing,
    RunFinishing: _run_finishing,
    StepStarted: apply_steps.step_started,
    StepCompleted: apply_steps.step_completed,
    StepRetrying: apply_steps.step_retrying,
    StepFailed: apply_steps.step_failed,
    StepCancelled: apply_steps.step_cancelled,
    StepCancelRequested: apply_steps.step_cancel_requested,
    StepSkipped: apply_steps.step_skipped,
    StepWaiting: apply_steps.step_waiting,
    SignalDelivered: apply_steps.signal_delivered,
    ApprovalRequested: apply_steps.approval_requested,
    ApprovalAnswered: apply_steps.approval_answered,
    ItemStarted: apply_steps.item_started,
    ItemCompleted: apply_steps.item_ended,
    ItemFailed: apply_steps.item_ended,
    ItemCancelled: apply_steps.item_ended,
    MapStopping: apply_steps.map_stopping,
    EndReached: apply_steps.end_reached,
}
