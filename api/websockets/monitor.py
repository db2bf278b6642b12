"""`/ws/monitor/{run_id}?after=<seq>`: follow a run, from its first record or from where a cut-off client was."""

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from api.context import context_of
from api.errors import require_id
from api.websockets.conversation import follow, refuse
from runtime.errors import EngineError, InvalidInput, Problem, UnknownRun

router = APIRouter()


@router.websocket("/ws/monitor/{run_id}")
async def monitor(socket: WebSocket, run_id: str) -> None:
    """Send every record after `after` as `log`, then live ones, then `complete`."""
    await socket.accept()
    try:
        await context_of(socket).engine.summary(require_id(run_id, UnknownRun))
        after = _after(socket.query_params.get("after", "0"))
    except EngineError as error:
        await refuse(socket, error)
        return
    except WebSocketDisconnect:
        return
    await follow(socket, run_id, after=after)


def _after(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 16:
        return int(text)
    problem = Problem("/query/after", "A whole number from 0, the last seq that was seen.", "int_parsing")
    raise InvalidInput(f"after must be a whole number (got {text[:40]!r}).", problems=[problem])
