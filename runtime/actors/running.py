"""How a call is made: in the event loop, in a thread, in a thread with an event loop of its own, or in another process.

Whichever it is, what comes back is read by the same functions, so a result, an exception and a cancellation mean the same. The
watchdog names a tool that blocks the event loop by the local `call` of the frame below the tool's.
"""

import functools
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from runtime.actors.calls import NodeCall, Outcome, read_exception, read_result
from runtime.actors.processes import ToolProcesses, backend_name
from runtime.actors.tool_threads import ToolThreads
from runtime.json_values import copy_json
from tools.contract import CallCancelled
from tools.results import awaited, stray_cancellation


class ToolRunner:
    """Makes the calls of all workers of an engine.

    Attributes:
        blocking: References of async tools that blocked the event loop; they run in threads. Filled by the watchdog.
        rejected: Functions that returned from their thread when nobody waited for them any more.
    """

    def __init__(
        self,
        threads: ToolThreads,
        processes: ToolProcesses,
        blocking: set[str],
        cpu_threads: ToolThreads | None = None,
    ) -> None:
        self.blocking = blocking
        self.rejected = 0
        self._threads = threads
        self._cpu_threads = cpu_threads or threads
        self._processes = processes
        self._backend = backend_name()

    async def attempt(self, call: NodeCall) -> Outcome:
        """Make a call and return its outcome; it raises nothing but a cancellation that the engine asked for."""
        tool = call.tool
        try:
            if tool.isolation is not None:
                outcome = await self._processes.run(call)
            elif not tool.is_async:
                outcome = await self._in_thread(call)
            elif self.blocking and tool.reference in self.blocking:
                outcome = await self._in_own_loop(call)
            else:
                outcome = read_result(await _in_loop(call), tool)
            return call.stop or outcome
        except anyio.get_cancelled_exc_class():
            if call.stop is not None or anyio.current_effective_deadline() == -math.inf:
                raise  # by the call's scope, or because the engine ends
            return read_exception(stray_cancellation(tool))
        except BaseException as error:  # whatever a tool raises, SystemExit included, is the failure of one attempt
            return call.stop or read_exception(error)

    async def _in_thread(self, call: NodeCall) -> Outcome:
        function = functools.partial(call.tool.function, _state(call), **_arguments(call))
        return await self._threaded(call, function)

    async def _in_own_loop(self, call: NodeCall) -> Outcome:
        own = _OwnLoop(call, self._backend)
        try:
            return await self._threaded(call, own.run)
        except anyio.get_cancelled_exc_class():
            own.cancel()
            raise

    async def _threaded(self, call: NodeCall, function: Callable[[], object]) -> Outcome:
        threads = self._cpu_threads if call.tool.cpu_bound else self._threads
        result = await threads.run(functools.partial(self._guarded, call, function), call.on_place)
        return read_exception(result.error) if isinstance(result, _Raised) else read_result(result, call.tool)

    def _guarded(self, call: NodeCall, function: Callable[[], object]) -> object:
        call.is_in_thread = True
        try:
            result = function()
        except CallCancelled as error:
            return _Raised(error)
        except BaseException as error:
            result = _Raised(error)
        if call.stop is not None:  # reported long ago: what the function still says is heard by nobody
            self.rejected += 1
        return result


async def _in_loop(call: NodeCall) -> object:
    result: object = await call.tool.function(_state(call), **_arguments(call))
    return result


class _OwnLoop:
    """An event loop in a thread, for one call of an async tool that would block the engine's."""

    def __init__(self, call: NodeCall, backend: str) -> None:
        self._call = call
        self._backend = backend
        self._inside: tuple[EventLoopToken, anyio.CancelScope] | None = None

    def run(self) -> object:
        """Call the tool, in the thread that this is called in."""
        return anyio.run(self._main, self._call, backend=self._backend)

    async def _main(self, call: NodeCall) -> object:
        with anyio.CancelScope() as scope:
            self._inside = current_token(), scope
            if call.stop is None:
                return await awaited(call.tool, _state(call), _arguments(call))
        return None

    def cancel(self) -> None:
        """Ask the tool to end, from the engine's loop, without waiting for it."""
        if self._inside is not None:
            token, scope = self._inside
            loop: Any = token.native_token
            soon = loop.run_sync_soon if self._backend == "trio" else loop.call_soon_threadsafe
            with suppress(RuntimeError):  # it has ended
                soon(scope.cancel)


def _state(call: NodeCall) -> dict[str, Any]:
    """Return the tool's own copy of the state."""
    return {key: copy_json(write.value) for key, write in call.view.items()}


def _arguments(call: NodeCall) -> Mapping[str, Any]:
    return {**call.arguments, "context": call.context} if call.tool.takes_context else call.arguments


class _Raised:
    """What a tool raised in its thread; brought back as a value, for some exceptions mean something else to an event loop."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error
