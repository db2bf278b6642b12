"""Works a journal without an engine: random batches, graphs, checkpoints, readers and restarts, until the power fails."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from unittest.mock import patch

import apsw
from msgspec import structs

from runtime.errors import EngineError
from runtime.ids import graph_id, graph_version
from runtime.journal import Entry, RunRow, StoredGraph
from runtime.journal.base import chain_next, chain_start
from runtime.journal.sqlite import watermark
from tests.proof.powercut.disk import SimulatedDisk
from tests.proof.powercut.journals import Bug, EagerJournal
from tests.proof.powercut.system_calls import files_on
from tests.proof.powercut.vfs import sqlite_on
from tests.proof.powercut.world import Found, World, compare, read_world

_NOON: Final = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


class DirectWork:
    """One journal, which is cut off once or several times, and the outside record of what it acknowledged.

    Attributes:
        world: What was acknowledged, or was found after the last cut.
    """

    kind = "direct"

    def __init__(self, chance: random.Random, bug: Bug | None) -> None:
        self.world = World()
        self._chance = chance
        self._bug = bug
        self._epoch = 0
        self._runs = 0
        self._asked: World | None = None
        self._reader: apsw.Connection | None = None

    def begin_with(self, path: Path) -> None:
        """Take what a journal holds for acknowledged."""
        self.world, _ = read_world(path)
        self._runs = max(self.world.rows)

    def until_cut(self, disk: SimulatedDisk, path: Path) -> None:
        """Work until the power fails."""
        journal = EagerJournal(path, checkpoint_pages=self._chance.choice([1, 4, 16, 64]), bug=self._bug)
        with sqlite_on(disk), files_on(disk, path.parent), patch.object(watermark, "FLUSH_S", 1.0):
            try:
                self._open(journal)
                while True:
                    self._step(journal)
            except (EngineError, apsw.Error):
                if disk.is_on:
                    raise
            finally:
                self._stop_reading()
                journal.close_without_power()

    def check(self, path: Path) -> Found:
        """Compare what the cut left with what was acknowledged."""
        found, epoch = compare(path, self.world, self._asked)
        if found.world is not None:
            self.world = found.world
            if epoch <= self._epoch:
                found.faults.append(("lost", f"epoch {epoch} was begun again, {self._epoch} was acknowledged"))
        self._asked = None
        return found

    # --- what it does -------------------------------------------------------------------------------------------------

    def _step(self, journal: EagerJournal) -> None:
        deeds = (
            (76, self._commit),
            (6, self._add_graph),
            (4, self._delete_graph),
            (2, self._delete_runs),
            (3, self._checkpoint),
            (5, self._read),
            (2, self._flush_now_and_then),
            (2, self._reopen),
        )
        weights, does = zip(*deeds, strict=True)
        self._chance.choices(does, weights)[0](journal)

    def _open(self, journal: EagerJournal) -> None:
        self._epoch = journal.open()

    def _reopen(self, journal: EagerJournal) -> None:
        self._stop_reading()
        journal.close()
        self._open(journal)

    def _commit(self, journal: EagerJournal) -> None:
        batch = self._batch()
        self._asked = self.world.with_entries(batch)
        journal.commit(batch)
        self._acknowledge()

    def _add_graph(self, journal: EagerJournal) -> None:
        known = list(self.world.graphs.values())
        graph = self._chance.choice(known)[0] if known and self._chance.random() < 0.4 else self._new_graph()
        self._asked = self.world.with_graph(graph)
        stored = journal.add_graph(graph)
        assert replace(stored, number=0) == graph
        self._acknowledge()

    def _delete_graph(self, journal: EagerJournal) -> None:
        if not self.world.graphs:
            return
        graph, _ = self._chance.choice(list(self.world.graphs.values()))
        self._asked = self.world.with_graph(graph, deleted=True)
        journal.delete_graph(graph.graph_id)
        self._acknowledge()

    def _delete_runs(self, journal: EagerJournal) -> None:
        ended = [row.number for row in self.world.rows.values() if row.completed_at is not None]
        chosen = self._chance.sample(ended, k=min(len(ended), 5))
        self._asked = self.world.without_runs(chosen)
        journal.delete_runs(chosen)
        self._acknowledge()

    def _acknowledge(self) -> None:
        assert self._asked is not None
        self.world, self._asked = self._asked, None

    def _checkpoint(self, journal: EagerJournal) -> None:
        mode = self._chance.choice(_CHECKPOINTS)
        if mode != apsw.SQLITE_CHECKPOINT_PASSIVE:
            self._stop_reading()  # these would wait for the reader
        journal.writer.wal_checkpoint(mode=mode)

    def _read(self, journal: EagerJournal) -> None:
        """Hold a snapshot open for some steps, so that checkpoints get only so far; or let it go."""
        if self._reader is not None:
            self._stop_reading()
            return
        self._reader = apsw.Connection(journal.writer.db_filename("main"), flags=apsw.SQLITE_OPEN_READONLY)
        self._reader.execute("BEGIN; SELECT count(*) FROM runs").fetchall()

    def _flush_now_and_then(self, _: EagerJournal) -> None:
        """Let the watermark be flushed with each commit from now on, or not: it goes by seconds, and no second passes here."""
        watermark.FLUSH_S = self._chance.choice([0.0, 1.0])  # type: ignore[misc]

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # --- what it commits ----------------------------------------------------------------------------------------------

    def _batch(self) -> list[Entry]:
        world = self.world
        batch: list[Entry] = []
        for _ in range(self._chance.choice([1, 1, 2, 5, 20])):
            unfinished = [row.number for row in world.rows.values() if row.completed_at is None]
            if unfinished and self._chance.random() < 0.8:
                number = self._chance.choice(unfinished)
            else:
                self._runs = number = self._runs + 1
            entry = self._entry(world, number)
            batch.append(entry)
            world = world.with_entries([entry])
        return batch

    def _entry(self, world: World, number: int) -> Entry:
        chance = self._chance
        stored = world.entries.get(number, ())
        row = world.rows.get(number) or self._first_row(number)
        seq = stored[-1].first_seq + stored[-1].count if stored else 1
        size = 40_000 if chance.random() < 0.01 else chance.randrange(20, 2_000)
        lines = [
            b'{"seq":%d,"x":"%s"}' % (seq + place, chance.randbytes(size // 6).hex().encode()) for place in range(3)
        ]
        lines = lines[: chance.randint(1, 3)]
        body = b"\n".join(lines)
        head = chain_next(stored[-1].hash if stored else chain_start(row.run_id), body)
        changed = None
        if not stored or chance.random() < 0.3:
            changed = _changed(row, seq + len(lines) - 1, ends=bool(stored) and chance.random() < 0.3)
        return Entry(number, seq, len(lines), self._epoch, body, head, changed)

    def _new_graph(self) -> StoredGraph:
        definition = self._chance.randbytes(self._chance.randrange(1, 5_000))
        version = graph_version(definition)
        return StoredGraph(0, graph_id(version), version, "a graph", "", 2, "a", definition, _NOON)

    def _first_row(self, number: int) -> RunRow:
        key = f"key-{number}" if self._chance.random() < 0.5 else None
        digest = self._chance.randbytes(32) if key is not None else None
        return RunRow(number, f"run-{number}", "graph-1", "pending", _NOON, key=key, request=digest)


_CHECKPOINTS: Final = (
    apsw.SQLITE_CHECKPOINT_PASSIVE,
    apsw.SQLITE_CHECKPOINT_RESTART,
    apsw.SQLITE_CHECKPOINT_TRUNCATE,
)


def _changed(row: RunRow, last_seq: int, *, ends: bool) -> RunRow:
    return structs.replace(
        row,
        status="completed" if ends else "running",
        started_at=_NOON,
        completed_at=_NOON if ends else None,
        last_seq=last_seq,
        final_state=b'{"end":%d}' % last_seq if ends else None,
    )
