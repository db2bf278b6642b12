"""Puts an engine together and takes it apart again: the one place that names every part.

Task groups nest in the order of need: the journal's writer outside, then timers and tool workers, then the run actors. So they
stop in the reverse order, and the writer has committed everything that was decided before it goes.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from runtime.actors.run_actor import ActorServices
from runtime.actors.supervisor import Memory, Supervisor
from runtime.actors.timers import Timers
from runtime.actors.tool_host import ToolHost
from runtime.actors.tool_log import Home
from runtime.catalog import Catalog
from runtime.clock import Clock, SystemClock
from runtime.engine import Engine
from runtime.errors import EngineError, InvalidInput
from runtime.journal import Journal, JournalReader, JournalWriter, MemoryJournal, SqliteJournal
from runtime.log.pipeline import LogPipeline
from runtime.settings import Settings
from tools.contract import ToolSource

SQLITE: Final = "sqlite:///"


@asynccontextmanager
async def open_engine(
    settings: Settings,
    tools: ToolSource,
    *,
    clock: Clock | None = None,
    journal: Journal | None = None,
    chance: random.Random | None = None,
) -> AsyncIterator[Engine]:
    """Open an engine; leaving the block drains and closes it, within `settings.close_grace_s` and a little.

    Only a tool that ignores its cancellation takes longer: no task can be left behind. A process that must end all the same
    has to end itself, as the server does.

    Runs that an earlier process left unfinished go on at once. Runs unfinished at the end resume with the next opening.

    Args:
        settings: What the operator chose.
        tools: Where graphs find their tools.
        clock: Instead of the machine's clock, for tests on virtual time.
        journal: Instead of the one that `settings.journal` names.
        chance: Source of the jitter of retries.

    Raises:
        InvalidInput: `settings.journal` names no journal.
        JournalInUse: Another process owns the journal.
        JournalDamaged: The stored history contradicts itself.
        JournalUnavailable: The journal cannot be opened, or could not be written to later on.
    """
    journal = journal if journal is not None else journal_at(settings.journal)
    epoch = await to_thread.run_sync(journal.open)
    try:
        jitter = chance or random.Random()  # noqa: S311 - no secret
        async with _run_engine(settings, tools, clock or SystemClock(), journal, epoch, jitter) as engine:
            yield engine
    finally:
        journal.close()


def journal_at(url: str) -> Journal:
    """Return the journal, not yet open, that a URL of `Settings.journal` names."""
    if url == "memory:":
        return MemoryJournal()
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        return SqliteJournal(Path(url.removeprefix(SQLITE)))
    raise InvalidInput(f"There is no journal {url!r}; use 'sqlite:///PATH' or 'memory:'.")


@asynccontextmanager
async def _run_engine(
    settings: Settings,
    tools: ToolSource,
    clock: Clock,
    journal: Journal,
    epoch: int,
    jitter: random.Random,
) -> AsyncIterator[Engine]:
    reader, pipeline = JournalReader(journal), LogPipeline(settings)
    memory = Memory(journal, reader)
    failure: BaseException | None = None
    try:
        async with _writing(journal, epoch) as writer, _hosting(settings) as (host, timers):
            async with anyio.create_task_group() as actors:
                catalog = Catalog(journal, writer, reader, tools, clock)
                services = ActorServices(settings, clock, writer, timers, host, jitter, Home())
                supervisor = Supervisor(actors, services, memory, pipeline, catalog.bind)
                supervisor.enroll(await reader.call(journal.unfinished))
                engine = Engine(
                    catalog=catalog,
                    supervisor=supervisor,
                    memory=memory,
                    tools=tools,
                    clock=clock,
                    last_run_number=await reader.call(journal.last_run_number),
                )
                actors.start_soon(supervisor.recover)
                try:
                    yield engine
                except (Exception, SystemExit, KeyboardInterrupt) as error:
                    failure = error  # the caller's own: kept out of the task groups, which would wrap it
                finally:
                    with anyio.move_on_after(settings.close_grace_s, shield=not writer.has_failed):
                        await engine.drain()
                    actors.cancel_scope.cancel()
            supervisor.close()
    except BaseExceptionGroup as group:
        raise _first_engine_error(group) or group from None
    if failure is not None:
        raise failure


@asynccontextmanager
async def _writing(journal: Journal, epoch: int) -> AsyncIterator[JournalWriter]:
    """Keep the journal's writer at work; on the way out it commits what is left."""
    writer = JournalWriter(journal, epoch)
    async with anyio.create_task_group() as permanent:
        permanent.start_soon(writer.run)
        try:
            yield writer
        finally:
            with anyio.CancelScope(shield=True):
                await writer.aclose()


@asynccontextmanager
async def _hosting(settings: Settings) -> AsyncIterator[tuple[ToolHost, Timers]]:
    """Keep timers and tool workers; on the way out all of them are cancelled."""
    timers = Timers()
    async with anyio.create_task_group() as hosting:
        hosting.start_soon(timers.run)
        try:
            yield ToolHost(hosting, settings), timers
        finally:
            hosting.cancel_scope.cancel()


def _first_engine_error(group: BaseExceptionGroup[BaseException]) -> EngineError | None:
    for error in group.exceptions:
        found = _first_engine_error(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, EngineError):
            return found
    return None
