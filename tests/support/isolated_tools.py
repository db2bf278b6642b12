"""A file with tools for processes of their own, good and bad; loaded like an operator's file."""

import ctypes
import os
import subprocess
import sys
import threading
from typing import Any, Literal

import anyio
from anyio.lowlevel import checkpoint

from tools import ToolContext, ToolError, tool

State = dict[str, Any]


@tool(effect="pure", isolation="process")
def add(state: State, key: str = "n", by: int = 1) -> State:
    """Add to a number, and say which process did it."""
    return {key: state.get(key, 0) + by, "pid": os.getpid()}


@tool(effect="pure", isolation="process")
async def add_async(state: State, key: str = "n") -> State:
    """Add one to a number after giving the event loop a turn."""
    await checkpoint()
    return {key: state.get(key, 0) + 1, "pid": os.getpid()}


@tool(effect="pure", isolation="process")
def who(state: State, context: ToolContext) -> State:
    """Return what the context says."""
    place = [context.run_id, context.node, context.iteration, context.attempt, context.idempotency_key]
    return {"context": [*place, str(context.datasets_dir)]}


@tool(effect="idempotent", isolation="process")
def leave(state: State, context: ToolContext, name: str, text: str) -> State:
    """Leave a file behind, and say what was read back."""
    if context.artifacts is None:
        return {"left": None}
    reference = context.artifacts.write(name, text.encode(), "text/plain")
    return {"left": reference, "read": context.artifacts.read(reference).decode()}


@tool(effect="pure", isolation="process")
def noisy(state: State) -> State:
    """Disturb standard input and output as much as a tool can."""
    print("text on standard output")
    os.write(1, b"\x00\x00\x00\x00\x00\x00\x00\x02{}")
    return {"read": sys.stdin.read()}


@tool(effect="pure", isolation="process")
def log(state: State, context: ToolContext, times: int) -> None:
    """Write lines."""
    for number in range(times):
        context.log.info("line", number=number)


@tool(effect="pure", isolation="process")
def log_oddly(state: State, context: ToolContext) -> None:
    """Write lines that no log takes as they are."""
    context.log.warning("half \ud800", value={1, 2}, nothing=None)
    context.log.error("x" * 50_000_000, more="y" * 1_000_000)


@tool(effect="pure", isolation="process")
def log_late(state: State, context: ToolContext) -> None:
    """Leave a thread behind that writes to the log for ever."""

    def write() -> None:
        while True:
            context.log.info("late")

    threading.Thread(target=write, daemon=True).start()


@tool(effect="pure", isolation="process")
def advance(state: State, context: ToolContext, total: int) -> State:
    """Tell how far it is after each piece of the work."""
    for done in range(1, total + 1):
        context.check_cancelled()
        context.progress(done, total, "pieces", "advance")
    return {"advanced": True}


@tool(effect="pure", isolation="process")
def spin(state: State, context: ToolContext) -> None:
    """Say who is at work, and never end; neither does the process that is started besides."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    context.log.info("spinning", pid=os.getpid(), child=child.pid)
    while True:
        pass


@tool(effect="pure", isolation="process")
def change_input(state: State, items: list[int]) -> None:
    """Change everything there is to change, and return nothing."""
    state["items"].append(4)
    state["more"] = True
    items.append(9)


@tool(effect="pure", isolation="process", memory_mb=256)
def leak(state: State, mib: int = 2_048) -> State:
    """Take memory and keep it."""
    _kept.extend(bytearray(1 << 20) for _ in range(mib))
    return {"pid": os.getpid()}


@tool(effect="pure", isolation="process", memory_mb=256)
async def leak_in_group(state: State) -> None:
    """Take memory in a task, so that the error comes in a group."""

    async def take() -> None:
        _kept.extend(bytearray(1 << 20) for _ in range(2_048))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)


@tool(effect="pure", isolation="process")
def huge(state: State, size_bytes: int) -> State:
    """Return a long text."""
    return {"text": "x" * size_bytes}


@tool(effect="pure", isolation="process")
def die(state: State, context: ToolContext, how: Literal["segfault", "exit", "recursion"], times: int = 100) -> State:
    """End the process in the first attempts, or try to."""
    context.log.info("attempt", pid=os.getpid())
    if context.attempt > times:
        return {"survived": context.attempt}
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "recursion":
            die(state, context, how)
    return {}


@tool(isolation="process")
async def fail(state: State, how: str) -> object:
    """Raise or return what a tool should not."""
    match how:
        case "stray cancellation":
            with anyio.CancelScope() as scope:
                scope.cancel()
                try:
                    await checkpoint()
                except anyio.get_cancelled_exc_class() as error:
                    stray: BaseException = error
            raise stray
        case "tool error":
            raise ToolError("no use", code="MINE", retryable=False)
        case "ExceptionGroup":
            raise ExceptionGroup("two at once", [ValueError("one"), KeyError("two")])
        case "long":
            raise ValueError("x" * 1_000_000)
        case "bytes":
            return {"a": {"b": b"x"}}
        case "tuple":
            return {"a": [(1,)]}
        case "nan":
            return {"a": float("nan")}
        case "text":
            return "text"
        case "close":
            os.closerange(3, 100)
    errors = (ValueError, SystemExit, KeyboardInterrupt, GeneratorExit)
    raise {kind.__name__: kind for kind in errors}[how](f"a {how}")


_kept: list[bytearray] = []
