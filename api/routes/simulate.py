"""`/api/graph/simulate`: what a graph can come to, before it is run for the first time."""

from dataclasses import fields
from typing import Any

import anyio
from anyio import CancelScope
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.bodies import checked, read_json
from api.context import Context, context_of
from api.errors import prefixed, require_id
from api.openapi import answers, body
from api.settings import GRAPH_BYTES
from api.simulation_schemas import SimulateRequest, SimulationAnswer
from api.wire import answer, raw, raw_log
from runtime.errors import (
    Closing,
    EngineError,
    InvalidGraph,
    InvalidInput,
    InvalidJson,
    Overloaded,
    TooLarge,
    UnknownGraph,
)
from runtime.simulation import Simulation

router = APIRouter(tags=["graphs"])


@router.post(
    "/api/graph/simulate",
    summary="Simulate a graph",
    responses=answers(
        SimulationAnswer,
        "What the simulated runs came to",
        InvalidJson,
        TooLarge,
        UnknownGraph,
        InvalidGraph,
        InvalidInput,
        Overloaded,
        Closing,
    ),
    openapi_extra=body(SimulateRequest),
)
async def simulate_graph(request: Request) -> Response:
    """Run a graph on virtual time with mocks for its tools, once for each seed. Nothing is stored, and no tool is called.

    The answer comes after ten seconds at the latest, with what was found until then.
    """
    wanted = checked(SimulateRequest, await read_json(request, max_bytes=GRAPH_BYTES))
    found = await _simulated(request, context_of(request), wanted)
    if found is None:
        return Response(status_code=499)  # never seen: the client has left
    return answer(_members(found))


async def _simulated(request: Request, context: Context, wanted: SimulateRequest) -> Simulation | None:
    """Simulate as long as client and server are there; None when the client has left."""
    outcome: Simulation | EngineError | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_when_left, request, group.cancel_scope)
        with context.shutdown.ends(group.cancel_scope):
            try:
                outcome = await _ask(context, wanted)
            except EngineError as error:
                outcome = error  # raised below: the task group would wrap it
        group.cancel_scope.cancel()
    if isinstance(outcome, EngineError):
        raise outcome
    if outcome is None and context.shutdown.has_begun:
        raise Closing
    return outcome


async def _ask(context: Context, wanted: SimulateRequest) -> Simulation:
    if wanted.graph is None:
        return await context.engine.simulate(require_id(wanted.graph_id or "", UnknownGraph), wanted)
    try:
        return await context.engine.simulate(wanted.graph, wanted)
    except InvalidGraph as error:
        error.problems = prefixed(error.problems, "/graph")
        raise


async def _cancel_when_left(request: Request, scope: CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _members(found: Simulation) -> dict[str, Any]:
    members = {field.name: getattr(found, field.name) for field in fields(found)}
    encoded = members.pop("state_json")
    return {**members, "final_state": None if encoded is None else raw(encoded), "records": raw_log(found.records)}
