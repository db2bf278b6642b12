"""Errors that only the whole graph shows: contradictory routes, cycles without a header or an end, joins that cannot fire.

Called with a definition whose names and shapes are right; every function returns all the problems it sees.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from runtime.errors import Problem
from runtime.graph.definition import GraphDefinition
from runtime.graph.loops import NaturalLoop
from runtime.graph.plan import Topology, first_routers, join_count


def unsound(definition: GraphDefinition, shape: Topology) -> list[Problem]:
    """Return every reason why no run of the graph could be trusted to end."""
    problems = [*_route_problems(definition), *_end_problems(definition), *_final_problems(definition)]
    cycles = [*_cycle_problems(definition, shape)]
    if not cycles:
        problems += _join_problems(definition, shape)
        problems += _endless_cycles(definition, shape)
    return problems + cycles


def _route_problems(definition: GraphDefinition) -> Iterator[Problem]:
    index_of = {node.name: index for index, node in enumerate(definition.nodes)}
    defaults: dict[str, int] = {}
    error_edges: set[str] = set()
    for index, edge in enumerate(definition.edges):
        if edge.default and defaults.setdefault(edge.from_node, index) != index:
            detail = f"Node {edge.from_node!r} already has a default edge (edge {defaults[edge.from_node]})."
            yield Problem(f"/edges/{index}/default", detail, "two_defaults")
        if edge.on == "error":
            error_edges.add(edge.from_node)
            if definition.nodes[index_of[edge.from_node]].on_error != "route":
                detail = f'The edge is never taken: set "on_error": "route" on node {edge.from_node!r}.'
                yield Problem(f"/edges/{index}/on", detail, "error_edge_unused")
    for index, node in enumerate(definition.nodes):
        if node.on_error == "route" and node.name not in error_edges:
            detail = f'Node {node.name!r} routes its errors but has no edge with "on": "error".'
            yield Problem(f"/nodes/{index}/on_error", detail, "no_error_edge")
    seen: set[str] = set()
    for index, loop in enumerate(definition.loops):
        if loop.node in seen:
            detail = f"Node {loop.node!r} already has a loop definition."
            yield Problem(f"/loops/{index}/node", detail, "two_loops")
        seen.add(loop.node)


def _end_problems(definition: GraphDefinition) -> Iterator[Problem]:
    ends = {node.name for node in definition.nodes if node.type == "end"}
    for index, edge in enumerate(definition.edges):
        if edge.from_node in ends:
            detail = f"Node {edge.from_node!r} is of type end: nothing comes after it."
            yield Problem(f"/edges/{index}/from_node", detail, "edge_from_end")
    for index, loop in enumerate(definition.loops):
        if loop.node in ends:
            detail = f"Node {loop.node!r} is of type end: nothing comes after it."
            yield Problem(f"/loops/{index}/node", detail, "edge_from_end")


def _final_problems(definition: GraphDefinition) -> Iterator[Problem]:
    tied = {name for edge in definition.edges for name in (edge.from_node, edge.to_node)}
    tied |= {loop.node for loop in definition.loops} | {definition.entry_point}
    types = {node.name: node.type for node in definition.nodes}
    graphs = {node.name: node.graph for node in definition.nodes}
    timeouts = {node.name: node.timeout_s for node in definition.nodes}
    seen: set[str] = set()
    for index, name in enumerate(definition.finally_):
        pointer = f"/finally/{index}"
        if name in tied:
            detail = f"Node {name!r} runs at the end: it cannot be the entry point or have edges or a loop as well."
            yield Problem(pointer, detail, "finally_with_edges")
        if types[name] in ("wait", "approval", "end"):
            detail = f"Node {name!r} is of type {types[name]}; at the end only nodes run that do work: a tool, a graph or a map."
            yield Problem(pointer, detail, "finally_type")
        if graphs.get(name) is not None and timeouts[name] is None:
            detail = f"Node {name!r} runs at the end, where nothing can cancel it: give it a 'timeout_s'."
            yield Problem(pointer, detail, "finally_without_timeout")
        if name in seen:
            yield Problem(pointer, f"Node {name!r} is in the list already.", "duplicate_name")
        seen.add(name)


def _cycle_problems(definition: GraphDefinition, shape: Topology) -> Iterator[Problem]:
    for arc in shape.forest.irreducible:
        edge = definition.edges[arc]
        detail = (
            f"The edge {edge.from_node!r} -> {edge.to_node!r} closes a cycle that can also be entered past {edge.to_node!r}. "
            "Let every way into the cycle lead through one node."
        )
        yield Problem(f"/edges/{arc}", detail, "irreducible_cycle")
    declared = (arc for loop in shape.forest.loops for arc in loop.back_arcs if arc < len(definition.edges))
    back = Counter(definition.edges[arc].from_node for arc in declared if definition.edges[arc].on == "success")
    for index, loop in enumerate(definition.loops):
        if back[loop.node] > 1:
            detail = (
                f"Node {loop.node!r} has a loop definition and several edges back; keep the one that the loop takes."
            )
            yield Problem(f"/loops/{index}/node", detail, "several_back_edges")


def _join_problems(definition: GraphDefinition, shape: Topology) -> Iterator[Problem]:
    back = {arc for loop in shape.forest.loops for arc in loop.back_arcs}
    reachable = set(shape.forest.order)
    most = Counter[int]()
    for index, ways in enumerate(_ways(definition, shape)):
        if index in reachable:
            targets = Counter[int]()
            for arcs in ways.together():
                for target, count in Counter(shape.arcs[arc][1] for arc in arcs if arc not in back).items():
                    targets[target] = max(targets[target], count)
            most.update(targets)
    for index, node in enumerate(definition.nodes):
        if index in reachable and join_count(node) > max(most[index], 1):
            detail = f"Node {node.name!r} waits for {join_count(node)} edges, but at most {most[index]} can be taken."
            yield Problem(f"/nodes/{index}/join", detail, "unsatisfiable_join")


@dataclass(slots=True)
class _Ways:
    """The edges that a node can ever take, but for those that a loop definition rules.

    Attributes:
        plain: Those that are tested in order; for a node that takes the first one, up to one that always holds.
        default: The edge that is taken when none of them is; empty where one always holds.
        error: Those that are taken when the node failed.
        is_first: Whether only the first plain one that holds is taken.
        always: Whether one of the plain ones always holds.
    """

    plain: list[int]
    default: list[int]
    error: list[int]
    is_first: bool
    always: bool

    def together(self) -> list[list[int]]:
        """Return the sets of edges that may be taken at once."""
        plain = [[arc] for arc in self.plain] if self.is_first else [self.plain]
        return [*plain, self.default, self.error]

    def leads(self, good: Callable[[int], bool]) -> bool:
        """Return whether a good edge is sure to be taken when the node succeeds."""
        if not self.always and not self.default:
            return False
        if self.is_first or not self.always:
            return all(map(good, (*self.plain, *self.default)))
        return False  # which of its edges hold for sure is another question, see `_sure_edges`


def _ways(definition: GraphDefinition, shape: Topology) -> list[_Ways]:
    ruled = set(shape.loop_arc.values())
    first = first_routers(definition, shape)
    ways = [_Ways([], [], [], index in first, always=False) for index in range(len(definition.nodes))]
    for arc, edge in enumerate(definition.edges):
        of = ways[shape.index_of[edge.from_node]]
        if edge.on == "error":
            of.error.append(arc)
        elif arc in ruled:
            continue
        elif edge.default:
            of.default.append(arc)
        elif not (of.is_first and of.always):
            of.plain.append(arc)
            of.always = of.always or edge.condition is None
    for of in ways:
        if of.always:
            of.default = []
    return ways


def _endless_cycles(definition: GraphDefinition, shape: Topology) -> Iterator[Problem]:
    """Report cycles that go round for ever: whenever the header runs, an edge back to it is sure to be taken."""
    sure = _sure_edges(definition, shape)
    ways = _ways(definition, shape)
    back = {arc for loop in shape.forest.loops for arc in loop.back_arcs}
    arriving: dict[int, list[int]] = {}
    for arc, (_, target) in enumerate(shape.arcs):
        if arc not in back:
            arriving.setdefault(target, []).append(arc)
    for loop in shape.forest.loops:
        runs = {loop.header}
        for node in shape.forest.order:
            if node in loop.body and node != loop.header:
                taken = sum(arc in sure and shape.arcs[arc][0] in runs for arc in arriving.get(node, ()))
                if taken >= join_count(definition.nodes[node]):
                    runs.add(node)
        endless = [arc for arc in loop.back_arcs if arc in sure and shape.arcs[arc][0] in runs]
        if endless or _goes_round(definition, shape, loop, ways, sure, back):
            names = ", ".join(repr(definition.nodes[node].name) for node in shape.forest.order if node in loop.body)
            detail = f"Nothing ends the cycle of {names}: give it a loop definition, or a condition on a way out."
            yield Problem(f"/edges/{(endless or loop.back_arcs)[0]}", detail, "endless_cycle")


def _goes_round(
    definition: GraphDefinition,
    shape: Topology,
    loop: NaturalLoop,
    ways: Sequence[_Ways],
    sure: set[int],
    back: set[int],
) -> bool:
    """Return whether every way that the header can take leads back to it, whichever is taken."""
    round_: set[int] = set()

    def good(arc: int) -> bool:
        target = shape.arcs[arc][1]
        if arc in back:
            return target in loop.body  # round this loop, or one inside, which ends by another edge if it ever does
        return target in round_ and join_count(definition.nodes[target]) == 1

    for node in reversed(shape.forest.order):
        if node in loop.body:
            way = ways[node]
            if way.leads(good) or any(arc in sure and good(arc) for arc in way.plain):
                round_.add(node)
    return loop.header in round_


def _sure_edges(definition: GraphDefinition, shape: Topology) -> set[int]:
    """Return the edges that are taken whenever their node succeeds."""
    ruled = set(shape.loop_arc.values())
    first = first_routers(definition, shape)
    leaving: dict[int, list[int]] = {}
    for arc, edge in enumerate(definition.edges):
        if edge.on == "success" and arc not in ruled:
            leaving.setdefault(shape.index_of[edge.from_node], []).append(arc)
    sure: set[int] = set()
    for node, arcs in leaving.items():
        plain = [arc for arc in arcs if not definition.edges[arc].default]
        free = [arc for arc in plain if definition.edges[arc].condition is None]
        if node in first:
            sure.update(plain[:1] if plain and plain[0] in free else ())
        else:
            sure.update(free)
        if not plain:
            sure.update(arcs)
    return sure
