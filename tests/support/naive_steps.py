"""What the step of each node type comes to, for the naive interpreter: an update, or the code of a failure."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator

from runtime.run.messages import Failed
from tests.support.driver import Call
from tests.support.graphs import Source
from tests.support.replies import SILENCE, answer_of, data_of

if TYPE_CHECKING:
    from tests.support.naive import Frame

State = dict[str, Any]
MISSING: Final = object()


class StepFailed(Exception):
    """The step failed for good. `code` is one code, or several joined by `|` if timing decides which."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotBegun(StepFailed):
    """The step failed before it began: it makes no attempt."""


class BadCondition(Exception):
    """A condition compares what cannot be compared."""


def lookup(value: Any, path: str) -> Any:
    """Return what a dotted path leads to, or `MISSING`."""
    for part in path.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def holds(condition: Source, state: State) -> bool:
    """Test a leaf; the graphs of the tests know no other conditions."""
    actual, operator, expected = lookup(state, condition["field"]), condition["operator"], condition["value"]
    if actual is MISSING:
        return False
    if operator == "==":
        return bool(actual == expected)
    if isinstance(actual, bool) or not isinstance(actual, int):
        raise BadCondition
    return bool({"<=": actual <= expected, ">=": actual >= expected}[operator])


def perform(frame: "Frame", node: Source, state: State, iteration: int) -> State:
    """Return the update of a step that sees `state`."""
    kind = node.get("type", "standard")
    if kind in _KINDS:
        return _KINDS[kind](frame, node, state, iteration)
    if "tool" not in node:
        return {}
    outcome = frame.world.script(Call(node["name"], iteration, 1, state, frame.path))
    if isinstance(outcome, Failed):
        raise StepFailed(outcome.error.code)
    return dict(outcome.update)


def _wait(frame: "Frame", node: Source, state: State, _iteration: int) -> State:
    wait = node["wait"]
    if "until_field" in wait and not _is_instant(lookup(state, wait["until_field"])):
        raise NotBegun("INVALID_WAIT")
    if "signal" not in wait:
        return {}
    data = data_of(frame.world.script, wait)
    if data is SILENCE:
        if "timeout_data" not in wait:
            raise StepFailed("TIMEOUT")
        data = wait["timeout_data"]
    return {wait["into"]: data} if "into" in wait else {}


def _is_instant(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _approval(frame: "Frame", node: Source, _state: State, iteration: int) -> State:
    approval = node["approval"]
    answer = answer_of(frame.world.script, approval, frame.path, node["name"], iteration)
    if answer is SILENCE:
        if "timeout_answer" not in approval:
            raise StepFailed("TIMEOUT")
        answer = approval["timeout_answer"]
    return {approval.get("into", node["name"]): answer}


def _graph(frame: "Frame", node: Source, state: State, iteration: int) -> State:
    given = _given(node, state)
    if not _is_valid(node["graph"], given):
        raise NotBegun("INVALID_INPUT")
    child = frame.child(node["graph"], given, f"{node['name']}#{iteration}")
    if child.run():
        raise StepFailed("|".join(sorted(set(child.failures))))
    return child.output(node.get("output"))


def _map(frame: "Frame", node: Source, state: State, iteration: int) -> State:
    name, keys = node["name"], node["map"]
    items = keys["items"] if isinstance(keys["items"], list) else lookup(state, keys["items"])
    if not isinstance(items, list):
        raise NotBegun("INVALID_ITEMS")
    source = node.get("graph") or {"nodes": [{"name": name, "tool": node["tool"]}], "edges": [], "entry_point": name}
    word, into, collects = keys.get("as", "item"), keys.get("into", name), keys.get("mode") == "collect"
    one_by_one = keys.get("concurrency", 10) == 1 or len(items) <= 1
    results: list[Any] = [None] * len(items)
    errors: list[State] = []
    if items and ("finish_on" in keys or ("until" in keys and not one_by_one)):
        frame.world.is_exact = False
    for index, item in enumerate(items):
        child = frame.child(source, {}, f"{name}#{iteration}[{index}]")
        try:
            element = {word: item, f"{word}_index": index}
            child.initial = _given(node, state | element) | element
            codes = child.run() if _is_valid(source, child.initial) else ["INVALID_INPUT"]
        except NotBegun as failure:
            codes = [failure.code]
        if codes:
            errors.append({"index": index, "code": "|".join(sorted(set(codes))), "message": ""})
        else:
            results[index] = child.output(node.get("output"))
        if codes and not collects and one_by_one:
            break
        seen = {"completed": index + 1 - len(errors), "failed": len(errors), "total": len(items)}
        if "until" in keys and holds(keys["until"], {**seen, "last": results[index]}):
            break
    if errors and not collects:
        if not one_by_one:
            frame.world.vague.append(f"{child.path.rpartition('[')[0]}[")
        raise StepFailed("ITEM_FAILED")
    return {into: results, **({f"{into}_errors": errors} if collects else {})}


def _given(node: Source, state: State) -> State:
    """Return the state that a sub-graph begins with."""
    if "input" not in node:
        return dict(state)
    found = {key: lookup(state, path) for key, path in node["input"].items()}
    if MISSING in found.values():
        raise NotBegun("MISSING_INPUT")
    return found


def _is_valid(source: Source, state: State) -> bool:
    return Draft202012Validator(source.get("input_schema", True)).is_valid(state)


def chosen(mapping: Mapping[str, str], state: State) -> State:
    """Return what an `output` mapping takes from the final state of a sub-graph."""
    found = {key: lookup(state, path) for key, path in mapping.items()}
    return {key: value for key, value in found.items() if value is not MISSING}


_KINDS: Final = {"wait": _wait, "approval": _approval, "graph": _graph, "map": _map, "end": lambda *_: {}}
