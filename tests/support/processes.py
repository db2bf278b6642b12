"""Engines with tools in processes, and looking at processes of the system."""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import anyio

from runtime import Engine, open_engine
from tests.conftest import settings
from tools import Registry

ISOLATED: Final = Path(__file__).with_name("isolated_tools.py")


def isolated_registry() -> Registry:
    """Return the tools of `isolated_tools.py`, loaded from the file."""
    registry = Registry()
    registry.load_file(ISOLATED)
    assert registry.broken == ()
    return registry


def opened_isolated(**keys: Any) -> AbstractAsyncContextManager[Engine]:
    """Open an engine in memory that has these tools."""
    return open_engine(settings(**keys), isolated_registry())


def exists(pid: int) -> bool:
    """Return whether there is a process of that number, if only one that nobody has waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def runs(pid: int) -> bool:
    """Return whether the process runs, that is, exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for something in the system that gives no sign of its own."""
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.01)
