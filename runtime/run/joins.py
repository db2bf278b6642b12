"""Whether a node may run now: what its in-edges say, which join it lost to, and who holds its mutex."""

from collections.abc import Collection

from runtime.run.model import Frame, NodeStatus

_NOT_STARTED = (NodeStatus.IDLE, NodeStatus.SKIPPED)


def is_ready(frame: Frame, index: int) -> bool:
    """Whether enough of the node's in-edges were taken: all are decided and one was, or as many as it needs."""
    needs = frame.plan.nodes[index].needs
    return frame.taken[index] >= needs if needs else bool(frame.taken[index] and not frame.undecided[index])


def is_ruled_out(frame: Frame, index: int) -> bool:
    """Whether the node cannot run any more in this iteration, given that it is not ready."""
    return not frame.undecided[index]


def lost_to(frame: Frame, index: int, but: Collection[int] = ()) -> str | None:
    """Return the name of a join that has started and cancels this node, but for those joins."""
    plan = frame.plan
    for join in plan.nodes[index].loses_to:
        if join not in but and frame.nodes[join] not in _NOT_STARTED:
            return plan.nodes[join].name
    return None


def is_locked(frame: Frame, index: int) -> bool:
    """Whether another node holds the node's mutex."""
    word = frame.plan.nodes[index].mutex
    return word is not None and any(other in frame.active for other in sharing(frame, word) if other != index)


def sharing(frame: Frame, word: str | None) -> tuple[int, ...]:
    """Return the nodes that share a mutex."""
    return () if word is None else frame.plan.mutexes.get(word, ())


def why_not(frame: Frame, index: int) -> str:
    """Say why a node does not run."""
    join = lost_to(frame, index)
    if join is not None:
        return f"join {join!r} already has what it needs"
    if frame.taken[index]:
        return f"{frame.taken[index]} of {frame.plan.nodes[index].needs} needed edges were taken"
    return "no edge to it was taken"
