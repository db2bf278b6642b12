"""What clients ask for: a few graphs, initial states drawn from a seed, what is said to the run, and how it has to end.

Everything a run writes depends on its initial state alone, however often it is interrupted. Two things are left to chance, and
then both ways are allowed: a `once` tool may have been cut off (its node then fails with `OUTCOME_UNKNOWN`, and the graph goes on
with `lost`), and a cancellation may come before or behind the end.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Talk = Literal["none", "signal", "answer", "cancel", "cancel_soon", "pause"]
"""What the client does once the run is accepted."""

Definition = dict[str, Any]
State = dict[str, Any]

LOST: Final = -1
"""What a node leaves behind in place of one whose outcome is unknown."""


@dataclass(frozen=True, slots=True)
class Program:
    """A graph and what becomes of it.

    Attributes:
        model: Returns the final state for an initial `n`, with no attempt of a `once` tool lost.
        retries: How often a step may fail and be tried again, for nodes where that is not 0.
        ends: Statuses that it may end with.
    """

    name: str
    definition: Definition
    model: Callable[[int], State]
    talk: Talk = "none"
    ends: tuple[str, ...] = ("completed",)
    retries: Mapping[str, int] | None = None

    def initial(self, n: int) -> State:
        """Return the initial state."""
        return {"n": n, "items": [n, n + 1, n + 2, n + 3]} if self.name == "map" else {"n": n}

    def allows(self, n: int, status: str, state: State, *, lost: bool) -> str | None:
        """Return what is wrong with an end, or None.

        Args:
            n: What the run began with.
            status: How it ended.
            state: Its final state.
            lost: Whether the log says that the outcome of a `once` tool is unknown.
        """
        if status not in self.ends:
            return f"it ended as {status} and not as {' or '.join(self.ends)}"
        want = self.initial(n) | self.model(n)
        if lost:
            want |= _after_loss(n)
        if status == "cancelled":  # whatever it came to: each key is right, and none is foreign
            wrong = {key: value for key, value in state.items() if key not in want or want[key] != value}
            return f"it left behind {wrong}, which is not in {want}" if wrong else None
        return None if state == want else f"its final state is {state} and not {want}"


def sum_node(name: str, effect: str, reads: str, *, add: int = 1, wait_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """Return a node that writes the sum of the keys `reads`, divided by spaces, and `add`, to the key of its own name."""
    config: dict[str, Any] = {"reads": reads.split(), "writes": name, "add": add}
    if effect != "flaky":
        config["wait_s"] = wait_s
    return {"name": name, "tool": f"sum_{effect}", **more, "config": config | more.get("config", {})}


def _edges(*ways: str) -> list[dict[str, Any]]:
    """Return edges for texts such as `a b c`, a way through nodes."""
    return [
        {"from_node": source, "to_node": target}
        for way in ways
        for source, target in zip(way.split(), way.split()[1:], strict=False)
    ]


def _chain(name: str, wait_s: float = 0.0) -> Definition:
    """Return a chain with each kind of effect; where the outcome of `c` is unknown it goes on through `lost`."""
    return {
        "name": name,
        "nodes": [
            sum_node("a", "undeclared", "n", wait_s=wait_s),
            sum_node("b", "idempotent", "n a", wait_s=wait_s),
            sum_node("c", "once", "n b", wait_s=wait_s, on_error="route"),
            {"name": "lost", "tool": "set_values", "config": {"values": {"c": LOST}}},
            sum_node("d", "pure", "c n"),
        ],
        "edges": [*_edges("a b c d", "lost d"), {"from_node": "c", "to_node": "lost", "on": "error"}],
        "entry_point": "a",
    }


def _chain_model(n: int) -> State:
    return {"a": n + 1, "b": 2 * n + 2, "c": 3 * n + 3, "d": 4 * n + 4}


def _after_loss(n: int) -> State:
    return {"c": LOST, "d": LOST + n + 1}


_FAN: Final[Definition] = {
    "name": "fan",
    "nodes": [
        {"name": "split", "type": "conditional"},
        sum_node("left", "idempotent", "n", config={"writes": "total"}),
        sum_node("middle", "undeclared", "n", config={"writes": "total", "add": 2}, wait_s=0.02),
        sum_node("right", "pure", "n", config={"writes": "total", "add": 3}, wait_s=0.01),
        sum_node("sum", "idempotent", "total n"),
    ],
    "edges": _edges("split left sum", "split middle sum", "split right sum"),
    "reducers": {"total": "add"},
    "entry_point": "split",
}

_LOOP: Final[Definition] = {
    "name": "loop",
    "nodes": [
        sum_node("turns", "idempotent", "turns", wait_s=0.005),
        {**sum_node("round", "undeclared", "turns n"), "type": "loop"},
        sum_node("after", "pure", "round"),
    ],
    "edges": _edges("turns round turns", "round after"),
    "loops": [{"node": "round", "condition": {"field": "turns", "operator": ">=", "value": 4}}],
    "entry_point": "begin",
}
_LOOP["nodes"].insert(0, {"name": "begin", "tool": "set_values", "config": {"values": {"turns": 0}}})
_LOOP["edges"] += _edges("begin turns")

_FLAKY: Final[Definition] = {
    "name": "flaky",
    "nodes": [
        sum_node(
            "f",
            "flaky",
            "n",
            config={"times": 2},
            retry={"max_attempts": 5, "initial_s": 0.02, "factor": 1, "jitter": "none"},
        ),
        sum_node("g", "undeclared", "f"),
    ],
    "edges": _edges("f g"),
    "entry_point": "f",
}

_MAP: Final[Definition] = {
    "name": "map",
    "nodes": [
        {
            **sum_node("each", "idempotent", "item", wait_s=0.01),
            "type": "map",
            "map": {"items": "items", "concurrency": 2, "into": "results"},
        },
        sum_node("end", "undeclared", "n"),
    ],
    "edges": _edges("each end"),
    "entry_point": "each",
}

_INSIDE: Final[Definition] = {
    "name": "inside",
    "nodes": [
        {
            "name": "sub",
            "type": "graph",
            "graph": {
                "name": "inner",
                "nodes": [sum_node("x", "undeclared", "n"), sum_node("y", "idempotent", "x", wait_s=0.01)],
                "edges": _edges("x y"),
                "entry_point": "x",
            },
        },
        sum_node("z", "pure", "y"),
    ],
    "edges": _edges("sub z"),
    "entry_point": "sub",
}

_SIGNAL: Final[Definition] = {
    "name": "signal",
    "nodes": [
        sum_node("first", "idempotent", "n"),
        {"name": "wait", "type": "wait", "wait": {"signal": "go", "into": "said"}},
        sum_node("after", "undeclared", "said n"),
    ],
    "edges": _edges("first wait after"),
    "entry_point": "first",
}

_APPROVAL: Final[Definition] = {
    "name": "approval",
    "nodes": [
        {"name": "ask", "type": "approval", "approval": {"prompt": "How many?", "into": "said"}},
        sum_node("after", "idempotent", "said n"),
    ],
    "edges": _edges("ask after"),
    "entry_point": "ask",
}

_CANCELLED: Final[Definition] = {
    "name": "cancelled",
    "nodes": [
        sum_node("first", "undeclared", "n"),
        {"name": "wait", "type": "wait", "wait": {"signal": "never"}},
        sum_node("after", "once", "n"),
    ],
    "edges": _edges("first wait after"),
    "entry_point": "first",
}

_NAP: Final[Definition] = {
    "name": "nap",
    "nodes": [
        {"name": "sleep", "type": "wait", "wait": {"for_s": 0.3}},
        sum_node("after", "undeclared", "n"),
    ],
    "edges": _edges("sleep after"),
    "entry_point": "sleep",
}

_FAILS: Final[Definition] = {
    "name": "fails",
    "nodes": [sum_node("first", "undeclared", "n"), {"name": "no", "tool": "refuse"}],
    "edges": _edges("first no"),
    "entry_point": "first",
}

PROGRAMS: Final = (
    Program("chain", _chain("chain"), _chain_model),
    Program("slow_chain", _chain("slow_chain", wait_s=0.2), _chain_model),
    Program("fan", _FAN, lambda n: {"total": 3 * n + 6, "sum": 4 * n + 7}),
    Program("loop", _LOOP, lambda n: {"turns": 4, "round": n + 5, "after": n + 6}),
    Program("flaky", _FLAKY, lambda n: {"f": n + 1, "g": n + 2}, retries={"f": 4}),
    Program("map", _MAP, lambda n: {"results": [{"each": n + 1 + k} for k in range(4)], "end": n + 1}),
    Program("inside", _INSIDE, lambda n: {"x": n + 1, "y": n + 2, "z": n + 3}),
    Program("nap", _NAP, lambda n: {"after": n + 1}),
    Program("fails", _FAILS, lambda n: {"first": n + 1}, ends=("failed",)),
    Program("signal", _SIGNAL, lambda n: {"first": n + 1, "said": n, "after": 2 * n + 1}, "signal"),
    Program("approval", _APPROVAL, lambda n: {"said": n, "after": 2 * n + 1}, "answer"),
    Program("cancelled", _CANCELLED, lambda n: {"first": n + 1}, "cancel", ends=("cancelled",)),
    Program(
        "cancel_soon", _chain("cancel_soon", wait_s=0.02), _chain_model, "cancel_soon", ends=("cancelled", "completed")
    ),
    Program("paused", _chain("paused", wait_s=0.01), _chain_model, "pause"),
)
BY_NAME: Final = {program.name: program for program in PROGRAMS}


def draw(chance: random.Random) -> tuple[Program, int]:
    """Return a program and what its run begins with."""
    return chance.choice(PROGRAMS), chance.randrange(1_000_000)
