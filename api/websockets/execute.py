"""`/ws/execute/{graph_id}`: start a run with the first message, then follow it."""

import anyio
import msgspec
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from api.bodies import checked, parse_json
from api.context import context_of
from api.errors import BodyTimeout, require_id
from api.schemas import ExecuteRequest
from api.settings import BODY_TIMEOUT_S
from api.websockets.conversation import follow, refuse
from api.wire import message
from runtime.errors import Closing, EngineError, UnknownGraph

router = APIRouter()


@router.websocket("/ws/execute/{graph_id}")
async def execute(socket: WebSocket, graph_id: str) -> None:
    """Answer `started`, a `log` for each record, then `complete`. The run goes on if the client leaves."""
    await socket.accept()
    engine = context_of(socket).engine
    try:
        await engine.graph(require_id(graph_id, UnknownGraph))  # told before the client has sent anything
        wanted = checked(ExecuteRequest, await parse_json(await _first_message(socket)))
        run = await engine.submit(graph_id, wanted.initial_state, idempotency_key=wanted.idempotency_key)
        await socket.send_text(message("started", msgspec.json.encode({"run_id": run.run_id})))
    except EngineError as error:
        await refuse(socket, error)
        return
    except WebSocketDisconnect:
        return
    await follow(socket, run.run_id)


async def _first_message(socket: WebSocket) -> bytes:
    shutdown = context_of(socket).shutdown
    with anyio.move_on_after(BODY_TIMEOUT_S) as waiting, shutdown.ends(waiting):
        event = await socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1006))
        sent: bytes | None = event.get("bytes")
        return sent if sent is not None else event["text"].encode()
    if shutdown.has_begun:
        raise Closing
    raise BodyTimeout(f'Send {{"initial_state": {{}}}} within {BODY_TIMEOUT_S:g} seconds.')
