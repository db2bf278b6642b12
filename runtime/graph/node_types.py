"""Checks of one node by its type: which keys it takes, and whether they are right in themselves."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator
from pydantic import ValidationError

from runtime.errors import Problem, escape
from runtime.graph.conditions import compile_condition
from runtime.graph.definition import MAX_NESTING, NodeDefinition
from tools.contract import ToolSource

NODE_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "standard": frozenset({"tool", "config", "retry", "timeout_s"}),
    "conditional": frozenset({"tool", "config", "retry", "timeout_s"}),
    "loop": frozenset({"tool", "config", "retry", "timeout_s"}),
    "wait": frozenset({"wait"}),
    "approval": frozenset({"approval"}),
    "graph": frozenset({"graph", "input", "output", "timeout_s"}),
    "map": frozenset({"map", "tool", "config", "retry", "graph", "input", "output", "timeout_s"}),
    "end": frozenset(),
}
"""The keys that a node may have because of its type; all other keys go with every type."""

NEEDED: Final[Mapping[str, str]] = {
    "standard": "tool",
    "loop": "tool",
    "wait": "wait",
    "approval": "approval",
    "graph": "graph",
    "map": "map",
}
_TYPED: Final = frozenset().union(*NODE_TYPES.values())

GraphLookup = Callable[[str], int | None]
"""Returns how deep graphs nest in the stored graph of an id (0: none inside), or None if there is no such graph."""


def no_graphs(_wanted: str) -> int | None:
    """Know no stored graph."""
    return None


def nearest(name: str, known: Any) -> str:
    """Return a sentence that proposes the nearest known name, or an empty one."""
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_node(
    node: NodeDefinition, pointer: str, tools: ToolSource, graphs: GraphLookup, problems: list[Problem], *, depth: int
) -> None:
    """Append what is wrong with a node, but for what stands in a graph written inside it.

    Args:
        node: The node.
        pointer: JSON pointer of the node.
        tools: Where tools are found.
        graphs: Where stored graphs are found.
        problems: Gets what is found.
        depth: How deep the node's graph is nested.
    """
    taken = NODE_TYPES.get(node.type)
    if taken is None:
        hint = nearest(node.type, NODE_TYPES) or f" There are: {', '.join(NODE_TYPES)}."
        problems.append(Problem(f"{pointer}/type", f"Unknown node type {node.type!r}.{hint}", "unknown_type"))
        return
    for key in sorted(_TYPED & node.model_fields_set - taken):
        detail = f"A node of type {node.type!r} takes no {key!r}."
        problems.append(Problem(f"{pointer}/{key}", detail, "key_of_other_type"))
    needed = NEEDED.get(node.type)
    if needed is not None and getattr(node, needed) is None:
        article = "a tool" if needed == "tool" else f"the key {needed!r}"
        problems.append(Problem(f"{pointer}/{needed}", f"Node {node.name!r} needs {article}.", "missing_key"))
    if node.cancel_losers and node.join == "all":
        detail = 'A join that waits for all its edges has no losers: set "join" to "any" or {"n": …}.'
        problems.append(Problem(f"{pointer}/cancel_losers", detail, "unused_cancel_losers"))
    if node.tool is None and node.config and "config" in taken:
        problems.append(Problem(f"{pointer}/config", f"Node {node.name!r} has a config but no tool.", "unused_config"))
    if node.tool is not None and "tool" in taken:
        _check_tool(node, node.tool, pointer, tools, problems)
    if node.approval is not None:
        check_schema(node.approval.answer_schema, f"{pointer}/approval/answer_schema", problems)
    if node.type == "map" and node.map is not None:
        _check_map(node, pointer, problems)
    if isinstance(node.graph, str) and "graph" in taken:
        _check_reference(node.graph, pointer, graphs, problems, depth=depth)


def check_schema(schema: dict[str, Any] | bool | None, pointer: str, problems: list[Problem]) -> None:
    """Append what is wrong with a JSON Schema."""
    if schema is None:
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
        problems.append(Problem(f"{pointer}{where}", f"Not a JSON Schema: {error.message}.", "invalid_schema"))


def _check_tool(node: NodeDefinition, reference: str, pointer: str, tools: ToolSource, problems: list[Problem]) -> None:
    tool = tools.find(reference)
    if tool is None:
        hint = nearest(reference.split("@")[0], tools.names()) or " GET /api/tools lists those there are."
        problems.append(Problem(f"{pointer}/tool", f"There is no tool {reference!r}.{hint}", "unknown_tool"))
        return
    try:
        tool.arguments(node.config)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            where = "".join(f"/{escape(str(part))}" for part in fault["loc"])
            known = (
                nearest(str(fault["loc"][-1]), tool.parameters.model_fields)
                if fault["type"] == "extra_forbidden"
                else ""
            )
            detail = f"Tool {tool.reference!r}: {fault['msg']}.{known}"
            problems.append(Problem(f"{pointer}/config{where}", detail, "invalid_config"))


def _check_map(node: NodeDefinition, pointer: str, problems: list[Problem]) -> None:
    if (node.tool is None) is (node.graph is None):
        detail = f"Node {node.name!r} maps a tool or a graph over its items: give it exactly one of the two."
        problems.append(Problem(pointer, detail, "tool_or_graph"))
    if node.graph is not None and node.retry is not None:
        detail = "The retries of a graph are those of its nodes; only a map over a tool takes 'retry'."
        problems.append(Problem(f"{pointer}/retry", detail, "key_of_other_type"))
    if node.map is not None and node.map.until is not None:
        compile_condition(node.map.until, f"{pointer}/map/until", problems)


def _check_reference(wanted: str, pointer: str, graphs: GraphLookup, problems: list[Problem], *, depth: int) -> None:
    nesting = graphs(wanted)
    if nesting is None:
        detail = f"There is no graph {wanted!r}. GET /api/graphs lists those there are."
        problems.append(Problem(f"{pointer}/graph", detail, "unknown_graph"))
    elif depth + 1 + nesting > MAX_NESTING:
        problems.append(too_deep(f"{pointer}/graph"))


def too_deep(pointer: str) -> Problem:
    """Return the problem that graphs nest deeper than they may."""
    return Problem(pointer, f"Graphs nest at most {MAX_NESTING} deep.", "too_deep")
