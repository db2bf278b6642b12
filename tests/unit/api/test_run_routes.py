"""Running graphs over HTTP, and asking for runs."""

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.testclient import TestClient

from api.schemas import EventsAnswer, RunAcceptedAnswer, RunAnswer, RunsAnswer, RunStateAnswer


def finish(client: TestClient, run_id: str) -> None:
    with client.websocket_connect(f"ws://127.0.0.1:8000/ws/monitor/{run_id}") as socket:
        while socket.receive_json()["type"] != "complete":
            pass


def test_run_answers_once_the_run_has_ended(client: TestClient, echo_graph: str) -> None:
    response = client.post("/api/graph/run", json={"graph_id": echo_graph, "initial_state": {"a": [1.5, None]}})
    assert response.status_code == 200
    answer = RunAnswer.model_validate_json(response.content)
    assert answer.status == "completed"
    assert answer.final_state == {"a": [1.5, None], "echo": "hi"}
    assert [record["seq"] for record in answer.execution_log] == list(range(1, len(answer.execution_log) + 1))
    assert {record["run_id"] for record in answer.execution_log} == {answer.run_id}
    assert answer.execution_log[-1]["event"] == "run_completed"


def test_an_initial_state_of_null_is_an_empty_one(client: TestClient, echo_graph: str) -> None:
    response = client.post("/api/graph/run", json={"graph_id": echo_graph, "initial_state": None})
    assert response.json()["final_state"] == {"echo": "hi"}


def test_run_tells_why_a_run_failed(client: TestClient, stored: Callable[..., str]) -> None:
    graph_id = stored(("copy_value", {"source": "missing", "target": "b"}))
    response = client.post("/api/graph/run", json={"graph_id": graph_id, "initial_state": {}})
    assert response.status_code == 200
    assert response.json()["status"] == "failed"
    assert "missing" in response.json()["message"]


def test_run_async_answers_before_the_end(client: TestClient, hold_graph: str, released: threading.Event) -> None:
    response = client.post("/api/graph/run-async", json={"graph_id": hold_graph})
    assert response.status_code == 200
    accepted = RunAcceptedAnswer.model_validate_json(response.content)
    assert accepted.status in ("pending", "running")
    released.set()
    finish(client, accepted.run_id)
    state = RunStateAnswer.model_validate_json(client.get(f"/api/graph/state/{accepted.run_id}").content)
    assert (state.status, state.current_state, state.graph_id) == ("completed", {"held": True}, hold_graph)
    assert [record["seq"] for record in state.execution_log] == list(range(1, len(state.execution_log) + 1))


def test_run_async_says_when_nothing_is_durable(client: TestClient, echo_graph: str) -> None:
    answer = client.post("/api/graph/run-async", json={"graph_id": echo_graph}).json()
    assert answer["durability"] == "none"  # the tests' journal is in memory


@pytest.mark.parametrize("path", ["/api/graph/run", "/api/graph/run-async"])
def test_a_request_that_is_sent_again_with_its_key_is_the_same_run(
    client: TestClient, echo_graph: str, path: str
) -> None:
    body, key = {"graph_id": echo_graph, "initial_state": {"n": 1}}, {"idempotency-key": "order-1"}
    first, again = (client.post(path, json=body, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["run_id"] == again.json()["run_id"]
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    other = client.post(path, json={**body, "initial_state": {"n": 2}}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_MISMATCH")
    assert other.json()["run_id"] == first.json()["run_id"]
    assert len(client.get("/api/runs").json()["runs"]) == 1


def test_what_is_no_idempotency_key_is_refused(client: TestClient, echo_graph: str) -> None:
    headers = {"idempotency-key": "two words"}
    response = client.post("/api/graph/run-async", json={"graph_id": echo_graph}, headers=headers)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["/idempotency_key"]
    assert client.get("/api/runs").json()["runs"] == []


def test_the_state_of_a_running_run_can_be_read(client: TestClient, hold_graph: str) -> None:
    run_id = client.post("/api/graph/run-async", json={"graph_id": hold_graph, "initial_state": {"x": 1}}).json()[
        "run_id"
    ]
    state = RunStateAnswer.model_validate_json(client.get(f"/api/graph/state/{run_id}").content)
    assert state.status in ("pending", "running")
    assert state.current_state == {"x": 1}


@pytest.mark.parametrize("path", ["/api/graph/run", "/api/graph/run-async"])
@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        ({"graph_id": "nope"}, 404, None),
        ({"graph_id": "../etc"}, 404, None),
        ({}, 422, ["/graph_id"]),
        ({"graph_id": 1, "initial_state": []}, 422, ["/graph_id", "/initial_state"]),
        ({"graph_id": "nope", "initial_state": None}, 404, None),
        ({"graph_id": "nope", "inital_state": {}}, 422, ["/inital_state"]),
        ([], 422, [""]),
    ],
)
def test_a_wrong_submission_is_refused(
    client: TestClient, path: str, body: Any, status: int, pointers: list[str] | None
) -> None:
    response = client.post(path, json=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    if pointers is not None:
        assert [error["pointer"] for error in problem["errors"]] == pointers


def test_runs_are_listed_and_filtered(client: TestClient, echo_graph: str, hold_graph: str) -> None:
    done = client.post("/api/graph/run", json={"graph_id": echo_graph}).json()["run_id"]
    held = client.post("/api/graph/run-async", json={"graph_id": hold_graph}).json()["run_id"]

    def ids(**query: str) -> list[str]:
        page = RunsAnswer.model_validate_json(client.get("/api/runs", params=query).content)
        return [run.run_id for run in page.runs]

    assert set(ids()) == {done, held}
    assert ids(graph_id=echo_graph) == [done]
    assert ids(status="completed") == [done]
    assert ids(status="completed", graph_id=hold_graph) == []
    first = RunsAnswer.model_validate_json(client.get("/api/runs?limit=1").content)
    assert first.next_cursor is not None
    assert [run.run_id for run in first.runs] + ids(cursor=first.next_cursor) == ids()


@pytest.mark.parametrize("query", ["status=done", "limit=0", "limit=201", "limit=1e2", "cursor=%00", "sttus=failed"])
def test_a_wrong_query_for_runs_is_refused(client: TestClient, query: str) -> None:
    response = client.get(f"/api/runs?{query}")
    assert response.status_code == 422
    assert response.json()["code"] == "INVALID_INPUT"


def test_events_are_read_in_parts_without_gaps(client: TestClient, echo_graph: str) -> None:
    run = client.post("/api/graph/run", json={"graph_id": echo_graph}).json()
    seen: list[dict[str, Any]] = []
    after = 0
    while True:
        response = client.get(f"/api/runs/{run['run_id']}/events", params={"after": after, "limit": 2})
        part = EventsAnswer.model_validate_json(response.content)
        assert part.status == "completed"
        if not part.events:
            break
        seen += part.events
        after = part.last_seq
    assert seen == run["execution_log"]
    assert part.last_seq == len(seen)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=100000", "befor=1"])
def test_a_wrong_query_for_events_is_refused(client: TestClient, echo_graph: str, query: str) -> None:
    run_id = client.post("/api/graph/run", json={"graph_id": echo_graph}).json()["run_id"]
    assert client.get(f"/api/runs/{run_id}/events?{query}").status_code == 422


@pytest.mark.parametrize("run_id", ["nope", "..%2f..%2fetc", "a%00b", "x" * 10_000])
def test_an_unknown_run_is_not_found(client: TestClient, run_id: str) -> None:
    for response in (
        client.get(f"/api/graph/state/{run_id}"),
        client.get(f"/api/runs/{run_id}/events"),
    ):
        assert response.status_code == 404


def test_a_waiting_client_is_answered_when_the_server_stops(client: TestClient, hold_graph: str) -> None:
    app: Any = client.app
    answers: list[Any] = []

    def wait() -> None:
        answers.append(client.post("/api/graph/run", json={"graph_id": hold_graph}))

    thread = threading.Thread(target=wait)
    thread.start()
    while not client.get("/api/runs").json()["runs"]:
        pass
    assert client.portal is not None
    client.portal.call(app.state.shutdown.begin)
    thread.join(10)
    (response,) = answers
    assert response.status_code == 503
    assert response.headers["retry-after"]
    run_id = client.get("/api/runs").json()["runs"][0]["run_id"]
    assert response.json()["run_id"] == run_id
    health = client.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "closing")


def test_a_run_outlives_the_client_that_waited_for_it(
    client: TestClient, hold_graph: str, released: threading.Event
) -> None:
    """A raw ASGI request, whose client leaves while it waits for the answer."""
    app: Any = client.app
    body = b'{"graph_id": "%b"}' % hold_graph.encode()

    async def request_and_leave() -> list[Any]:
        sent: list[Any] = []
        events = iter([{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}])

        async def receive() -> Any:
            return next(events)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/graph/run",
            "raw_path": b"/api/graph/run",
            "query_string": b"",
            "headers": headers,
            "app": app,
            "http_version": "1.1",
            "scheme": "http",
        }
        with anyio.fail_after(5):
            await app(scope, receive, send)
        return sent

    assert client.portal is not None
    client.portal.call(request_and_leave)
    (run,) = client.get("/api/runs").json()["runs"]
    assert run["status"] in ("pending", "running")
    released.set()
    finish(client, run["run_id"])
    assert client.get(f"/api/graph/state/{run['run_id']}").json()["status"] == "completed"


def test_health_counts_and_tells_the_durability(client: TestClient, echo_graph: str) -> None:
    client.post("/api/graph/run", json={"graph_id": echo_graph})
    health = client.get("/health").json()
    assert health["status"] == "ok"
    assert (health["graphs"], health["runs"], health["durability"]) == (1, 1, "none")


def test_tools_are_listed_with_their_parameters(client: TestClient) -> None:
    listed = client.get("/api/tools").json()
    assert listed["count"] == len(listed["tools"])
    assert listed["broken"] == []
    by_name = {tool["name"]: tool for tool in listed["tools"]}
    assert by_name["echo"]["effect"] == "pure"
    assert by_name["echo"]["is_async"] is True
    assert by_name["echo"]["isolation"] is None
    assert (by_name["echo"]["cpu_bound"], by_name["profile_data"]["cpu_bound"]) == (False, True)
    assert "message" in by_name["echo"]["parameters"]["properties"]
