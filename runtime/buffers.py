"""Every place where work or data can pile up: what it holds, how much at most, and what happens when it is full.

`BUFFERS` is the whole list for this package, and the table in docs/operations.md is about the same names; a test compares both
with the code. `Gauges` tells how full they are now.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import anyio

from runtime.actors.mailbox import MAX_REQUESTS
from runtime.actors.supervisor import Supervisor
from runtime.actors.timers import Timers
from runtime.actors.tool_host import MAX_GRAPHS, ToolHost
from runtime.actors.tool_log import MAX_RECORDS
from runtime.catalog import MAX_COMPILED, Catalog
from runtime.journal.writer import MAX_BACKLOG_BYTES, MAX_BACKLOG_ENTRIES, READER_THREADS, JournalReader, JournalWriter
from runtime.run.waits import MAX_SIGNALS
from runtime.settings import Settings

_SCANNED_PER_TURN: Final = 1_000


class WhenFull(StrEnum):
    """What happens to what does not fit."""

    REFUSE = "refuse"
    HOLD_BACK = "hold back"
    QUEUE = "queue"
    DROP = "drop and say so"
    FORGET = "forget the oldest"
    CANNOT = "cannot be"


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """A place where something waits.

    Attributes:
        name: What `Gauges` and `/health` call it.
        holds: What waits in it, and for what.
        bound: How many at most: a number, the name of a setting, or, where other bounds imply it, which ones.
        unit: What is counted.
        when_full: What happens to one more; `CANNOT` where other bounds imply this one.
        places: Where it is, as `module:Class.attribute`.
        by_machine: What the documentation says of a bound that is another number on each machine.
    """

    name: str
    holds: str
    bound: int | str
    unit: str
    when_full: WhenFull
    places: tuple[str, ...]
    by_machine: str | None = None

    def bound_under(self, settings: Settings) -> int | None:
        """Return the bound as a number, or None if it follows from other bounds."""
        if isinstance(self.bound, int):
            return self.bound
        return getattr(settings, self.bound, None)


@dataclass(frozen=True, slots=True)
class BufferUse:
    """How full a buffer is; of those that every run has, the fullest. `bound` is None where other bounds imply it."""

    name: str
    in_use: int
    bound: int | None


BUFFERS: Final = (
    Buffer(
        name="active_runs",
        holds="runs that hold a place among those that work",
        bound="max_active_runs",
        unit="runs",
        when_full=WhenFull.QUEUE,
        places=("runtime.actors.supervisor:Supervisor.live",),
    ),
    Buffer(
        name="pending_runs",
        holds="accepted runs that wait for such a place",
        bound="max_pending_runs",
        unit="runs",
        when_full=WhenFull.REFUSE,
        places=("runtime.actors.supervisor:Supervisor._pending",),
    ),
    Buffer(
        name="waiting_runs",
        holds="runs that only wait, or are paused",
        bound="max_waiting_runs",
        unit="runs",
        when_full=WhenFull.REFUSE,
        places=("runtime.actors.supervisor:Supervisor.live",),
    ),
    Buffer(
        name="commands",
        holds="commands to one run that its actor has not read",
        bound=MAX_REQUESTS,
        unit="commands of a run",
        when_full=WhenFull.REFUSE,
        places=("runtime.actors.mailbox:Mailbox._messages",),
    ),
    Buffer(
        name="log_lines",
        holds="records of one run, beyond which its tools write no lines",
        bound=MAX_RECORDS,
        unit="records of a run",
        when_full=WhenFull.DROP,
        places=("runtime.actors.mailbox:Mailbox._messages",),
    ),
    Buffer(
        name="held_calls",
        holds="calls of one run that wait until the records before them are durable",
        bound="one for each step that runs",
        unit="calls of a run",
        when_full=WhenFull.CANNOT,
        places=("runtime.actors.run_actor:RunActor._held",),
    ),
    Buffer(
        name="signals",
        holds="signals that one run was sent",
        bound=MAX_SIGNALS,
        unit="signals of a run",
        when_full=WhenFull.REFUSE,
        places=(),
    ),
    Buffer(
        name="recent_records",
        holds="records of one run that its watchers need no disk for",
        bound="recent_records",
        unit="records of a run",
        when_full=WhenFull.FORGET,
        places=("runtime.log.channel:LogChannel._recent",),
    ),
    Buffer(
        name="queued_calls",
        holds="calls that wait for a worker of their node (`max_workers_per_node`)",
        bound="one for each step that runs",
        unit="calls",
        when_full=WhenFull.CANNOT,
        places=("runtime.actors.node_workers:NodeWorkers._waiting",),
    ),
    Buffer(
        name="idle_workers",
        holds="worker tasks of all nodes that wait for a call",
        bound="max_idle_workers",
        unit="tasks",
        when_full=WhenFull.FORGET,
        places=("runtime.actors.node_workers:Resting._seats", "runtime.actors.node_workers:NodeWorkers._idle"),
    ),
    Buffer(
        name="worker_pools",
        holds="graphs whose workers are known",
        bound=MAX_GRAPHS,
        unit="graphs, and those at work",
        when_full=WhenFull.FORGET,
        places=("runtime.actors.tool_host:ToolHost._pools", "runtime.actors.tool_host:ToolHost._retired"),
    ),
    Buffer(
        name="tool_threads",
        holds="threads of plain functions that are not CPU-bound",
        bound="tool_threads",
        unit="threads",
        when_full=WhenFull.QUEUE,
        places=(
            "runtime.actors.tool_threads:ToolThreads._places",
            "runtime.actors.tool_threads:ToolThreads._unlimited",
        ),
    ),
    Buffer(
        name="cpu_threads",
        holds="threads of CPU-bound plain functions",
        bound="cpu_threads",
        unit="threads",
        when_full=WhenFull.QUEUE,
        places=("runtime.actors.tool_threads:ToolThreads._places",),
        by_machine="one for each core",
    ),
    Buffer(
        name="tool_processes",
        holds='processes of tools with `isolation="process"`',
        bound="tool_processes",
        unit="processes",
        when_full=WhenFull.QUEUE,
        places=("runtime.actors.processes:ToolProcesses._places", "runtime.actors.processes:ToolProcesses._idle"),
    ),
    Buffer(
        name="timers",
        holds="deadlines of runs, steps and calls",
        bound="four for each step that runs: half of them may be cancelled ones",
        unit="timers",
        when_full=WhenFull.CANNOT,
        places=("runtime.actors.timers:Timers._heap",),
    ),
    Buffer(
        name="journal_entries",
        holds="decisions that wait for the disk",
        bound=MAX_BACKLOG_ENTRIES,
        unit="entries",
        when_full=WhenFull.HOLD_BACK,
        places=("runtime.journal.writer:JournalWriter._queue", "runtime.journal.writer:JournalWriter._turn"),
    ),
    Buffer(
        name="journal_bytes",
        holds="the same, in bytes",
        bound=MAX_BACKLOG_BYTES,
        unit="bytes",
        when_full=WhenFull.HOLD_BACK,
        places=("runtime.journal.writer:JournalWriter._queue",),
    ),
    Buffer(
        name="journal_readers",
        holds="threads that read the journal",
        bound=READER_THREADS,
        unit="threads",
        when_full=WhenFull.QUEUE,
        places=(
            "runtime.journal.writer:JournalReader._limiter",
            "runtime.journal.sqlite.journal:SqliteJournal._readers",
        ),
    ),
    Buffer(
        name="compiled_graphs",
        holds="graphs that need not be compiled again",
        bound=MAX_COMPILED,
        unit="graphs",
        when_full=WhenFull.FORGET,
        places=("runtime.catalog:Catalog._compiled",),
    ),
    Buffer(
        name="simulations",
        holds="simulations that run or wait for their turn",
        bound=5,
        unit="simulations",
        when_full=WhenFull.REFUSE,
        places=("runtime.simulation.simulate:_queue_here.queue",),
    ),
)
"""All of this package. Those of the server are in `api/buffers.py`."""


class Gauges:
    """Measures the buffers of one engine."""

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        catalog: Catalog,
        writer: JournalWriter,
        reader: JournalReader,
        host: ToolHost,
        timers: Timers,
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._fills: Mapping[str, Callable[[], int]] = {
            "active_runs": lambda: supervisor.active,
            "pending_runs": lambda: supervisor.pending,
            "waiting_runs": lambda: supervisor.waiting,
            "queued_calls": lambda: host.queued_calls,
            "idle_workers": lambda: host.idle_workers,
            "worker_pools": lambda: host.graphs,
            "tool_threads": lambda: host.busy_threads,
            "cpu_threads": lambda: host.busy_cpu_threads,
            "tool_processes": lambda: host.busy_processes,
            "timers": lambda: len(timers),
            "journal_entries": lambda: writer.backlog[0],
            "journal_bytes": lambda: writer.backlog[1],
            "journal_readers": lambda: reader.busy,
            "compiled_graphs": lambda: catalog.compiled_graphs,
            "simulations": _simulations,
        }

    async def read(self) -> tuple[BufferUse, ...]:
        """Return how full the buffers are now, those of each run included: the fullest counts."""
        fullest = {"commands": 0, "held_calls": 0, "log_lines": 0, "signals": 0, "recent_records": 0}
        for number, live in enumerate(tuple(self._supervisor.live.values())):
            fullest["recent_records"] = max(fullest["recent_records"], len(live.channel))
            if live.actor is not None:
                fullest["commands"] = max(fullest["commands"], live.actor.mailbox.requests)
                fullest["held_calls"] = max(fullest["held_calls"], live.actor.held_calls)
                fullest["log_lines"] = max(fullest["log_lines"], live.actor.run.seq)
                fullest["signals"] = max(fullest["signals"], len(live.actor.run.signal_ids))
            if number % _SCANNED_PER_TURN == _SCANNED_PER_TURN - 1:
                await anyio.lowlevel.checkpoint()  # there may be very many runs
        return tuple(
            BufferUse(buffer.name, fill, buffer.bound_under(self._settings))
            for buffer in BUFFERS
            if (fill := fullest[buffer.name] if buffer.name in fullest else self._measured(buffer.name)) is not None
        )

    def _measured(self, name: str) -> int | None:
        fill = self._fills.get(name)
        return None if fill is None else fill()


def _simulations() -> int:
    simulate = sys.modules.get("runtime.simulation.simulate")  # loaded by the first simulation
    return 0 if simulate is None else int(simulate.simulations_here())
