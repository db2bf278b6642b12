"""The server at the bounds of what it takes in at once: what is too much is refused, and everything else goes on."""

import threading
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from api import buffers
from api.buffers import INTAKE

JSON = {"content-type": "application/json"}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Whatever was counted is given back."""
    before = (INTAKE.requests, INTAKE.sockets, INTAKE.body_bytes)
    yield
    assert (INTAKE.requests, INTAKE.sockets, INTAKE.body_bytes) == before


def test_requests_beyond_the_bound_are_refused_and_questions_about_health_are_not(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "MAX_REQUESTS", 0)
    response = client.get("/api/graphs")
    assert (response.status_code, response.json()["code"]) == (503, "OVERLOADED")
    assert response.headers["retry-after"]
    for path in ("/health", "/readyz", "/livez"):
        assert client.get(path).status_code == 200


def test_a_request_counts_until_it_is_answered(client: TestClient, hold_graph: str, released: threading.Event) -> None:
    thread = threading.Thread(target=client.post, args=("/api/graph/run",), kwargs={"json": {"graph_id": hold_graph}})
    thread.start()
    while not client.get("/api/runs").json()["runs"]:
        pass
    used = {use["name"]: use["in_use"] for use in client.get("/health").json()["buffers"]}
    assert used["requests"] == 2  # the one that waits, and the one that asks
    released.set()
    thread.join(10)


def test_sockets_beyond_the_bound_are_refused_before_they_open(
    client: TestClient, hold_graph: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "MAX_SOCKETS", 1)
    path = f"ws://127.0.0.1:8000/ws/execute/{hold_graph}"
    with client.websocket_connect(path) as socket:
        socket.send_json({})
        assert socket.receive_json()["type"] == "started"
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(path):
            pass
        assert denied.value.status_code == 503
        assert client.get("/api/graphs").status_code == 200
    with client.websocket_connect("ws://127.0.0.1:8000/ws/monitor/none") as socket:
        assert socket.receive_json()["data"]["code"] == "UNKNOWN_RUN"


def test_bodies_that_are_too_much_together_are_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "MAX_BODIES_BYTES", 10)
    response = client.post("/api/graph/run", content=b" " * 11, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (503, "OVERLOADED")
    assert client.post("/api/graph/run", content=b" " * 10, headers=JSON).json()["code"] == "INVALID_JSON"
