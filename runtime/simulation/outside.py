"""What happens to a simulated run from outside: signals, answers and a cancel request, each at its virtual time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio

from runtime.engine import Engine
from runtime.errors import AlreadyAnswered, InvalidInput, Problem, RunFinished, UnknownApproval
from runtime.simulation.mocks import matches
from runtime.simulation.scenario import SimulationScenario

APART_S: Final = 1e-9
"""Lies between two events of the same second, so that they happen in the order of their list."""


@asynccontextmanager
async def happening(engine: Engine, run_id: str, scenario: SimulationScenario) -> AsyncIterator[None]:
    """Let happen what the scenario says, as long as the block is not left. What comes too late changes nothing.

    Raises:
        InvalidInput: The run refused a signal or an answer; pointers lead into the scenario.
    """
    refused: list[InvalidInput] = []
    async with anyio.create_task_group() as events:

        async def happen(delay_s: float, pointer: str, call: Callable[[], Awaitable[object]]) -> None:
            await anyio.sleep(delay_s)
            try:
                await call()
            except (RunFinished, UnknownApproval, AlreadyAnswered):
                pass
            except InvalidInput as error:
                error.problems = tuple(Problem(pointer + one.pointer, one.detail, one.type) for one in error.problems)
                refused.append(error)
                events.cancel_scope.cancel()

        async def answer() -> None:
            async with aclosing(engine.subscribe(run_id)) as records:
                async for record in records:
                    if record.event == "approval_requested":
                        asked = record.data
                        index = _answer_to(asked, scenario)
                        if index is not None:
                            given = scenario.answers[index]
                            call = partial(engine.answer, run_id, asked["approval"], given.answer)
                            events.start_soon(happen, given.after_s, f"/answers/{index}", call)

        for index, signal in enumerate(scenario.signals):
            call = partial(engine.signal, run_id, signal.name, signal.data, signal_id=f"signal-{index}")
            events.start_soon(happen, signal.at_s + index * APART_S, f"/signals/{index}", call)
        if scenario.answers:
            events.start_soon(answer)
        if scenario.cancel_at_s is not None:
            events.start_soon(happen, scenario.cancel_at_s, "/cancel_at_s", partial(engine.cancel, run_id))
        yield
        events.cancel_scope.cancel()
    if refused:
        raise refused[0]


def _answer_to(asked: Mapping[str, Any], scenario: SimulationScenario) -> int | None:
    """Return the index of the first answer that fits an approval."""
    for index, given in enumerate(scenario.answers):
        fits_place = matches(given.node, asked["node"]) and matches(given.path, asked.get("path", ""))
        if fits_place and given.iteration in (None, asked["iteration"]):
            return index
    return None
