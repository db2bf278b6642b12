"""Puts the answer together: the activations of a node from its records, and what it waits for now."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice

from msgspec.structs import replace

from runtime.graph.plan import ROOT, Plan
from runtime.run.explain import parts, reasons, waits
from runtime.run.explain.clauses import listed, sentences
from runtime.run.explain.explanation import Activation, Edge, Explanation, Live, Wait
from runtime.run.explain.sentences import edge_clause, is_said, told
from runtime.run.explain.surroundings import graph_at
from runtime.run.explain.trace import OVER, Causes, Status, Story, Trace, is_taken, last
from runtime.run.records import (
    Record,
    RouteUnmatched,
    RunFailing,
    StepFailed,
    StepSkipped,
)


def explain(
    plan: Plan,
    records: Iterable[Record],
    node: str,
    *,
    path: str = "",
    now: datetime | None = None,
    live: Live | None = None,
    limit: int = 20,
) -> Explanation:
    """Return why a node ran, did not run, or waits.

    Args:
        plan: The plan of the frame at `path`.
        records: All committed records of the run, in order.
        node: Name of a node of the plan.
        path: The sub-graph or map item to look at, "" for the run itself.
        now: The time, for how long the node still waits.
        live: What only the running process knows.
        limit: Number of activations to list, at least 1; all are counted.

    Raises:
        KeyError: The plan has no such node.
    """
    limit = max(limit, 1)
    trace = Trace(plan, plan.index_of[node], path, limit)
    for record in records:
        trace.follow(record)
    trace.close()
    activations = [_begun(trace, story, now, live) for story in trace.stories]
    pending = _pending(trace, live)
    counts = trace.older + Counter(activation.status for activation in activations)
    missed = ""
    if pending is not None and trace.run.ended is not None:
        missed = f"it did not begin again{_place(trace, pending.iteration)}, because {trace.run.ended} before that"
    elif pending is not None:
        activations = [*activations, pending][-limit:]
        counts[pending.status] += 1
    return Explanation(
        run_id=trace.run.run_id,
        node=node,
        path=path,
        type=trace.node.kind,
        text=_summary(trace, activations, counts, missed) if activations else _never(trace),
        counts=dict(counts),
        activations=tuple(activations),
        in_edges=() if activations else reasons.edges(trace, _forward(trace), open_first=True),
    )


# --- activations ------------------------------------------------------------------------------------------------------


def _begun(trace: Trace, story: Story, now: datetime | None, live: Live | None) -> Activation:
    """Return an activation that began, or was skipped."""
    if story.status not in OVER and trace.run.ended is not None:
        story.status, story.stopped_by = "cancelled", trace.run.ended
    status = story.status
    skipped, failed, broken = last(story, StepSkipped), last(story, StepFailed), last(story, RunFailing)
    if status != "failed":
        failed = None
    led_here = _leading(trace, story)
    activation = Activation(
        iteration=story.iteration,
        status=status,
        text="",
        reason=None if skipped is None else skipped.reason,
        in_edges=reasons.edges(trace, led_here),
        origins=() if skipped is None else _origins(trace, led_here),
        join=None if story.led_back else parts.join(trace, [how for _, how in led_here]),
        attempts=tuple(parts.attempts(story)),
        waits_for=() if status in OVER else tuple(waits.of_step(trace, story, now, live)),
        items=parts.items(story),
        loop_test=parts.loop_test(trace, story),
        out_edges=parts.out_edges(trace, story),
        unmatched=last(story, RouteUnmatched) is not None,
        outcome=parts.outcome(trace, story),
        stopped_by=story.stopped_by,
        error=None if failed is None else failed.error,
        handled=None if failed is None else failed.handled,
        run_error=None if broken is None else broken.error,
    )
    return _with_text(trace, activation)


def _leading(trace: Trace, story: Story) -> Causes:
    """Return the in-edges that led to an activation, or failed to: those of the loop, or those from before it."""
    edges = trace.plan.edges
    if story.led_back:
        return tuple((i, how) for i, how in story.edges.items() if edges[i].back_to is not None and how is not None)
    return tuple((i, how) for i, how in story.edges.items() if edges[i].back_to is None)


def _origins(trace: Trace, led_here: Causes) -> tuple[Edge, ...]:
    """Return where a dead path begins, unless that is at the in-edges themselves, or just before them."""
    near = {index for index, _ in led_here}
    near.update(cause for _, how in led_here if how is not None for cause, _ in how.causes)
    far = [(index, how) for index, how in reasons.origins(led_here) if index not in near]
    return reasons.edges(trace, far)


def _pending(trace: Trace, live: Live | None) -> Activation | None:
    """Return the activation that is being waited for; None if there is none, or nothing speaks for it yet."""
    node = trace.node
    stand = trace.nodes[node.index]
    if not trace.run.begun:
        return None
    if node.index in trace.plan.final:
        if not trace.run.finishing or (stand.iteration == trace.run.endings):
            return None
        return _waiting(trace, trace.run.endings, "ready", (), waits.to_start(trace, live))
    if trace.leads_back(node):
        back = [(index, trace.edges[index]) for index in trace.back(node) if is_taken(trace.edges[index])]
        is_new = stand.status is None
        iteration = trace.next_iteration(node) if is_new else trace.turns[node.scope].total + 1
        rest = [] if is_new else list(waits.for_body(trace, trace.plan.edges[back[0][0]].back_to or ROOT))
        if rest:
            return _waiting(trace, iteration, "waiting_for_edges", back, rest)
        return _waiting(trace, iteration, "ready", back, waits.to_start(trace, live))
    if stand.status is not None:
        return None
    iteration, leading = trace.next_iteration(node), _forward(trace)
    if trace.may_start(node):
        return _waiting(trace, iteration, "ready", leading, waits.to_start(trace, live))
    speaks = any(how is not None or trace.holding(trace.plan.edges[index]) for index, how in leading)
    if not speaks and not trace.stories:
        return None
    return _waiting(trace, iteration, "waiting_for_edges", leading, waits.for_edges(trace, trace.forward(node)))


def _waiting(trace: Trace, iteration: int, status: Status, leading: Causes, waiting: Iterable[Wait]) -> Activation:
    """Return an activation that has not begun."""
    is_back = any(trace.plan.edges[index].back_to is not None for index, _ in leading)
    activation = Activation(
        iteration=iteration,
        status=status,
        text="",
        in_edges=reasons.edges(trace, leading, open_first=status == "waiting_for_edges"),
        join=None if is_back else parts.join(trace, [how for _, how in leading]),
        waits_for=tuple(islice(waiting, reasons.MAX_EDGES)),
    )
    return _with_text(trace, activation)


def _with_text(trace: Trace, activation: Activation) -> Activation:
    cause = ""
    if trace.node.index in trace.plan.final:
        cause = f"{graph_at(trace.run.path)} had come to its end"
    elif not activation.in_edges:
        cause = f"{graph_at(trace.run.path)} begins with it"
    place = _place(trace, activation.iteration)
    return replace(activation, text=told(trace.node.name, graph_at(trace.run.path), place, cause, activation))


def _place(trace: Trace, iteration: int) -> str:
    if trace.node.index in trace.plan.final:
        return "" if iteration == 1 else f" at the run's end number {iteration}"
    return "" if trace.node.scope == ROOT else f" in iteration {iteration}"


def _forward(trace: Trace) -> Causes:
    return [(index, trace.edges[index]) for index in trace.forward(trace.node)]


# --- the whole --------------------------------------------------------------------------------------------------------


def _summary(trace: Trace, activations: Sequence[Activation], counts: Counter[Status], missed: str) -> str:
    text = activations[-1].text
    if counts.total() > 1:
        numbers = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts.items())
        text = f"{counts.total()} activations of {trace.node.name}: {numbers}. The newest: {text}"
    return f"{text} {sentences([missed])}".rstrip()


def _never(trace: Trace) -> str:
    """Return why a node has no activation."""
    name, ended = trace.node.name, trace.run.ended
    if trace.node.index in trace.plan.final:
        if ended is None:
            return f"{name} has not begun: it runs when {graph_at(trace.run.path)} is about to end, however it ends."
        return f"{name} did not run, because {ended} without running its finally nodes."
    if not trace.node.in_edges and trace.node.index != trace.plan.entry:
        return f"{name} can never run: no way leads to it from {trace.plan.nodes[trace.plan.entry].name!r}."
    if not trace.run.begun:
        return f"{name} has not come into question: {graph_at(trace.run.path)} has not begun."
    edges = reasons.edges(trace, _forward(trace), open_first=True)
    stand = listed(edges, edge_clause, total=len(trace.forward(trace.node)))
    if ended is not None:
        return sentences([f"{name} did not run, because {ended} before it could begin", stand], name)
    waiting = waits.for_edges(trace, trace.forward(trace.node))
    held_up = (f"it {wait.text}" for wait in waiting if not is_said(wait, edges))
    return sentences([f"{name} has not come into question yet", stand, *held_up], name)
