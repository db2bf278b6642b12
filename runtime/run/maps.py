"""How a `map` step goes over its items: so many at once, each in a frame of its own, until all are done or it has enough."""

from typing import Any

from runtime.graph.conditions import ConditionError, Operands
from runtime.graph.paths import MISSING
from runtime.run import inside, waits
from runtime.run.decision import Turn
from runtime.run.model import Frame, MapProgress, Step
from runtime.run.outcomes import cancel, elapsed_ms, give_up, leave
from runtime.run.records import (
    Failure,
    ItemCancelled,
    ItemCompleted,
    ItemFailed,
    ItemStarted,
    MapStopping,
    RunStatus,
)


def go_on(turn: Turn, step: Step) -> None:
    """Start as many items as may run now, and end the step if nothing is left to do."""
    node, progress = turn.node(step.node), step.map
    if progress is None or node.map is None:
        return
    if step.signal is not None and progress.stopping is None and not _ends(turn, step):
        waits.take_waiting(turn, step)
    while progress.todo and len(progress.running) < node.map.concurrency and not _ends(turn, step):
        if turn.decision.holds:
            return
        _start_item(turn, step, progress.todo[0])
    if not progress.running and (not progress.todo or _ends(turn, step)):
        _finish(turn, step)


def _ends(turn: Turn, step: Step) -> bool:
    """Whether no further item starts."""
    if step.cancelling is not None or (step.map is not None and step.map.stopping is not None):
        return True
    return turn.frame.is_stopping and not turn.frame.is_final(step.node)


def _start_item(turn: Turn, step: Step, item: int) -> None:
    node, progress = turn.node(step.node), step.map
    if progress is None or node.map is None or node.child is None:
        return
    try:
        state = inside.item_input(node.child, node.map, step.view, progress.items[item], item)
        inside.check_input(node.child, state)
    except inside.InsideError as error:
        _failed(turn, step, item, Failure(error.code, error.message))
        return
    turn.emit(ItemStarted(node=node.name, iteration=step.iteration, item=item))
    turn.decision.turn(progress.running[item])


def item_ended(turn: Turn, frame: Frame, status: RunStatus) -> None:
    """Take in that the frame of an item came to its end. `turn` is that of the frame around it."""
    step = turn.frame.active[frame.step]
    node, item = turn.node(frame.step), frame.item or 0
    if status is RunStatus.COMPLETED:
        turn.emit(ItemCompleted(node=node.name, iteration=step.iteration, item=item))
        _test_until(turn, step, item)
    elif status is RunStatus.FAILED and frame.failing is not None:
        _failed(turn, step, item, frame.failing)
    else:
        turn.emit(ItemCancelled(node=node.name, iteration=step.iteration, item=item))
    go_on(turn, step)


def _failed(turn: Turn, step: Step, item: int, error: Failure) -> None:
    node = turn.node(step.node)
    turn.emit(ItemFailed(node=node.name, iteration=step.iteration, item=item, error=error))
    if node.map is None or _ends(turn, step):
        return
    if node.map.collects:
        _test_until(turn, step, item)
    else:
        _stop(turn, step, MapStopping(node=node.name, iteration=step.iteration, reason="item_failed"))


def _stop(turn: Turn, step: Step, record: MapStopping) -> None:
    turn.emit(record)
    for frame in step.frames:
        for one in (frame, *frame.inside()):
            turn.decision.turn(one)


def _test_until(turn: Turn, step: Step, item: int) -> None:
    node, progress = turn.node(step.node), step.map
    if progress is None or node.map is None or node.map.until is None or _ends(turn, step):
        return
    seen: dict[str, Any] = {
        "completed": progress.completed,
        "failed": len(progress.errors),
        "total": len(progress.items),
        "last": progress.results[item],
    }
    operands: Operands = []
    try:
        holds = node.map.until(lambda key: seen.get(key, MISSING), operands)
    except ConditionError as error:
        turn.fail("CONDITION_ERROR", f"'until' of node {node.name!r}: {error}", node)
        return
    if holds:
        _stop(turn, step, MapStopping(node=node.name, iteration=step.iteration, reason="until", operands=operands))


def _finish(turn: Turn, step: Step) -> None:
    node, progress = turn.node(step.node), step.map
    if progress is None or node.map is None:
        return
    if step.cancelling == "timeout":
        give_up(turn, step, out_of_time(turn, step))
    elif progress.stopping == "item_failed":
        item, error = min(progress.errors.items())
        message = f"Item {item} of node {node.name!r} failed with {error.code}: {error.message}"
        give_up(turn, step, Failure("ITEM_FAILED", message))
    elif step.cancelling is not None or (progress.todo and progress.stopping is None) or progress.halted:
        cancel(turn, step, elapsed_ms(turn, step))
    else:
        leave(turn, step, _update(progress, node.map.into, collects=node.map.collects))


def _update(progress: MapProgress, into: str, *, collects: bool) -> dict[str, Any]:
    update: dict[str, Any] = {into: list(progress.results)}
    if collects:
        errors = sorted(progress.errors.items())
        update[f"{into}_errors"] = [
            {"index": index, "code": error.code, "message": error.message} for index, error in errors
        ]
    return update


def out_of_time(turn: Turn, step: Step) -> Failure:
    """Return the failure of a step whose graph or items took too long."""
    timeout_s = turn.frame.policies[step.node].timeout_s
    return Failure("TIMEOUT", f"Node {turn.node(step.node).name!r} did not end within {timeout_s:g} s.")
