"""What dominators, back-edges and natural loops are, said as plainly as their definitions; slow, and obviously right."""

from collections.abc import Sequence
from typing import Any

Arc = tuple[int, int]


def reachable(arcs: Sequence[Arc], entry: int, without: int | None = None) -> set[int]:
    """Return the nodes that can be reached from `entry` on ways that avoid the node `without`."""
    if entry == without:
        return set()
    seen = {entry}
    while True:
        further = {target for source, target in arcs if source in seen and target != without} - seen
        if not further:
            return seen
        seen |= further


def dominates(arcs: Sequence[Arc], entry: int, upper: int, lower: int) -> bool:
    """Return whether every way from `entry` to the reachable node `lower` leads through `upper`."""
    return lower not in reachable(arcs, entry, without=upper)


def back_arcs(arcs: Sequence[Arc], entry: int) -> list[int]:
    """Return the arcs whose target dominates their source."""
    alive = reachable(arcs, entry)
    return [i for i, (source, target) in enumerate(arcs) if source in alive and dominates(arcs, entry, target, source)]


def natural_loops(arcs: Sequence[Arc], entry: int) -> dict[tuple[int, bool], tuple[tuple[int, ...], frozenset[int]]]:
    """Return back-arcs and body by header; arcs from a node to itself make a loop of their own, marked True."""
    alive = reachable(arcs, entry)
    found: dict[tuple[int, bool], list[int]] = {}
    for index in back_arcs(arcs, entry):
        source, target = arcs[index]
        found.setdefault((target, source == target), []).append(index)
    loops = {}
    for (header, is_self), indices in found.items():
        sources = {arcs[i][0] for i in indices}
        inside = [(s, t) for s, t in arcs if s in alive and header not in (s, t)]
        body = {header} | {n for n in alive - {header} if reachable(inside, n) & sources}
        loops[header, is_self] = (tuple(indices), frozenset({header} if is_self else body))
    return loops


def is_reducible(arcs: Sequence[Arc], entry: int) -> bool:
    """Return whether the graph has no cycle left once its back-arcs are taken away."""
    alive = reachable(arcs, entry)
    back = set(back_arcs(arcs, entry))
    rest = [arc for i, arc in enumerate(arcs) if i not in back and arc[0] in alive]
    return not any(node in reachable(rest, target) for node, target in rest)


def losers(source: dict[str, Any]) -> set[str] | None:
    """Return the names of all nodes, in sub-graphs too, that a join cancels when it starts; None if one has to do with a loop.

    They are those whose every way on leads to the join and to nothing else.
    """
    nodes, edges = source["nodes"], source["edges"]
    index = {node["name"]: i for i, node in enumerate(nodes)}
    arcs = [(index[e["from_node"]], index[e["to_node"]]) for e in edges]
    entry = index[source["entry_point"]]
    forward = [arc for i, arc in enumerate(arcs) if i not in back_arcs(arcs, entry)]
    loops = natural_loops(arcs, entry).values()
    tied = {index[loop["node"]] for loop in source["loops"]} | {n for _, body in loops for n in body}
    found: set[str] = set()
    for join, node in enumerate(nodes):
        lost = {join}
        while node.get("cancel_losers"):
            further = {n for n in range(len(nodes)) if any(s == n for s, _ in arcs)} - lost
            further = {n for n in further if all(t in lost for s, t in forward if s == n)}
            if not further:
                break
            lost |= further
        if lost - {join} and (lost & tied):
            return None
        found |= {nodes[n]["name"] for n in lost - {join}}
    for node in nodes:
        if "graph" in node:
            inner = losers(node["graph"])
            if inner is None:
                return None
            found |= inner
    return found
