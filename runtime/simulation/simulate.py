"""Runs the seeds, one after the other, in a thread: the caller's event loop goes on meanwhile.

Every seed has an event loop, an engine and a journal for itself, so that nothing of one run reaches into another.
"""

import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import anyio
import msgspec
from anyio import to_thread
from anyio.lowlevel import RunVar

from runtime.clock import LoopClock
from runtime.errors import Overloaded, UnknownGraph, escape
from runtime.graph.definition import MAX_NESTING, LimitsDefinition
from runtime.graph.definition import MAX_STEPS as MOST_STEPS
from runtime.ids import graph_id, graph_version
from runtime.journal import Entry, MemoryJournal, RunFilter, StoredGraph
from runtime.json_values import canonical
from runtime.opening import open_engine
from runtime.run.records import RunStatus
from runtime.settings import Settings
from runtime.simulation.mocks import MockTools
from runtime.simulation.outside import happening
from runtime.simulation.report import Outcome, Simulation, Tally
from runtime.simulation.scenario import SimulationScenario, read_scenario
from runtime.simulation.virtual_time import run_virtually
from runtime.views import GraphView
from tools.contract import ToolSource

BUDGET_S: Final = 10.0
"""Real time for all seeds together."""

MAX_STEPS: Final = LimitsDefinition().max_steps
MAX_BYTES: Final = 64 << 20
"""What one run may grow to: steps, and bytes of its records. A run that needs more is not simulated to its end."""

AT_ONCE: Final = 1
MAX_WAITING: Final = 4
"""Simulations at once, and those that may wait for their turn."""

_SETTINGS: Final = Settings(
    journal="memory:", log_format="none", close_grace_s=0, block_limit_s=None, max_memory_mb=0
)  # on virtual time nobody can tell whether the loop is late, and the process has an engine that watches its memory

StoppedBy = Literal["time", "steps", "size"]
FindGraph = Callable[[str], Awaitable[GraphView]]
"""Returns the stored graph of an id, or raises `UnknownGraph`."""

Library = dict[str, Mapping[str, Any]]
"""Definitions of stored graphs by id, each behind those that it needs."""


async def simulate(
    graph: Mapping[str, Any] | str,
    scenario: SimulationScenario | Mapping[str, Any],
    *,
    tools: ToolSource,
    find_graph: FindGraph,
) -> Simulation:
    """Run a graph once for each seed of the scenario, with mocks for its tools, and return what the runs came to.

    Nothing is stored. Cancelling the call ends the simulation a moment later.

    Args:
        graph: A definition, or the id of a stored graph.
        scenario: What happens to the runs.
        tools: Those that the mocks stand for.
        find_graph: Where stored graphs are.

    Raises:
        UnknownGraph: There is no graph with this id.
        InvalidGraph: The verdict found errors; pointers lead into the definition.
        InvalidInput: The scenario is not what it should be, or does not fit the graph.
        Overloaded: Too many simulations wait for their turn.
    """
    wanted = read_scenario(scenario)
    if isinstance(graph, str):
        graph = _decoded(await find_graph(graph))
    library: Library = {}
    graph = dict(graph)
    await _find_inside(graph, find_graph, library)
    queue = _queue_here()
    if queue.length >= AT_ONCE + MAX_WAITING:
        message = f"{queue.length} simulations are running or waiting; simulate again later."
        raise Overloaded(message, retry_after_s=BUDGET_S)
    left = threading.Event()
    work = _Work(graph, library, wanted, tools, left.is_set)
    queue.length += 1
    try:
        return await to_thread.run_sync(work.simulate, limiter=queue.turns, abandon_on_cancel=True)
    finally:
        queue.length -= 1
        left.set()


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The graph and those inside it, judged. In the simulation it is `graph_id`; `shown_id` is what it is elsewhere."""

    graphs: tuple[StoredGraph, ...]
    graph_id: str
    shown_id: str


class _Work:
    """One simulation. `left` says whether nobody waits for it any more."""

    def __init__(
        self,
        definition: Mapping[str, Any],
        library: Library,
        scenario: SimulationScenario,
        tools: ToolSource,
        left: Callable[[], bool],
    ) -> None:
        self._definition = definition
        self._library = library
        self._scenario = scenario
        self._tools = tools
        self._left = left
        self._until = 0.0
        self._used: set[int] = set()

    def simulate(self) -> Simulation:
        """Run the seeds until all are done or something stops them."""
        self._until = time.monotonic() + BUDGET_S
        tally = Tally()
        prepared = run_virtually(self._prepare, self._is_over)
        if prepared is None:
            return tally.result(stopped_by="time")
        stopped_by = None
        for seed in range(self._scenario.seed, self._scenario.seed + self._scenario.seeds):
            outcome, stopped_by = self._run(seed, prepared)
            tally.add(seed, outcome)
            if stopped_by is not None:
                break
        return tally.result(
            stopped_by=stopped_by,
            dead_nodes=_dead(self._definition, self._library, tally.ran) if tally.ran else (),
            unused_mocks=sorted(set(range(len(self._scenario.mocks))) - self._used),
        )

    def _is_over(self) -> bool:
        return time.monotonic() >= self._until or self._left()

    async def _prepare(self) -> _Prepared:
        """Judge the graph as the engine does."""
        journal = MemoryJournal()
        async with open_engine(_SETTINGS, self._mocks(0), journal=journal) as engine:
            for inner in self._library.values():
                await engine.create_graph(inner)
            created = await engine.create_graph(_bounded(self._definition))
        graphs = tuple(journal.graphs(before=None, limit=sys.maxsize))
        return _Prepared(graphs, created.graph_id, graph_id(graph_version(canonical(self._definition))))

    def _run(self, seed: int, prepared: _Prepared) -> tuple[Outcome, StoppedBy | None]:
        """Simulate one run. Returns how far it came, and what stopped it if that was not its end."""
        journal = _SmallJournal(prepared.graphs)
        play = partial(self._play, seed, journal, prepared.graph_id)
        run_virtually(play, lambda: self._is_over() or journal.is_full)
        found = journal.runs(RunFilter(limit=1))
        row = journal.run(found[0].run_id) if found else None
        if row is None:
            return Outcome(RunStatus.PENDING.value, None, ()), "time"
        entries = journal.entries(row.number, after=0, limit=sys.maxsize)
        # Ids are made anew for each run; yet of two runs with the same seed every byte is to be the same.
        shown = {row.run_id: f"run-simulated-{seed}", prepared.graph_id: prepared.shown_id}
        lines = tuple(_renamed(line, shown) for entry in entries for line in entry.lines)
        stopped_by: StoppedBy | None = None
        if row.completed_at is None:
            stopped_by = "size" if journal.is_full else "time"
        elif prepared.graph_id != prepared.shown_id and (row.error or "").startswith("STEP_LIMIT:"):
            stopped_by = "steps"
        return Outcome(row.status, None if stopped_by else row.final_state, lines), stopped_by

    async def _play(self, seed: int, journal: MemoryJournal, graph_id: str) -> None:
        scenario = self._scenario
        clock, chance = LoopClock(scenario.starts_at), random.Random(seed)  # noqa: S311 - no secret
        async with open_engine(_SETTINGS, self._mocks(seed), clock=clock, journal=journal, chance=chance) as engine:
            run = await engine.submit(graph_id, scenario.initial_state)
            async with happening(engine, run.run_id, scenario):
                await engine.wait(run.run_id)

    def _mocks(self, seed: int) -> MockTools:
        return MockTools(self._tools, self._scenario, seed, self._used)


class _SmallJournal(MemoryJournal):
    """Knows when it holds more than a simulated run may write."""

    def __init__(self, graphs: Iterable[StoredGraph]) -> None:
        super().__init__()
        self._bytes = 0
        for graph in graphs:
            self.add_graph(graph)

    @property
    def is_full(self) -> bool:
        return self._bytes > MAX_BYTES

    def commit(self, entries: Sequence[Entry]) -> None:
        self._bytes += sum(len(entry.body) for entry in entries)
        super().commit(entries)


@dataclass(slots=True)
class _Queue:
    """The simulations that an event loop waits for: `length` counts those that run, too."""

    turns: anyio.CapacityLimiter
    length: int = 0


_queue: Final = RunVar[_Queue]("simulations")


def _queue_here() -> _Queue:
    """Return the queue of the event loop that is running."""
    try:
        return _queue.get()
    except LookupError:
        queue = _Queue(anyio.CapacityLimiter(AT_ONCE))
        _queue.set(queue)
        return queue


def simulations_here() -> int:
    """Return how many simulations run or wait on this event loop."""
    return _queue_here().length


async def _find_inside(source: Mapping[str, Any], find_graph: FindGraph, found: Library, depth: int = 0) -> None:
    """Add to `found` the stored graphs that a definition needs, each behind those that it needs itself.

    What does not exist, or is nested too deep, is left to the verdict.
    """
    for inner in _inner_graphs(source) if depth <= MAX_NESTING else ():
        if isinstance(inner, Mapping):
            await _find_inside(inner, find_graph, found, depth + 1)
        elif isinstance(inner, str) and inner not in found:
            with suppress(UnknownGraph):
                definition = _decoded(await find_graph(inner))
                await _find_inside(definition, find_graph, found, depth + 1)
                found[inner] = definition


def _inner_graphs(source: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what the nodes of a definition, right or wrong, have as their graph."""
    nodes = source.get("nodes")
    for node in nodes if isinstance(nodes, list) else ():
        if isinstance(node, Mapping) and node.get("graph") is not None:
            yield node["graph"]


def _dead(definition: Mapping[str, Any], library: Library, ran: Collection[str], around: str = "") -> Iterator[str]:
    """Yield the names of the nodes that never ran. It is not looked into graphs that never ran: there may be very many."""
    for node in definition["nodes"]:
        name, inner = f"{around}{node['name']}", node.get("graph")
        if name not in ran:
            yield name
        elif inner is not None:
            graph = library[inner] if isinstance(inner, str) else inner
            yield from _dead(graph, library, ran, f"{around}{escape(node['name'])}/")


def _bounded(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a definition whose runs take at most `MAX_STEPS`; what is wrong in it stays so, for the verdict."""
    limits = definition.get("limits")
    if isinstance(limits, Mapping):
        steps = limits.get("max_steps")
        if type(steps) is int and MAX_STEPS < steps <= MOST_STEPS:
            return {**definition, "limits": {**limits, "max_steps": MAX_STEPS}}
    return definition


def _decoded(view: GraphView) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(view.definition)
    return decoded


def _renamed(line: bytes, names: Mapping[str, str]) -> bytes:
    for old, new in names.items():
        line = line.replace(old.encode(), new.encode())
    return line
