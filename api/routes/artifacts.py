"""`/api/runs/{run_id}/artifacts`: the files that the tools of a run left behind.

Tools may be fed by anybody, so what they write is sent such that no browser takes it for a page of this server: pages in HTML are
shown without scripts, frames, forms and requests, in an origin of their own; everything else is only downloaded.
"""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.context import context_of
from api.dataset_schemas import ArtifactsAnswer
from api.errors import UnknownArtifact, require_id
from api.files import FileAnswer, etag_of, is_known
from api.openapi import answers, file_answer
from api.wire import answer
from runtime.errors import UnknownRun

router = APIRouter(tags=["artifacts"])

_PAGE: Final = "text/html"
_PAGE_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@router.get(
    "/api/runs/{run_id}/artifacts",
    summary="List artifacts",
    responses=answers(ArtifactsAnswer, "By name, all of them", UnknownRun),
)
async def list_artifacts(request: Request, run_id: str) -> Response:
    """Answer what the run has written so far, also while it goes on."""
    context = context_of(request)
    await context.engine.summary(require_id(run_id, UnknownRun))
    found = [] if context.artifacts is None else await context.files.run(context.artifacts.listing, run_id)
    return answer({"run_id": run_id, "artifacts": found})


@router.get(
    "/api/runs/{run_id}/artifacts/{name}",
    summary="Download an artifact",
    responses=file_answer("The file, as the type it was written with", UnknownRun, UnknownArtifact),
    response_class=Response,
)
async def read_artifact(request: Request, run_id: str, name: str) -> Response:
    """Answer the bytes of an artifact: a page in HTML to be shown, without anything active; any other type to be saved."""
    context = context_of(request)
    await context.engine.summary(require_id(run_id, UnknownRun))
    store = context.artifacts
    opened = None if store is None else await context.files.run(store.open, run_id, name)
    if opened is None:
        raise UnknownArtifact(run_id, name[:128])
    artifact, stream = opened
    is_page = artifact.media_type.partition(";")[0] == _PAGE
    headers = {
        "etag": etag_of(artifact.sha256),
        "cache-control": "private, no-cache",
        "content-disposition": f'{"inline" if is_page else "attachment"}; filename="{name}"',
    }
    if is_page:
        headers["content-security-policy"] = _PAGE_POLICY
    if is_known(headers["etag"], request.headers.get("if-none-match")):
        await context.files.run(stream.close)
        return Response(status_code=304, headers=headers)
    return FileAnswer(stream, artifact.bytes, context.files, headers, artifact.media_type)


router.add_api_route(
    "/api/runs/{run_id}/artifacts/{name}",
    read_artifact,
    methods=["HEAD"],
    name="head_artifact",
    include_in_schema=False,
)
