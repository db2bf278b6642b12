"""What benches of one engine share: opening it on a fresh journal, the event loop it runs on, and keeping out of its way."""

import gc
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
from rich.console import Console
from rich.progress import Progress

from bench.in_process import Backend
from runtime import Engine, Settings, open_engine
from tools.registry import Registry


@contextmanager
def journal_url(journal: str) -> Iterator[str]:
    """Return the URL of an empty journal, `memory` or `sqlite`; what it has stored is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield "memory:" if journal == "memory" else f"sqlite:///{folder}/bench.db"


@asynccontextmanager
async def opened(url: str, tools: Registry) -> AsyncIterator[Engine]:
    """Open a silent engine on a journal."""
    async with open_engine(Settings(journal=url, log_format="none"), tools) as engine:
        yield engine


def run_on(backend: Backend, function: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
    """Run an async function on the event loop `backend` and return what it returns."""
    if backend is Backend.TRIO:
        return anyio.run(function, *arguments, backend="trio")
    return anyio.run(function, *arguments, backend_options={"use_uvloop": backend is Backend.UVLOOP})


def settle_like_the_server() -> None:
    """Let the garbage collector and the interpreter's threads take turns as they do in the server."""
    gc.set_threshold(50_000, 50, 100)
    sys.setswitchinterval(0.0005)


def quiet_progress() -> Progress:
    """Return a progress bar that is drawn only when it is told to: no thread of its own wakes up in a measured region."""
    return Progress(console=Console(stderr=True), transient=True, auto_refresh=False)
