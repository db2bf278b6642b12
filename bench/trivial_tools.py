"""Tools that do next to nothing, so that what is measured is the engine and not the tools.

The benches load this module in their own process, and servers load it as a file (`--tools`), so it imports nothing of `bench`.
Each tool exists twice: as `pure`, whose step may start while the records before it are still on their way to the disk, and
as `durable_…` with the effect `idempotent`, whose step waits until everything before it is committed.
"""

from pathlib import Path
from typing import Any, Final

import anyio

from tools.contract import tool

_POLL_S: Final = 0.01
_PATIENCE_S: Final = 300.0


@tool(effect="pure", writes=["n"])
async def count_up(state: dict[str, Any]) -> dict[str, Any]:
    """Add one to `n`."""
    return {"n": state.get("n", 0) + 1}


@tool(effect="pure")
async def mark(state: dict[str, Any], key: str) -> dict[str, Any]:
    """Set `key` to one."""
    return {key: 1}


@tool(effect="pure", writes=["total"])
async def add_up(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Write the sum of the keys that begin with `prefix` to `total`."""
    return {"total": sum(value for key, value in state.items() if key.startswith(prefix))}


@tool(effect="pure")
async def wait_for_file(state: dict[str, Any], path: str) -> None:
    """Wait until there is a file at `path`: lets a bench start many runs at one moment."""
    with anyio.fail_after(_PATIENCE_S):
        while not Path(path).exists():  # noqa: ASYNC110, ASYNC240 - another process makes it; a look costs microseconds
            await anyio.sleep(_POLL_S)


durable_count_up = tool(name="durable_count_up", effect="idempotent", writes=["n"])(count_up.function)
durable_mark = tool(name="durable_mark", effect="idempotent")(mark.function)
durable_add_up = tool(name="durable_add_up", effect="idempotent", writes=["total"])(add_up.function)
