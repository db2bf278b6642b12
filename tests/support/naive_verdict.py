"""Which graphs are unsound, found by trying every way that a run could go; slow, and close to the words of the rules.

A condition may come out either way each time it is tested, and no step fails unless failures are asked for. A cycle is endless
if no outcome of its conditions ends it. A join is unsatisfiable if its in-edges, each source for itself, never bring enough.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, combinations

from tests.support.graphs import Source
from tests.support.naive import Frame, Loop, World
from tests.support.naive_loops import back_arcs, is_reducible, reachable
from tests.support.replies import nobody

Taken = frozenset[int]


def faults(source: Source) -> set[str]:
    """Return the types of the errors that make no run of the graph possible to trust."""
    nodes, edges = source["nodes"], source["edges"]
    index = {node["name"]: i for i, node in enumerate(nodes)}
    arcs = [(index[e["from_node"]], index[e["to_node"]]) for e in edges]
    entry = index[source["entry_point"]]
    routing = [node["name"] for node in nodes if node.get("on_error") == "route"]
    failing = {e["from_node"] for e in edges if e.get("on") == "error"}
    found = {
        "two_defaults": _twice(e["from_node"] for e in edges if e.get("default")),
        "error_edge_unused": bool(failing - set(routing)),
        "no_error_edge": bool(set(routing) - failing),
        "two_loops": _twice(loop["node"] for loop in source["loops"]),
        "irreducible_cycle": not is_reducible(arcs, entry),
        "several_back_edges": _twice(
            edges[i]["from_node"]
            for i in back_arcs(arcs, entry)
            if edges[i].get("on") != "error" and edges[i]["from_node"] in {loop["node"] for loop in source["loops"]}
        ),
    }
    if not any(found.values()):
        runs = Runs(source)
        found["unsatisfiable_join"] = any(runs.is_unsatisfiable(node) for node in range(len(nodes)))
        found["endless_cycle"] = any(runs.is_endless(loop) for loop in runs.loops)
    return {fault for fault, is_there in found.items() if is_there}


def _twice(names: Iterable[str]) -> bool:
    return any(count > 1 for count in Counter(names).values())


def _subsets(edges: list[int]) -> Iterator[Taken]:
    yield from map(frozenset, chain.from_iterable(combinations(edges, size) for size in range(len(edges) + 1)))


@dataclass(init=False)
class Runs(Frame):
    """Every way that a run of the graph could go."""

    def __init__(self, source: Source) -> None:
        super().__init__(World(nobody), source, {})
        self.alive = reachable(self.arcs, self.entry)
        self.backward = {arc for loop in self.loops for arc in loop.back}

    # --- one node -----------------------------------------------------------------------------------------------------

    def ways(self, node: int, *, goes_on: bool) -> set[Taken]:
        """Return which sets of edges can be taken when a node has completed; `goes_on`: its loop may still go on."""
        edges = self._out(node, "success")
        again = set()
        if node in self.rules:
            arc, _ = self.rules[node]
            again = {frozenset({arc})} if goes_on else set()
            edges = [i for i in edges if i != arc]
        plain = [i for i in edges if not self.edges[i].get("default")]
        free = [i for i in plain if "condition" not in self.edges[i]]
        default = frozenset(edges) - frozenset(plain)
        if self.nodes[node].get("route", "first" if free != plain else "all") == "all":
            return again | {held | set(free) or default for held in _subsets([i for i in plain if i not in free])}
        first = plain[: plain.index(free[0]) + 1] if free else plain
        return again | {frozenset({i}) for i in first} | (set() if free else {default})

    def failing_ways(self, node: int) -> set[Taken]:
        """Return which sets of edges can be taken when a node has failed and its edges handle that."""
        if self.nodes[node].get("on_error") != "route":
            return set()
        free = {i for i in self._out(node, "error") if "condition" not in self.edges[i]}
        held = [i for i in self._out(node, "error") if i not in free]
        return {chosen | free for chosen in _subsets(held)}

    # --- joins --------------------------------------------------------------------------------------------------------

    def is_unsatisfiable(self, node: int) -> bool:
        """Return whether a node asks for more edges than its sources can take, each looked at alone.

        Edges out of a loop may have been taken in different iterations; the start of the run counts as one edge.
        """
        join = self.nodes[node].get("join", "all")
        if join in ("all", "any") or node not in self.alive:
            return False
        most = 0
        for source in {self.arcs[i][0] for i in range(len(self.edges)) if self.arcs[i][1] == node} & self.alive:
            into = {i for i, arc in enumerate(self.arcs) if arc == (source, node)} - self.backward
            ways = self.ways(source, goes_on=True) | self.failing_ways(source)
            leaves = any(node not in loop.body for loop in self._around(source))
            most += (
                len(into & frozenset().union(*ways)) if leaves else max((len(into & way) for way in ways), default=0)
            )
        return int(join["n"]) > max(most, 1)

    # --- cycles -------------------------------------------------------------------------------------------------------

    def is_endless(self, loop: Loop) -> bool:
        """Return whether an iteration of the loop always leads to another one."""
        return not any(self.exits(loop, dict.fromkeys(self.loops, turn)) for turn in (1, 10_000))

    def exits(self, loop: Loop, turns: dict[Loop, int]) -> set[Taken]:
        """Return which sets of edges a loop can leave behind; `turns`: the present iterations of the loops around."""
        most = max((rule.get("max_iterations", 10) for arc, rule in self.rules.values() if arc in loop.back), default=1)
        over: set[Taken] = set()
        seen: set[tuple[int, Taken]] = set()
        pending: set[Taken] = {frozenset()}
        turn = 0
        while pending:
            turn = min(turn + 1, most)
            pending = {held for held in pending if (turn, held) not in seen}
            seen |= {(turn, held) for held in pending}
            further: set[Taken] = set()
            for taken in self.iterations(loop, {**turns, loop: turn}) if pending else ():
                leaving = {i for i in taken if self.arcs[i][1] not in loop.body}
                (further if taken & set(loop.back) else over).update(held | leaving for held in pending)
            pending = further
        return over

    def iterations(self, loop: Loop, turns: dict[Loop, int]) -> set[Taken]:
        """Return which sets of edges of the loop's own level can be taken in one iteration."""
        parts = {self._part(loop, node) for node in loop.body}
        heads = {part.header if isinstance(part, Loop) else part: part for part in parts}
        ways: set[Taken] = {frozenset()}
        for head in self._in_order(loop, heads):
            part = heads[head]
            into = self._into(loop, head, part)
            join = self.nodes[head].get("join", "all")
            needed = join["n"] if isinstance(join, dict) else 1
            further: set[Taken] = set()
            for taken in ways:
                if head != loop.header and len(into & taken) < needed:
                    further.add(taken)
                else:
                    further |= {taken | more for more in self._outcomes(part, turns)}
            ways = further
        return ways

    def _outcomes(self, part: Loop | int, turns: dict[Loop, int]) -> set[Taken]:
        if isinstance(part, Loop):
            return self.exits(part, turns)
        goes_on = False
        if part in self.rules:
            arc, rule = self.rules[part]
            own = next(loop for loop in self.loops if arc in loop.back)
            goes_on = turns[own] < rule.get("max_iterations", 10)
        return self.ways(part, goes_on=goes_on)

    def _into(self, loop: Loop, head: int, part: Loop | int) -> Taken:
        inside = part.body if isinstance(part, Loop) else {part}
        arcs = enumerate(self.arcs)
        return frozenset(i for i, (s, t) in arcs if t == head and s in loop.body - inside and i not in loop.back)

    def _in_order(self, loop: Loop, heads: dict[int, Loop | int]) -> Iterator[int]:
        """Yield the heads of the parts of a loop so that each comes after all that lead to it."""
        waiting = dict(heads)
        while waiting:
            for head, part in list(waiting.items()):
                sources = {self.arcs[i][0] for i in self._into(loop, head, part)}
                bodies = (p.body if isinstance(p, Loop) else {p} for p in waiting.values() if p is not part)
                if head == loop.header or not sources & set().union(*bodies):
                    yield head
                    del waiting[head]
