"""Creating, reading, listing and deleting graphs over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.schemas import GraphAnswer, GraphCreatedAnswer, GraphsAnswer, MessageAnswer

Chain = Callable[..., dict[str, Any]]


def test_a_graph_is_created_from_its_envelope_and_bare(client: TestClient, definition: Chain) -> None:
    graph = definition(("echo", {"message": 1}))
    wrapped = client.post("/api/graph/create", json={"graph": graph})
    bare = client.post("/api/graph/create", json=graph)
    assert wrapped.status_code == bare.status_code == 200
    created = GraphCreatedAnswer.model_validate_json(wrapped.content)
    assert created.warnings == []
    assert bare.json()["version"] == created.version


@pytest.mark.parametrize(("prefix", "wrap"), [("/graph", True), ("", False)], ids=["wrapped", "bare"])
def test_the_verdict_points_into_the_body_as_it_was_sent(
    client: TestClient, definition: Chain, prefix: str, wrap: bool
) -> None:
    graph = definition("no_such_tool", "neither")
    response = client.post("/api/graph/create", json={"graph": graph} if wrap else graph)
    assert response.status_code == 422
    problem = response.json()
    assert problem["code"] == "INVALID_GRAPH"
    assert [error["pointer"] for error in problem["errors"]] == [f"{prefix}/nodes/0/tool", f"{prefix}/nodes/1/tool"]


def test_warnings_point_into_the_body_as_it_was_sent(client: TestClient, definition: Chain) -> None:
    graph = definition(("echo", {"message": 1}))
    graph["nodes"].append({"name": "island", "tool": "echo", "config": {"message": 2}})
    response = client.post("/api/graph/create", json={"graph": graph})
    assert response.status_code == 200
    (warning,) = response.json()["warnings"]
    assert warning["pointer"].startswith("/graph/nodes/1")


def test_keys_beside_the_envelope_are_refused(client: TestClient, definition: Chain) -> None:
    response = client.post("/api/graph/create", json={"graph": definition("hold"), "a/b~c": 1, "grph": {}})
    assert response.status_code == 422
    errors = response.json()["errors"]
    assert [(error["pointer"], error["type"]) for error in errors] == [
        ("/a~1b~0c", "unknown_key"),
        ("/grph", "unknown_key"),
    ]


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b'{"graph": []}', b'{"graph": null}', b"{}"])
def test_what_is_no_definition_is_refused(client: TestClient, body: bytes) -> None:
    response = client.post("/api/graph/create", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert response.json()["errors"]


def test_a_graph_is_read_as_it_was_sent(client: TestClient, definition: Chain) -> None:
    graph = definition(("echo", {"message": {"deep": [1, 2.5, None, "é"]}}))
    graph_id = client.post("/api/graph/create", json=graph).json()["graph_id"]
    response = client.get(f"/api/graphs/{graph_id}")
    assert response.status_code == 200
    answer = GraphAnswer.model_validate_json(response.content)
    assert answer.graph_id == graph_id
    assert answer.created_at.tzinfo is not None
    read = response.json()
    assert {key: read[key] for key in graph} == graph


def test_graphs_are_listed_in_pages(client: TestClient, stored: Callable[..., str]) -> None:
    ids = {stored("hold", name=f"g{i}") for i in range(3)}
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        query: dict[str, str] = {"limit": "1"} if cursor is None else {"limit": "1", "cursor": cursor}
        page = GraphsAnswer.model_validate_json(client.get("/api/graphs", params=query).content)
        seen += [graph.graph_id for graph in page.graphs]
        cursor = page.next_cursor
    assert set(seen) == ids
    assert cursor is None
    assert page.graphs[0].nodes == 1
    assert page.graphs[0].entry_point == "n0"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=201", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("lmit=1", "/query/lmit"),
    ],
)
def test_a_wrong_query_is_refused_with_its_place(client: TestClient, query: str, pointer: str) -> None:
    response = client.get(f"/api/graphs?{query}")
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


def test_a_bad_cursor_is_refused(client: TestClient) -> None:
    response = client.get("/api/graphs?cursor=nonsense")
    assert response.status_code == 422
    assert response.json()["code"] == "INVALID_INPUT"


def test_a_graph_is_deleted_once_no_run_uses_it(client: TestClient, hold_graph: str) -> None:
    run = client.post("/api/graph/run-async", json={"graph_id": hold_graph}).json()
    refused = client.delete(f"/api/graphs/{hold_graph}")
    assert refused.status_code == 409
    assert refused.json()["code"] == "GRAPH_IN_USE"
    client.post(f"/api/runs/{run['run_id']}/cancel")
    with client.websocket_connect(f"ws://127.0.0.1:8000/ws/monitor/{run['run_id']}") as socket:
        while socket.receive_json()["type"] != "complete":
            pass
    deleted = client.delete(f"/api/graphs/{hold_graph}")
    assert deleted.status_code == 200
    MessageAnswer.model_validate_json(deleted.content)
    assert client.delete(f"/api/graphs/{hold_graph}").status_code == 404


@pytest.mark.parametrize(
    "graph_id", ["nope", "..%2f..%2fetc", "a%00b", "x" * 10_000, "';DROP TABLE graphs;--", "%2e%2e"]
)
def test_an_unknown_or_impossible_id_is_not_found(client: TestClient, graph_id: str) -> None:
    for response in (client.get(f"/api/graphs/{graph_id}"), client.delete(f"/api/graphs/{graph_id}")):
        assert response.status_code == 404
        assert len(response.content) < 1_000
