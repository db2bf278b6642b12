"""Small tools that let a newcomer try every feature of the engine without writing code.

They read and write top-level keys of the state and keep nothing between calls; each result depends on the state, the
config and the context alone, so that all are `pure` and a step may run again after a crash. Also the place to look for
how a tool is written. The one example that reaches the network is in `tools.http_get`.
"""

import math
import operator
import random
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import anyio
from pydantic import Field, JsonValue

from tools.contract import ToolContext, ToolError, tool

State = dict[str, Any]
Key = Annotated[str, Field(min_length=1, description="Top-level key of the state.")]
Seconds = Annotated[float, Field(ge=0, le=3600, description="How long to wait, in seconds.")]
Code = Annotated[str, Field(pattern="^[A-Z][A-Z0-9_]*$", description="Upper-case word that clients can branch on.")]
Times = Annotated[int, Field(ge=0, description="How many attempts fail before one succeeds.")]
Choices = Annotated[list[JsonValue], Field(min_length=1, description="The values to choose from.")]
Number = int | float
Operation = Literal["add", "subtract", "multiply", "divide", "modulo", "min", "max", "round"]


@tool(effect="pure")
async def echo(state: State, message: JsonValue, key: Key = "echo", *, context: ToolContext) -> State:
    """Write `message` to the run's log and into the state under `key`."""
    context.log.info("echo", value=message)
    return {key: message}


@tool(effect="pure")
async def set_values(state: State, values: dict[str, JsonValue]) -> State:
    """Merge the given values into the state."""
    return values


@tool(effect="pure")
async def copy_value(state: State, source: Key, target: Key) -> State:
    """Copy the value of the state key `source` to the key `target`; fails when there is no `source`."""
    return {target: _read(state, source)}


@tool(effect="pure")
async def append_value(state: State, key: Key, value: JsonValue) -> State:
    """Write `value` to `key`; give that key the `append` reducer, which adds to a list instead of replacing it."""
    return {key: value}


@tool(effect="pure")
async def increment(state: State, key: Key = "counter", by: Number = 1) -> State:
    """Add `by` (1) to the number under `key`; a missing key counts from 0."""
    return {key: _in_range(_number(state, key, default=0) + by)}


@tool(effect="pure")
async def calculate(
    state: State, field: Key, operation: Operation, value: Number | str, target: Key | None = None
) -> State:
    """Combine the number under `field` with `value`, and write the result to `target` (`field` itself when not given).

    `value` is a number, or the name of the state key that holds it. `round` keeps `value` decimal places (0 to 15).
    """
    left = _number(state, field)
    right = _number(state, value) if isinstance(value, str) else value
    try:
        result = _OPERATIONS[operation](left, right)
    except ZeroDivisionError as error:
        message = f"cannot {operation} {field!r} = {left!r} by zero"
        raise ToolError(message, code="DIVISION_BY_ZERO", retryable=False) from error
    except OverflowError as error:
        raise _out_of_range() from error
    return {target or field: _in_range(result)}


@tool(effect="pure")
async def random_choice(
    state: State, choices: Choices, seed: int, key: Key = "choice", *, context: ToolContext
) -> State:
    """Write one of `choices` to `key`; every attempt of one step chooses the same, other runs and iterations anew."""
    # S311: this is no secret, and must come out the same when the step is repeated.
    return {key: random.Random(f"{seed}/{context.idempotency_key}").choice(choices)}  # noqa: S311


@tool(effect="pure")
async def sleep(state: State, seconds: Seconds) -> None:
    """Wait without holding a thread."""
    await anyio.sleep(seconds)


@tool(effect="pure")
def block(state: State, seconds: Seconds) -> None:
    """Wait in blocking code, which runs in a thread and holds up nothing but its own step."""
    time.sleep(seconds)


@tool(effect="pure")
async def wait_forever(state: State) -> None:
    """Hang until cancelled, for trying time-outs and cancellation."""
    await anyio.sleep_forever()


@tool(effect="pure")
async def fail(
    state: State, message: str = "failed on purpose", code: Code = "FAILED_ON_PURPOSE", retryable: bool = True
) -> None:
    """Fail every time with this message and code; `retryable: false` ends the step at the first attempt."""
    raise ToolError(message, code=code, retryable=retryable)


@tool(effect="pure")
async def fail_times(state: State, times: Times = 1, key: Key = "attempts", *, context: ToolContext) -> State:
    """Fail the first `times` attempts of a step, then write the number of the attempt that succeeded to `key`."""
    if context.attempt <= times:
        raise ToolError(f"attempt {context.attempt} failed; the first {times} do", code="FAILED_ON_PURPOSE")
    return {key: context.attempt}


def _round(number: Number, digits: Number) -> Number:
    if digits not in range(16):
        raise ToolError(f"cannot round to {digits} decimal places; use 0 to 15", code="BAD_DIGITS", retryable=False)
    return round(number, int(digits)) if digits else round(number)


_OPERATIONS: Final[Mapping[Operation, Callable[[Number, Number], Number]]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "modulo": operator.mod,
    "min": min,
    "max": max,
    "round": _round,
}


def _read(state: State, key: str) -> Any:
    if key not in state:
        known = ", ".join(sorted(state)) or "nothing"
        raise ToolError(f"the state has no key {key!r}; it has: {known}", code="KEY_MISSING", retryable=False)
    return state[key]


def _number(state: State, key: str, default: Number | None = None) -> Number:
    value = _read(state, key) if default is None else state.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = type(value).__name__
        raise ToolError(f"{key!r} must be a number, but is of type {kind}", code="NOT_A_NUMBER", retryable=False)
    return value


def _in_range(number: Number) -> Number:
    """Return `number` if JSON readers everywhere can take it: a finite float, or an integer of 64 bits."""
    if math.isfinite(number) if isinstance(number, float) else -(2**63) <= number < 2**63:
        return number
    raise _out_of_range()


def _out_of_range() -> ToolError:
    return ToolError("the result does not fit 64 bits", code="NUMBER_OUT_OF_RANGE", retryable=False)
