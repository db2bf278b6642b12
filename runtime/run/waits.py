"""Steps that only wait: for a time, for a signal, for a person's answer. And signals, which wait for somebody to take them."""

from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import UNSET

from runtime.errors import escape
from runtime.graph.definition import WaitDefinition
from runtime.graph.paths import MISSING, follow
from runtime.inputs import schema_problems
from runtime.run.decision import Decision, Refused, Turn
from runtime.run.inside import InsideError, values
from runtime.run.model import Frame, Signal, Step
from runtime.run.outcomes import give_up, leave
from runtime.run.records import (
    ApprovalAnswered,
    ApprovalRequested,
    Failure,
    MapStopping,
    SignalDelivered,
    SignalReceived,
    StepWaiting,
)
from runtime.run.state import View

MAX_SIGNALS: Final = 10_000
"""Signals that one run takes."""

MAX_SIGNAL_BYTES: Final = 4 << 20
"""Size of the data of all signals that a run keeps because nobody took them yet."""


def check(wait: WaitDefinition, view: View) -> None:
    """Raise `InsideError` if the state does not say until when to wait."""
    if wait.until_field is not None:
        _instant(wait.until_field, view)


def _instant(path: str, view: View) -> datetime:
    found = follow(values(view), path)
    try:
        instant = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        shown = "nothing" if found is MISSING else repr(found)[:100]
        message = (
            f"There is {shown} at {path!r}; an instant is ISO 8601 text with its offset, such as 2030-01-31T12:00:00Z."
        )
        raise InsideError("INVALID_WAIT", message)
    return instant


def begin(turn: Turn, step: Step) -> None:
    """Let a step that just started wait."""
    node = turn.node(step.node)
    if node.approval is not None:
        name = f"{escape(node.name)}#{step.iteration}"
        asked = node.approval
        turn.emit(
            ApprovalRequested(
                node=node.name,
                iteration=step.iteration,
                approval=f"{turn.frame.path}/{name}" if turn.frame.path else name,
                prompt=asked.prompt,
                answer_schema=UNSET if asked.answer_schema is None else asked.answer_schema,
                due=UNSET if asked.timeout_s is None else turn.at + timedelta(seconds=asked.timeout_s),
            )
        )
        return
    wait = node.wait or WaitDefinition(for_s=0)
    until: datetime | None = None
    if wait.until is not None:
        until = datetime.fromisoformat(wait.until)
    elif wait.until_field is not None:
        until = _instant(wait.until_field, step.view)
    else:
        seconds = wait.for_s if wait.signal is None else wait.timeout_s
        until = None if seconds is None else turn.at + timedelta(seconds=seconds)
    turn.emit(
        StepWaiting(
            node=node.name,
            iteration=step.iteration,
            until=until or UNSET,
            signal=UNSET if wait.signal is None else wait.signal,
        )
    )
    if wait.signal is not None and not wait.fresh:
        take_waiting(turn, step)


def take_waiting(turn: Turn, step: Step) -> None:
    """Give a step the oldest signal that it waits for, if one is there already."""
    signal = next((one for one in turn.run.signals if one.name == step.signal), None)
    if signal is not None:
        _deliver(turn, step, signal)


def over(turn: Turn, step: Step) -> None:
    """End a wait whose time has come: it is over, or out of time."""
    node = turn.node(step.node)
    if node.approval is not None:
        if "timeout_answer" in node.approval.model_fields_set:
            _answer(turn, step, node.approval.timeout_answer, by=None, timed_out=True)
            return
        message = f"Nobody answered {node.approval.prompt[:200]!r} within {node.approval.timeout_s:g} s."
    elif node.wait is not None and node.wait.signal is not None:
        if "timeout_data" in node.wait.model_fields_set:
            leave(turn, step, _received(node.wait, node.wait.timeout_data))
            return
        message = f"No signal {node.wait.signal!r} came within {node.wait.timeout_s:g} s."
    else:
        leave(turn, step, {})
        return
    give_up(turn, step, Failure("TIMEOUT", message))


def _received(wait: WaitDefinition, data: Any) -> dict[str, Any]:
    return {} if wait.into is None else {wait.into: data}


# --- signals ----------------------------------------------------------------------------------------------------------


def receive(decision: Decision, identity: str, name: str, data: Any) -> None:
    """Take a signal in, and give it to the step that has waited longest for one of that name.

    Raises:
        Refused: The run took too many signals already.
    """
    run = decision.run
    if identity in run.signal_ids:
        return
    if len(run.signal_ids) >= MAX_SIGNALS:
        raise Refused("TOO_MANY_SIGNALS", f"has been sent {MAX_SIGNALS:,} signals, and no run takes more")
    if sum(signal.size for signal in run.signals) > MAX_SIGNAL_BYTES:
        raise Refused("TOO_MANY_SIGNALS", f"keeps over {MAX_SIGNAL_BYTES:,} bytes of signals that nobody took")
    decision.turn(run).emit(SignalReceived(id=identity, name=name, data=UNSET if data is None else data))
    waiting = [
        (step.order, frame, step)
        for frame in run.frames.values()
        for step in frame.active.values()
        if step.signal == name and _listens(frame, step)
    ]
    if waiting:
        _, frame, step = min(waiting, key=lambda one: one[0])
        _deliver(decision.turn(frame), step, run.signals[-1])


def _listens(frame: Frame, step: Step) -> bool:
    if step.cancelling is not None or (step.map is not None and step.map.stopping is not None):
        return False
    return frame.is_final(step.node) or not frame.is_stopping


def _deliver(turn: Turn, step: Step, signal: Signal) -> None:
    node = turn.node(step.node)
    turn.emit(SignalDelivered(node=node.name, iteration=step.iteration, id=signal.id))
    if node.wait is not None:
        data = None if signal.data is UNSET else signal.data
        leave(turn, step, _received(node.wait, data))
    elif step.map is not None and step.map.stopping is None:
        turn.emit(MapStopping(node=node.name, iteration=step.iteration, reason="signal"))
        turn.stop_inside()


# --- approvals --------------------------------------------------------------------------------------------------------


def answer(decision: Decision, approval: str, given: Any, by: str | None) -> None:
    """Answer a question. The first valid answer wins.

    Raises:
        Refused: There is no such question, it was answered, it is not open any more, or the answer does not fit its schema.
    """
    found = _find(decision, approval)
    if found is None:
        raise Refused("UNKNOWN_APPROVAL", f"The run has no open approval {approval!r}.")
    turn, step = found
    asked = turn.node(step.node).approval
    problems = schema_problems(None if asked is None else asked.answer_schema, given, "/answer")
    if problems:
        raise Refused("INVALID_ANSWER", f"The answer does not fit the schema of approval {approval!r}.", problems)
    _answer(turn, step, given, by=by)


def _find(decision: Decision, approval: str) -> tuple[Turn, Step] | None:
    for frame, step in open_approvals(decision.run):
        if step.approval is not None and step.approval.approval == approval:
            return decision.turn(frame), step
    return None


def open_approvals(run: Frame) -> list[tuple[Frame, Step]]:
    """Return the steps that wait for an answer, and their frames, those that wait longest first."""
    frames = (run, *run.inside())
    steps = [(frame, step) for frame in frames for step in frame.active.values() if step.approval is not None]
    return sorted(steps, key=lambda one: one[1].order)


def _answer(turn: Turn, step: Step, given: Any, *, by: str | None, timed_out: bool = False) -> None:
    node = turn.node(step.node)
    turn.emit(
        ApprovalAnswered(
            node=node.name,
            iteration=step.iteration,
            answer=given,
            by=UNSET if by is None else by,
            timed_out=True if timed_out else UNSET,
        )
    )
    into = node.name if node.approval is None else node.approval.into or node.name
    leave(turn, step, {into: given})
