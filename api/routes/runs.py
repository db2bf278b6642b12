"""Starting runs, and asking about those there are; `commands.py` is for changing them.

`run` and `run-async` submit the same way; the first then waits like any other observer, so a run never depends on the
connection that started it.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.bodies import checked, read_json
from api.context import Context, context_of
from api.errors import WaitCut, require_id
from api.listening import as_long_as_wanted
from api.openapi import IDEMPOTENT, answers, body
from api.routes.graphs import PageQuery
from api.schemas import EventsAnswer, RunAcceptedAnswer, RunAnswer, RunRequest, RunsAnswer, RunStateAnswer
from api.wire import answer, raw, raw_log
from runtime.errors import (
    Closing,
    IdempotencyMismatch,
    InvalidInput,
    InvalidJson,
    Overloaded,
    Problem,
    StorageBusy,
    StorageFull,
    StorageSlow,
    TooLarge,
    ToolMissing,
    UnknownGraph,
    UnknownRun,
)
from runtime.run.records import RunStatus
from runtime.views import AcceptedRun

router = APIRouter(tags=["runs"])

_SUBMIT_FAILURES = (
    InvalidJson,
    TooLarge,
    UnknownGraph,
    ToolMissing,
    InvalidInput,
    IdempotencyMismatch,
    Overloaded,
    StorageFull,
    StorageBusy,
    StorageSlow,
    Closing,
)


class RunsQuery(PageQuery):
    """Which runs."""

    graph_id: str | None = Field(default=None, max_length=128)
    status: RunStatus | None = None


class EventsQuery(BaseModel):
    """Which records of a run's log."""

    model_config = ConfigDict(extra="forbid")
    after: int = Field(default=0, ge=0, le=2**53)
    limit: int = Field(default=200, ge=1, le=1_000)


@router.post(
    "/api/graph/run",
    summary="Run a graph and wait",
    responses=answers(RunAnswer, "The run has ended, in whatever way", *_SUBMIT_FAILURES),
    openapi_extra=body(RunRequest) | IDEMPOTENT,
)
async def run_graph(request: Request) -> Response:
    """Answer once the run has ended. It goes on if the client leaves: see `GET /api/runs`."""
    context = context_of(request)
    submitted = await _submit(request, context)
    run_id = submitted.run_id
    view = await as_long_as_wanted(request, context, lambda: context.engine.wait(run_id), WaitCut(run_id))
    if view is None:
        return Response(status_code=499)  # never seen: the client has left
    return answer(
        {
            "run_id": view.run_id,
            "final_state": raw(view.state_json),
            "execution_log": raw_log(await context.engine.log(view.run_id)),
            "status": view.status,
            "message": f"The run {_said(view.status)}{f': {view.error}' if view.error else ''}.",
        },
        headers=_replay(submitted),
    )


@router.post(
    "/api/graph/run-async",
    summary="Run a graph",
    responses=answers(RunAcceptedAnswer, "The run is accepted and durable", *_SUBMIT_FAILURES),
    openapi_extra=body(RunRequest) | IDEMPOTENT,
)
async def run_graph_async(request: Request) -> Response:
    """Answer as soon as the run is accepted for good."""
    run = await _submit(request, context_of(request))
    said = "had been accepted before" if run.is_replay else "is accepted"
    message = f"The run {said}. GET /api/graph/state/{run.run_id} shows how it goes."
    members = {"run_id": run.run_id, "status": run.status, "message": message}
    if (durability := context_of(request).engine.durability) == "none":
        members["durability"] = durability
    return answer(members, headers=_replay(run))


@router.get(
    "/api/graph/state/{run_id}",
    summary="Read a run",
    responses=answers(RunStateAnswer, "The run as far as it is committed", UnknownRun),
)
async def read_state(request: Request, run_id: str) -> Response:
    """Answer the state, and the log up to exactly that state."""
    engine = context_of(request).engine
    view = await engine.state(require_id(run_id, UnknownRun))
    records = [record for record in await engine.log(run_id) if record.seq <= view.last_seq]
    return answer(
        {
            "run_id": view.run_id,
            "graph_id": view.graph_id,
            "current_state": raw(view.state_json),
            "status": view.status,
            "execution_log": raw_log(records),
        }
    )


@router.get("/api/runs", summary="List runs", responses=answers(RunsAnswer, "Newest first", InvalidInput))
async def list_runs(request: Request, query: Annotated[RunsQuery, Query()]) -> Response:
    """Answer one page of the runs there are, of one graph or of one status if asked."""
    page = await context_of(request).engine.runs(
        graph_id=query.graph_id, status=query.status, limit=query.limit, cursor=query.cursor
    )
    return answer({"runs": page.items, "next_cursor": page.next_cursor})


@router.get(
    "/api/runs/{run_id}/events",
    summary="Read a run's log",
    responses=answers(EventsAnswer, "The records after `after`, in order", UnknownRun, InvalidInput),
)
async def read_events(request: Request, run_id: str, query: Annotated[EventsQuery, Query()]) -> Response:
    """Answer a part of the log. The status is read first: once it is final, the log has its last record."""
    engine = context_of(request).engine
    run = await engine.summary(require_id(run_id, UnknownRun))
    records = await engine.log(run_id, after=query.after, limit=query.limit)
    last_seq = records[-1].seq if records else query.after
    return answer({"run_id": run_id, "events": raw_log(records), "last_seq": last_seq, "status": run.status})


async def _submit(request: Request, context: Context) -> AcceptedRun:
    wanted = checked(RunRequest, await read_json(request))
    return await context.engine.submit(
        require_id(wanted.graph_id, UnknownGraph),
        wanted.initial_state,
        idempotency_key=_key(request),
    )


def _key(request: Request) -> str | None:
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:
        problem = Problem("/header/idempotency-key", f"One key, got {len(keys)}.", "invalid_value")
        raise InvalidInput("A request has one idempotency key at most.", problems=[problem])
    return keys[0] if keys else None


def _replay(run: AcceptedRun) -> dict[str, str]:
    """Return the headers that tell a repeated submission from the first one."""
    return {"idempotent-replay": "true"} if run.is_replay else {}


def _said(status: str) -> str:
    return {"completed": "completed", "failed": "failed", "timed_out": "timed out"}.get(status, f"ended as {status}")
