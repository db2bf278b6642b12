"""How a server stops in the middle of its work: at once for who asks for more, in order for what runs, and without a loss.

Real processes under real load; engines that are opened and closed again and again are in `test_cycles.py`.
"""

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from httpx2.websockets import WebSocketDisconnect

from tests.acceptance.server import DEADLINE_S, Server, eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

TOOLS: Final = '''
import os
from pathlib import Path
from typing import Any

import anyio

from tools import ToolContext, tool


@tool(effect="once")
def note(state: dict[str, Any], path: str, *, context: ToolContext) -> None:
    """Append the key of the attempt to the file: an effect that the world can count."""
    line = f"{context.idempotency_key}\\n".encode()
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)


@tool(effect="idempotent")
async def wait_for(state: dict[str, Any], path: str) -> None:
    """Wait until the file exists."""
    while not Path(path).exists():
        await anyio.sleep(0.02)


@tool(effect="pure")
async def nap(state: dict[str, Any]) -> None:
    """Take a moment."""
    await anyio.sleep(0.05)


@tool(effect="pure")
async def write_much(state: dict[str, Any], path: str, *, context: ToolContext) -> None:
    """Write more than a client that reads nothing can be sent, then wait until the file exists."""
    for _ in range(1_000):
        context.log.info("x" * 8_000)
        await anyio.sleep(0)
    await wait_for.function(state, path)
'''

Launch = Callable[..., Server]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts servers on one data folder; they are killed when the test ends."""
    servers: list[Server] = []
    (tmp_path / "tools.py").write_text(TOOLS)

    def launch(*arguments: str) -> Server:
        options = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--tools", str(tmp_path / "tools.py")]
        server = Server(tmp_path / f"server{len(servers)}", [*options, "--log-format", "none", *arguments])
        servers.append(server)
        return server.wait_ready()

    yield launch
    for server in servers:
        server.close()


def between_notes(tmp_path: Path, tool: str, **config: str) -> dict[str, Any]:
    """A graph that calls a tool between two effects."""
    ledger = str(tmp_path / "ledger")
    return {
        "name": f"{tool} between two notes",
        "nodes": [
            {"name": "before", "tool": "note", "config": {"path": ledger}},
            {"name": "middle", "tool": tool, "config": config, "timeout_s": 120},
            {"name": "after", "tool": "note", "config": {"path": ledger}},
        ],
        "edges": [{"from_node": "before", "to_node": "middle"}, {"from_node": "middle", "to_node": "after"}],
        "entry_point": "before",
    }


class Client:
    """A thread that talks to a server until it is gone; `failure` is what must not have happened."""

    def __init__(self, server: Server) -> None:
        self.base = server.url
        self.ws_url = server.ws_url
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with httpx2.Client(base_url=self.base, timeout=DEADLINE_S) as client:
                self.talk(client)
        except httpx2.TransportError:
            pass  # the server is gone
        except BaseException as failure:
            self.failure = failure

    def talk(self, client: httpx2.Client) -> None:
        raise NotImplementedError

    def join(self) -> None:
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure


class Submitter(Client):
    """Submits runs, one after the other, and keeps what it is answered."""

    def __init__(self, server: Server, graph_ids: list[str]) -> None:
        self.graph_ids = graph_ids
        self.accepted: list[str] = []
        self.refused: list[httpx2.Response] = []
        super().__init__(server)

    def talk(self, client: httpx2.Client) -> None:
        while True:
            for graph_id in self.graph_ids:
                response = client.post("/api/graph/run-async", json={"graph_id": graph_id})
                if response.status_code == 200:
                    assert not self.refused, "a run was accepted after one had been refused"
                    self.accepted.append(response.json()["run_id"])
                else:
                    self.refused.append(response)
                time.sleep(0.02)


class Asker(Client):
    """Asks for a path again and again, and keeps when it asked and what it was answered."""

    def __init__(self, server: Server, path: str) -> None:
        self.path = path
        self.answers: list[tuple[float, int]] = []
        super().__init__(server)

    def talk(self, client: httpx2.Client) -> None:
        while True:
            asked = time.monotonic()
            self.answers.append((asked, client.get(self.path).status_code))
            time.sleep(0.01)

    def after(self, moment: float) -> list[int]:
        return [status for asked, status in self.answers if asked > moment]


class Waiter(Client):
    """Starts a run and waits for its end."""

    def __init__(self, server: Server, graph_id: str) -> None:
        self.graph_id = graph_id
        self.answer: httpx2.Response | None = None
        super().__init__(server)

    def talk(self, client: httpx2.Client) -> None:
        self.answer = client.post("/api/graph/run", json={"graph_id": self.graph_id})


class Watcher(Client):
    """Follows a run until the socket closes."""

    def __init__(self, server: Server, run_id: str) -> None:
        self.run_id = run_id
        self.messages: list[dict[str, Any]] = []
        self.code = 0
        super().__init__(server)

    def talk(self, client: httpx2.Client) -> None:
        try:
            with client.websocket(f"{self.ws_url}/ws/monitor/{self.run_id}") as socket:
                while True:
                    self.messages.append(socket.receive_json(timeout=DEADLINE_S))
        except WebSocketDisconnect as closed:
            self.code = closed.code


def assert_refused(response: httpx2.Response) -> None:
    assert response.status_code == 503
    assert response.json()["code"] == "CLOSING"
    assert int(response.headers["retry-after"]) > 0


def assert_told_where_it_was(watcher: Watcher) -> None:
    *logs, error = watcher.messages
    assert {log["type"] for log in logs} == {"log"}
    assert [log["data"]["seq"] for log in logs] == list(range(1, len(logs) + 1))
    assert error["type"] == "error"
    assert (error["data"]["code"], error["data"]["last_seq"]) == ("CLOSING", len(logs))
    assert error["data"]["run_id"] == watcher.run_id
    assert watcher.code == 1012


def test_f53_a_server_told_to_stop_under_load_says_so_at_once_and_loses_nothing(launch: Launch, tmp_path: Path) -> None:
    server = launch("--close-grace", "4")
    held = server.create(between_notes(tmp_path, "wait_for", path=str(tmp_path / "gate")))
    quick = server.create(between_notes(tmp_path, "nap"))
    submitters = [Submitter(server, [held, quick, quick]) for _ in range(4)]
    eventually(lambda: all(len(one.accepted) >= 25 for one in submitters))
    waiter = Waiter(server, held)
    watchers = [Watcher(server, one.accepted[0]) for one in submitters]
    eventually(lambda: all(len(one.messages) >= 4 for one in watchers))
    health, ready = Asker(server, "/health"), Asker(server, "/readyz")
    reads = Asker(server, f"/api/graph/state/{watchers[0].run_id}")
    eventually(lambda: health.answers and ready.answers and reads.answers)
    eventually(
        lambda: (
            Counter(run["status"] for run in server.client.get("/api/runs?limit=200").json()["runs"])["running"] > 20
        )
    )

    told = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(DEADLINE_S) == 0
    assert time.monotonic() - told < 35
    clients = [*submitters, *watchers, waiter, health, ready, reads]
    for client in clients:
        client.join()

    for asker in (health, ready):
        told_so = asker.after(told)
        assert 503 in told_so
        assert set(told_so[told_so.index(503) :]) == {503}  # nobody is told that it is ready again
    assert set(reads.after(told)) == {200}
    assert reads.after(told + 1), "the server did not go on listening"
    for submitter in submitters:
        assert submitter.refused
        for response in submitter.refused:
            assert_refused(response)
    assert waiter.answer is not None
    assert_refused(waiter.answer)
    for watcher in watchers:
        assert_told_where_it_was(watcher)

    (tmp_path / "gate").touch()
    again = launch()
    accepted = [run_id for submitter in submitters for run_id in submitter.accepted]
    accepted.append(waiter.answer.json()["run_id"])
    for run_id in accepted:
        assert again.wait_ended(run_id)["status"] == "completed"
    effects = Counter((tmp_path / "ledger").read_text().splitlines())
    assert set(effects.values()) == {1}
    assert {key.partition("/")[0] for key in effects} == set(accepted)
    assert len(effects) == 2 * len(accepted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_f53_a_second_signal_ends_the_server_without_waiting(
    launch: Launch, tmp_path: Path, number: signal.Signals
) -> None:
    server = launch()
    run_id = server.submit(server.create(between_notes(tmp_path, "wait_for", path=str(tmp_path / "gate"))), {})
    server.wait_started(run_id, 2)
    server.process.send_signal(number)
    eventually(lambda: server.client.get("/health").status_code == 503)
    told_again = time.monotonic()
    assert server.end(number) == 0
    assert time.monotonic() - told_again < 5  # it takes one second at most; the rest is slack
    (tmp_path / "gate").touch()
    again = launch()
    assert again.wait_ended(run_id)["status"] == "completed"
    assert set(Counter((tmp_path / "ledger").read_text().splitlines()).values()) == {1}


@pytest.mark.parametrize("command", ["graph/create", "graph/run", "graph/run-async", "runs/{}/retry", "runs/{}/fork"])
def test_f53_whatever_would_begin_work_is_refused_while_running_work_may_finish(
    launch: Launch, tmp_path: Path, command: str
) -> None:
    server = launch()
    graph = between_notes(tmp_path, "wait_for", path=str(tmp_path / "gate"))
    graph_id = server.create(graph)
    run_id = server.submit(graph_id, {})
    server.wait_started(run_id, 2)
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.client.get("/health").status_code == 503)
    bodies = {"graph/create": graph, "runs/{}/fork": {"node": "middle"}, "runs/{}/retry": None}
    body = bodies.get(command, {"graph_id": graph_id})
    assert_refused(server.client.post(f"/api/{command.format(run_id)}", json=body))
    (tmp_path / "gate").touch()  # the step ends within its grace, so the server need not wait for the rest of it
    stopped = time.monotonic()
    assert server.process.wait(DEADLINE_S) == 0
    assert time.monotonic() - stopped < 15
    again = launch()
    assert again.wait_ended(run_id)["status"] == "completed"
    assert again.events(run_id).count("step_started") == 3  # the one that ran was not cut off


def test_f53_a_socket_that_has_not_said_what_to_run_is_told_at_once(launch: Launch, tmp_path: Path) -> None:
    server = launch()
    graph_id = server.create(between_notes(tmp_path, "nap"))
    with server.client.websocket(f"{server.ws_url}/ws/execute/{graph_id}") as running:
        assert server.end(signal.SIGTERM, within_s=15) == 0
        error = running.receive_json(timeout=DEADLINE_S)
        with pytest.raises(WebSocketDisconnect) as closed:
            running.receive_json(timeout=DEADLINE_S)
    assert (error["type"], error["data"]["code"]) == ("error", "CLOSING")
    assert closed.value.code == 1012


def test_f53_clients_that_say_and_read_nothing_do_not_hold_up_the_end(launch: Launch, tmp_path: Path) -> None:
    """Kept-alive connections, half a request, and a socket whose client reads nothing and is sent megabytes."""
    server = launch("--close-grace", "0.2")
    run_id = server.submit(server.create(between_notes(tmp_path, "write_much", path=str(tmp_path / "gate"))), {})
    address = (server.client.base_url.host, server.client.base_url.port)
    head = "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    said = [
        "",
        head.format("/health"),
        head.format("/health") + "\r\n",
        "POST /api/graph/run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{",
        head.format(f"/ws/monitor/{run_id}") + upgrade,
    ]
    connections = []
    for text in said:
        connections.append(socket.socket())
        connections[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connections[-1].connect(address)
        connections[-1].sendall(text.encode())
    eventually(lambda: len(server.client.get(f"/api/runs/{run_id}/events?limit=1000").json()["events"]) >= 1_000)
    assert server.end(signal.SIGTERM, within_s=20) == 0
    for connection in connections:
        connection.close()
    assert "Traceback" not in server.err
