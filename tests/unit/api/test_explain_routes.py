"""Asking over HTTP why a run is as it is."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from api.schemas import BlameAnswer, ExplanationAnswer

JUDGED: dict[str, Any] = {
    "name": "judged",
    "nodes": [
        {"name": "count", "type": "loop", "tool": "increment", "config": {"key": "n"}},
        {"name": "judge", "type": "conditional"},
        {"name": "many", "tool": "echo", "config": {"message": "many", "key": "a/b ü"}},
        {"name": "few", "tool": "echo", "config": {"message": "few", "key": "verdict"}},
    ],
    "edges": [
        {"from_node": "count", "to_node": "judge"},
        {"from_node": "judge", "to_node": "many", "condition": {"field": "n", "operator": ">=", "value": 3}},
        {"from_node": "judge", "to_node": "few", "default": True},
    ],
    "loops": [{"node": "count", "condition": {"field": "n", "operator": ">=", "value": 3}}],
    "entry_point": "count",
}


@pytest.fixture
def judged(client: TestClient) -> dict[str, Any]:
    """The answer to a run that counted to three and took the way `many`."""
    graph_id = client.post("/api/graph/create", json=JUDGED).json()["graph_id"]
    body = {"graph_id": graph_id, "initial_state": {"n": 0, "who": "Ada"}}
    answer: dict[str, Any] = client.post("/api/graph/run", json=body).json()
    assert answer["status"] == "completed"
    return answer


def test_a_node_that_ran_is_explained(client: TestClient, judged: dict[str, Any]) -> None:
    response = client.get(f"/api/runs/{judged['run_id']}/explain", params={"node": "count"})
    assert response.status_code == 200
    explained = ExplanationAnswer.model_validate_json(response.content)
    assert (explained.run_id, explained.node, explained.path) == (judged["run_id"], "count", "")
    assert explained.counts == {"completed": 3}
    assert [one["iteration"] for one in explained.activations] == [1, 2, 3]
    assert explained.text


@pytest.mark.parametrize("node", ["count", "judge", "few"])
def test_an_explanation_is_as_the_server_describes_it(client: TestClient, judged: dict[str, Any], node: str) -> None:
    components = client.get("/openapi.json").json()["components"]
    schema = {"$ref": "#/components/schemas/ExplanationAnswer", "components": components}
    Draft202012Validator.check_schema(schema)
    explained = client.get(f"/api/runs/{judged['run_id']}/explain", params={"node": node}).json()
    assert list(Draft202012Validator(schema).iter_errors(explained)) == []
    assert list(Draft202012Validator(schema).iter_errors({**explained, "activations": [{}]})) != []


def test_a_node_that_did_not_run_is_explained(client: TestClient, judged: dict[str, Any]) -> None:
    response = client.get(f"/api/runs/{judged['run_id']}/explain", params={"node": "few", "path": ""})
    explained = ExplanationAnswer.model_validate_json(response.content)
    assert explained.counts == {"skipped": 1}
    assert "judge" in explained.text


def test_a_node_that_waits_is_explained(client: TestClient, hold_graph: str) -> None:
    run_id = client.post("/api/graph/run-async", json={"graph_id": hold_graph}).json()["run_id"]
    response = client.get(f"/api/runs/{run_id}/explain", params={"node": "n0"})
    explained = ExplanationAnswer.model_validate_json(response.content)
    assert "completed" not in explained.counts


def test_a_node_of_a_map_item_is_explained(client: TestClient) -> None:
    child = {"name": "child", "nodes": JUDGED["nodes"][2:3], "entry_point": "many"}
    each = {"name": "each", "type": "map", "map": {"items": [1, 2]}, "graph": child}
    graph_id = client.post("/api/graph/create", json={"name": "m", "nodes": [each], "entry_point": "each"}).json()[
        "graph_id"
    ]
    run_id = client.post("/api/graph/run", json={"graph_id": graph_id}).json()["run_id"]
    response = client.get(f"/api/runs/{run_id}/explain", params={"node": "many", "path": "each#1[1]"})
    explained = ExplanationAnswer.model_validate_json(response.content)
    assert (explained.path, explained.node, explained.counts) == ("each#1[1]", "many", {"completed": 1})


@pytest.mark.parametrize(
    "query", [{"node": "nope"}, {"node": "count", "path": "count#1"}, {"node": "count", "path": "../.."}], ids=str
)
def test_a_step_that_is_not_in_the_run_is_not_found(
    client: TestClient, judged: dict[str, Any], query: dict[str, str]
) -> None:
    response = client.get(f"/api/runs/{judged['run_id']}/explain", params=query)
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_STEP")
    assert (response.json()["run_id"], response.json()["node"]) == (judged["run_id"], query["node"])


def test_the_writer_of_each_key_is_told(client: TestClient, judged: dict[str, Any]) -> None:
    response = client.get(f"/api/runs/{judged['run_id']}/blame")
    assert response.status_code == 200
    blamed = BlameAnswer.model_validate_json(response.content)
    assert set(blamed.keys) == set(judged["final_state"])
    written = {record["seq"]: record for record in judged["execution_log"]}
    told = {key: (writer.node, writer.iteration) for key, writer in blamed.keys.items() if writer.node is not None}
    assert told == {"n": ("count", 3), "a/b ü": ("many", 1)}
    for key, (node, iteration) in told.items():
        record = written[blamed.keys[key].seq]
        assert (record["event"], record["node"], record["iteration"]) == ("step_completed", node, iteration)
        assert key in record["update"]
    assert written[blamed.keys["who"].seq]["event"] == "run_submitted"


@pytest.mark.parametrize(("key", "found"), [("a/b ü", ["a/b ü"]), ("who", ["who"]), ("nope", []), ("", [])])
def test_one_key_can_be_asked_for(client: TestClient, judged: dict[str, Any], key: str, found: list[str]) -> None:
    answer = client.get(f"/api/runs/{judged['run_id']}/blame", params={"key": key}).json()
    assert list(answer["keys"]) == found
    assert answer["run_id"] == judged["run_id"]


def test_the_writers_of_a_running_run_are_told(client: TestClient, hold_graph: str) -> None:
    body = {"graph_id": hold_graph, "initial_state": {"x": 1}}
    run_id = client.post("/api/graph/run-async", json=body).json()["run_id"]
    assert client.get(f"/api/runs/{run_id}/blame").json()["keys"]["x"]["node"] is None


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("explain", ["/query/node"]),
        ("explain?node=", ["/query/node"]),
        (f"explain?node={'x' * 129}", ["/query/node"]),
        ("explain?node=a%0Ab", ["/query/node"]),
        (f"explain?node=a&path={'x' * 4_097}", ["/query/path"]),
        ("explain?node=a&pth=b", ["/query/pth"]),
        (f"blame?key={'x' * 4_097}", ["/query/key"]),
        ("blame?keys=a", ["/query/keys"]),
    ],
)
def test_a_wrong_query_is_refused_with_its_places(client: TestClient, query: str, pointers: list[str]) -> None:
    response = client.get(f"/api/runs/run-1/{query}")
    assert (response.status_code, response.json()["code"]) == (422, "INVALID_INPUT")
    assert [error["pointer"] for error in response.json()["errors"]] == pointers


@pytest.mark.parametrize("run_id", ["nope", "a%00b", "a%20b", "x" * 10_000])
@pytest.mark.parametrize("query", ["explain?node=a", "blame"])
def test_an_unknown_run_is_not_found(client: TestClient, run_id: str, query: str) -> None:
    response = client.get(f"/api/runs/{run_id}/{query}")
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_RUN")
