"""The table from codes to answers is complete, and every error has the one shape."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from api.app import create_app
from api.errors import ANSWERS, answer_for, problem_body, problem_response, problems_of
from api.schemas import ProblemDocument
from api.settings import ServerSettings
from runtime.errors import Closing, EngineError, InvalidGraph, Problem, UnknownRun
from runtime.settings import Settings
from tools import Registry


def all_errors() -> Iterator[type[EngineError]]:
    todo: list[type[EngineError]] = [EngineError]
    for error in todo:
        todo += error.__subclasses__()
        yield error


@pytest.mark.parametrize("error", list(all_errors()), ids=lambda error: error.__name__)
def test_every_error_has_its_answer(error: type[EngineError]) -> None:
    assert error.code in ANSWERS
    answer = ANSWERS[error.code]
    assert 400 <= answer.status < 600
    assert 1002 <= answer.close < 5000


def test_an_error_that_nobody_registered_is_ours() -> None:
    class Odd(EngineError):
        code = "ODD"

    assert answer_for(Odd("odd")).status == 500
    del Odd


def test_the_shape_of_a_problem() -> None:
    error = InvalidGraph("Two.", problems=[Problem("/nodes/0", "No.", "bad")], graph_id="g")
    document = ProblemDocument.model_validate_json(problem_body(error))
    assert document.model_dump() == {
        "title": "Invalid graph",
        "status": 422,
        "detail": "Two.",
        "code": "INVALID_GRAPH",
        "errors": [{"pointer": "/nodes/0", "detail": "No.", "type": "bad"}],
        "graph_id": "g",
    }
    assert b'"errors"' not in problem_body(UnknownRun("r"))


def test_retry_after_is_told_in_whole_seconds() -> None:
    response = problem_response(Closing())
    assert response.headers["retry-after"] == "5"
    assert response.media_type == "application/problem+json"


def test_problems_keep_quiet_about_the_values_that_were_sent() -> None:
    found = [{"loc": ("body", "a/b", 0), "msg": "Input should be a string", "type": "string_type", "input": "secret"}]
    assert problems_of(found) == (Problem("/body/a~1b/0", "Input should be a string.", "string_type"),)


def test_an_unknown_path_is_a_problem(client: TestClient) -> None:
    for path in ("/", "/docs", "/redoc", "/api", "/api/graphs/", "/health/", "/ws/execute/x"):
        response = client.get(path)
        assert response.status_code == 404
        assert response.json()["code"] == "NOT_FOUND"


def test_a_wrong_method_is_told_all_right_ones(client: TestClient) -> None:
    for method, path, allowed in (
        ("PUT", "/api/graphs/x", "GET, DELETE"),
        ("GET", "/api/graph/run", "POST"),
        ("DELETE", "/health", "GET"),
    ):
        response = client.request(method, path)
        assert response.status_code == 405
        assert response.headers["allow"] == allowed
        assert response.json()["code"] == "METHOD_NOT_ALLOWED"


@pytest.fixture
def faulty(registry: Registry, released: threading.Event) -> Iterator[TestClient]:
    app = create_app(ServerSettings(engine=Settings(log_format="none")), tools=registry)

    @app.get("/faulty")
    async def faulty() -> None:
        raise RuntimeError("secret text")

    @app.get("/refusing")
    async def refusing() -> None:
        raise HTTPException(418, "secret text")

    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "code"), [("/faulty", 500, "INTERNAL_ERROR"), ("/refusing", 400, "BAD_REQUEST")]
)
def test_an_unforeseen_error_is_told_without_its_text(faulty: TestClient, path: str, status: int, code: str) -> None:
    response = faulty.get(path)
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["code"]) == (status, code)
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
