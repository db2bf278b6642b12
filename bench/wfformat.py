"""`python -m bench.wfformat FILE`: a recorded scientific workflow, run by the engine.

The file is an instance in WfFormat (see `wfformat_instance.py`). Each of its tasks becomes a node whose tool sleeps as long as the
task once took, times `--scale`; each dependency becomes an edge; one more node without a tool starts all tasks that have no
parent. So the shape and the rhythm are those of a real workflow, and everything beyond the critical path (the longest
sum of sleeps along any way) is what waking up late and the engine cost.

Measured region: from `Engine.run` until its caller has the end. The first run of a graph is measured, without a warm-up, since
a workflow like these runs once: the start of a worker for each task is inside. Opening the engine and creating the graph are
outside, and so is reading the log of each run afterwards: in it every task must have started once and ended once, and behind
the ends of all its parents. Otherwise the bench ends with 1. A file that cannot be run ends it with 2.

There are two kinds of runs. With sleeps: `makespan`, `beyond path` (makespan less critical path; what the engine does while
something on the critical path sleeps costs nothing here), and CPU per task. Without sleeps (scale 0): nothing hides the engine's
work any more, so time and CPU divided by the number of tasks are what it needs for one task and its edges.

Control case: the same sleeps in the same order with one AnyIO task for each, without an engine. Its `beyond path` is what the event
loop and the machine are late by: uvloop's timers tick in milliseconds, and so each link of the critical path may add one.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import msgspec
import typer
from rich.progress import Progress
from rich.table import Table

if not __package__:  # run as a file
    sys.path[0] = str(Path(__file__).parents[1])

from bench.engines import journal_url, opened, quiet_progress, run_on, settle_like_the_server
from bench.in_process import Backend, JournalChoice
from bench.report import Figure, fail, figure, publish, shown
from bench.scenarios import event_fault
from bench.wfformat_instance import BadInstance, Workflow, read_workflow
from runtime import Engine, RunView
from runtime.graph.definition import MAX_EDGES, MAX_NODES
from tools.contract import tool
from tools.registry import Registry

PATH_S: Final = 5.0
"""Seconds that the critical path is scaled to where `--scale` does not say."""

QUICK_PATH_S: Final = 1.0
LONGEST_PATH_S: Final = 86_400.0
_START: Final = "start"
_PATIENCE_S: Final = 3_600.0
_SHOWN: Final = 5

Json = dict[str, Any]


@tool(effect="pure")
async def sleep(state: Json, seconds: float) -> None:
    """Sleep."""
    await anyio.sleep(seconds)


@dataclass(slots=True)
class Timing:
    """What the repetitions of one place came to, one element each.

    Attributes:
        makespans_s: Of the slowest run.
        cpu_us: Time on a core for one task.
        bare_us, bare_cpu_us: Time on the wall and on a core for one task, without sleeps.
    """

    makespans_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    bare_us: list[float] = field(default_factory=list)
    bare_cpu_us: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Taken:
    """One repetition. `violations` are sentences."""

    wall_s: float
    cpu_s: float
    slowest_s: float
    violations: list[str]


def graph_of(workflow: Workflow, scale: float) -> Json:
    """Return the definition of a graph with the node `t<number>` for each task.

    Raises:
        BadInstance: A graph cannot hold that much.
    """
    roots = [task for task, parents in enumerate(workflow.parents) if not parents]
    nodes, edges = len(workflow.ids) + 1, workflow.edges + len(roots)
    if nodes > MAX_NODES or edges > MAX_EDGES:
        raise BadInstance(
            f"The whole file: {len(workflow.ids):,} tasks and {workflow.edges:,} dependencies, with an entry before the "
            f"{len(roots):,} tasks without a parent, are {nodes:,} nodes and {edges:,} edges; "
            f"a graph holds up to {MAX_NODES:,} and {MAX_EDGES:,}."
        )
    sleeps = [seconds * scale for seconds in workflow.runtimes_s]
    return {
        "name": "wfformat",
        "nodes": [
            {"name": _START, "type": "conditional"},
            *(
                {
                    "name": f"t{task}",
                    "tool": "sleep",
                    "config": {"seconds": seconds},
                    "timeout_s": seconds + _PATIENCE_S,
                }
                for task, seconds in enumerate(sleeps)
            ),
        ],
        "edges": [
            *({"from_node": _START, "to_node": f"t{task}"} for task in roots),
            *(
                {"from_node": f"t{parent}", "to_node": f"t{task}"}
                for task, parents in enumerate(workflow.parents)
                for parent in parents
            ),
        ],
        "entry_point": _START,
        "limits": {"timeout_s": 2 * LONGEST_PATH_S},
    }


def order_violations(workflow: Workflow, events: Sequence[Json]) -> list[str]:
    """Return a sentence for each dependency that the log of a run contradicts, and for each task that did not run once."""
    started: dict[str, list[int]] = {}
    completed: dict[str, list[int]] = {}
    for event in events:
        if event["event"] in ("step_started", "step_completed"):
            seen = started if event["event"] == "step_started" else completed
            seen.setdefault(event["node"], []).append(event["seq"])
    found = []
    for task, known_as in enumerate(workflow.ids):
        starts, ends = started.get(f"t{task}", []), completed.get(f"t{task}", [])
        if len(starts) != 1 or len(ends) != 1:
            found.append(f"Task {known_as!r} started {len(starts)} times and ended {len(ends)} times.")
        found += [
            f"Task {known_as!r} started before its parent {workflow.ids[parent]!r} had ended."
            for parent in workflow.parents[task]
            if starts and min(starts) < max(completed.get(f"t{parent}", [len(events) + 1]))
        ]
    return found


async def run_by_hand(workflow: Workflow, scale: float, runs: int) -> Taken:
    """Sleep as the tasks of a workflow would, each as soon as its parents have ended."""
    children: list[list[int]] = [[] for _ in workflow.ids]
    for task, parents in enumerate(workflow.parents):
        for parent in parents:
            children[parent].append(task)
    took: list[float] = []

    async def whole() -> None:
        waits_for = [len(parents) for parents in workflow.parents]
        began = time.perf_counter()

        async def work(task: int) -> None:
            await sleep({}, workflow.runtimes_s[task] * scale)
            for child in children[task]:
                waits_for[child] -= 1
                if not waits_for[child]:
                    tasks.start_soon(work, child)

        async with anyio.create_task_group() as tasks:
            for task, parents in enumerate(workflow.parents):
                if not parents:
                    tasks.start_soon(work, task)
        took.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    async with anyio.create_task_group() as wholes:
        for _ in range(runs):
            wholes.start_soon(whole)
    return Taken(time.perf_counter() - began, time.process_time() - cpu, max(took), [])


async def run_in_engine(workflow: Workflow, scale: float, runs: int, journal: str) -> Taken:
    """Run a workflow in a fresh engine, `runs` times at once, then check all that it did."""
    tools = Registry()
    tools.add(sleep)
    ended: list[tuple[RunView, float]] = []
    with journal_url(journal) as url:
        async with opened(url, tools) as engine:
            graph_id = (await engine.create_graph(graph_of(workflow, scale))).graph_id

            async def caller() -> None:
                started = time.perf_counter()
                view = await engine.run(graph_id)
                ended.append((view, time.perf_counter() - started))

            began, cpu = time.perf_counter(), time.process_time()
            async with anyio.create_task_group() as callers:
                for _ in range(runs):
                    callers.start_soon(caller)
            wall, used = time.perf_counter() - began, time.process_time() - cpu
            violations = [sentence for view, _ in ended for sentence in await _violations(engine, workflow, view)]
    return Taken(wall, used, max(seconds for _, seconds in ended), violations)


async def _violations(engine: Engine, workflow: Workflow, view: RunView) -> list[str]:
    events = [msgspec.json.decode(record.encoded) for record in await engine.log(view.run_id)]
    if (fault := event_fault(events)) is not None:
        fail(f"run {view.run_id} is {view.status}: {fault}")
    return order_violations(workflow, events)


async def measure(
    workflow: Workflow, scale: float, runs: int, journals: list[str], repetitions: int, progress: Progress
) -> tuple[dict[str, Timing], list[str]]:
    """Return what each place took, and every violation of the order."""
    timings = {place: Timing() for place in ("control", *journals)}
    violations: list[str] = []
    bar = progress.add_task("measuring", total=repetitions * len(timings))
    work = len(workflow.ids) * runs / 1e6  # makes µs a task of seconds
    for _ in range(repetitions):
        for place, timing in timings.items():
            progress.update(bar, description=place, refresh=True)
            for now in dict.fromkeys((scale, 0.0)):
                if place == "control":
                    taken = await run_by_hand(workflow, now, runs)
                else:
                    taken = await run_in_engine(workflow, now, runs, place)
                violations += taken.violations
                if now == scale:
                    timing.makespans_s.append(taken.slowest_s)
                    timing.cpu_us.append(taken.cpu_s / work)
                if now == 0:
                    timing.bare_us.append(taken.wall_s / work)
                    timing.bare_cpu_us.append(taken.cpu_s / work)
            progress.advance(bar)
    return timings, violations


def show(workflow: Workflow, path_s: float, timings: dict[str, Timing], violations: int) -> tuple[Table, list[Figure]]:
    """Return the table and the figures; `path_s` is the critical path, scaled."""
    label = f"{workflow.name or 'workflow'}, {len(workflow.ids):,} tasks, {workflow.edges:,} edges"
    table = Table(
        title=f"{label}, {violations} order violations: critical path {path_s:.3f} s; median (min-max)",
    )
    for column in ("", "makespan s", "of path", "beyond path ms", "CPU µs/task", "no sleeps: µs/task", "CPU µs/task"):
        table.add_column(column, justify="right" if column else "left")
    figures: list[Figure] = []
    for place, timing in timings.items():
        name = f"{label}, {place}"
        beyond = [(seconds - path_s) * 1000 for seconds in timing.makespans_s]
        taken = [
            figure(name, "makespan s", timing.makespans_s, more_is_better=False),
            figure(name, "beyond path ms", beyond, more_is_better=False),
            figure(name, "CPU µs/task", timing.cpu_us, more_is_better=False),
            figure(name, "no sleeps, µs/task", timing.bare_us, more_is_better=False),
            figure(name, "no sleeps, CPU µs/task", timing.bare_cpu_us, more_is_better=False),
        ]
        makespan, late, cpu, bare, bare_cpu = taken
        figures += [makespan, bare_cpu] if place == "control" else taken  # its other figures only say that they scatter
        table.add_row(
            place,
            f"{makespan.median:.3f}",
            f"{makespan.median / path_s:.3f}" if path_s else "-",
            _spread(late),
            shown(cpu.median),
            _spread(bare),
            shown(bare_cpu.median),
        )
    return table, figures


def _spread(one: Figure) -> str:
    return f"{shown(one.median)} ({shown(one.low)}-{shown(one.high)})"


def main(
    file: Annotated[Path, typer.Argument(help="A WfFormat instance, version 1.3 to 1.6.")],
    scale: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds to sleep for each second of the trace; otherwise the critical path takes 5 s."
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Runs of the workflow at once.")] = 1,
    journal: Annotated[JournalChoice, typer.Option(help="Which journals.")] = JournalChoice.BOTH,
    backend: Annotated[Backend, typer.Option(help="Which event loop.")] = Backend.UVLOOP,
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions of each case.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="A critical path of 1 s, three repetitions.")] = False,
    json: Annotated[Path | None, typer.Option(help="File for the figures; - prints them.")] = None,
) -> None:
    """Run a recorded scientific workflow (WfFormat) with sleeps for its tasks."""
    settle_like_the_server()
    try:
        workflow = read_workflow(file)
        path_s = workflow.critical_path_s
        if scale is None:
            scale = (QUICK_PATH_S if quick else PATH_S) / path_s if path_s else 0.0
        if not path_s * scale <= LONGEST_PATH_S:
            raise BadInstance(
                f"--scale {scale:g}: the critical path would take {path_s * scale:,.0f} s; a day is the most."
            )
        graph_of(workflow, scale)
    except BadInstance as error:
        print(f"{file}: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    if workflow.unknown_runtimes:
        print(f"{file}: {workflow.unknown_runtimes} tasks have no runtime; they do not sleep.", file=sys.stderr)
    repetitions = min(repetitions, 3) if quick else repetitions
    journals = ["memory", "sqlite"] if journal is JournalChoice.BOTH else [journal.value]
    with quiet_progress() as progress:
        timings, violations = run_on(backend, measure, workflow, scale, concurrency, journals, repetitions, progress)
    table, figures = show(workflow, path_s * scale, timings, len(violations))
    settings = {
        "file": file.name,
        "schema": workflow.schema_version,
        "scale": float(f"{scale:.4g}"),
        "concurrency": concurrency,
        "backend": backend.value,
        "repetitions": repetitions,
    }
    publish("wfformat", settings, figures, [table], json)
    if violations:
        fail(f"{len(violations)} order violations. " + " ".join(violations[:_SHOWN]))


if __name__ == "__main__":
    typer.run(main)
