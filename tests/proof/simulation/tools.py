"""The tools of the simulated world: they do what a program's script says, and note every call in the ledger outside.

The ledger belongs to nobody's process: it knows what really happened, whatever the engines believe.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from random import Random
from typing import TYPE_CHECKING, Any, Final

import trio

from runtime.run.messages import Failed
from tests.support.driver import Call, Script
from tests.support.random_graphs import script_of
from tools.contract import Effect, Tool, ToolContext, ToolError, tool

if TYPE_CHECKING:
    from tests.proof.simulation.server import Incarnation

LONGEST_S: Final = 1.5


@dataclass(frozen=True, slots=True)
class Effected:
    """A call that a tool took: what somebody outside noticed of it.

    Attributes:
        epoch: Of the engine that called.
        was_announced: Whether the attempt was durable in the journal when the tool was called.
    """

    key: str
    attempt: int
    tool: str
    epoch: int
    was_announced: bool


def _template(name: str, effect: Effect | None) -> Tool:
    @tool(name=name, effect=effect)
    async def call(
        state: dict[str, Any], context: ToolContext, script: int, flaky: bool = False, hangs: bool = False
    ) -> None:
        """Do what the script says."""

    return call


_EFFECTS: Final[dict[str, Effect | None]] = {"work": "pure", "idem": "idempotent", "once": "once", "plain": None}
TEMPLATES: Final = {name: _template(name, effect) for name, effect in _EFFECTS.items()}


@lru_cache(maxsize=4096)
def scripted_by(seed: int) -> Script:
    """Return the script of a program."""
    return script_of(seed, failing=0.04)


class SimulatedTools:
    """The tools as one engine calls them: those of a dead one do nothing any more, those of a frozen one wait."""

    def __init__(self, incarnation: "Incarnation") -> None:
        self._incarnation = incarnation
        self._tools = {
            name: replace(template, function=partial(self._call, name)) for name, template in TEMPLATES.items()
        }

    def find(self, reference: str) -> Tool | None:
        """Return the tool of that name."""
        name, _, version = reference.partition("@")
        return self._tools.get(name) if version in ("", "1") else None

    def names(self) -> Collection[str]:
        """Every name there is."""
        return self._tools.keys()

    async def _call(
        self, name: str, state: dict[str, Any], *, context: ToolContext, script: int, flaky: bool, hangs: bool
    ) -> dict[str, Any]:
        engine = self._incarnation
        await engine.breathe()
        key, attempt = context.idempotency_key, context.attempt
        engine.world.note_effect(name, key, attempt, engine.epoch)
        chance = Random(f"{script}/{key}/{attempt}/{engine.world.seed}")
        if hangs and attempt == 1 and chance.random() < 0.3:
            await trio.sleep_forever()
        if chance.random() < 0.6:
            await trio.sleep(chance.random() * LONGEST_S)
            await engine.breathe()
        if flaky and attempt == 1 and chance.random() < 0.4:
            raise ToolError("the first attempt fails", code="FLAKY")
        path = key.removeprefix(f"{context.run_id}/").removesuffix(f"{context.node}/{context.iteration}").rstrip("/")
        outcome = scripted_by(script)(Call(context.node, context.iteration, attempt, state, path))
        if isinstance(outcome, Failed):
            raise ToolError(outcome.error.message, code=outcome.error.code)
        return dict(outcome.update)
