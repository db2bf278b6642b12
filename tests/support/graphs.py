"""Short ways to write down graphs, and to get a plan from one."""

from collections.abc import Sequence
from typing import Any

from runtime.graph.checks import judge
from runtime.graph.plan import Plan, compile_plan
from tests.support.tools import FakeTools

Source = dict[str, Any]


def node(name: str, **keys: Any) -> Source:
    """Return a node with the tool `work`; `tool=None` leaves the tool out."""
    source = {"name": name, "tool": "work", **keys}
    return {key: value for key, value in source.items() if value is not None}


def edge(arrow: str, **keys: Any) -> Source:
    """Return the edge that `"a > b"` names."""
    left, right = arrow.split(" > ")
    return {"from_node": left, "to_node": right, **keys}


def leaf(field: str, operator: str, value: Any) -> Source:
    return {"field": field, "operator": operator, "value": value}


def when(field: str, operator: str, value: Any) -> Source:
    """Return the `condition` keyword of an edge: `edge("a > b", **when("x", ">", 1))`."""
    return {"condition": leaf(field, operator, value)}


def loop(name: str, condition: Source | None = None, **keys: Any) -> Source:
    """Return a loop definition, whose condition never holds unless given."""
    return {"node": name, "condition": condition or {"field": "done", "operator": "==", "value": True}, **keys}


def graph(nodes: str | Sequence[Any], *edges: str | Source, **keys: Any) -> Source:
    """Return a graph whose first node is the entry; nodes and edges are names (`"a b"`, `"a > b"`) or whole objects."""
    named = nodes.split() if isinstance(nodes, str) else nodes
    listed = [node(item) if isinstance(item, str) else item for item in named]
    arrows = [edge(item) if isinstance(item, str) else item for item in edges]
    entry = listed[0].get("name") if listed else "none"
    return {"name": "g", "nodes": listed, "edges": arrows, "entry_point": entry, **keys}


def planned(source: Source) -> Plan:
    """Return the plan of a graph that the verdict has to accept."""
    verdict = judge(source, FakeTools())
    assert verdict.errors == []
    assert verdict.definition is not None
    return compile_plan(verdict.definition, "graph-1")
