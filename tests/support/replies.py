"""What the world outside answers to a run: the same for the machine's driver and for the naive interpreter."""

from typing import Any, Final

from runtime.run.messages import Failed
from tests.support.driver import Call, Script, fail
from tests.support.graphs import Source

SILENCE: Final = object()
"""Nobody answers; whoever waits waits until its time is up, if it has one."""


def answer_of(script: Script, approval: Source, path: str, node: str, iteration: int) -> Any:
    """Return the answer to an approval, or `SILENCE`: what the script would let a tool at its place come to."""
    return _reply(script, Call(node, iteration, 0, {}, path), approval)


def data_of(script: Script, wait: Source) -> Any:
    """Return the data of every signal of the name that is waited for, or `SILENCE` if no such signal ever comes."""
    return _reply(script, Call(wait["signal"], 1, 0, {}, "signal"), wait)


def _reply(script: Script, call: Call, keys: Source) -> Any:
    outcome = script(call)
    if isinstance(outcome, Failed):
        return SILENCE if "timeout_s" in keys else 3
    return outcome.update.get(f"r_{call.node}", call.node)


def nobody(_call: Call) -> Failed:
    """Let every tool fail, and nobody answer."""
    return fail()
