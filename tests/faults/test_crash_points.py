"""F01 to F10: the process is killed at a named point, and what the next one makes of it is exactly this."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from runtime.journal import SqliteJournal
from tests.acceptance.server import DEADLINE_S, ROOT, Server, eventually
from tests.proof.crash.history import Effect, read_ledger
from tests.proof.crash.loop import TOOLS
from tests.proof.crash.programs import sum_node

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]  # up to a dozen servers each

Launch = Callable[..., Server]
State = dict[str, Any]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Effect]]:
    """Returns what the tools did to the world so far."""
    monkeypatch.setenv("CRASH_LEDGER", str(tmp_path / "ledger"))
    return lambda: read_ledger(tmp_path / "ledger")


@pytest.fixture
def launch(tmp_path: Path, ledger: Callable[[], list[Effect]]) -> Iterator[Launch]:
    """Starts servers with faults, such as `after_commit:1:kill`, one after the other on one data folder."""
    servers: list[Server] = []

    def launch(*faults: str, ready: bool = True) -> Server:
        options = [part for fault in faults for part in ("--fault", fault)]
        arguments = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--tools", str(TOOLS)]
        program = ("-m", "tests.support.faulty_server", *options, "--")
        server = Server(tmp_path / f"server{len(servers)}", [*arguments, "--log-format", "json"], program)
        servers.append(server)
        return server.wait_ready() if ready else server

    yield launch
    for server in servers:
        server.close()


def graph(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a chain of nodes."""
    names = [node["name"] for node in nodes]
    edges = [{"from_node": source, "to_node": target} for source, target in pairwise(names)]
    return {"name": "chain", "nodes": list(nodes), "edges": edges, "entry_point": names[0], **more}


def nap(name: str = "nap") -> dict[str, Any]:
    return {"name": name, "type": "wait", "wait": {"for_s": 0.1}}


def hold() -> dict[str, Any]:
    return {"name": "hold", "type": "wait", "wait": {"signal": "go"}}


def post(server: Server, graph_id: str, key: str, n: int = 1) -> httpx2.Response:
    body = {"graph_id": graph_id, "initial_state": {"n": n}}
    return server.client.post("/api/graph/run-async", json=body, headers={"Idempotency-Key": key})


def cut_off(server: Server, graph_id: str, key: str) -> None:
    """Submit, and see the connection go away instead of an answer."""
    with pytest.raises(httpx2.TransportError):
        post(server, graph_id, key)
    died(server)


def died(server: Server) -> None:
    assert server.process.wait(DEADLINE_S) == -signal.SIGKILL, server.err


def run_ids(server: Server) -> list[str]:
    return [run["run_id"] for run in server.client.get("/api/runs", params={"limit": 200}).json()["runs"]]


def of(ended: State, event: str) -> list[State]:
    """Return the records of that kind."""
    return [record for record in ended["execution_log"] if record["event"] == event]


def killed_and_ended(launch: Launch, definition: dict[str, Any], fault: str) -> State:
    """Run a graph on a server that dies at the point, and return how the run ended on the next one."""
    first = launch(fault)
    graph_id = first.create(definition)
    with suppress(httpx2.TransportError):  # it may die before it answers, or after
        post(first, graph_id, "key")
    died(first)
    second = launch()
    (run_id,) = run_ids(second)
    return second.wait_ended(run_id)


def effects_by_node(effects: list[Effect]) -> Counter[str]:
    return Counter(effect.key.split("/")[1] for effect in effects)


def test_f01_a_run_that_was_not_stored_is_absent_and_is_new_when_submitted_again(
    launch: Launch, ledger: Callable[[], list[Effect]]
) -> None:
    first = launch("request_parsed:1:kill")
    graph_id = first.create(graph(sum_node("a", "idempotent", "n")))
    cut_off(first, graph_id, "key")
    second = launch()
    assert run_ids(second) == []
    answer = post(second, graph_id, "key")
    assert answer.status_code == 200
    assert "idempotent-replay" not in answer.headers
    assert second.wait_ended(answer.json()["run_id"])["current_state"] == {"n": 1, "a": 2}
    assert len(ledger()) == 1


@pytest.mark.parametrize(
    "point", ["before_watermark", "after_commit", "before_publish", "after_publish", "before_answer"]
)
def test_f02_a_run_that_was_stored_and_not_answered_is_there_and_is_replayed(
    launch: Launch, ledger: Callable[[], list[Effect]], point: str
) -> None:
    passage = 2 if point == "before_watermark" else 1  # the graph passes it as well
    first = launch(f"{point}:{passage}:kill")
    graph_id = first.create(graph(nap(), sum_node("a", "idempotent", "n")))
    cut_off(first, graph_id, "key")
    second = launch()
    (run_id,) = run_ids(second)
    answer = post(second, graph_id, "key")
    assert (answer.status_code, answer.json()["run_id"]) == (200, run_id)
    assert answer.headers["idempotent-replay"] == "true"
    assert second.wait_ended(run_id)["current_state"] == {"n": 1, "a": 2}
    assert run_ids(second) == [run_id]
    assert [effect.key for effect in ledger()] == [f"{run_id}/a/1"]


@pytest.mark.parametrize(("point", "present"), [("within_commit", 0), ("before_watermark", 50), ("after_commit", 50)])
def test_f03_of_a_batch_that_was_being_committed_everything_is_there_or_nothing(
    tmp_path: Path, point: str, present: int
) -> None:
    program = f"""
from pathlib import Path
from runtime.journal import SqliteJournal
from runtime.testing.fault_points import Fault, injected, kill
from tests.conformance.entries import chained

journal = SqliteJournal(Path({str(tmp_path / "work.db")!r}))
epoch = journal.open()
with injected(Fault({point!r}, kill)):
    journal.commit([entry for number in range(1, 51) for entry in chained(number, 1, epoch=epoch)])
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == -signal.SIGKILL
    journal = SqliteJournal(tmp_path / "work.db")
    journal.open()
    try:
        assert len(journal.unfinished()) == present
        assert sum(len(journal.entries(number, after=0, limit=10)) for number in range(1, 51)) == present
    finally:
        journal.close()


def test_f03_of_100_submissions_nobody_acknowledged_is_lost_and_all_keys_again_give_100_runs(launch: Launch) -> None:
    first = launch("within_commit:3:kill")  # which submissions it strikes, if any, is up to the server
    graph_id = first.create(graph(nap(), sum_node("a", "idempotent", "n")))
    acknowledged: dict[int, str] = {}

    def submit(number: int) -> None:
        with suppress(httpx2.TransportError):
            answer = post(first, graph_id, f"key{number}", number)
            acknowledged[number] = answer.json()["run_id"]

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    died(first)
    second = launch()
    there = set(run_ids(second))
    assert set(acknowledged.values()) <= there
    runs = [post(second, graph_id, f"key{number}", number).json()["run_id"] for number in range(100)]
    assert acknowledged.items() <= dict(enumerate(runs)).items()
    assert there <= set(runs)
    assert len(set(runs)) == 100
    assert sorted(run_ids(second)) == sorted(runs)
    for number, run_id in enumerate(runs):
        ended = second.wait_ended(run_id)
        assert (ended["status"], ended["current_state"]) == ("completed", {"n": number, "a": number + 1})


def test_f04_an_attempt_that_was_journaled_and_not_made_is_made_by_the_next_process(
    launch: Launch, ledger: Callable[[], list[Effect]]
) -> None:
    ended = killed_and_ended(launch, graph(sum_node("a", "undeclared", "n")), "before_call:1:kill")
    assert ended["status"] == "completed"
    assert [record["attempt"] for record in of(ended, "step_started")] == [1, 2]
    assert [effect.attempt for effect in ledger()] == [2]


@pytest.mark.parametrize("effect", ["undeclared", "idempotent"])
def test_f05_an_effect_without_its_completion_happens_again_under_the_same_key(
    launch: Launch, ledger: Callable[[], list[Effect]], effect: str
) -> None:
    ended = killed_and_ended(launch, graph(sum_node("a", effect, "n")), "after_call:1:kill")
    assert ended["current_state"] == {"n": 1, "a": 2}
    assert [(one.key, one.attempt) for one in ledger()] == [
        (f"{ended['run_id']}/a/1", 1),
        (f"{ended['run_id']}/a/1", 2),
    ]
    assert [record["attempt"] for record in of(ended, "step_completed")] == [2]


def test_f06_a_once_tool_is_never_called_again_and_its_error_edge_is_taken(
    launch: Launch, ledger: Callable[[], list[Effect]]
) -> None:
    definition = graph(sum_node("a", "once", "n", on_error="route"), sum_node("b", "idempotent", "a"))
    definition["nodes"].append(sum_node("lost", "idempotent", "n"))
    definition["edges"].append({"from_node": "a", "to_node": "lost", "on": "error"})
    ended = killed_and_ended(launch, definition, "after_call:1:kill")
    (failed,) = of(ended, "step_failed")
    assert (failed["error"]["code"], failed["handled"]) == ("OUTCOME_UNKNOWN", "route")
    assert (ended["status"], ended["current_state"]) == ("completed", {"n": 1, "lost": 2})
    assert effects_by_node(ledger()) == {"a": 1, "lost": 1}


def test_f07_a_completed_step_is_not_run_again_and_its_successor_runs_once(
    launch: Launch, ledger: Callable[[], list[Effect]]
) -> None:
    nodes = sum_node("a", "idempotent", "n"), sum_node("b", "idempotent", "a")
    ended = killed_and_ended(launch, graph(*nodes), "before_route:1:kill")
    assert ended["current_state"] == {"n": 1, "a": 2, "b": 3}
    assert effects_by_node(ledger()) == {"a": 1, "b": 1}
    assert [record["node"] for record in of(ended, "step_completed")] == ["a", "b"]


@pytest.mark.parametrize(
    "fault", ["before_terminal:1:kill", "after_append:1:kill:run_completed", "after_publish:3:kill"]
)
def test_f08_a_run_that_was_about_to_end_ends_once(launch: Launch, fault: str) -> None:
    nodes = sum_node("a", "idempotent", "n"), sum_node("b", "idempotent", "a")
    ended = killed_and_ended(launch, graph(*nodes), fault)
    assert [record["event"] for record in ended["execution_log"]].count("run_completed") == 1
    assert ended["execution_log"][-1]["event"] == "run_completed"
    assert len(of(ended, "step_completed")) == 2


KILLED_ONE_AFTER_THE_OTHER: Final = """
import os, signal, sys

import api.server
from api.__main__ import cli
from runtime.testing.fault_points import Fault, injected

faults, *arguments = sys.argv[1:]
for fault in faults.split():
    child = os.fork()
    if not child:
        signal.alarm(30)  # for one that lives on
        with injected(Fault.parse(fault)):
            cli(arguments, prog_name="python -m api")
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended != -signal.SIGKILL:
        sys.exit(f"The server with {fault} ended with {ended}.")
"""
"""Starts a server for each fault, when the one before it is dead. What takes long, the imports, is done once for all of them."""


def test_f09_no_healthy_run_is_put_aside_when_ten_recoveries_in_a_row_are_killed(
    launch: Launch, tmp_path: Path
) -> None:
    first = launch()
    graph_id = first.create(graph(hold(), sum_node("a", "idempotent", "n")))
    runs = [post(first, graph_id, f"key{number}", number).json()["run_id"] for number in range(12)]
    first.end(signal.SIGKILL)
    points = ["recovery_announced", "run_folding", "recovery_rebuilt"]
    faults = " ".join(f"{points[number % 3]}:1:kill" for number in range(10))
    arguments = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--tools", str(TOOLS), "--log-format", "json"]
    command = [sys.executable, "-c", KILLED_ONE_AFTER_THE_OTHER, faults, *arguments]
    ten = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ten.returncode == 0, ten.stderr
    last = launch()
    for number, run_id in enumerate(runs):
        last.command(run_id, "signal", name="go", id="go")
        ended = last.wait_ended(run_id)
        assert (ended["status"], ended["current_state"]) == ("completed", {"n": number, "a": number + 1})
        assert [record["seq"] for record in ended["execution_log"]] == list(range(1, len(ended["execution_log"]) + 1))
        assert len(of(ended, "step_completed")) == 2


def test_f10_a_run_whose_rebuilding_kills_the_process_is_put_aside_at_the_fourth_start(launch: Launch) -> None:
    first = launch()
    graph_id = first.create(graph(hold(), sum_node("a", "idempotent", "n")))
    runs = [post(first, graph_id, f"key{number}", number).json()["run_id"] for number in range(4)]
    poison = runs[1]
    first.end(signal.SIGKILL)
    fault = f"run_folding:0:kill:{poison}"
    for _ in range(3):
        died(launch(fault, ready=False))
    fourth = launch(fault)
    began = time.monotonic()

    def statuses() -> dict[str, str]:
        listed = fourth.client.get("/api/runs").json()["runs"]
        return {run["run_id"]: run["status"] for run in listed}

    eventually(lambda: statuses()[poison] == "dead_lettered")
    assert time.monotonic() - began < 10
    for run_id in runs:
        if run_id != poison:
            fourth.command(run_id, "signal", name="go", id="go")
            assert fourth.wait_ended(run_id)["status"] == "completed"
    assert fourth.process.poll() is None
    assert of(fourth.state(poison), "run_dead_lettered")[0]["error"]["code"] == "POISONED"
