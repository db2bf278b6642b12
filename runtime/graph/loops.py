"""Finds the natural loops of a directed graph: reachability, dominators, back-edges, bodies, and how loops nest.

Nodes are numbers. Dominators are computed as in Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (2001). Everything
is iterative, so that a chain of 10,000 nodes needs no stack.
"""

from collections.abc import Sequence
from dataclasses import dataclass

Arc = tuple[int, int]


@dataclass(frozen=True, slots=True)
class NaturalLoop:
    """One loop: the arcs that lead back to `header`, and every node that lies on a way from it to them.

    Arcs from a node to itself form a loop of their own, inside any other loop with that header.
    """

    header: int
    back_arcs: tuple[int, ...]
    body: frozenset[int]


@dataclass(frozen=True, slots=True)
class LoopForest:
    """What the analysis found.

    Attributes:
        order: Reachable nodes in reverse post-order: every node comes after its forward predecessors.
        loops: Outer loops before those inside them.
        irreducible: Arcs that enter a cycle past its header; a graph with any has no well-defined loops.
    """

    order: tuple[int, ...]
    loops: tuple[NaturalLoop, ...]
    irreducible: tuple[int, ...]


def find_loops(size: int, arcs: Sequence[Arc], entry: int) -> LoopForest:
    """Analyse the graph of `size` nodes as seen from `entry`; results name arcs by their index in `arcs`."""
    successors: list[list[int]] = [[] for _ in range(size)]
    predecessors: list[list[int]] = [[] for _ in range(size)]
    for source, target in arcs:
        successors[source].append(target)
        predecessors[target].append(source)
    order = _reverse_post_order(successors, entry)
    rank = {node: place for place, node in enumerate(order)}
    dominator = _dominators(order, rank, predecessors, entry)
    back: dict[tuple[int, bool], list[int]] = {}
    irreducible: list[int] = []
    for index, (source, target) in enumerate(arcs):
        if source not in rank or rank[source] < rank[target]:
            continue
        if _dominates(dominator, rank, target, source):
            back.setdefault((target, source == target), []).append(index)
        else:
            irreducible.append(index)
    loops = [
        NaturalLoop(header, tuple(indices), _body(header, [arcs[i][0] for i in indices], predecessors, rank))
        for (header, _), indices in back.items()
    ]
    loops.sort(key=lambda loop: (-len(loop.body), rank[loop.header], loop.back_arcs))
    return LoopForest(tuple(order), tuple(loops), tuple(irreducible))


def _reverse_post_order(successors: list[list[int]], entry: int) -> list[int]:
    seen = {entry}
    finished: list[int] = []
    stack = [(entry, iter(successors[entry]))]
    while stack:
        node, rest = stack[-1]
        for target in rest:
            if target not in seen:
                seen.add(target)
                stack.append((target, iter(successors[target])))
                break
        else:
            stack.pop()
            finished.append(node)
    return finished[::-1]


def _dominators(order: list[int], rank: dict[int, int], predecessors: list[list[int]], entry: int) -> dict[int, int]:
    dominator = {entry: entry}
    changed = True
    while changed:
        changed = False
        for node in order[1:]:
            known = [source for source in predecessors[node] if source in dominator]
            new = known[0]
            for other in known[1:]:
                new = _common(dominator, rank, new, other)
            if dominator.get(node) != new:
                dominator[node] = new
                changed = True
    return dominator


def _common(dominator: dict[int, int], rank: dict[int, int], left: int, right: int) -> int:
    while left != right:
        while rank[left] > rank[right]:
            left = dominator[left]
        while rank[right] > rank[left]:
            right = dominator[right]
    return left


def _dominates(dominator: dict[int, int], rank: dict[int, int], upper: int, node: int) -> bool:
    while rank[node] > rank[upper]:
        node = dominator[node]
    return node == upper


def _body(header: int, sources: list[int], predecessors: list[list[int]], rank: dict[int, int]) -> frozenset[int]:
    body = {header}
    pending = [source for source in sources if source != header]
    while pending:
        node = pending.pop()
        if node not in body:
            body.add(node)
            pending.extend(source for source in predecessors[node] if source in rank)
    return frozenset(body)
