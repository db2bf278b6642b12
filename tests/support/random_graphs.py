"""Random graphs that the verdict accepts, and scripts that decide about every step by its name alone, never by timing.

Two ways lead to a graph: composing sequences, branches, parallel parts and loops, so that structures occur that nobody would
draw at random; and adding random edges, so that structures occur that nobody would compose. An element that makes the verdict
refuse the graph is left out again. Then some nodes become waits, approvals, sub-graphs, maps and ends (`dressing.py`).
"""

import re
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from hypothesis import strategies as st

from runtime.graph.checks import judge
from runtime.run.messages import Failed, Succeeded
from tests.support.dressing import KINDS, START, Dresser
from tests.support.driver import Call, Script, fail
from tests.support.graphs import Source, leaf
from tests.support.tools import FakeTools

MAX_STEPS: Final = 100
REDUCERS: Final = {"last": "replace", "one": "first", "top": "max", "set": "union", "deep": "deep_merge"}
TOP_REDUCERS: Final = {**REDUCERS, "low": "min", "sum": "add", "bag": "extend"}
"""Those that count what they were given: a sub-graph that hands them on would let them grow without bounds."""
DEPTH: Final = 2
"""How deep sub-graphs nest."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Which features the graphs of a strategy may have.

    Attributes:
        counted_joins: Joins of `any` and `n`; conditions then look at the node's own key only, so that routes cannot depend
            on timing.
        errors: `on_error`, error edges, and `on_unmatched: fail`.
        kinds: Which of the things in `dressing.KINDS` occur.
        hasty: Whether there are parts whose result depends on timing.
    """

    counted_joins: bool = False
    errors: bool = True
    kinds: frozenset[str] = frozenset()
    hasty: bool = False


PLAIN: Final = Shape()
COUNTED: Final = Shape(counted_joins=True, errors=False)
NESTED: Final = Shape(kinds=KINDS)
SMOOTH: Final = Shape(kinds=KINDS, errors=False)
HASTY: Final = Shape(kinds=KINDS, hasty=True)
RACING: Final = Shape(counted_joins=True, kinds=KINDS, hasty=True)


@dataclass
class _Builder:
    random: Random
    shape: Shape
    prefix: str = ""
    depth: int = 0
    nodes: list[Source] = field(default_factory=list)
    edges: list[Source] = field(default_factory=list)
    loops: list[Source] = field(default_factory=list)

    def node(self) -> str:
        name = f"{self.prefix}n{len(self.nodes)}"
        source: Source = {"name": name, "tool": "work"}
        if self.random.random() < 0.1:
            source = {"name": name, "type": "conditional"}
        if self.random.random() < 0.15:
            source["route"] = self.random.choice(["first", "all"])
        if self.shape.errors:
            source["on_error"] = self.random.choice(["fail_run", "continue", "continue", "continue"])
            if self.random.random() < 0.1:
                source["on_unmatched"] = "fail"
        self.nodes.append(source)
        return name

    def condition(self, name: str) -> Source:
        fields = [f"r_{name}"] * 4 + ([] if self.shape.counted_joins else ["shared", "last", log_key(self.depth)])
        field_name = self.random.choice(fields)
        if field_name == log_key(self.depth):
            return leaf(field_name, "==", ["nothing"])
        return leaf(field_name, self.random.choice(["<=", "<=", "==", ">="]), self.random.randrange(4))

    def connect(self, source: str, target: str, *, plain: bool = False) -> None:
        new: Source = {"from_node": source, "to_node": target}
        draw = self.random.random()
        if not plain and draw < 0.35:
            new["condition"] = self.condition(source)
        elif not plain and draw < 0.45:
            new["default"] = True
        elif self.shape.errors and draw > 0.93:
            new["on"] = "error"
            next(n for n in self.nodes if n["name"] == source)["on_error"] = "route"
        self.edges.append(new)

    def block(self, depth: int) -> tuple[str, list[str]]:
        """Add a part with one entry; return it and the nodes from which the part is left."""
        kind = self.random.choice(["step", "sequence", "fork", "loop", "loop"]) if depth else "step"
        if kind == "step":
            name = self.node()
            return name, [name]
        if kind == "sequence":
            entry, exits = self.block(depth - 1)
            then, last = self.block(depth - 1)
            for name in exits:
                self.connect(name, then, plain=self.random.random() < 0.7)
            return entry, last
        if kind == "fork":
            entry = self.node()
            exits = []
            plain = self.random.random() < 0.6
            for _ in range(self.random.randrange(2, 4)):
                branch, last = self.block(depth - 1)
                self.connect(entry, branch, plain=plain)
                exits += last
            return entry, exits
        entry, exits = self.block(depth - 1)
        for name in self.random.sample(exits, self.random.randrange(1, len(exits) + 1)):
            self.close(name, entry)
        return entry, exits

    def close(self, name: str, entry: str) -> None:
        """Let a node lead back to the entry of its part, by a loop definition or by a condition."""
        draw = self.random.random()
        if draw < 0.5:
            self.rule(name)
        if draw < 0.4:
            self.edges.append({"from_node": name, "to_node": entry})
        elif draw > 0.5:
            condition = leaf(f"r_{name}", "<=", self.random.randrange(3))
            self.edges.append({"from_node": name, "to_node": entry, "condition": condition})

    def rule(self, name: str) -> None:
        rule: Source = {"node": name, "condition": leaf(f"r_{name}", ">=", self.random.randrange(1, 4))}
        rule["max_iterations"] = self.random.randrange(1, 4)
        if self.shape.errors and self.random.random() < 0.05:
            rule["on_max"] = "fail"
        self.loops.append(rule)

    def scatter(self) -> None:
        """Add nodes, then edges and loops between any of them."""
        names = [self.node() for _ in range(self.random.randrange(1, 8))]
        for _ in range(self.random.randrange(0, 13)):
            self.connect(self.random.choice(names), self.random.choice(names))
        for name in self.random.sample(names, min(2, len(names))):
            if self.random.random() < 0.4:
                self.rule(name)

    def extend(self) -> None:
        names = [node["name"] for node in self.nodes]
        for _ in range(self.random.randrange(0, 3)):
            self.connect(self.random.choice(names), self.random.choice(names))

    def joins(self) -> None:
        for node in self.nodes:
            draw = self.random.random()
            if draw < 0.5:
                node["join"] = "any" if draw < 0.25 else {"n": self.random.randrange(1, 4)}

    def finish(self) -> Source:
        """Return the graph without the elements that the verdict refuses."""
        self.random.shuffle(self.edges)
        if self.shape.counted_joins:
            self.joins()
        source: Source = {
            "name": "random",
            "nodes": self.nodes,
            "edges": [],
            "loops": [],
            "entry_point": self.nodes[0]["name"],
            "reducers": {log_key(self.depth): "append", **(REDUCERS if self.depth else TOP_REDUCERS)},
            "limits": {"max_steps": MAX_STEPS},
        }
        for key, elements in (("edges", self.edges), ("loops", self.loops)):
            for element in elements:
                source[key].append(element)
                if _kinds(source) - {"no_error_edge", "unsatisfiable_join"}:
                    source[key].pop()
        while kinds := _kinds(source):
            if "no_error_edge" in kinds:
                leaving = {e["from_node"] for e in source["edges"] if e.get("on") == "error"}
                for node in self.nodes:
                    if node.get("on_error") == "route" and node["name"] not in leaving:
                        node["on_error"] = "continue"
            elif "unsatisfiable_join" in kinds:
                for problem in judge(source, FakeTools()).errors:
                    if problem.type == "unsatisfiable_join":
                        self.nodes[int(problem.pointer.split("/")[2])].pop("join")
            else:
                (source["loops"] or source["edges"]).pop()
        return source


def _kinds(source: Source) -> set[str]:
    return {problem.type for problem in judge(source, FakeTools()).errors}


def build(seed: int, shape: Shape) -> Source:
    """Return the graph of that seed."""
    return _build(Random(seed), shape, "", 0)


def build_raw(seed: int) -> Source:
    """Return a graph as it comes, without more than one edge from one node to another; the verdict may refuse it."""
    builder = _Builder(Random(seed), PLAIN)
    if builder.random.random() < 0.5:
        builder.block(2)
        builder.extend()
    else:
        builder.scatter()
    builder.joins()
    edges = {(edge["from_node"], edge["to_node"]): edge for edge in builder.edges}
    return {
        "name": "raw",
        "nodes": builder.nodes,
        "edges": list(edges.values()),
        "loops": builder.loops,
        "entry_point": builder.nodes[0]["name"],
    }


def _build(random: Random, shape: Shape, prefix: str, depth: int) -> Source:
    builder = _Builder(random, shape, prefix, depth)
    if random.random() < 0.65:
        builder.block(3 - depth)
        builder.extend()
    else:
        builder.scatter()
    source = builder.finish()
    kinds = shape.kinds if depth < DEPTH else shape.kinds - {"graph", "map"}
    within = replace(shape, kinds=kinds if random.random() < 0.5 else kinds - {"graph", "map"})
    dresser = Dresser(
        random,
        kinds,
        shape.errors,
        shape.hasty,
        shape.counted_joins,
        lambda beginning: _build(random, within, beginning, depth + 1),
    )
    dresser.dress(source, prefix)
    return source


def log_key(depth: int) -> str:
    """Return the key that graphs nested that deep append to."""
    return f"log{depth or ''}"


INITIAL: Final = {**START, "log": ["start"]}
SEEDS: Final = st.integers(0, 2**32 - 1)


def flaky(script: Script, share: float = 0.3) -> Script:
    """Let the first attempt of some steps fail."""

    def first_fails(call: Call) -> Succeeded | Failed:
        if call.attempt == 1 and Random(f"{call.path}/{call.node}/{call.iteration}").random() < share:
            return fail("FLAKY")
        return script(call)

    return first_fails


def script_of(seed: int, *, private: bool = False, failing: float = 0.12) -> Script:
    """Return a script whose outcome depends on node and iteration only.

    Each node writes its own key `r_<node>`, which grows past every condition after a few iterations so that loops end; and at
    times shared keys: `shared` without a reducer, and one for each reducer; unless `private`.
    """

    def script(call: Call) -> Succeeded | Failed:
        random = Random(f"{seed}/{call.path}/{call.node}/{call.iteration}")
        if random.random() < failing:
            return fail()
        latest = max(call.iteration, *map(int, re.findall(r"#(\d+)", call.path)), 0)
        update: dict[str, Any] = {f"r_{call.node}": 9 if latest > 4 else random.randrange(4)}
        if not private:
            draws = [random.random() for _ in range(3)]
            log = log_key(call.path.count("/") + 1 if call.path else 0)
            update |= {log: f"{call.path}/{call.node}#{call.iteration}"} if draws[0] < 0.4 else {}
            update |= {"last": random.randrange(4)} if draws[1] < 0.3 else {}
            update |= {"shared": 1 if draws[2] < 0.15 else random.randrange(4)} if draws[2] < 0.2 else {}
            update |= {key: _gift(random, key) for key in _KEYS if random.random() < 0.06}
        return Succeeded(update)

    return script


_KEYS: Final = ("one", "top", "low", "set", "deep", "sum", "bag")


def _gift(random: Random, key: str) -> Any:
    """Return what a tool may write to a key with a reducer."""
    number = random.randrange(4)
    if key in ("set", "bag"):
        return [number, random.randrange(4)]
    return {"a": number, "b": {random.choice("cd"): number}} if key == "deep" else number
