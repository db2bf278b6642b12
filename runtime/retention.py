"""Deletes runs that ended long ago, as far as the settings say so: in small batches, with room for live runs between them.

Whoever deletes runs first takes them out of the reach of `retry` (`Supervisor.retire`) and then asks the journal once more
whether they may go. So a run that goes on again is never deleted, and one is deleted whole, in one transaction, or not at all.
Its artifacts go after it.
"""

from datetime import timedelta
from functools import partial
from typing import Final

import anyio
from structlog.typing import FilteringBoundLogger

from runtime.actors.live import Memory
from runtime.actors.supervisor import Supervisor
from runtime.artifact_keeping import ArtifactKeeper
from runtime.clock import Clock
from runtime.errors import StorageBusy, StorageError, StorageFull, StorageSlow
from runtime.journal import JournalWriter, RunRow
from runtime.settings import Settings

LOOK_EVERY_S: Final = 60.0
MAX_RUNS: Final = 100
MAX_RECORDS: Final = 5_000
"""Runs and records of one batch, so that a commit of a live run waits for milliseconds; a longer run is a batch of its own."""

MAX_AGE_S: Final = 100 * 366 * 86_400.0
"""A longer time is this one, so that there is always a date so long ago."""

MIN_PAUSE_S: Final = 0.01
"""Between two batches it waits at least so long, and at least as long as the batch took."""


class Retention:
    """Keeps ended runs as long, and as many, as `keep_ended_s` and `keep_ended_runs` say."""

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        memory: Memory,
        writer: JournalWriter,
        clock: Clock,
        log: FilteringBoundLogger,
        artifacts: ArtifactKeeper,
    ) -> None:
        self._age = None if settings.keep_ended_s is None else timedelta(seconds=min(settings.keep_ended_s, MAX_AGE_S))
        self._count = settings.keep_ended_runs
        self._supervisor = supervisor
        self._memory = memory
        self._writer = writer
        self._clock = clock
        self._log = log
        self._artifacts = artifacts

    @property
    def is_asked_for(self) -> bool:
        """Whether anything is ever to be deleted."""
        return self._age is not None or self._count is not None

    async def run(self) -> None:
        """Look for runs to delete now, and again and again.

        Raises:
            JournalUnavailable: The journal cannot be written any more.
        """
        while True:
            try:
                await self._delete_all()
            except (StorageBusy, StorageError, StorageFull, StorageSlow) as error:
                self._log.warning("retention_put_off", error=error.message)
            await anyio.sleep(LOOK_EVERY_S)

    async def _delete_all(self) -> None:
        while found := await self._ended():
            begun = self._clock.monotonic()
            if not await self._delete(_batch(found)):
                return
            await anyio.sleep(max(MIN_PAUSE_S, self._clock.monotonic() - begun))

    async def _delete(self, rows: list[RunRow]) -> int:
        """Delete those of the runs that have not gone on, and return how many that are."""
        retired = [row.run_id for row in rows if self._supervisor.retire(row.run_id)]
        try:
            still = {row.run_id: row.number for row in await self._ended()}
            gone = [run_id for run_id in retired if run_id in still]
            numbers = [still[run_id] for run_id in gone]
            if numbers:
                await self._writer.call(self._memory.journal.delete_runs, numbers)
                self._supervisor.deleted += len(numbers)
                await self._artifacts.remove(gone)
            return len(numbers)
        finally:
            self._supervisor.retiring.difference_update(retired)

    async def _ended(self) -> list[RunRow]:
        before = None if self._age is None else self._clock.now() - self._age
        ended_runs = partial(self._memory.journal.ended_runs, before=before, beyond=self._count, limit=MAX_RUNS)
        return await self._memory.reader.call(ended_runs)


def _batch(rows: list[RunRow]) -> list[RunRow]:
    """Return the first rows, as many as have `MAX_RECORDS` records together, but at least one."""
    records = 0
    batch: list[RunRow] = []
    for row in rows:
        records += row.last_seq
        if batch and records > MAX_RECORDS:
            break
        batch.append(row)
    return batch
