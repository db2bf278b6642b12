"""What a node waits for now: before its step begins, and while it is under way."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import UnsetType

from runtime.errors import escape
from runtime.graph.plan import PlanEdge
from runtime.run.explain import reasons
from runtime.run.explain.clauses import instant, span, value
from runtime.run.explain.explanation import Live, Wait
from runtime.run.explain.trace import OVER, Story, Trace, last
from runtime.run.records import ApprovalRequested, StepRetrying, StepStarted, StepWaiting


def of_step(trace: Trace, story: Story, now: datetime | None, live: Live | None) -> Iterator[Wait]:
    """Yield what a step waits for that is under way."""
    retrying, waiting, asking = last(story, StepRetrying), last(story, StepWaiting), last(story, ApprovalRequested)
    match story.status:
        case "retry_wait" if retrying is not None:
            text = f"waits until {_until(retrying.due, now)} for attempt {retrying.attempt + 1}"
            yield Wait("retry", text, until=retrying.due, seconds_left=_left(retrying.due, now))
            yield from _of_run(trace)
        case "waiting_time" if waiting is not None and not isinstance(waiting.until, UnsetType):
            text = f"waits until {_until(waiting.until, now)}"
            yield Wait("time", text, until=waiting.until, seconds_left=_left(waiting.until, now))
            if trace.run.paused:
                yield _paused()
        case "waiting_signal" if waiting is not None and isinstance(waiting.signal, str):
            until = _given(waiting.until)
            text = f"waits for signal {waiting.signal!r}{_at_the_latest(until, now)}"
            yield Wait("signal", text, signal=waiting.signal, until=until, seconds_left=_left(until, now))
        case "waiting_approval" if asking is not None:
            until = _given(asking.due)
            text = f"waits for an answer to approval {asking.approval!r}, {value(asking.prompt)}{_at_the_latest(until, now)}"
            yield Wait(
                "approval",
                text,
                approval=asking.approval,
                prompt=asking.prompt,
                until=until,
                seconds_left=_left(until, now),
            )
        case "running":
            yield from _of_work(trace, story, now, live)
            if trace.run.blocked is not None:
                yield _blocked(trace.run.blocked)


def _of_work(trace: Trace, story: Story, now: datetime | None, live: Live | None) -> Iterator[Wait]:
    """Yield what a step waits for that runs a tool, or a graph."""
    node, path = trace.node, trace.run.path
    started = last(story, StepStarted)
    due = None if started is None else _given(started.due)
    if node.kind == "graph":
        inside = f"{escape(node.name)}#{story.iteration}"
        inside = f"{path}/{inside}" if path else inside
        text = f"waits for its sub-graph {inside!r}{_at_the_latest(due, now)}"
        yield Wait("graph", text, path=inside, until=due, seconds_left=_left(due, now))
    elif node.map is not None:
        signal = node.map.finish_on
        either = "" if signal is None else f", or for signal {signal!r}"
        text = f"waits for its items{either}{_at_the_latest(due, now)}"
        yield Wait("items", text, signal=signal, until=due, seconds_left=_left(due, now))
    elif node.kind == "tool" and live is not None:
        if (path, node.name) in live.queued:
            yield Wait("worker", "waits for a free worker")
        elif (path, node.name) not in live.calls:
            yield Wait("call", "waits for its tool to be called")


def to_start(trace: Trace, live: Live | None) -> Iterator[Wait]:
    """Yield what a node waits for whose in-edges let it run."""
    node = trace.node
    if node.mutex is not None:
        for other in trace.plan.mutexes.get(node.mutex, ()):
            stand = trace.nodes[other]
            if stand.status is not None and stand.status not in OVER:
                name = trace.plan.nodes[other].name
                text = f"waits for mutex {node.mutex!r}, which {name!r} has"
                yield Wait("mutex", text, node=name, status=stand.status, mutex=node.mutex)
    if node.index in trace.plan.final:
        under_way = (index for index in trace.plan.final if trace.nodes[index].status not in (None, *OVER))
        before = next((trace.plan.nodes[index].name for index in under_way), None)
        text = "waits for its turn among the finally nodes" + (f", after {before!r}" if before else "")
        yield Wait("turn", text, node=before)
    if live is not None and live.waits_for_place:
        yield Wait("place", "waits for the run to get its turn: as many runs are active as may be")
    elif not trace.run.started:
        yield Wait("place", "waits for the run to start")
    yield from _of_run(trace)


def for_edges(trace: Trace, edges: Sequence[int]) -> Iterator[Wait]:
    """Yield what holds up edges to the node: loops that go on, and the nodes at the far end of the wait."""
    undecided = [trace.plan.edges[edge] for edge in edges if trace.edges[edge] is None]
    for scope in sorted({scope for edge in undecided for scope in trace.holding(edge)}, reverse=True):
        loop = reasons.loop(trace, scope)
        yield Wait("loop", f"waits for {reasons.named(loop)} to end", loop=loop)
    yield from _for_nodes(trace, [node for edge in undecided for node in _decides(trace, edge)])
    yield from _of_run(trace)


def for_body(trace: Trace, scope: int) -> Iterator[Wait]:
    """Yield what the header of a loop waits for, to which a back-edge leads: the rest of the iteration."""
    under_way = list(_for_nodes(trace, trace.plan.scopes[scope].body))
    yield from under_way
    if under_way:
        yield from _of_run(trace)


def _decides(trace: Trace, edge: PlanEdge) -> Sequence[int]:
    """Return the nodes that an undecided edge waits for: its source, or the body of the loop that holds it."""
    holding = trace.holding(edge)
    return trace.plan.scopes[holding[-1]].body if holding else (edge.source,)


def _for_nodes(trace: Trace, nodes: Sequence[int]) -> Iterator[Wait]:
    """Yield those of the nodes, or of the nodes upstream that they wait for, that are under way or could be."""
    found: list[int] = []
    seen: set[int] = set()
    pending = list(nodes)
    while pending:
        index = pending.pop()
        if index in seen:
            continue
        seen.add(index)
        node, status = trace.plan.nodes[index], trace.nodes[index].status
        if status is None and not trace.may_start(node):
            undecided = [trace.plan.edges[edge] for edge in trace.forward(node) if trace.edges[edge] is None]
            pending += [source for edge in undecided for source in _decides(trace, edge)]
        elif status not in OVER:
            found.append(index)
    for index in sorted(found):
        name, stand = trace.plan.nodes[index].name, trace.nodes[index]
        where = "is ready to start" if stand.status is None else reasons.standing(stand)
        yield Wait("node", f"waits for {name!r}, which {where}", node=name, status=stand.status or "ready")


def _of_run(trace: Trace) -> Iterator[Wait]:
    run = trace.run
    if run.paused:
        yield _paused()
    if run.blocked is not None:
        yield _blocked(run.blocked)
    if run.stopping is not None and trace.node.index not in trace.plan.final:
        yield Wait("run_ending", f"will not go on, because {run.stopping}", reason=run.stopping)


def _paused() -> Wait:
    return Wait("run_paused", "waits for the run to be resumed, which is paused")


def _blocked(reason: str) -> Wait:
    return Wait("run_blocked", f"waits until the run can go on: {reason}", reason=reason)


def _given(time: datetime | UnsetType) -> datetime | None:
    return None if isinstance(time, UnsetType) else time


def _left(until: datetime | None, now: datetime | None) -> float | None:
    return None if until is None or now is None else (until - now).total_seconds()


def _until(until: datetime, now: datetime | None) -> str:
    left = _left(until, now)
    if left is None:
        return instant(until)
    return f"{instant(until)} ({span(left)} left)" if left > 0 else f"{instant(until)} (due now)"


def _at_the_latest(until: datetime | None, now: datetime | None) -> str:
    return "" if until is None else f", until {_until(until, now)} at the latest"
