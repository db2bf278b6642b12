"""The server's settings: what the command line and the environment decide, fixed before anything starts.

The engine's own settings are one field of it. The limits are constants, because clients must be able to rely on them.
"""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runtime.settings import Settings

VERSION: Final = "0.1.0"

BODY_BYTES: Final = 1_048_576
"""Longest request body, and longest first message of a WebSocket."""

GRAPH_BYTES: Final = 8 * 1_048_576
"""Longest body of `POST /api/graph/create`."""

BODY_TIMEOUT_S: Final = 30.0
"""How long a client may take to send a body or the first message of a WebSocket."""

UPLOAD_TIMEOUT_S: Final = 600.0
"""How long a client may take to upload a dataset; no pause may be longer than `BODY_TIMEOUT_S`."""

MAX_UPLOADS: Final = 8
"""Uploads of datasets at once; further ones are refused."""

FILE_THREADS: Final = 8
"""Threads that read and write datasets and artifacts; further requests queue for one."""

MAX_REQUESTS: Final = 10_000
"""Requests that may be open at once, those that wait for a run included; further ones are refused."""

MAX_SOCKETS: Final = 10_000
"""WebSockets that may be open at once; further ones are refused."""

MAX_BODIES_BYTES: Final = 256 * 1_048_576
"""What may have arrived of all bodies together that are being read."""

OFFLOAD_BYTES: Final = 65_536
"""Longer texts are parsed in a thread, so that no other request waits for them."""

HTTP_GRACE_S: Final = 5
"""How long open responses may go on when the server stops; waits for runs are answered at once."""

LAST_GRACE_S: Final = 5
"""How long the engine may take to close after its own grace; then the process ends without it."""

LAST_WORD_S: Final = 2
"""How long a WebSocket may take to hear why it is closed."""

SECOND_SIGNAL_S: Final = 1
"""How long a server that is told to stop a second time may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What an operator can choose.

    Attributes:
        engine: Settings of the engine that the application opens.
        tool_files: Python files with tools, beside the built-in ones and those of installed packages.
        host: Name or address to listen on.
        port: Port to listen on; 0 lets the system choose a free one.
    """

    engine: Settings = field(default_factory=Settings)
    tool_files: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can connect."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Tell whether `host`, a name or an address without brackets, always means this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
