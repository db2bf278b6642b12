"""How a step ends: its attempts, its result, its failure for good, and being stopped."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from msgspec import UNSET

from runtime.graph.plan import PlanNode
from runtime.json_values import encoded_size
from runtime.run.decision import Turn
from runtime.run.joins import sharing
from runtime.run.messages import AttemptEnded, Failed, Stopped, Succeeded
from runtime.run.model import Step
from runtime.run.records import (
    CancelReason,
    Failure,
    Handling,
    StepCancelled,
    StepCancelRequested,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepStarted,
)
from runtime.run.routing import route_error, route_success
from runtime.run.state import MAX_UPDATE_BYTES, StateError

MAX_KILLED: Final = 25
"""Attempts of one step that may end with the process before the step counts as the cause (River tries a job 25 times)."""

# --- attempts ---------------------------------------------------------------------------------------------------------


def attempt_ended(turn: Turn, message: AttemptEnded) -> None:
    """Take in the outcome of an attempt. One that is not current any more changes nothing."""
    step = turn.frame.active.get(message.node)
    if step is None or (step.iteration, step.attempt) != (message.iteration, message.attempt) or step.is_idle:
        return
    outcome = message.outcome
    if step.cancelling is not None:
        abandoned = isinstance(outcome, Failed | Stopped) and outcome.abandoned
        cancel(turn, step, message.duration_ms, abandoned=abandoned)
        return
    match outcome:
        case Succeeded(update):
            complete(turn, step, update, message.duration_ms)
        case Stopped(abandoned):
            cancel(turn, step, message.duration_ms, abandoned=abandoned)
        case Failed():
            _attempt_failed(turn, step, outcome, message.duration_ms)


def _attempt_failed(turn: Turn, step: Step, outcome: Failed, duration_ms: float) -> None:
    node = turn.node(step.node)
    delay_s = _retry_delay(turn, step, outcome)
    if delay_s is None:
        fail(turn, node, step.iteration, step.attempt, outcome, duration_ms)
        return
    turn.emit(
        StepRetrying(
            node=node.name,
            iteration=step.iteration,
            attempt=step.attempt,
            error=outcome.error,
            duration_ms=duration_ms,
            delay_ms=delay_s * 1000,
            due=turn.at + timedelta(seconds=delay_s),
        )
    )


def restart(turn: Turn, step: Step, *, recovered: bool = False) -> None:
    """Start the next attempt of an active step."""
    node = turn.node(step.node)
    turn.emit(
        StepStarted(
            node=node.name,
            iteration=step.iteration,
            attempt=step.attempt + 1,
            tool=turn.frame.policies[step.node].tool or UNSET,
            recovered=True if recovered else UNSET,
        )
    )


def lose(turn: Turn, step: Step) -> None:
    """Go on with a step whose attempt a crash interrupted, as the effect of its tool allows."""
    if not turn.frame.policies[step.node].reruns:
        code = "OUTCOME_UNKNOWN"
        message = "The process stopped during the attempt, and the tool must not run twice; whether it took effect is not known."
    elif step.killed >= MAX_KILLED:
        code = "PROCESS_LOST"
        message = (
            f"The process was killed during {step.killed + 1} attempts of the step, perhaps by its tool, so it is not tried "
            "again. A tool that can end its process belongs into one of its own."
        )
    else:
        restart(turn, step, recovered=True)
        return
    fail(turn, turn.node(step.node), step.iteration, step.attempt, Failed(Failure(code, message), retryable=False), 0.0)


def _retry_delay(turn: Turn, step: Step, outcome: Failed) -> float | None:
    """Return the seconds to wait before the next attempt, or None if there is none.

    Exponential back-off with full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """
    frame = turn.frame
    policy = frame.policies[step.node]
    retry = policy.retry
    stops = frame.is_stopping and not frame.is_final(step.node)
    if stops or not outcome.retryable or step.failures + 1 >= policy.max_attempts:
        return None
    if retry.retry_on is not None and outcome.error.code not in retry.retry_on:
        return None
    delay = min(retry.max_s, retry.initial_s * retry.factor**step.failures)
    if retry.jitter == "full":
        delay *= turn.decision.chance
    waited = (turn.at - step.first_started).total_seconds()
    return None if retry.budget_s is not None and waited + delay > retry.budget_s else delay


# --- ending -----------------------------------------------------------------------------------------------------------


def complete(turn: Turn, step: Step, update: Mapping[str, Any], duration_ms: float = 0.0) -> None:
    """End a step that has its result, and take the node's edges; a result that cannot be merged is a failure."""
    frame = turn.frame
    node = turn.node(step.node)
    try:
        frame.state.check(step.view, update)
    except StateError as error:
        refused = Failed(Failure(error.code, error.message), retryable=False)
        fail(turn, node, step.iteration, step.attempt, refused, duration_ms)
        return
    turn.emit(
        StepCompleted(
            node=node.name,
            iteration=step.iteration,
            attempt=step.attempt,
            duration_ms=duration_ms,
            update=dict(update),
        )
    )
    _ended(turn, node)
    if not frame.is_stopping:
        route_success(turn, node)


def leave(turn: Turn, step: Step, update: Mapping[str, Any]) -> None:
    """End a step that calls no tool itself with what it leaves behind; too much of that is a failure."""
    size = encoded_size(update)
    if size <= MAX_UPDATE_BYTES:
        complete(turn, step, update, elapsed_ms(turn, step))
        return
    name = turn.node(step.node).name
    message = (
        f"What node {name!r} leaves behind has {size:,} bytes; at most {MAX_UPDATE_BYTES:,} are allowed. "
        "What a graph or a map leaves can be chosen with 'output'."
    )
    give_up(turn, step, Failure("UPDATE_TOO_LARGE", message))


def give_up(turn: Turn, step: Step, error: Failure) -> None:
    """End a step that calls no tool itself as failed for good."""
    outcome = Failed(error, retryable=False)
    fail(turn, turn.node(step.node), step.iteration, step.attempt, outcome, elapsed_ms(turn, step))


def elapsed_ms(turn: Turn, step: Step) -> float:
    """Return the milliseconds since the step began."""
    return round((turn.at - step.first_started).total_seconds() * 1000, 3)


def fail(turn: Turn, node: PlanNode, iteration: int, attempt: int, outcome: Failed, duration_ms: float) -> None:
    """End a step that failed for good, and do what the node says about that."""
    frame = turn.frame
    is_final = frame.is_final(node.index)
    handled: Handling = "fail_run" if frame.is_stopping and not is_final else node.on_error
    turn.emit(
        StepFailed(
            node=node.name,
            iteration=iteration,
            attempt=attempt,
            error=outcome.error,
            duration_ms=duration_ms,
            handled=handled,
            abandoned=True if outcome.abandoned else UNSET,
        )
    )
    _ended(turn, node)
    if handled == "continue":
        route_success(turn, node)
    elif handled == "fail_run" or not route_error(turn, node):
        turn.fail(outcome.error.code, outcome.error.message, node)


def cancel(turn: Turn, step: Step, duration_ms: float = 0.0, *, abandoned: bool = False) -> None:
    """End an active step that was stopped. If the frame goes on without it, its edges are dead."""
    node = turn.node(step.node)
    turn.emit(
        StepCancelled(
            node=node.name,
            iteration=step.iteration,
            attempt=step.attempt,
            duration_ms=duration_ms,
            abandoned=True if abandoned else UNSET,
        )
    )
    _ended(turn, node)
    if step.cancelling is not None:
        follow_dead_edges(turn, node)


def request_cancel(turn: Turn, step: Step, reason: CancelReason) -> None:
    """Stop a step while its frame goes on; it ends once what it has running has."""
    if step.cancelling is not None:
        return
    turn.emit(StepCancelRequested(node=turn.node(step.node).name, iteration=step.iteration, reason=reason))
    if step.is_idle:
        cancel(turn, step)
    for frame in step.frames:
        for one in (frame, *frame.inside()):
            turn.decision.turn(one)


def follow_dead_edges(turn: Turn, node: PlanNode) -> None:
    """Have the nodes looked at that the node's dead edges lead to."""
    turn.touched.update(turn.frame.plan.scopes[node.scope].chain)
    for out in node.all_out:
        edge = turn.frame.plan.edges[out]
        if not edge.exits and edge.back_to is None:
            turn.pending.append(edge.target)


def _ended(turn: Turn, node: PlanNode) -> None:
    turn.touched.update(turn.frame.plan.scopes[node.scope].chain)
    for index in sharing(turn.frame, node.mutex) if node.mutex is not None else ():
        turn.pending.append(index)
        turn.touched.update(turn.frame.plan.scopes[turn.node(index).scope].chain)
