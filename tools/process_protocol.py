"""What an engine and a process for tools say to each other: JSON in frames, each behind its length in eight bytes.

The engine writes a `Request` to the process's standard input and reads answers from its standard output: any number of
`LogLine`s, then one of the others. Both sides know the length before they read on, so neither takes in more than it wants.
"""

import struct
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

HEADER: Final = struct.Struct(">Q")
MAX_REQUEST_BYTES: Final = 64 << 20
MAX_LINE_BYTES: Final = 64 << 10
"""Most that one line of a tool's log may take on its way; what is longer is cut by the process."""


class CallContext(Struct, frozen=True):
    """A `ToolContext` without its log. `datasets_dir` and `artifacts_dir` are paths, or None."""

    run_id: str
    node: str
    iteration: int
    attempt: int
    idempotency_key: str
    datasets_dir: str | None
    artifacts_dir: str | None = None
    artifact_bytes: int = 0


class Request(Struct, frozen=True):
    """Call a tool.

    Attributes:
        origin: Where the tool is loaded from, see `Tool.origin`.
        backend: Event loop for an async tool: `asyncio` or `trio`.
        context: For a tool that takes one.
    """

    reference: str
    origin: str
    backend: str
    state: dict[str, Any]
    config: dict[str, Any]
    context: CallContext | None


class LogLine(Struct, frozen=True, tag="log"):
    """The tool writes to its run's log."""

    level: Literal["debug", "info", "warning", "error"]
    message: str
    fields: dict[str, Any]


class Returned(Struct, frozen=True, tag="returned"):
    """The tool returned an update."""

    update: dict[str, Any]


class Raised(Struct, frozen=True, tag="raised"):
    """The tool failed, or could not be called."""

    code: str
    message: str
    retryable: bool


class OutOfMemory(Struct, frozen=True, tag="out_of_memory"):
    """The tool wanted more memory than the process may have; the process ends behind this answer."""


Answer = LogLine | Returned | Raised | OutOfMemory


def frame(message: Request | Answer) -> bytes:
    """Return a message behind its length."""
    body = msgspec.json.encode(message)
    return HEADER.pack(len(body)) + body
