"""Reading runs: as far as they are committed, whether they are live or ended, once or record by record."""

from collections.abc import AsyncGenerator
from typing import Final

from runtime.actors.live import LiveRun, Memory
from runtime.actors.recovery import read_history
from runtime.actors.supervisor import Supervisor
from runtime.catalog import Catalog
from runtime.errors import Closing, JournalUnavailable, UnknownRun
from runtime.journal import Entry, Journal, RunRow
from runtime.run.records import RunStatus, encode_json
from runtime.views import LogRecord, RunSummary, RunView

_ENTRIES_PER_READ: Final = 200


class RunReader:
    """Reads live runs from their actors and channels, all others from the journal."""

    def __init__(self, catalog: Catalog, supervisor: Supervisor, memory: Memory) -> None:
        self._catalog = catalog
        self._supervisor = supervisor
        self._memory = memory

    async def wait(self, run_id: str) -> RunView:
        """Wait until a run has ended; see `Engine.wait`."""
        live = self._supervisor.live.get(run_id)
        if live is None:
            return view_of(await self.row(run_id))
        return await self.end_of(live)

    async def end_of(self, live: LiveRun) -> RunView:
        """Wait until a live run has ended.

        Raises:
            Closing: The engine closed before.
        """
        await live.channel.wait_closed()
        if not RunStatus(live.row.status).is_final:
            raise Closing
        return view_of(live.row)

    async def state(self, run_id: str) -> RunView:
        """Return a run as far as it is committed; see `Engine.state`."""
        live = self._supervisor.live.get(run_id)
        if live is None:
            return view_of(await self.row(run_id))
        actor = live.actor
        if actor is None:
            return await self._folded(live)
        seq, status, state = actor.run.seq, actor.run.word, actor.encoded_state()
        try:
            await self._supervisor.confirm(live, seq)
        except JournalUnavailable:
            return await self._folded(live)
        return RunView(run_id, live.row.graph_id, status.value, state, seq)

    async def row(self, run_id: str) -> RunRow:
        """Return the run's line in the index.

        Raises:
            UnknownRun: There is none.
        """
        row = await self._memory.reader.call(self._memory.journal.run, run_id)
        if row is None:
            raise UnknownRun(run_id)
        return row

    async def log(self, run_id: str, after: int, limit: int | None) -> list[LogRecord]:
        """Return committed records; see `Engine.log`."""
        live = self._supervisor.live.get(run_id)
        row = live.row if live is not None else await self.row(run_id)
        records: list[LogRecord] = []
        cursor = after
        while limit is None or len(records) < limit:
            batch = await self._read(row.number, cursor)
            if not batch:
                await self._require_all(row if live is None else live.row, cursor)
                break
            records += batch
            cursor = batch[-1].seq
        return records[:limit]

    async def follow(self, run_id: str, after: int) -> AsyncGenerator[list[LogRecord], None]:
        """Yield the records of a run until it has ended; see `Engine.subscribe_batches`."""
        live = self._supervisor.live.get(run_id)
        row = live.row if live is not None else await self.row(run_id)
        live = live or self._supervisor.live.get(run_id)  # it may have been retried meanwhile
        cursor = after
        while True:
            channel = None if live is None else live.channel
            is_over = channel is None or channel.closed  # asked before reading, which misses what follows meanwhile
            batch = None if live is None or live.actor is None else live.channel.after(cursor)
            if batch is None:
                batch = await self._read(row.number, cursor)
            if batch:
                cursor = batch[-1].seq
                yield batch
            elif channel is None or is_over:
                await self._require_all(row if live is None else live.row, cursor)
                seen = row if live is None else live.row
                if live is not None and not RunStatus(seen.status).is_final:
                    raise Closing
                if cursor <= seen.last_seq:
                    return
                row = await self.row(run_id)  # behind its end: it was retried while its records were read
                live = self._supervisor.live.get(run_id)
                if live is None and row.last_seq <= cursor:
                    return
            else:
                await channel.wait_beyond(cursor)

    async def _require_all(self, row: RunRow, seen: int) -> None:
        """Check that there are no records behind `seen` because that was all, and not because the run was deleted.

        Raises:
            UnknownRun: It was.
        """
        if seen < row.last_seq:
            await self.row(row.run_id)

    async def _folded(self, live: LiveRun) -> RunView:
        """Return a run that waits for an actor, from its records."""
        history = await read_history(self._memory.reader, self._memory.journal, live.row)
        if live.actor is None:
            history.require_unsuspected()
        bound, _ = await self._catalog.bind(live.row.graph_id, history.pins)
        run = history.fold(bound)
        state = encode_json(run.state.newest(run.plan.index_of))
        return RunView(run.run_id, live.row.graph_id, run.word.value, state, run.seq)

    async def _read(self, number: int, after: int) -> list[LogRecord]:
        entries = await self._memory.reader.call(_entries, self._memory.journal, number, after)
        return [
            LogRecord(seq, line)
            for entry in entries
            for seq, line in enumerate(entry.lines, start=entry.first_seq)
            if seq > after
        ]


def _entries(journal: Journal, number: int, after: int) -> list[Entry]:
    return journal.entries(number, after=after, limit=_ENTRIES_PER_READ)


def summary_of(row: RunRow) -> RunSummary:
    """Return the line that a list shows of a row."""
    return RunSummary(row.run_id, row.graph_id, row.status, row.started_at, row.completed_at)


def view_of(row: RunRow) -> RunView:
    """Return the end state of a run that has ended."""
    return RunView(row.run_id, row.graph_id, row.status, row.final_state or b"{}", row.last_seq, row.error)
