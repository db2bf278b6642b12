"""`/api/graph/create` and `/api/graphs`: graphs are stored once, read, listed and deleted, and never changed."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.bodies import checked, read_json
from api.context import context_of
from api.errors import prefixed, require_id
from api.openapi import answers, body
from api.schemas import CreateGraphRequest, GraphAnswer, GraphCreatedAnswer, GraphsAnswer, MessageAnswer
from api.settings import GRAPH_BYTES
from api.wire import answer
from runtime.errors import Closing, GraphInUse, InvalidGraph, InvalidInput, InvalidJson, TooLarge, UnknownGraph
from runtime.graph.definition import GraphDefinition

router = APIRouter(tags=["graphs"])


class PageQuery(BaseModel):
    """Which part of a list: `cursor` is the `next_cursor` of the part before."""

    model_config = ConfigDict(extra="forbid")
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=512)


@router.post(
    "/api/graph/create",
    summary="Store a graph",
    responses=answers(
        GraphCreatedAnswer, "The graph is stored and durable", InvalidJson, TooLarge, InvalidGraph, Closing
    ),
    openapi_extra=body(CreateGraphRequest, GraphDefinition),
)
async def create_graph(request: Request) -> Response:
    """Answer all problems of a wrong graph at once. Storing the same definition again changes nothing."""
    definition, prefix = _unwrapped(await read_json(request, max_bytes=GRAPH_BYTES))
    try:
        created = await context_of(request).engine.create_graph(definition)
    except InvalidGraph as error:
        error.problems = prefixed(error.problems, prefix)
        raise
    return answer(
        {
            "graph_id": created.graph_id,
            "message": f"Graph {definition['name']!r} is stored as {created.graph_id}.",
            "version": created.version,
            "warnings": prefixed(created.warnings, prefix),
        }
    )


@router.get("/api/graphs", summary="List graphs", responses=answers(GraphsAnswer, "Newest first", InvalidInput))
async def list_graphs(request: Request, query: Annotated[PageQuery, Query()]) -> Response:
    """Answer one page of the graphs there are."""
    page = await context_of(request).engine.graphs(limit=query.limit, cursor=query.cursor)
    return answer({"graphs": page.items, "next_cursor": page.next_cursor})


@router.get("/api/graphs/{graph_id}", summary="Read a graph", responses=answers(GraphAnswer, "The graph", UnknownGraph))
async def read_graph(request: Request, graph_id: str) -> Response:
    """Answer the whole definition as it was stored, with its id and version."""
    view = await context_of(request).engine.graph(require_id(graph_id, UnknownGraph))
    definition = msgspec.json.decode(view.definition, type=dict[str, msgspec.Raw])
    added = {"graph_id": view.graph_id, "version": view.version, "created_at": view.created_at}
    return answer({**definition, **added})


@router.delete(
    "/api/graphs/{graph_id}",
    summary="Delete a graph",
    responses=answers(MessageAnswer, "The graph is gone", UnknownGraph, GraphInUse, Closing),
)
async def delete_graph(request: Request, graph_id: str) -> Response:
    """Delete a graph that no unfinished run uses; ended runs of it stay readable."""
    await context_of(request).engine.delete_graph(require_id(graph_id, UnknownGraph))
    return answer({"message": f"Graph {graph_id} is deleted."})


def _unwrapped(sent: Any) -> tuple[Mapping[str, Any], str]:
    """Return the definition in a body, and the JSON pointer to it: it may stand in an envelope or alone."""
    if isinstance(sent, dict) and "graph" not in sent:
        return sent, ""
    return checked(CreateGraphRequest, sent).graph, "/graph"
