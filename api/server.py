"""The server process: opens the application, binds the port, serves until it is told to stop, and always ends.

The order is what an operator relies on. The journal is opened, and a process that may not have it refused, before the port
is bound. At the end the engine comes to rest first, while everybody can still read, and knows at once that this server
takes no new work; only then are the listener and the connections closed, and the engine last.
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
from contextvars import copy_context

import anyio
import uvicorn
from anyio import CancelScope

from api.app import create_app
from api.settings import BODY_BYTES, HTTP_GRACE_S, LAST_GRACE_S, SECOND_SIGNAL_S, ServerSettings
from api.shutdown import Shutdown
from runtime import Engine


class PortUnavailable(Exception):
    """The address cannot be listened on; the message says why."""


class MemoryExhausted(Exception):
    """The server ended because it used almost all the memory it may."""

    def __init__(self) -> None:
        super().__init__(
            "The memory that the server may use is all but used up, so it ended; its runs resume at the next start. "
            "Look for a tool that takes too much, or give the server more with --max-memory-mb."
        )


def run(settings: ServerSettings, *, greet: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; a second signal ends at once what the first lets finish.

    Args:
        settings: What the operator chose.
        greet: Called with the server's URL once it listens.

    Raises:
        EngineError: The engine could not be opened.
        PortUnavailable: The port could not be bound.
        MemoryExhausted: The process used almost all the memory it may, and stopped as after a signal.
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
                    app.state.context.engine.on_memory_exhausted(server.run_out_of_memory)
                    server.on_started = lambda: greet(_url(listener))
                    await server.serve_engine(app.state.context.engine, listener, settings.engine.close_grace_s)
            if unavailable is not None:
                raise unavailable
    if server.has_run_out_of_memory:
        raise MemoryExhausted


class _Server(uvicorn.Server):
    """uvicorn's server, with another way to stop.

    uvicorn would stop listening first and end the process by the signal. This one goes on serving until the engine is quiet,
    and ends the process with 0.
    """

    def __init__(
        self, config: uvicorn.Config, shutdown: Shutdown, everything: CancelScope, longest_stop_s: float
    ) -> None:
        super().__init__(config)
        self._longest_stop_s = longest_stop_s
        self.on_started: Callable[[], None] = lambda: None
        self._shutdown = shutdown
        self._everything = everything
        self._engine: Engine | None = None
        self._told_to_stop = anyio.Event()
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()  # AnyIO knows its event loop by it
        self.has_run_out_of_memory = False

    async def serve_engine(self, engine: Engine, listener: socket.socket, grace_s: float) -> None:
        """Serve until a signal; then go on until the engine is quiet, or its grace is over, and stop."""
        self._engine = engine
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._drain, engine, grace_s)
            await self.serve(sockets=[listener])
            tasks.cancel_scope.cancel()

    async def _drain(self, engine: Engine, grace_s: float) -> None:
        await self._told_to_stop.wait()
        with anyio.CancelScope(deadline=engine.begin_closing() + grace_s):
            await engine.drain()
        self.should_exit = True

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
        code = os.EX_SOFTWARE if self.has_run_out_of_memory else os.EX_OK
        if self._shutdown.has_begun or not self.started:
            self._everything.cancel()
            _leave_after(SECOND_SIGNAL_S, code, "The server was told to stop before it had started or stopped.")
        if self._engine is not None:
            self._engine.begin_closing()
        self._shutdown.begin()
        self._told_to_stop.set()
        _leave_after(self._longest_stop_s, code)

    def run_out_of_memory(self) -> None:
        """Stop as after a signal, and end with another code; called by a thread."""
        self.has_run_out_of_memory = True
        _leave_after(self._longest_stop_s + SECOND_SIGNAL_S, os.EX_SOFTWARE)  # a tool may block the event loop
        self._loop.call_soon_threadsafe(self._stop, context=self._context)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is loaded now lives for ever: no collection needs to look at it
        self.on_started()


def _leave_after(
    seconds: float, code: int = os.EX_OK, why: str = "A tool did not end in time; its run resumes at the next start."
) -> None:
    """End the process even if a tool ignores its cancellation or blocks a thread for ever.

    By then everything that was decided is committed, because the journal's writer never waits for tools; the runs that were
    interrupted resume at the next start.
    """

    def leave() -> None:
        sys.stderr.write(f"{why}\n")
        sys.stderr.flush()
        os._exit(code)

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
