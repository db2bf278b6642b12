"""A lean HTTP/1.1 client for load: one kept-alive connection, one request at a time, JSON in and out.

Not for anything else. It exists because the load generator must cost less than the server it measures: on the same machine
an `httpx2` request takes several times as much CPU (see `README.md`), so the generator would be what is measured. Built on
asyncio streams and not on AnyIO, for the same reason.
"""

import asyncio
from typing import Any, Final, Self

import msgspec

from bench.server_process import ServerUnderTest

_LIMIT: Final = 1 << 20
TIMEOUT_S: Final = 60.0


class HttpConnection:
    """One connection. Use `async with`; opened on entry."""

    def __init__(self, server: ServerUnderTest) -> None:
        self._server = server
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._server.host, self._server.port, limit=_LIMIT)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def request_bytes(self, method: str, path: str, body: Any = None) -> bytes:
        """Return a whole request, to be made once and sent often."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._server.name}\r\n"
        if body is None:
            return f"{head}\r\n".encode()
        content = msgspec.json.encode(body)
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return status and body of its answer.

        Raises:
            OSError: The connection is lost, or the server does not answer in time.
        """
        if self._reader is None or self._writer is None:
            raise ConnectionError("the connection is not open")
        self._writer.write(request)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                head = await self._reader.readuntil(b"\r\n\r\n")
                return int(head[9:12]), await self._reader.readexactly(_content_length(head))
        except (asyncio.IncompleteReadError, TimeoutError) as error:
            raise ConnectionError(f"no whole answer: {error}") from error

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the decoded body of a request that has to succeed.

        Raises:
            ConnectionError: It did not.
        """
        status, content = await self.send(self.request_bytes(method, path, body))
        if status != 200:
            raise ConnectionError(f"{method} {path} answered {status}: {content[:500].decode(errors='replace')}")
        return msgspec.json.decode(content)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
