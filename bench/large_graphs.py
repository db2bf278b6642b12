"""`python -m bench.large_graphs`: what graphs of the largest kind cost, and how long they hold up everybody else.

Two graphs: a chain of 10,000 nodes, the most a graph may have, and a node with 2,000 branches and a join. Each repetition opens a
fresh engine, creates the graph and runs it once; with SQLite it then opens the journal again and submits one more run. Measured
regions: `create`, from `Engine.create_graph` until it returns; `run`, from `Engine.run` until its caller has the end; `accept`,
after a restart, from `Engine.submit` until it returns, for which the graph has to be read and compiled again. Making the
definition, opening and closing the engine, and checking each end state and log are outside.

Meanwhile a task on the same event loop sleeps 5 ms again and again and notes by how much too late it wakes: that is how long
any other run, request or monitor of the same server would have waited. It begins shortly before each region and goes on until it
has woken once more after the region, so that no stall goes unseen. `p50` and `p99` are of all its wakings in all repetitions; a
single long stall is one waking among few, so look at `max`, and at its spread over the repetitions.

Control cases: `idle`, where nobody does anything, says how late the machine and the loop are by themselves; `run` of the
control, the same functions awaited by hand one after another without an engine, is the least a run can take, and gives way to
nobody: its lag is its duration.
"""

import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import typer
from rich.progress import Progress
from rich.table import Table

from bench import trivial_tools
from bench.engines import journal_url, opened, quiet_progress, run_on, settle_like_the_server
from bench.in_process import Backend, JournalChoice
from bench.report import Figure, fail, figure, percentile, publish, shown
from bench.scenarios import Json, Scenario, chain, log_fault, registry
from runtime import Engine, RunView
from runtime.graph.definition import MAX_NODES

BRANCHES: Final = 2_000
NAP_S: Final = 0.005
IDLE_S: Final = 0.5


def wide(branches: int, key: str) -> Scenario:
    """Return a node, branches that each set a key, and a join that adds them up."""
    keys = [f"branch{number}" for number in range(branches)]

    async def by_hand() -> Json:
        state: Json = dict(await trivial_tools.count_up({}))
        view = dict(state)  # what each branch sees
        for name in keys:
            state |= await trivial_tools.mark(dict(view), key=name)
        state |= await trivial_tools.add_up(dict(state), prefix="branch")
        return state

    nodes: list[Json] = [
        {"name": "start", "tool": "count_up"},
        *({"name": name, "tool": "mark", "config": {"key": name}} for name in keys),
        {"name": "join", "tool": "add_up", "config": {"prefix": "branch"}},
    ]
    pairs = [("start", name) for name in keys] + [(name, "join") for name in keys]
    return Scenario(
        key=key,
        title=f"fan-out of {branches} and join",
        definition={
            "name": f"wide-{branches}",
            "nodes": nodes,
            "edges": [{"from_node": source, "to_node": target} for source, target in pairs],
            "entry_point": "start",
        },
        steps=branches + 2,
        expected_state={"n": 1, **dict.fromkeys(keys, 1), "total": branches},
        by_hand=by_hand,
    )


@dataclass(slots=True)
class Phase:
    """What the repetitions of one phase came to.

    Attributes:
        seconds: One for each repetition.
        late_ms: By how much the other task woke too late, each time in all repetitions.
        worst_ms: The latest waking of each repetition.
    """

    seconds: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    worst_ms: list[float] = field(default_factory=list)


@asynccontextmanager
async def watched(phase: Phase) -> AsyncIterator[None]:
    """Measure a region: how long it takes, and how late another task on the loop wakes meanwhile."""
    late_ms: list[float] = []
    asleep, is_over = anyio.Event(), False

    async def nap() -> None:
        while not is_over:
            due = time.perf_counter() + NAP_S
            asleep.set()
            await anyio.sleep(NAP_S)
            late_ms.append(max(0.0, time.perf_counter() - due) * 1000)  # timers in whole ms may be early

    async with anyio.create_task_group() as others:
        others.start_soon(nap)
        await asleep.wait()
        began = time.perf_counter()
        yield
        phase.seconds.append(time.perf_counter() - began)
        is_over = True
    phase.late_ms += late_ms
    phase.worst_ms.append(max(late_ms))


Phases = dict[tuple[str, str, str], Phase]
"""By the scenario's label, where it ran (`control` or a journal), and what was done."""


async def measure(scenarios: list[Scenario], journals: list[str], repetitions: int, progress: Progress) -> Phases:
    """Return what every phase came to, all runs verified."""
    phases: Phases = {}
    bar = progress.add_task("measuring", total=repetitions * len(scenarios) * (1 + len(journals)))
    for _ in range(repetitions):
        for scenario in scenarios:
            for place in ("control", *journals):
                progress.update(bar, description=f"{scenario.label}, {place}", refresh=True)

                def phase(what: str, label: str = scenario.label, place: str = place) -> Phase:
                    return phases.setdefault((label, place, what), Phase())

                if place == "control":
                    await run_by_hand(scenario, phase)
                else:
                    await run_in_engine(scenario, place, phase)
                progress.advance(bar)
    return phases


async def run_by_hand(scenario: Scenario, phase: Callable[[str], Phase]) -> None:
    """Take one repetition of the controls."""
    if scenario.by_hand is None:
        raise ValueError(f"{scenario.label} has no control")
    async with watched(phase("idle")):
        await anyio.sleep(IDLE_S)
    async with watched(phase("run")):
        state = await scenario.by_hand()
    if state != scenario.expected_state:
        fail(f"{scenario.label} by hand ended with {str(state)[:500]}")


async def run_in_engine(scenario: Scenario, journal: str, phase: Callable[[str], Phase]) -> None:
    """Take one repetition in a fresh engine, then check what it did."""
    with journal_url(journal) as url:
        async with opened(url, registry()) as engine:
            gc.collect()
            async with watched(phase("create")):
                created = await engine.create_graph(scenario.definition)
            async with watched(phase("run")):
                view = await engine.run(created.graph_id, scenario.initial_state)
            await _verify(engine, scenario, journal, view)
        if journal == "memory":
            return
        async with opened(url, registry()) as engine:
            gc.collect()
            async with watched(phase("accept")):
                accepted = await engine.submit(created.graph_id, scenario.initial_state)
            await _verify(engine, scenario, journal, await engine.wait(accepted.run_id))


async def _verify(engine: Engine, scenario: Scenario, journal: str, view: RunView) -> None:
    if view.status != "completed" or view.state != scenario.expected_state:
        fail(f"{scenario.label}, {journal}: run {view.run_id} ended as {view.status} with {str(view.state)[:500]}")
    records = await engine.log(view.run_id)
    fault = log_fault(records) or ("records are missing" if len(records) != view.last_seq else None)
    if fault is not None:
        fail(f"{scenario.label}, {journal}: run {view.run_id}: {fault}")


def show(phases: Phases, steps: dict[str, int]) -> tuple[Table, list[Figure]]:
    """Return the table and the figures of all phases; `steps` are of one run, by the scenario's label."""
    table = Table(title="Large graphs: median (min-max); lag of another task on the event loop")
    for column in ("graph", "journal", "", "ms", "µs/node", "lag: p50", "p99", "max ms"):
        table.add_column(column, justify="left" if column in ("graph", "journal", "") else "right", no_wrap=True)
    figures: list[Figure] = []
    last_of = {label: (label, place, what) for label, place, what in phases}
    for (label, place, what), phase in phases.items():
        name = f"{label}, {place}, {what}"
        took = figure(name, "ms", [seconds * 1000 for seconds in phase.seconds], more_is_better=False)
        worst = figure(name, "lag max ms", phase.worst_ms, more_is_better=False)
        p50, p99 = (
            figure(name, f"lag p{percent} ms", [percentile(phase.late_ms, percent)], more_is_better=False)
            for percent in (50, 99)
        )
        cells = ["", ""]
        if place != "control":
            figures += [p50, p99, worst]  # those of a control would only say that they scatter
        if what != "idle":
            figures.append(took)
            cells = [_spread(took), shown(took.median * 1000 / steps[label])]
        table.add_row(
            label,
            place,
            what,
            *cells,
            shown(p50.median),
            shown(p99.median),
            _spread(worst),
            end_section=(label, place, what) == last_of[label],
        )
    return table, figures


def _spread(one: Figure) -> str:
    return f"{shown(one.median)} ({shown(one.low)}-{shown(one.high)})"


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Two repetitions.")] = False,
    journal: Annotated[JournalChoice, typer.Option(help="Which journals.")] = JournalChoice.BOTH,
    backend: Annotated[Backend, typer.Option(help="Which event loop.")] = Backend.UVLOOP,
    nodes: Annotated[int, typer.Option(min=1, max=MAX_NODES, help="Nodes of the chain.")] = MAX_NODES,
    branches: Annotated[int, typer.Option(min=1, max=MAX_NODES - 2, help="Branches of the fan-out.")] = BRANCHES,
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions of each case.")] = 5,
    json: Annotated[Path | None, typer.Option(help="File for the figures; - prints them.")] = None,
) -> None:
    """Measure creating and running large graphs, and how long they hold up the event loop."""
    settle_like_the_server()
    repetitions = min(repetitions, 2) if quick else repetitions
    journals = ["memory", "sqlite"] if journal is JournalChoice.BOTH else [journal.value]
    scenarios = [chain(nodes, "L1"), wide(branches, "L2")]
    with quiet_progress() as progress:
        phases = run_on(backend, measure, scenarios, journals, repetitions, progress)
    table, figures = show(phases, {scenario.label: scenario.steps for scenario in scenarios})
    settings: dict[str, Any] = {"backend": backend.value, "repetitions": repetitions, "quick": quick}
    publish("large_graphs", settings, figures, [table], json)


if __name__ == "__main__":
    typer.run(main)
