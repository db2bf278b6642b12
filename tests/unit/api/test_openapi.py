"""The OpenAPI document: every route, with examples that its own schemas accept."""

from typing import Any

import msgspec
import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

from api import dataset_schemas, schemas

METHODS = {"get", "post", "put", "delete"}
FILES = {"get /api/datasets/{name}", "get /api/runs/{run_id}/artifacts/{name}"}
WITH_BODY = {
    "post /api/graph/create",
    "post /api/graph/run",
    "post /api/graph/run-async",
    "post /api/graph/simulate",
    "post /api/runs/{run_id}/answer",
    "post /api/runs/{run_id}/fork",
    "post /api/runs/{run_id}/signal",
}


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.status_code == 200
    result: dict[str, Any] = response.json()
    return result


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_every_endpoint_is_there(document: dict[str, Any]) -> None:
    assert {name for name, _ in operations(document)} == {
        "post /api/graph/create",
        "post /api/graph/run",
        "post /api/graph/run-async",
        "post /api/graph/simulate",
        "delete /api/datasets/{name}",
        "get /api/datasets",
        "get /api/datasets/{name}",
        "put /api/datasets/{name}",
        "get /api/graph/state/{run_id}",
        "get /api/graphs",
        "get /api/graphs/{graph_id}",
        "delete /api/graphs/{graph_id}",
        "get /api/runs",
        "post /api/runs/{run_id}/answer",
        "get /api/runs/{run_id}/approvals",
        "get /api/runs/{run_id}/artifacts",
        "get /api/runs/{run_id}/artifacts/{name}",
        "get /api/runs/{run_id}/blame",
        "post /api/runs/{run_id}/cancel",
        "get /api/runs/{run_id}/events",
        "get /api/runs/{run_id}/explain",
        "post /api/runs/{run_id}/fork",
        "post /api/runs/{run_id}/pause",
        "post /api/runs/{run_id}/resume",
        "post /api/runs/{run_id}/retry",
        "post /api/runs/{run_id}/signal",
        "get /api/tools",
        "get /health",
        "get /livez",
        "get /readyz",
    }


def test_every_operation_is_described_with_examples(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["operationId"].isidentifier()
        if name in FILES:
            assert operation["responses"]["200"]["content"]["application/octet-stream"]["schema"], name
        else:
            answer = operation["responses"]["200"]["content"]["application/json"]
            assert answer["schema"], name
            assert answer["example"], name
        assert "default" in operation["responses"], name
        for status, response in operation["responses"].items():
            if (name, status) == ("get /readyz", "503"):
                assert response["content"]["application/json"]["example"]["reasons"]
            elif status not in ("200", "201", "304"):
                assert response["content"]["application/problem+json"]["example"], (name, status)
        if name in WITH_BODY:
            body = operation["requestBody"]["content"]["application/json"]
            assert body["schema"], name
            assert body["example"], name


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    todo: list[Any] = [document]
    for item in todo:
        if isinstance(item, dict):
            todo += item.values()
            if isinstance(reference := item.get("$ref"), str):
                assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
        elif isinstance(item, list):
            todo += item
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_sockets_are_described(document: dict[str, Any]) -> None:
    assert "/ws/execute/{graph_id}" in document["info"]["description"]
    assert "/ws/monitor/{run_id}" in document["info"]["description"]


@pytest.mark.parametrize(
    "model",
    [
        value
        for module in (schemas, dataset_schemas)
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ],
    ids=lambda model: str(model.__name__),
)
def test_every_example_is_right(model: type[BaseModel]) -> None:
    extra: Any = model.model_config.get("json_schema_extra") or {"examples": []}
    for example in extra["examples"]:
        model.model_validate_json(msgspec.json.encode(example))
