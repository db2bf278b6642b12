"""`Engine`: the whole of the workflow engine for whoever embeds it, and `open_engine`, which puts its parts together.

    async with open_engine(Settings(journal="sqlite:///work.db"), default_registry()) as engine:
        created = await engine.create_graph(definition)
        run = await engine.submit(created.graph_id, {"dataset": [1, 2, None]})
        async for record in engine.subscribe(run.run_id):
            print(record.event)

Works on asyncio and on trio, and needs no HTTP. Everything an engine answers is committed before it is answered.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

import anyio

from runtime.actors.live import Memory
from runtime.actors.supervisor import Supervisor
from runtime.actors.vitals import Vitals
from runtime.artifact_keeping import ArtifactKeeper
from runtime.buffers import BufferUse, Gauges
from runtime.catalog import Catalog
from runtime.clock import Clock
from runtime.control import RunControl
from runtime.errors import GraphInUse, InvalidInput, Problem
from runtime.journal import Journal, RunFilter, StoredGraph
from runtime.reading import RunReader, summary_of
from runtime.run.explain import Explanation
from runtime.run.records import RunStatus
from runtime.run.state import Writer
from runtime.simulation import Simulation, SimulationScenario
from runtime.submissions import Submissions
from runtime.views import (
    AcceptedRun,
    Approval,
    EngineStatistics,
    GraphCreated,
    GraphSummary,
    GraphView,
    LogRecord,
    Page,
    RunSummary,
    RunView,
    SignalReceipt,
)
from tools.contract import ToolSource

MAX_LIMIT: Final = 200


class Engine:
    """Runs graphs as durable actors. Made by `open_engine`; all methods are safe to call from any task of its event loop."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        supervisor: Supervisor,
        memory: Memory,
        vitals: Vitals,
        gauges: Gauges,
        tools: ToolSource,
        clock: Clock,
        artifacts: ArtifactKeeper,
        last_run_number: int,
    ) -> None:
        self._catalog = catalog
        self._supervisor = supervisor
        self._memory = memory
        self._vitals = vitals
        self._gauges = gauges
        self._runs = RunReader(catalog, supervisor, memory)
        self._control = RunControl(catalog, supervisor, memory, clock, self._runs, artifacts)
        self._submissions = Submissions(catalog, supervisor, memory, clock, last_run_number)
        self._tools = tools
        self._closing_since: float | None = None

    # --- graphs -------------------------------------------------------------------------------------------------------

    async def create_graph(self, definition: Mapping[str, Any]) -> GraphCreated:
        """Judge and store a graph; the same definition always gets the same id.

        Raises:
            InvalidGraph: The verdict found errors; `problems` has all of them, with JSON pointers into `definition`.
            Closing: The engine is shutting down.
        """
        self._submissions.require_open()
        return await self._catalog.create(definition)

    async def graph(self, graph_id: str) -> GraphView:
        """Return a stored graph.

        Raises:
            UnknownGraph: There is none with this id.
        """
        graph = await self._catalog.get(graph_id)
        return GraphView(graph.graph_id, graph.version, graph.created_at, graph.definition)

    async def graphs(self, *, limit: int = 50, cursor: str | None = None) -> Page[GraphSummary]:
        """Return stored graphs, newest first.

        Args:
            limit: 1 to 200.
            cursor: The `next_cursor` of the page before.

        Raises:
            InvalidInput: `limit` or `cursor` is not what it should be.
        """
        before = _page_start(limit, cursor)
        found = await self._memory.reader.call(_graphs, self._memory.journal, before, limit + 1)
        items = tuple(GraphSummary(g.graph_id, g.name, g.description, g.nodes, g.entry_point) for g in found[:limit])
        return Page(items, str(found[limit - 1].number) if len(found) > limit else None)

    async def delete_graph(self, graph_id: str) -> None:
        """Remove a graph from the lists; its finished runs stay readable.

        Raises:
            UnknownGraph: There is none with this id.
            GraphInUse: Runs of it are unfinished.
            Closing: The engine is shutting down.
        """
        self._submissions.require_open()
        await self._catalog.get(graph_id)
        unfinished = sum(live.row.graph_id == graph_id for live in self._supervisor.live.values())
        if unfinished:
            raise GraphInUse(graph_id, unfinished)
        await self._catalog.delete(graph_id)
        self._supervisor.forget_graph(graph_id)

    # --- runs ---------------------------------------------------------------------------------------------------------

    async def submit(
        self, graph_id: str, initial_state: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> AcceptedRun:
        """Accept a run and return as soon as that is durable; the run itself goes on by itself.

        Args:
            graph_id: The graph.
            initial_state: A JSON object, empty by default.
            idempotency_key: Makes submitting again harmless: the same graph and state under the same key are the same run,
                which is then returned as it is now, with `is_replay`. A key is kept as long as its run.

        Raises:
            UnknownGraph: There is no such graph.
            InvalidInput: The initial state does not fit the graph; `problems` has every reason. Or the key is none.
            IdempotencyMismatch: The key belongs to a run of another graph, or with another state.
            ToolMissing: The graph calls a tool that is not registered now.
            Overloaded: Too many runs wait already.
            JournalUnavailable: The disk is full, locked by another program, or slow.
            Closing: The engine is shutting down.
        """
        row, live = await self._submissions.submit(graph_id, initial_state or {}, idempotency_key)
        return AcceptedRun(
            row.run_id, row.graph_id, row.status, row.started_at, row.completed_at, is_replay=live is None
        )

    async def run(
        self, graph_id: str, initial_state: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> RunView:
        """Submit a run and wait until it has ended. Cancelling the wait does not cancel the run."""
        row, live = await self._submissions.submit(graph_id, initial_state or {}, idempotency_key)
        return await (self._runs.wait(row.run_id) if live is None else self._runs.end_of(live))

    async def wait(self, run_id: str) -> RunView:
        """Wait until a run has ended, and return its end state.

        Raises:
            UnknownRun: There is none with this id.
        """
        return await self._runs.wait(run_id)

    async def state(self, run_id: str) -> RunView:
        """Return a run as far as it is committed.

        Raises:
            UnknownRun: There is none with this id.
        """
        return await self._runs.state(run_id)

    async def summary(self, run_id: str) -> RunSummary:
        """Return the line that a list of runs has for this one.

        Raises:
            UnknownRun: There is none with this id.
        """
        return summary_of(await self._runs.row(run_id))

    async def runs(
        self, *, graph_id: str | None = None, status: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[RunSummary]:
        """Return runs, newest first; `graph_id` and `status` narrow the list.

        Raises:
            InvalidInput: An argument is not what it should be.
        """
        before = _page_start(limit, cursor)
        words = [word.value for word in RunStatus]
        if status is not None and status not in words:
            problem = Problem("/status", f"Unknown status {status!r}; there are: {', '.join(words)}.", "invalid_value")
            raise InvalidInput("The list of runs cannot be filtered like that.", problems=[problem])
        wanted = RunFilter(graph_id=graph_id, status=status, before=before, limit=limit + 1)
        found = await self._memory.reader.call(self._memory.journal.runs, wanted)
        items = tuple(summary_of(row) for row in found[:limit])
        return Page(items, str(found[limit - 1].number) if len(found) > limit else None)

    async def cancel(self, run_id: str) -> RunSummary:
        """End a run: no step starts once this returns, and the run ends within the cancellation grace. Idempotent.

        Raises:
            UnknownRun: There is none with this id.
            RunFinished: The run ended before the request, and not because of one.
        """
        await self._control.cancel(run_id)
        return await self.summary(run_id)

    async def pause(self, run_id: str) -> RunSummary:
        """Start nothing in a run until it is resumed; what is running goes on to its end. Idempotent.

        Deadlines and waits go on counting meanwhile.

        Raises:
            UnknownRun: There is none with this id.
            RunFinished: The run has ended.
            Closing: The engine is shutting down.
        """
        await self._control.pause(run_id)
        return await self.summary(run_id)

    async def resume(self, run_id: str) -> RunSummary:
        """Let a paused run go on. One that waits for missing tools looks for them again. Idempotent.

        Raises:
            UnknownRun: There is none with this id.
            RunFinished: The run has ended.
            Closing: The engine is shutting down.
        """
        await self._control.resume(run_id)
        return await self.summary(run_id)

    async def signal(self, run_id: str, name: str, data: Any = None, *, signal_id: str | None = None) -> SignalReceipt:
        """Send a run a signal. It goes to one node that waits for that name, or is kept for the next one that does.

        Args:
            run_id: The run.
            name: What nodes wait for.
            data: Any JSON value.
            signal_id: Makes sending it again harmless; without one the signal gets a new id.

        Raises:
            UnknownRun: There is none with this id.
            RunFinished: The run has ended.
            InvalidInput: `data` is not JSON.
            TooManySignals: The run took as many signals as it may.
            Closing: The engine is shutting down.
        """
        return await self._control.signal(run_id, name, data, signal_id)

    async def answer(self, run_id: str, approval: str, answer: Any, *, by: str | None = None) -> RunSummary:
        """Answer a question that a run waits on. The first answer counts.

        Args:
            run_id: The run.
            approval: Id of the question, such as `review#1`; `approvals` lists those that are open.
            answer: Any JSON value that fits the question's schema.
            by: Who answers, for the log.

        Raises:
            UnknownRun: There is none with this id.
            UnknownApproval: The run does not ask this.
            AlreadyAnswered: Somebody else was faster.
            InvalidInput: The answer does not fit; pointers begin with `/answer`.
            RunFinished: The run has ended.
            Closing: The engine is shutting down.
        """
        await self._control.answer(run_id, approval, answer, by)
        return await self.summary(run_id)

    async def approvals(self, run_id: str) -> tuple[Approval, ...]:
        """Return the questions that a run waits for the answers to, the oldest first.

        Raises:
            UnknownRun: There is none with this id.
        """
        return await self._control.approvals(run_id)

    async def retry(self, run_id: str) -> RunSummary:
        """Go on with a run that failed or was out of time, from the steps that failed or were stopped.

        Its log goes on behind the record that ended it, and its time-out begins anew.

        Raises:
            UnknownRun: There is none with this id.
            NothingToRetry: It has not failed, or would fail again in the same way.
            ToolMissing: A tool that it is pinned to is not registered now.
            Overloaded: Too many runs wait already.
            Closing: The engine is shutting down.
        """
        self._submissions.require_open()
        await self._control.retry(run_id)
        return await self.summary(run_id)

    async def fork(
        self,
        run_id: str,
        node: str,
        *,
        iteration: int | None = None,
        path: str = "",
        state: Mapping[str, Any] | None = None,
    ) -> RunSummary:
        """Start a new run with all that another one had done before a step; the other one is not touched.

        Args:
            run_id: The other run; it may have ended or not.
            node: The step to go on with, as it is named in the log.
            iteration: Its iteration; None for the last one there was.
            path: Its sub-graph or map item; empty at the top.
            state: Keys to put over what the step sees.

        Raises:
            UnknownRun: There is none with this id.
            UnknownStep: No such step has begun in it.
            InvalidInput: `state` is not JSON.
            ToolMissing: A tool that the run is pinned to is not registered now.
            Overloaded: Too many runs wait already.
            Closing: The engine is shutting down.
        """
        self._submissions.require_open()
        number = self._submissions.next_number()
        row = await self._control.fork(run_id, node, number=number, iteration=iteration, path=path, state=state)
        return summary_of(row)

    # --- questions ----------------------------------------------------------------------------------------------------

    async def explain(self, run_id: str, node: str, *, path: str = "") -> Explanation:
        """Say, in data and in words, why a node ran, was skipped, or waits.

        Raises:
            UnknownRun: There is none with this id.
            UnknownStep: The graph at `path` has no such node.
        """
        return await self._control.explain(run_id, node, path)

    async def blame(self, run_id: str) -> dict[str, Writer]:
        """Return who wrote each key of the state last: a node in an iteration, or the initial state.

        Raises:
            UnknownRun: There is none with this id.
        """
        return await self._control.blame(run_id)

    # --- logs ---------------------------------------------------------------------------------------------------------

    async def log(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[LogRecord]:
        """Return the committed records of a run behind number `after`, at most `limit`.

        Raises:
            UnknownRun: There is none with this id.
        """
        return await self._runs.log(run_id, after, limit)

    async def subscribe_batches(self, run_id: str, *, after: int = 0) -> AsyncGenerator[list[LogRecord], None]:
        """Yield every record of a run behind number `after`, in order and without gaps, until the run has ended.

        Records come in lists as they are at hand: those of one commit, or a page of the journal for who is far behind. A slow
        reader never slows the run and never loses a record.

        Raises:
            UnknownRun: There is none with this id.
            Closing: The engine closed before the run had ended.
        """
        async with aclosing(self._runs.follow(run_id, after)) as batches:
            async for batch in batches:
                yield batch

    async def subscribe(self, run_id: str, *, after: int = 0) -> AsyncGenerator[LogRecord, None]:
        """Yield what `subscribe_batches` does, record by record."""
        async with aclosing(self.subscribe_batches(run_id, after=after)) as batches:
            async for batch in batches:
                for record in batch:
                    yield record

    # --- the engine itself --------------------------------------------------------------------------------------------

    @property
    def tools(self) -> ToolSource:
        """Where the engine finds tools."""
        return self._tools

    @property
    def durability(self) -> str:
        """What is left of acknowledged work after a power cut: `fsync`, all of it; `none`, nothing outlives the process."""
        return self._memory.journal.durability

    @property
    def is_closing(self) -> bool:
        """Whether the engine takes no new work any more."""
        return self._submissions.is_closed

    def readiness(self) -> tuple[str, ...]:
        """Return why the engine should not be sent new work now; nothing if it should. Reads no disk and does not wait.

        The words are `closing`, `storage_full`, `storage_busy`, `storage_slow`, `memory` and `too_many_abandoned_attempts`.
        """
        closing = ("closing",) if self.is_closing else ()
        return closing + self._vitals.troubles()

    def on_memory_exhausted(self, act: Callable[[], None]) -> None:
        """Have `act` called when the process has used more than 90 % of the memory it may, in another thread.

        Who runs the process should then close the engine and end: a new one takes the runs up.
        """
        if self._vitals.memory is not None:
            self._vitals.memory.call_when_exhausted(act)

    async def statistics(self) -> EngineStatistics:
        """Return counts, for people and monitors."""
        graphs, runs = await self._memory.reader.call(self._memory.journal.counts)
        supervisor = self._supervisor
        return EngineStatistics(
            graphs=graphs,
            runs=runs,
            active=supervisor.active,
            pending=supervisor.pending,
            finished=supervisor.finished,
            deleted_runs=supervisor.deleted,
            abandoned_attempts=supervisor.abandoned_attempts,
            abandoned_now=supervisor.abandoned_now,
            rejected_results=supervisor.rejected_results,
            blocking_tools=self._vitals.blocking_tools,
            loop_lag_ms=self._vitals.loop_lag_ms,
            durability=self._memory.journal.durability,
        )

    async def buffers(self) -> tuple[BufferUse, ...]:
        """Return how full the places are where work can pile up, and how full they may be. Reads no disk."""
        return await self._gauges.read()

    def begin_closing(self) -> float:
        """Refuse new work from now on; return when that began, in seconds of the event loop's clock. Idempotent."""
        if self._closing_since is None:
            self._submissions.is_closed = True
            self._closing_since = anyio.current_time()
        return self._closing_since

    async def drain(self) -> None:
        """Refuse new work, let running attempts end, and start nothing further. Unfinished runs resume at the next start."""
        self.begin_closing()
        await self._supervisor.drain()

    async def simulate(
        self, graph: Mapping[str, Any] | str, scenario: SimulationScenario | Mapping[str, Any] | None = None
    ) -> Simulation:
        """Run a graph on virtual time with mocks for its tools, once for each seed; nothing is stored, no tool is called.

        Args:
            graph: A definition, or the id of a stored graph.
            scenario: What the mocks do and what happens; None for one run of mocks that return nothing.

        Raises:
            UnknownGraph: There is no graph with this id.
            InvalidGraph: The verdict found errors; pointers lead into the definition.
            InvalidInput: The scenario is not what it should be, or does not fit the graph.
            Overloaded: Too many simulations wait for their turn.
            Closing: The engine is shutting down.
        """
        from runtime.simulation.simulate import simulate  # it opens engines itself, and few need it

        self._submissions.require_open()
        return await simulate(graph, scenario or {}, tools=self._tools, find_graph=self.graph)


def _graphs(journal: Journal, before: int | None, limit: int) -> list[StoredGraph]:
    return journal.graphs(before=before, limit=limit)


def _page_start(limit: int, cursor: str | None) -> int | None:
    problems = []
    if not 1 <= limit <= MAX_LIMIT:
        problems.append(Problem("/limit", f"'limit' is a number from 1 to {MAX_LIMIT}, got {limit}.", "invalid_value"))
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        problems.append(Problem("/cursor", f"'cursor' is the next_cursor of a page, got {cursor!r}.", "invalid_value"))
    if problems:
        raise InvalidInput("The list cannot be shown like that.", problems=problems)
    return None if cursor is None else int(cursor)
