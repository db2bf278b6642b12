"""Files over HTTP: threads that work on them, and the answer that sends one.

The event loop never waits for a disk. Invariant: a file that was opened for an answer is closed when the answer ends, however it
ends.
"""

from collections.abc import Callable, Mapping
from functools import partial
from io import BufferedReader
from typing import Final, TypeVar

import anyio
from anyio import CancelScope, to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.settings import FILE_THREADS
from runtime.buffers import BufferUse

T = TypeVar("T")

PIECE_BYTES: Final = 262_144


class FileThreads:
    """The threads of one application that work on files. Made in its event loop."""

    def __init__(self) -> None:
        self._places = anyio.CapacityLimiter(FILE_THREADS)
        self._checks = anyio.CapacityLimiter(1)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Call `function` in a thread; a cancellation waits until it has returned."""
        return await to_thread.run_sync(partial(function, *arguments), limiter=self._places)

    async def check(self, function: Callable[..., T], *arguments: object) -> T:
        """Call `function`, which reads a table, in the one thread for that: a table in memory is many times its file."""
        return await to_thread.run_sync(partial(function, *arguments), limiter=self._checks)

    def uses(self) -> tuple[BufferUse, ...]:
        """Return how many of the threads are at work."""
        return (
            BufferUse("file_threads", int(self._places.borrowed_tokens), FILE_THREADS),
            BufferUse("dataset_checks", int(self._checks.borrowed_tokens), 1),
        )


class FileAnswer(Response):
    """Sends a file that is open, piece by piece, and closes it. Without `stream` it sends the headers only."""

    def __init__(
        self, stream: BufferedReader, size_bytes: int, threads: FileThreads, headers: Mapping[str, str], media_type: str
    ) -> None:
        self._stream = stream
        self._left = size_bytes
        self._threads = threads
        # Not `media_type`: Starlette would add a character set, and nobody knows the one of a dataset.
        super().__init__(None, 200, {**headers, "content-type": media_type, "content-length": str(size_bytes)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                self._left = 0
            while self._left:
                piece = await self._threads.run(self._stream.read, min(PIECE_BYTES, self._left))
                if not piece:
                    raise OSError("the file became shorter while it was sent")  # only cutting the connection says so
                self._left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            with CancelScope(shield=True):
                await self._threads.run(self._stream.close)


def etag_of(sha256: str) -> str:
    """Return the entity tag of a content."""
    return f'"{sha256}"'


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Tell whether a client says that it has the content of `etag` already."""
    return if_none_match is not None and any(
        one.strip().removeprefix("W/") in (etag, "*") for one in if_none_match.split(",")
    )
