"""`/api/graph/simulate`: what a graph can come to, before it is run for the first time."""

from dataclasses import fields
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.bodies import checked, read_json
from api.context import Context, context_of
from api.errors import prefixed, require_id
from api.listening import as_long_as_wanted
from api.openapi import answers, body
from api.settings import GRAPH_BYTES
from api.simulation_schemas import SimulateRequest, SimulationAnswer
from api.wire import answer, raw, raw_log
from runtime.errors import (
    Closing,
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
    context = context_of(request)
    found = await as_long_as_wanted(request, context, lambda: _ask(context, wanted), Closing())
    if found is None:
        return Response(status_code=499)  # never seen: the client has left
    return answer(_members(found))


async def _ask(context: Context, wanted: SimulateRequest) -> Simulation:
    if wanted.graph is None:
        return await context.engine.simulate(require_id(wanted.graph_id or "", UnknownGraph), wanted)
    try:
        return await context.engine.simulate(wanted.graph, wanted)
    except InvalidGraph as error:
        error.problems = prefixed(error.problems, "/graph")
        raise


def _members(found: Simulation) -> dict[str, Any]:
    members = {field.name: getattr(found, field.name) for field in fields(found)}
    encoded = members.pop("state_json")
    return {**members, "final_state": None if encoded is None else raw(encoded), "records": raw_log(found.records)}
