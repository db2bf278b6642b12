"""What can pile up in the server, beside the engine's own buffers: requests, sockets, and the bodies that are being read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from api.settings import FILE_THREADS, MAX_BODIES_BYTES, MAX_REQUESTS, MAX_SOCKETS, MAX_UPLOADS
from runtime.buffers import Buffer, BufferUse, WhenFull
from runtime.errors import Overloaded

BUFFERS: Final = (
    Buffer(
        name="requests",
        holds="requests that are not answered yet",
        bound=MAX_REQUESTS,
        unit="requests",
        when_full=WhenFull.REFUSE,
        places=("api.buffers:Intake.requests", "api.shutdown:Shutdown._scopes"),
    ),
    Buffer(
        name="sockets",
        holds="open WebSockets",
        bound=MAX_SOCKETS,
        unit="sockets",
        when_full=WhenFull.REFUSE,
        places=("api.buffers:Intake.sockets", "api.shutdown:Shutdown._scopes"),
    ),
    Buffer(
        name="body_bytes",
        holds="bodies that are being read",
        bound=MAX_BODIES_BYTES,
        unit="bytes",
        when_full=WhenFull.REFUSE,
        places=("api.buffers:Intake.body_bytes",),
    ),
    Buffer(
        name="uploads",
        holds="datasets that are being uploaded, each with up to a MiB in memory",
        bound=MAX_UPLOADS,
        unit="uploads",
        when_full=WhenFull.REFUSE,
        places=("api.buffers:Intake.uploads",),
    ),
    Buffer(
        name="file_threads",
        holds="threads that read and write datasets and artifacts",
        bound=FILE_THREADS,
        unit="threads",
        when_full=WhenFull.QUEUE,
        places=("api.files:FileThreads._places",),
    ),
    Buffer(
        name="dataset_checks",
        holds="uploads that are read as a table, for which there is one thread",
        bound=1,
        unit="uploads",
        when_full=WhenFull.QUEUE,
        places=("api.files:FileThreads._checks",),
    ),
    Buffer(
        name="socket_bytes",
        holds="messages that the client of one WebSocket has not taken, in its connection",
        bound=64 << 10,
        unit="bytes of a socket, and one message",
        when_full=WhenFull.HOLD_BACK,
        places=(),
    ),
)
"""All of this package; the last one is uvicorn's own, and what does not fit is read from the journal later."""


class Intake:
    """Counts what clients have begun, and refuses what would be too much. One for the process."""

    def __init__(self) -> None:
        self.requests = 0
        self.sockets = 0
        self.body_bytes = 0
        self.uploads = 0

    def check_room(self, kind: str) -> None:
        """Refuse one more request (`http`) or socket (`websocket`) if there are too many.

        Raises:
            Overloaded: There are.
        """
        if kind == "websocket" and self.sockets >= MAX_SOCKETS:
            raise Overloaded(f"{self.sockets:,} WebSockets are open already; try again later.", retry_after_s=5)
        if kind == "http" and self.requests >= MAX_REQUESTS:
            raise Overloaded(f"{self.requests:,} requests are not answered yet; try again later.", retry_after_s=5)

    @contextmanager
    def visit(self, kind: str) -> Iterator[None]:
        """Count a request or a socket as long as it lasts."""
        is_socket = kind == "websocket"
        self.sockets += is_socket
        self.requests += not is_socket
        try:
            yield
        finally:
            self.sockets -= is_socket
            self.requests -= not is_socket

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Count an upload as long as it lasts.

        Raises:
            Overloaded: There are too many.
        """
        if self.uploads >= MAX_UPLOADS:
            raise Overloaded(f"{self.uploads:,} datasets are being uploaded already; try again later.", retry_after_s=5)
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1

    def take(self, size_bytes: int) -> None:
        """Count bytes of a body, which are to be given back.

        Raises:
            Overloaded: The bodies that are being read are too much together.
        """
        if self.body_bytes + size_bytes > MAX_BODIES_BYTES:
            message = f"{self.body_bytes:,} bytes of other bodies are being read; try again later."
            raise Overloaded(message, retry_after_s=1)
        self.body_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Count bytes no more."""
        self.body_bytes -= size_bytes

    def uses(self) -> tuple[BufferUse, ...]:
        """Return how full the server's own buffers are."""
        return (
            BufferUse("requests", self.requests, MAX_REQUESTS),
            BufferUse("sockets", self.sockets, MAX_SOCKETS),
            BufferUse("body_bytes", self.body_bytes, MAX_BODIES_BYTES),
            BufferUse("uploads", self.uploads, MAX_UPLOADS),
        )


INTAKE: Final = Intake()
"""Memory belongs to the process, and so does what bounds it."""
