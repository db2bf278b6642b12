"""A plan together with the very tools that a run of it calls, and how each of its steps is tried."""

from collections.abc import Mapping
from dataclasses import dataclass
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
    """What a run follows and calls. `pins` names the exact tool version of each node."""

    plan: Plan
    tools: tuple[Tool | None, ...]
    arguments: tuple[Mapping[str, Any], ...]
    policies: tuple[StepPolicy, ...]
    pins: Mapping[str, str]


def bind(plan: Plan, source: ToolSource, pins: Mapping[str, str] | None = None) -> tuple[BoundPlan, tuple[str, ...]]:
    """Find the tools of a plan: the pinned versions, or without pins those that the graph asks for now.

    Returns:
        The bound plan, and the references of tools that are not registered; with any, it may be folded but not run.
    """
    wanted = [node.tool if pins is None else pins.get(node.name) for node in plan.nodes]
    tools = tuple(None if reference is None else source.find(reference) for reference in wanted)
    missing = {reference for reference, tool in zip(wanted, tools, strict=True) if reference and tool is None}
    arguments = tuple(
        {} if tool is None else tool.arguments(node.config) for node, tool in zip(plan.nodes, tools, strict=True)
    )
    policies = tuple(map(_policy, plan.nodes, wanted, tools))
    names = {node.name: tool.reference for node, tool in zip(plan.nodes, tools, strict=True) if tool is not None}
    return BoundPlan(plan, tools, arguments, policies, names), tuple(sorted(missing))


def _policy(node: PlanNode, reference: str | None, tool: Tool | None) -> StepPolicy:
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
