"""Instances in WfFormat: every version means the same workflow, and what is wrong is named with its place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.wfformat_instance import BadInstance, Workflow, read_workflow
from tests.unit.bench.instances import CRITICAL_PATH_S, IDS, RUNTIMES, Json, new, old


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Any], Workflow]:
    def write_and_read(document: Any) -> Workflow:
        file = tmp_path / "instance.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return read_workflow(file)

    return write_and_read


Read = Callable[[Any], Workflow]


@pytest.mark.parametrize("document", [old("1.3"), old("1.4"), new("1.5"), new("1.6")], ids=["1.3", "1.4", "1.5", "1.6"])
def test_every_version_means_the_same_workflow(read: Read, document: Json) -> None:
    workflow = read(document)
    assert workflow.schema_version == document["schemaVersion"]
    assert workflow.name == "diamond"
    assert workflow.runtimes_s == tuple(RUNTIMES.values())
    assert workflow.parents == ((), (0,), (0,), (1, 2), ())
    assert workflow.edges == 4
    assert workflow.unknown_runtimes == 0
    assert workflow.critical_path_s == CRITICAL_PATH_S


def test_tasks_are_known_by_their_ids_and_without_one_by_their_names(read: Read) -> None:
    assert read(new()).ids == IDS
    document = old()
    for task in document["workflow"]["tasks"]:
        del task["id"]
    assert read(document).ids == tuple(RUNTIMES)


def test_each_task_stands_behind_its_parents_in_the_order(read: Read) -> None:
    workflow = read(new())
    assert sorted(workflow.order) == list(range(5))
    for task, parents in enumerate(workflow.parents):
        assert all(workflow.order.index(parent) < workflow.order.index(task) for parent in parents)


def test_a_dependency_counts_once_wherever_it_is_declared(read: Read) -> None:
    document = new()
    for task in document["workflow"]["specification"]["tasks"]:
        del task["parents"]
    only_children = read(document)
    assert only_children.parents == read(new()).parents
    assert read(old()).parents == only_children.parents  # the old layout says parents only


def test_runtimes_of_the_old_layout_may_stand_under_execution(read: Read) -> None:
    document = old()
    for task in document["workflow"]["tasks"]:
        del task["runtimeInSeconds"]
    document["workflow"]["execution"] = {"tasks": [{"name": "right", "runtimeInSeconds": 7}]}
    workflow = read(document)
    assert workflow.runtimes_s == (0, 0, 7, 0, 0)
    assert workflow.unknown_runtimes == 4


def test_tasks_without_a_runtime_take_no_time_and_are_counted(read: Read) -> None:
    document = new()
    del document["workflow"]["execution"]
    workflow = read(document)
    assert workflow.unknown_runtimes == 5
    assert workflow.critical_path_s == 0


def change(*path: str | int, to: Any, document: Json | None = None) -> Json:
    """Return an instance with another value at a place, or, for `...`, without it."""
    changed: Any = document or new()
    place = changed
    for step in path[:-1]:
        place = place[step]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return dict(changed)


TASKS = ("workflow", "specification", "tasks")
EXECUTED = ("workflow", "execution", "tasks")


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("{", r"^Line 1, column 2: this is no JSON"),
        ("[" * 100_000, r"nested too deep"),
        ([], r"^The whole file: this has to be an object"),
        (change("schemaVersion", to=...), r"^/schemaVersion: this is missing"),
        (change("schemaVersion", to="1.2"), r"^/schemaVersion: '1.2' is not known; there are 1.3, 1.4, 1.5, 1.6"),
        (change("schemaVersion", to=1.5), r"^/schemaVersion: this has to be a text"),
        (change("workflow", to=...), r"^/workflow: this is missing"),
        (change("workflow", "specification", to=...), r"^/workflow/tasks: this is missing"),
        (change(*TASKS, to={}), r"^/workflow/specification/tasks: this has to be a list"),
        (change(*TASKS, to=[]), r"^/workflow/specification/tasks: there is no task"),
        (change(*TASKS, 1, to="left"), r"^/workflow/specification/tasks/1: this has to be an object"),
        (change(*TASKS, 1, to={"parents": []}), r"^/workflow/specification/tasks/1/name: this is missing"),
        (change(*TASKS, 1, "id", to=IDS[0]), r"^/workflow/specification/tasks/1/id: 'get_ID0' is the id of task 0"),
        (change(*TASKS, 3, "parents", to="left"), r"^/workflow/specification/tasks/3/parents: this has to be a list"),
        (
            change(*TASKS, 3, "parents", 1, to="no"),
            r"^/workflow/specification/tasks/3/parents/1: no task is called 'no'",
        ),
        (change(*TASKS, 3, "parents", 1, to="step"), r"tasks/3/parents/1: 5 tasks are called 'step'"),
        (change(*TASKS, 3, "children", to=[3]), r"tasks/3/children/0: this has to be a text"),
        (change(*TASKS, 0, "parents", to=[IDS[3]]), r"^/workflow/specification/tasks: tasks wait for each other"),
        (change(*TASKS, 0, "parents", to=[IDS[0]]), r"wait for each other in a circle: 'get_ID0' -> 'get_ID0'"),
        (change(*EXECUTED, to=...), r"^/workflow/execution/tasks: this is missing"),
        (change(*EXECUTED, 2, "id", to="no"), r"^/workflow/execution/tasks/2/id: no task is called 'no'"),
        (change(*EXECUTED, 2, "runtimeInSeconds", to=-1), r"execution/tasks/2/runtimeInSeconds: -1.0 is no number of"),
        (change(*EXECUTED, 2, "runtimeInSeconds", to="1"), r'tasks/2/runtimeInSeconds: "1" is no number of seconds'),
        (change(*EXECUTED, 2, "runtimeInSeconds", to=True), r"tasks/2/runtimeInSeconds: true is no number"),
        (change(*EXECUTED, 2, "runtimeInSeconds", to=float("nan")), r"tasks/2/runtimeInSeconds: NaN is no number"),
        (change(*EXECUTED, 2, "runtimeInSeconds", to=10**400), r"tasks/2/runtimeInSeconds: Infinity is no number"),
        (
            change("workflow", "tasks", 2, "runtime", to=-1, document=old("1.3")),
            r"^/workflow/tasks/2/runtime: -1.0 is no",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(read: Read, document: Any, complaint: str) -> None:
    with pytest.raises(BadInstance, match=complaint):
        read(document)


def test_a_file_that_cannot_be_read_is_a_bad_instance(tmp_path: Path) -> None:
    with pytest.raises(BadInstance, match="cannot be read: No such file"):
        read_workflow(tmp_path / "missing.json")
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xe9"}')
    with pytest.raises(BadInstance, match=r"^Byte 10: this is no UTF-8"):
        read_workflow(tmp_path / "latin.json")
