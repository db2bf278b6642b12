"""`python -m bench.http_load`: how the server answers when clients submit runs at their own pace (open loop).

Measured region: each latency begins when the request was *meant* to be sent and ends with the last byte of its answer, which
the server gives once the run is durable. A generator that waits for slow answers before it sends on would hide the very
delays it is to find ("coordinated omission"). Completed runs/s counts from the first intended sending until the server
has no unfinished run (seen by asking 20 times a second). Starting the server, creating the graph, connecting, a warm-up, and
reading back every run are outside. Afterwards every acknowledged run must have completed with the right end state and a log
without gaps.

Control case: the same load, at the same rate, on a path that the server does not have (`GET /nowhere`, answered 404), just
before; it says what this generator, the sockets and the server's HTTP stack cost without any run. Server CPU per request is
measured for both, and is the figure to trust on a busy machine. The server is a process of its own, and so is this generator,
which speaks HTTP through `http_connection.py` because httpx2 costs more CPU per request than the server does. uvloop's timers
tick in milliseconds: below 1 ms a latency is up to that much too long.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.http_connection import HttpConnection
from bench.report import Figure, fail, figure, percentile, publish, shown
from bench.scenarios import Scenario, chain, data_quality, event_fault
from bench.server_process import ServerUnderTest, running_server, server_at

PERCENTILES: Final = (50, 90, 99, 100)
WARM_UP: Final = 50
DRAIN_S: Final = 300.0
_POLL_S: Final = 0.05
_REFUSALS: Final = (429, 503)


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: `requests` of them at `rate` a second, or all at once where `rate` is 0, at most `in_flight` open."""

    requests: int
    rate: float
    in_flight: int


@dataclass(slots=True)
class Outcome:
    """How it was answered.

    Attributes:
        latencies_ms: Of accepted requests, from the intended sending.
        bodies: The answers of accepted requests.
        seconds: From the first intended sending to the last answer.
        until_done_s: The same, to the end of the last run.
        server_cpu_s: Time on a core that the server used until then.
    """

    latencies_ms: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0
    until_done_s: float = 0.0
    server_cpu_s: float = 0.0


async def send_load(
    connections: Sequence[HttpConnection], request: bytes, load: Load, progress: Progress, *, accepted: int = 200
) -> Outcome:
    """Send `request` as `load` says, over as many connections as may be in flight; `accepted` is the status hoped for."""
    outcome = Outcome()
    tickets = iter(range(load.requests))
    bar = progress.add_task("submitting", total=load.requests)
    began = time.perf_counter()

    async def sender(connection: HttpConnection) -> None:
        for number in tickets:
            intended = began + (number / load.rate if load.rate else 0.0)
            if (early := intended - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            try:
                status, body = await connection.send(request)
            except OSError:
                outcome.failed += 1
                return  # the connection is gone; the others go on
            if status == accepted:
                outcome.latencies_ms.append((time.perf_counter() - intended) * 1000)
                outcome.bodies.append(body)
            elif status in _REFUSALS:
                outcome.refused += 1
            else:
                outcome.failed += 1
            if number % 100 == 0:
                progress.update(bar, completed=number)

    async with asyncio.TaskGroup() as senders:
        for connection in connections:
            senders.create_task(sender(connection))
    outcome.seconds = time.perf_counter() - began
    outcome.failed += sum(1 for _ in tickets)  # no connection was left for these
    progress.update(bar, completed=load.requests)
    return outcome


async def measure(
    server: ServerUnderTest, scenario: Scenario, load: Load, progress: Progress
) -> tuple[Outcome, Outcome]:
    """Return the outcome of the control and of the runs, all of them verified."""
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(HttpConnection(server)) for _ in range(load.in_flight)]
        first = connections[0]
        created = await first.call("POST", "/api/graph/create", {"graph": scenario.definition})
        submission = {"graph_id": created["graph_id"], "initial_state": scenario.initial_state}
        request = first.request_bytes("POST", "/api/graph/run-async", submission)
        nowhere = first.request_bytes("GET", "/nowhere")
        warm_up = Load(WARM_UP, 0.0, load.in_flight)
        await send_load(connections, nowhere, warm_up, progress, accepted=404)
        await send_load(connections, request, warm_up, progress)
        await _all_ended(first)

        cpu = server.cpu_seconds()
        control = await send_load(connections, nowhere, load, progress, accepted=404)
        control.server_cpu_s = server.cpu_seconds() - cpu
        cpu, began = server.cpu_seconds(), time.perf_counter()
        runs = await send_load(connections, request, load, progress)
        await _all_ended(first)
        runs.until_done_s = time.perf_counter() - began
        runs.server_cpu_s = server.cpu_seconds() - cpu
        await verify(connections, scenario, runs, progress)
    return control, runs


async def _all_ended(connection: HttpConnection) -> None:
    deadline = time.monotonic() + DRAIN_S
    while True:
        health = await connection.call("GET", "/health")
        if not health["active"] and not health["pending"]:
            return
        if time.monotonic() > deadline:
            fail(f"{health['active']} runs are still active and {health['pending']} pending after {DRAIN_S:g} s")
        await asyncio.sleep(_POLL_S)


async def verify(
    connections: Sequence[HttpConnection], scenario: Scenario, outcome: Outcome, progress: Progress
) -> None:
    """End the bench unless every acknowledged run completed as it should."""
    run_ids = {msgspec.json.decode(body)["run_id"] for body in outcome.bodies}
    if len(run_ids) != len(outcome.bodies):
        fail(f"{len(outcome.bodies)} acknowledgements name {len(run_ids)} runs")
    bar = progress.add_task("verifying", total=len(run_ids))
    remaining = iter(run_ids)

    async def checker(connection: HttpConnection) -> None:
        for run_id in remaining:
            run = await connection.call("GET", f"/api/graph/state/{run_id}")
            if run["status"] != "completed" or run["current_state"] != scenario.expected_state:
                fail(f"run {run_id} ended as {run['status']} with {str(run['current_state'])[:500]}")
            if (fault := event_fault(run["execution_log"])) is not None:
                fail(f"run {run_id}: {fault}")
            progress.advance(bar)

    async with asyncio.TaskGroup() as checkers:
        for connection in connections[:16]:
            checkers.create_task(checker(connection))


def show(scenario: Scenario, outcomes: dict[str, Outcome], journal: str, load: Load) -> tuple[Table, list[Figure]]:
    """Return the table and the figures."""
    pace = f"{load.rate:g}/s" if load.rate else f"burst of {load.requests}"
    table = Table(title=f"run-async of {scenario.label}, {journal}, {pace}, at most {load.in_flight} in flight")
    for column in ("", "accepted", "refused", "failed", "answers/s", "p50 ms", "p90 ms", "p99 ms", "max ms"):
        table.add_column(column, justify="right" if column else "left")
    table.add_column("runs/s to the end", justify="right")
    table.add_column("server CPU µs each", justify="right")
    figures: list[Figure] = []
    for place, outcome in outcomes.items():
        name = f"{scenario.label}, {journal}, {pace}, {place}"
        accepted = len(outcome.bodies)
        times = [percentile(outcome.latencies_ms, percent) for percent in PERCENTILES]
        cpu_us = outcome.server_cpu_s / max(1, accepted) * 1e6
        rates = {"answers/s": accepted / outcome.seconds}
        if outcome.until_done_s:
            rates["runs/s"] = accepted / outcome.until_done_s
        figures += [figure(name, unit, [value], more_is_better=True) for unit, value in rates.items()]
        for percent, value in zip(PERCENTILES, times, strict=True):
            figures.append(figure(name, f"p{percent} ms", [value], more_is_better=False))
        if outcome.server_cpu_s:
            figures.append(figure(name, "server CPU µs", [cpu_us], more_is_better=False))
        counts = [str(accepted), str(outcome.refused), str(outcome.failed)]
        ended = shown(rates["runs/s"]) if "runs/s" in rates else ""
        table.add_row(place, *counts, shown(rates["answers/s"]), *map(shown, times), ended, shown(cpu_us))
    return table, figures


def main(
    rate: Annotated[float, typer.Option(min=1, help="Submissions a second.")] = 500,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to submit.")] = 10,
    in_flight: Annotated[int, typer.Option(min=1, max=1_000, help="Open requests, each on its own connection.")] = 64,
    burst: Annotated[int, typer.Option(min=0, help="Submit so many at once instead.")] = 0,
    dq: Annotated[bool, typer.Option("--dq", help="The data quality graph instead of the chain of 4.")] = False,
    durable: Annotated[bool, typer.Option("--durable", help="Tools that wait for the disk before each call.")] = False,
    journal: Annotated[str, typer.Option(help="sqlite or memory, of the server started here.")] = "sqlite",
    url: Annotated[
        str | None, typer.Option(help="Use this server; start it with --tools bench/trivial_tools.py.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Three seconds at most, or a burst of 500 at most.")] = False,
    json: Annotated[Path | None, typer.Option(help="File for the figures; - prints them.")] = None,
) -> None:
    """Submit runs at a given rate, and verify each of them."""
    if quick:
        seconds, burst = min(seconds, 3.0), min(burst, 500)
    load = Load(burst, 0.0, min(in_flight, burst)) if burst else Load(int(rate * seconds), rate, in_flight)
    scenario = asyncio.run(data_quality()) if dq else chain(4, "W1", "durable" if durable else "pure")

    def take(server: ServerUnderTest) -> tuple[Outcome, Outcome]:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            return uvloop.run(measure(server, scenario, load, progress))

    if url is not None:
        journal = "given server"
        control, runs = take(server_at(url))
    else:
        with running_server(journal) as server:
            control, runs = take(server)
    table, figures = show(scenario, {"control": control, "run-async": runs}, journal, load)
    settings: dict[str, Any] = {"graph": scenario.key, "journal": journal, "durable": durable, "rate": load.rate}
    settings |= {"requests": load.requests, "in_flight": load.in_flight, "quick": quick}
    publish("http_load", settings, figures, [table], json)
    if runs.failed or control.failed:
        fail(f"of {load.requests} requests each, {runs.failed} submissions and {control.failed} of the control failed")


if __name__ == "__main__":
    typer.run(main)
