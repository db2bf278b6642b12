"""Who may ask, and what every answer carries."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from api.app import create_app
from api.settings import ServerSettings
from runtime.settings import Settings
from tools import Registry

SOCKETS = ["/ws/execute/x", "/ws/monitor/x"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8000", "127.1.2.3"]
)
def test_loopback_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "",
        "10.0.0.1",
        "[::]",
        "localhost@evil",
        "[",
        "0.0.0.0",  # noqa: S104
    ],
)
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    response = client.get("/health", headers={"host": host})
    assert response.status_code == 400
    assert response.json()["code"] == "UNTRUSTED_HOST"
    for path in SOCKETS:
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(f"ws://127.0.0.1{path}", headers={"host": host}),
        ):
            pass
        assert denied.value.status_code == 400


def test_two_hosts_are_refused(client: TestClient) -> None:
    response = client.get("/health", headers=[("host", "127.0.0.1"), ("host", "evil.example")])
    assert response.status_code == 400


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "http://localhost:3000", "http://[::1]"])
def test_pages_of_this_machine_may_ask(client: TestClient, origin: str) -> None:
    assert client.get("/health", headers={"origin": origin}).status_code == 200
    with client.websocket_connect("ws://127.0.0.1/ws/monitor/x", headers={"origin": origin}) as socket:
        assert socket.receive_json()["type"] == "error"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1.evil.example", "http://["])
def test_pages_of_other_sites_are_refused(client: TestClient, echo_graph: str, origin: str) -> None:
    for response in (
        client.get("/health", headers={"origin": origin}),
        client.post("/api/runs/x/cancel", headers={"origin": origin}),
    ):
        assert response.status_code == 403
        assert response.json()["code"] == "UNTRUSTED_ORIGIN"
        assert "access-control-allow-origin" not in response.headers
    for path in SOCKETS:
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(f"ws://127.0.0.1{path}", headers={"origin": origin}),
        ):
            pass
        assert denied.value.status_code == 403


@pytest.mark.parametrize("path", ["/health", "/nope", "/openapi.json", "/api/graph/run", "/api/runs?limit=0"])
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'"
    assert "server" not in headers


@pytest.fixture
def remote(registry: Registry) -> Iterator[TestClient]:
    settings = ServerSettings(engine=Settings(log_format="none"), host="0.0.0.0")  # noqa: S104
    with TestClient(create_app(settings, tools=registry), base_url="http://engine.example:8000") as client:
        yield client


def test_a_remote_server_answers_to_any_host_but_only_to_its_own_pages(remote: TestClient) -> None:
    assert remote.get("/health").status_code == 200
    assert remote.get("/health", headers={"origin": "http://engine.example:8000"}).status_code == 200
    assert remote.get("/health", headers={"origin": "http://evil.example"}).status_code == 403
