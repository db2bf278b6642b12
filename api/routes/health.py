"""How the server is: `/livez` and `/readyz` for what watches it, `/health` for people and monitors."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.buffers import INTAKE
from api.context import context_of
from api.openapi import answers
from api.schemas import HealthAnswer, LiveAnswer, ReadyAnswer
from api.settings import VERSION
from api.wire import answer
from runtime.errors import Closing

router = APIRouter(tags=["health"])

_NOT_READY = {
    "model": ReadyAnswer,
    "description": "It should not be sent new work now; `reasons` says why",
    "content": {"application/json": {"example": {"status": "not_ready", "reasons": ["memory"]}}},
}


@router.get("/health", summary="Ask how the server is", responses=answers(HealthAnswer, "It takes work", Closing))
async def read_health(request: Request) -> Response:
    """Answer `ok`, or `closing` with status 503 once the server has begun to stop."""
    context = context_of(request)
    statistics = asdict(await context.engine.statistics())
    closing = context.shutdown.has_begun
    buffers = (*await context.engine.buffers(), *INTAKE.uses(), *context.files.uses())
    members = {"status": "closing" if closing else "ok", "version": VERSION, **statistics, "buffers": buffers}
    return answer(members, 503 if closing else 200)


@router.get("/livez", summary="Ask whether the server is alive", responses=answers(LiveAnswer, "It is alive"))
async def read_liveness() -> Response:
    """Answer as long as the server answers at all. If there is no answer for long, only a restart helps."""
    return answer({"status": "alive"})


@router.get(
    "/readyz",
    summary="Ask whether the server takes new work",
    responses={**answers(ReadyAnswer, "It takes new work"), 503: _NOT_READY},
)
async def read_readiness(request: Request) -> Response:
    """Answer `ready`, or `not_ready` with status 503 and the reasons. Reads no disk, so it is answered even if that hangs."""
    reasons = context_of(request).engine.readiness()
    if reasons:
        return answer({"status": "not_ready", "reasons": reasons}, 503)
    return answer({"status": "ready"})
