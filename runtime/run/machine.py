"""`decide(run, message) -> records`: the whole logic of a run, as a pure function.

It waits for nothing, reads no clock and draws no lots: time and chance come with the call. Whoever calls it makes the records
durable and then acts on them: a `StepStarted` is a call to make, a `StepRetrying` a timer to set, a terminal record the end.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import UNSET

from runtime.graph.plan import ROOT
from runtime.run.decision import Decision
from runtime.run.loops import turn_over
from runtime.run.messages import (
    AttemptEnded,
    Cancel,
    DeadlinePassed,
    DropLogs,
    Message,
    Recover,
    RetryDue,
    Start,
    Submit,
    WriteLog,
)
from runtime.run.model import Run
from runtime.run.records import (
    Record,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunDeadlinePassed,
    RunFailed,
    RunStarted,
    RunStatus,
    RunSubmitted,
    RunTimedOut,
    ToolLog,
    ToolLogDropped,
)
from runtime.run.steps import attempt_ended, cancel_step, lose, restart, settle, start


def decide(run: Run, message: Message, *, at: datetime, chance: float = 0.5, hold: bool = False) -> list[Record]:
    """Return what follows from `message`; `run` has already changed accordingly.

    Args:
        run: The run as its records so far tell it; one that has ended ignores every message.
        message: What happened.
        at: Time of the records.
        chance: Number in [0, 1) for the jitter of a retry.
        hold: Take the message in, but start nothing; a later `Recover` catches up.
    """
    if run.status.is_final:
        return []
    decision = Decision(run, at, chance, hold)
    _HANDLERS[type(message)](decision, message)
    if run.started_at is not None and (run.is_stopping or not hold):
        _follow_up(decision)
    return decision.records


def _follow_up(decision: Decision) -> None:
    """Let everything happen that needs nothing from outside, and end the run if nothing is left."""
    run = decision.run
    while True:
        while decision.pending:
            settle(decision, decision.pending.popleft())
        if run.is_stopping or not decision.touched:
            break
        header = turn_over(decision)
        if header is not None:
            start(decision, header)
    if run.is_stopping:
        for step in [step for step in run.active.values() if step.retry_due is not None]:
            cancel_step(decision, step, 0.0)
        if not run.active:
            decision.emit(_end(run, decision.at))
    elif run.scopes[ROOT].tokens == 0:
        decision.emit(_end(run, decision.at))


def _end(run: Run, at: datetime) -> Record:
    duration_ms = (at - run.started_at).total_seconds() * 1000 if run.started_at else 0.0
    if run.failing is not None:
        node = run.failed_node or UNSET
        return RunFailed(error=run.failing, node=node, steps=run.steps, duration_ms=duration_ms)
    if run.ending is RunStatus.CANCELLED:
        return RunCancelled(steps=run.steps, duration_ms=duration_ms)
    if run.ending is RunStatus.TIMED_OUT:
        return RunTimedOut(steps=run.steps, duration_ms=duration_ms)
    return RunCompleted(steps=run.steps, duration_ms=duration_ms)


def _submit(decision: Decision, message: Submit) -> None:
    graph_id = decision.run.plan.graph_id
    tools, state = dict(message.tools), dict(message.initial_state)
    decision.emit(RunSubmitted(graph_id=graph_id, tools=tools, initial_state=state))


def _start(decision: Decision, _message: Start) -> None:
    run = decision.run
    if run.started_at is None:
        decision.emit(RunStarted(deadline=decision.at + timedelta(seconds=run.plan.timeout_s)))
        start(decision, run.plan.entry)


def _recover(decision: Decision, _message: Recover) -> None:
    run = decision.run
    for step in [step for step in run.active.values() if step.retry_due is None]:
        if run.is_stopping:
            cancel_step(decision, step, 0.0)
        else:
            lose(decision, step)
    decision.pending.extend(index for index, taken in enumerate(run.taken) if taken)
    decision.touched.update(index for index, scope in enumerate(run.scopes) if scope.entered)


def _retry_due(decision: Decision, message: RetryDue) -> None:
    step = decision.run.active.get(message.node)
    if step is None or step.iteration != message.iteration or step.retry_due is None:
        return
    if not decision.run.is_stopping and not decision.hold:
        restart(decision, step)


def _cancel(decision: Decision, _message: Cancel) -> None:
    run = decision.run
    if run.ending is None:
        decision.emit(RunCancelRequested())
    if run.started_at is None:
        decision.emit(_end(run, decision.at))


def _deadline_passed(decision: Decision, _message: DeadlinePassed) -> None:
    if decision.run.ending is None:
        decision.emit(RunDeadlinePassed(timeout_s=decision.run.plan.timeout_s))


def _write_log(decision: Decision, message: WriteLog) -> None:
    decision.emit(
        ToolLog(
            node=decision.node(message.node).name,
            iteration=message.iteration,
            attempt=message.attempt,
            level=message.level,
            message=message.message,
            fields=dict(message.fields) or UNSET,
        )
    )


def _drop_logs(decision: Decision, message: DropLogs) -> None:
    decision.emit(ToolLogDropped(count=message.count))


_HANDLERS: Mapping[type[Message], Callable[[Decision, Any], None]] = {
    Submit: _submit,
    Start: _start,
    Recover: _recover,
    AttemptEnded: attempt_ended,
    RetryDue: _retry_due,
    Cancel: _cancel,
    DeadlinePassed: _deadline_passed,
    WriteLog: _write_log,
    DropLogs: _drop_logs,
}
