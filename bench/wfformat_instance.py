"""Reads an instance in WfFormat, the JSON of the WfCommons project (wfcommons.org) for traces of scientific workflows.

Versions 1.3 to 1.6 of the schema. Up to 1.4 a task has everything about itself (`workflow.tasks`) and names its neighbours by
their names; from 1.5 on, the dependencies are in `workflow.specification.tasks`, the runtimes in `workflow.execution.tasks`,
and tasks are known by their ids. Here a reference may be either, and a dependency counts wherever it is declared: as a parent of
the one or as a child of the other. Everything that is not a task, a dependency or a runtime is left aside.

Invariant: a `Workflow` has no cycle, no dependency twice, and no task that nobody knows.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final

VERSIONS: Final = ("1.3", "1.4", "1.5", "1.6")
_RUNTIME_KEYS: Final = ("runtimeInSeconds", "runtime")  # the second one in 1.3
_SHOWN: Final = 5


class BadInstance(Exception):
    """The file is no instance that can be run; the message begins with the place, mostly as a JSON pointer."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """Tasks are numbered from 0, in the order of the file.

    Attributes:
        ids: What the file calls them.
        runtimes_s: How long they took; 0 where the file does not say.
        parents: For each task those that have to end before it starts, in ascending order.
        order: All tasks, each one behind its parents.
        unknown_runtimes: Tasks of which the file does not say how long they took.
    """

    name: str
    schema_version: str
    ids: tuple[str, ...]
    runtimes_s: tuple[float, ...]
    parents: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    unknown_runtimes: int

    @property
    def edges(self) -> int:
        """Number of dependencies."""
        return sum(map(len, self.parents))

    @property
    def critical_path_s(self) -> float:
        """The largest sum of runtimes along any way through the workflow."""
        ends = [0.0] * len(self.ids)
        for task in self.order:
            ends[task] = self.runtimes_s[task] + max((ends[parent] for parent in self.parents[task]), default=0.0)
        return max(ends)


def read_workflow(path: Path) -> Workflow:
    """Return the workflow in a file.

    Raises:
        BadInstance: The file cannot be read, or is no instance of a version that is known here.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInstance(f"The file cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadInstance(f"Byte {error.start}: this is no UTF-8.") from error
    try:
        document = json.loads(text, parse_int=float)  # no whole number is too long then, only infinite
    except json.JSONDecodeError as error:
        raise BadInstance(f"Line {error.lineno}, column {error.colno}: this is no JSON: {error.msg}.") from error
    except RecursionError as error:
        raise BadInstance("This JSON is nested too deep.") from error
    return workflow_of(document)


def workflow_of(document: Any) -> Workflow:
    """Return the workflow that a decoded file describes; its numbers are floats.

    Raises:
        BadInstance: It is no instance of a version that is known here.
    """
    root = _checked(document, dict, "")
    version = _member(root, "schemaVersion", str, "")
    if version not in VERSIONS:
        raise BadInstance(f"/schemaVersion: {version!r} is not known; there are {', '.join(VERSIONS)}.")
    workflow = _member(root, "workflow", dict, "")
    if "specification" in workflow:
        tasks = _member(_member(workflow, "specification", dict, "/workflow"), "tasks", list, "/workflow/specification")
        place = "/workflow/specification/tasks"
    else:
        tasks, place = _member(workflow, "tasks", list, "/workflow"), "/workflow/tasks"
    if not tasks:
        raise BadInstance(f"{place}: there is no task.")
    for number, task in enumerate(tasks):
        _checked(task, dict, f"{place}/{number}")
    names = _Names(tasks, place)
    runtimes = [_runtime(task, f"{place}/{number}") for number, task in enumerate(tasks)]
    _add_execution(workflow, names, runtimes)
    parents = _parents(tasks, names, place)
    return Workflow(
        name=str(root.get("name", "")),
        schema_version=version,
        ids=tuple(names.ids),
        runtimes_s=tuple(seconds or 0.0 for seconds in runtimes),
        parents=parents,
        order=_order(parents, names.ids, place),
        unknown_runtimes=sum(seconds is None for seconds in runtimes),
    )


class _Names:
    """Finds tasks by id or name. A task without an id is known by its name."""

    def __init__(self, tasks: Sequence[dict[str, Any]], place: str) -> None:
        self.ids: list[str] = []
        self._by_id: dict[str, int] = {}
        self._by_name: dict[str, list[int]] = {}
        for number, task in enumerate(tasks):
            key = "id" if "id" in task else "name"
            known_as = _member(task, key, str, f"{place}/{number}")
            if known_as in self._by_id:
                first = self._by_id[known_as]
                raise BadInstance(f"{place}/{number}/{key}: {known_as!r} is the {key} of task {first} already.")
            self._by_id[known_as] = number
            self.ids.append(known_as)
            if isinstance(name := task.get("name"), str):
                self._by_name.setdefault(name, []).append(number)

    def find(self, reference: Any, place: str) -> int:
        """Return the number of the task that is meant."""
        wanted: str = _checked(reference, str, place)
        if wanted in self._by_id:
            return self._by_id[wanted]
        named = self._by_name.get(wanted, [])
        if len(named) != 1:
            raise BadInstance(f"{place}: {f'{len(named)} tasks are' if named else 'no task is'} called {wanted!r}.")
        return named[0]


def _parents(tasks: Sequence[dict[str, Any]], names: _Names, place: str) -> tuple[tuple[int, ...], ...]:
    parents: list[set[int]] = [set() for _ in tasks]
    for number, task in enumerate(tasks):
        for key in ("parents", "children"):
            here = f"{place}/{number}"
            for index, reference in enumerate(_member(task, key, list, here) if key in task else []):
                other = names.find(reference, f"{here}/{key}/{index}")
                child, parent = (number, other) if key == "parents" else (other, number)
                parents[child].add(parent)
    return tuple(tuple(sorted(some)) for some in parents)


def _order(parents: Sequence[Sequence[int]], ids: Sequence[str], place: str) -> tuple[int, ...]:
    try:
        return tuple(TopologicalSorter(dict(enumerate(parents))).static_order())
    except CycleError as error:
        circle = [repr(ids[task]) for task in error.args[1]]
        shown = " -> ".join(circle[:_SHOWN]) + (" -> …" if len(circle) > _SHOWN else "")
        raise BadInstance(f"{place}: tasks wait for each other in a circle: {shown}.") from error


def _add_execution(workflow: dict[str, Any], names: _Names, runtimes: list[float | None]) -> None:
    if "execution" not in workflow:
        return
    place = "/workflow/execution"
    execution = _member(workflow, "execution", dict, "/workflow")
    for index, entry in enumerate(_member(execution, "tasks", list, place)):
        here = f"{place}/tasks/{index}"
        task = _checked(entry, dict, here)
        key = "id" if "id" in task else "name"
        number = names.find(_member(task, key, str, here), f"{here}/{key}")
        seconds = _runtime(task, here)
        runtimes[number] = runtimes[number] if seconds is None else seconds


def _runtime(task: dict[str, Any], place: str) -> float | None:
    for key in _RUNTIME_KEYS:
        seconds = task.get(key)
        if seconds is None:
            continue
        if not isinstance(seconds, float) or not math.isfinite(seconds) or seconds < 0:
            raise BadInstance(f"{place}/{key}: {json.dumps(seconds)[:80]} is no number of seconds.")
        return seconds
    return None


def _member(holder: dict[str, Any], key: str, kind: type, place: str) -> Any:
    if key not in holder:
        raise BadInstance(f"{place}/{key}: this is missing.")
    return _checked(holder[key], kind, f"{place}/{key}")


_KINDS: Final[dict[type, str]] = {dict: "an object", list: "a list", str: "a text"}


def _checked(value: Any, kind: type, place: str) -> Any:
    if not isinstance(value, kind):
        raise BadInstance(f"{place or 'The whole file'}: this has to be {_KINDS[kind]}.")
    return value
