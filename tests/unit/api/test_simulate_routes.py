"""Simulating graphs over HTTP."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest
from starlette.testclient import TestClient

from api.simulation_schemas import SimulateRequest, SimulationAnswer

Chain = Callable[..., dict[str, Any]]
Meanwhile = Callable[[], Awaitable[dict[str, Any]]]
URL = "/api/graph/simulate"


def test_a_graph_is_simulated_and_nothing_is_stored(client: TestClient, definition: Chain) -> None:
    mocks = [
        {"node": "n0", "value": {"held": "not really"}},
        {"node": "n1", "fail": {"code": "DOWN"}, "fail_chance": 0.5},
    ]
    body = {"graph": definition("hold", ("echo", {"message": 1})), "seeds": 40, "mocks": mocks}
    response = client.post(URL, json=body)
    assert response.status_code == 200
    answer = SimulationAnswer.model_validate_json(response.content)
    assert (answer.seeds, answer.complete, answer.stopped_by) == (40, True, None)
    assert {(end.status, end.code) for end in answer.ends} == {("completed", None), ("failed", "DOWN")}
    assert sum(end.count for end in answer.ends) == 40
    assert answer.final_state == {"held": "not really"}
    assert answer.records[0]["event"] == "run_submitted"
    assert client.get("/api/graphs").json()["graphs"] == []
    assert client.get("/api/runs").json()["runs"] == []


def test_a_stored_graph_is_simulated_by_its_id(client: TestClient, echo_graph: str) -> None:
    response = client.post(URL, json={"graph_id": echo_graph})
    assert response.status_code == 200
    assert response.json()["records"][0]["graph_id"] == echo_graph


def test_the_examples_do_what_they_show(client: TestClient) -> None:
    extra: Any = SimulateRequest.model_config["json_schema_extra"]
    answer = SimulationAnswer.model_validate_json(client.post(URL, json=extra["examples"][0]).content)
    shown: Any = SimulationAnswer.model_config["json_schema_extra"]
    for example in shown["examples"]:
        SimulationAnswer.model_validate_json(msgspec.json.encode(example))
        assert example["ends"] == [end.model_dump(mode="json") for end in answer.ends]
        assert example["conflicts"] == [conflict.model_dump(mode="json") for conflict in answer.conflicts]
        assert example["virtual_s"] == (answer.virtual_s and answer.virtual_s.model_dump())


def test_the_verdict_points_into_the_body(client: TestClient, definition: Chain) -> None:
    response = client.post(URL, json={"graph": definition("no_such_tool")})
    assert (response.status_code, response.json()["code"]) == (422, "INVALID_GRAPH")
    assert [error["pointer"] for error in response.json()["errors"]] == ["/graph/nodes/0/tool"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"graph": {}, "graph_id": "graph-1"}, ""),
        ({"graph": []}, "/graph"),
        ({"graph_id": 1}, "/graph_id"),
        ({"graph_id": "graph-1", "seeds": 0}, "/seeds"),
        ({"graph_id": "graph-1", "mocks": [{"node": "a", "valu": 1}]}, "/mocks/0/valu"),
        ({"graph_id": "graph-1", "mocks": [{"duration_s": [2, 1]}]}, "/mocks/0/duration_s"),
        ({"graph_id": "graph-1", "sed": 1}, "/sed"),
    ],
    ids=str,
)
def test_a_wrong_scenario_is_refused_with_its_place(client: TestClient, body: dict[str, Any], pointer: str) -> None:
    response = client.post(URL, json=body)
    assert (response.status_code, response.json()["code"]) == (422, "INVALID_INPUT")
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


def test_a_state_that_does_not_fit_is_refused_with_its_place(client: TestClient, definition: Chain) -> None:
    graph = {**definition("hold"), "input_schema": {"properties": {"n": {"type": "integer"}}}}
    response = client.post(URL, json={"graph": graph, "initial_state": {"n": "1"}})
    assert [error["pointer"] for error in response.json()["errors"]] == ["/initial_state/n"]


@pytest.mark.parametrize("graph_id", ["nope", "../..", "x" * 10_000])
def test_an_unknown_or_impossible_id_is_not_found(client: TestClient, graph_id: str) -> None:
    response = client.post(URL, json={"graph_id": graph_id})
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_GRAPH")


ENDLESS: dict[str, Any] = {
    "name": "endless",
    "nodes": [{"name": "again", "tool": "echo", "config": {"message": 1}}],
    "edges": [{"from_node": "again", "to_node": "again", "condition": {"field": "done", "operator": "not_exists"}}],
    "entry_point": "again",
}


async def asked(client: TestClient, meanwhile: Meanwhile) -> list[Any]:
    """Ask for a simulation that takes long, wait for `meanwhile` as the server waits for the client, and return what it sent."""
    body = msgspec.json.encode({"graph": ENDLESS, "seeds": 1_000})
    sent: list[Any] = []
    received = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Any:
        return next(received, None) or await meanwhile()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": URL,
        "headers": headers,
        "query_string": b"",
        "http_version": "1.1",
    }
    with anyio.fail_after(5):
        await client.app(scope, receive, send)
    return sent


def portal(client: TestClient) -> Any:
    assert client.portal is not None
    return client.portal


def test_a_simulation_stops_when_its_client_leaves(client: TestClient) -> None:
    async def leave() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    sent = portal(client).call(partial(asked, client, leave))
    assert sent[0]["status"] == 499


def test_a_simulation_stops_when_the_server_does(client: TestClient) -> None:
    async def stop() -> dict[str, Any]:
        client.app.state.shutdown.begin()  # type: ignore[attr-defined]
        await anyio.sleep_forever()
        return {}

    sent = portal(client).call(partial(asked, client, stop))
    assert sent[0]["status"] == 503
    assert msgspec.json.decode(sent[1]["body"])["code"] == "CLOSING"
