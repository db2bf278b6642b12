"""Waiting on behalf of a client: no longer than the client, and the server, are there."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio import CancelScope
from fastapi import Request

from api.context import Context
from runtime.errors import EngineError

T = TypeVar("T")


async def as_long_as_wanted(
    request: Request, context: Context, work: Callable[[], Awaitable[T]], cut: EngineError
) -> T | None:
    """Return what `work` does, or None when the client has left meanwhile, which cancels it.

    Raises:
        EngineError: What `work` raises; `cut` when the server stops.
    """
    outcome: T | EngineError | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_when_left, request, group.cancel_scope)
        with context.shutdown.ends(group.cancel_scope):
            try:
                outcome = await work()
            except EngineError as error:
                outcome = error  # raised below: the task group would wrap it
        group.cancel_scope.cancel()
    if isinstance(outcome, EngineError):
        raise outcome
    if outcome is None and context.shutdown.has_begun:
        raise cut
    return outcome


async def _cancel_when_left(request: Request, scope: CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
