"""The OpenAPI document: what every operation shares, and the request bodies that the framework does not see."""

from collections.abc import Sequence
from inspect import cleandoc
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.errors import ANSWERS
from api.schemas import (
    AnswerRequest,
    CreateGraphRequest,
    ExecuteRequest,
    ExplanationAnswer,
    ForkRequest,
    ProblemDocument,
    RunRequest,
    SignalRequest,
)
from api.simulation_schemas import SimulateRequest
from runtime.errors import EngineError
from runtime.graph.definition import GraphDefinition
from runtime.run.explain import Explanation

_SCHEMAS: Final = "#/components/schemas/{model}"
_BODIES: Final = (
    CreateGraphRequest,
    RunRequest,
    SimulateRequest,
    ExecuteRequest,
    SignalRequest,
    AnswerRequest,
    ForkRequest,
)

DESCRIPTION: Final = """\
Workflows as graphs of tools: every run is an actor, and its log is the truth.

**Errors** are problem documents (RFC 9457) with a stable `code`; `errors` has each single problem with a JSON pointer.

**WebSockets** send text messages `{"type", "data"}`:

- `/ws/execute/{graph_id}`: the client sends `{"initial_state": {}}` first. Then come `started` (`run_id`), a `log` for each
  record, and `complete` (`run_id`, `status`, `final_state`). The run goes on if the socket closes.
- `/ws/monitor/{run_id}?after=<seq>`: a `log` for each record after `seq`, from the first by default, then live, then
  `complete`. A client that was cut off goes on with the last `seq` it has seen; so does one that has seen `complete`, when
  the run is retried.

A failure is `error` (`code`, `message`) before the socket closes: 1007 not JSON, 1008 wrong input, 4404 unknown id,
1012 server stopping, 1013 overloaded.
"""


IDEMPOTENT: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": (
                "Makes sending the request again harmless: the same key and body are the same run, answered with the header "
                "`Idempotent-Replay: true`. A key is kept as long as its run."
            ),
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }
    ]
}
"""What `openapi_extra` of an operation has besides its body that takes an idempotency key."""


def body(model: type[BaseModel], *alternatives: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of an operation whose JSON body is a `model` or one of `alternatives`."""
    references = [{"$ref": _SCHEMAS.format(model=one.__name__)} for one in (model, *alternatives)]
    media = {
        "schema": references[0] if not alternatives else {"anyOf": references},
        "example": _examples(model)[0],
    }
    return {"requestBody": {"required": True, "content": {"application/json": media}}}


def file_body(media_types: Sequence[str]) -> dict[str, Any]:
    """Return the `openapi_extra` of an operation whose body is a file of one of these types."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}
    return {"requestBody": {"required": True, "content": content}}


def answers(
    model: type[BaseModel], description: str, *failures: type[EngineError], created: str | None = None
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an operation: a `model`, or one of `failures`, or any other problem.

    With `created`, the same model may come with 201, which is described by it.
    """
    content = {"application/json": {"example": _examples(model)[0]}}
    by_status: dict[int | str, dict[str, Any]] = {200: {"model": model, "description": description, "content": content}}
    if created is not None:
        by_status[201] = {"model": model, "description": created, "content": content}
    return by_status | _failures(failures)


def file_answer(description: str, *failures: type[EngineError]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an operation that sends a file."""
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    by_status: dict[int | str, dict[str, Any]] = {
        200: {"description": description, "content": content},
        304: {"description": "The client has this content already"},
    }
    return by_status | _failures(failures)


def _failures(failures: Sequence[type[EngineError]]) -> dict[int | str, dict[str, Any]]:
    by_status: dict[int | str, dict[str, Any]] = {}
    for failure in failures:
        status = ANSWERS[failure.code].status
        seen = by_status.setdefault(status, _problem(failure.code, status))
        if failure.code not in seen["description"]:
            seen["description"] += f", `{failure.code}`"
    by_status["default"] = {**_problem("INTERNAL_ERROR", 500), "description": "Any other problem"}
    return by_status


def install(app: FastAPI) -> None:
    """Let `app` describe itself with the bodies' models among its components."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            models = (*_BODIES, GraphDefinition, ProblemDocument)
            _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_SCHEMAS)
            # The engine judges the definition, so the envelope takes any object; readers want to know which.
            envelope = schemas["$defs"][CreateGraphRequest.__name__]["properties"]
            envelope["graph"] = {"$ref": _SCHEMAS.format(model=GraphDefinition.__name__)}
            document["components"]["schemas"].update(schemas["$defs"], **_explanation())
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]


def _explanation() -> dict[str, Any]:
    """Return the schemas of an explanation and all its parts, from the engine's own types: they are its encoding."""
    _, parts = msgspec.json.schema_components((Explanation,), ref_template=_SCHEMAS.format(model="{name}"))
    for part in parts.values():
        part["description"] = cleandoc(part["description"])
    return {**parts, ExplanationAnswer.__name__: parts.pop(Explanation.__name__)}


def _examples(model: type[BaseModel]) -> list[Any]:
    extra = model.model_config["json_schema_extra"]
    assert isinstance(extra, dict)  # noqa: S101
    examples: Any = extra["examples"]
    return list(examples)


def _problem(code: str, status: int) -> dict[str, Any]:
    example = {"title": code.replace("_", " ").capitalize(), "status": status, "detail": "…", "code": code}
    schema = {"$ref": _SCHEMAS.format(model=ProblemDocument.__name__)}
    return {
        "description": f"`{code}`",
        "content": {"application/problem+json": {"schema": schema, "example": example}},
    }
