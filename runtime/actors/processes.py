"""Processes for tools that must not share the engine's: started when first needed, used again, killed when a call is over time.

A process serves one call at a time, and only tools of one origin and memory limit. Bounds: `limit` processes, idle ones
included, and further calls queue, first come, first served; of an answer no more is read than an update may be long. Invariant:
a process whose call did not end with a proper answer is killed and never used again.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
from anyio.abc import Process
from anyio.lowlevel import current_token
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import structs

from runtime.actors.calls import NodeCall, Outcome, read_result, too_large
from runtime.errors import InvalidInput
from runtime.run.messages import Failed
from runtime.run.records import Failure
from runtime.run.state import MAX_UPDATE_BYTES
from tools.artifacts import RunArtifacts
from tools.contract import MIN_MEMORY_MB, Tool, ToolContext
from tools.process_protocol import (
    HEADER,
    Answer,
    CallContext,
    LogLine,
    OutOfMemory,
    Raised,
    Request,
    Returned,
    frame,
)

MAX_ANSWER_BYTES: Final = MAX_UPDATE_BYTES + 4_096
DEATH_S: Final = 1.0
"""How long a process that has closed its answers may take to end by itself, so that it can be said what ended it."""

_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; from tools.worker_process import main; main(int(sys.argv[1]))"
)
"""Not `-m`: the engine's own path has to be there before the first import."""

_LOST: Final = (anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead, ConnectionError)
_decode: Final = msgspec.json.Decoder(Answer).decode

_Key = tuple[str, int]
"""Whose calls a process serves: the origin of tools, and their memory limit in MiB."""


class ToolProcesses:
    """The pool. An async context: on the way out, which comes after all calls, the idle processes are ended."""

    def __init__(self, limit: int, memory_mb: int) -> None:
        if limit < 1 or memory_mb < MIN_MEMORY_MB:
            raise InvalidInput(
                f"tool_processes is {limit} and tool_memory_mb {memory_mb}; use at least 1 and {MIN_MEMORY_MB}."
            )
        self._limit = limit
        self._memory_mb = memory_mb
        self._places = anyio.CapacityLimiter(limit)
        self._idle: list[_ToolProcess] = []  # the one that rests longest first

    @property
    def busy(self) -> int:
        """Processes that make a call."""
        return self._places.borrowed_tokens

    async def __aenter__(self) -> "ToolProcesses":
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            while self._idle:
                await self._idle.pop().end()

    async def run(self, call: NodeCall) -> Outcome:
        """Make a call in a process once there is one. If this is cancelled, the process is killed, and gone on return."""
        await self._queue(call)
        try:
            try:
                process = await self._process_for(call.tool)
            except OSError as error:
                return _died(call.tool, f"could not be started: {error}")
            is_usable = False
            try:
                outcome, is_usable = await process.run(call)
            finally:
                if is_usable:
                    self._idle.append(process)
                else:
                    await process.end()
            return outcome
        finally:
            self._places.release()

    async def _queue(self, call: NodeCall) -> None:
        try:
            await self._places.acquire()
        except anyio.get_cancelled_exc_class():
            stop = call.stop
            if isinstance(stop, Failed):
                message = f"{stop.error.message} It waited for one of the {self._limit} processes for tools."
                call.stop = structs.replace(stop, error=structs.replace(stop.error, message=message))
            raise

    async def _process_for(self, tool: Tool) -> "_ToolProcess":
        key = (tool.origin or "", tool.memory_mb or self._memory_mb)
        for process in reversed(self._idle):
            if process.key == key:
                self._idle.remove(process)
                if process.is_alive:
                    return process
                await process.end()
                break
        while self._idle and len(self._idle) > self._limit - self._places.borrowed_tokens:
            await self._idle.pop(0).end()
        return await _ToolProcess.start(key)


class _ToolProcess:
    """One process, with at most one call."""

    def __init__(self, process: Process, key: _Key, backend: str) -> None:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        self.key = key
        self._process = process
        self._backend = backend
        self._requests = process.stdin
        self._answers = BufferedByteReceiveStream(process.stdout)

    @classmethod
    async def start(cls, key: _Key) -> "_ToolProcess":
        """Start a process. It has a session of its own: no Ctrl-C of the terminal, and killed with all that it started."""
        command = [sys.executable, "-c", _PROGRAM, str(key[1]), *sys.path]
        with anyio.CancelScope(shield=True):  # half started, it would belong to nobody
            process = await anyio.open_process(command, stderr=None, start_new_session=True)
        return cls(process, key, backend_name())

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs, as far as the system has told."""
        return self._process.returncode is None

    async def run(self, call: NodeCall) -> tuple[Outcome, bool]:
        """Make a call; return its outcome and whether the process can serve another one."""
        try:
            await self._requests.send(frame(_request(call, self.key[0], self._backend)))
            while True:
                (size,) = HEADER.unpack(await self._answers.receive_exactly(HEADER.size))
                if size > MAX_ANSWER_BYTES:
                    return too_large(size, call.tool), False
                answer: Answer = _decode(await self._answers.receive_exactly(size))
                if isinstance(answer, LogLine):
                    _write_line(call.context, answer)
                else:
                    return self._outcome(answer, call.tool), not isinstance(answer, OutOfMemory)
        except _LOST:
            return _died(call.tool, await self._cause_of_death()), False
        except msgspec.MsgspecError as error:
            return _died(call.tool, f"gave an answer that cannot be read: {error}"), False

    def _outcome(self, answer: Returned | Raised | OutOfMemory, tool: Tool) -> Outcome:
        match answer:
            case Returned():
                return read_result(answer.update, tool)
            case Raised():
                return Failed(Failure(answer.code, answer.message), retryable=answer.retryable)
            case OutOfMemory():
                message = (
                    f"Tool {tool.reference!r} needed more memory than the {self.key[1]:,} MiB that its process may have. "
                    "Let it work on less at a time, or give it more with memory_mb."
                )
                return Failed(Failure("RESOURCE_EXCEEDED", message))

    async def _cause_of_death(self) -> str:
        with anyio.move_on_after(DEATH_S):
            code = await self._process.wait()
            return f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return "closed the pipe for its answers"

    async def end(self) -> None:
        """Kill the process with all that it started, and wait until it is gone."""
        with suppress(ProcessLookupError, PermissionError):  # gone; macOS says so of a process that is not waited for
            os.killpg(self._process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await self._process.aclose()


def backend_name() -> str:
    """Return what `anyio.run` calls the kind of event loop that runs now: `asyncio` or `trio`."""
    return current_token().backend_class.__module__.rpartition("._")[2]


def _request(call: NodeCall, origin: str, backend: str) -> Request:
    context = call.context
    given = None
    if context is not None:
        given = CallContext(
            context.run_id,
            context.node,
            context.iteration,
            context.attempt,
            context.idempotency_key,
            _text(context.datasets_dir),
        )
        if isinstance(context.artifacts, RunArtifacts):
            given = structs.replace(
                given, artifacts_dir=str(context.artifacts.folder), artifact_bytes=context.artifacts.limit_bytes
            )
    state = {key: write.value for key, write in call.view.items()}
    return Request(call.tool.reference, origin, backend, state, dict(call.config), given)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _write_line(context: ToolContext | None, line: LogLine) -> None:
    if context is not None:
        write: Any = getattr(context.log, line.level)
        write(line.message, **line.fields)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _died(tool: Tool, how: str) -> Failed:
    message = f"The process of tool {tool.reference!r} {how}."
    return Failed(Failure("WORKER_DIED", message))
