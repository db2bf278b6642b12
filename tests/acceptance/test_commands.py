"""Pausing, signalling, answering, retrying, forking and explaining runs of a real server, also across its end."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from httpx2.websockets import WebSocketDisconnect

from tests.acceptance.server import Server

ORDER: dict[str, Any] = {
    "name": "order",
    "nodes": [
        {"name": "payment", "type": "wait", "wait": {"signal": "paid", "into": "payment"}},
        {
            "name": "review",
            "type": "approval",
            "approval": {"prompt": "Ship it?", "answer_schema": {"type": "boolean"}, "into": "ship"},
        },
        {"name": "decide", "type": "conditional"},
        {"name": "ship", "tool": "echo", "config": {"message": "on its way", "key": "note"}},
        {"name": "refund", "tool": "echo", "config": {"message": "refunded", "key": "note"}},
    ],
    "edges": [
        {"from_node": "payment", "to_node": "review"},
        {"from_node": "review", "to_node": "decide"},
        {"from_node": "decide", "to_node": "ship", "condition": {"field": "ship", "operator": "==", "value": True}},
        {"from_node": "decide", "to_node": "refund", "default": True},
    ],
    "entry_point": "payment",
}


def complete_after(server: Server, run_id: str, after: int) -> tuple[list[int], dict[str, Any]]:
    """Follow the run from behind that record to its end; return the numbers seen and the last message."""
    seen: list[int] = []
    with server.client.websocket(f"{server.ws_url}/ws/monitor/{run_id}?after={after}") as socket:
        while (message := socket.receive_json(timeout=20))["type"] == "log":
            seen.append(message["data"]["seq"])
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json(timeout=20)
    data: dict[str, Any] = message["data"]
    assert message["type"] == "complete"
    return seen, data


def test_an_order_is_paid_by_a_signal_and_reviewed_by_a_person(server: Server) -> None:
    run_id = server.submit(server.create(ORDER), {"item": "book"})
    server.wait_event(run_id, "step_waiting")
    assert server.state(run_id)["status"] == "waiting"
    waiting = server.client.get(f"/api/runs/{run_id}/explain", params={"node": "payment"}).json()
    assert "paid" in waiting["text"]

    for duplicate in (False, True):
        sent = server.command(run_id, "signal", name="paid", data={"amount": 12.5}, id="payment-1")
        assert (sent["id"], sent["duplicate"]) == ("payment-1", duplicate)
    server.wait_event(run_id, "approval_requested")
    (asked,) = server.client.get(f"/api/runs/{run_id}/approvals").json()["approvals"]
    assert (asked["approval"], asked["prompt"], asked["due"]) == ("review#1", "Ship it?", None)

    answer = {"approval": "review#1", "answer": "perhaps"}
    wrong = server.client.post(f"/api/runs/{run_id}/answer", json=answer)
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/answer")
    answered = server.command(run_id, "answer", approval="review#1", answer=True, by="ada")
    assert answered["run_id"] == run_id
    ended = server.wait_ended(run_id)
    assert ended["status"] == "completed"
    assert ended["current_state"] == {"item": "book", "payment": {"amount": 12.5}, "ship": True, "note": "on its way"}
    again = server.client.post(f"/api/runs/{run_id}/answer", json={**answer, "answer": False})
    assert again.status_code == 409
    assert server.client.get(f"/api/runs/{run_id}/approvals").json()["approvals"] == []

    log = ended["execution_log"]
    by_seq = {record["seq"]: record for record in log}
    blame = server.client.get(f"/api/runs/{run_id}/blame").json()["keys"]
    assert {key: writer["node"] for key, writer in blame.items()} == {
        "item": None,
        "payment": "payment",
        "ship": "review",
        "note": "ship",
    }
    for writer in blame.values():
        assert by_seq[writer["seq"]].get("node") == writer["node"]
    one = server.client.get(f"/api/runs/{run_id}/blame", params={"key": "note"}).json()["keys"]
    assert one == {"note": blame["note"]}

    skipped = server.client.get(f"/api/runs/{run_id}/explain", params={"node": "refund"}).json()
    assert skipped["counts"] == {"skipped": 1}
    assert "decide" in skipped["text"]
    unknown = server.client.get(f"/api/runs/{run_id}/explain", params={"node": "refnd"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "UNKNOWN_STEP")


def test_a_paused_run_starts_nothing_before_it_is_resumed(server: Server, tmp_path: Path, held: dict[str, Any]) -> None:
    run_id = server.submit(server.create(held), {"name": "paused"})
    server.wait_event(run_id, "step_started", node="wait")
    for _ in range(2):
        assert server.command(run_id, "pause")["status"] == "paused"
    (tmp_path / "gate").touch()
    server.wait_event(run_id, "step_completed", node="wait")
    assert server.state(run_id)["status"] == "paused"
    assert (tmp_path / "ledger").read_text() == "before paused\n"
    assert server.command(run_id, "resume")["status"] != "paused"
    assert server.wait_ended(run_id)["status"] == "completed"
    assert (tmp_path / "ledger").read_text() == "before paused\nafter paused\n"


def test_a_second_answer_is_refused_while_the_run_goes_on(server: Server, tmp_path: Path) -> None:
    gate = {"name": "hold", "tool": "wait_for", "config": {"path": str(tmp_path / "gate")}}
    graph = {
        "name": "reviewed",
        "nodes": [{"name": "review", "type": "approval", "approval": {"prompt": "Go on?"}}, gate],
        "edges": [{"from_node": "review", "to_node": "hold"}],
        "entry_point": "review",
    }
    run_id = server.submit(server.create(graph), {})
    server.wait_event(run_id, "approval_requested")
    server.command(run_id, "answer", approval="review#1", answer=None)
    for value in (None, True):
        second = server.client.post(f"/api/runs/{run_id}/answer", json={"approval": "review#1", "answer": value})
        assert (second.status_code, second.json()["code"]) == (409, "ALREADY_ANSWERED")
    (tmp_path / "gate").touch()
    assert server.wait_ended(run_id)["current_state"] == {"review": None}


@pytest.fixture
def needy(tmp_path: Path) -> dict[str, Any]:
    """A graph that writes a line, then fails unless the file `needed` is there, then writes another line."""
    ledger = str(tmp_path / "ledger")
    return {
        "name": "needy",
        "nodes": [
            {"name": "before", "tool": "append_line", "config": {"path": ledger, "line": "before"}},
            {"name": "need", "tool": "need_file", "config": {"path": str(tmp_path / "needed")}},
            {"name": "after", "tool": "append_line", "config": {"path": ledger, "line": "after"}},
        ],
        "edges": [{"from_node": "before", "to_node": "need"}, {"from_node": "need", "to_node": "after"}],
        "entry_point": "before",
    }


def test_a_failed_run_is_retried_and_its_watcher_goes_on(server: Server, tmp_path: Path, needy: dict[str, Any]) -> None:
    run_id = server.submit(server.create(needy), {"name": "one"})
    seen, complete = complete_after(server, run_id, 0)
    assert complete["status"] == "failed"
    explained = server.client.get(f"/api/runs/{run_id}/explain", params={"node": "need"}).json()
    assert explained["activations"][-1]["error"]["code"] == "NO_FILE"

    (tmp_path / "needed").touch()
    assert server.command(run_id, "retry")["status"] != "failed"
    more, complete = complete_after(server, run_id, seen[-1])
    assert complete["status"] == "completed"
    assert [*seen, *more] == list(range(1, len(seen) + len(more) + 1))
    assert (tmp_path / "ledger").read_text() == "before one\nafter one\n"
    refused = server.client.post(f"/api/runs/{run_id}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "NOTHING_TO_RETRY")


def test_commands_that_were_acknowledged_outlive_a_kill(
    launch: Callable[..., Server], tmp_path: Path, held: dict[str, Any], needy: dict[str, Any]
) -> None:
    """A pause, a signal that comes before its wait, a retry and an answer; then the process is killed at once."""
    gate = {**held["nodes"][1], "name": "hold"}
    signalled_graph = {
        "name": "signalled",
        "nodes": [gate, {"name": "last", "type": "wait", "wait": {"signal": "go", "into": "got"}}],
        "edges": [{"from_node": "hold", "to_node": "last"}],
        "entry_point": "hold",
    }
    needy["nodes"].append(gate)
    needy["edges"].append({"from_node": "after", "to_node": "hold"})
    reviewed_graph = {
        "name": "reviewed",
        "nodes": [{"name": "review", "type": "approval", "approval": {"prompt": "Go on?"}}, gate],
        "edges": [{"from_node": "review", "to_node": "hold"}],
        "entry_point": "review",
    }
    first = launch()
    paused = first.submit(first.create(held), {"name": "paused"})
    signalled = first.submit(first.create(signalled_graph), {})
    retried = first.submit(first.create(needy), {"name": "retried"})
    reviewed = first.submit(first.create(reviewed_graph), {})
    first.wait_event(paused, "step_started", node="wait")
    assert first.wait_ended(retried)["status"] == "failed"
    first.wait_event(reviewed, "approval_requested")
    (tmp_path / "needed").touch()
    assert first.command(paused, "pause")["status"] == "paused"
    first.command(signalled, "signal", name="go", data=[1, None], id="once")
    first.command(retried, "retry")
    first.command(reviewed, "answer", approval="review#1", answer=False)
    assert first.end(signal.SIGKILL) == -signal.SIGKILL

    second = launch()
    assert second.command(signalled, "signal", name="go", data="again", id="once")["duplicate"] is True
    (tmp_path / "gate").touch()
    assert second.wait_ended(signalled)["current_state"] == {"got": [1, None]}
    assert second.wait_ended(retried)["status"] == "completed"
    again = second.client.post(f"/api/runs/{reviewed}/answer", json={"approval": "review#1", "answer": True})
    assert again.status_code == 409
    assert second.wait_ended(reviewed)["current_state"] == {"review": False}

    second.wait_event(paused, "step_completed", node="wait")
    state = second.state(paused)
    assert state["status"] == "paused"
    assert "after" not in {record.get("node") for record in state["execution_log"]}
    second.command(paused, "resume")
    assert second.wait_ended(paused)["status"] == "completed"


def test_a_fork_with_another_answer_leaves_the_first_run_alone(server: Server) -> None:
    run_id = server.submit(server.create(ORDER), {"item": "book"})
    server.command(run_id, "signal", name="paid", data=1)
    server.wait_event(run_id, "approval_requested")
    server.command(run_id, "answer", approval="review#1", answer=True)
    first = server.wait_ended(run_id)

    forked = server.command(run_id, "fork", node="decide", state={"ship": False})
    assert forked["forked_from"] == run_id
    ended = server.wait_ended(forked["run_id"])
    assert ended["status"] == "completed"
    assert ended["current_state"] == {"item": "book", "payment": 1, "ship": False, "note": "refunded"}
    assert server.state(run_id) == first

    asked_again = server.command(run_id, "fork", node="review")["run_id"]
    server.wait_event(asked_again, "approval_requested")
    (asked,) = server.client.get(f"/api/runs/{asked_again}/approvals").json()["approvals"]
    assert asked["approval"] == "review#1"
    server.command(asked_again, "answer", approval="review#1", answer=False)
    assert server.wait_ended(asked_again)["current_state"]["note"] == "refunded"
    listed = server.client.get("/api/runs").json()["runs"]
    assert {run["run_id"] for run in listed} == {run_id, forked["run_id"], asked_again}
