"""Tools that do what the scenario says, and take as long as the seed says; none of the real ones is ever called.

A mock has everything of the tool it stands for but its function, so that verdict, retry policy and `config` are the real ones.
What it does depends on nothing but the seed and the place of the attempt: not on what was called before it.
"""

import random
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import anyio
from pydantic import BaseModel, ConfigDict

from runtime.simulation.scenario import MockRule, SimulationScenario
from tools.contract import Tool, ToolContext, ToolError, ToolSource

SHORTEST_S: Final = 0.001
LONGEST_S: Final = 1.0
JITTER_S: Final = 1e-6
"""What an attempt may take longer than told, so that of two that take the same time now one ends first and now the other."""


class MockTools:
    """A `ToolSource` whose tools are mocks of those in `real`. `used` collects the indexes of the rules that were followed."""

    def __init__(self, real: ToolSource, scenario: SimulationScenario, seed: int, used: set[int]) -> None:
        self._real = real
        self._scenario = scenario
        self._seed = seed
        self._used = used
        self._mocks: dict[str, Tool] = {}

    def find(self, reference: str) -> Tool | None:
        """Return the mock of a tool."""
        mock = self._mocks.get(reference)
        if mock is None:
            tool = self._real.find(reference) or (_unknown(reference) if self._scenario.allow_unknown_tools else None)
            if tool is None:
                return None
            mock = self._mocks[reference] = self._mock(tool)
        return mock

    def names(self) -> Collection[str]:
        """Every name that a real tool has."""
        return self._real.names()

    def _mock(self, tool: Tool) -> Tool:
        async def attempt(_state: dict[str, Any], /, *, context: ToolContext, **_config: Any) -> Mapping[str, Any]:
            chance = _chance(self._seed, context)
            rule = self._rule(tool, context)
            await anyio.sleep(_duration(rule, chance) + chance.uniform(0.0, JITTER_S))
            if rule.fail is not None and (rule.fail_chance is None or chance.random() < rule.fail_chance):
                raise ToolError(rule.fail.message, code=rule.fail.code, retryable=rule.fail.retryable)
            if rule.values is not None:
                return rule.values[min(context.iteration, len(rule.values)) - 1]
            return rule.value or {}

        return replace(
            tool, function=attempt, is_async=True, takes_context=True, isolation=None, memory_mb=None, cpu_bound=False
        )

    def _rule(self, tool: Tool, context: ToolContext) -> MockRule:
        for index, rule in enumerate(self._scenario.mocks):
            if _fits(rule, tool, context):
                self._used.add(index)
                return rule
        return _NO_RULE


def matches(glob: str | None, text: str) -> bool:
    """Return whether a text is what `glob` stands for; None stands for anything."""
    return glob is None or _compiled(glob).fullmatch(text) is not None


def path_of(context: ToolContext) -> str:
    """Return the frame that an attempt is made in, "" for the run itself."""
    frame = context.idempotency_key.removeprefix(f"{context.run_id}/")
    return frame.removesuffix(f"{context.node}/{context.iteration}").removesuffix("/")


_NO_RULE: Final = MockRule()
_ITEM: Final = re.compile(r".*\[(\d+)\]")


class _AnyConfig(BaseModel):
    model_config = ConfigDict(extra="allow")


def _unknown(reference: str) -> Tool:
    """Return a tool that nobody registered: it promises nothing and takes any `config`."""
    name, _, version = reference.partition("@")
    return Tool(
        name=name,
        version=version or "1",
        description="Not registered.",
        effect=None,
        function=_unknown,
        parameters=_AnyConfig,
        writes=(),
        is_async=True,
        takes_context=True,
    )


def _fits(rule: MockRule, tool: Tool, context: ToolContext) -> bool:
    path = path_of(context)
    found = _ITEM.match(path)
    item = int(found[1]) if found else None
    return (
        matches(rule.node, context.node)
        and (matches(rule.tool, tool.name) or matches(rule.tool, tool.reference))
        and matches(rule.path, path)
        and rule.iteration in (None, context.iteration)
        and rule.attempt in (None, context.attempt)
        and rule.item in (None, item)
    )


def _chance(seed: int, context: ToolContext) -> random.Random:
    """Return the dice of one attempt. A text as seed is hashed, the same way in every process."""
    place = (path_of(context), context.node, context.iteration, context.attempt)
    return random.Random(repr((seed, *place)))  # noqa: S311 - no secret


def _duration(rule: MockRule, chance: random.Random) -> float:
    """Return how long an attempt takes, in seconds.

    Where the rule leaves it open, orders of magnitude are equally likely: now and then one step takes longer than ten others
    after each other, which with equally likely times would hardly ever happen.
    """
    if rule.duration_s is not None:
        return chance.uniform(*rule.duration_s)
    return SHORTEST_S * float((LONGEST_S / SHORTEST_S) ** chance.random())


@lru_cache(maxsize=4_096)
def _compiled(glob: str) -> re.Pattern[str]:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", glob))
    return re.compile("".join(parts), re.DOTALL)
