"""Telling a run what to do: cancel, pause, resume, signal, answer, retry, fork, and what it waits to be told.

Each answer comes once the command is committed, and its `message` says what happens next. All but `fork` and `retry` may be
sent again when an answer was lost: what has been done already is not done twice.
"""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.bodies import checked, read_json
from api.context import context_of
from api.errors import require_id
from api.openapi import answers, body
from api.schemas import (
    AnsweredAnswer,
    AnswerRequest,
    ApprovalsAnswer,
    CancelAnswer,
    ForkAnswer,
    ForkRequest,
    PauseAnswer,
    ResumeAnswer,
    RetryAnswer,
    SignalAnswer,
    SignalRequest,
)
from api.wire import answer
from runtime.errors import (
    AlreadyAnswered,
    Closing,
    InvalidInput,
    InvalidJson,
    NothingToRetry,
    Overloaded,
    RunFinished,
    TooLarge,
    ToolMissing,
    TooManySignals,
    UnknownApproval,
    UnknownRun,
    UnknownStep,
)
from runtime.run.records import RunStatus
from runtime.views import RunSummary

router = APIRouter(tags=["commands"])


@router.post(
    "/api/runs/{run_id}/cancel",
    summary="Cancel a run",
    responses=answers(CancelAnswer, "The cancellation is durable", UnknownRun, RunFinished, Overloaded),
)
async def cancel_run(request: Request, run_id: str) -> Response:
    """Start no further step of the run and end it as cancelled. Cancelling it again changes nothing."""
    run = await context_of(request).engine.cancel(require_id(run_id, UnknownRun))
    is_over = run.status == RunStatus.CANCELLED
    return _told(run, "The run is cancelled." if is_over else "The run is being cancelled.")


@router.post(
    "/api/runs/{run_id}/pause",
    summary="Pause a run",
    responses=answers(PauseAnswer, "The pause is durable", UnknownRun, RunFinished, Overloaded, Closing),
)
async def pause_run(request: Request, run_id: str) -> Response:
    """Start nothing further in the run until it is resumed. Pausing it again changes nothing."""
    run = await context_of(request).engine.pause(require_id(run_id, UnknownRun))
    if run.status != RunStatus.PAUSED:
        return _told(
            run, "The run is ending already: attempts that are running may finish, and no further step starts."
        )
    return _told(
        run,
        "The run is paused: attempts that are running finish, and nothing else starts before "
        f"POST /api/runs/{run_id}/resume. Its deadline and its waits go on counting.",
    )


@router.post(
    "/api/runs/{run_id}/resume",
    summary="Resume a run",
    responses=answers(ResumeAnswer, "The run is not paused", UnknownRun, RunFinished, Overloaded, Closing),
)
async def resume_run(request: Request, run_id: str) -> Response:
    """Let a paused run go on; one that waits for missing tools looks for them again. Any other is not changed."""
    run = await context_of(request).engine.resume(require_id(run_id, UnknownRun))
    return _told(run, "The run is not paused: what is ready goes on, and what waits keeps waiting.")


@router.post(
    "/api/runs/{run_id}/signal",
    summary="Send a signal",
    responses=answers(
        SignalAnswer,
        "The signal is durable",
        InvalidJson,
        TooLarge,
        InvalidInput,
        UnknownRun,
        RunFinished,
        TooManySignals,
        Overloaded,
        Closing,
    ),
    openapi_extra=body(SignalRequest),
)
async def signal_run(request: Request, run_id: str) -> Response:
    """Give the data to the one wait for this name that began first, or keep it for the next. An `id` counts once."""
    engine = context_of(request).engine
    require_id(run_id, UnknownRun)
    wanted = checked(SignalRequest, await read_json(request))
    receipt = await engine.signal(run_id, wanted.name, wanted.data, signal_id=wanted.id)
    message = (
        f"The run has a signal with the id {receipt.signal_id!r} already; nothing was changed."
        if receipt.duplicate
        else f"The signal is stored: of the waits for {wanted.name!r}, the one that began first takes it, or the next to begin."
    )
    return answer({"run_id": run_id, "id": receipt.signal_id, "duplicate": receipt.duplicate, "message": message})


@router.get(
    "/api/runs/{run_id}/approvals",
    summary="List open approvals",
    responses=answers(ApprovalsAnswer, "What the run waits for people to answer", UnknownRun),
)
async def list_approvals(request: Request, run_id: str) -> Response:
    """Answer the questions that are open, those asked first standing first; none for a run that has ended."""
    approvals = await context_of(request).engine.approvals(require_id(run_id, UnknownRun))
    return answer({"run_id": run_id, "approvals": approvals})


@router.post(
    "/api/runs/{run_id}/answer",
    summary="Answer an approval",
    responses=answers(
        AnsweredAnswer,
        "The answer is durable",
        InvalidJson,
        TooLarge,
        InvalidInput,
        UnknownRun,
        UnknownApproval,
        AlreadyAnswered,
        RunFinished,
        Overloaded,
        Closing,
    ),
    openapi_extra=body(AnswerRequest),
)
async def answer_approval(request: Request, run_id: str) -> Response:
    """Answer a question of the run, once. The answer may be any JSON value that fits the question's `answer_schema`."""
    engine = context_of(request).engine
    require_id(run_id, UnknownRun)
    wanted = checked(AnswerRequest, await read_json(request))
    run = await engine.answer(run_id, wanted.approval, wanted.answer, by=wanted.by)
    once = " once it is resumed" if run.status == RunStatus.PAUSED else ""
    return _told(run, f"The answer to {wanted.approval!r} is stored and final; the run goes on with it{once}.")


@router.post(
    "/api/runs/{run_id}/retry",
    summary="Retry a run",
    responses=answers(RetryAnswer, "The run goes on", UnknownRun, NothingToRetry, ToolMissing, Overloaded, Closing),
)
async def retry_run(request: Request, run_id: str) -> Response:
    """Let a failed or timed-out run go on with the steps that failed or were stopped; what succeeded keeps its result."""
    run = await context_of(request).engine.retry(require_id(run_id, UnknownRun))
    return _told(
        run,
        "The run goes on: steps that failed or were stopped are tried again, the others keep their results. "
        f"GET /api/graph/state/{run_id} shows how it goes.",
    )


@router.post(
    "/api/runs/{run_id}/fork",
    summary="Fork a run",
    responses=answers(
        ForkAnswer,
        "The new run is accepted and durable",
        InvalidJson,
        TooLarge,
        InvalidInput,
        UnknownRun,
        UnknownStep,
        ToolMissing,
        Overloaded,
        Closing,
    ),
    openapi_extra=body(ForkRequest),
)
async def fork_run(request: Request, run_id: str) -> Response:
    """Begin a new run at a step of this one, with everything that came before it. This one is not changed."""
    engine = context_of(request).engine
    require_id(run_id, UnknownRun)
    wanted = checked(ForkRequest, await read_json(request))
    run = await engine.fork(run_id, wanted.node, iteration=wanted.iteration, path=wanted.path or "", state=wanted.state)
    message = (
        f"The new run takes over what run {run_id} had done before, and goes on with {wanted.node!r}. "
        f"GET /api/graph/state/{run.run_id} shows how it goes."
    )
    return answer({"run_id": run.run_id, "forked_from": run_id, "status": run.status, "message": message})


def _told(run: RunSummary, message: str) -> Response:
    return answer({"run_id": run.run_id, "status": run.status, "message": message})
