"""The life of the server process: how it refuses to start, how it stops, and that clients which leave change nothing."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from httpx2.websockets import WebSocketDisconnect, WebSocketSession

from tests.acceptance.server import DEADLINE_S, Server, eventually


def refusal(server: Server) -> tuple[int, str]:
    """The exit code and the single line of a server that does not start."""
    code = server.process.wait(DEADLINE_S)
    (line,) = server.err.splitlines()
    assert server.out == ""
    return code, line


def drain(watching: WebSocketSession) -> None:
    while True:
        watching.receive_json(timeout=20)


def test_a_second_process_on_the_same_data_is_refused(launch: Callable[..., Server], server: Server) -> None:
    code, line = refusal(launch(ready=False))
    assert code == os.EX_TEMPFAIL
    assert line
    assert server.client.get("/health").status_code == 200


def test_a_port_in_use_is_told_in_one_line(launch: Callable[..., Server], server: Server) -> None:
    port = str(server.client.base_url.port)
    code, line = refusal(launch("--port", port, data_dir="other", ready=False))
    assert code == os.EX_UNAVAILABLE
    assert port in line


def test_a_damaged_journal_is_refused(launch: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "workflow.db").write_bytes(b"this is no database " * 500)
    code, line = refusal(launch(ready=False))
    assert code == os.EX_DATAERR
    assert "workflow.db" in line


def test_a_wrong_journal_url_is_refused(launch: Callable[..., Server]) -> None:
    code, line = refusal(launch("--journal", "ftp://x", ready=False))
    assert code == os.EX_CONFIG
    assert "ftp://x" in line


def test_a_broken_tool_file_is_named_and_the_server_runs(launch: Callable[..., Server], tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('not today')\n")
    server = launch("--tools", str(broken))
    assert str(broken) in server.err
    assert "not today" in server.err
    listed = server.client.get("/api/tools").json()
    assert [plugin["name"] for plugin in listed["broken"]] == [str(broken)]
    assert listed["count"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_with_zero(launch: Callable[..., Server], number: signal.Signals) -> None:
    server = launch()
    assert server.end(number, within_s=10) == 0
    assert server.err == ""


@pytest.mark.timeout(120)  # the attempt that runs is given its 20 s before the engine closes
def test_open_clients_do_not_hold_up_the_end(launch: Callable[..., Server], held: dict[str, Any]) -> None:
    """A client that waits for its run is answered, a socket is closed with 1012, and the run goes on at the next start."""
    server = launch()
    graph_id = server.create(held)
    answers: list[Any] = []

    def wait() -> None:
        body = {"graph_id": graph_id, "initial_state": {"name": "waited"}}
        answers.append(server.client.post("/api/graph/run", json=body))

    waiter = threading.Thread(target=wait)
    waiter.start()
    runs = eventually(lambda: server.client.get("/api/runs").json()["runs"])
    run_id = runs[0]["run_id"]
    server.wait_started(run_id, 2)
    with server.client.websocket(f"{server.ws_url}/ws/monitor/{run_id}") as watching:
        assert watching.receive_json(timeout=20)["type"] == "log"
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(WebSocketDisconnect) as closed:
            drain(watching)
    assert closed.value.code == 1012
    waiter.join(DEADLINE_S)
    assert answers[0].status_code == 503
    assert answers[0].json()["run_id"] == run_id
    assert server.process.wait(DEADLINE_S) == 0
    assert time.monotonic() - started < DEADLINE_S
    assert "Traceback" not in server.err

    again = launch()
    assert again.state(run_id)["status"] in ("pending", "running")


def test_a_run_outlives_the_client_that_waited_for_it(server: Server, tmp_path: Path, held: dict[str, Any]) -> None:
    graph_id = server.create(held)
    body = b'{"graph_id": "%b", "initial_state": {"name": "left"}}' % graph_id.encode()
    url = server.client.base_url
    with socket.create_connection((url.host, url.port), timeout=DEADLINE_S) as connection:
        connection.sendall(
            b"POST /api/graph/run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        runs = eventually(lambda: server.client.get("/api/runs").json()["runs"])
    run_id = runs[0]["run_id"]
    (tmp_path / "gate").touch()
    assert server.wait_ended(run_id)["status"] == "completed"


def test_a_socket_that_vanishes_does_not_stop_its_run(server: Server, tmp_path: Path, held: dict[str, Any]) -> None:
    with server.client.websocket(f"{server.ws_url}/ws/execute/{server.create(held)}") as running:
        running.send_json({"initial_state": {"name": "vanished"}})
        run_id = running.receive_json(timeout=20)["data"]["run_id"]
    (tmp_path / "gate").touch()
    assert server.wait_ended(run_id)["status"] == "completed"


def test_the_memory_journal_says_what_it_is(launch: Callable[..., Server]) -> None:
    server = launch("--journal", "memory:")
    assert server.client.get("/health").json()["durability"] == "none"
    assert server.end(signal.SIGTERM, within_s=10) == 0


@pytest.mark.parametrize("tool", ["never_end", "block_for_ever"])
def test_a_tool_that_never_ends_does_not_hold_up_the_end(launch: Callable[..., Server], tool: str) -> None:
    server = launch("--close-grace", "0.1")
    graph = {"name": "stubborn", "nodes": [{"name": "a", "tool": tool}], "entry_point": "a"}
    run_id = server.submit(server.create(graph), {})
    server.wait_started(run_id, 1)
    assert server.end(signal.SIGTERM, within_s=20) == 0
    again = launch()
    assert again.state(run_id)["status"] == "running"
