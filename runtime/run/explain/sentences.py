"""Puts an activation into sentences that a person understands at once. Knows data only, no records."""

from collections.abc import Iterator, Sequence
from itertools import chain

from runtime.run.explain.clauses import MAX_LISTED, condition, failure, instant, listed, sentences, span
from runtime.run.explain.explanation import Activation, Attempt, Edge, Items, Join, LoopTest, Wait
from runtime.run.explain.trace import OVER


def told(name: str, around: str, place: str, cause: str, activation: Activation) -> str:
    """Return an activation in sentences.

    Args:
        name: The node's.
        around: What it is part of, such as `the run`.
        place: In which iteration, as in ` in iteration 2`; empty where there is but one.
        cause: Why it began, where no edge led to it.
        activation: The rest.
    """
    parts = (
        _opening(name, place, cause, activation),
        _course(activation),
        _end(activation, around),
        _way_on(activation),
    )
    return sentences(chain(*parts), name)


def _opening(name: str, place: str, cause: str, activation: Activation) -> Iterator[str]:
    taken = [edge for edge in activation.in_edges if edge.state == "taken"]
    others = [edge for edge in activation.in_edges if edge.state != "taken"]
    cause = cause or _because(taken, activation.join)
    if activation.status == "skipped":
        yield f"{name} was skipped{place}: {activation.reason}"
        if all(edge.state == "dead" for edge in others):
            yield listed(others, edge_clause)
        if activation.origins:
            yield f"this goes back to {listed(activation.origins, _origin)}"
        return
    if activation.status == "waiting_for_edges":
        yield f"{name} waits for its edges{place}" + (f": it {activation.join.text}" if activation.join else "")
        total = activation.join.total if activation.join else 0
        yield listed(_open_first(activation.in_edges), edge_clause, total=total)
        return
    if activation.status == "ready":
        yield f"{name} is ready to start{place}, because {cause}"
    elif activation.error is not None and not activation.attempts:
        yield f"{name} could not start{place} ({failure(activation.error)})"
        yield f"it was to run because {cause}"
    else:
        yield f"{name} {'ran' if activation.status in OVER else 'began'}{place} because {cause}"
    yield listed([edge for edge in others if edge.state in ("dead", "late")], edge_clause)


def edge_clause(edge: Edge) -> str:
    """Return how an edge that leads to the node stands."""
    state = {"taken": "was taken", "late": "was taken too late"}.get(edge.state, f"is {edge.state}")
    causes = f" ({listed(edge.reason.causes, edge_clause)})" if edge.reason.causes else ""
    return f"edge {edge.index} from {edge.from_node!r} {state}{_why(edge, ': {}')}{causes}"


def _why(edge: Edge, form: str) -> str:
    """Return the reason in a form, or nothing where it is that the edge has no condition."""
    return "" if edge.reason.kind == "always" else form.format(edge.reason.text)


def _origin(edge: Edge) -> str:
    return f"edge {edge.index} from {edge.from_node!r} to {edge.to_node!r}: {edge.reason.text}"


def _open_first(edges: Sequence[Edge]) -> Sequence[Edge]:
    """Return edges in an order in which the few that are named say what is waited for."""
    if len(edges) <= MAX_LISTED:
        return edges
    return sorted(edges, key=lambda edge: edge.state not in ("undecided", "held"))


def _because(taken: Sequence[Edge], join: Join | None) -> str:
    if len(taken) == 1 or join is None:
        edge = taken[0]
        what = "led back to it" if edge.back else "was taken"
        return f"edge {edge.index} from {edge.from_node!r} {what}{_why(edge, ': {}')}"
    which = "its" if join.taken == join.total else f"{join.taken} of its {join.total}"
    return f"{which} edges were taken: {listed(taken, _source, total=join.taken)}"


def _source(edge: Edge) -> str:
    return f"edge {edge.index} from {edge.from_node!r}{_why(edge, ' ({})')}"


def _course(activation: Activation) -> Iterator[str]:
    """Yield what happened since it began, and what it waits for."""
    attempts = [attempt for attempt in activation.attempts if not _goes_without_saying(attempt, activation)]
    if len(activation.attempts) == 1:
        yield from (f"it {_attempt(attempt)}" for attempt in attempts)
    else:
        yield listed(attempts, lambda attempt: f"attempt {attempt.number} {_attempt(attempt)}", ", ")
    if activation.outcome:
        yield activation.outcome
    if activation.items is not None:
        yield _items(activation.items)
    for wait in activation.waits_for:
        if not is_said(wait, activation.in_edges):
            yield f"it {wait.text}"


def _goes_without_saying(attempt: Attempt, activation: Activation) -> bool:
    """Return whether an attempt took no time, or what it waits for is said anyway."""
    return (
        not attempt.duration_ms
        if attempt.outcome == "completed"
        else bool(attempt.outcome == "running" and activation.waits_for)
    )


def _attempt(attempt: Attempt) -> str:
    after = f" after {span(attempt.duration_ms / 1000)}" if attempt.duration_ms else ""
    match attempt.outcome:
        case "completed":
            return f"succeeded{after}"
        case "failed" if attempt.error is not None:
            return f"failed ({failure(attempt.error)})"
        case "running" if attempt.started is not None:
            return f"is running since {instant(attempt.started)}"
        case "running":
            return "is running"
        case _:
            return f"was {attempt.outcome}{after}"


def _items(items: Items) -> str:
    begun = {
        "completed": items.completed,
        "failed": items.failed,
        "cancelled": items.cancelled,
        "running": items.running,
    }
    counts = begun | {"not started": items.total - sum(begun.values())}
    text = f"of its {items.total} items, " + ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    first = f"; item {items.first_failed} failed first ({failure(items.error)})" if items.error else ""
    match items.stopping:
        case None:
            return text + first
        case "until":
            return f"{text}{first}; no further one starts, because {condition(items.operands, True)}"
        case "signal":
            return f"{text}{first}; no further one starts, because a signal said so"
        case _:
            return f"{text}{first}; no further one starts"


def is_said(wait: Wait, in_edges: Sequence[Edge]) -> bool:
    """Return whether what is said about the in-edges says this already."""
    if wait.kind == "node":
        return any(edge.from_node == wait.node and edge.state == "undecided" for edge in in_edges)
    return wait.kind == "loop"


def _end(activation: Activation, around: str) -> Iterator[str]:
    """Yield what came of a failure."""
    match activation.handled:
        case "route":
            yield "its edges for failures were tested, as its on_error says"
        case "continue":
            yield "everything went on as if it had succeeded, as its on_error says"
        case "fail_run" if activation.run_error is None:
            yield "nothing handled that"
    if activation.run_error is not None and activation.run_error == activation.error:
        yield f"nothing handled that, so {around} fails"
    elif activation.run_error is not None:
        yield f"with that {around} failed ({failure(activation.run_error)})"


def _way_on(activation: Activation) -> Iterator[str]:
    """Yield what it decided about its out-edges."""
    if activation.status == "skipped":
        return
    if activation.loop_test is not None:
        yield _loop_test(activation.loop_test)
        if activation.loop_test.outcome == "goes_on":
            return
    taken = [edge for edge in activation.out_edges if edge.state != "dead"]
    dead = [edge for edge in activation.out_edges if edge.state == "dead"]
    if taken:
        yield f"it took {listed(taken, _way)}"
    if dead:
        yield f"it did not take {listed(dead, _way)}"
    if activation.stopped_by and activation.status == "completed" and not activation.out_edges:
        yield f"its edges were not tested, because {activation.stopped_by}"
    if activation.unmatched:
        yield "none of its edges held, so this path ends here"


def _way(edge: Edge) -> str:
    held = ", which is held until the loop is over" if edge.state == "held" else ""
    return f"edge {edge.index} to {edge.to_node!r}{held}{_why(edge, ', because {}')}"


def _loop_test(test: LoopTest) -> str:
    seen = f": {condition(test.operands, False)}" if test.operands else ""
    match test.outcome:
        case "goes_on":
            return f"its loop goes on{seen}"
        case "exhausted":
            return f"its loop reached its limit of {test.max_iterations} iterations{seen}"
        case "over":
            return f"its loop is over, because {condition(test.operands, True)}"
