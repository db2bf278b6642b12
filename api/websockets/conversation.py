"""What both sockets do: say what went wrong, and follow a run until it ends or the client leaves.

Invariant: a socket only watches. Whether it is slow, silent or gone, the run does not feel it; and a client that is gone
is noticed at once, also between two records, because somebody always listens to it.
"""

from contextlib import aclosing, suppress
from traceback import format_exc

import anyio
import msgspec
from anyio import CancelScope
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.context import context_of
from api.errors import InternalError, answer_for
from api.wire import message
from runtime import Engine
from runtime.errors import EngineError


async def refuse(socket: WebSocket, error: EngineError) -> None:
    """Tell `error` to an accepted socket and close it with the code that fits."""
    data = msgspec.json.encode({"code": error.code, "message": error.message, **error.ids})
    await socket.send_text(message("error", data))
    await socket.close(answer_for(error).close)


async def follow(socket: WebSocket, run_id: str, *, after: int = 0) -> None:
    """Send each record of a run after number `after`, then how it ended, then close; or stop when the client leaves."""
    async with anyio.create_task_group() as group:
        group.start_soon(_tell, socket, run_id, after, group.cancel_scope)
        await _left(socket)
        group.cancel_scope.cancel()


async def _tell(socket: WebSocket, run_id: str, after: int, conversation: CancelScope) -> None:
    """Never raises: the task group would wrap the error, and whoever listens to the client could not tell it."""
    try:
        await _send_log(socket, context_of(socket).engine, run_id, after)
        await socket.close()
    except WebSocketDisconnect:
        pass
    except EngineError as error:
        await _refuse_if_there(socket, error)
    except Exception:
        context_of(socket).log.error("socket_failed", path=socket.scope["path"], exception=format_exc())
        await _refuse_if_there(socket, InternalError())
    conversation.cancel()


async def _send_log(socket: WebSocket, engine: Engine, run_id: str, after: int) -> None:
    async with aclosing(engine.subscribe_batches(run_id, after=after)) as batches:
        async for batch in batches:
            for record in batch:
                await socket.send_text(message("log", record.encoded))
            await anyio.lowlevel.checkpoint()  # sending gives way only when the client is slow
    view = await engine.state(run_id)
    data = {"run_id": run_id, "status": view.status, "final_state": msgspec.Raw(view.state_json)}
    await socket.send_text(message("complete", msgspec.json.encode(data)))


async def _refuse_if_there(socket: WebSocket, error: EngineError) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # gone, or closed already
        await refuse(socket, error)


async def _left(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass  # what the client says now is not asked for
