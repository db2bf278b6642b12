"""Warnings: what is allowed in a graph and yet probably not meant. They travel with the answer and refuse nothing."""

from collections.abc import Iterator
from typing import Final

from runtime.errors import Problem
from runtime.graph.definition import EdgeDefinition, GraphDefinition
from runtime.graph.plan import Topology, first_routers
from tools.contract import ToolSource

GROWING: Final = ("append", "extend", "add")
"""Reducers that add the same update each time it comes."""

MAX_WRITERS: Final = 32
"""Writers of one key that are compared pair by pair; the check must stay cheap on graphs of thousands of nodes."""


def cautions(definition: GraphDefinition, shape: Topology, tools: ToolSource) -> list[Problem]:
    """Return the warnings on a graph without errors."""
    first = first_routers(definition, shape)
    return [
        *_unreachable(definition, shape),
        *_unused_conditions(definition, shape),
        *_open_ends(definition, first),
        *_parallel_writers(definition, shape, first, tools),
        *_counted_again(definition),
    ]


def _unreachable(definition: GraphDefinition, shape: Topology) -> Iterator[Problem]:
    reachable = set(shape.forest.order)
    for index, node in enumerate(definition.nodes):
        if index not in reachable and node.name not in definition.finally_:
            yield Problem(f"/nodes/{index}", f"No way leads to node {node.name!r}; it never runs.", "unreachable")


def _unused_conditions(definition: GraphDefinition, shape: Topology) -> Iterator[Problem]:
    ruled = set(shape.loop_arc.values())
    for index, edge in enumerate(definition.edges):
        if edge.condition is not None and index in ruled:
            detail = f"The condition is not tested: the loop definition of {edge.from_node!r} decides over this edge."
            yield Problem(f"/edges/{index}/condition", detail, "unused_condition")


def _open_ends(definition: GraphDefinition, first: frozenset[int]) -> Iterator[Problem]:
    looping = {loop.node for loop in definition.loops}
    leaving: dict[str, list[EdgeDefinition]] = {}
    for edge in definition.edges:
        if edge.on == "success":
            leaving.setdefault(edge.from_node, []).append(edge)
    for index, node in enumerate(definition.nodes):
        edges = leaving.get(node.name, [])
        if index in first and edges and all(edge.condition is not None for edge in edges) and node.name not in looping:
            detail = f"Node {node.name!r} has no default edge: the run ends here when no condition holds."
            yield Problem(f"/nodes/{index}", detail, "no_default")
        if node.type == "loop" and node.name not in looping:
            detail = f"Node {node.name!r} is of type loop, but no loop definition names it."
            yield Problem(f"/nodes/{index}/type", detail, "no_loop_definition")


def _parallel_writers(
    definition: GraphDefinition, shape: Topology, first: frozenset[int], tools: ToolSource
) -> Iterator[Problem]:
    writers: dict[str, list[int]] = {}
    for index in shape.forest.order:
        reference = definition.nodes[index].tool
        tool = tools.find(reference) if reference else None
        for key in tool.writes if tool else ():
            if key not in definition.reducers and len(writers.setdefault(key, [])) < MAX_WRITERS:
                writers[key].append(index)
    ways = _Ways(shape)
    for key, nodes in writers.items():
        pairs = ((left, right) for place, left in enumerate(nodes) for right in nodes[place + 1 :])
        pair = next(((left, right) for left, right in pairs if ways.part(left, right, first)), None)
        if pair is not None:
            names = " and ".join(repr(definition.nodes[node].name) for node in pair)
            detail = f"Nodes {names} may run in parallel and both write {key!r}: give the key a reducer."
            yield Problem(f"/nodes/{pair[1]}", detail, "parallel_writers")


def _counted_again(definition: GraphDefinition) -> Iterator[Problem]:
    """Find keys that a sub-graph begins with, adds to and returns whole, to a reducer that adds the whole once more."""
    for index, node in enumerate(definition.nodes):
        inside = node.graph.get("reducers") if node.type == "graph" and isinstance(node.graph, dict) else None
        for key, reducer in inside.items() if isinstance(inside, dict) else ():
            comes = node.input is None or node.input.get(key) == key
            leaves = node.output is None or node.output.get(key) == key
            if comes and leaves and reducer in GROWING and definition.reducers.get(key) in GROWING:
                detail = (
                    f"The sub-graph begins with {key!r} and leaves all of it, which is added to {key!r} once more: "
                    "give the node an 'input' without this key."
                )
                yield Problem(f"/nodes/{index}", detail, "counted_again")


class _Ways:
    """Answers which nodes lead to a node, remembering each answer."""

    def __init__(self, shape: Topology) -> None:
        self._arriving: dict[int, set[int]] = {}
        self._leaving: dict[int, set[int]] = {}
        for source, target in shape.arcs:
            self._arriving.setdefault(target, set()).add(source)
            self._leaving.setdefault(source, set()).add(target)
        self._before: dict[int, set[int]] = {}

    def before(self, node: int) -> set[int]:
        """Return the nodes from which a way leads to `node`."""
        if node not in self._before:
            seen: set[int] = set()
            pending = list(self._arriving.get(node, ()))
            while pending:
                source = pending.pop()
                if source not in seen:
                    seen.add(source)
                    pending.extend(self._arriving.get(source, ()))
            self._before[node] = seen
        return self._before[node]

    def part(self, left: int, right: int, first: frozenset[int]) -> bool:
        """Return whether both nodes can run with neither before the other: some node that takes all its edges leads to both."""
        to_left, to_right = {*self.before(left), left}, {*self.before(right), right}
        if left in to_right or right in to_left:
            return False
        for source in to_left & to_right - first:
            targets = self._leaving.get(source, set())
            if len((targets & to_left) | (targets & to_right)) > 1 and targets & to_left and targets & to_right:
                return True
        return False
