"""Telling runs what to do over HTTP: what is answered, what is refused, and that it happens."""

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio import CancelScope
from starlette.testclient import TestClient

from api.schemas import (
    AnsweredAnswer,
    ApprovalsAnswer,
    CancelAnswer,
    ForkAnswer,
    PauseAnswer,
    ResumeAnswer,
    RetryAnswer,
    SignalAnswer,
)
from tools import Registry, ToolError, tool

JSON_VALUES: list[Any] = [None, False, 0, "", [], {}, {"a": [1.5, None, "é"]}, 2**63 - 1]


@pytest.fixture
def mended() -> threading.Event:
    """Set it to let the tool `brittle` succeed."""
    return threading.Event()


@pytest.fixture
def registry(registry: Registry, mended: threading.Event, released: threading.Event) -> Registry:
    @tool
    async def brittle(state: dict[str, Any]) -> dict[str, Any]:
        """Fail until the test has mended it."""
        if not mended.is_set():
            raise ToolError("broken", code="BROKEN", retryable=False)
        return {"mended": True}

    @tool(effect="pure")
    async def stubborn(state: dict[str, Any]) -> None:
        """Wait until the test lets go, and do not hear of cancellation before."""
        with CancelScope(shield=True):
            while not released.is_set():  # noqa: ASYNC110  # the test is in another thread
                await anyio.sleep(0.002)

    registry.add(brittle)
    registry.add(stubborn)
    return registry


@pytest.fixture
def submitted(client: TestClient) -> Callable[..., str]:
    """Stores a graph of these nodes, one after the other, starts a run of it and returns the run's id."""

    def submit(*nodes: dict[str, Any], state: dict[str, Any] | None = None) -> str:
        names = [node["name"] for node in nodes]
        edges = [{"from_node": left, "to_node": right} for left, right in pairwise(names)]
        graph = {"name": "commanded", "nodes": nodes, "edges": edges, "entry_point": names[0]}
        created = client.post("/api/graph/create", json={"graph": graph})
        assert created.status_code == 200, created.text
        body = {"graph_id": created.json()["graph_id"], "initial_state": state}
        run_id: str = client.post("/api/graph/run-async", json=body).json()["run_id"]
        return run_id

    return submit


def until(client: TestClient, run_id: str, event: str, **fields: Any) -> dict[str, Any]:
    """Return the first record of that kind with these fields, once it is there."""
    with client.websocket_connect(f"ws://127.0.0.1:8000/ws/monitor/{run_id}") as socket:
        while (message := socket.receive_json())["type"] == "log":
            record: dict[str, Any] = message["data"]
            if record["event"] == event and fields.items() <= record.items():
                return record
    raise AssertionError(f"the run ended without {event} {fields}")


def ended(client: TestClient, run_id: str, *, after: int = 0) -> dict[str, Any]:
    """Return the state of the run once it has ended, by a record behind number `after`."""
    with client.websocket_connect(f"ws://127.0.0.1:8000/ws/monitor/{run_id}?after={after}") as socket:
        while (message := socket.receive_json())["type"] != "complete":
            pass
    data: dict[str, Any] = message["data"]
    return data


def records(client: TestClient, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/api/graph/state/{run_id}").json()["execution_log"]
    return found


def wait_for_signal(name: str = "wait", signal: str = "go", **keys: Any) -> dict[str, Any]:
    return {"name": name, "type": "wait", "wait": {"signal": signal, **keys}}


def approval(name: str = "review", **keys: Any) -> dict[str, Any]:
    return {"name": name, "type": "approval", "approval": {"prompt": "Publish it?", **keys}}


def echo(name: str, message: str, key: str = "echo") -> dict[str, Any]:
    return {"name": name, "tool": "echo", "config": {"message": message, "key": key}}


HOLD = {"name": "hold", "tool": "hold"}
BRITTLE = {"name": "brittle", "tool": "brittle"}


# --- what is refused before the engine is asked ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "body", "pointers"),
    [
        ("signal", {}, ["/name"]),
        ("signal", [], [""]),
        ("signal", "go", [""]),
        ("signal", {"name": ""}, ["/name"]),
        ("signal", {"name": "x" * 129}, ["/name"]),
        ("signal", {"name": "a\nb"}, ["/name"]),
        ("signal", {"name": 1, "id": 2}, ["/name", "/id"]),
        ("signal", {"name": "go", "id": ""}, ["/id"]),
        ("signal", {"name": "go", "dta": 1}, ["/dta"]),
        ("answer", {}, ["/approval", "/answer"]),
        ("answer", {"approval": "a#1"}, ["/answer"]),
        ("answer", {"approval": None, "answer": None}, ["/approval"]),
        ("answer", {"approval": "", "answer": 1, "by": ""}, ["/approval", "/by"]),
        ("answer", {"approval": "a#1", "answer": 1, "by": ["me"]}, ["/by"]),
        ("answer", {"approval": "a#1", "answer": 1, "comment": "no"}, ["/comment"]),
        ("fork", {}, ["/node"]),
        ("fork", {"node": "a", "iteration": 0}, ["/iteration"]),
        ("fork", {"node": "a", "iteration": "1"}, ["/iteration"]),
        ("fork", {"node": "a", "iteration": True}, ["/iteration"]),
        ("fork", {"node": "a", "iteration": 1.0}, ["/iteration"]),
        ("fork", {"node": "a", "path": 1, "state": []}, ["/path", "/state"]),
        ("fork", {"node": "a", "path": "x" * 4_097}, ["/path"]),
        ("fork", {"node": "a", "update": {}}, ["/update"]),
    ],
)
def test_a_wrong_body_is_refused_with_its_places(
    client: TestClient, command: str, body: Any, pointers: list[str]
) -> None:
    response = client.post(f"/api/runs/run-1/{command}", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "INVALID_INPUT")
    assert [error["pointer"] for error in response.json()["errors"]] == pointers


@pytest.mark.parametrize("run_id", ["nope", "a%00b", "a%20b", "x" * 10_000])
def test_commands_for_an_unknown_run_are_not_found(client: TestClient, run_id: str) -> None:
    bodies: dict[str, Any] = {
        "signal": {"name": "go"},
        "answer": {"approval": "a#1", "answer": 1},
        "fork": {"node": "a"},
    }
    for command in ("cancel", "pause", "resume", "retry", *bodies):
        response = client.post(f"/api/runs/{run_id}/{command}", json=bodies.get(command))
        assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_RUN"), command
        assert len(response.content) < 1_000
    assert client.get(f"/api/runs/{run_id}/approvals").status_code == 404


# --- cancel, pause, resume ---------------------------------------------------------------------------------------------


def test_cancel_is_idempotent_and_refused_after_another_end(
    client: TestClient, echo_graph: str, hold_graph: str
) -> None:
    held = client.post("/api/graph/run-async", json={"graph_id": hold_graph}).json()["run_id"]
    for _ in range(2):
        response = client.post(f"/api/runs/{held}/cancel")
        assert response.status_code == 200
        CancelAnswer.model_validate_json(response.content)
    ended(client, held)
    again = client.post(f"/api/runs/{held}/cancel")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")
    assert again.json()["message"] == "The run is cancelled."

    done = client.post("/api/graph/run", json={"graph_id": echo_graph}).json()["run_id"]
    refused = client.post(f"/api/runs/{done}/cancel")
    assert (refused.status_code, refused.json()["code"], refused.json()["run_id"]) == (409, "RUN_FINISHED", done)


def test_a_paused_run_finishes_what_is_running_and_starts_nothing_before_it_is_resumed(
    client: TestClient, submitted: Callable[..., str], released: threading.Event
) -> None:
    run_id = submitted(HOLD, echo("after", "hi"))
    until(client, run_id, "step_started", node="hold")
    for _ in range(2):
        paused = PauseAnswer.model_validate_json(client.post(f"/api/runs/{run_id}/pause").content)
        assert (paused.run_id, paused.status) == (run_id, "paused")
        assert f"POST /api/runs/{run_id}/resume" in paused.message
    released.set()
    until(client, run_id, "step_completed", node="hold")
    state = client.get(f"/api/graph/state/{run_id}").json()
    assert (state["status"], state["current_state"]) == ("paused", {"held": True})
    assert "after" not in [record.get("node") for record in state["execution_log"]]
    assert [run["run_id"] for run in client.get("/api/runs?status=paused").json()["runs"]] == [run_id]

    resumed = ResumeAnswer.model_validate_json(client.post(f"/api/runs/{run_id}/resume").content)
    assert resumed.status in ("running", "completed")  # it may be faster than the answer
    complete = ended(client, run_id)
    assert (complete["status"], complete["final_state"]) == ("completed", {"held": True, "echo": "hi"})
    events = [record["event"] for record in records(client, run_id)]
    assert (events.count("run_paused"), events.count("run_resumed")) == (1, 1)


def test_a_run_that_is_ending_is_not_paused(
    client: TestClient, submitted: Callable[..., str], released: threading.Event
) -> None:
    run_id = submitted({"name": "stubborn", "tool": "stubborn"})
    until(client, run_id, "step_started", node="stubborn")
    cancelled = CancelAnswer.model_validate_json(client.post(f"/api/runs/{run_id}/cancel").content)
    assert (cancelled.status, cancelled.message) == ("running", "The run is being cancelled.")
    answer = PauseAnswer.model_validate_json(client.post(f"/api/runs/{run_id}/pause").content)
    assert answer.status == "running"
    assert "is ending already" in answer.message
    released.set()
    assert ended(client, run_id)["status"] == "cancelled"


def test_resuming_a_run_that_is_not_paused_changes_nothing(client: TestClient, submitted: Callable[..., str]) -> None:
    run_id = submitted(HOLD)
    until(client, run_id, "step_started", node="hold")
    before = records(client, run_id)
    response = client.post(f"/api/runs/{run_id}/resume")
    assert (response.status_code, response.json()["status"]) == (200, "running")
    assert records(client, run_id) == before


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_an_ended_run_is_neither_paused_nor_resumed(client: TestClient, echo_graph: str, command: str) -> None:
    run_id = client.post("/api/graph/run", json={"graph_id": echo_graph}).json()["run_id"]
    response = client.post(f"/api/runs/{run_id}/{command}")
    assert (response.status_code, response.json()["code"]) == (409, "RUN_FINISHED")


# --- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", JSON_VALUES, ids=repr)
def test_a_signal_brings_any_json_value_to_its_wait(
    client: TestClient, submitted: Callable[..., str], data: Any
) -> None:
    run_id = submitted(wait_for_signal(into="got"))
    until(client, run_id, "step_waiting", node="wait")
    assert client.get(f"/api/graph/state/{run_id}").json()["status"] == "waiting"
    sent = SignalAnswer.model_validate_json(
        client.post(f"/api/runs/{run_id}/signal", json={"name": "go", "data": data}).content
    )
    assert (sent.run_id, sent.duplicate, sent.id != "") == (run_id, False, True)
    assert ended(client, run_id)["final_state"] == {"got": data}


def test_a_signal_without_data_brings_null(client: TestClient, submitted: Callable[..., str]) -> None:
    run_id = submitted(wait_for_signal(into="got"))
    assert client.post(f"/api/runs/{run_id}/signal", json={"name": "go"}).status_code == 200
    assert ended(client, run_id)["final_state"] == {"got": None}


def test_a_signal_id_counts_once(client: TestClient, submitted: Callable[..., str]) -> None:
    run_id = submitted(wait_for_signal("first", into="a"), wait_for_signal("second", into="b"))
    sent = {"name": "go", "data": 1, "id": "only-once"}
    answers = [client.post(f"/api/runs/{run_id}/signal", json=sent) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    parsed = [SignalAnswer.model_validate_json(answer.content) for answer in answers]
    assert [(answer.id, answer.duplicate) for answer in parsed] == [("only-once", n > 0) for n in range(3)]
    until(client, run_id, "step_waiting", node="second")
    assert client.get(f"/api/graph/state/{run_id}").json()["current_state"] == {"a": 1}
    client.post(f"/api/runs/{run_id}/signal", json={"name": "go", "data": 2, "id": "another"})
    assert ended(client, run_id)["final_state"] == {"a": 1, "b": 2}


def test_signals_that_come_before_their_waits_are_kept_in_order(
    client: TestClient, submitted: Callable[..., str], released: threading.Event
) -> None:
    run_id = submitted(HOLD, wait_for_signal("first", into="a"), wait_for_signal("second", into="b"))
    for data in (1, 2):
        client.post(f"/api/runs/{run_id}/signal", json={"name": "go", "data": data})
    released.set()
    assert ended(client, run_id)["final_state"] == {"held": True, "a": 1, "b": 2}


def test_an_ended_run_takes_no_signals(client: TestClient, echo_graph: str) -> None:
    run_id = client.post("/api/graph/run", json={"graph_id": echo_graph}).json()["run_id"]
    response = client.post(f"/api/runs/{run_id}/signal", json={"name": "go"})
    assert (response.status_code, response.json()["code"]) == (409, "RUN_FINISHED")


# --- approvals ---------------------------------------------------------------------------------------------------------


def test_open_approvals_are_listed_as_they_were_asked(client: TestClient, submitted: Callable[..., str]) -> None:
    schema = {"type": "object", "required": ["ok"]}
    run_id = submitted(approval(answer_schema=schema, timeout_s=3600), approval("second"))
    asked = until(client, run_id, "approval_requested")
    response = client.get(f"/api/runs/{run_id}/approvals")
    ApprovalsAnswer.model_validate_json(response.content)
    assert response.json() == {
        "run_id": run_id,
        "approvals": [
            {
                "approval": "review#1",
                "node": "review",
                "iteration": 1,
                "path": "",
                "prompt": "Publish it?",
                "answer_schema": schema,
                "requested_at": asked["timestamp"],
                "due": asked["due"],
            }
        ],
    }
    client.post(f"/api/runs/{run_id}/answer", json={"approval": "review#1", "answer": {"ok": True}})
    until(client, run_id, "approval_requested", node="second")
    (second,) = client.get(f"/api/runs/{run_id}/approvals").json()["approvals"]
    assert (second["approval"], second["answer_schema"], second["due"]) == ("second#1", None, None)
    client.post(f"/api/runs/{run_id}/cancel")
    ended(client, run_id)
    assert client.get(f"/api/runs/{run_id}/approvals").json()["approvals"] == []


@pytest.mark.parametrize("value", JSON_VALUES, ids=repr)
def test_any_json_value_can_be_an_answer(client: TestClient, submitted: Callable[..., str], value: Any) -> None:
    run_id = submitted(approval(into="verdict"))
    until(client, run_id, "approval_requested")
    body = {"approval": "review#1", "answer": value, "by": "ada@example.org"}
    answered = AnsweredAnswer.model_validate_json(client.post(f"/api/runs/{run_id}/answer", json=body).content)
    assert "'review#1'" in answered.message
    assert ended(client, run_id)["final_state"] == {"verdict": value}
    record = until(client, run_id, "approval_answered")
    assert (record["answer"], record["by"]) == (value, "ada@example.org")


def test_an_approval_is_answered_once(client: TestClient, submitted: Callable[..., str]) -> None:
    run_id = submitted(approval(), HOLD)
    until(client, run_id, "approval_requested")
    assert client.post(f"/api/runs/{run_id}/answer", json={"approval": "review#1", "answer": True}).status_code == 200
    for value in (True, False):
        second = client.post(f"/api/runs/{run_id}/answer", json={"approval": "review#1", "answer": value})
        assert (second.status_code, second.json()["code"]) == (409, "ALREADY_ANSWERED")
        assert (second.json()["run_id"], second.json()["approval"]) == (run_id, "review#1")
    assert until(client, run_id, "approval_answered")["answer"] is True


def test_an_approval_of_a_sub_graph_is_named_with_its_path(client: TestClient, submitted: Callable[..., str]) -> None:
    child = {"name": "child", "nodes": [approval("re/view")], "entry_point": "re/view"}
    run_id = submitted({"name": "sub~", "type": "graph", "graph": child})
    until(client, run_id, "approval_requested")
    (asked,) = client.get(f"/api/runs/{run_id}/approvals").json()["approvals"]
    assert (asked["approval"], asked["path"], asked["node"]) == ("sub~0#1/re~1view#1", "sub~0#1", "re/view")
    body = {"approval": asked["approval"], "answer": [None]}
    assert client.post(f"/api/runs/{run_id}/answer", json=body).status_code == 200
    assert ended(client, run_id)["final_state"] == {"re/view": [None]}


@pytest.mark.parametrize("name", ["review", "review#2", "reviw#1", "sub#1/review#1", "#", "/"])
def test_an_approval_that_nobody_asked_for_is_not_found(
    client: TestClient, submitted: Callable[..., str], name: str
) -> None:
    run_id = submitted(approval())
    until(client, run_id, "approval_requested")
    response = client.post(f"/api/runs/{run_id}/answer", json={"approval": name, "answer": True})
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_APPROVAL")


def test_an_answer_that_does_not_fit_is_refused_with_its_places(
    client: TestClient, submitted: Callable[..., str]
) -> None:
    schema = {"type": "object", "properties": {"price": {"type": "number"}, "a/b": {"maximum": 3}}}
    run_id = submitted(approval(answer_schema=schema))
    until(client, run_id, "approval_requested")
    body = {"approval": "review#1", "answer": {"price": "high", "a/b": 4}}
    refused = client.post(f"/api/runs/{run_id}/answer", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "INVALID_INPUT")
    assert {error["pointer"] for error in refused.json()["errors"]} == {"/answer/price", "/answer/a~1b"}
    body["answer"] = {"price": 3}
    assert client.post(f"/api/runs/{run_id}/answer", json=body).status_code == 200
    assert ended(client, run_id)["status"] == "completed"


def test_an_answer_to_a_paused_run_waits_with_it(client: TestClient, submitted: Callable[..., str]) -> None:
    run_id = submitted(approval(), echo("after", "hi"))
    until(client, run_id, "approval_requested")
    client.post(f"/api/runs/{run_id}/pause")
    answered = client.post(f"/api/runs/{run_id}/answer", json={"approval": "review#1", "answer": True}).json()
    assert answered["status"] == "paused"
    assert "resumed" in answered["message"]
    client.post(f"/api/runs/{run_id}/resume")
    assert ended(client, run_id)["final_state"] == {"review": True, "echo": "hi"}


# --- retry -------------------------------------------------------------------------------------------------------------


def test_a_failed_run_goes_on_with_what_failed(
    client: TestClient, submitted: Callable[..., str], mended: threading.Event
) -> None:
    run_id = submitted(echo("before", "hi"), BRITTLE, echo("after", "bye", key="end"))
    assert ended(client, run_id)["status"] == "failed"
    seen = records(client, run_id)
    mended.set()
    retried = RetryAnswer.model_validate_json(client.post(f"/api/runs/{run_id}/retry").content)
    assert retried.run_id == run_id
    assert retried.status in ("running", "completed")
    complete = ended(client, run_id, after=seen[-1]["seq"])
    assert (complete["status"], complete["final_state"]) == (
        "completed",
        {"echo": "hi", "mended": True, "end": "bye"},
    )
    log = records(client, run_id)
    assert log[: len(seen)] == seen
    assert [record["seq"] for record in log] == list(range(1, len(log) + 1))
    started = [(record["node"], record["attempt"]) for record in log if record["event"] == "step_started"]
    assert started == [("before", 1), ("brittle", 1), ("brittle", 2), ("after", 1)]


def test_a_run_that_fails_again_can_be_retried_again(
    client: TestClient, submitted: Callable[..., str], mended: threading.Event
) -> None:
    run_id = submitted(BRITTLE)
    ended(client, run_id)
    assert client.post(f"/api/runs/{run_id}/retry").status_code == 200
    assert ended(client, run_id, after=len(records(client, run_id)))["status"] == "failed"
    mended.set()
    seen = len(records(client, run_id))
    assert client.post(f"/api/runs/{run_id}/retry").status_code == 200
    assert ended(client, run_id, after=seen)["status"] == "completed"


def test_a_run_that_has_not_failed_is_not_retried(client: TestClient, echo_graph: str, hold_graph: str) -> None:
    done = client.post("/api/graph/run", json={"graph_id": echo_graph}).json()["run_id"]
    running = client.post("/api/graph/run-async", json={"graph_id": hold_graph}).json()["run_id"]
    for run_id in (done, running):
        response = client.post(f"/api/runs/{run_id}/retry")
        assert (response.status_code, response.json()["code"]) == (409, "NOTHING_TO_RETRY")
        assert response.json()["run_id"] == run_id


# --- fork --------------------------------------------------------------------------------------------------------------


def test_a_fork_goes_on_from_a_step_with_another_state(client: TestClient, submitted: Callable[..., str]) -> None:
    run_id = submitted(
        echo("draft", "good", key="title"),
        {"name": "publish", "tool": "copy_value", "config": {"source": "title", "target": "published"}},
    )
    ended(client, run_id)
    before = client.get(f"/api/graph/state/{run_id}").json()
    response = client.post(f"/api/runs/{run_id}/fork", json={"node": "publish", "state": {"title": "better", "n": 1}})
    forked = ForkAnswer.model_validate_json(response.content)
    assert forked.forked_from == run_id
    assert forked.run_id != run_id
    complete = ended(client, forked.run_id)
    assert (complete["status"], complete["final_state"]) == (
        "completed",
        {"title": "better", "n": 1, "published": "better"},
    )
    assert client.get(f"/api/graph/state/{run_id}").json() == before
    log = records(client, forked.run_id)
    assert {record["run_id"] for record in log} == {forked.run_id}
    started = [record["node"] for record in log if record["event"] == "step_started"]
    assert started == ["draft", "publish"]
    assert {run["run_id"] for run in client.get("/api/runs").json()["runs"]} == {run_id, forked.run_id}


def test_a_fork_begins_inside_a_sub_graph(client: TestClient, submitted: Callable[..., str]) -> None:
    child = {
        "name": "child",
        "nodes": [echo("first", "one", key="a"), echo("second", "two", key="b")],
        "edges": [{"from_node": "first", "to_node": "second"}],
        "entry_point": "first",
    }
    run_id = submitted({"name": "sub", "type": "graph", "graph": child})
    ended(client, run_id)
    body = {"node": "second", "path": "sub#1", "state": {"a": "forked"}}
    forked = client.post(f"/api/runs/{run_id}/fork", json=body).json()["run_id"]
    assert ended(client, forked)["final_state"] == {"a": "forked", "b": "two"}


def test_a_fork_begins_at_the_last_iteration_or_at_the_one_asked_for(client: TestClient) -> None:
    graph = {
        "name": "loop",
        "nodes": [{"name": "add", "type": "loop", "tool": "increment", "config": {"key": "n"}}],
        "loops": [{"node": "add", "condition": {"field": "n", "operator": ">=", "value": 3}}],
        "entry_point": "add",
    }
    graph_id = client.post("/api/graph/create", json=graph).json()["graph_id"]
    body = {"graph_id": graph_id, "initial_state": {"n": 0}}
    run_id = client.post("/api/graph/run", json=body).json()["run_id"]
    for iteration, n in ((None, 11), (3, 11), (1, 11)):
        body = {"node": "add", "iteration": iteration, "state": {"n": 10}}
        forked = client.post(f"/api/runs/{run_id}/fork", json=body).json()["run_id"]
        assert ended(client, forked)["final_state"] == {"n": n}
        record = until(client, forked, "run_forked")
        assert (record["source_run_id"], record["iteration"]) == (run_id, iteration or 3)


@pytest.mark.parametrize(
    "body", [{"node": "nope"}, {"node": "n0", "iteration": 2}, {"node": "n0", "path": "sub#1"}], ids=str
)
def test_a_fork_at_a_step_that_was_not_is_not_found(client: TestClient, echo_graph: str, body: Any) -> None:
    run_id = client.post("/api/graph/run", json={"graph_id": echo_graph}).json()["run_id"]
    response = client.post(f"/api/runs/{run_id}/fork", json=body)
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_STEP")
    assert (response.json()["run_id"], response.json()["node"]) == (run_id, body["node"])
    assert len(client.get("/api/runs").json()["runs"]) == 1
