"""What a sub-graph, or an item of a map, begins with, and what it leaves behind: pure functions of views and paths."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from runtime.graph.paths import MISSING, follow
from runtime.graph.plan import PlanChild, PlanMap, PlanNode
from runtime.inputs import misfits
from runtime.run.model import Frame
from runtime.run.state import View

MAX_ITEMS: Final = 10_000


class InsideError(Exception):
    """What is to run inside a node cannot begin; the step fails with `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def values(view: View) -> dict[str, Any]:
    """Return the state that a view shows."""
    return {key: write.value for key, write in view.items()}


def child_input(child: PlanChild, view: View) -> dict[str, Any]:
    """Return the state that a sub-graph begins with.

    Raises:
        InsideError: `input` names something that is not there.
    """
    return _mapped(child.input, values(view))


def item_input(child: PlanChild, over: PlanMap, view: View, item: Any, index: int) -> dict[str, Any]:
    """Return the state that an item begins with. `input` may name parts of the item.

    Raises:
        InsideError: `input` names something that is not there.
    """
    own = {over.as_key: item, f"{over.as_key}_index": index}
    return _mapped(child.input, {**values(view), **own}) | own


def _mapped(paths: Mapping[str, str] | None, state: dict[str, Any]) -> dict[str, Any]:
    if paths is None:
        return state
    mapped = {key: follow(state, path) for key, path in paths.items()}
    for key, value in mapped.items():
        if value is MISSING:
            message = f"'input' takes {key!r} from {paths[key]!r}, and the state has nothing there."
            raise InsideError("MISSING_INPUT", message)
    return mapped


def check_input(child: PlanChild, state: Mapping[str, Any]) -> None:
    """Raise `InsideError` if a graph must not begin with that state."""
    if child.definition is None:
        return
    problems = misfits(child.definition, state, "")
    if problems:
        details = "; ".join(f"{problem.pointer}: {problem.detail}" for problem in problems[:5])
        raise InsideError("INVALID_INPUT", f"The graph inside cannot begin with this state. {details}")


def items_of(over: PlanMap, view: View) -> Sequence[Any]:
    """Return the items that a map goes over.

    Raises:
        InsideError: They are no list, or too many.
    """
    items = over.items if isinstance(over.items, list) else follow(values(view), over.items)
    if not isinstance(items, list):
        found = "nothing" if items is MISSING else type(items).__name__
        raise InsideError("INVALID_ITEMS", f"The items at {over.items!r} are to be a list, and there is {found}.")
    if len(items) > MAX_ITEMS:
        raise InsideError("INVALID_ITEMS", f"There are {len(items):,} items; at most {MAX_ITEMS:,} are allowed.")
    return items


def result_of(node: PlanNode, frame: Frame) -> dict[str, Any]:
    """Return what a frame that completed leaves to the step around it: by `output`, else all that its steps returned."""
    final = frame.state.newest(frame.plan.index_of)
    output = None if node.child is None else node.child.output
    if output is None:
        return {key: value for key, value in final.items() if key in frame.returned}
    found = {key: follow(final, path) for key, path in output.items()}
    return {key: value for key, value in found.items() if value is not MISSING}
