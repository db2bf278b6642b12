"""Whether the server lives and takes work, for what watches it."""

from typing import Any

import msgspec
from starlette.testclient import TestClient

from api.schemas import HealthAnswer, LiveAnswer, ReadyAnswer
from runtime import Engine


def engine_of(client: TestClient) -> Engine:
    app: Any = client.app
    engine: Engine = app.state.context.engine
    return engine


def test_a_server_that_answers_is_alive_and_ready(client: TestClient) -> None:
    alive, ready = client.get("/livez"), client.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    LiveAnswer.model_validate_json(alive.content, strict=True)
    ReadyAnswer.model_validate_json(ready.content, strict=True)


def test_a_server_that_stops_is_alive_and_not_ready(client: TestClient) -> None:
    assert client.portal is not None
    client.portal.call(engine_of(client).begin_closing)
    assert client.get("/livez").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": "not_ready", "reasons": ["closing"]})
    ReadyAnswer.model_validate_json(ready.content, strict=True)


def test_health_has_everything_that_its_model_says(client: TestClient) -> None:
    health = client.get("/health")
    assert set(health.json()) == set(HealthAnswer.model_fields)
    answer = HealthAnswer.model_validate_json(health.content, strict=True)
    assert (answer.blocking_tools, answer.abandoned_now) == ([], 0)
    assert msgspec.json.decode(health.content)["loop_lag_ms"] >= 0
