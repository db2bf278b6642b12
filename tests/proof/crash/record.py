"""What the client outside wrote down: each thing it was about to ask, and each answer it got, flushed before it goes on.

One JSON object per line. `intent` lines come before their request is sent, `ack` lines after its answer has arrived; what has an
intent and no ack may or may not have happened, and is asked again.
"""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

Verb = Literal["submit", "signal", "answer", "cancel", "pause", "resume"]


class Line(msgspec.Struct, omit_defaults=True):
    """An intent or an answer.

    Attributes:
        key: Idempotency key of the run's submission; names the run before it has an id.
        status: HTTP status of the answer; 0 for an intent.
        code: Error code of the answer.
        run_id: On the answer to a submission.
        is_replay: Whether that answer said that the run was there already.
    """

    verb: Verb
    key: str
    program: str = ""
    n: int = 0
    status: int = 0
    code: str = ""
    run_id: str = ""
    is_replay: bool = False


@dataclass(slots=True)
class Asked:
    """Everything that one run was asked, and answered."""

    key: str
    program: str
    n: int
    run_ids: list[str] = field(default_factory=list)
    acked: dict[Verb, Line] = field(default_factory=dict)
    intended: set[Verb] = field(default_factory=set)


class ClientRecord:
    """The file. Writers share flushes: whoever writes during one waits for the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._next: asyncio.Future[None] | None = None
        self._flushing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        os.close(self._file)

    async def write(self, line: Line) -> None:
        """Append a line; it is on the disk when this returns."""
        os.write(self._file, msgspec.json.encode(line) + b"\n")
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        flushed = self._next
        if not self._flushing:
            await self._flush()
        await flushed

    async def _flush(self) -> None:
        self._flushing = True
        try:
            while self._next is not None:
                waiting, self._next = self._next, None
                await asyncio.to_thread(os.fsync, self._file)
                waiting.set_result(None)
        finally:
            self._flushing = False


def read_record(path: Path) -> dict[str, Asked]:
    """Return what a file says, by idempotency key."""
    asked: dict[str, Asked] = {}
    decode = msgspec.json.Decoder(Line).decode
    for text in path.read_bytes().splitlines():
        line = decode(text)
        one = asked.setdefault(line.key, Asked(line.key, line.program, line.n))
        if line.status == 0:
            one.intended.add(line.verb)
            continue
        one.acked[line.verb] = line
        if line.verb == "submit":
            one.run_ids.append(line.run_id)
    return asked


def problem_code(body: Any) -> str:
    """Return the error code of an answer's body, or ""."""
    return str(body.get("code", "")) if isinstance(body, dict) else ""
