"""What a client may send as a body, and what happens to the rest: nothing is stored, nothing fails inside."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from api.settings import BODY_BYTES, GRAPH_BYTES

LIMITS = {
    "/api/graph/create": GRAPH_BYTES,
    "/api/graph/run": BODY_BYTES,
    "/api/graph/run-async": BODY_BYTES,
    "/api/runs/run-1/signal": BODY_BYTES,
    "/api/runs/run-1/answer": BODY_BYTES,
    "/api/runs/run-1/fork": BODY_BYTES,
}
PATHS = list(LIMITS)
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"graph_id": "x", "graph_id": "y"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-be"),
        b'{"a\\u0000": 1}',
        b"{} x",
        b'{"a": %b}' % (b"1" * 5_000),
        b'{"a": 18446744073709551616}',
        b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"a":' * 500,
        b"[" * 100_000,
        b"{" + b",".join(b'"k%d":0' % i for i in range(20_000)) + b"}",
    ],
)
def test_what_is_not_strict_json_is_refused(client: TestClient, path: str, body: bytes) -> None:
    response = client.post(path, content=body, headers=JSON)
    assert response.status_code == 400
    assert response.json()["code"] == "INVALID_JSON"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("announced", [True, False], ids=["content-length", "chunked"])
def test_a_body_over_the_limit_is_refused_before_it_is_read(client: TestClient, path: str, announced: bool) -> None:
    size = LIMITS[path] + 1

    def chunks() -> Iterator[bytes]:
        for _ in range(size // 65_536 + 1):
            yield b" " * 65_536

    response = client.post(path, content=b" " * size if announced else chunks(), headers=JSON)
    assert response.status_code == 413
    assert response.json()["code"] == "TOO_LARGE"
    assert response.headers["connection"] == "close"


def test_a_body_at_the_limit_is_read(client: TestClient, echo_graph: str) -> None:
    body = b'{"graph_id": "%b"}' % echo_graph.encode()
    response = client.post("/api/graph/run", content=body.ljust(BODY_BYTES), headers=JSON)
    assert response.status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/jsonp"},
        {"content-type": "text/json"},
        {"content-type": "multipart/form-data; boundary=application/json"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_a_body_that_is_not_declared_as_plain_json_is_refused(
    client: TestClient, path: str, headers: dict[str, str]
) -> None:
    response = client.post(path, content=b"{}", headers=headers)
    assert response.status_code == 415
    assert response.json()["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.example+json", "application/json;"]
)
def test_json_may_be_declared_in_all_its_ways(client: TestClient, echo_graph: str, kind: str) -> None:
    body = b'{"graph_id": "%b"}' % echo_graph.encode()
    assert client.post("/api/graph/run", content=body, headers={"content-type": kind}).status_code == 200


def test_numbers_and_text_come_back_as_they_were_sent(client: TestClient, echo_graph: str) -> None:
    state = b'{"i":9223372036854775807,"f":0.1,"e":1e-7,"s":"\\ud83d\\ude00 \xc3\xa9 \\u0000","z":[[],{},null,true]}'
    body = b'{"graph_id": "%b", "initial_state": %b}' % (echo_graph.encode(), state)
    final = client.post("/api/graph/run", content=body, headers=JSON).json()["final_state"]
    assert final == {
        "i": 2**63 - 1,
        "f": 0.1,
        "e": 1e-7,
        "s": "\U0001f600 é \0",
        "z": [[], {}, None, True],
        "echo": "hi",
    }
