"""An interpreter of graphs written from the rules and not from the engine: no tokens, no records, no timing.

A loop is run by a function that calls itself for the loops inside; an iteration is a set of nodes and inner loops that are
looked at again and again until nothing more can be decided. Whatever the engine does step by step has to come to the same.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.run.messages import Failed
from tests.support.driver import Call, Script
from tests.support.graphs import Source
from tests.support.naive_loops import natural_loops, reachable
from tests.support.naive_state import Conflict, Histories, View

Mark = View | None
"""A decided edge: what it carries, or None for a dead one. An undecided edge has no mark."""


class TooLong(Exception):
    """The run takes more steps than it may."""


class BadCondition(Exception):
    """A condition compares what cannot be compared."""


@dataclass(eq=False)
class Loop:
    """A natural loop, or with `header` -1 the whole graph."""

    header: int
    body: frozenset[int]
    back: tuple[int, ...] = ()
    total: int = 0
    entered: int = 0


@dataclass
class Naive:
    """What a graph does under a script; `run` fills in the rest.

    Attributes:
        started: Input of each `(node, iteration)` that ran; None for nodes without a tool.
        skipped: How often each `(node, iteration)` was skipped.
        failures: Codes of failures that nothing handled.
    """

    source: Source
    script: Script
    initial: dict[str, Any]
    max_steps: int = 10_000
    started: dict[tuple[str, int], dict[str, Any] | None] = field(default_factory=dict)
    skipped: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes: list[Source] = self.source["nodes"]
        index = {node["name"]: i for i, node in enumerate(self.nodes)}
        self.edges: list[Source] = [dict(edge) for edge in self.source["edges"]]
        self.arcs = [(index[e["from_node"]], index[e["to_node"]]) for e in self.edges]
        self.entry = index[self.source["entry_point"]]
        self.rules: dict[int, tuple[int, Source]] = {}
        found = natural_loops(self.arcs, self.entry)
        for rule in self.source.get("loops", ()):
            at = index[rule["node"]]
            back = sorted(arc for arcs, _ in found.values() for arc in arcs if self.arcs[arc][0] == at)
            own = [arc for arc in back if self.edges[arc].get("on", "success") == "success"]
            if not own:
                self.arcs.append((at, at))
                self.edges.append({})
            self.rules[at] = (own[0] if own else len(self.arcs) - 1, rule)
        loops = [Loop(h, body, back) for (h, _), (back, body) in natural_loops(self.arcs, self.entry).items()]
        self.loops = sorted(loops, key=lambda loop: len(loop.body))
        self.state = Histories(self.source.get("reducers", {}))

    # --- shape --------------------------------------------------------------------------------------------------------

    def _around(self, node: int) -> list[Loop]:
        return [loop for loop in self.loops if node in loop.body]

    def _iteration(self, node: int, *, skipped: bool = False) -> int:
        around = self._around(node)
        if not around:
            return 1
        inside = around[0].entered > 0
        return around[0].total + (skipped and not inside)

    def _part(self, scope: Loop, node: int) -> Loop | int:
        """Return the outermost loop inside `scope` that holds the node, or the node itself."""
        around = self._around(node)
        inner = around[: around.index(scope)] if scope in around else around
        return inner[-1] if inner else node

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self) -> str:
        """Return the status in which the run ends."""
        view = self.state.initial(self.initial)
        whole = Loop(-1, frozenset(reachable(self.arcs, self.entry)))
        try:
            self._iterate(whole, [view])
        except TooLong:
            self.failures.append("STEP_LIMIT")
        return "failed" if self.failures else "completed"

    def _run_loop(self, loop: Loop, arriving: list[View]) -> dict[int, Mark]:
        leaving = [i for i, (s, t) in enumerate(self.arcs) if s in loop.body and t not in loop.body]
        held: dict[int, Mark] = dict.fromkeys(leaving)
        while True:
            loop.total += 1
            loop.entered += 1
            marks = self._iterate(loop, arriving)
            held.update({i: marks[i] for i in leaving if marks.get(i) is not None})
            if not self._is_over(loop, marks):
                return {}
            arriving = [view for i in sorted(loop.back) if (view := marks[i]) is not None]
            if not arriving:
                loop.entered = 0
                return held

    def _is_over(self, loop: Loop, marks: dict[int, Mark]) -> bool:
        """Return whether everything on the loop's own level is decided, so that the iteration can end."""
        ends = [i for i, (s, _) in enumerate(self.arcs) if s in loop.body]
        return all(i in marks for i in ends if not self._is_deeper(loop, i))

    def _is_deeper(self, scope: Loop, arc: int) -> bool:
        """Return whether the arc lies within one loop inside `scope`."""
        source, target = self.arcs[arc]
        part = self._part(scope, source)
        return isinstance(part, Loop) and target in part.body and arc not in scope.back

    def _iterate(self, scope: Loop, arriving: list[View]) -> dict[int, Mark]:
        marks: dict[int, Mark] = {}
        header = self.entry if scope.header == -1 else scope.header
        parts: dict[int, Loop | int] = {}
        for node in sorted(scope.body):
            part = self._part(scope, node)
            parts[part.header if isinstance(part, Loop) else part] = part
        progress = True
        while progress:
            progress = False
            for head, part in list(parts.items()):
                inside = part.body if isinstance(part, Loop) else {part}
                into = [
                    i
                    for i, (s, t) in enumerate(self.arcs)
                    if t == head and s in scope.body and s not in inside and i not in scope.back
                ]
                views = arriving if head == header else self._ready(head, into, marks)
                if views is None:
                    continue
                del parts[head]
                progress = True
                if not views:
                    self._skip(inside, isinstance(part, Loop), marks)
                elif isinstance(part, Loop):
                    marks.update(self._run_loop(part, views))
                else:
                    marks.update(self._activate(part, views))
        return marks

    def _ready(self, head: int, into: Sequence[int], marks: dict[int, Mark]) -> list[View] | None:
        """Return what lets the node run; nothing at all if it is to be skipped; None if that is not decided."""
        join = self.nodes[head].get("join", "all")
        taken = [view for i in into if (view := marks.get(i)) is not None]
        decided = all(i in marks for i in into)
        if join == "all":
            return taken if decided else None
        needed = 1 if join == "any" else int(join["n"])
        if len(taken) >= needed:
            return taken
        return [] if decided else None

    def _skip(self, inside: set[int] | frozenset[int], is_loop: bool, marks: dict[int, Mark]) -> None:
        for node in inside:
            self.skipped[self.nodes[node]["name"], self._iteration(node, skipped=True)] += 1
        outside = [i for i, (s, t) in enumerate(self.arcs) if s in inside and (t not in inside or not is_loop)]
        marks.update(dict.fromkeys(outside))

    def _activate(self, index: int, arriving: list[View]) -> dict[int, Mark]:
        node = self.nodes[index]
        iteration = self._iteration(index)
        if len(self.started) >= self.max_steps:
            raise TooLong
        try:
            view = self.state.merge(arriving)
        except Conflict:
            return self._failed(index, self.state.merge(arriving, resolve=True), "STATE_CONFLICT")
        key = (node["name"], iteration)
        assert key not in self.started
        state = self.state.values(view)
        if "tool" not in node:
            self.started[key] = None
            return self._succeeded(index, view)
        self.started[key] = state
        outcome = self.script(Call(node["name"], iteration, 1, state))
        if isinstance(outcome, Failed):
            return self._failed(index, view, outcome.error.code)
        return self._succeeded(index, self.state.update(view, outcome.update, (index, iteration)))

    # --- routing ------------------------------------------------------------------------------------------------------

    def _out(self, index: int, on: str) -> list[int]:
        leaving = [i for i, (s, _) in enumerate(self.arcs) if s == index and self.edges[i]]
        return [i for i in leaving if self.edges[i].get("on", "success") == on]

    def _all_out(self, index: int) -> dict[int, Mark]:
        return dict.fromkeys(i for i, (s, _) in enumerate(self.arcs) if s == index)

    def _failed(self, index: int, view: View, code: str) -> dict[int, Mark]:
        on_error = self.nodes[index].get("on_error", "fail_run")
        if on_error == "continue":
            return self._succeeded(index, view)
        if on_error == "fail_run":
            self.failures.append(code)
            return {}
        try:
            taken = [i for i in self._out(index, "error") if self._holds(i, view)]
        except BadCondition:
            self.failures.append("CONDITION_ERROR")
            return {}
        if not taken:
            self.failures.append(code)
            return {}
        return {**self._all_out(index), **dict.fromkeys(taken, view)}

    def _succeeded(self, index: int, view: View) -> dict[int, Mark]:
        edges = self._out(index, "success")
        try:
            if index in self.rules:
                arc, rule = self.rules[index]
                loop = next(loop for loop in self.loops if arc in loop.back)
                if not self._test(rule["condition"], view):
                    if loop.entered < rule.get("max_iterations", 10):
                        return {**self._all_out(index), arc: view}
                    if rule.get("on_max") == "fail":
                        self.failures.append("LOOP_EXHAUSTED")
                        return {}
                edges = [i for i in edges if i != arc]
            conditional = any("condition" in self.edges[i] for i in edges)
            route = self.nodes[index].get("route") or ("first" if conditional else "all")
            taken: list[int] = []
            for i in edges:
                if not self.edges[i].get("default") and not (route == "first" and taken) and self._holds(i, view):
                    taken.append(i)
        except BadCondition:
            self.failures.append("CONDITION_ERROR")
            return {}
        defaults = [i for i in edges if self.edges[i].get("default")]
        return self._routed(index, view, taken or defaults, edges)

    def _routed(self, index: int, view: View, taken: Sequence[int], tested: Sequence[int]) -> dict[int, Mark]:
        if tested and not taken and self.nodes[index].get("on_unmatched") == "fail":
            self.failures.append("NO_ROUTE")
            return {}
        return {**self._all_out(index), **dict.fromkeys(taken, view)}

    def _holds(self, edge: int, view: View) -> bool:
        condition = self.edges[edge].get("condition")
        return condition is None or self._test(condition, view)

    def _test(self, condition: Source, view: View) -> bool:
        """Test a leaf; the graphs of the tests know no other conditions."""
        actual = self.state.values(view).get(condition["field"])
        expected = condition["value"]
        if actual is None:
            return False
        if condition["operator"] == "==":
            return bool(actual == expected)
        if isinstance(actual, list):
            raise BadCondition
        return bool({"<=": actual <= expected, ">=": actual >= expected}[condition["operator"]])
