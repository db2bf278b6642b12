"""A call of a tool: what a run actor sends to a node's workers, and how the tool's result is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio

from runtime.json_values import NotJson, checked_copy, encoded_size
from runtime.run.messages import Failed, Stopped, Succeeded
from runtime.run.records import Failure
from runtime.run.state import MAX_UPDATE_BYTES, View
from tools.contract import Tool, ToolContext, ToolError

MAX_ERROR_TEXT: Final = 4_096
MAX_ERROR_CODE: Final = 128

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

    def cancel(self, stop: Stop) -> None:
        """End the call; whatever it still returns, it is reported as `stop`."""
        if self.stop is None:
            self.stop = stop
            if self.scope is not None:
                self.scope.cancel()


def read_result(result: Any, tool: Tool) -> Outcome:
    """Return what a tool's return value means: an update of the state, or a failure that no retry can mend."""
    if result is None:
        return Succeeded({})
    if type(result) is not dict:
        message = f"Tool {tool.reference!r} returned {type(result).__name__}; a tool returns an object of state keys, or None."
        return Failed(Failure("INVALID_OUTPUT", message), retryable=False)
    try:
        update = checked_copy(result)
    except NotJson as error:
        return Failed(Failure("INVALID_OUTPUT", f"Tool {tool.reference!r} returned {error}."), retryable=False)
    size = encoded_size(update)
    if size > MAX_UPDATE_BYTES:
        message = (
            f"Tool {tool.reference!r} returned {size:,} bytes; at most {MAX_UPDATE_BYTES:,} are allowed. "
            "Write large data to a file and return its name."
        )
        return Failed(Failure("UPDATE_TOO_LARGE", message), retryable=False)
    return Succeeded(update)


def read_exception(error: BaseException) -> Failed:
    """Return the failure that a tool's exception means. Never raises, whatever the exception's own code does."""
    try:
        text = str(error).encode("utf-8", "backslashreplace").decode()
        if len(text) > MAX_ERROR_TEXT:
            text = f"{text[:MAX_ERROR_TEXT]}…"
        if isinstance(error, ToolError):
            return Failed(Failure(_code(error.code), text), retryable=bool(error.retryable))
        return Failed(Failure("TOOL_EXCEPTION", f"{type(error).__name__}: {text}"))
    except BaseException as inner:
        message = f"{type(error).__name__}, which could not be read itself: {type(inner).__name__}"
        return Failed(Failure("TOOL_EXCEPTION", message))


def _code(code: object) -> str:
    """Return a tool's own error code if it is one: whatever ends up in a record must be readable for ever."""
    return code if type(code) is str and code.isascii() and 0 < len(code) <= MAX_ERROR_CODE else "TOOL_ERROR"
