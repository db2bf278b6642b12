"""What both sockets do: say what went wrong, and follow a run until it ends, the client leaves or the server stops.

Invariant: a socket only watches. Whether it is slow, silent or gone, the run does not feel it; and a client that is gone
is noticed at once, also between two records, because somebody always listens to it. A server that stops tells each client
the last record that it was sent: with that number it goes on elsewhere, or later.
"""

from contextlib import aclosing, suppress
from dataclasses import dataclass
from traceback import format_exc

import anyio
import msgspec
from anyio import CancelScope
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.context import context_of
from api.errors import InternalError, WatchCut, answer_for
from api.settings import LAST_WORD_S
from api.wire import message
from runtime import Engine
from runtime.errors import EngineError


async def refuse(socket: WebSocket, error: EngineError, **more: int) -> None:
    """Tell `error`, and `more` about it, to an accepted socket and close it with the code that fits.

    A client that reads nothing is not waited for; one that is gone, or closed already, needs no telling.
    """
    data = msgspec.json.encode({"code": error.code, "message": error.message, **error.ids, **more})
    with anyio.move_on_after(LAST_WORD_S), suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_text(message("error", data))
        await socket.close(answer_for(error).close)


async def follow(socket: WebSocket, run_id: str, *, after: int = 0) -> None:
    """Send each record of a run after number `after`, then how it ended, then close; or stop when the client leaves."""
    async with anyio.create_task_group() as group:
        group.start_soon(_tell, socket, _Followed(run_id, after), group.cancel_scope)
        await _left(socket)
        group.cancel_scope.cancel()


@dataclass(slots=True)
class _Followed:
    """A run, and the number of the last of its records that the client was sent."""

    run_id: str
    last_seq: int


async def _tell(socket: WebSocket, followed: _Followed, conversation: CancelScope) -> None:
    """Never raises: the task group would wrap the error, and whoever listens to the client could not tell it."""
    context = context_of(socket)
    try:
        with CancelScope() as telling, context.shutdown.ends(telling):
            await _send_log(socket, context.engine, followed)
        if telling.cancelled_caught:
            raise WatchCut(followed.run_id)
        await socket.close()
    except WebSocketDisconnect:
        pass
    except EngineError as error:
        await refuse(socket, error, last_seq=followed.last_seq)
    except Exception:
        context.log.error("socket_failed", path=socket.scope["path"], exception=format_exc())
        await refuse(socket, InternalError(), last_seq=followed.last_seq)
    conversation.cancel()


async def _send_log(socket: WebSocket, engine: Engine, followed: _Followed) -> None:
    async with aclosing(engine.subscribe_batches(followed.run_id, after=followed.last_seq)) as batches:
        async for batch in batches:
            for record in batch:
                await socket.send_text(message("log", record.encoded))
                followed.last_seq = record.seq
            await anyio.lowlevel.checkpoint()  # sending gives way only when the client is slow
    view = await engine.state(followed.run_id)
    data = {"run_id": followed.run_id, "status": view.status, "final_state": msgspec.Raw(view.state_json)}
    await socket.send_text(message("complete", msgspec.json.encode(data)))


async def _left(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass  # what the client says now is not asked for
