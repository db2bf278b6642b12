"""The server process: opens the application, binds the port, serves until it is told to stop, and always ends.

The order is what an operator relies on: the journal is opened, and a process that may not have it refused, before the port
is bound. The engine closes last, when no client is connected any more.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import uvicorn
from anyio import CancelScope

from api.app import create_app
from api.settings import BODY_BYTES, HTTP_GRACE_S, LAST_GRACE_S, SECOND_SIGNAL_S, ServerSettings
from api.shutdown import Shutdown


class PortUnavailable(Exception):
    """The address cannot be listened on; the message says why."""


def run(settings: ServerSettings, *, greet: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; a second signal ends at once what the first lets finish.

    Args:
        settings: What the operator chose.
        greet: Called with the server's URL once it listens.

    Raises:
        EngineError: The engine could not be opened.
        PortUnavailable: The port could not be bound.
    """
    # The journal's writer thread needs the interpreter for moments only, but under load it waits a whole switch interval
    # for each: 0.5 ms instead of 5 ms makes commits several times faster.
    sys.setswitchinterval(0.0005)
    # Thousands of live runs are millions of objects that a full collection visits in vain. Most garbage is freed by
    # counting; the collector looks for cycles less often.
    gc.set_threshold(50_000, 50, 100)
    logging.getLogger("uvicorn.error").addFilter(_is_no_false_alarm)
    anyio.run(_serve, settings, greet, backend_options={"use_uvloop": True})


async def _serve(settings: ServerSettings, greet: Callable[[str], None]) -> None:
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=BODY_BYTES,
        ws_per_message_deflate=False,  # costs 50 KiB for each socket, for messages of a few hundred bytes
        lifespan="off",  # entered below, where its errors arrive as they are
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=HTTP_GRACE_S,
    )
    with CancelScope() as everything:
        longest_stop_s = HTTP_GRACE_S + settings.engine.close_grace_s + LAST_GRACE_S
        server = _Server(config, app.state.shutdown, everything, longest_stop_s)
        with server.stopped_by_signals():
            unavailable: PortUnavailable | None = None
            async with app.router.lifespan_context(app):
                try:
                    listener = _bind(settings.host, settings.port)
                except PortUnavailable as error:
                    unavailable = error  # raised below: the engine's task groups would wrap it
                else:
                    server.on_started = lambda: greet(_url(listener))
                    await server.serve(sockets=[listener])
            if unavailable is not None:
                raise unavailable


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handling, which would end the process by the signal instead of with 0."""

    def __init__(
        self, config: uvicorn.Config, shutdown: Shutdown, everything: CancelScope, longest_stop_s: float
    ) -> None:
        super().__init__(config)
        self._longest_stop_s = longest_stop_s
        self.on_started: Callable[[], None] = lambda: None
        self._shutdown = shutdown
        self._everything = everything

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)  # what is left to do is only to end

    def _stop(self) -> None:
        if self.should_exit or not self.started:
            self._everything.cancel()
            _leave_after(SECOND_SIGNAL_S)
        self.should_exit = True
        self._shutdown.begin()
        _leave_after(self._longest_stop_s)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is loaded now lives for ever: no collection needs to look at it
        self.on_started()


def _leave_after(seconds: float) -> None:
    """End the process even if a tool ignores its cancellation or blocks a thread for ever.

    By then everything that was decided is committed, because the journal's writer never waits for tools; the runs that were
    interrupted resume at the next start.
    """

    def leave() -> None:
        sys.stderr.write(f"A tool did not end within {seconds:g} s; its run resumes at the next start.\n")
        sys.stderr.flush()
        os._exit(os.EX_OK)

    last_resort = threading.Timer(seconds, leave)
    last_resort.daemon = True
    last_resort.start()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise PortUnavailable(f"Cannot listen on {host} port {port}: {reason}.") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """Drop what uvicorn calls an error and is none: a WebSocket answered with an HTTP status, a request cut at the end."""
    if record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError):
        return False
    return record.getMessage() != "ASGI callable returned without completing handshake."
