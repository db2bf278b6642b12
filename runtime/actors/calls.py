"""A call of a tool: what a run actor sends to a node's workers, and how the tool's result is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from runtime.json_values import encoded_size
from runtime.run.messages import Failed, Stopped, Succeeded
from runtime.run.records import Failure
from runtime.run.state import MAX_UPDATE_BYTES, View
from tools.contract import Tool, ToolContext, ToolError
from tools.results import checked_update, describe

Outcome = Succeeded | Failed | Stopped
Stop = Failed | Stopped


@dataclass(slots=True, eq=False)
class NodeCall:
    """One attempt of a step, on its way through a worker.

    Attributes:
        path, node, iteration, attempt: Whose call it is.
        context: For a tool that takes one.
        view: The state as the step sees it; the worker makes the tool's own copy of it.
        report: Takes the outcome and the milliseconds it took; called exactly once, in the event loop.
        stop: What cancelling the call is to be reported as; None as long as nobody cancelled it.
        scope: The worker's scope while the call is with a worker.
        is_abandoned: Nobody waits for the call any more.
        run_id, name: The run, and the node's name, for messages to people.
        config: What `arguments` was made of, as JSON, for a tool that runs in another process.
        is_in_thread: The call is with a thread, which cannot be stopped, only left alone.
        on_place: Called in the event loop when a CPU-bound call has its place among the threads.
    """

    node: int
    iteration: int
    attempt: int
    tool: Tool
    arguments: Mapping[str, Any]
    context: ToolContext | None
    view: View
    report: Callable[["NodeCall", Outcome, float], None]
    stop: Stop | None = None
    scope: anyio.CancelScope | None = None
    is_abandoned: bool = False
    path: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    is_in_thread: bool = False
    run_id: str = ""
    name: str = ""
    on_place: Callable[[], None] | None = None

    def cancel(self, stop: Stop) -> None:
        """End the call; whatever it still returns, it is reported as `stop`. A tool in a thread ends where it asks."""
        if self.stop is None:
            self.stop = stop
            if self.context is not None:
                self.context.control.is_cancelled = True
            if self.scope is not None:
                self.scope.cancel()


def read_result(result: Any, tool: Tool) -> Outcome:
    """Return what a tool's return value means: an update of the state, or a failure that no retry can mend."""
    try:
        update = checked_update(result, tool)
    except ToolError as error:
        return read_exception(error)
    size = encoded_size(update)
    return Succeeded(update) if size <= MAX_UPDATE_BYTES else too_large(size, tool)


def too_large(size_bytes: int, tool: Tool) -> Failed:
    """Return the failure of a tool that returned more than an update may hold."""
    message = (
        f"Tool {tool.reference!r} returned {size_bytes:,} bytes; at most {MAX_UPDATE_BYTES:,} are allowed. "
        "Write large data to a file and return its name."
    )
    return Failed(Failure("UPDATE_TOO_LARGE", message), retryable=False)


def read_exception(error: BaseException) -> Failed:
    """Return the failure that a tool's exception means. Never raises, whatever the exception's own code does."""
    code, message, retryable = describe(error)
    return Failed(Failure(code, message), retryable=retryable)
