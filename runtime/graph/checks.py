"""The verdict on a graph: every problem at once, each with its place and the nearest right name.

Shapes are read element by element, so that one bad node does not hide the others; what needs the whole graph is checked once
names and shapes are right, by `soundness.py` (errors, which refuse it) and `cautions.py` (warnings, which travel with the answer).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from runtime.errors import Problem, escape
from runtime.graph.cautions import cautions
from runtime.graph.conditions import compile_condition
from runtime.graph.definition import MAX_NESTING, EdgeDefinition, GraphDefinition, LoopDefinition, NodeDefinition
from runtime.graph.node_types import GraphLookup, check_node, check_schema, nearest, no_graphs, too_deep
from runtime.graph.plan import Topology, topology
from runtime.graph.soundness import unsound
from tools.contract import ToolSource

REDUCERS: Final = ("replace", "append", "extend", "add", "max", "min", "union", "deep_merge", "first")

MAX_HINTS: Final = 20
"""Problems up to which the nearest name is looked for: among 10,000 names that takes a tenth of a second each time."""

Part = TypeVar("Part", bound=BaseModel)


@dataclass(slots=True)
class Verdict:
    """What the checks found. `definition` and its analysed `shape` are None where an element is wrong in itself."""

    definition: GraphDefinition | None = None
    shape: Topology | None = None
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def judge(source: Any, tools: ToolSource, graphs: GraphLookup = no_graphs, *, depth: int = 0) -> Verdict:
    """Check a graph as it came from JSON.

    Args:
        source: The graph.
        tools: Where its tools are.
        graphs: Where the stored graphs are that it refers to.
        depth: How deep it is nested in other graphs.
    """
    verdict = Verdict()
    if not isinstance(source, Mapping):
        verdict.errors.append(
            Problem("", "A graph is a JSON object with name, nodes, edges and entry_point.", "invalid_graph")
        )
        return verdict
    nodes = _read_list(NodeDefinition, source, "nodes", verdict.errors)
    edges = _read_list(EdgeDefinition, source, "edges", verdict.errors)
    loops = _read_list(LoopDefinition, source, "loops", verdict.errors)
    rest = {key: value for key, value in source.items() if key not in ("nodes", "edges", "loops")}
    shell = _read(GraphDefinition, {**rest, "nodes": [{"name": "-"}]}, "", verdict.errors)
    counts = Counter(_names(source))
    names = counts.keys()
    _check_names(source, counts, verdict.errors)
    for index, node in nodes:
        check_node(node, f"/nodes/{index}", tools, graphs, verdict.errors, depth=depth)
        if isinstance(node.graph, dict) and node.type in ("graph", "map"):
            _judge_inside(node.graph, f"/nodes/{index}/graph", verdict, tools, graphs, depth=depth + 1)
    for index, edge in edges:
        _check_edge(edge, f"/edges/{index}", names, verdict.errors)
    for index, loop in loops:
        _check_loop(loop, f"/loops/{index}", names, verdict.errors)
    if shell is not None:
        _check_reducers(shell.reducers, verdict.errors)
        check_schema(shell.input_schema, "/input_schema", verdict.errors)
        for index, name in enumerate(shell.finally_):
            _check_known(name, f"/finally/{index}", names, verdict.errors)
    if verdict.errors or shell is None:
        return verdict
    definition = shell.model_copy(
        update={"nodes": [n for _, n in nodes], "edges": [e for _, e in edges], "loops": [x for _, x in loops]}
    )
    verdict.definition = definition
    verdict.shape = shape = topology(definition)
    verdict.errors.extend(unsound(definition, shape))
    verdict.warnings.extend(cautions(definition, shape, tools) if not verdict.errors else ())
    return verdict


def _judge_inside(
    source: Mapping[str, Any],
    pointer: str,
    verdict: Verdict,
    tools: ToolSource,
    graphs: GraphLookup,
    *,
    depth: int,
) -> None:
    """Judge a graph that is written inside another one."""
    if depth > MAX_NESTING:
        verdict.errors.append(too_deep(pointer))
        return
    inner = judge(source, tools, graphs, depth=depth)
    for found, into in ((inner.errors, verdict.errors), (inner.warnings, verdict.warnings)):
        into.extend(Problem(pointer + one.pointer, one.detail, one.type) for one in found)


# --- shapes -----------------------------------------------------------------------------------------------------------


def _read(model: type[Part], source: Any, pointer: str, problems: list[Problem]) -> Part | None:
    try:
        return model.model_validate(source)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            place = _place(source, fault["loc"])
            where = pointer + "".join(f"/{escape(str(part))}" for part in place)
            if fault["type"] == "extra_forbidden":
                fields = [f.alias or key for key, f in model.model_fields.items()] if len(place) == 1 else ()
                problems.append(
                    Problem(where, f"Unknown key {str(place[-1])!r}.{nearest(str(place[-1]), fields)}", "unknown_key")
                )
            elif fault["type"] == "missing":
                problems.append(Problem(where, f"The key {str(place[-1])!r} is missing.", "missing_key"))
            else:
                problems.append(Problem(where, f"{fault['msg']}.", "invalid_value"))
        return None


def _place(source: Any, location: Sequence[str | int]) -> list[str | int]:
    """Return a location without the names of the alternatives that a value was tried as: they are no keys of the source."""
    place: list[str | int] = []
    value: Any = source
    for number, part in enumerate(location, start=1):
        if isinstance(value, Mapping) and (part in value or (number == len(location) and isinstance(part, str))):
            place.append(part)
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            place.append(part)
            value = value[part]
    return place


def _read_list(
    model: type[Part], source: Mapping[str, Any], key: str, problems: list[Problem]
) -> list[tuple[int, Part]]:
    items = [] if source.get(key) is None else source[key]
    if not isinstance(items, list):
        problems.append(Problem(f"/{key}", f"'{key}' is a list, got {type(items).__name__}.", "invalid_value"))
        return []
    limit = next(m.max_length for m in GraphDefinition.model_fields[key].metadata if hasattr(m, "max_length"))
    if len(items) > limit:
        problems.append(Problem(f"/{key}", f"There are {len(items)} {key}; at most {limit} are allowed.", "limit"))
        return []
    if key == "nodes" and not items:
        problems.append(Problem("/nodes", "A graph needs at least one node.", "no_node"))
    read = ((index, _read(model, item, f"/{key}/{index}", problems)) for index, item in enumerate(items))
    return [(index, part) for index, part in read if part is not None]


# --- names and single elements ----------------------------------------------------------------------------------------


def _names(source: Mapping[str, Any]) -> list[str]:
    """Return the names of all nodes, also of those whose other keys are wrong, so that edges to them are not blamed."""
    nodes = source.get("nodes", [])
    named = [node.get("name") for node in nodes if isinstance(node, Mapping)] if isinstance(nodes, list) else []
    return [name for name in named if isinstance(name, str)]


def _check_names(source: Mapping[str, Any], counts: Counter[str], problems: list[Problem]) -> None:
    nodes = source.get("nodes", [])
    seen: set[str] = set()
    for index, node in enumerate(nodes if isinstance(nodes, list) else []):
        name = node.get("name") if isinstance(node, Mapping) else None
        if isinstance(name, str) and counts[name] > 1:
            if name in seen:
                problems.append(Problem(f"/nodes/{index}/name", f"There is already a node {name!r}.", "duplicate_name"))
            seen.add(name)
    entry = source.get("entry_point")
    if isinstance(entry, str):
        _check_known(entry, "/entry_point", counts.keys(), problems)


def _check_known(name: str, pointer: str, names: Collection[str], problems: list[Problem]) -> None:
    if name not in names:
        hint = nearest(name, names) if len(problems) < MAX_HINTS else ""
        problems.append(Problem(pointer, f"There is no node {name!r}.{hint}", "unknown_node"))


def _check_edge(edge: EdgeDefinition, pointer: str, names: Collection[str], problems: list[Problem]) -> None:
    _check_known(edge.from_node, f"{pointer}/from_node", names, problems)
    _check_known(edge.to_node, f"{pointer}/to_node", names, problems)
    if edge.condition is not None:
        compile_condition(edge.condition, f"{pointer}/condition", problems)
        if edge.default:
            detail = "A default edge is taken when no other is, so it cannot have a condition."
            problems.append(Problem(f"{pointer}/default", detail, "default_with_condition"))
    if edge.on == "error" and edge.default:
        problems.append(Problem(f"{pointer}/default", "An error edge cannot be a default edge.", "default_on_error"))


def _check_loop(loop: LoopDefinition, pointer: str, names: Collection[str], problems: list[Problem]) -> None:
    _check_known(loop.node, f"{pointer}/node", names, problems)
    compile_condition(loop.condition, f"{pointer}/condition", problems)


def _check_reducers(reducers: Mapping[str, str], problems: list[Problem]) -> None:
    for key, reducer in reducers.items():
        if reducer not in REDUCERS:
            hint = nearest(reducer, REDUCERS) or f" There are: {', '.join(REDUCERS)}."
            detail = f"Unknown reducer {reducer!r}.{hint}"
            problems.append(Problem(f"/reducers/{escape(key)}", detail, "unknown_reducer"))
