"""What comes out of a tool: its update checked, its exceptions read. The same wherever the tool runs."""

from collections.abc import Mapping
from typing import Any, Final

import anyio

from tools.contract import CallCancelled, Tool, ToolError
from tools.json_values import NotJson, checked_copy

MAX_ERROR_TEXT: Final = 4_096
MAX_ERROR_CODE: Final = 128


def checked_update(result: Any, tool: Tool) -> dict[str, Any]:
    """Return a copy of the update that a tool returned; none is an empty one.

    Raises:
        ToolError: It is not a JSON object, which no retry can mend.
    """
    if result is None:
        return {}
    if type(result) is not dict:
        message = f"Tool {tool.reference!r} returned {type(result).__name__}; a tool returns an object of state keys, or None."
        raise ToolError(message, code="INVALID_OUTPUT", retryable=False)
    try:
        update: dict[str, Any] = checked_copy(result)
    except NotJson as error:
        message = f"Tool {tool.reference!r} returned {error}."
        raise ToolError(message, code="INVALID_OUTPUT", retryable=False) from None
    return update


async def awaited(tool: Tool, state: dict[str, Any], arguments: Mapping[str, Any]) -> object:
    """Call an async tool that has an event loop to itself.

    Raises:
        ToolError: The tool raised a cancellation. Let through, it would look as if the loop had been told to end.
    """
    try:
        return await tool.function(state, **arguments)
    except anyio.get_cancelled_exc_class():
        raise stray_cancellation(tool) from None


def stray_cancellation(tool: Tool) -> ToolError:
    """Return the error for a tool that raises its event loop's cancellation by itself."""
    message = f"Tool {tool.reference!r} raised a cancellation that nobody had asked for."
    return ToolError(message, code="SPURIOUS_CANCEL")


def describe(error: BaseException) -> tuple[str, str, bool]:
    """Return code, message and whether to try again. Never raises, whatever the exception's own code does."""
    try:
        text = str(error).encode("utf-8", "backslashreplace").decode()
        if len(text) > MAX_ERROR_TEXT:
            text = f"{text[:MAX_ERROR_TEXT]}…"
        if isinstance(error, ToolError):
            return _code(error.code), text, bool(error.retryable)
        if isinstance(error, CallCancelled):  # of a call that was cancelled, nobody asks what it raised
            return "SPURIOUS_CANCEL", "The tool raised a cancellation that nobody had asked for.", True
        return "TOOL_EXCEPTION", f"{type(error).__name__}: {text}", True
    except BaseException as inner:
        return "TOOL_EXCEPTION", f"{type(error).__name__}, which could not be read itself: {type(inner).__name__}", True


def _code(code: object) -> str:
    """Return a tool's own error code if it is one: whatever ends up in a record must be readable for ever."""
    return code if type(code) is str and code.isascii() and 0 < len(code) <= MAX_ERROR_CODE else "TOOL_ERROR"
