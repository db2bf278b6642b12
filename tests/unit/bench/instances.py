"""Five tasks in each layout of WfFormat: `get` feeds `left` and `right`, both feed `join`; `alone` has no neighbour."""

from typing import Any

Json = dict[str, Any]

RUNTIMES = {"get": 1.0, "left": 2.0, "right": 4.5, "join": 2.0, "alone": 3.0}
PARENTS = {"get": [], "left": ["get"], "right": ["get"], "join": ["left", "right"], "alone": []}
IDS = tuple(f"{name}_ID{number}" for number, name in enumerate(RUNTIMES))
CRITICAL_PATH_S = 7.5


def old(version: str = "1.4") -> Json:
    """Return the layout up to 1.4: all about a task in one place, neighbours by name."""
    key = "runtime" if version == "1.3" else "runtimeInSeconds"
    tasks = [
        {"name": name, "id": f"ID{number}", "type": "compute", "parents": PARENTS[name], key: seconds}
        for number, (name, seconds) in enumerate(RUNTIMES.items())
    ]
    return {"name": "diamond", "schemaVersion": version, "workflow": {"tasks": tasks}}


def new(version: str = "1.5") -> Json:
    """Return the layout from 1.5 on: dependencies here, runtimes there, all by id."""
    known = dict(zip(RUNTIMES, IDS, strict=True))
    children = {name: [other for other, parents in PARENTS.items() if name in parents] for name in PARENTS}
    tasks = [
        {
            "name": "step",
            "id": known[name],
            "parents": [known[parent] for parent in PARENTS[name]],
            "children": [known[child] for child in children[name]],
        }
        for name in RUNTIMES
    ]
    executed = [{"id": known[name], "runtimeInSeconds": seconds} for name, seconds in reversed(RUNTIMES.items())]
    workflow = {"specification": {"tasks": tasks}, "execution": {"makespanInSeconds": 9, "tasks": executed}}
    return {"name": "diamond", "schemaVersion": version, "workflow": workflow}
