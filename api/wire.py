"""Answers as bytes, built once: what the engine has encoded already goes in as it is, never decoded and encoded again."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from runtime.views import LogRecord


def raw(encoded: bytes) -> msgspec.Raw:
    """Return `encoded`, a JSON text, as a value that `answer` copies as it is."""
    return msgspec.Raw(encoded)


def raw_log(records: Sequence[LogRecord]) -> list[msgspec.Raw]:
    """Return `records` as a JSON array for `answer`."""
    return [msgspec.Raw(record.encoded) for record in records]


def answer(
    members: Mapping[str, Any] | msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the HTTP answer with the JSON object of `members`."""
    return Response(msgspec.json.encode(members), status, headers, media_type="application/json")


def message(kind: str, data: bytes) -> str:
    """Return the WebSocket message of type `kind` whose data is the JSON text `data`."""
    return f'{{"type":"{kind}","data":{data.decode()}}}'
