"""What a step does when the time comes that it waits for."""

from runtime.run import waits
from runtime.run.decision import Decision, Turn
from runtime.run.messages import TimerDue
from runtime.run.model import Step
from runtime.run.outcomes import request_cancel, restart


def timer_due(decision: Decision, message: TimerDue) -> None:
    """Hear a timer. One that fires too early, too late or while nothing may start changes nothing."""
    frame = decision.run.frames.get(message.path)
    step = None if frame is None else frame.active.get(message.node)
    if frame is not None and step is not None and step.iteration == message.iteration and not decision.holds:
        ring(decision.turn(frame), step)


def ring(turn: Turn, step: Step) -> None:
    """Start the step's next attempt, end its wait, or stop what takes too long, if it is time for that."""
    if turn.frame.is_stopping and not turn.frame.is_final(step.node):
        return
    if step.retry_due is not None:
        if step.retry_due <= turn.at:
            restart(turn, step)
    elif step.due is not None and step.due <= turn.at:
        if step.is_parked:
            waits.over(turn, step)
        else:
            request_cancel(turn, step, "timeout")
