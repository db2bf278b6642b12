"""Tools for the server under test, loaded with `--tools`: a little arithmetic, and an effect that the world can count.

An effect is one line appended to the file that `CRASH_LEDGER` names, in one write, so it is there whole or not at all, however
the process ends: idempotency key, attempt, effect of the tool, process id.
"""

import os
import time
from typing import Any, Final

import anyio

from tools import ToolContext, ToolError, tool

_LEDGER: Final = os.open(os.environ["CRASH_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _note(context: ToolContext, effect: str) -> None:
    os.write(_LEDGER, f"{context.idempotency_key}\t{context.attempt}\t{effect}\t{os.getpid()}\n".encode())


def _sum(state: dict[str, Any], reads: list[str], writes: str, add: int) -> dict[str, Any]:
    return {writes: sum(state[key] for key in reads) + add}


@tool(effect="pure")
async def sum_pure(
    state: dict[str, Any], reads: list[str], writes: str, context: ToolContext, add: int = 0, wait_s: float = 0.0
) -> dict[str, Any]:
    """Write the sum of some keys, and nothing outside that anybody relies on."""
    _note(context, "pure")
    await anyio.sleep(wait_s)
    return _sum(state, reads, writes, add)


@tool(effect="idempotent")
async def sum_idempotent(
    state: dict[str, Any], reads: list[str], writes: str, context: ToolContext, add: int = 0, wait_s: float = 0.0
) -> dict[str, Any]:
    """Write the sum of some keys; a second call does no harm."""
    await anyio.sleep(wait_s / 2)
    _note(context, "idempotent")
    await anyio.sleep(wait_s / 2)
    return _sum(state, reads, writes, add)


@tool
def sum_undeclared(
    state: dict[str, Any], reads: list[str], writes: str, context: ToolContext, add: int = 0, wait_s: float = 0.0
) -> dict[str, Any]:
    """Write the sum of some keys, in a thread."""
    _note(context, "undeclared")
    time.sleep(wait_s)
    return _sum(state, reads, writes, add)


@tool(effect="once")
async def sum_once(
    state: dict[str, Any], reads: list[str], writes: str, context: ToolContext, add: int = 0, wait_s: float = 0.0
) -> dict[str, Any]:
    """Write the sum of some keys; must never be called twice."""
    _note(context, "once")
    await anyio.sleep(wait_s)
    return _sum(state, reads, writes, add)


@tool(effect="idempotent")
async def sum_flaky(
    state: dict[str, Any], reads: list[str], writes: str, times: int, context: ToolContext, add: int = 0
) -> dict[str, Any]:
    """Fail the first `times` attempts, then write the sum of some keys."""
    _note(context, "idempotent")
    if context.attempt <= times:
        raise ToolError(f"attempt {context.attempt} fails", code="FLAKY")
    return _sum(state, reads, writes, add)


@tool(effect="idempotent")
async def refuse(state: dict[str, Any], context: ToolContext) -> None:
    """Fail for good."""
    _note(context, "idempotent")
    raise ToolError("this never works", code="REFUSED", retryable=False)
