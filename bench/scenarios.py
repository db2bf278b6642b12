"""The graphs that the benches run, what each must end with, and the same work done by hand as a control.

All benches share these, so that a figure of one can be held against a figure of another. Invariant: `expected_state` was
written down or worked out by hand here, never taken from the run that is being judged; only the data quality graph, which is
no toy, is run once beforehand by an engine in memory.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from bench import trivial_tools
from runtime import LogRecord, Settings, open_engine
from tools.data_quality import get_data_quality_graph_definition
from tools.registry import Registry, default_registry

Json = dict[str, Any]
Effect = Literal["pure", "durable"]

TOOLS_FILE: Final = Path(trivial_tools.__file__)
LOOP_TURNS: Final = 50
BRANCHES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One graph and how a run of it must end.

    Attributes:
        key: `W1` … `W4`, the names that docs and commits use.
        steps: Tool calls of one run.
        by_hand: The same calls as plain awaits, without any engine; returns the end state. None where there is no control.
    """

    key: str
    title: str
    definition: Json
    steps: int
    expected_state: Json
    initial_state: Json = field(default_factory=dict)
    by_hand: Callable[[], Awaitable[Json]] | None = None

    @property
    def label(self) -> str:
        """`W1 chain of 4`."""
        return f"{self.key} {self.title}"


def chain(length: int, key: str, effect: Effect = "pure") -> Scenario:
    """Return `length` nodes in a row, each of which adds one to `n`."""

    async def by_hand() -> Json:
        state: Json = {}
        for _ in range(length):
            state |= await trivial_tools.count_up(dict(state))
        return state

    names = [f"node{number}" for number in range(length)]
    return Scenario(
        key=key,
        title=f"chain of {length}",
        definition=_graph(
            f"chain-{length}-{effect}",
            [_node(name, "count_up", effect) for name in names],
            list(pairwise(names)),
        ),
        steps=length,
        expected_state={"n": length},
        by_hand=by_hand,
    )


def loop(effect: Effect = "pure") -> Scenario:
    """Return one node that a loop definition repeats until `n` is 50."""

    async def by_hand() -> Json:
        state: Json = {}
        while state.get("n", 0) < LOOP_TURNS:
            state |= await trivial_tools.count_up(dict(state))
        return state

    definition = _graph(f"loop-{effect}", [_node("turn", "count_up", effect)], [])
    condition = {"field": "n", "operator": ">=", "value": LOOP_TURNS}
    definition["loops"] = [{"node": "turn", "condition": condition, "max_iterations": 2 * LOOP_TURNS}]
    return Scenario(
        key="W3",
        title=f"loop of {LOOP_TURNS}",
        definition=definition,
        steps=LOOP_TURNS,
        expected_state={"n": LOOP_TURNS},
        by_hand=by_hand,
    )


def fan_out(effect: Effect = "pure") -> Scenario:
    """Return a node, ten branches that each set a key, and a join that adds them up."""
    keys = [f"branch{number}" for number in range(BRANCHES)]

    async def by_hand() -> Json:
        state = await trivial_tools.count_up({})
        updates = [await trivial_tools.mark(dict(state), key=key) for key in keys]
        for update in updates:
            state |= update
        state |= await trivial_tools.add_up(dict(state), prefix="branch")
        return dict(state)

    nodes = [
        _node("start", "count_up", effect),
        *(_node(key, "mark", effect, key=key) for key in keys),
        _node("join", "add_up", effect, prefix="branch"),
    ]
    edges = [("start", key) for key in keys] + [(key, "join") for key in keys]
    return Scenario(
        key="W4",
        title=f"fan-out of {BRANCHES} and join",
        definition=_graph(f"fan-out-{effect}", nodes, edges),
        steps=BRANCHES + 2,
        expected_state={"n": 1, **dict.fromkeys(keys, 1), "total": BRANCHES},
        by_hand=by_hand,
    )


def all_scenarios(effect: Effect = "pure") -> list[Scenario]:
    """Return W1 to W4."""
    return [chain(4, "W1", effect), chain(20, "W2", effect), loop(effect), fan_out(effect)]


def gated_loop(gate: Path) -> Scenario:
    """Return the loop of 50 behind a node that waits until there is a file at `gate`."""
    inner = loop()
    nodes = [_node("gate", "wait_for_file", "pure", path=str(gate)), *inner.definition["nodes"]]
    definition = {
        **inner.definition,
        "name": "gated-loop",
        "nodes": nodes,
        "edges": _edges([("gate", "turn")]),
        "entry_point": "gate",
    }
    return Scenario(
        key="WS",
        title=f"gate and loop of {LOOP_TURNS}",
        definition=definition,
        steps=LOOP_TURNS + 1,
        expected_state=inner.expected_state,
    )


async def data_quality() -> Scenario:
    """Return the data quality graph on 106 numbers; its end state comes from one run in memory, made here."""
    definition = get_data_quality_graph_definition()
    numbers: list[float | None] = [float(value % 17 + 40) for value in range(100)]
    initial_state: Json = {"dataset": [*numbers, None, 900.0, -800.0, None, 41.0, 42.0]}
    async with open_engine(Settings(log_format="none"), default_registry()) as engine:
        created = await engine.create_graph(definition)
        view = await engine.run(created.graph_id, initial_state)
    if view.status != "completed":
        raise RuntimeError(f"the data quality graph ended as {view.status} in memory: {view.error}")
    return Scenario(
        key="DQ",
        title="data quality, 106 numbers",
        definition=definition,
        steps=4,
        initial_state=initial_state,
        expected_state=view.state,
    )


def registry() -> Registry:
    """Return a registry of the tools that `all_scenarios` call, and of no others."""
    tools = Registry()
    tools.load_module(trivial_tools.__name__)
    if tools.broken:
        raise RuntimeError(f"the tools of the bench cannot be loaded: {tools.broken}")
    return tools


def log_fault(records: Sequence[LogRecord]) -> str | None:
    """Return what is wrong with the log of a completed run, or None."""
    return event_fault([msgspec.json.decode(record.encoded) for record in records])


def event_fault(events: Sequence[Json]) -> str | None:
    """Return what is wrong with the decoded log of a completed run, or None: a gap, or another end than completion."""
    numbers = [event["seq"] for event in events]
    if numbers != list(range(1, len(events) + 1)):
        return f"the log is not numbered 1 to {len(events)} without gaps"
    if not events or events[-1]["event"] != "run_completed":
        return f"the log ends with {events[-1]['event'] if events else 'nothing'}"
    return None


def _graph(name: str, nodes: list[Json], edges: list[tuple[str, str]]) -> Json:
    return {
        "name": name,
        "nodes": nodes,
        "edges": _edges(edges),
        "entry_point": nodes[0]["name"],
    }


def _edges(pairs: list[tuple[str, str]]) -> list[Json]:
    return [{"from_node": source, "to_node": target} for source, target in pairs]


def _node(name: str, tool: str, effect: Effect, **config: object) -> Json:
    return {"name": name, "tool": tool if effect == "pure" else f"durable_{tool}", "config": config}
