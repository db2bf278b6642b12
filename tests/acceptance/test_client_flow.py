"""What the documented client does, from the first graph to the last record, against a real server."""

from typing import Any

import pytest
from httpx2.websockets import WebSocketDisconnect, WebSocketSession, WebSocketUpgradeError

from tests.acceptance.server import Server

GRAPH: dict[str, Any] = {
    "name": "count",
    "description": "Counts to three, then says so.",
    "nodes": [
        {"name": "add", "type": "loop", "tool": "increment", "config": {"key": "n"}},
        {"name": "say", "type": "standard", "tool": "echo", "config": {"message": "done"}},
    ],
    "edges": [{"from_node": "add", "to_node": "say"}],
    "loops": [{"node": "add", "condition": {"field": "n", "operator": ">=", "value": 3}, "max_iterations": 10}],
    "entry_point": "add",
}


def conversation(socket: WebSocketSession) -> tuple[list[dict[str, Any]], int]:
    messages: list[dict[str, Any]] = []
    try:
        while True:
            messages.append(socket.receive_json(timeout=20))
    except WebSocketDisconnect as closed:
        return messages, closed.code


def test_every_documented_endpoint(server: Server) -> None:
    client = server.client
    created = client.post("/api/graph/create", json={"graph": GRAPH}).json()
    graph_id = created["graph_id"]
    assert (created["warnings"], created["message"] != "", created["version"] != "") == ([], True, True)

    run = client.post("/api/graph/run", json={"graph_id": graph_id, "initial_state": {"n": 0}}).json()
    assert run["status"] == "completed"
    assert run["final_state"] == {"n": 3, "echo": "done"}
    assert [record["seq"] for record in run["execution_log"]] == list(range(1, len(run["execution_log"]) + 1))

    accepted = client.post("/api/graph/run-async", json={"graph_id": graph_id, "initial_state": {"n": 1}}).json()
    with client.websocket(f"{server.ws_url}/ws/monitor/{accepted['run_id']}") as socket:
        messages, code = conversation(socket)
    assert (messages[-1]["type"], messages[-1]["data"]["status"], code) == ("complete", "completed", 1000)

    state = client.get(f"/api/graph/state/{accepted['run_id']}").json()
    assert (state["graph_id"], state["status"], state["current_state"]["n"]) == (graph_id, "completed", 3)
    assert state["execution_log"] == [message["data"] for message in messages[:-1]]

    listed = client.get("/api/graphs").json()["graphs"]
    assert listed == [
        {
            "graph_id": graph_id,
            "name": "count",
            "description": "Counts to three, then says so.",
            "nodes": 2,
            "entry_point": "add",
        }
    ]
    stored = client.get(f"/api/graphs/{graph_id}").json()
    assert {key: stored[key] for key in GRAPH} == GRAPH
    runs = client.get("/api/runs", params={"graph_id": graph_id, "status": "completed"}).json()["runs"]
    assert {one["run_id"] for one in runs} == {run["run_id"], accepted["run_id"]}
    assert all(one["started_at"] and one["completed_at"] for one in runs)
    events = client.get(f"/api/runs/{run['run_id']}/events", params={"after": 2}).json()
    assert events["events"] == run["execution_log"][2:]
    assert client.get("/api/tools").json()["count"] > 5
    health = client.get("/health").json()
    assert (health["graphs"], health["runs"], health["active"], health["durability"]) == (1, 2, 0, "fsync")
    assert client.delete(f"/api/graphs/{graph_id}").status_code == 200
    assert client.get("/api/graphs").json() == {"graphs": [], "next_cursor": None}
    assert client.get(f"/api/graph/state/{run['run_id']}").json()["current_state"]["n"] == 3


def test_execute_over_a_socket(server: Server) -> None:
    graph_id = server.create(GRAPH)
    with server.client.websocket(f"{server.ws_url}/ws/execute/{graph_id}") as socket:
        socket.send_json({"initial_state": {"n": 0}})
        messages, code = conversation(socket)
    assert [message["type"] for message in messages] == ["started", *["log"] * (len(messages) - 2), "complete"]
    assert messages[-1]["data"]["final_state"] == {"n": 3, "echo": "done"}
    assert code == 1000


def test_unknown_ids_over_sockets(server: Server) -> None:
    for path in ("/ws/execute/nope", "/ws/monitor/nope"):
        with server.client.websocket(server.ws_url + path) as socket:
            messages, code = conversation(socket)
        assert [message["type"] for message in messages] == ["error"]
        assert code == 4404


@pytest.mark.parametrize("size", [2_000_000, 50_000_000])
def test_a_body_that_is_too_large_is_refused_and_the_server_lives(server: Server, size: int) -> None:
    response = server.client.post("/api/graph/run", content=b" " * size, headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert server.client.get("/health").status_code == 200


def test_a_foreign_host_is_refused_and_nothing_is_logged_as_an_error(server: Server) -> None:
    origin = {"origin": "http://evil.example"}
    with (
        pytest.raises(WebSocketUpgradeError) as denied,
        server.client.websocket(f"{server.ws_url}/ws/execute/x", headers=origin),
    ):
        pass
    assert denied.value.response.status_code == 403
    assert server.client.get("/health", headers={"host": "evil.example"}).status_code == 400
    assert server.err == ""
