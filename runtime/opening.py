"""Puts an engine together and takes it apart again: the one place that names every part.

Task groups nest in the order of need: the journal's writer outside, then timers and tool workers, then the run actors. So they
stop in the reverse order, and the writer has committed everything that was decided before it goes.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread
from structlog.typing import FilteringBoundLogger

from runtime.actors.live import Memory
from runtime.actors.memory_limit import limit_of
from runtime.actors.processes import ToolProcesses
from runtime.actors.run_actor import ActorServices
from runtime.actors.supervisor import Supervisor
from runtime.actors.timers import Timers
from runtime.actors.tool_host import ToolHost
from runtime.actors.tool_log import Home
from runtime.actors.vitals import Vitals
from runtime.artifact_keeping import ArtifactKeeper
from runtime.buffers import Gauges
from runtime.catalog import Catalog
from runtime.clock import Clock, SystemClock
from runtime.engine import Engine
from runtime.errors import EngineError, InvalidInput
from runtime.journal import Journal, JournalReader, JournalWriter, MemoryJournal, Salvage, SqliteJournal
from runtime.log.pipeline import LogPipeline
from runtime.retention import Retention
from runtime.settings import Settings
from tools.artifact_store import ArtifactStore
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
        InvalidInput: `settings.journal` names no journal, or one on a network file system.
        JournalNewer: A newer version wrote the journal.
        JournalInUse: Another process owns the journal.
        JournalDamaged: The stored history contradicts itself.
        JournalUnavailable: The journal cannot be opened, or could not be written to later on.
    """
    journal = journal if journal is not None else journal_at(settings)
    epoch = await to_thread.run_sync(journal.open)
    try:
        jitter = chance or random.Random()  # noqa: S311 - no secret
        async with _run_engine(settings, tools, clock or SystemClock(), journal, epoch, jitter) as engine:
            yield engine
    finally:
        journal.close()


def journal_at(settings: Settings) -> Journal:
    """Return the journal, not yet open, that `Settings.journal` names."""
    url = settings.journal
    if url == "memory:":
        return MemoryJournal()
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        return SqliteJournal(
            Path(url.removeprefix(SQLITE)),
            check=settings.journal_check,
            accept_data_loss=settings.accept_data_loss,
            allow_network_filesystem=settings.allow_network_filesystem,
        )
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
    if isinstance(clock, SystemClock):
        clock.on_jump = partial(pipeline.for_engine().warning, "clock_jump")
    if isinstance(journal, SqliteJournal) and journal.salvaged is not None:
        _tell_salvage(pipeline.for_engine(), journal.salvaged)
    failure: BaseException | None = None
    try:
        async with (
            _writing(journal, reader, epoch, settings.commit_wait_s) as writer,
            _hosting(settings, pipeline.for_engine()) as (host, timers),
            _watching(settings, writer, host, pipeline.for_engine()) as vitals,
            anyio.create_task_group() as actors,
        ):
            catalog = Catalog(journal, writer, reader, tools, clock)
            folder = settings.artifacts_dir
            artifacts = None if folder is None else ArtifactStore(folder, settings.max_artifact_bytes)
            keeper = ArtifactKeeper(artifacts, memory, pipeline.for_engine())
            services = ActorServices(settings, clock, writer, timers, host, jitter, Home(), vitals.memory, artifacts)
            supervisor = Supervisor(actors, services, memory, pipeline, catalog.bind)
            supervisor.enroll(await reader.call(journal.unfinished), was_killed=journal.was_killed)
            engine = Engine(
                catalog=catalog,
                supervisor=supervisor,
                memory=memory,
                vitals=vitals,
                gauges=Gauges(settings, supervisor, catalog, writer, reader, host, timers),
                tools=tools,
                clock=clock,
                artifacts=keeper,
                last_run_number=await reader.call(journal.last_run_number),
            )
            actors.start_soon(supervisor.recover)
            if artifacts is not None:
                actors.start_soon(keeper.run)
            retention = Retention(settings, supervisor, memory, writer, clock, pipeline.for_engine(), keeper)
            if retention.is_asked_for:
                actors.start_soon(retention.run)
            try:
                yield engine
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                failure = error  # the caller's own: kept out of the task groups, which would wrap it
            finally:
                grace_over = engine.begin_closing() + settings.close_grace_s  # less what was drained already
                with anyio.CancelScope(deadline=grace_over, shield=not writer.has_failed):
                    await engine.drain()
                actors.cancel_scope.cancel()
                supervisor.close()  # before the task group is over, in which nobody could begin anything
    except BaseExceptionGroup as group:
        raise _first_engine_error(group) or group from None
    if failure is not None:
        raise failure


@asynccontextmanager
async def _writing(journal: Journal, reader: JournalReader, epoch: int, slow_s: float) -> AsyncIterator[JournalWriter]:
    """Keep the journal's writer at work, and an eye on its reader; on the way out the writer commits what is left."""
    writer = JournalWriter(journal, epoch, slow_s)
    async with anyio.create_task_group() as permanent:
        permanent.start_soon(writer.run)
        permanent.start_soon(reader.watch)
        try:
            yield writer
        finally:
            with anyio.CancelScope(shield=True):
                await writer.aclose()
            permanent.cancel_scope.cancel()


@asynccontextmanager
async def _hosting(settings: Settings, log: FilteringBoundLogger) -> AsyncIterator[tuple[ToolHost, Timers]]:
    """Keep timers and tool workers; on the way out all of them are cancelled."""
    timers = Timers()
    async with (
        ToolProcesses(settings.tool_processes, settings.tool_memory_mb) as processes,
        anyio.create_task_group() as hosting,
    ):
        hosting.start_soon(timers.run)
        try:
            yield ToolHost(hosting, settings, processes, log), timers
        finally:
            hosting.cancel_scope.cancel()


@asynccontextmanager
async def _watching(
    settings: Settings, writer: JournalWriter, host: ToolHost, log: FilteringBoundLogger
) -> AsyncIterator[Vitals]:
    """Keep an eye on event loop and memory."""
    limit_mb = settings.max_memory_mb
    limit = limit_of(limit_mb) if limit_mb is not None else await to_thread.run_sync(limit_of, None)
    vitals = Vitals(settings.block_limit_s, limit, writer, host, log)
    async with anyio.create_task_group() as watching:
        watching.start_soon(vitals.watch)
        try:
            yield vitals
        finally:
            watching.cancel_scope.cancel()


def _tell_salvage(log: FilteringBoundLogger, salvage: Salvage) -> None:
    log.warning("journal_salvaged", found=salvage.found, copy=str(salvage.folder), left_out=len(salvage.left_out))
    for lost in salvage.left_out:
        log.warning("journal_left_out", kind=lost.kind, id=lost.identity, number=lost.number, reason=lost.reason)


def _first_engine_error(group: BaseExceptionGroup[BaseException]) -> EngineError | None:
    for error in group.exceptions:
        found = _first_engine_error(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, EngineError):
            return found
    return None
