"""Artifacts over HTTP: listed and downloaded per run, in a way that no browser takes for a page of this server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.dataset_schemas import ArtifactsAnswer
from api.settings import ServerSettings
from runtime.settings import Settings
from tests.unit.api.conftest import BASE_URL
from tools import Registry, ToolContext, tool

PAGE = "<script>alert(1)</script><p>1</p>"


@pytest.fixture
def registry(registry: Registry) -> Registry:
    @tool(effect="idempotent")
    def leave(state: dict[str, Any], name: str, text: str, media_type: str, *, context: ToolContext) -> dict[str, Any]:
        """Leave a file behind."""
        assert context.artifacts is not None
        return {"left": context.artifacts.write(name, text.encode(), media_type)}

    registry.add(leave)
    return registry


@pytest.fixture
def client(registry: Registry, tmp_path: Path) -> Iterator[TestClient]:
    engine = Settings(journal="memory:", log_format="none", close_grace_s=0.1, artifacts_dir=tmp_path / "artifacts")
    app = create_app(ServerSettings(engine=engine), tools=registry)
    with TestClient(app, base_url=BASE_URL, raise_server_exceptions=False) as client:
        yield client


def run(client: TestClient, *left: tuple[str, str, str]) -> dict[str, Any]:
    """Run a graph whose nodes leave these files, as (name, text, media type), one after the other."""
    nodes = [
        {"name": f"n{number}", "tool": "leave", "config": {"name": name, "text": text, "media_type": media_type}}
        for number, (name, text, media_type) in enumerate(left)
    ]
    edges = [{"from_node": f"n{number}", "to_node": f"n{number + 1}"} for number in range(len(left) - 1)]
    graph = {"name": "g", "nodes": nodes, "edges": edges, "entry_point": "n0"}
    graph_id = client.post("/api/graph/create", json=graph).json()["graph_id"]
    told: dict[str, Any] = client.post("/api/graph/run", json={"graph_id": graph_id}).json()
    return told


def test_artifacts_are_listed_with_what_the_state_says_of_them(client: TestClient) -> None:
    told = run(client, ("b.csv", "x\n1\n", "text/csv"), ("a.json", "{}", "application/json"))
    assert told["status"] == "completed", told["message"]
    listed = ArtifactsAnswer.model_validate_json(client.get(f"/api/runs/{told['run_id']}/artifacts").content)
    assert [(one.name, one.media_type, one.bytes) for one in listed.artifacts] == [
        ("a.json", "application/json", 2),
        ("b.csv", "text/csv", 4),
    ]
    assert told["final_state"]["left"] == {"artifact": "a.json", "sha256": listed.artifacts[0].sha256, "bytes": 2}


@pytest.mark.parametrize("media_type", ["text/csv", "image/svg+xml", "application/xhtml+xml", "text/javascript"])
def test_whatever_is_no_page_is_saved_and_not_shown(client: TestClient, media_type: str) -> None:
    run_id = run(client, ("a.bin", PAGE, media_type))["run_id"]
    response = client.get(f"/api/runs/{run_id}/artifacts/a.bin")
    assert (response.status_code, response.text) == (200, PAGE)
    assert response.headers["content-type"] == media_type
    assert response.headers["content-disposition"] == 'attachment; filename="a.bin"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers.get_list("content-security-policy") == ["default-src 'none'"]


@pytest.mark.parametrize("media_type", ["text/html", "text/html; charset=utf-8"])
def test_a_page_is_shown_and_can_do_nothing(client: TestClient, media_type: str) -> None:
    run_id = run(client, ("report.html", PAGE, media_type))["run_id"]
    response = client.get(f"/api/runs/{run_id}/artifacts/report.html")
    assert response.headers["content-type"] == media_type
    assert response.headers["content-disposition"] == 'inline; filename="report.html"'
    assert response.headers["x-content-type-options"] == "nosniff"
    [policy] = response.headers.get_list("content-security-policy")
    parts = [part.strip() for part in policy.split(";")]
    assert parts[:2] == ["sandbox", "default-src 'none'"]  # no word behind `sandbox`: nothing is allowed
    assert not any(part.startswith("script-src") for part in parts)
    assert {"img-src data:", "style-src 'unsafe-inline'", "form-action 'none'", "base-uri 'none'"} < set(parts)


def test_what_a_client_has_already_is_not_sent_again(client: TestClient) -> None:
    run_id = run(client, ("a.csv", "x\n", "text/csv"))["run_id"]
    first = client.get(f"/api/runs/{run_id}/artifacts/a.csv")
    again = client.get(f"/api/runs/{run_id}/artifacts/a.csv", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.head(f"/api/runs/{run_id}/artifacts/a.csv")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", first.headers["etag"])


def test_an_empty_artifact_is_sent(client: TestClient) -> None:
    run_id = run(client, ("a.txt", "", "text/plain"))["run_id"]
    response = client.get(f"/api/runs/{run_id}/artifacts/a.txt")
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "0")


def test_what_does_not_exist_is_unknown(client: TestClient) -> None:
    run_id = run(client, ("a.txt", "", "text/plain"))["run_id"]
    for path, code in (
        (f"{run_id}/artifacts/b.txt", "UNKNOWN_ARTIFACT"),
        (f"{run_id}/artifacts/%2e%2e", "UNKNOWN_ARTIFACT"),
        (f"{run_id}/artifacts/a.txt.json", "UNKNOWN_ARTIFACT"),
        (f"{run_id}/artifacts/a%00.txt", "UNKNOWN_ARTIFACT"),
        ("run-1/artifacts", "UNKNOWN_RUN"),
        ("run-1/artifacts/a.txt", "UNKNOWN_RUN"),
        ("%2e%2e/artifacts", "UNKNOWN_RUN"),
        (f"{run_id}/artifacts/..%2fa.txt", "NOT_FOUND"),
    ):
        response = client.get(f"/api/runs/{path}")
        assert (response.status_code, response.json()["code"]) == (404, code), path


def test_a_server_without_a_folder_lists_none_and_tools_have_none(registry: Registry) -> None:
    settings = ServerSettings(engine=Settings(journal="memory:", log_format="none", close_grace_s=0.1))
    with TestClient(create_app(settings, tools=registry), base_url=BASE_URL) as client:
        told = run(client, ("a.txt", "", "text/plain"))
        assert told["status"] == "failed"
        assert client.get(f"/api/runs/{told['run_id']}/artifacts").json()["artifacts"] == []
        assert client.get(f"/api/runs/{told['run_id']}/artifacts/a.txt").status_code == 404
