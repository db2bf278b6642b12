"""The artifacts of runs, as the engine looks after them: handed over to forks, removed with their runs, swept up after crashes.

A run's artifacts go after the run itself, so a crash between the two leaves files of a run that nobody knows, and never a run
without its files; the next sweep removes them. All work on files is done in threads.
"""

from collections.abc import Collection
from typing import Final

import anyio
from anyio import to_thread
from structlog.typing import FilteringBoundLogger

from runtime.actors.live import Memory
from runtime.errors import EngineError
from tools.artifact_store import ArtifactStore

SWEEP_EVERY_S: Final = 6 * 3_600.0


class ArtifactKeeper:
    """Looks after the artifacts of one engine's runs; without a folder there are none, and nothing is done."""

    def __init__(self, store: ArtifactStore | None, memory: Memory, log: FilteringBoundLogger) -> None:
        self._store = store
        self._memory = memory
        self._log = log

    async def hand_over(self, source: str, run_id: str) -> None:
        """Let a new run, which does not work yet, have all the artifacts of another one. What fails is told to the log only."""
        if self._store is not None:
            try:
                await to_thread.run_sync(self._store.adopt, source, run_id)
            except OSError as error:
                self._log.warning("artifacts_not_handed_over", source=source, run_id=run_id, error=str(error))

    async def remove(self, run_ids: Collection[str]) -> None:
        """Remove the artifacts of runs that were deleted. What fails is tried again by the next sweep."""
        if self._store is not None:
            try:
                await to_thread.run_sync(self._store.remove, run_ids)
            except OSError as error:
                self._log.warning("artifacts_not_removed", runs=len(run_ids), error=str(error))

    async def run(self) -> None:
        """Remove what crashes left behind, now and again and again."""
        while self._store is not None:
            try:
                await self._sweep(self._store)
            except (OSError, EngineError) as error:
                self._log.warning("artifacts_not_swept", error=str(error))
            await anyio.sleep(SWEEP_EVERY_S)

    async def _sweep(self, store: ArtifactStore) -> None:
        journal, reader = self._memory.journal, self._memory.reader
        for run_id in await to_thread.run_sync(store.idle_runs):
            if await reader.call(journal.run, run_id) is None:
                await self.remove([run_id])
        await to_thread.run_sync(store.sweep)
