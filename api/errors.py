"""Errors on the wire: the one table from codes to statuses, and the one shape they are sent in (RFC 9457).

The engine and this package raise `EngineError`s; nothing else decides a status. What was not raised on purpose becomes
`INTERNAL_ERROR` without a word of the exception: its text may hold paths, SQL or data, and goes to the log only.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from runtime import errors
from runtime.errors import EngineError, InvalidInput, Problem

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_TYPES: Final = {"extra_forbidden": "unknown_key", "missing": "missing_key"}  # pydantic's words; ours for the commonest
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


class InternalError(EngineError):
    """Something went wrong that nobody foresaw; the server's log has it."""

    code = "INTERNAL_ERROR"

    def __init__(self) -> None:
        super().__init__("The server failed to answer. Its log says why; please report it.")


class UnknownPath(EngineError):
    """No route has this path."""

    code = "NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is nothing at this path. GET /openapi.json describes every path there is.")


class MethodNotAllowed(EngineError):
    """The path exists, for other methods."""

    code = "METHOD_NOT_ALLOWED"

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"This path does not answer {method}; use {allowed}.")


class UnsupportedMediaType(EngineError):
    """The body is not declared to be JSON."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class BodyTimeout(EngineError):
    """The body did not arrive in time."""

    code = "REQUEST_TIMEOUT"


class UntrustedHost(EngineError):
    """The request names a host that this server is not: what DNS rebinding looks like."""

    code = "UNTRUSTED_HOST"


class UntrustedOrigin(EngineError):
    """A web page of another site sent the request."""

    code = "UNTRUSTED_ORIGIN"


class InvalidDataset(EngineError):
    """What was uploaded is no table that tools can read."""

    code = "DATASET_INVALID"


class DatasetTooLarge(errors.TooLarge):
    """What was uploaded is over a limit of datasets; the message names the limit and what was found."""

    code = "DATASET_TOO_LARGE"


class UnknownDataset(EngineError):
    """No dataset has this name."""

    code = "UNKNOWN_DATASET"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no dataset {name!r}. GET /api/datasets lists those there are.", dataset=name)


class UnknownArtifact(EngineError):
    """The run has no artifact of this name."""

    code = "UNKNOWN_ARTIFACT"

    def __init__(self, run_id: str, name: str) -> None:
        super().__init__(
            f"Run {run_id!r} has no artifact {name!r}. GET /api/runs/{run_id}/artifacts lists those it has.",
            run_id=run_id,
            artifact=name,
        )


class NoDatasets(EngineError):
    """The server was started without a folder for datasets."""

    code = "NO_DATASETS"

    def __init__(self) -> None:
        super().__init__("This server keeps no datasets: whoever runs it has set no folder for them.")


class WaitCut(EngineError):
    """The server stops while a client waits for a run."""

    code = "CLOSING"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"The server is stopping. Run {run_id!r} goes on when it is back: do not submit it again, but ask for its state.",
            retry_after_s=5,
            run_id=run_id,
        )


class WatchCut(EngineError):
    """The server stops while a client watches a run."""

    code = "CLOSING"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"The server is stopping; run {run_id!r} goes on when it is back. Connect to /ws/monitor/{run_id} then, with "
            "`after` set to `last_seq`, for the records that follow.",
            retry_after_s=5,
            run_id=run_id,
        )


class BadRequest(EngineError):
    """The framework refused the request before it reached a route."""

    code = "BAD_REQUEST"


@dataclass(frozen=True, slots=True)
class Answer:
    """How an error is told: the HTTP status, and the close code of a WebSocket after its error message."""

    status: int
    close: int


ANSWERS: Final[Mapping[str, Answer]] = {
    error.code: Answer(status, close)
    for error, status, close in (
        (errors.EngineError, 500, 1011),
        (errors.InvalidInput, 422, 1008),
        (errors.InvalidJson, 400, 1007),
        (errors.TooLarge, 413, 1009),
        (errors.InvalidGraph, 422, 1008),
        (errors.UnknownGraph, 404, 4404),
        (errors.UnknownRun, 404, 4404),
        (errors.GraphInUse, 409, 4409),
        (errors.RunFinished, 409, 4409),
        (errors.UnknownApproval, 404, 4404),
        (errors.AlreadyAnswered, 409, 4409),
        (errors.UnknownStep, 404, 4404),
        (errors.NothingToRetry, 409, 4409),
        (errors.TooManySignals, 409, 4409),
        (errors.ToolMissing, 409, 4409),
        (errors.Overloaded, 503, 1013),
        (errors.Closing, 503, 1012),
        (errors.JournalUnavailable, 503, 1011),
        (errors.StorageFull, 503, 1013),
        (errors.StorageBusy, 503, 1013),
        (errors.StorageSlow, 503, 1013),
        (errors.StorageError, 500, 1011),
        (errors.IdempotencyMismatch, 422, 1008),
        (errors.JournalNewer, 500, 1011),
        (errors.JournalInUse, 503, 1011),
        (errors.JournalDamaged, 500, 1011),
        (InternalError, 500, 1011),
        (BadRequest, 400, 1008),
        (UnknownPath, 404, 4404),
        (MethodNotAllowed, 405, 1008),
        (UnsupportedMediaType, 415, 1003),
        (BodyTimeout, 408, 1008),
        (InvalidDataset, 422, 1008),
        (DatasetTooLarge, 413, 1009),
        (UnknownDataset, 404, 4404),
        (UnknownArtifact, 404, 4404),
        (NoDatasets, 501, 1011),
        (UntrustedHost, 400, 1008),
        (UntrustedOrigin, 403, 1008),
    )
}


def answer_for(error: EngineError) -> Answer:
    """Return how to tell `error`; a code that the table lacks is our fault, like any unforeseen error."""
    return ANSWERS.get(error.code, ANSWERS[InternalError.code])


def problem_body(error: EngineError) -> bytes:
    """Return `error` as a problem document (RFC 9457)."""
    document: dict[str, Any] = {
        "title": error.code.replace("_", " ").capitalize(),
        "status": answer_for(error).status,
        "detail": error.message,
        "code": error.code,
        **error.ids,
    }
    if error.problems:
        document["errors"] = error.problems
    return msgspec.json.encode(document)


def problem_response(error: EngineError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the HTTP answer that tells `error`."""
    response = Response(problem_body(error), answer_for(error).status, headers, "application/problem+json")
    if error.retry_after_s is not None:
        response.headers["retry-after"] = str(ceil(error.retry_after_s))
    if isinstance(error, errors.TooLarge | BodyTimeout):
        response.headers["connection"] = "close"  # the rest of the body is not read
    return response


def prefixed(problems: Iterable[Problem], prefix: str) -> tuple[Problem, ...]:
    """Return `problems` as seen from an outer document, in which their input stands at the JSON pointer `prefix`."""
    return tuple(Problem(prefix + problem.pointer, problem.detail, problem.type) for problem in problems)


def require_id(text: str, unknown: Callable[[str], EngineError]) -> str:
    """Return `text`, if an id can look like that at all.

    Raises:
        EngineError: `unknown(text)`: an impossible id is answered as one that does not exist.
    """
    if _ID.fullmatch(text) is None:
        raise unknown(text[:128])
    return text


def problems_of(found: Iterable[Mapping[str, Any]], *, prefix: str = "") -> tuple[Problem, ...]:
    """Return what pydantic found wrong, with JSON pointers, and without the values that were sent."""
    return tuple(
        Problem(
            pointer=prefix + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in one["loc"]),
            detail="This key is not known here." if one["type"] == "extra_forbidden" else f"{one['msg']}.",
            type=_TYPES.get(one["type"], one["type"]),
        )
        for one in found
    )


def install(app: FastAPI) -> None:
    """Let `app` answer every error as a problem document."""
    app.add_exception_handler(EngineError, _tell_engine_error)
    app.add_exception_handler(RequestValidationError, _tell_invalid_parameters)
    app.add_exception_handler(HTTPException, _tell_http_exception)


async def _tell_engine_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, EngineError)  # noqa: S101
    return problem_response(error)


async def _tell_invalid_parameters(_request: Request, error: Exception) -> Response:
    """Pointers read `/query/limit`: the framework checks parameters only, for bodies have their own gate."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return problem_response(
        InvalidInput("The parameters of the request are wrong.", problems=problems_of(error.errors()))
    )


async def _tell_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem_response(UnknownPath())
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # The router knows the methods of the first route that has the path, and a path may have several routes.
        allowed = ", ".join(method for method in _METHODS if _is_routed(request, method))
        return problem_response(MethodNotAllowed(request.method, allowed), {"allow": allowed})
    return problem_response(BadRequest("The request could not be understood."))


def _is_routed(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    routes: Sequence[Any] = request.app.router.routes
    return any(route.matches(scope)[0] is Match.FULL for route in routes)
