"""What a process for tools does: reads a request, calls the tool, answers, and waits for the next one.

Standard input and output are taken for the engine's requests and the answers before any tool is loaded; what a tool prints goes
to standard error, and what it reads is empty. Invariants: the process never outlives the engine's end of its standard input, nor
do processes that its tools started; and no answer says less than the truth because memory ran out.
"""

import io
import os
import resource
import select
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from tools.artifacts import RunArtifacts
from tools.contract import Tool, ToolContext, ToolError
from tools.json_values import NotJson, checked_copy
from tools.process_protocol import (
    HEADER,
    MAX_LINE_BYTES,
    MAX_REQUEST_BYTES,
    Answer,
    CallContext,
    LogLine,
    OutOfMemory,
    Raised,
    Request,
    Returned,
    frame,
)
from tools.registry import Registry
from tools.results import awaited, checked_update, describe

_OUT_OF_MEMORY: Final = frame(OutOfMemory())  # made while there is memory


def main(memory_mb: int) -> None:
    """Serve requests until standard input ends, with at most so many MiB of address space."""
    requests, answers = _own_pipes()
    _limit(memory_mb << 20)
    threading.Thread(target=_end_with_engine, args=(requests.fileno(),), daemon=True).start()
    server = _Server(_Answers(answers))
    while header := requests.read(HEADER.size):
        (size,) = HEADER.unpack(header)
        if size > MAX_REQUEST_BYTES:
            raise ValueError(f"a request has {size:,} bytes, and at most {MAX_REQUEST_BYTES:,} are read")
        server.serve(requests.read(size))


def _own_pipes() -> tuple[io.BufferedReader, int]:
    """Take standard input and output away from tools; return the one to read and the descriptor of the one to write."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a process that is killed has no time to flush
    return requests, answers


def _limit(size_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    size_bytes = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_engine(requests: int) -> None:
    """Wait until the engine has closed its end, and end everything, whatever a tool does meanwhile."""
    hung_up = select.poll()
    hung_up.register(requests, 0)
    hung_up.poll()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with whatever tools started
    os._exit(0)


class _Answers:
    """The way back. Frames of several threads do not mix."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, framed: bytes) -> None:
        with self._lock:
            self._write(framed)

    def send_line(self, log: "_Log", framed: bytes) -> None:
        """Send a line unless its call is over: the engine would take it for one of the next call."""
        with self._lock:
            if log.is_open:
                self._write(framed)

    def end(self, log: "_Log", framed: bytes) -> None:
        """Send the last frame of a call."""
        with self._lock:
            log.is_open = False
            self._write(framed)

    def _write(self, framed: bytes) -> None:
        rest = memoryview(framed)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


class _Server:
    """Calls tools, each loaded when it is first asked for."""

    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._tools: dict[tuple[str, str], Tool] = {}

    def serve(self, body: bytes) -> None:
        log = _Log(self._answers)
        try:
            answer = frame(self._answer(msgspec.json.decode(body, type=Request), log))
        except MemoryError:
            self._answers.end(log, _OUT_OF_MEMORY)
            os._exit(0)
        sys.stdout.flush()
        self._answers.end(log, answer)

    def _answer(self, request: Request, log: "_Log") -> Answer:
        try:
            tool = self._find(request)
            return Returned(checked_update(_call(tool, request, log), tool))
        except BaseException as error:  # whatever a tool raises, SystemExit included, is the failure of one attempt
            if _is_memory_error(error):
                raise MemoryError from None
            return Raised(*describe(error))

    def _find(self, request: Request) -> Tool:
        key = (request.origin, request.reference)
        if key not in self._tools:
            registry = Registry()
            registry.load_origin(request.origin)
            self._tools |= {(request.origin, tool.reference): tool for tool in registry}
            if key not in self._tools:
                reason = "; ".join(plugin.error for plugin in registry.broken) or "it is not there"
                message = (
                    f"A process could not load tool {request.reference!r} from {request.origin!r}: {reason}. A tool with "
                    "isolation='process' must be at the top level of a module or file that can be imported again."
                )
                raise ToolError(message, code="TOOL_NOT_LOADED")
        return self._tools[key]


def _call(tool: Tool, request: Request, log: "_Log") -> object:
    arguments = tool.arguments(request.config)
    if tool.takes_context and (given := request.context) is not None:
        arguments["context"] = ToolContext(
            run_id=given.run_id,
            node=given.node,
            iteration=given.iteration,
            attempt=given.attempt,
            idempotency_key=given.idempotency_key,
            log=log,
            datasets_dir=None if given.datasets_dir is None else Path(given.datasets_dir),
            artifacts=_artifacts(given),
        )
    if tool.is_async:
        return anyio.run(awaited, tool, request.state, arguments, backend=request.backend)
    result: object = tool.function(request.state, **arguments)
    return result


def _artifacts(given: CallContext) -> RunArtifacts | None:
    if given.artifacts_dir is None:
        return None
    return RunArtifacts(Path(given.artifacts_dir), given.run_id, given.artifact_bytes)


def _is_memory_error(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(MemoryError) is not None
    return isinstance(error, MemoryError)


class _Log:
    """The `context.log` of one call. Lines are bounded here; how many are kept is decided where they arrive."""

    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self.is_open = True

    def debug(self, message: str, **fields: Any) -> None:
        self._write(LogLine("debug", _text(message), _json_fields(fields)))

    def info(self, message: str, **fields: Any) -> None:
        self._write(LogLine("info", _text(message), _json_fields(fields)))

    def warning(self, message: str, **fields: Any) -> None:
        self._write(LogLine("warning", _text(message), _json_fields(fields)))

    def error(self, message: str, **fields: Any) -> None:
        self._write(LogLine("error", _text(message), _json_fields(fields)))

    def _write(self, line: LogLine) -> None:
        self._answers.send_line(self, frame(line))


def _text(value: object) -> str:
    return str(value)[:MAX_LINE_BYTES].encode("utf-8", "backslashreplace").decode()


def _json_fields(fields: dict[str, Any]) -> dict[str, Any]:
    shown = {_text(key): _json(value) for key, value in fields.items()}
    size = len(msgspec.json.encode(shown))
    return shown if size <= MAX_LINE_BYTES else {"omitted": f"{size} bytes of fields: {', '.join(shown)[:200]}"}


def _json(value: Any) -> Any:
    try:
        return checked_copy(value)
    except NotJson:
        return _text(repr(value))
