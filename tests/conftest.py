"""Shared by all tests: both event loops, both journals, scripted tools, and a way to open engines on them.

Async tests run on asyncio and on trio. Tests of time take the fixture `virtual` and run on trio alone, where an hour of
waiting passes as soon as nothing else is left to do.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from blockbuster import blockbuster_ctx
from trio.testing import MockClock

from runtime import Engine, Settings, open_engine
from runtime.clock import Clock, LoopClock
from runtime.journal import Journal, MemoryJournal, SqliteJournal
from runtime.testing import ScriptedTools

START: Final = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
VIRTUAL: Final = "virtual"

Open = Callable[..., AbstractAsyncContextManager[Engine]]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    if VIRTUAL in request.fixturenames:
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return str(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what asks for virtual time on a loop that has none."""
    items[:] = [item for item in items if not _asks_asyncio_for_virtual_time(item)]


def _asks_asyncio_for_virtual_time(item: pytest.Item) -> bool:
    if VIRTUAL not in getattr(item, "fixturenames", ()):
        return False
    backend: object = item.callspec.params.get("anyio_backend")  # type: ignore[attr-defined]
    return backend == "asyncio"


@pytest.fixture
def virtual() -> LoopClock:
    """A clock whose wall time follows the virtual time of the event loop."""
    return LoopClock(START)


@pytest.fixture
def unblocked(anyio_backend_name: str) -> Iterator[None]:
    """Let code that blocks the event loop fail. Only asyncio can be watched."""
    if anyio_backend_name == "trio":
        yield
        return
    with blockbuster_ctx():
        yield


@pytest.fixture
def tools() -> ScriptedTools:
    return ScriptedTools()


class Store:
    """A place for a journal that outlives its engines: `journal()` opens the same content again and again."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.path = folder / "work.db"
        self._memory = MemoryJournal()

    def journal(self) -> Journal:
        return self._memory if self.kind == "memory" else SqliteJournal(self.path)

    def copied(self, name: str) -> "Store":
        """Return a copy of the content as it is now, like the disk of a machine that crashes at this moment."""
        copy = Store(self.kind, self.path.parent / name)
        copy.path.parent.mkdir()
        for suffix in (".watermark", "", "-wal"):  # the watermark first: it may never be ahead of the rest
            source = self.path.with_name(self.path.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.path.with_name(copy.path.name + suffix))
        return copy


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(request.param, tmp_path)


@pytest.fixture
def sqlite(tmp_path: Path) -> Store:
    return Store("sqlite", tmp_path)


def settings(**keys: Any) -> Settings:
    """Return quiet settings that close at once, wait for a busy machine's disk, and watch neither loop nor memory."""
    quiet = {"log_format": "none", "close_grace_s": 0.05, "commit_wait_s": 30.0}
    return Settings(**{**quiet, "block_limit_s": None, "max_memory_mb": 0, **keys})


@pytest.fixture
def opened(store: Store, tools: ScriptedTools) -> Open:
    """Opens an engine on the test's journal and tools: `async with opened(max_active_runs=1) as engine`."""

    def open_one(
        journal: Journal | None = None, clock: Clock | None = None, seed: int = 1, **keys: Any
    ) -> AbstractAsyncContextManager[Engine]:
        return open_engine(
            settings(**keys),
            tools,
            journal=journal or store.journal(),
            clock=clock,
            chance=random.Random(seed),
        )

    return open_one


@pytest.fixture
def opened_virtual(virtual: LoopClock, tools: ScriptedTools) -> Open:
    """Opens an engine in memory on virtual time; a second one finds what the first left behind."""
    memory = MemoryJournal()

    def open_one(journal: Journal | None = None, **keys: Any) -> AbstractAsyncContextManager[Engine]:
        return open_engine(settings(**keys), tools, journal=journal or memory, clock=virtual, chance=random.Random(1))

    return open_one
