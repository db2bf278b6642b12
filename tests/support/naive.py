"""An interpreter of graphs written from the rules and not from the engine: no tokens, no records, no timing.

A loop is run by a function that calls itself for the loops inside; an iteration is a set of nodes and inner loops that are
looked at again and again until nothing more can be decided; a sub-graph is one more interpreter. Whatever the engine does step
by step has to come to the same.

Where the rules let timing decide, the interpreter goes on as if everything had its time, and says so: frames in which only a
part of that may happen are `vague`, and a run whose result may be another one is not `is_exact`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.driver import Script
from tests.support.graphs import Source
from tests.support.naive_loops import natural_loops, reachable
from tests.support.naive_state import Conflict, Histories, Mismatch, View
from tests.support.naive_steps import BadCondition, NotBegun, StepFailed, chosen, holds, perform

Key = tuple[str, str, int]
"""Path, node and iteration of a step."""


Mark = View | None
"""A decided edge: what it carries, or None for a dead one. An undecided edge has no mark."""


class TooLong(Exception):
    """The run takes more steps than it may."""


@dataclass(eq=False)
class Loop:
    """A natural loop, or with `header` -1 the whole graph."""

    header: int
    body: frozenset[int]
    back: tuple[int, ...] = ()
    total: int = 0
    entered: int = 0


@dataclass
class World:
    """What all frames of a run share.

    Attributes:
        started: Input of each step that ran; None for steps that call no tool themselves.
        skipped: How often each step was skipped.
        failed_early: Number of steps that failed before they began, which count for the limit too.
        ended: Paths of frames that an end node ends, so that nodes may be neither run nor skipped.
        vague: Paths of frames of which only a part may run, and beginnings of such paths that end in `[`.
        is_exact: Whether the run comes to the same on every schedule.
    """

    script: Script
    max_steps: int = 10_000
    started: dict[Key, dict[str, Any] | None] = field(default_factory=dict)
    skipped: Counter[Key] = field(default_factory=Counter)
    failed_early: int = 0
    ended: set[str] = field(default_factory=set)
    vague: list[str] = field(default_factory=list)
    is_exact: bool = True

    def is_vague(self, path: str) -> bool:
        """Return whether timing decides which steps of that frame run."""
        return any(v in ("", path) or path.startswith(v if v.endswith("[") else f"{v}/") for v in self.vague)


@dataclass
class Frame:
    """What a graph does in its place of a run; `run` fills in the rest.

    Attributes:
        path: Where the frame is, "" for the run itself.
        failures: Codes of failures that nothing handled; timing decides which of them is the frame's.
        returned: Keys that steps returned.
        steps: Number of each step that ran.
        ends: For each end node that was reached, the steps that surely ended before, itself included.
    """

    world: World
    source: Source
    initial: dict[str, Any]
    path: str = ""
    failures: list[str] = field(default_factory=list)
    returned: set[str] = field(default_factory=set)
    steps: set[int] = field(default_factory=set)
    ends: list[frozenset[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes: list[Source] = self.source["nodes"]
        self.index = {node["name"]: i for i, node in enumerate(self.nodes)}
        self.edges: list[Source] = [dict(edge) for edge in self.source["edges"]]
        self.arcs = [(self.index[e["from_node"]], self.index[e["to_node"]]) for e in self.edges]
        self.entry = self.index[self.source["entry_point"]]
        self.rules: dict[int, tuple[int, Source]] = {}
        found = natural_loops(self.arcs, self.entry)
        for rule in self.source.get("loops", ()):
            at = self.index[rule["node"]]
            back = sorted(arc for arcs, _ in found.values() for arc in arcs if self.arcs[arc][0] == at)
            own = [arc for arc in back if self.edges[arc].get("on", "success") == "success"]
            if not own:
                self.arcs.append((at, at))
                self.edges.append({})
            self.rules[at] = (own[0] if own else len(self.arcs) - 1, rule)
        loops = [Loop(h, body, back) for (h, _), (back, body) in natural_loops(self.arcs, self.entry).items()]
        self.loops = sorted(loops, key=lambda loop: len(loop.body))
        self.past: dict[int, frozenset[int]] = {}
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

    def run(self) -> list[str]:
        """Run the graph and return `failures`, none if it completed."""
        whole = Loop(-1, frozenset(reachable(self.arcs, self.entry)))
        try:
            self._iterate(whole, [self.state.initial(self.initial)], frozenset())
        except TooLong:
            self._finish()
            raise
        if self.ends and self.steps - self.ends[0]:
            self.world.is_exact = False
        if self.failures:
            self.world.vague.append(self.path)
        self._finish()
        return self.failures

    def _finish(self) -> None:
        """Run the finally nodes."""
        failed = []
        for name in self.source.get("finally", ()):
            index = self.index[name]
            view = self.state.current()
            try:
                self._perform(index, view, 1)
            except StepFailed as failure:
                if self.nodes[index].get("on_error") != "continue":
                    failed.append(failure.code)
        self.failures += [] if self.failures else failed[:1]

    def child(self, source: Source, initial: dict[str, Any], place: str) -> "Frame":
        """Return the frame of a sub-graph."""
        return Frame(self.world, source, initial, f"{self.path}/{place}" if self.path else place)

    def output(self, mapping: dict[str, str] | None) -> dict[str, Any]:
        """Return what a frame that completed hands to the one above."""
        final = self.state.final()
        return {key: final[key] for key in self.returned} if mapping is None else chosen(mapping, final)

    def _run_loop(self, loop: Loop, arriving: list[View], before: frozenset[int]) -> dict[int, Mark]:
        leaving = [i for i, (s, t) in enumerate(self.arcs) if s in loop.body and t not in loop.body]
        held: dict[int, Mark] = dict.fromkeys(leaving)
        outside = frozenset(self.steps)
        while True:
            loop.total += 1
            loop.entered += 1
            marks = self._iterate(loop, arriving, before | (self.steps - outside))
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

    def _iterate(self, scope: Loop, arriving: list[View], before: frozenset[int]) -> dict[int, Mark]:
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
                past = before if head == header else before | self._surely(head, into, marks)
                known = frozenset(self.steps)
                if not views:
                    new = self._skip(inside, isinstance(part, Loop))
                elif isinstance(part, Loop):
                    new = self._run_loop(part, views, past)
                else:
                    new = self._activate(part, views, past)
                self.past.update(dict.fromkeys(new, past | (self.steps - known)))
                marks.update(new)
        return marks

    def _surely(self, head: int, into: Sequence[int], marks: dict[int, Mark]) -> frozenset[int]:
        """Return the steps that ended before the node is ready, on whatever schedule."""
        taken = [i for i in into if marks.get(i) is not None]
        if len(taken) > self._needed(head, into):
            return frozenset.intersection(*(self.past[i] for i in taken))
        return frozenset().union(*(self.past[i] for i in into if i in marks))

    def _needed(self, head: int, into: Sequence[int]) -> int:
        join = self.nodes[head].get("join", "all")
        return len(into) if join == "all" else 1 if join == "any" else int(join["n"])

    def _ready(self, head: int, into: Sequence[int], marks: dict[int, Mark]) -> list[View] | None:
        """Return what lets the node run; nothing at all if it is to be skipped; None if that is not decided."""
        taken = [view for i in into if (view := marks.get(i)) is not None]
        if all(i in marks for i in into):
            joins_all = self.nodes[head].get("join", "all") == "all"
            return taken if joins_all or len(taken) >= self._needed(head, into) else []
        return taken if len(taken) >= self._needed(head, into) else None

    def _skip(self, inside: set[int] | frozenset[int], is_loop: bool) -> dict[int, Mark]:
        for node in inside:
            self.world.skipped[self.path, self.nodes[node]["name"], self._iteration(node, skipped=True)] += 1
        return dict.fromkeys(
            i for i, (s, t) in enumerate(self.arcs) if s in inside and (t not in inside or not is_loop)
        )

    def _activate(self, index: int, arriving: list[View], past: frozenset[int]) -> dict[int, Mark]:
        iteration = self._iteration(index)
        if len(self.world.started) + self.world.failed_early >= self.world.max_steps:
            raise TooLong
        try:
            view = self.state.merge(arriving)
        except Conflict as conflict:
            self.world.failed_early += 1
            return self._failed(index, self.state.merge(arriving, resolve=True), str(conflict))
        try:
            left = self._perform(index, view, iteration)
        except StepFailed as failed:
            return self._failed(index, view, failed.code)
        except BadCondition:
            return self._fail("CONDITION_ERROR")
        if self.nodes[index].get("type") == "end":
            self.world.ended.add(self.path)
            self.ends.append(past | {max(self.steps)})
            return {}
        return self._succeeded(index, left)

    def _perform(self, index: int, view: View, iteration: int) -> View:
        """Return what a step leaves behind that begins with `view`."""
        node, state = self.nodes[index], self.state.values(view)
        key = (self.path, node["name"], iteration)
        assert key not in self.world.started
        is_call = "tool" in node and node.get("type") != "map"
        self.world.started[key] = state if is_call else None
        self.steps.add(len(self.steps))
        try:
            update = perform(self, node, state, iteration)
        except NotBegun:
            self.world.failed_early += 1
            del self.world.started[key]
            raise
        try:
            left = self.state.update(view, update, (index, iteration))
        except Mismatch:
            raise StepFailed("REDUCER_ERROR") from None
        self.returned |= update.keys()
        return left

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
            return self._fail(code)
        try:
            taken = [i for i in self._out(index, "error") if self._holds(i, view)]
        except BadCondition:
            return self._fail("CONDITION_ERROR")
        if not taken:
            return self._fail(code)
        return {**self._all_out(index), **dict.fromkeys(taken, view)}

    def _succeeded(self, index: int, view: View) -> dict[int, Mark]:
        edges = self._out(index, "success")
        try:
            if index in self.rules:
                arc, rule = self.rules[index]
                loop = next(loop for loop in self.loops if arc in loop.back)
                if not holds(rule["condition"], self.state.values(view)):
                    if loop.entered < rule.get("max_iterations", 10):
                        return {**self._all_out(index), arc: view}
                    if rule.get("on_max") == "fail":
                        return self._fail("LOOP_EXHAUSTED")
                edges = [i for i in edges if i != arc]
            conditional = any("condition" in self.edges[i] for i in edges)
            route = self.nodes[index].get("route") or ("first" if conditional else "all")
            taken: list[int] = []
            for i in edges:
                if not self.edges[i].get("default") and not (route == "first" and taken) and self._holds(i, view):
                    taken.append(i)
        except BadCondition:
            return self._fail("CONDITION_ERROR")
        defaults = [i for i in edges if self.edges[i].get("default")]
        return self._routed(index, view, taken or defaults, edges)

    def _routed(self, index: int, view: View, taken: Sequence[int], tested: Sequence[int]) -> dict[int, Mark]:
        if tested and not taken and self.nodes[index].get("on_unmatched") == "fail":
            return self._fail("NO_ROUTE")
        return {**self._all_out(index), **dict.fromkeys(taken, view)}

    def _fail(self, code: str) -> dict[int, Mark]:
        self.failures.append(code)
        return {}

    def _holds(self, edge: int, view: View) -> bool:
        condition = self.edges[edge].get("condition")
        return condition is None or holds(condition, self.state.values(view))


def interpret(source: Source, script: Script, initial: dict[str, Any], max_steps: int = 10_000) -> tuple[Frame, str]:
    """Return what a run of the graph does, and the status in which it ends."""
    frame = Frame(World(script, max_steps), source, initial)
    try:
        frame.run()
    except TooLong:
        frame.failures.append("STEP_LIMIT")
        frame.world.vague.append("")
    return frame, "failed" if frame.failures else "completed"
