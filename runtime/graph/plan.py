"""The plan: a graph that passed the verdict, compiled to indexes that the run machine can follow without searching.

Immutable and shared by every run of the graph. Only reachable nodes take part: edges from unreachable ones are dead before a
run starts, so a plan leaves them out of every count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypedDict

from runtime.graph.conditions import Test, compile_accepted
from runtime.graph.definition import (
    MAX_NESTING,
    ApprovalDefinition,
    GraphDefinition,
    JoinCount,
    LoopDefinition,
    NodeDefinition,
    RetryDefinition,
    WaitDefinition,
)
from runtime.graph.loops import LoopForest, find_loops
from runtime.graph.losers import losers_of
from runtime.ids import graph_id as id_of_version
from runtime.ids import graph_version
from runtime.json_values import canonical

ROOT: Final = 0
"""Index of the scope that stands for the whole graph."""


@dataclass(frozen=True, slots=True)
class PlanEdge:
    """One edge.

    Attributes:
        scope: Innermost scope that a token on the edge keeps alive.
        back_to: Scope that the edge starts the next iteration of; None for a forward edge.
        exits: Scopes the edge leaves, innermost first; while one of them goes on, the edge is held.
    """

    index: int
    source: int
    target: int
    test: Test | None
    scope: int
    back_to: int | None
    exits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PlanLoop:
    """The loop definition of a node. `back_edge` is the edge to take when the loop goes on."""

    scope: int
    back_edge: int
    test: Test
    max_iterations: int
    fail_at_max: bool


NodeKind = Literal["tool", "route", "wait", "approval", "graph", "map", "end"]


@dataclass(frozen=True, slots=True)
class PlanMap:
    """How a `map` node goes over its items: a list, or the path of one."""

    items: str | list[Any]
    as_key: str
    concurrency: int
    collects: bool
    into: str
    until: Test | None
    finish_on: str | None


@dataclass(frozen=True, slots=True)
class PlanChild:
    """The graph inside a `graph` or `map` node. `definition` is None for the one-node graph that a map over a tool is.

    `input` and `output` are paths by key; None for everything.
    """

    plan: "Plan"
    definition: GraphDefinition | None
    input: Mapping[str, str] | None
    output: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class PlanNode:
    """One node.

    Attributes:
        tool: `name` or `name@version`; None for a node that calls none itself.
        takes_first: True where only the first edge that holds is taken.
        out: Out-edges for success in the order they are tested, without `default` and back-edges of a loop definition.
        default: Edges taken when none of `out` is.
        on_error: `fail_run`, `route` (along `error_out`) or `continue` (as if it had succeeded).
        needs: Number of taken in-edges that let the node run; 0 for all decided and at least one taken.
        scope: Innermost scope the node lives in.
        enters: Scopes the node is the header of, outermost first.
        mutex: Word that nodes share which never run at the same time.
        losers: Nodes that this join cancels when it starts.
        loses_to: Joins that cancel this node when they start.
    """

    index: int
    name: str
    kind: NodeKind
    tool: str | None
    config: Mapping[str, Any]
    retry: RetryDefinition | None
    timeout_s: float | None
    takes_first: bool
    out: tuple[int, ...]
    default: tuple[int, ...]
    error_out: tuple[int, ...]
    on_error: Literal["fail_run", "route", "continue"]
    fails_unmatched: bool
    needs: int
    in_edges: tuple[int, ...]
    all_out: tuple[int, ...]
    scope: int
    enters: tuple[int, ...]
    loop: PlanLoop | None
    mutex: str | None = None
    losers: tuple[int, ...] = ()
    loses_to: tuple[int, ...] = ()
    wait: WaitDefinition | None = None
    approval: ApprovalDefinition | None = None
    map: PlanMap | None = None
    child: PlanChild | None = None


@dataclass(frozen=True, slots=True)
class PlanScope:
    """A loop, or the whole graph (`ROOT`).

    Attributes:
        chain: This scope and those around it, innermost first, `ROOT` last.
        label: Name of the node with the loop definition, else of the header: what people call the loop.
        body: Nodes inside, those of inner loops too.
        edges: Forward edges inside, to be undecided again in the next iteration.
        inner: Scopes inside, at any depth.
    """

    index: int
    chain: tuple[int, ...]
    header: int
    label: str
    max_iterations: int | None
    body: tuple[int, ...]
    edges: tuple[int, ...]
    back_edges: tuple[int, ...]
    exit_edges: tuple[int, ...]
    inner: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled graph.

    Attributes:
        undecided: Number of forward in-edges, by node, that reachable nodes decide.
        final: Nodes that run, one after another, when everything else has ended.
        mutexes: The nodes that share a word, by word.
        missing: What its conditions need and is not installed now; with any, a run may be folded but not go on.
        nesting: How deep graphs nest inside.
    """

    graph_id: str
    name: str
    entry: int
    nodes: tuple[PlanNode, ...]
    edges: tuple[PlanEdge, ...]
    scopes: tuple[PlanScope, ...]
    undecided: tuple[int, ...]
    reducers: Mapping[str, str]
    max_steps: int
    timeout_s: float
    index_of: Mapping[str, int]
    final: tuple[int, ...] = ()
    mutexes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    nesting: int = 0


GraphSource = Callable[[str], tuple[GraphDefinition, Plan]]
"""Returns a stored graph by its id; one that was judged to exist."""


def _no_graphs(wanted: str) -> tuple[GraphDefinition, Plan]:
    raise ValueError(f"graph {wanted!r} is not known")


@dataclass(frozen=True, slots=True)
class Topology:
    """The graph as numbers: what both the verdict and the plan need to know about its shape.

    Attributes:
        arcs: `(source, target)` of every edge, then one `(n, n)` for each loop definition whose node has no back-edge.
        loop_arc: Arc taken when the loop definition with that index goes on.
    """

    index_of: Mapping[str, int]
    arcs: tuple[tuple[int, int], ...]
    forest: LoopForest
    loop_arc: Mapping[int, int]


def topology(definition: GraphDefinition) -> Topology:
    """Analyse the shape of a graph whose names are all defined and unique."""
    index_of = {node.name: index for index, node in enumerate(definition.nodes)}
    arcs = [(index_of[edge.from_node], index_of[edge.to_node]) for edge in definition.edges]
    entry = index_of[definition.entry_point]
    size = len(definition.nodes)
    forest = find_loops(size, arcs, entry)
    back_of: dict[int, int] = {}
    for loop in forest.loops:
        for arc in loop.back_arcs:
            if definition.edges[arc].on == "success":
                back_of.setdefault(arcs[arc][0], arc)
    loop_arc: dict[int, int] = {}
    for index, definition_of in enumerate(definition.loops):
        node = index_of[definition_of.node]
        if node in back_of:
            loop_arc[index] = back_of[node]
        else:
            loop_arc[index] = len(arcs)
            arcs.append((node, node))
    if len(arcs) > len(definition.edges):
        forest = find_loops(size, arcs, entry)
    return Topology(index_of, tuple(arcs), forest, loop_arc)


def takes_first(node: NodeDefinition, has_condition: bool) -> bool:
    """Return whether a node routes to the first edge that holds, as stated or by the default rule."""
    return node.route == "first" or (node.route is None and has_condition)


def first_routers(definition: GraphDefinition, shape: Topology) -> frozenset[int]:
    """Return the nodes that take only the first edge that holds."""
    ruled = set(shape.loop_arc.values())
    conditional = {
        edge.from_node
        for arc, edge in enumerate(definition.edges)
        if edge.condition is not None and edge.on == "success" and arc not in ruled
    }
    return frozenset(i for i, node in enumerate(definition.nodes) if takes_first(node, node.name in conditional))


def compile_plan(
    definition: GraphDefinition,
    graph_id: str,
    shape: Topology | None = None,
    graphs: GraphSource = _no_graphs,
) -> Plan:
    """Compile a definition that the verdict accepted.

    Args:
        definition: The graph.
        graph_id: Its id, by which workers are shared.
        shape: Spares analysing the definition again.
        graphs: Where the graphs are that it refers to.
    """
    shape = shape or topology(definition)
    leaving: list[list[int]] = [[] for _ in definition.nodes]
    arriving: list[list[int]] = [[] for _ in definition.nodes]
    reachable = frozenset(shape.forest.order)
    for arc, (source, target) in enumerate(shape.arcs):
        leaving[source].append(arc)
        if source in reachable:
            arriving[target].append(arc)
    chains, scopes = _scopes(definition, shape, leaving)
    missing: set[str] = set()
    edges = _edges(definition, shape, chains, scopes, missing)
    loops = {shape.index_of[loop.node]: number for number, loop in enumerate(definition.loops)}
    headed: dict[int, list[int]] = {}
    for scope in scopes[1:]:
        headed.setdefault(scope.header, []).append(scope.index)
    losers = losers_of(definition, shape.arcs, [edge.back_to is not None for edge in edges], chains)
    loses_to: dict[int, list[int]] = {}
    for join, lost in losers.items():
        for index in lost:
            loses_to.setdefault(index, []).append(join)
    mutexes: dict[str, list[int]] = {}
    nodes = []
    for index, node in enumerate(definition.nodes):
        if node.mutex is not None:
            mutexes.setdefault(node.mutex, []).append(index)
        loop = None
        if index in loops and index in reachable:
            loop = _loop(definition.loops[loops[index]], edges[shape.loop_arc[loops[index]]], missing)
        nodes.append(
            PlanNode(
                index=index,
                name=node.name,
                kind=kind_of(node),
                tool=node.tool,
                config=dict(node.config),
                retry=node.retry,
                timeout_s=node.timeout_s,
                on_error=node.on_error,
                fails_unmatched=node.on_unmatched == "fail",
                needs=0 if node.join == "all" else join_count(node),
                in_edges=tuple(arriving[index]),
                all_out=tuple(leaving[index]),
                scope=chains[index][0],
                enters=tuple(headed.get(index, ())),
                loop=loop,
                mutex=node.mutex,
                losers=losers.get(index, ()),
                loses_to=tuple(loses_to.get(index, ())),
                wait=node.wait,
                approval=node.approval,
                map=_map(node, missing),
                child=_child(node, definition, graph_id, graphs),
                **_routes(definition, node, leaving[index], loop),
            )
        )
    return Plan(
        graph_id=graph_id,
        name=definition.name,
        entry=shape.index_of[definition.entry_point],
        nodes=tuple(nodes),
        edges=edges,
        scopes=scopes,
        undecided=tuple(sum(edges[edge].back_to is None for edge in node.in_edges) for node in nodes),
        reducers=dict(definition.reducers),
        max_steps=definition.limits.max_steps,
        timeout_s=definition.limits.timeout_s,
        index_of=dict(shape.index_of),
        final=tuple(shape.index_of[name] for name in definition.finally_),
        mutexes={word: tuple(sharing) for word, sharing in mutexes.items() if len(sharing) > 1},
        missing=frozenset(missing),
        nesting=max((_nesting(node) for node in nodes), default=0),
    )


def kind_of(node: NodeDefinition) -> NodeKind:
    """Return what a step of the node does. `standard`, `conditional` and `loop` only say what a node is for."""
    match node.type:
        case "wait" | "approval" | "graph" | "map" | "end" as kind:
            return kind
        case _:
            return "route" if node.tool is None else "tool"


def references(source: Mapping[str, Any]) -> set[str]:
    """Return the ids of the stored graphs that a graph, as it came from JSON, refers to; at any depth of inline ones."""
    found: set[str] = set()
    pending: list[tuple[Any, int]] = [(source, 0)]
    while pending:
        graph, depth = pending.pop()
        nodes = graph.get("nodes") if isinstance(graph, Mapping) else None
        for node in nodes if isinstance(nodes, list) and depth <= MAX_NESTING else ():
            inner = node.get("graph") if isinstance(node, Mapping) else None
            if isinstance(inner, str):
                found.add(inner)
            elif inner is not None:
                pending.append((inner, depth + 1))
    return found


def _nesting(node: PlanNode) -> int:
    if node.child is None or node.child.definition is None:
        return 0
    return 1 + node.child.plan.nesting


def inline_id(definition: Mapping[str, Any]) -> str:
    """Return the id of a graph that is written inside another one."""
    return id_of_version(graph_version(canonical(definition)))


def _map(node: NodeDefinition, missing: set[str]) -> PlanMap | None:
    if node.map is None:
        return None
    return PlanMap(
        items=node.map.items,
        as_key=node.map.as_,
        concurrency=node.map.concurrency,
        collects=node.map.mode == "collect",
        into=node.map.into or node.name,
        until=None if node.map.until is None else compile_accepted(node.map.until, missing),
        finish_on=node.map.finish_on,
    )


def _child(node: NodeDefinition, around: GraphDefinition, graph_id: str, graphs: GraphSource) -> PlanChild | None:
    """Compile the graph inside a node; for a map over a tool that is a graph of this one node."""
    definition: GraphDefinition | None
    if isinstance(node.graph, str):
        definition, plan = graphs(node.graph)
    elif node.graph is not None:
        definition = GraphDefinition.model_validate(node.graph)
        plan = compile_plan(definition, inline_id(node.graph), graphs=graphs)
    elif node.map is not None:
        definition = None
        item = NodeDefinition(
            name=node.name, tool=node.tool, config=node.config, retry=node.retry, timeout_s=node.timeout_s
        )
        single = GraphDefinition(name=node.name, nodes=[item], entry_point=node.name, limits=around.limits)
        plan = compile_plan(single, f"{graph_id}#{node.name}")
    else:
        return None
    return PlanChild(plan, definition, node.input, node.output)


def _scopes(
    definition: GraphDefinition, shape: Topology, leaving: Sequence[Sequence[int]]
) -> tuple[list[tuple[int, ...]], tuple[PlanScope, ...]]:
    """Return each node's scopes, innermost first, and the scopes; loops come outer before inner, so indexes only grow."""
    loops = shape.forest.loops
    chains: list[tuple[int, ...]] = [(ROOT,)] * len(definition.nodes)
    inner: list[list[int]] = [[] for _ in range(len(loops) + 1)]
    for number, loop in enumerate(loops, start=1):
        for around in chains[loop.header][:-1]:
            inner[around].append(number)
        for node in loop.body:
            chains[node] = (number, *chains[node])
    defined: dict[int, LoopDefinition] = {}
    for number, loop_definition in enumerate(definition.loops):
        defined.setdefault(shape.loop_arc[number], loop_definition)
    scopes = [
        PlanScope(ROOT, (ROOT,), shape.index_of[definition.entry_point], definition.name, None, (), (), (), (), ())
    ]
    for number, loop in enumerate(loops, start=1):
        ruling = next((defined[arc] for arc in loop.back_arcs if arc in defined), None)
        chain = chains[loop.header]
        out = [arc for node in sorted(loop.body) for arc in leaving[node]]
        within = [arc for arc in out if shape.arcs[arc][1] in loop.body and arc not in loop.back_arcs]
        scopes.append(
            PlanScope(
                index=number,
                chain=chain[chain.index(number) :],
                header=loop.header,
                label=ruling.node if ruling else definition.nodes[loop.header].name,
                max_iterations=ruling.max_iterations if ruling else None,
                body=tuple(sorted(loop.body)),
                edges=tuple(within),
                back_edges=loop.back_arcs,
                exit_edges=tuple(arc for arc in out if shape.arcs[arc][1] not in loop.body),
                inner=tuple(inner[number]),
            )
        )
    return chains, tuple(scopes)


def _edges(
    definition: GraphDefinition,
    shape: Topology,
    chains: Sequence[tuple[int, ...]],
    scopes: Sequence[PlanScope],
    missing: set[str],
) -> tuple[PlanEdge, ...]:
    back_to = {arc: scope.index for scope in scopes for arc in scope.back_edges}
    edges = []
    for index, (source, target) in enumerate(shape.arcs):
        condition = definition.edges[index].condition if index < len(definition.edges) else None
        edges.append(
            PlanEdge(
                index=index,
                source=source,
                target=target,
                test=None if condition is None else compile_accepted(condition, missing),
                scope=next(scope for scope in chains[source] if scope in chains[target]),
                back_to=back_to.get(index),
                exits=tuple(scope for scope in chains[source] if scope not in chains[target]),
            )
        )
    return tuple(edges)


def _loop(definition: LoopDefinition, back_edge: PlanEdge, missing: set[str]) -> PlanLoop:
    if back_edge.back_to is None:
        raise ValueError(f"the loop on {definition.node!r} did not pass the verdict")
    test = compile_accepted(definition.condition, missing)
    return PlanLoop(back_edge.back_to, back_edge.index, test, definition.max_iterations, definition.on_max == "fail")


class _Routes(TypedDict):
    takes_first: bool
    out: tuple[int, ...]
    default: tuple[int, ...]
    error_out: tuple[int, ...]


def _routes(
    definition: GraphDefinition, node: NodeDefinition, leaving: Sequence[int], loop: PlanLoop | None
) -> _Routes:
    declared = [(arc, definition.edges[arc]) for arc in leaving if arc < len(definition.edges)]
    success = [(arc, edge) for arc, edge in declared if edge.on == "success" and not (loop and arc == loop.back_edge)]
    return _Routes(
        takes_first=takes_first(node, any(edge.condition is not None for _, edge in success)),
        out=tuple(arc for arc, edge in success if not edge.default),
        default=tuple(arc for arc, edge in success if edge.default),
        error_out=tuple(arc for arc, edge in declared if edge.on == "error"),
    )


def join_count(node: NodeDefinition) -> int:
    """Return how many taken in-edges `join` asks for: 1 for `any` and for `all`."""
    return node.join.n if isinstance(node.join, JoinCount) else 1
