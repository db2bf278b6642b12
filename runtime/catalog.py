"""The graphs of an engine: judged, stored, compiled, and bound to the tools that their runs call."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from anyio import to_thread

from runtime.actors.binding import BoundPlan, bind
from runtime.clock import Clock
from runtime.errors import InvalidGraph, Problem, ToolMissing, UnknownGraph
from runtime.graph.checks import Verdict, judge
from runtime.graph.definition import GraphDefinition
from runtime.graph.plan import Plan, compile_plan, references
from runtime.ids import graph_id, graph_version
from runtime.journal import Journal, JournalReader, JournalWriter, StoredGraph
from runtime.json_values import NotJson, canonical, checked_copy
from runtime.views import GraphCreated
from tools.contract import ToolSource

T = TypeVar("T")

MAX_INLINE: Final = 200
"""Nodes and edges of a graph that is judged, compiled and bound at once; a larger one is in a thread."""

MAX_PROBLEMS: Final = 1_000
MAX_COMPILED: Final = 1_000
"""Compiled graphs kept in memory; others are compiled again when a run needs them."""


class Compiled:
    """A graph in memory: its definition, its plan, and the plan bound to the tools that are registered now."""

    __slots__ = ("_bound", "definition", "plan")

    def __init__(self, definition: GraphDefinition, plan: Plan) -> None:
        self.definition = definition
        self.plan = plan
        self._bound: BoundPlan | None = None

    def bound(self, tools: ToolSource) -> BoundPlan:
        """Return the plan with the tools that its graph asks for now.

        Raises:
            ToolMissing: A tool is not registered any more.
        """
        known = self._bound
        if known is not None and all(
            tool is None or tools.find(node.tool or "") is tool
            for node, tool in zip(self.plan.nodes, known.tools, strict=True)
        ):
            return known
        bound, missing = bind(self.plan, tools)
        if missing:
            names = ", ".join(missing)
            raise ToolMissing(
                f"The graph needs what is not there now: {names} (tools to register, or extras to install).",
                graph_id=self.plan.graph_id,
            )
        self._bound = bound
        return bound

    def bound_to(self, tools: ToolSource, pins: Mapping[str, str]) -> tuple[BoundPlan, tuple[str, ...]]:
        """Return the plan with the tools of a run's pins, and the references of those missing now."""
        try:
            latest = self.bound(tools)
        except ToolMissing:
            return bind(self.plan, tools, pins)
        return (latest, ()) if latest.pins == pins else bind(self.plan, tools, pins)


class Catalog:
    """Where graphs are created, found and deleted."""

    def __init__(
        self, journal: Journal, writer: JournalWriter, reader: JournalReader, tools: ToolSource, clock: Clock
    ) -> None:
        self._journal = journal
        self._writer = writer
        self._reader = reader
        self._tools = tools
        self._clock = clock
        self._compiled: dict[str, Compiled] = {}
        self._present: set[str] = set()

    @property
    def compiled_graphs(self) -> int:
        """Graphs in memory."""
        return len(self._compiled)

    async def create(self, source: Mapping[str, Any]) -> GraphCreated:
        """Judge and store a graph.

        Raises:
            InvalidGraph: The verdict found errors; all of them are in `problems`.
        """
        try:
            plain = checked_copy(dict(source))
        except NotJson as error:
            problem = Problem(error.pointer, f"The graph has {error}.", "not_json")
            raise InvalidGraph("The graph is not JSON.", problems=[problem]) from error
        size = sum(len(part) for part in (plain.get("nodes"), plain.get("edges")) if isinstance(part, list))
        inside = await self._inside(plain, deleted=False)
        verdict, plan = await _aside(size, self._judge_and_compile, plain, inside)
        definition = verdict.definition
        if verdict.errors or definition is None or plan is None:
            count = len(verdict.errors)
            listed = f" The first {MAX_PROBLEMS} are listed." if count > MAX_PROBLEMS else ""
            message = f"The graph has {count} problem{'s' * (count != 1)}.{listed}"
            raise InvalidGraph(message, problems=verdict.errors[:MAX_PROBLEMS])
        encoded = canonical(plain)
        graph = StoredGraph(
            number=0,
            graph_id=plan.graph_id,
            version=graph_version(encoded),
            name=definition.name,
            description=definition.description,
            nodes=len(definition.nodes),
            entry_point=definition.entry_point,
            definition=encoded,
            created_at=self._clock.now(),
        )
        stored = await self._writer.call(self._journal.add_graph, graph)
        self._remember(stored.graph_id, Compiled(definition, plan))
        self._present.add(stored.graph_id)
        return GraphCreated(stored.graph_id, stored.version, tuple(verdict.warnings))

    async def get(self, wanted: str) -> StoredGraph:
        """Return a stored graph.

        Raises:
            UnknownGraph: There is none, or it was deleted.
        """
        graph = await self._reader.call(self._journal.graph, wanted)
        if graph is None:
            raise UnknownGraph(wanted)
        return graph

    async def compiled(self, wanted: str, *, deleted: bool = False) -> Compiled:
        """Return a graph ready to run; with `deleted`, also one that only its unfinished runs still follow.

        Raises:
            UnknownGraph: There is none.
        """
        known = self._compiled.get(wanted)
        if known is not None and (deleted or wanted in self._present):
            return known
        graph = await self._reader.call(_graph, self._journal, wanted, deleted)
        if graph is None:
            raise UnknownGraph(wanted)
        if known is None:
            source = msgspec.json.decode(graph.definition)
            inside = await self._inside(source, deleted=True)
            known = await _aside(graph.nodes, _compile, source, wanted, inside)
            self._remember(wanted, known)
        if not deleted:
            self._present.add(wanted)
        return known

    async def bind(self, wanted: str, pins: Mapping[str, str]) -> tuple[BoundPlan, tuple[str, ...]]:
        """Return the plan of a run's graph with the tools it is pinned to, and the references of those missing now."""
        compiled = await self.compiled(wanted, deleted=True)
        return await _aside(len(compiled.plan.nodes), compiled.bound_to, self._tools, pins)

    async def bound(self, compiled: Compiled) -> BoundPlan:
        """Return a graph with the tools that it asks for now.

        Raises:
            ToolMissing: A tool is not registered any more.
        """
        return await _aside(len(compiled.plan.nodes), compiled.bound, self._tools)

    async def delete(self, wanted: str) -> None:
        """Hide a graph from every list; its runs stay readable.

        Raises:
            UnknownGraph: There is none.
        """
        await self.get(wanted)
        self._present.discard(wanted)
        await self._writer.call(self._journal.delete_graph, wanted)

    async def _inside(self, source: Mapping[str, Any], *, deleted: bool) -> dict[str, tuple[GraphDefinition, Plan]]:
        """Return the stored graphs that a graph refers to, as far as there are such."""
        found: dict[str, tuple[GraphDefinition, Plan]] = {}
        for wanted in references(source):
            try:
                compiled = await self.compiled(wanted, deleted=deleted)
            except UnknownGraph:
                continue
            found[wanted] = (compiled.definition, compiled.plan)
        return found

    def _judge_and_compile(
        self, source: dict[str, Any], inside: Mapping[str, tuple[GraphDefinition, Plan]]
    ) -> tuple[Verdict, Plan | None]:
        verdict = judge(source, self._tools, lambda wanted: inside[wanted][1].nesting if wanted in inside else None)
        if verdict.errors or verdict.definition is None:
            return verdict, None
        identity = graph_id(graph_version(canonical(source)))
        return verdict, compile_plan(verdict.definition, identity, verdict.shape, inside.__getitem__)

    def _remember(self, wanted: str, compiled: Compiled) -> None:
        if wanted not in self._compiled:
            while len(self._compiled) >= MAX_COMPILED:
                oldest = next(iter(self._compiled))
                del self._compiled[oldest]
                self._present.discard(oldest)
            self._compiled[wanted] = compiled


async def _aside(size: int, function: Callable[..., T], *arguments: object) -> T:
    """Call a function: at once for a graph of small size, else in a thread, so that others do not wait."""
    return await to_thread.run_sync(function, *arguments) if size > MAX_INLINE else function(*arguments)


def _compile(source: dict[str, Any], wanted: str, inside: Mapping[str, tuple[GraphDefinition, Plan]]) -> Compiled:
    definition = GraphDefinition.model_validate(source)
    return Compiled(definition, compile_plan(definition, wanted, graphs=inside.__getitem__))


def _graph(journal: Journal, wanted: str, deleted: bool) -> StoredGraph | None:
    return journal.graph(wanted, deleted=deleted)
