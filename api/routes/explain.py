"""`/api/runs/{run_id}/explain` and `/blame`: why a run is as it is, from its records."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.context import context_of
from api.errors import require_id
from api.openapi import answers
from api.schemas import BlameAnswer, ExplanationAnswer, StepPath
from api.wire import answer
from runtime.errors import InvalidInput, UnknownRun, UnknownStep
from runtime.graph.definition import Name

router = APIRouter(tags=["explain"])


class ExplainQuery(BaseModel):
    """Which node, in which sub-graph or map item."""

    model_config = ConfigDict(extra="forbid")
    node: Name
    path: StepPath = ""


class BlameQuery(BaseModel):
    """Which key of the state; all of them by default."""

    model_config = ConfigDict(extra="forbid")
    key: str | None = Field(default=None, max_length=4_096)


@router.get(
    "/api/runs/{run_id}/explain",
    summary="Explain a node",
    responses=answers(ExplanationAnswer, "Why the node ran, or did not", UnknownRun, UnknownStep, InvalidInput),
)
async def explain_node(request: Request, run_id: str, query: Annotated[ExplainQuery, Query()]) -> Response:
    """Answer why a node ran, waits, failed or did not run."""
    engine = context_of(request).engine
    explanation = await engine.explain(require_id(run_id, UnknownRun), query.node, path=query.path)
    return answer(explanation)


@router.get(
    "/api/runs/{run_id}/blame",
    summary="Ask who wrote the state",
    responses=answers(BlameAnswer, "The writer of each key", UnknownRun, InvalidInput),
)
async def blame_keys(request: Request, run_id: str, query: Annotated[BlameQuery, Query()]) -> Response:
    """Answer for each key of the state, or for one of them, which step wrote its value. A key that is not there is left out."""
    writers = await context_of(request).engine.blame(require_id(run_id, UnknownRun))
    if query.key is not None:
        writers = {key: writer for key, writer in writers.items() if key == query.key}
    return answer({"run_id": run_id, "keys": writers})
