"""The two sockets: their messages, their order, their close codes, and that a run does not depend on them."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

WS = "ws://127.0.0.1:8000/ws"


def conversation(socket: WebSocketTestSession) -> tuple[list[dict[str, Any]], int]:
    """Every message until the server closes, and its close code."""
    messages: list[dict[str, Any]] = []
    try:
        while True:
            messages.append(socket.receive_json())
    except WebSocketDisconnect as closed:
        return messages, closed.code


def test_execute_with_a_key_that_is_known_follows_the_same_run_from_its_first_record(
    client: TestClient, echo_graph: str
) -> None:
    told = []
    for _ in range(2):
        with client.websocket_connect(f"{WS}/execute/{echo_graph}") as socket:
            socket.send_json({"initial_state": {"a": 1}, "idempotency_key": "k"})
            told.append(conversation(socket))
    assert told[0] == told[1]
    assert len(client.get("/api/runs").json()["runs"]) == 1


def test_execute_starts_a_run_and_follows_it(client: TestClient, echo_graph: str) -> None:
    with client.websocket_connect(f"{WS}/execute/{echo_graph}") as socket:
        socket.send_json({"initial_state": {"a": 1}})
        messages, code = conversation(socket)
    assert code == 1000
    started, *logs, complete = messages
    run_id = started["data"]["run_id"]
    assert started == {"type": "started", "data": {"run_id": run_id}}
    assert {message["type"] for message in logs} == {"log"}
    assert [message["data"]["seq"] for message in logs] == list(range(1, len(logs) + 1))
    assert complete == {
        "type": "complete",
        "data": {"run_id": run_id, "status": "completed", "final_state": {"a": 1, "echo": "hi"}},
    }
    state = client.get(f"/api/graph/state/{run_id}").json()
    assert state["execution_log"] == [message["data"] for message in logs]


def test_an_empty_first_message_starts_with_an_empty_state(client: TestClient, echo_graph: str) -> None:
    with client.websocket_connect(f"{WS}/execute/{echo_graph}") as socket:
        socket.send_bytes(b"{}")
        messages, _ = conversation(socket)
    assert messages[-1]["data"]["final_state"] == {"echo": "hi"}


@pytest.mark.parametrize(
    ("first", "code", "close"),
    [
        ("nonsense", "INVALID_JSON", 1007),
        ('{"initial_state": {"a": NaN}}', "INVALID_JSON", 1007),
        ('{"initial_state": {}, "initial_state": {}}', "INVALID_JSON", 1007),
        ('{"initial_state": []}', "INVALID_INPUT", 1008),
        ('{"state": {}}', "INVALID_INPUT", 1008),
        ("[]", "INVALID_INPUT", 1008),
        (" " * 1_048_577, "TOO_LARGE", 1009),
    ],
)
def test_a_wrong_first_message_is_told_before_the_close(
    client: TestClient, echo_graph: str, first: str, code: str, close: int
) -> None:
    with client.websocket_connect(f"{WS}/execute/{echo_graph}") as socket:
        socket.send_text(first)
        messages, closed = conversation(socket)
    assert [(message["type"], message["data"]["code"]) for message in messages] == [("error", code)]
    assert messages[0]["data"]["message"]
    assert closed == close
    assert client.get("/api/runs").json()["runs"] == []


@pytest.mark.parametrize("kind", ["execute", "monitor"])
@pytest.mark.parametrize("unknown", ["nope", "a%20b", "x" * 500])
def test_an_unknown_id_is_told_at_once(client: TestClient, kind: str, unknown: str) -> None:
    with client.websocket_connect(f"{WS}/{kind}/{unknown}") as socket:
        messages, code = conversation(socket)
    assert [message["data"]["code"] for message in messages] in (["UNKNOWN_GRAPH"], ["UNKNOWN_RUN"])
    assert code == 4404


def test_monitor_sends_everything_then_live_then_complete(
    client: TestClient, hold_graph: str, released: threading.Event
) -> None:
    run_id = client.post("/api/graph/run-async", json={"graph_id": hold_graph}).json()["run_id"]
    with client.websocket_connect(f"{WS}/monitor/{run_id}") as socket:
        first = socket.receive_json()
        socket.send_text("ignored")
        released.set()
        messages, code = conversation(socket)
    assert code == 1000
    *logs, complete = [first, *messages]
    assert [message["data"]["seq"] for message in logs] == list(range(1, len(logs) + 1))
    assert complete["type"] == "complete"
    assert complete["data"]["final_state"] == {"held": True}


def test_monitor_goes_on_after_a_record(client: TestClient, echo_graph: str) -> None:
    run = client.post("/api/graph/run", json={"graph_id": echo_graph}).json()
    log = run["execution_log"]
    for after in (0, 2, len(log), len(log) + 5):
        with client.websocket_connect(f"{WS}/monitor/{run['run_id']}?after={after}") as socket:
            messages, code = conversation(socket)
        assert [message["data"] for message in messages[:-1]] == log[after:]
        assert (messages[-1]["type"], code) == ("complete", 1000)


@pytest.mark.parametrize("after", ["-1", "x", "1.0", "", "9" * 30, "%C2%B2"])
def test_monitor_refuses_a_wrong_start(client: TestClient, echo_graph: str, after: str) -> None:
    run_id = client.post("/api/graph/run", json={"graph_id": echo_graph}).json()["run_id"]
    with client.websocket_connect(f"{WS}/monitor/{run_id}?after={after}") as socket:
        messages, code = conversation(socket)
    assert [message["data"]["code"] for message in messages] == ["INVALID_INPUT"]
    assert code == 1008


def test_a_run_goes_on_when_its_socket_closes(client: TestClient, hold_graph: str, released: threading.Event) -> None:
    with client.websocket_connect(f"{WS}/execute/{hold_graph}") as socket:
        socket.send_json({})
        run_id = socket.receive_json()["data"]["run_id"]
    # leaving the block waits for the handler to end: the client's leaving was noticed while the run was idle
    assert client.get(f"/api/graph/state/{run_id}").json()["status"] in ("pending", "running")
    released.set()
    with client.websocket_connect(f"{WS}/monitor/{run_id}") as socket:
        messages, _ = conversation(socket)
    assert messages[-1]["data"]["status"] == "completed"


def test_a_client_that_leaves_before_it_speaks_starts_nothing(client: TestClient, echo_graph: str) -> None:
    with client.websocket_connect(f"{WS}/execute/{echo_graph}"):
        pass
    assert client.get("/api/runs").json()["runs"] == []


def test_a_failed_run_is_complete_too(client: TestClient, stored: Callable[..., str]) -> None:
    graph_id = stored(("copy_value", {"source": "missing", "target": "b"}))
    with client.websocket_connect(f"{WS}/execute/{graph_id}") as socket:
        socket.send_json({"initial_state": {"a": 1}})
        messages, code = conversation(socket)
    assert messages[-1]["type"] == "complete"
    assert messages[-1]["data"]["status"] == "failed"
    assert messages[-1]["data"]["final_state"] == {"a": 1}
    assert code == 1000
