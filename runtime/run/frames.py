"""How a frame begins, goes on and comes to its end: the run itself, a sub-graph, an item of a map."""

from msgspec import UNSET

from runtime.graph.plan import ROOT
from runtime.run import inside, maps
from runtime.run.decision import Turn
from runtime.run.loops import turn_over
from runtime.run.model import Frame, Step
from runtime.run.outcomes import cancel, elapsed_ms, give_up, leave
from runtime.run.records import (
    Record,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunFinishing,
    RunStatus,
    RunTimedOut,
)
from runtime.run.steps import settle, start


def advance(turn: Turn) -> None:
    """Let everything happen in a frame that needs nothing from outside, and end it if nothing is left."""
    frame = turn.frame
    has_left = turn.run.frames.get(frame.path) is not frame
    if has_left or (turn.decision.holds and not frame.is_stopping):
        return
    if frame.initial is not None and not frame.is_stopping:
        start(turn, frame.plan.entry)
    while not frame.is_stopping:
        while turn.pending and not turn.decision.is_full:
            settle(turn, turn.pending.popleft())
        if turn.decision.is_full:
            return
        if not turn.touched:
            break
        header = turn_over(turn)
        if header is not None:
            start(turn, header)
    if frame.is_stopping:
        for step in list(frame.active.values()):
            if step.map is not None:
                maps.go_on(turn, step)
            elif step.is_idle and not frame.is_final(step.node):
                cancel(turn, step)
    while not frame.active and (frame.is_stopping or not (frame.scopes[ROOT].tokens or frame.held)):
        if not _finish(turn):
            return


def _finish(turn: Turn) -> bool:
    """Take the next step towards the end of a frame that has nothing left to do; return whether there may be another one."""
    frame = turn.frame
    if not frame.plan.final:
        _conclude(turn)
        return False
    if turn.decision.holds:
        return False
    if frame.finishing is None:
        turn.emit(RunFinishing(status=_status(frame), error=frame.failing or UNSET))
        return True
    if frame.finals < len(frame.plan.final):
        start(turn, frame.plan.final[frame.finals])
        return True
    _conclude(turn)
    return False


def _status(frame: Frame) -> RunStatus:
    """Return what the frame ends as."""
    if frame.failing is not None:
        return RunStatus.FAILED
    if frame.ending is not None:
        return frame.ending
    return RunStatus.CANCELLED if frame.is_stopping else RunStatus.COMPLETED


def _conclude(turn: Turn) -> None:
    frame = turn.frame
    if frame.parent is None:
        turn.emit(_terminal(turn))
        turn.decision.turns.clear()
        return
    around = turn.decision.turn(frame.parent)
    step = frame.parent.active.get(frame.step)
    if step is None:
        return
    if frame.item is not None:
        maps.item_ended(around, frame, _status(frame))
    else:
        _graph_ended(around, step, frame)


def _graph_ended(turn: Turn, step: Step, frame: Frame) -> None:
    """End the step of a sub-graph that came to its end."""
    if step.cancelling == "timeout":
        give_up(turn, step, maps.out_of_time(turn, step))
    elif step.cancelling is not None:
        cancel(turn, step, elapsed_ms(turn, step))
    elif frame.failing is not None:
        give_up(turn, step, frame.failing)
    elif _status(frame) is RunStatus.COMPLETED:
        leave(turn, step, inside.result_of(turn.node(step.node), frame))
    else:
        cancel(turn, step, elapsed_ms(turn, step))


def conclude_unstarted(turn: Turn) -> None:
    """End a run that was cancelled before it began: nothing has to be stopped or cleaned up."""
    _conclude(turn)


def _terminal(turn: Turn) -> Record:
    run = turn.run
    duration_ms = (turn.at - run.started_at).total_seconds() * 1000 if run.started_at else 0.0
    if run.failing is not None:
        node = run.failed_node or UNSET
        return RunFailed(error=run.failing, node=node, steps=run.steps, duration_ms=duration_ms)
    if run.ending is RunStatus.CANCELLED:
        return RunCancelled(steps=run.steps, duration_ms=duration_ms)
    if run.ending is RunStatus.TIMED_OUT:
        return RunTimedOut(steps=run.steps, duration_ms=duration_ms)
    return RunCompleted(steps=run.steps, duration_ms=duration_ms)
