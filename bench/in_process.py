"""`python -m bench.in_process`: how many runs one engine completes, without HTTP.

Measured region: from the first `Engine.run` until the last of the repetition's runs has ended and its caller has the end
state; a fixed number of callers (`--concurrency`) each wait for one run after the other. So the acceptance, every decision,
record and commit, the tool calls and the wake-up of the caller are inside. Opening and closing the engine, creating the graph,
a warm-up, and checking every end state and every log for gaps are outside.

Control case: the same tool functions called by plain `await`, with no engine around them; an engine's figure divided by that
says what the engine costs, whatever the machine does. Repetitions of control and engines take turns, so that a slow moment of
the machine hits all of them. `CPU µs/run` is time of this process on a core, with the journal's thread: it hardly suffers from
neighbours, so trust it first.
"""

import cProfile
import gc
import pstats
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.report import Figure, fail, figure, percentile, publish, shown
from bench.scenarios import Scenario, all_scenarios, log_fault, registry
from runtime import Engine, RunView, Settings, open_engine

RUNS: Final = {"W1": 2_000, "W2": 600, "W3": 300, "W4": 500}
QUICK_RUNS: Final = {"W1": 500, "W2": 150, "W3": 75, "W4": 120}
CONTROL_FACTOR: Final = 10
"""Runs by hand for each run of an engine: they are so quick that fewer would measure the clock."""

PROFILED_LINES: Final = 40


class JournalChoice(StrEnum):
    """Which journals."""

    MEMORY = "memory"
    SQLITE = "sqlite"
    BOTH = "both"


class Backend(StrEnum):
    """Which event loop. The server uses uvloop."""

    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"
    TRIO = "trio"


class EffectChoice(StrEnum):
    """What the tools declare: `durable` ones wait for the disk before each call."""

    PURE = "pure"
    DURABLE = "durable"


@dataclass(slots=True)
class Timing:
    """What the repetitions of one case took."""

    runs_per_s: list[float] = field(default_factory=list)
    records_per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)


Case = tuple[Scenario, str]
"""A scenario, and where it runs: `control` or a journal."""


async def run_by_hand(scenario: Scenario, runs: int, timing: Timing) -> None:
    """Take one repetition of the control."""
    if scenario.by_hand is None:
        raise ValueError(f"{scenario.label} has no control")
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(runs):
        state = await scenario.by_hand()
    elapsed, used = time.perf_counter() - started, time.process_time() - cpu
    if state != scenario.expected_state:
        fail(f"{scenario.label} by hand ended with {state}")
    timing.runs_per_s.append(runs / elapsed)
    timing.cpu_us.append(used / runs * 1e6)


async def run_in_engine(
    scenario: Scenario,
    runs: int,
    concurrency: int,
    journal: str,
    timing: Timing,
    profile: cProfile.Profile | None = None,
) -> None:
    """Take one repetition in a fresh engine, then check all that it did."""
    async with _engine(journal) as engine:
        graph_id = (await engine.create_graph(scenario.definition)).graph_id
        await _submit_and_wait(engine, scenario, graph_id, min(runs, concurrency), concurrency)  # workers, caches
        gc.collect()
        gc.freeze()
        started, cpu = time.perf_counter(), time.process_time()
        if profile is not None:
            profile.enable()
        ended = await _submit_and_wait(engine, scenario, graph_id, runs, concurrency)
        if profile is not None:
            profile.disable()
        elapsed, used = time.perf_counter() - started, time.process_time() - cpu
        gc.unfreeze()
        fault = await _fault(engine, scenario, [view for view, _ in ended], runs)
    if fault is not None:
        fail(f"{scenario.label}, {journal}: {fault}")
    timing.runs_per_s.append(runs / elapsed)
    timing.records_per_s.append(sum(view.last_seq for view, _ in ended) / elapsed)
    timing.cpu_us.append(used / runs * 1e6)
    timing.latencies_ms += [seconds * 1000 for _, seconds in ended]


@asynccontextmanager
async def _engine(journal: str) -> AsyncIterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        url = "memory:" if journal == "memory" else f"sqlite:///{folder}/bench.db"
        async with open_engine(Settings(journal=url, log_format="none"), registry()) as engine:
            yield engine


async def _submit_and_wait(
    engine: Engine, scenario: Scenario, graph_id: str, runs: int, concurrency: int
) -> list[tuple[RunView, float]]:
    """Return the end of each run and the seconds its caller waited for it."""
    ended: list[tuple[RunView, float]] = []
    tickets = iter(range(runs))

    async def caller() -> None:
        for _ in tickets:
            started = time.perf_counter()
            view = await engine.run(graph_id, scenario.initial_state)
            ended.append((view, time.perf_counter() - started))

    async with anyio.create_task_group() as callers:
        for _ in range(min(concurrency, runs)):
            callers.start_soon(caller)
    return ended


async def _fault(engine: Engine, scenario: Scenario, views: list[RunView], runs: int) -> str | None:
    """Return what is wrong with the runs, or None."""
    if len({view.run_id for view in views}) != runs:
        return f"{len(views)} runs ended, not {runs}"
    for view in views:
        if view.status != "completed" or view.state != scenario.expected_state:
            return f"run {view.run_id} ended as {view.status} with {view.state}"
        records = await engine.log(view.run_id)
        if len(records) != view.last_seq:
            return f"the log of run {view.run_id} has {len(records)} records, the run {view.last_seq}"
        if (fault := log_fault(records)) is not None:
            return f"run {view.run_id}: {fault}"
    return None


async def measure(
    cases: list[Case], amounts: dict[str, int], concurrency: int, repetitions: int, progress: Progress
) -> dict[tuple[str, str], Timing]:
    """Return what each case took, by the scenario's label and where it ran."""
    timings = {(scenario.label, place): Timing() for scenario, place in cases}
    bar = progress.add_task("measuring", total=repetitions * len(cases))
    for _ in range(repetitions):
        for scenario, place in cases:
            progress.update(bar, description=f"{scenario.label}, {place}")
            timing, runs = timings[scenario.label, place], amounts[scenario.key]
            if place == "control":
                await run_by_hand(scenario, runs * CONTROL_FACTOR, timing)
            else:
                await run_in_engine(scenario, runs, concurrency, place, timing)
            progress.advance(bar)
    return timings


def show(timings: dict[tuple[str, str], Timing]) -> tuple[Table, list[Figure]]:
    """Return the table and the figures of all cases."""
    table = Table(title="Runs in one engine: median (min-max)")
    for column in ("graph", "journal", "runs/s", "of control", "records/s", "p50 ms", "p95 ms", "CPU µs/run"):
        table.add_column(column, justify="left" if column in ("graph", "journal") else "right")
    figures: list[Figure] = []
    last_of = {label: (label, place) for label, place in timings}
    for (label, place), timing in timings.items():
        name = f"{label}, {place}"
        runs = figure(name, "runs/s", timing.runs_per_s, more_is_better=True)
        cpu = figure(name, "CPU µs/run", timing.cpu_us, more_is_better=False)
        figures += [runs, cpu]
        cells = ["", "", "", ""]
        if place != "control":
            records = figure(name, "records/s", timing.records_per_s, more_is_better=True)
            control = figure(name, "runs/s", timings[label, "control"].runs_per_s, more_is_better=True)
            p50, p95 = (percentile(timing.latencies_ms, percent) for percent in (50, 95))
            figures += [records, figure(name, "p50 ms", [p50], more_is_better=False)]
            figures.append(figure(name, "p95 ms", [p95], more_is_better=False))
            cells = [f"1/{shown(control.median / runs.median)}", shown(records.median), shown(p50), shown(p95)]
        spread = f"{shown(runs.median)} ({shown(runs.low)}-{shown(runs.high)})"
        table.add_row(label, place, spread, *cells, shown(cpu.median), end_section=(label, place) == last_of[label])
    return table, figures


def profile_engines(cases: list[Case], amounts: dict[str, int], concurrency: int, run: "Runner") -> None:
    """Print where the time goes in each case, by own time. The profiler itself slows everything two- to threefold."""
    for scenario, place in cases:
        if place != "control":
            profile = cProfile.Profile()
            print(f"\n=== {scenario.label}, {place}: {amounts[scenario.key]} runs")
            run(run_in_engine, scenario, amounts[scenario.key], concurrency, place, Timing(), profile)
            pstats.Stats(profile).sort_stats("tottime").print_stats(PROFILED_LINES)


Runner = Callable[..., Any]


def _runner(backend: Backend) -> Runner:
    def run(function: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
        if backend is Backend.TRIO:
            return anyio.run(function, *arguments, backend="trio")
        return anyio.run(function, *arguments, backend_options={"use_uvloop": backend is Backend.UVLOOP})

    return run


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A quarter of the runs, three repetitions.")] = False,
    journal: Annotated[JournalChoice, typer.Option(help="Which journals.")] = JournalChoice.BOTH,
    backend: Annotated[Backend, typer.Option(help="Which event loop.")] = Backend.UVLOOP,
    effect: Annotated[EffectChoice, typer.Option(help="What the tools declare.")] = EffectChoice.PURE,
    concurrency: Annotated[int, typer.Option(min=1, help="Callers that wait for runs at once.")] = 200,
    only: Annotated[list[str] | None, typer.Option(help="W1 … W4; may be repeated.")] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions of each case.")] = 5,
    json: Annotated[Path | None, typer.Option(help="File for the figures; - prints them.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Show where the time goes instead.")] = False,
) -> None:
    """Measure how many runs one engine completes, without HTTP."""
    gc.set_threshold(50_000, 50, 100)  # as the server does
    sys.setswitchinterval(0.0005)
    amounts = QUICK_RUNS if quick else RUNS
    repetitions = min(repetitions, 3) if quick else repetitions
    scenarios = [scenario for scenario in all_scenarios(effect.value) if scenario.key in (only or amounts)]
    journals = ["memory", "sqlite"] if journal is JournalChoice.BOTH else [journal.value]
    cases = [(scenario, place) for scenario in scenarios for place in ("control", *journals)]
    run = _runner(backend)
    if profile:
        profile_engines(cases, amounts, concurrency, run)
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        timings = run(measure, cases, amounts, concurrency, repetitions, progress)
    table, figures = show(timings)
    settings = {
        "backend": backend.value,
        "effect": effect.value,
        "concurrency": concurrency,
        "repetitions": repetitions,
        "quick": quick,
    }
    publish("in_process", settings, figures, [table], json)


if __name__ == "__main__":
    typer.run(main)
