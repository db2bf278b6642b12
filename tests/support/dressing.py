"""Turns some nodes of a sound graph into waits, approvals, sub-graphs, maps and ends, and adds nodes that run at the end.

What is added changes nothing about the soundness of the graph around it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from tests.support.graphs import Source, leaf

KINDS: Final = frozenset({"wait", "approval", "graph", "map", "end", "mutex", "finally"})
WHEN: Final = "2030-01-01T12:00:30+00:00"
START: Final = {"shared": 1, "items": [2, 0, 1], "when": WHEN, "deep": {"items": [5]}}
"""What the initial state of a run should hold, for the paths that the graphs use."""


@dataclass
class Dresser:
    """Dresses one graph.

    Attributes:
        kinds: Which of `KINDS` may occur.
        errors: Whether steps may fail by what they are.
        hasty: Whether the graph may have parts whose result depends on timing.
        stable: Whether paths into the state lead only to what every node sees alike.
        child: Makes a sub-graph, given a beginning for the names of its nodes.
    """

    random: Random
    kinds: frozenset[str]
    errors: bool
    hasty: bool
    stable: bool
    child: Callable[[str], Source]

    def dress(self, source: Source, prefix: str) -> None:
        leaving = {edge["from_node"] for edge in source["edges"]} | {loop["node"] for loop in source["loops"]}
        for node in source["nodes"]:
            if "tool" in node:
                self._dress(node, is_last=node["name"] not in leaving)
            if "mutex" in self.kinds and self._chance(0.15):
                node["mutex"] = self.random.choice("mk")
            if self.hasty and node.get("join", "all") != "all" and self._chance(0.6):
                node["cancel_losers"] = True
        if "finally" in self.kinds and self._chance(0.3):
            self._finally(source, prefix)

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _dress(self, node: Source, *, is_last: bool) -> None:
        draw = self.random.random()
        for kind, share in (("wait", 0.1), ("approval", 0.08), ("graph", 0.14), ("map", 0.14), ("end", 0.15)):
            if draw < share and kind in self.kinds and (kind != "end" or is_last):
                self.turn(node, kind)
                return
            draw -= share

    def turn(self, node: Source, kind: str) -> None:
        """Make the node one of that kind."""
        del node["tool"]
        node["type"] = kind
        if kind == "end":
            for key in ("route", "on_unmatched", "on_error"):
                node.pop(key, None)
        else:
            getattr(self, f"_{kind}")(node)

    def _wait(self, node: Source) -> None:
        name, draw = node["name"], self.random.random()
        if draw < 0.25:
            node["wait"] = {"for_s": self.random.choice([0, 0.5, 60])}
        elif draw < 0.35:
            node["wait"] = {"until": self.random.choice([WHEN, "2029-12-31T23:00:00Z"])}
        elif draw < 0.5:
            wrong = ["shared", "lost", "deep.items.7"] if self.errors else []
            node["wait"] = {"until_field": self.random.choice(["when", "when", *wrong])}
        else:
            wait: Source = {"signal": "go" if self._chance(0.2) else f"go_{name}"}
            wait |= {"into": f"r_{name}"} if self._chance(0.8) else {}
            wait |= {"fresh": True} if self._chance(0.2) else {}
            if wait["signal"] != "go" and self._chance(0.4):
                wait |= {"timeout_s": 20} | ({"timeout_data": 1} if not self.errors or self._chance(0.5) else {})
            node["wait"] = wait

    def _approval(self, node: Source) -> None:
        approval: Source = {"prompt": f"{node['name']}?"}
        approval |= {"into": f"r_{node['name']}"} if self._chance(0.7) else {}
        approval |= {"answer_schema": {"type": "integer"}} if self._chance(0.3) else {}
        if self._chance(0.4):
            approval |= {"timeout_s": 20} | ({"timeout_answer": 2} if not self.errors or self._chance(0.5) else {})
        node["approval"] = approval

    def _graph(self, node: Source) -> None:
        name = node["name"]
        node["graph"] = child = self.child(f"{name}x")
        if self.errors and self._chance(0.15):
            child["input_schema"] = {"properties": {"shared": {"maximum": self.random.randrange(4)}}}
        self._given(node)
        if self._chance(0.6):
            inner = self.random.choice(child["nodes"])["name"]
            node["output"] = {f"r_{name}": f"r_{inner}", f"lost_{name}": "lost.way"}
        if self.hasty and self._chance(0.3):
            node["timeout_s"] = 25

    def _map(self, node: Source) -> None:
        name = node["name"]
        wrong = ["shared", "lost"] if self.errors and not self.stable and self._chance(0.2) else []
        literal = [self.random.randrange(9) for _ in range(self.random.randrange(5))]
        keys: Source = {"items": self.random.choice([literal, literal, "items", "deep.items", *wrong])}
        keys |= {"concurrency": self.random.randrange(1, 4)} if self._chance(0.8) else {}
        keys |= {"as": "it"} if self._chance(0.2) else {}
        keys |= {"into": f"m_{name}"} if self._chance(0.5) else {}
        if self._chance(0.5):
            keys["mode"] = "collect" if self._chance(0.7) else "fail_fast"
        node["map"] = keys
        if self._chance(0.3):
            node["graph"] = child = self.child(f"{name}x")
            inner = self.random.choice(child["nodes"])["name"]
        else:
            node["tool"], inner = "work", name
        if self._chance(0.3):
            node["output"] = {"got": f"r_{inner}", "of": keys.get("as", "item"), "lost": "lost"}
        self._given(node)
        if (keys.get("concurrency") == 1 or self.hasty) and self._chance(0.5):
            field = self.random.choice(["completed", "failed", "last.got" if "output" in node else f"last.r_{inner}"])
            keys["until"] = leaf(field, ">=", self.random.randrange(1, 4))
        if self.hasty and self._chance(0.3):
            keys["finish_on"] = f"stop_{name}"
        if self.hasty and "graph" in node and self._chance(0.3):
            node["timeout_s"] = 25

    def _given(self, node: Source) -> None:
        if self._chance(0.4):
            node["input"] = {"items": "items", "first": "items.0", "when": "when", "deep": "deep"}
            if node["type"] == "map":
                node["input"]["same"] = node["map"].get("as", "item")
            if self.errors and self._chance(0.1):
                node["input"]["x"] = "lost"

    def _finally(self, source: Source, prefix: str) -> None:
        names = [f"{prefix}f{i}" for i in range(self.random.randrange(1, 4))]
        for name in names:
            node: dict[str, Any] = {"name": name, "tool": "work"}
            if self.errors and self._chance(0.6):
                node["on_error"] = self.random.choice(["fail_run", "continue"])
            kinds = sorted(self.kinds & {"graph", "map"})
            if kinds and self._chance(0.3):
                self.turn(node, self.random.choice(kinds))
                node |= {"timeout_s": 1_000_000} if "graph" in node else {}
            source["nodes"].insert(self.random.randrange(len(source["nodes"]) + 1), node)
        source["finally"] = names
