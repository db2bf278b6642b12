"""What people and supervisors ask of a run: cancel, pause, resume, retry, fork, signal, answer; and to go on after a crash."""

from datetime import timedelta

from msgspec import UNSET

from runtime.graph.plan import ROOT
from runtime.run import maps, waits
from runtime.run.decision import Decision, Refused, Turn
from runtime.run.frames import conclude_unstarted
from runtime.run.messages import Answer, Cancel, Fork, GoOn, Pause, Recover, Resume, Retry, SendSignal, Start
from runtime.run.model import Frame, NodeStatus, Step
from runtime.run.outcomes import cancel as cancel_step
from runtime.run.outcomes import lose, restart
from runtime.run.records import (
    RunCancelRequested,
    RunDeadlinePassed,
    RunForked,
    RunPaused,
    RunResumed,
    RunRetried,
    RunStarted,
    RunStatus,
)
from runtime.run.routing import route_success
from runtime.run.timers import ring


def start(decision: Decision, _message: Start | Resume) -> None:
    """Begin the accepted run, unless it is to wait or to end."""
    run = decision.run
    if run.started_at is None and not run.paused and run.ending is None:
        deadline = decision.at + timedelta(seconds=run.plan.timeout_s)
        decision.turn(run).emit(RunStarted(deadline=deadline))


def cancel(decision: Decision, _message: Cancel) -> None:
    """End the run. Whoever is at its `finally` nodes has ended in all but name."""
    run = decision.run
    if run.ending is None and run.finishing is None:
        stop(decision, RunCancelRequested())
    if run.started_at is None:
        conclude_unstarted(decision.turn(run))


def stop(decision: Decision, record: RunCancelRequested | RunDeadlinePassed) -> None:
    """Let the run end. That ends a pause as well, so what its `finally` nodes could not do meanwhile is done now."""
    was_paused = decision.run.paused
    decision.turn(decision.run).emit(record)
    decision.turn_all()
    if was_paused:
        catch_up(decision)


def pause(decision: Decision, _message: Pause) -> None:
    """Start nothing from now on."""
    run = decision.run
    if not run.paused and run.ending is None:
        decision.turn(run).emit(RunPaused())


def resume(decision: Decision, message: Resume) -> None:
    """Go on where the pause stopped, or begin if it came before that."""
    run = decision.run
    if run.paused:
        decision.turn(run).emit(RunResumed())
        if not decision.hold:
            start(decision, message)
        catch_up(decision)


def recover(decision: Decision, _message: Recover) -> None:
    """Go on with a run that was rebuilt from its records: its running attempts are lost."""
    for frame in list(decision.run.frames.values()):
        turn = decision.turn(frame)
        for step in list(frame.active.values()):
            if step.is_idle or step.frames or step.map is not None:
                continue
            if _is_stopped(frame, step):
                cancel_step(turn, step)
            else:
                lose(turn, step)
    catch_up(decision)


def go_on(decision: Decision, _message: GoOn) -> None:
    """Go on where a decision stopped because it had become too long."""
    catch_up(decision)


def catch_up(decision: Decision) -> None:
    """Look at everything that may have become possible while nothing could start."""
    for frame in list(decision.run.frames.values()):
        turn = decision.turn(frame)
        turn.pending.extend(
            index for index, status in enumerate(frame.nodes) if status is NodeStatus.IDLE and _moved(frame, index)
        )
        turn.touched.update(index for index, scope in enumerate(frame.scopes) if scope.entered)
        if decision.holds:
            continue
        for step in list(frame.active.values()):
            ring(turn, step)
            if step.map is not None and frame.active.get(step.node) is step:
                maps.go_on(turn, step)


def _moved(frame: Frame, index: int) -> bool:
    """Whether an in-edge of the node was decided in this iteration."""
    return frame.undecided[index] < frame.plan.undecided[index]


def retry(decision: Decision, _message: Retry) -> None:
    """Go on with a run that failed, was out of time, or was put aside.

    Raises:
        Refused: It ended otherwise, has not ended, or would fail again in the same way.
    """
    run = decision.run
    if run.status is RunStatus.DEAD_LETTERED:
        _requeue(decision)
        return
    if run.status not in (RunStatus.FAILED, RunStatus.TIMED_OUT):
        word = run.word.value
        raise Refused("NOTHING_TO_RETRY", f"it is {word}, and only one that failed, timed out or was put aside can.")
    if run.failed_node is not None and run.plan.index_of[run.failed_node] in run.plan.final:
        message = f"only its finally node {run.failed_node!r} failed, when everything else had ended."
        raise Refused("NOTHING_TO_RETRY", message)
    if any(_dead_ends(run)):
        message = (
            f"what node {run.failed_node!r} failed with is not the failure of an attempt, so trying again changes nothing; "
            "a fork from a step before it can change the state."
        )
        raise Refused("NOTHING_TO_RETRY", message)
    if run.status is RunStatus.FAILED and not (run.stopped or run.unrouted or run.held or run.scopes[ROOT].tokens):
        raise Refused("NOTHING_TO_RETRY", "no step of it failed or was stopped, so there is nothing to run again.")
    turn = decision.turn(run)
    turn.emit(RunRetried(deadline=decision.at + timedelta(seconds=run.plan.timeout_s)))
    _begin_again(decision)
    for frame in list(run.frames.values()):
        turn = decision.turn(frame)
        for index, view in frame.rerouted.items():
            route_success(turn, turn.node(index), view)
    catch_up(decision)


def _requeue(decision: Decision) -> None:
    """Go on with a run that was put aside because it could not be rebuilt: where it was, as after a crash."""
    run = decision.run
    decision.turn(run).emit(RunRetried(deadline=decision.at + timedelta(seconds=run.plan.timeout_s)))
    if run.started_at is None:
        start(decision, Start())
    recover(decision, Recover())


def _begin_again(decision: Decision) -> None:
    """Start everything again that was running: attempts, and waits with their whole time."""
    begun: list[tuple[Turn, Step]] = []
    for frame in list(decision.run.frames.values()):
        turn = decision.turn(frame)
        for step in list(frame.active.values()):
            if step.frame is not None or step.map is not None or step.retry_due is not None:
                continue
            if _is_stopped(frame, step):
                cancel_step(turn, step)
            else:
                restart(turn, step)
                begun.append((turn, step))
    for turn, step in begun:
        if turn.node(step.node).kind in ("wait", "approval"):
            waits.begin(turn, step)


def _is_stopped(frame: Frame, step: Step) -> bool:
    return step.cancelling is not None or (frame.is_stopping and not frame.is_final(step.node))


def _dead_ends(frame: Frame) -> list[bool]:
    """Return, for a frame that ended and those that stopped with it, whether a retry cannot change why."""
    inside = [one for step in frame.stopped.values() for one in _stopped_in(step)]
    return [frame.is_dead_end, *(found for one in inside for found in _dead_ends(one))]


def _stopped_in(step: Step) -> list[Frame]:
    return [*step.frames, *(step.map.halted.values() if step.map is not None else ())]


def fork(decision: Decision, message: Fork) -> None:
    """Begin a run with what another one had done, and another state for the step that comes next."""
    run = decision.run
    turn = decision.turn(run.frames[message.path])
    turn.emit(
        RunForked(
            source_run_id=message.source_run_id,
            source_seq=message.source_seq,
            node=message.node,
            iteration=message.iteration,
            deadline=decision.at + timedelta(seconds=run.plan.timeout_s),
            update=UNSET if message.update is None else dict(message.update),
        )
    )
    _begin_again(decision)
    catch_up(decision)


def signal(decision: Decision, message: SendSignal) -> None:
    """Take a signal in."""
    waits.receive(decision, message.id, message.name, message.data)


def answer(decision: Decision, message: Answer) -> None:
    """Answer a question."""
    waits.answer(decision, message.approval, message.answer, message.by)
