"""The work that is submitted: random graphs, the script of their tools, and what the rules say they come to.

A program is known by its number alone. What its runs must come to is told by the naive interpreter (`tests/support/naive.py`),
which knows neither records nor crashes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, Final

from runtime.graph.checks import judge
from runtime.graph.plan import Plan, compile_plan
from tests.proof.simulation.tools import TEMPLATES
from tests.support.driver import Script
from tests.support.graphs import Source
from tests.support.naive import interpret
from tests.support.random_graphs import INITIAL, NESTED, PLAIN, RACING, SMOOTH, Shape, build, script_of
from tests.support.tools import FakeTools

PATIENCE_S: Final = 600
"""How long waits and questions have that may be out of time: longer than all faults of a seed take together."""

MAX_ATTEMPTS: Final = 3
MAX_STEPS: Final = 40
SHAPES: Final = (NESTED, NESTED, NESTED, SMOOTH, PLAIN, RACING)
_LATEST: Final = re.compile(r"#(\d+)")


@dataclass(frozen=True, slots=True)
class Program:
    """A graph and what becomes of it.

    Attributes:
        steps: How many steps a run takes, as far as that is known.
        status: The status in which every undisturbed run ends; None where timing decides.
        state: The final state then, if that is `completed`.
    """

    number: int
    source: Source
    script: Script
    plan: Plan
    steps: int
    status: str | None
    state: dict[str, Any]


@lru_cache(maxsize=2048)
def program(number: int) -> Program:
    """Return the program of that number: the first small enough of the graphs that the number leads to."""
    random = Random(number)
    while True:
        found = _program(number, random.getrandbits(32), random.choice(SHAPES), random)
        if found is not None:
            return found


def _program(number: int, seed: int, shape: Shape, random: Random) -> Program | None:
    source, script = build(seed, shape), script_of(seed, failing=0.04)
    frame, status = interpret(source, script, INITIAL, MAX_STEPS)
    if "STEP_LIMIT" in frame.failures:
        return None
    for graph in _graphs(source):
        for node in graph["nodes"]:
            _arm(node, seed, random)
    source["name"] = f"program {number}"
    verdict = judge(source, FakeTools(*TEMPLATES.values()))
    assert verdict.errors == []
    assert verdict.definition is not None
    is_exact = frame.world.is_exact and shape is not RACING and not frame.world.ended
    plan = compile_plan(verdict.definition, f"program-{number}")
    state = frame.state.final() if status == "completed" else {}
    return Program(number, source, script, plan, len(frame.world.started), status if is_exact else None, state)


def _graphs(source: Source) -> Iterator[Source]:
    yield source
    for node in source["nodes"]:
        if isinstance(node.get("graph"), dict):
            yield from _graphs(node["graph"])


def _arm(node: Source, seed: int, random: Random) -> None:
    """Give a node a tool with some effect, retries and time-outs, none of which changes what the node comes to."""
    for kind in ("wait", "approval"):
        if "timeout_s" in node.get(kind, {}):
            node[kind]["timeout_s"] = PATIENCE_S
    if "tool" not in node:
        return
    node["tool"] = effect = random.choice(["work", "work", "idem", "plain", "once"])
    node["config"] = {"script": seed}
    if effect != "once" and random.random() < 0.6:
        node["config"]["flaky"] = True
        node["retry"] = {"max_attempts": MAX_ATTEMPTS, "initial_s": random.choice([0, 0.2, 2])}
        if random.random() < 0.3:
            node["config"]["hangs"] = True
            node["timeout_s"] = 3
