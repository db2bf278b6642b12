"""Request bodies: read within bounds, declared as JSON, parsed by the strict gate, checked against a wire model.

The framework never sees a body. Its own parser turns `NaN` into null, lets the last of two equal keys win, and reads as
much as it is sent.
"""

from functools import partial
from typing import Any, TypeVar

import anyio
from anyio import to_thread
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from api.buffers import INTAKE
from api.errors import BodyTimeout, UnsupportedMediaType, problems_of
from api.settings import BODY_BYTES, BODY_TIMEOUT_S, OFFLOAD_BYTES
from runtime import json_gate
from runtime.errors import InvalidInput, TooLarge

ModelT = TypeVar("ModelT", bound=BaseModel)


async def read_json(request: Request, *, max_bytes: int = BODY_BYTES) -> Any:
    """Return the JSON value in the body of `request`.

    Raises:
        UnsupportedMediaType: The body is not declared as plain JSON.
        TooLarge: It has more than `max_bytes`; what is over them is not read.
        BodyTimeout: It took too long to arrive.
        InvalidJson: The strict gate refused it.
    """
    _require_json(request)
    with anyio.move_on_after(BODY_TIMEOUT_S):
        return await parse_json(await _read(request, max_bytes), max_bytes=max_bytes)
    raise BodyTimeout(f"The body did not arrive within {BODY_TIMEOUT_S:g} seconds.")


async def parse_json(data: bytes, *, max_bytes: int = BODY_BYTES) -> Any:
    """Return what the strict gate makes of `data`; long texts pass it in a thread."""
    if len(data) <= OFFLOAD_BYTES:
        return json_gate.parse(data, max_bytes=max_bytes)
    return await to_thread.run_sync(partial(json_gate.parse, data, max_bytes=max_bytes))


def checked(model: type[ModelT], value: Any) -> ModelT:
    """Return `value` as a `model`.

    Raises:
        InvalidInput: With every breach and its place in `value`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        keys = ", ".join(model.model_fields)
        raise InvalidInput(
            f"The body is not as it should be: a JSON object with the keys {keys}.", problems=problems_of(found)
        ) from None


def _require_json(request: Request) -> None:
    declared = request.headers.get("content-type", "")
    kind = declared.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        got = repr(declared[:100]) if declared else "none"
        raise UnsupportedMediaType(f"The body must be JSON: send 'Content-Type: application/json' (got {got}).")
    if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise UnsupportedMediaType(f"The body must not be compressed (got Content-Encoding {coding[:100]!r}).")


async def _read(request: Request, max_bytes: int) -> bytes:
    too_large = TooLarge(f"The body is too long: at most {max_bytes:,} bytes are accepted.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async for chunk in request.stream():
            INTAKE.take(len(chunk))
            body += chunk
            if len(body) > max_bytes:
                raise too_large
        return bytes(body)
    finally:
        INTAKE.give_back(len(body))
