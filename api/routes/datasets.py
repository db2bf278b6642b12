"""`/api/datasets`: tables as files, which states refer to by name; uploaded, listed, downloaded and deleted.

An upload is written to disk as it arrives, read to its end as a table, and only then given its name.
"""

import errno
from typing import Annotated, Any, Final

import anyio
from anyio import CancelScope
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.buffers import INTAKE
from api.context import Context, context_of
from api.dataset_schemas import DatasetAnswer, DatasetsAnswer
from api.errors import (
    BodyTimeout,
    DatasetTooLarge,
    InvalidDataset,
    NoDatasets,
    UnknownDataset,
    UnsupportedMediaType,
)
from api.files import FileAnswer, etag_of, is_known
from api.openapi import answers, file_answer, file_body
from api.schemas import MessageAnswer
from api.settings import BODY_TIMEOUT_S, UPLOAD_TIMEOUT_S
from api.wire import answer
from runtime.errors import Closing, EngineError, InvalidInput, Overloaded, Problem, StorageFull
from tools.contract import ToolError
from tools.data_quality.datasets import limits
from tools.data_quality.datasets.store import DatasetStore, is_name
from tools.objects import Incoming, TooLong

router = APIRouter(tags=["datasets"])

_PIECE_BYTES: Final = 1_048_576
"""How much of an upload is gathered before a thread writes it."""

_MEDIA_TYPES: Final = {
    ".csv": ("text/csv", "application/csv", "text/plain"),
    ".parquet": ("application/vnd.apache.parquet", "application/x-parquet", "application/parquet"),
    ".ndjson": ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"),
}
"""What each kind of file may be declared as; downloads say the first."""

_ANY_FILE: Final = ("", "application/octet-stream", "binary/octet-stream")


class DatasetsQuery(BaseModel):
    """Which part of the list: `cursor` is the `next_cursor` of the part before."""

    model_config = ConfigDict(extra="forbid")
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=120, pattern=r"^[A-Za-z0-9._-]+$")


@router.put(
    "/api/datasets/{name}",
    summary="Upload a dataset",
    responses=answers(
        DatasetAnswer,
        "The name stands for the uploaded content: for another one than before, or for the same",
        InvalidInput,
        InvalidDataset,
        DatasetTooLarge,
        UnsupportedMediaType,
        BodyTimeout,
        Overloaded,
        StorageFull,
        Closing,
        NoDatasets,
        created="The name is new",
    ),
    openapi_extra=file_body([types[0] for types in _MEDIA_TYPES.values()]),
)
async def put_dataset(request: Request, name: str) -> Response:
    """Let a name stand for a table. Its ending says what the body is: `.csv`, `.parquet`, `.ndjson` or `.jsonl`.

    Sending the same again changes nothing. A table that is refused, or an upload that breaks off, changes nothing either.
    """
    context = context_of(request)
    store = _store(context)
    _check_request(request, name)
    if context.engine.is_closing:
        raise Closing
    with INTAKE.upload():
        try:
            incoming = await context.files.run(store.receive)
            try:
                await _receive(request, context, incoming)
                info, change, notes = await context.files.check(store.put, name, incoming)
            finally:
                with CancelScope(shield=True):
                    await context.files.run(incoming.discard)
        except (ToolError, TooLong, OSError) as error:
            raise _refusal(error, name) from error
    said = {
        "created": f"Dataset {name!r} is stored.",
        "replaced": f"Dataset {name!r} has a new content. Runs that pinned the former one keep it.",
        "unchanged": f"Dataset {name!r} has this content already; nothing was changed.",
    }
    members = {
        **_line(info),
        "change": change,
        "dataset": {"path": name, "sha256": info.sha256},
        "notes": notes,
        "message": said[change],
    }
    return answer(members, 201 if change == "created" else 200, {"etag": etag_of(info.sha256 or "")})


@router.get(
    "/api/datasets",
    summary="List datasets",
    responses=answers(DatasetsAnswer, "By name", InvalidInput, NoDatasets),
)
async def list_datasets(request: Request, query: Annotated[DatasetsQuery, Query()]) -> Response:
    """Answer one page of the datasets there are, files that were put into the folder in another way included."""
    context = context_of(request)
    found = await context.files.run(_store(context).listing, query.cursor or "", query.limit + 1)
    page = found[: query.limit]
    cursor = page[-1].name if len(found) > query.limit else None
    return answer({"datasets": [_line(info) for info in page], "next_cursor": cursor})


@router.get(
    "/api/datasets/{name}",
    summary="Download a dataset",
    responses=file_answer("The file, as it was uploaded", UnknownDataset, NoDatasets),
    response_class=Response,
)
async def read_dataset(request: Request, name: str) -> Response:
    """Answer the bytes of a dataset. `ETag` is its SHA-256; `If-None-Match` spares what the client has already."""
    context = context_of(request)
    opened = await context.files.run(_store(context).open, name)
    if opened is None:
        raise UnknownDataset(name[:128])
    info, stream = opened
    headers = {
        "etag": etag_of(info.sha256 or ""),
        "cache-control": "private, no-cache",
        "content-disposition": f'attachment; filename="{name}"',
    }
    if is_known(headers["etag"], request.headers.get("if-none-match")):
        await context.files.run(stream.close)
        return Response(status_code=304, headers=headers)
    return FileAnswer(stream, info.bytes, context.files, headers, _MEDIA_TYPES[_kind(name)][0])


router.add_api_route(
    "/api/datasets/{name}", read_dataset, methods=["HEAD"], name="head_dataset", include_in_schema=False
)


@router.delete(
    "/api/datasets/{name}",
    summary="Delete a dataset",
    responses=answers(MessageAnswer, "The name is free", UnknownDataset, NoDatasets),
)
async def delete_dataset(request: Request, name: str) -> Response:
    """Remove a dataset. Runs that have read it, or pinned it during the last day, keep its content."""
    context = context_of(request)
    if not await context.files.run(_store(context).delete, name):
        raise UnknownDataset(name[:128])
    return answer({"message": f"Dataset {name} is deleted."})


async def _receive(request: Request, context: Context, incoming: Incoming) -> None:
    """Write the body to `incoming` as it arrives."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limits.FILE_BYTES:
        raise TooLong(int(announced[:20]), limits.FILE_BYTES)
    piece = bytearray()
    body = request.stream().__aiter__()
    counted = 0
    try:
        with anyio.fail_after(UPLOAD_TIMEOUT_S):
            while True:
                with anyio.fail_after(BODY_TIMEOUT_S):
                    chunk = await anext(body, None)
                if chunk is not None:
                    INTAKE.take(len(chunk))
                    counted += len(chunk)
                    piece += chunk
                if piece and (chunk is None or len(piece) >= _PIECE_BYTES):
                    await context.files.run(incoming.write, bytes(piece))
                    INTAKE.give_back(counted)
                    counted = 0
                    piece.clear()
                if chunk is None:
                    return
    except TimeoutError:
        raise BodyTimeout(
            f"The dataset did not arrive: a pause may take {BODY_TIMEOUT_S:g} seconds, the whole {UPLOAD_TIMEOUT_S:g}."
        ) from None
    finally:
        INTAKE.give_back(counted)


def _store(context: Context) -> DatasetStore:
    if context.datasets is None:
        raise NoDatasets
    return context.datasets


def _check_request(request: Request, name: str) -> None:
    if not is_name(name):
        detail = (
            "A name has 1 to 120 of the characters A-Z a-z 0-9 . _ -, does not begin with a dot, and ends in .csv, .parquet, "
            f".ndjson or .jsonl; got {name[:128]!r}."
        )
        raise InvalidInput("No dataset can have this name.", problems=[Problem("/path/name", detail, "invalid_value")])
    declared = request.headers.get("content-type", "")
    media_type = declared.partition(";")[0].strip().lower()
    allowed = _MEDIA_TYPES[_kind(name)]
    if media_type not in (*_ANY_FILE, *allowed):
        raise UnsupportedMediaType(
            f"The body of {name!r} is declared as {declared[:100]!r}; send 'Content-Type: {allowed[0]}', or none."
        )
    if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise UnsupportedMediaType(f"The body must not be compressed (got Content-Encoding {coding[:100]!r}).")


def _kind(name: str) -> str:
    ending = name[name.rindex(".") :]
    return ".ndjson" if ending == ".jsonl" else ending


def _line(info: Any) -> dict[str, Any]:
    return {key: getattr(info, key) for key in ("name", "sha256", "rows", "columns", "bytes", "modified_at")}


def _refusal(error: ToolError | TooLong | OSError, name: str) -> EngineError:
    """Return what the client is told."""
    if isinstance(error, TooLong):
        return DatasetTooLarge(
            f"Dataset {name!r} is too large: it has {error.observed:,} bytes or more, the limit is {error.limit:,}.",
            dataset=name,
        )
    if isinstance(error, ToolError):
        kind = DatasetTooLarge if error.code == DatasetTooLarge.code else InvalidDataset
        return kind(f"{name!r} is no dataset: {error}. Nothing was changed.", dataset=name)
    if isinstance(error, IsADirectoryError):
        return InvalidInput(
            "The name is that of a folder.", problems=[Problem("/path/name", "A folder.", "invalid_value")]
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(
            "There is no space left for datasets. Nothing was changed; try again later.", retry_after_s=10
        )
    raise error
