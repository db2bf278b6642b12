"""A journal whose commits wait for the test, or fail when it says so: for what must not be seen before it is durable."""

import threading
from collections.abc import Sequence
from datetime import datetime

import anyio
from anyio import from_thread

from runtime.journal.base import Entry, Journal, RunFilter, RunRow, StoredGraph


class GatedJournal:
    """Wraps a journal. Commits go through until `hold`; then each waits in its thread for `let_through`, `release` or `fail`.

    Attributes:
        batches: How many entries each finished commit had.
    """

    blocks = True

    def __init__(self, inner: Journal) -> None:
        self.batches: list[int] = []
        self._inner = inner
        self._held = False
        self._error: Exception | None = None
        self._permits = threading.Semaphore(0)
        self._begun = 0
        self._begin = anyio.Event()

    @property
    def durability(self) -> str:
        """That of the wrapped journal."""
        return self._inner.durability

    @property
    def was_killed(self) -> bool:
        """That of the wrapped journal."""
        return self._inner.was_killed

    def hold(self) -> None:
        """Make further commits wait."""
        self._held = True

    def let_through(self, commits: int = 1) -> None:
        """Let that many waiting commits happen."""
        self._permits.release(commits)

    def release(self) -> None:
        """Let every commit happen, now and later."""
        self._held = False
        self._permits.release(1_000)

    def fail(self, error: Exception) -> None:
        """Make the commit that waits, and every later one, raise `error`."""
        self._error = error
        self.release()

    async def wait_begun(self, commits: int = 1) -> None:
        """Wait until that many commits have begun since `hold`."""
        while self._begun < commits:
            self._begin = anyio.Event()
            await self._begin.wait()

    def open(self) -> int:
        """Open the wrapped journal."""
        return self._inner.open()

    def close(self) -> None:
        """Close the wrapped journal."""
        self._inner.close()

    def commit(self, entries: Sequence[Entry]) -> None:
        """Wait if commits are held, then commit or raise."""
        if self._held:
            from_thread.run_sync(self._note_begun)
            self._permits.acquire()
        if self._error is not None:
            raise self._error
        self._inner.commit(entries)
        self.batches.append(len(entries))

    def _note_begun(self) -> None:
        self._begun += 1
        self._begin.set()

    def settle(self) -> None:
        """Let the wrapped journal settle."""
        self._inner.settle()

    def entries(self, run: int, *, after: int, limit: int) -> list[Entry]:
        """Ask the wrapped journal."""
        return self._inner.entries(run, after=after, limit=limit)

    def run(self, run_id: str) -> RunRow | None:
        """Ask the wrapped journal."""
        return self._inner.run(run_id)

    def run_of_key(self, key: str) -> RunRow | None:
        """Ask the wrapped journal."""
        return self._inner.run_of_key(key)

    def runs(self, wanted: RunFilter) -> list[RunRow]:
        """Ask the wrapped journal."""
        return self._inner.runs(wanted)

    def unfinished(self) -> list[RunRow]:
        """Ask the wrapped journal."""
        return self._inner.unfinished()

    def ended_runs(self, *, before: datetime | None, beyond: int | None, limit: int) -> list[RunRow]:
        """Ask the wrapped journal."""
        return self._inner.ended_runs(before=before, beyond=beyond, limit=limit)

    def delete_runs(self, numbers: Sequence[int]) -> None:
        """Ask the wrapped journal."""
        self._inner.delete_runs(numbers)

    def last_run_number(self) -> int:
        """Ask the wrapped journal."""
        return self._inner.last_run_number()

    def add_graph(self, graph: StoredGraph) -> StoredGraph:
        """Ask the wrapped journal."""
        return self._inner.add_graph(graph)

    def graph(self, graph_id: str, *, deleted: bool = False) -> StoredGraph | None:
        """Ask the wrapped journal."""
        return self._inner.graph(graph_id, deleted=deleted)

    def graphs(self, *, before: int | None, limit: int) -> list[StoredGraph]:
        """Ask the wrapped journal."""
        return self._inner.graphs(before=before, limit=limit)

    def delete_graph(self, graph_id: str) -> None:
        """Ask the wrapped journal."""
        self._inner.delete_graph(graph_id)

    def counts(self) -> tuple[int, int]:
        """Ask the wrapped journal."""
        return self._inner.counts()
