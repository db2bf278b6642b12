"""`decide(run, message) -> records`: the whole logic of a run, as a pure function.

It waits for nothing, reads no clock and draws no lots: time and chance come with the call. Whoever calls it makes the records
durable and then acts on them: a `StepStarted` is a call to make, a `StepRetrying` a timer to set, a terminal record the end.

A message changes one thing; then every frame that this touched goes on as far as it can (`frames.advance`), and one that comes
to its end has the frame around it looked at again.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import UNSET

from runtime.run import commands, outcomes
from runtime.run.decision import Decision
from runtime.run.frames import advance
from runtime.run.messages import (
    Answer,
    AttemptEnded,
    Cancel,
    DeadlinePassed,
    DropLogs,
    Fork,
    GoOn,
    Message,
    Pause,
    Recover,
    Resume,
    Retry,
    SendSignal,
    Start,
    Submit,
    TimerDue,
    WriteLog,
)
from runtime.run.model import Run
from runtime.run.records import Record, RunDeadlinePassed, RunSubmitted, ToolLog, ToolLogDropped
from runtime.run.timers import timer_due


def decide(run: Run, message: Message, *, at: datetime, chance: float = 0.5, hold: bool = False) -> list[Record]:
    """Return what follows from `message`; `run` has already changed accordingly.

    With `MAX_RECORDS` or more there may be more to do: send `GoOn` to have it done.

    Args:
        run: The run as its records so far tell it; one that has ended ignores every message but `Retry`.
        message: What happened.
        at: Time of the records.
        chance: Number in [0, 1) for the jitter of a retry.
        hold: Take the message in, but start nothing; a later `Recover` catches up.

    Raises:
        Refused: A command cannot be carried out; nothing has changed.
    """
    if run.status.is_final and not isinstance(message, Retry):
        return []
    decision = Decision(run, at, chance, hold)
    _HANDLERS[type(message)](decision, message)
    if run.is_behind:
        commands.catch_up(decision)
    if run.started_at is not None:
        while decision.turns and not decision.is_full:
            advance(decision.turns.pop(next(iter(decision.turns))))
    run.is_behind = decision.is_full
    return decision.records


def _submit(decision: Decision, message: Submit) -> None:
    run = decision.run
    tools, state = dict(message.tools), dict(message.initial_state)
    decision.turn(run).emit(RunSubmitted(graph_id=run.plan.graph_id, tools=tools, initial_state=state))


def _attempt_ended(decision: Decision, message: AttemptEnded) -> None:
    frame = decision.run.frames.get(message.path)
    if frame is not None:
        outcomes.attempt_ended(decision.turn(frame), message)


def _deadline_passed(decision: Decision, _message: DeadlinePassed) -> None:
    run = decision.run
    if run.ending is None and run.finishing is None:
        commands.stop(decision, RunDeadlinePassed(timeout_s=run.plan.timeout_s))


def _write_log(decision: Decision, message: WriteLog) -> None:
    frame = decision.run.frames.get(message.path)
    if frame is None:
        return  # the frame ended before its tool did
    decision.turn(frame).emit(
        ToolLog(
            node=frame.plan.nodes[message.node].name,
            iteration=message.iteration,
            attempt=message.attempt,
            level=message.level,
            message=message.message,
            fields=dict(message.fields) or UNSET,
        )
    )


def _drop_logs(decision: Decision, message: DropLogs) -> None:
    decision.turn(decision.run).emit(ToolLogDropped(count=message.count, reason=message.reason or UNSET))


_HANDLERS: Mapping[type[Message], Callable[[Decision, Any], None]] = {
    Submit: _submit,
    Start: commands.start,
    Recover: commands.recover,
    GoOn: commands.go_on,
    AttemptEnded: _attempt_ended,
    TimerDue: timer_due,
    DeadlinePassed: _deadline_passed,
    WriteLog: _write_log,
    DropLogs: _drop_logs,
    Cancel: commands.cancel,
    Pause: commands.pause,
    Resume: commands.resume,
    Retry: commands.retry,
    Fork: commands.fork,
    SendSignal: commands.signal,
    Answer: commands.answer,
}
