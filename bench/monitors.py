"""`python -m bench.monitors`: how fast the server tells many WebSocket monitors what runs do.

Measured region, live: M runs wait at a gate while N monitors connect, N/M to each run; from the opening of the gate until each
monitor has got `complete` and its socket is closed. Measured region, replay: the same N monitors of the same runs, which have
ended meanwhile; from the first connecting until the last has got everything, so the handshakes are inside. Starting the server,
submitting the runs, the live monitors' handshakes, and looking into the messages are outside: they are kept as text and
decoded afterwards. Then each monitor must have seen the records 1 to n of its run, each once, in order and without a gap, and
the right end state.

Control case: as many runs of the same graph with nobody watching, from the opening of the gate until the server has none left:
what is above it is the price of being watched. The monitors (`websockets`) all live in this one process and take a core of
their own, more than the server does; so records/s is a lower bound of what the server could deliver, and server CPU per record
is the figure to trust.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
import uvloop
import websockets
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.http_connection import HttpConnection
from bench.report import Figure, fail, figure, percentile, publish, shown
from bench.scenarios import Scenario, event_fault, gated_loop
from bench.server_process import ServerUnderTest, running_server

PATIENCE_S: Final = 300.0
_HANDSHAKES_AT_ONCE: Final = 32
_POLL_S: Final = 0.02


@dataclass(slots=True)
class Monitor:
    """One monitor: what it was sent, and when its socket was closed."""

    run_id: str
    messages: list[str | bytes] = field(default_factory=list)
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Watching:
    """What one phase came to. `times_s` are from its beginning to the end of each monitor, or of all runs."""

    phase: str
    monitors: int
    records: int
    times_s: Sequence[float]
    server_cpu_s: float


class Bench:
    """The phases, on one server and one graph."""

    def __init__(
        self, server: ServerUnderTest, control: HttpConnection, folder: Path, monitors: int, runs: int
    ) -> None:
        self._server = server
        self._http = control
        self._folder = folder
        self._monitors = monitors
        self._runs = runs

    async def control(self) -> Watching:
        """Let runs go that nobody watches."""
        gate = self._folder / "control"
        await self._submit(gated_loop(gate))
        cpu, began = self._server.cpu_seconds(), time.perf_counter()
        gate.touch()
        await self._all_ended()
        return Watching("control", 0, 0, [time.perf_counter() - began], self._server.cpu_seconds() - cpu)

    async def live(self) -> tuple[Watching, list[str]]:
        """Watch runs while they go on; also return their ids."""
        gate = self._folder / "live"
        scenario = gated_loop(gate)
        run_ids = await self._submit(scenario)
        monitors = self._new_monitors(run_ids)
        connected = _Countdown(len(monitors))
        handshakes = asyncio.Semaphore(_HANDSHAKES_AT_ONCE)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as watchers:
            for monitor in monitors:
                watchers.create_task(self._watch(monitor, handshakes, connected))
            await connected.reached.wait()
            cpu, began = self._server.cpu_seconds(), time.perf_counter()
            gate.touch()
        used = self._server.cpu_seconds() - cpu
        return self._judged("live", scenario, monitors, began, used), run_ids

    async def replay(self, run_ids: list[str]) -> Watching:
        """Watch runs that have ended."""
        monitors = self._new_monitors(run_ids)
        connected = _Countdown(len(monitors))
        handshakes = asyncio.Semaphore(_HANDSHAKES_AT_ONCE)
        cpu, began = self._server.cpu_seconds(), time.perf_counter()
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as watchers:
            for monitor in monitors:
                watchers.create_task(self._watch(monitor, handshakes, connected))
        used = self._server.cpu_seconds() - cpu
        return self._judged("replay", gated_loop(self._folder), monitors, began, used)

    def _new_monitors(self, run_ids: list[str]) -> list[Monitor]:
        return [Monitor(run_ids[number % len(run_ids)]) for number in range(self._monitors)]

    async def _submit(self, scenario: Scenario) -> list[str]:
        created = await self._http.call("POST", "/api/graph/create", {"graph": scenario.definition})
        submission = {"graph_id": created["graph_id"], "initial_state": {}}
        return [
            (await self._http.call("POST", "/api/graph/run-async", submission))["run_id"] for _ in range(self._runs)
        ]

    async def _all_ended(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (await self._http.call("GET", "/health"))["active"]:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(_POLL_S)

    async def _watch(self, monitor: Monitor, handshakes: asyncio.Semaphore, connected: "_Countdown") -> None:
        await handshakes.acquire()
        url = f"ws://{self._server.name}/ws/monitor/{monitor.run_id}"
        try:
            socket = await websockets.connect(url, compression=None, max_queue=None)
        finally:
            handshakes.release()
        async with socket:
            connected.count()
            async for message in socket:
                monitor.messages.append(message)
        monitor.ended = time.perf_counter()

    def _judged(
        self, phase: str, scenario: Scenario, monitors: list[Monitor], began: float, server_cpu_s: float
    ) -> Watching:
        records = sum(_checked_records(monitor, scenario) for monitor in monitors)
        times = [monitor.ended - began for monitor in monitors]
        return Watching(phase, len(monitors), records, times, server_cpu_s)


class _Countdown:
    """An event that the last of `expected` sets."""

    def __init__(self, expected: int) -> None:
        self._left = expected
        self.reached = asyncio.Event()

    def count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.reached.set()


def _checked_records(monitor: Monitor, scenario: Scenario) -> int:
    """Return how many records a monitor got, after making sure that it got all of them and the end."""
    messages = [msgspec.json.decode(message) for message in monitor.messages]
    events = [message["data"] for message in messages if message["type"] == "log"]
    if len(events) != len(messages) - 1 or messages[-1]["type"] != "complete":
        fail(f"a monitor of {monitor.run_id} was not sent records and then 'complete': {str(messages[-1:])[:500]}")
    if (fault := event_fault(events)) is not None:
        fail(f"a monitor of {monitor.run_id}: {fault}")
    end = messages[-1]["data"]
    if end["status"] != "completed" or end["final_state"] != scenario.expected_state:
        fail(f"a monitor of {monitor.run_id} was told the end {end}")
    return len(events)


async def measure(
    server: ServerUnderTest, monitors: int, runs: int, repetitions: int, progress: Progress
) -> list[Watching]:
    """Return what each phase of each repetition came to."""
    results: list[Watching] = []
    bar = progress.add_task("", total=3 * repetitions)
    async with HttpConnection(server) as http:
        for _ in range(repetitions):
            with tempfile.TemporaryDirectory(prefix="bench-gate-") as folder:
                bench = Bench(server, http, Path(folder), monitors, runs)
                progress.update(bar, description="control", advance=0)
                results.append(await bench.control())
                progress.update(bar, description="live", advance=1)
                live, run_ids = await bench.live()
                progress.update(bar, description="replay", advance=1)
                results += [live, await bench.replay(run_ids)]
                progress.advance(bar)
    return results


def show(results: list[Watching], runs: int, journal: str) -> tuple[Table, list[Figure]]:
    """Return the table and the figures."""
    most = max(result.monitors for result in results)
    table = Table(title=f"{most} monitors of {runs} runs, {journal}: medians of the repetitions")
    for column in ("", "records/s", "all done s", "p50 monitor s", "records", "server CPU s", "server CPU µs/record"):
        table.add_column(column, justify="right" if column else "left")
    figures: list[Figure] = []
    for phase in ("control", "live", "replay"):
        taken = [result for result in results if result.phase == phase]
        name = f"{most} monitors of {runs} runs, {journal}, {phase}"
        done = figure(name, "s", [max(result.times_s) for result in taken], more_is_better=False)
        cpu = figure(name, "server CPU s", [result.server_cpu_s for result in taken], more_is_better=False)
        figures += [done, cpu]
        cells = ["", "", "", ""]
        if taken[0].records:
            rate = [result.records / max(result.times_s) for result in taken]
            each = [result.server_cpu_s / result.records * 1e6 for result in taken]
            delivered = figure(name, "records/s", rate, more_is_better=True)
            cost = figure(name, "server CPU µs/record", each, more_is_better=False)
            figures += [delivered, cost]
            half = shown(percentile([seconds for result in taken for seconds in result.times_s], 50))
            cells = [shown(delivered.median), half, str(taken[0].records), shown(cost.median)]
        table.add_row(phase, cells[0], shown(done.median), cells[1], cells[2], shown(cpu.median), cells[3])
    return table, figures


def main(
    monitors: Annotated[int, typer.Option(min=1, max=5_000, help="WebSockets.")] = 200,
    runs: Annotated[int, typer.Option(min=1, max=5_000, help="Runs they watch.")] = 20,
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions of each phase.")] = 3,
    journal: Annotated[str, typer.Option(help="sqlite or memory.")] = "sqlite",
    quick: Annotated[bool, typer.Option("--quick", help="60 monitors of 6 runs at most.")] = False,
    json: Annotated[Path | None, typer.Option(help="File for the figures; - prints them.")] = None,
) -> None:
    """Measure how fast the server tells many WebSocket monitors what runs do."""
    if quick:
        monitors, runs, repetitions = min(monitors, 60), min(runs, 6), min(repetitions, 2)
    runs = min(runs, monitors)
    with running_server(journal) as server, Progress(console=Console(stderr=True), transient=True) as progress:
        results = uvloop.run(measure(server, monitors, runs, repetitions, progress))
    table, figures = show(results, runs, journal)
    settings = {"monitors": monitors, "runs": runs, "journal": journal, "repetitions": repetitions, "quick": quick}
    publish("monitors", settings, figures, [table], json)


if __name__ == "__main__":
    typer.run(main)
