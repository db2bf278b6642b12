"""A plan together with the very tools that a run of it calls, and how each of its steps is tried."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from runtime.graph.definition import RetryDefinition
from runtime.graph.plan import Plan, PlanNode
from runtime.run.model import StepPolicy
from tools.contract import Tool, ToolSource

DEFAULT_TIMEOUT_S: Final = 60.0
DEFAULT_ATTEMPTS: Final = 3
"""Attempts of a tool that declares itself `pure` or `idempotent`; any other is tried once."""


@dataclass(frozen=True, slots=True)
class BoundPlan:
    """What a run, or a graph inside it, follows and calls.

    Attributes:
        pins: Exact tool version of each node; those of graphs inside are named `<graph id>/<node>`.
        inside: The graphs that nodes run, by node.
    """

    plan: Plan
    tools: tuple[Tool | None, ...]
    arguments: tuple[Mapping[str, Any], ...]
    policies: tuple[StepPolicy, ...]
    pins: Mapping[str, str]
    inside: Mapping[int, "BoundPlan"]


def bind(plan: Plan, source: ToolSource, pins: Mapping[str, str] | None = None) -> tuple[BoundPlan, tuple[str, ...]]:
    """Find the tools of a plan: the pinned versions, or without pins those that the graph asks for now.

    Returns:
        The bound plan, and what is not there: references of tools, extras; with any, it may be folded but not run.
    """
    found = _Finder(source, pins)
    bound = found.bind(plan, "")
    return replace(bound, pins=found.pins), tuple(sorted(found.missing))


class _Finder:
    """Finds the tools of a plan and of those inside it; each graph that occurs several times is bound once."""

    def __init__(self, source: ToolSource, pins: Mapping[str, str] | None) -> None:
        self.pins: dict[str, str] = {}
        self.missing: set[str] = set()
        self._source = source
        self._wanted = pins
        self._known: dict[str, BoundPlan] = {}

    def bind(self, plan: Plan, prefix: str) -> BoundPlan:
        if plan.graph_id in self._known:
            return self._known[plan.graph_id]
        self.missing |= plan.missing
        tools = tuple(self._find(node, prefix) for node in plan.nodes)
        inside = {
            node.index: self.bind(
                node.child.plan, prefix if node.child.definition is None else f"{node.child.plan.graph_id}/"
            )
            for node in plan.nodes
            if node.child is not None
        }
        bound = self._known[plan.graph_id] = BoundPlan(
            plan=plan,
            tools=tools,
            arguments=tuple(
                {} if tool is None else tool.arguments(node.config)
                for node, tool in zip(plan.nodes, tools, strict=True)
            ),
            policies=tuple(
                _policy(node, tool, self.pins.get(prefix + node.name), inside.get(node.index))
                for node, tool in zip(plan.nodes, tools, strict=True)
            ),
            pins={},
            inside=inside,
        )
        return bound

    def _find(self, node: PlanNode, prefix: str) -> Tool | None:
        if node.child is not None:
            return None  # the tool of a map is that of the one-node graph inside
        name = prefix + node.name
        reference = node.tool if self._wanted is None else self._wanted.get(name)
        tool = None if reference is None else self._source.find(reference)
        if tool is not None:
            self.pins[name] = tool.reference
        elif reference is not None:
            self.missing.add(reference)
            self.pins[name] = reference
        return tool


def _policy(node: PlanNode, tool: Tool | None, reference: str | None, inside: BoundPlan | None) -> StepPolicy:
    if inside is not None:
        is_graph = node.child is not None and node.child.definition is not None
        return StepPolicy(timeout_s=node.timeout_s if is_graph else None, inside=inside.policies)
    if tool is None:
        return StepPolicy(tool=reference)
    retry = node.retry or RetryDefinition()
    return StepPolicy(
        tool=tool.reference,
        max_attempts=retry.max_attempts or (DEFAULT_ATTEMPTS if tool.effect in ("pure", "idempotent") else 1),
        reruns=tool.effect != "once",
        waits=tool.effect != "pure",
        timeout_s=node.timeout_s or DEFAULT_TIMEOUT_S,
        retry=retry,
    )
