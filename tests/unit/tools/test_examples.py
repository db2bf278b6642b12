"""The example tools, called as the engine calls them: the config is checked first, then the function gets a state."""

import inspect
import json
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio.testing
from pydantic import ValidationError

from tests.unit.tools.conftest import ListLog
from tools import Tool, ToolContext, ToolError, examples

Contexts = Callable[..., ToolContext]
VIRTUAL_TIME = pytest.mark.parametrize(
    "anyio_backend", [("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})], ids=["trio"]
)


async def call(tool: Tool, state: dict[str, Any], context: ToolContext | None = None, **config: Any) -> Any:
    """Return what `tool` changes, after checking that its config was JSON and that it left `state` alone."""
    before = json.dumps(state)
    injected = {"context": context} if tool.takes_context else {}
    result = tool(state, **tool.arguments(config), **injected)
    if inspect.isawaitable(result):
        result = await result
    assert json.dumps(state) == before
    return result


async def test_echo_logs_its_message_and_writes_it(make_context: Contexts, log: ListLog) -> None:
    assert await call(examples.echo, {}, make_context(), message="hello") == {"echo": "hello"}
    assert await call(examples.echo, {}, make_context(), message=[1, None], key="out") == {"out": [1, None]}
    assert log.lines == [("info", "echo", {"value": "hello"}), ("info", "echo", {"value": [1, None]})]


async def test_set_values_returns_the_values() -> None:
    values = {"a": 1, "b": {"c": [True, None, "x", 1.5]}}
    assert await call(examples.set_values, {"a": 0}, values=values) == values


async def test_copy_value_copies_any_value_even_null() -> None:
    assert await call(examples.copy_value, {"a": None}, source="a", target="b") == {"b": None}


async def test_copy_value_names_the_keys_there_are_when_the_source_is_missing() -> None:
    with pytest.raises(ToolError, match="no key 'x'; it has: a, b") as caught:
        await call(examples.copy_value, {"b": 1, "a": 1}, source="x", target="y")
    assert (caught.value.code, caught.value.retryable) == ("KEY_MISSING", False)


async def test_append_value_returns_the_bare_value_for_the_append_reducer() -> None:
    assert await call(examples.append_value, {"items": [1]}, key="items", value=2) == {"items": 2}


async def test_increment_counts_from_zero_and_by_any_number() -> None:
    assert await call(examples.increment, {}) == {"counter": 1}
    assert await call(examples.increment, {"n": 2}, key="n", by=-0.5) == {"n": 1.5}


@pytest.mark.parametrize(
    ("operation", "left", "right", "result"),
    [
        ("add", 2, 3, 5),
        ("subtract", 2, 3, -1),
        ("multiply", 2, 1.5, 3.0),
        ("divide", 1, 4, 0.25),
        ("modulo", 7, 4, 3),
        ("min", 7, 4, 4),
        ("max", 7, 4, 7),
        ("round", 2.567, 1, 2.6),
        ("round", 2.567, 0, 3),
    ],
)
async def test_calculate_takes_a_number_or_the_name_of_a_key(
    operation: str, left: float, right: float, result: float
) -> None:
    state = {"a": left, "b": right}
    assert await call(examples.calculate, state, field="a", operation=operation, value=right) == {"a": result}
    by_name = await call(examples.calculate, state, field="a", operation=operation, value="b", target="c")
    assert by_name == {"c": result}
    assert type(by_name["c"]) is type(result)


@pytest.mark.parametrize(
    ("state", "operation", "value", "code"),
    [
        ({"a": 1}, "divide", 0, "DIVISION_BY_ZERO"),
        ({"a": 1.5}, "modulo", 0, "DIVISION_BY_ZERO"),
        ({"a": "1"}, "add", 1, "NOT_A_NUMBER"),
        ({"a": True}, "add", 1, "NOT_A_NUMBER"),
        ({"a": None}, "add", 1, "NOT_A_NUMBER"),
        ({"a": 1, "b": []}, "add", "b", "NOT_A_NUMBER"),
        ({}, "add", 1, "KEY_MISSING"),
        ({"a": 1}, "add", "b", "KEY_MISSING"),
        ({"a": 1e308}, "multiply", 10, "NUMBER_OUT_OF_RANGE"),
        ({"a": 2**62}, "multiply", 2, "NUMBER_OUT_OF_RANGE"),
        ({"a": 10**400}, "divide", 2, "NUMBER_OUT_OF_RANGE"),
        ({"a": 10**400}, "add", 0.5, "NUMBER_OUT_OF_RANGE"),
        ({"a": 1.5}, "round", -1, "BAD_DIGITS"),
        ({"a": 1.5}, "round", 0.5, "BAD_DIGITS"),
        ({"a": 1}, "round", -(10**9), "BAD_DIGITS"),
    ],
)
async def test_calculate_fails_for_good_with_a_code(state: Any, operation: str, value: Any, code: str) -> None:
    with pytest.raises(ToolError) as caught:
        await call(examples.calculate, state, field="a", operation=operation, value=value)
    assert (caught.value.code, caught.value.retryable) == (code, False)


async def test_increment_of_a_text_fails() -> None:
    with pytest.raises(ToolError, match="'counter' must be a number, but is of type str"):
        await call(examples.increment, {"counter": "one"})


async def test_random_choice_repeats_for_every_attempt_of_a_step_and_varies_between_steps(
    make_context: Contexts,
) -> None:
    async def choose(**step: Any) -> Any:
        return await call(examples.random_choice, {}, make_context(**step), choices=[*range(1000)], seed=7)

    assert await choose(attempt=1) == await choose(attempt=2)
    assert len({(await choose(iteration=number))["choice"] for number in range(1, 20)}) > 10
    assert await choose(run_id="run-1") != await choose(run_id="run-2")


async def test_random_choice_is_the_same_on_every_machine(make_context: Contexts) -> None:
    choice = await call(examples.random_choice, {}, make_context(), choices=["a", "b", "c"], seed=1, key="k")
    assert choice == {"k": "b"}


async def test_fail_raises_what_it_is_told() -> None:
    with pytest.raises(ToolError, match="out of paper") as caught:
        await call(examples.fail, {}, message="out of paper", code="PRINTER", retryable=False)
    assert (caught.value.code, caught.value.retryable) == ("PRINTER", False)
    with pytest.raises(ToolError) as usual:
        await call(examples.fail, {})
    assert usual.value.retryable


async def test_fail_times_succeeds_after_that_many_attempts(make_context: Contexts) -> None:
    for attempt in (1, 2):
        with pytest.raises(ToolError, match=f"attempt {attempt} failed") as caught:
            await call(examples.fail_times, {}, make_context(attempt=attempt), times=2)
        assert caught.value.retryable
    assert await call(examples.fail_times, {}, make_context(attempt=3), times=2) == {"attempts": 3}


@VIRTUAL_TIME
async def test_sleep_waits_that_long() -> None:
    start = anyio.current_time()
    assert await call(examples.sleep, {}, seconds=120.5) is None
    assert anyio.current_time() - start == pytest.approx(120.5)


async def test_sleep_of_zero_seconds_returns_on_either_backend() -> None:
    assert await call(examples.sleep, {}, seconds=0) is None


@VIRTUAL_TIME
async def test_wait_forever_outlasts_a_day() -> None:
    with anyio.move_on_after(86_400) as scope:
        await call(examples.wait_forever, {})
    assert scope.cancelled_caught


async def test_wait_forever_ends_when_cancelled() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(call, examples.wait_forever, {})
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()


async def test_block_sleeps_in_the_calling_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    assert await call(examples.block, {}, seconds=2) is None
    assert slept == [2]


@pytest.mark.parametrize(
    ("tool", "config"),
    [
        (examples.sleep, {"seconds": -1}),
        (examples.sleep, {"seconds": 3601}),
        (examples.block, {}),
        (examples.echo, {"message": "m", "key": ""}),
        (examples.fail, {"code": "no spaces"}),
        (examples.fail_times, {"times": -1}),
        (examples.calculate, {"field": "a", "operation": "power", "value": 2}),
        (examples.calculate, {"field": "a", "operation": "add"}),
        (examples.random_choice, {"choices": [], "seed": 1}),
        (examples.random_choice, {"choices": [1]}),
        (examples.set_values, {"values": [1]}),
    ],
    ids=lambda value: value.name if isinstance(value, Tool) else json.dumps(value),
)
def test_config_out_of_bounds_is_refused_before_the_tool_runs(tool: Tool, config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        tool.arguments(config)
