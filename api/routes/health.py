"""`/health`: whether the server takes work, and how much it has."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.context import context_of
from api.openapi import answers
from api.schemas import HealthAnswer
from api.settings import VERSION
from api.wire import answer
from runtime.errors import Closing

router = APIRouter(tags=["health"])


@router.get("/health", summary="Ask how the server is", responses=answers(HealthAnswer, "It takes work", Closing))
async def read_health(request: Request) -> Response:
    """Answer `ok`, or `closing` with status 503 once the server has begun to stop."""
    context = context_of(request)
    statistics = asdict(await context.engine.statistics())
    closing = context.shutdown.has_begun
    members = {"status": "closing" if closing else "ok", "version": VERSION, **statistics}
    return answer(members, 503 if closing else 200)
