"""How tokens move: along edges, into nodes, round loops and out of them. Called by `apply` only, but for the questions on top."""

from runtime.graph.plan import ROOT, PlanEdge
from runtime.run.model import EdgeStatus, Frame, NodeStatus, Run
from runtime.run.records import EdgeDead, EdgeTaken, LoopCompleted, LoopIteration
from runtime.run.state import View

# --- questions --------------------------------------------------------------------------------------------------------


def arrived(frame: Frame, index: int) -> list[View]:
    """Return the views on the node's taken in-edges, in edge-list order; the initial state for the entry's first run."""
    views = [view for edge in frame.plan.nodes[index].in_edges if (view := waiting_view(frame, edge)) is not None]
    return views if frame.initial is None else [frame.initial]


def waiting_view(frame: Frame, edge: int) -> View | None:
    """Return what a taken edge carries to its target; None if it is not taken, held, or was consumed."""
    return frame.views[edge] if frame.edges[edge] is EdgeStatus.TAKEN else None


def skipped_loops(frame: Frame, index: int) -> list[int]:
    """Return the loops that do not run because the node, their header, is skipped."""
    return [scope for scope in frame.plan.nodes[index].enters if frame.scopes[scope].entered == 0]


# --- changes ----------------------------------------------------------------------------------------------------------


def count(frame: Frame, scope: int, change: int) -> None:
    """Add tokens to a scope and to those around it."""
    for around in frame.plan.scopes[scope].chain:
        frame.scopes[around].tokens += change


def consume(frame: Frame, index: int, number: int, *, resolve: bool) -> View:
    """Take the tokens of the node's taken in-edges, enter the loops it is the header of, and return its input."""
    node = frame.plan.nodes[index]
    for scope in node.enters:
        if frame.scopes[scope].entered == 0:
            frame.scopes[scope].entered = 1
            frame.scopes[scope].total += 1
    views = arrived(frame, index)
    drop_arrived(frame, index)
    if frame.initial is not None:
        frame.initial = None
        count(frame, ROOT, -1)
    view = frame.state.merge(views, number, resolve=resolve, commit=True)
    if len(views) > 1 and not frame.scopes[ROOT].tokens and not frame.held:
        frame.state.cut_lineages(view)
    return view


def drop_arrived(frame: Frame, index: int) -> None:
    """Take the tokens off the node's taken in-edges."""
    for edge in frame.plan.nodes[index].in_edges:
        _drop_view(frame, frame.plan.edges[edge])


def _drop_view(frame: Frame, edge: PlanEdge) -> None:
    if waiting_view(frame, edge.index) is None:
        return
    frame.views[edge.index] = None
    if edge.back_to is None:
        count(frame, edge.scope, -1)
    else:
        frame.held -= 1


def kill_all(frame: Frame, index: int) -> None:
    """Decide all out-edges of a node as dead."""
    for out in frame.plan.nodes[index].all_out:
        _kill(frame, frame.plan.edges[out])


def _kill(frame: Frame, edge: PlanEdge) -> None:
    """Decide a forward edge as dead. One that leaves a loop is only decided when the loop ends."""
    if edge.exits:
        return
    frame.edges[edge.index] = EdgeStatus.DEAD
    if edge.back_to is None:
        frame.undecided[edge.target] -= 1


def _take(frame: Frame, edge: PlanEdge, view: View) -> None:
    frame.edges[edge.index] = EdgeStatus.TAKEN
    if edge.back_to is not None:
        frame.views[edge.index] = view
        frame.held += 1
        return
    frame.undecided[edge.target] -= 1
    frame.taken[edge.target] += 1
    if frame.nodes[edge.target] is NodeStatus.IDLE:
        frame.views[edge.index] = view
        count(frame, edge.scope, 1)


def edge_taken(_run: Run, frame: Frame, record: EdgeTaken) -> None:
    """Send what a node left behind along one of its edges: the node that ended last, or one that was not routed then."""
    edge = frame.plan.edges[record.edge]
    outcome = frame.rerouted.get(edge.source, frame.outcome)
    if outcome is None:
        raise ValueError(f"record {record.seq} takes an edge before any node ended")
    if edge.exits:
        frame.held += frame.views[edge.index] is None
        frame.views[edge.index] = outcome
    else:
        _take(frame, edge, outcome)


def edge_dead(_run: Run, frame: Frame, record: EdgeDead) -> None:
    """Decide one edge as dead."""
    _kill(frame, frame.plan.edges[record.edge])


def loop_iteration(_run: Run, frame: Frame, record: LoopIteration) -> None:
    """Undo what the last iteration decided, so that the next one can begin."""
    plan = frame.plan
    scope = plan.scopes[record.scope]
    counters = frame.scopes[record.scope]
    counters.entered = record.entered
    counters.total += 1
    for edge in scope.edges:
        frame.edges[edge] = EdgeStatus.UNDECIDED
    for node in scope.body:
        frame.nodes[node] = NodeStatus.IDLE
        if node != scope.header:
            frame.undecided[node] = plan.undecided[node]
            frame.taken[node] = 0
    for inner in scope.inner:
        frame.scopes[inner].entered = 0
        for edge in plan.scopes[inner].back_edges:
            frame.edges[edge] = EdgeStatus.UNDECIDED


def loop_completed(_run: Run, frame: Frame, record: LoopCompleted) -> None:
    """Leave a loop. Views on its back-edges are there only if the loop is given up, and go nowhere then."""
    scope = frame.plan.scopes[record.scope]
    frame.scopes[record.scope].entered = 0
    for index in scope.back_edges:
        _drop_view(frame, frame.plan.edges[index])
        frame.edges[index] = EdgeStatus.UNDECIDED
    leave(frame, record.scope)


def leave(frame: Frame, scope: int) -> None:
    """Decide the edges that leave a loop: it is over, or is skipped. One that leaves an outer loop too goes on waiting."""
    for index in frame.plan.scopes[scope].exit_edges:
        edge = frame.plan.edges[index]
        if edge.exits[-1] != scope:
            continue
        view = frame.views[index]
        if view is None:
            frame.edges[index] = EdgeStatus.DEAD
            frame.undecided[edge.target] -= edge.back_to is None
        else:
            frame.held -= 1
            frame.views[index] = None
            _take(frame, edge, view)
