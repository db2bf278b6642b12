"""When a node starts, is skipped, tries again, or has failed for good."""

from datetime import timedelta

from msgspec import UNSET

from runtime.graph.plan import PlanNode
from runtime.run.apply import arrived, skipped_loops
from runtime.run.decision import Decision
from runtime.run.messages import AttemptEnded, Failed, Stopped, Succeeded
from runtime.run.model import NodeStatus, Step
from runtime.run.records import (
    Failure,
    Handling,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
)
from runtime.run.routing import route_error, route_success
from runtime.run.state import StateError


def settle(decision: Decision, index: int) -> None:
    """Start a node, or skip it, if its in-edges allow or rule out that it runs."""
    run = decision.run
    if run.nodes[index] is not NodeStatus.IDLE or run.is_stopping:
        return
    node = run.plan.nodes[index]
    taken, undecided = run.taken[index], run.undecided[index]
    if (taken >= node.needs) if node.needs else (taken and not undecided):
        start(decision, index)
    elif not undecided:
        reason = f"{taken} of {node.needs} needed edges were taken" if taken else "no edge to it was taken"
        decision.emit(StepSkipped(node=node.name, iteration=run.iteration(index), reason=reason))
        decision.touched.update(run.plan.scopes[node.scope].chain)
        for out in node.all_out:
            edge = run.plan.edges[out]
            if not edge.exits and edge.back_to is None:
                decision.pending.append(edge.target)
        for scope in skipped_loops(run, index):
            decision.pending.extend(run.plan.edges[out].target for out in run.plan.scopes[scope].exit_edges)


def start(decision: Decision, index: int) -> None:
    """Start the first attempt of a node's step."""
    run = decision.run
    node = run.plan.nodes[index]
    if run.steps >= run.plan.max_steps:
        decision.fail_run(
            "STEP_LIMIT", f"The run may take at most {run.plan.max_steps} steps (limits.max_steps).", node
        )
        return
    views = arrived(run, index)
    if len(views) > 1:
        try:
            run.state.check_join(views, run.seq + 1)
        except StateError as error:
            _fail(decision, node, run.iteration(index), 0, Failed(Failure(error.code, error.message)), 0.0)
            return
    iteration = run.iteration(index)
    tool = run.policies[index].tool
    decision.emit(StepStarted(node=node.name, iteration=iteration, tool=UNSET if tool is None else tool))
    if tool is None:
        decision.emit(StepCompleted(node=node.name, iteration=iteration, update={}))
        _ended(decision, node)
        route_success(decision, node)


def restart(decision: Decision, step: Step, *, recovered: bool = False) -> None:
    """Start the next attempt of an active step."""
    node = decision.node(step.node)
    decision.emit(
        StepStarted(
            node=node.name,
            iteration=step.iteration,
            attempt=step.attempt + 1,
            tool=decision.run.policies[step.node].tool or UNSET,
            recovered=True if recovered else UNSET,
        )
    )


def attempt_ended(decision: Decision, message: AttemptEnded) -> None:
    """Take in the outcome of an attempt. One that is not current any more changes nothing."""
    run = decision.run
    step = run.active.get(message.node)
    if step is None or (step.iteration, step.attempt) != (message.iteration, message.attempt) or step.retry_due:
        return
    node = decision.node(message.node)
    outcome = message.outcome
    if isinstance(outcome, Succeeded):
        try:
            run.state.check(step.view, outcome.update)
        except StateError as error:
            outcome = Failed(Failure(error.code, error.message), retryable=False)
    match outcome:
        case Succeeded(update):
            decision.emit(
                StepCompleted(
                    node=node.name,
                    iteration=step.iteration,
                    attempt=step.attempt,
                    duration_ms=message.duration_ms,
                    update=dict(update),
                )
            )
            _ended(decision, node)
            if not run.is_stopping:
                route_success(decision, node)
        case Stopped(abandoned):
            cancel_step(decision, step, message.duration_ms, abandoned=abandoned)
        case Failed():
            delay_s = _retry_delay(decision, step, outcome)
            if delay_s is None:
                _fail(decision, node, step.iteration, step.attempt, outcome, message.duration_ms)
                return
            decision.emit(
                StepRetrying(
                    node=node.name,
                    iteration=step.iteration,
                    attempt=step.attempt,
                    error=outcome.error,
                    duration_ms=message.duration_ms,
                    delay_ms=delay_s * 1000,
                    due=decision.at + timedelta(seconds=delay_s),
                )
            )


def lose(decision: Decision, step: Step) -> None:
    """Go on with a step whose attempt a crash interrupted, as the effect of its tool allows."""
    if decision.run.policies[step.node].reruns:
        restart(decision, step, recovered=True)
        return
    message = (
        "The process stopped during the attempt, and the tool must not run twice; whether it took effect is not known."
    )
    outcome = Failed(Failure("OUTCOME_UNKNOWN", message), retryable=False)
    _fail(decision, decision.node(step.node), step.iteration, step.attempt, outcome, 0.0)


def cancel_step(decision: Decision, step: Step, duration_ms: float, *, abandoned: bool = False) -> None:
    """End an active step because the run is ending."""
    node = decision.node(step.node)
    decision.emit(
        StepCancelled(
            node=node.name,
            iteration=step.iteration,
            attempt=step.attempt,
            duration_ms=duration_ms,
            abandoned=True if abandoned else UNSET,
        )
    )
    _ended(decision, node)


def _retry_delay(decision: Decision, step: Step, outcome: Failed) -> float | None:
    """Return the seconds to wait before the next attempt, or None if there is none.

    Exponential back-off with full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """
    policy = decision.run.policies[step.node]
    retry = policy.retry
    if decision.run.is_stopping or not outcome.retryable or step.failures + 1 >= policy.max_attempts:
        return None
    if retry.retry_on is not None and outcome.error.code not in retry.retry_on:
        return None
    delay = min(retry.max_s, retry.initial_s * retry.factor**step.failures)
    if retry.jitter == "full":
        delay *= decision.chance
    waited = (decision.at - step.first_started).total_seconds()
    return None if retry.budget_s is not None and waited + delay > retry.budget_s else delay


def _fail(
    decision: Decision, node: PlanNode, iteration: int, attempt: int, outcome: Failed, duration_ms: float
) -> None:
    handled: Handling = "fail_run" if decision.run.is_stopping else node.on_error
    decision.emit(
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
    _ended(decision, node)
    if handled == "continue":
        route_success(decision, node)
    elif handled == "fail_run" or not route_error(decision, node):
        decision.fail_run(outcome.error.code, outcome.error.message, node)


def _ended(decision: Decision, node: PlanNode) -> None:
    decision.touched.update(decision.run.plan.scopes[node.scope].chain)
