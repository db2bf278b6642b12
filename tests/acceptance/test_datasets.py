"""A client uploads a table, runs a graph on it, and downloads what the run left behind; also when the server dies in between."""

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.server import Server, eventually

TABLE = b"city,visitors\nUlm,12\nGera,7\nSuhl,30\n"

TOOLS = '''
import json
from typing import Any

from tools import ToolContext, tool
from tools.data_quality.datasets import files, references


@tool(effect="idempotent")
def sum_up(state: dict[str, Any], column: str, *, context: ToolContext) -> dict[str, Any]:
    """Add up a column, and leave the result behind as a page and as JSON."""
    table, _, pinned = references.read(state["dataset"], context.datasets_dir, context.artifacts)
    total = sum(int(cell) for cell in table[column])
    page = context.artifacts.write("total.html", f"<p>{total}</p>".encode(), "text/html; charset=utf-8")
    context.artifacts.write("total.json", json.dumps({"total": total}).encode(), "application/json")
    return {"dataset": pinned, "report": page, "total": total}


@tool(effect="idempotent", isolation="process")
def sum_up_elsewhere(state: dict[str, Any], column: str, *, context: ToolContext) -> dict[str, Any]:
    """Do the same in another process."""
    return sum_up(state, column, context=context)
'''


@pytest.fixture
def serve(launch: Callable[..., Server], tmp_path: Path) -> Callable[..., Server]:
    (tmp_path / "sums.py").write_text(TOOLS)
    return lambda *arguments: launch("--tools", str(tmp_path / "sums.py"), *arguments)


def summing(*tools: str) -> dict[str, Any]:
    nodes = [{"name": f"n{i}", "tool": tool, "config": {"column": "visitors"}} for i, tool in enumerate(tools)]
    edges = [{"from_node": f"n{i}", "to_node": f"n{i + 1}"} for i in range(len(tools) - 1)]
    return {"name": "sums", "nodes": nodes, "edges": edges, "entry_point": "n0"}


def put(server: Server, name: str, content: Any) -> httpx2.Response:
    return server.client.put(f"/api/datasets/{name}", content=content)


@pytest.mark.parametrize("tool", ["sum_up", "sum_up_elsewhere"])
def test_a_table_is_uploaded_and_what_a_run_makes_of_it_is_downloaded(serve: Callable[..., Server], tool: str) -> None:
    server = serve()
    uploaded = put(server, "cities.csv", TABLE)
    assert uploaded.status_code == 201
    graph_id = server.create(summing(tool))
    run_id = server.submit(graph_id, {"dataset": uploaded.json()["dataset"]})
    ended = server.wait_ended(run_id)
    assert ended["status"] == "completed", ended["execution_log"][-1]
    listed = server.client.get(f"/api/runs/{run_id}/artifacts").json()["artifacts"]
    assert [one["name"] for one in listed] == ["total.html", "total.json"]
    assert server.client.get(f"/api/runs/{run_id}/artifacts/total.json").json() == {"total": 49}
    page = server.client.get(f"/api/runs/{run_id}/artifacts/total.html")
    assert (page.text, page.headers["etag"]) == ("<p>49</p>", f'"{ended["current_state"]["report"]["sha256"]}"')
    assert page.headers["content-security-policy"].startswith("sandbox;")


def test_datasets_and_artifacts_outlive_a_server_that_is_killed(serve: Callable[..., Server]) -> None:
    first = serve()
    uploaded = put(first, "cities.csv", TABLE).json()
    run_id = first.submit(first.create(summing("sum_up")), {"dataset": {"path": "cities.csv"}})
    first.wait_ended(run_id)
    assert put(first, "cities.csv", b"city,visitors\nUlm,1\n").json()["change"] == "replaced"
    first.end(signal.SIGKILL)
    second = serve()
    assert second.client.get(f"/api/runs/{run_id}/artifacts/total.json").json() == {"total": 49}
    assert second.state(run_id)["current_state"]["dataset"] == uploaded["dataset"]
    assert second.client.get("/api/datasets").json()["datasets"][0]["rows"] == 1
    fork = second.command(run_id, "fork", node="n0", state={"dataset": uploaded["dataset"]})["run_id"]
    assert second.wait_ended(fork)["current_state"]["total"] == 49  # as it was, not as it is
    fork = second.command(run_id, "fork", node="n0", state={"dataset": {"path": "cities.csv"}})["run_id"]
    assert second.wait_ended(fork)["current_state"]["total"] == 1


def test_an_upload_over_the_limit_ends_early_and_leaves_nothing(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 20
            yield b"a" * (1 << 20)

    try:
        answer = put(server, "a.csv", endless())
    except httpx2.WriteError:  # it had answered and hung up while this side was still sending
        pass
    else:
        assert answer.json()["code"] == "DATASET_TOO_LARGE"
    assert sent < 80 << 20
    eventually(lambda: uploads(tmp_path) == [])
    assert server.client.get("/api/datasets").json()["datasets"] == []


def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        connection.sendall(b"PUT /api/datasets/a.csv HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n\r\n")
        connection.sendall(b"a\n" * 1_500_000)
        eventually(lambda: uploads(tmp_path) != [])
    eventually(lambda: uploads(tmp_path) == [])
    assert server.client.get("/api/datasets/a.csv").status_code == 404


def uploads(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "data" / "datasets" / ".store" / "incoming").glob("*"))


def test_runs_that_are_not_kept_take_their_artifacts_with_them(serve: Callable[..., Server], tmp_path: Path) -> None:
    first = serve()
    uploaded = put(first, "cities.csv", TABLE).json()
    run_id = first.submit(first.create(summing("sum_up")), {"dataset": uploaded["dataset"]})
    first.wait_ended(run_id)
    assert first.end(signal.SIGTERM) == 0
    second = serve("--keep-runs", "0")
    folder = tmp_path / "data" / "artifacts"
    eventually(lambda: not any(path.is_file() for path in folder.rglob("*")))
    assert second.client.get(f"/api/runs/{run_id}/artifacts").status_code == 404
    assert second.client.get("/api/datasets/cities.csv").content == TABLE


def test_the_bound_of_artifacts_is_an_option(serve: Callable[..., Server]) -> None:
    server = serve("--max-artifacts-mb", "0")
    put(server, "cities.csv", TABLE)
    run_id = server.submit(server.create(summing("sum_up")), {"dataset": {"path": "cities.csv"}})
    ended = server.wait_ended(run_id)
    assert (ended["status"], ended["execution_log"][-1]["error"]["code"]) == ("failed", "ARTIFACT_TOO_LARGE")


def test_a_built_in_tool_profiles_what_was_uploaded(server: Server) -> None:
    uploaded = put(server, "cities.csv", TABLE).json()
    graph_id = server.create(
        {"name": "profile", "nodes": [{"name": "p", "tool": "profile_data"}], "edges": [], "entry_point": "p"}
    )
    put(server, "cities.csv", b"city\nUlm\n")
    for dataset, rows in ((uploaded["dataset"], 3), ({"path": "cities.csv"}, 1)):
        ended = server.wait_ended(server.submit(graph_id, {"dataset": dataset}))
        assert ended["status"] == "completed", ended["execution_log"][-1]
        assert ended["current_state"]["profile"]["rows"] == rows
