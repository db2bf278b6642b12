"""Mocks: they look like the tools they stand for, and do what the first rule that fits says."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from runtime.simulation.mocks import MockTools, matches
from runtime.simulation.scenario import read_scenario
from tools import Tool, ToolContext, ToolError, tool

CALLED: list[str] = []


@tool(name="pay", version="2.1", effect="once", writes=["receipt"])
def pay(state: dict[str, Any], amount: int = 1) -> dict[str, Any]:
    """Pay."""
    CALLED.append("pay")
    return {"receipt": amount}


class SilentLog:
    def debug(self, message: str, **fields: Any) -> None: ...
    def info(self, message: str, **fields: Any) -> None: ...
    def warning(self, message: str, **fields: Any) -> None: ...
    def error(self, message: str, **fields: Any) -> None: ...


class OneTool:
    def find(self, reference: str) -> Tool | None:
        return pay if reference in ("pay", "pay@2.1") else None

    def names(self) -> list[str]:
        return ["pay"]


@pytest.fixture
def anyio_backend() -> Any:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


def mocks(seed: int = 0, used: set[int] | None = None, **scenario: Any) -> MockTools:
    return MockTools(OneTool(), read_scenario(scenario), seed, set() if used is None else used)


def context(node: str = "a", iteration: int = 1, attempt: int = 1, path: str = "") -> ToolContext:
    place = f"{path}/{node}" if path else node
    return ToolContext("run-1", node, iteration, attempt, f"run-1/{place}/{iteration}", SilentLog())


async def called(tools: MockTools, where: ToolContext, reference: str = "pay") -> Any:
    found = tools.find(reference)
    assert found is not None
    return await found({}, context=where, amount=3)


def test_a_mock_declares_what_its_tool_does() -> None:
    mock = mocks().find("pay")
    assert mock is not None
    assert (mock.reference, mock.effect, mock.writes, mock.parameters) == (
        "pay@2.1",
        "once",
        ("receipt",),
        pay.parameters,
    )
    assert (mock.is_async, mock.takes_context) == (True, True)


def test_a_tool_keeps_its_mock() -> None:
    tools = mocks()
    assert tools.find("pay") is tools.find("pay")
    assert tools.names() == ["pay"]


def test_unknown_tools_have_mocks_only_if_the_scenario_allows_it() -> None:
    assert mocks().find("ship@3") is None
    mock = mocks(allow_unknown_tools=True).find("ship@3")
    assert mock is not None
    assert (mock.reference, mock.effect) == ("ship@3", None)
    assert mock.arguments({"any": {"thing": 1}}) == {}


async def test_no_rule_means_an_empty_update_and_the_tool_is_not_called() -> None:
    assert await called(mocks(), context()) == {}
    assert CALLED == []


async def test_the_first_rule_that_fits_counts() -> None:
    used: set[int] = set()
    tools = mocks(
        used=used,
        mocks=[
            {"node": "b", "value": {"rule": 0}},
            {"attempt": 2, "value": {"rule": 1}},
            {"node": "?", "value": {"rule": 2}},
            {"value": {"rule": 3}},
        ],
    )
    assert await called(tools, context("b", attempt=2)) == {"rule": 0}
    assert await called(tools, context("a", attempt=2)) == {"rule": 1}
    assert await called(tools, context("a")) == {"rule": 2}
    assert used == {0, 1, 2}


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ({"node": "sh*"}, lambda: context("ship")),
        ({"tool": "pay"}, context),
        ({"tool": "pay@2.*"}, context),
        ({"path": ""}, context),
        ({"path": "*"}, lambda: context(path="sub#1")),
        ({"path": "each#1[*]"}, lambda: context("each", path="each#1[12]")),
        ({"item": 12}, lambda: context("each", path="each#1[12]")),
        ({"item": 3}, lambda: context("a", path="each#1[12]/inner#2[3]/sub#1")),
        ({"iteration": 2, "path": "a/1"}, lambda: context("a/1", iteration=2, path="a/1")),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "there",
)
async def test_a_rule_fits(rule: dict[str, Any], where: Callable[[], ToolContext]) -> None:
    assert await called(mocks(mocks=[{**rule, "value": {"x": 1}}]), where()) == {"x": 1}


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ({"node": "shi"}, lambda: context("ship")),
        ({"node": "sh.p"}, lambda: context("ship")),
        ({"tool": "pay@1"}, context),
        ({"path": ""}, lambda: context(path="sub#1")),
        ({"iteration": 2}, context),
        ({"attempt": 2}, context),
        ({"item": 0}, context),
        ({"item": 1}, lambda: context("each", path="each#1[12]")),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "there",
)
async def test_a_rule_does_not_fit(rule: dict[str, Any], where: Callable[[], ToolContext]) -> None:
    assert await called(mocks(mocks=[{**rule, "value": {"x": 1}}]), where()) == {}


async def test_values_go_by_iteration_and_the_last_one_repeats() -> None:
    tools = mocks(mocks=[{"values": [{"n": 1}, {"n": 2}]}])
    assert [(await called(tools, context(iteration=i)))["n"] for i in (1, 2, 3, 9)] == [1, 2, 2, 2]


async def test_a_failure_is_that_of_the_rule() -> None:
    tools = mocks(mocks=[{"fail": {"code": "DOWN", "message": "it is night", "retryable": False}}])
    with pytest.raises(ToolError, match="it is night") as raised:
        await called(tools, context())
    assert (raised.value.code, raised.value.retryable) == ("DOWN", False)


async def test_a_chance_of_failure_is_met_in_the_long_run() -> None:
    tools = mocks(mocks=[{"fail": {}, "fail_chance": 0.3, "value": {"ok": True}}])
    failed = 0
    for iteration in range(1, 1_001):
        try:
            assert await called(tools, context(iteration=iteration)) == {"ok": True}
        except ToolError:
            failed += 1
    assert 250 < failed < 350


async def duration(tools: MockTools, where: ToolContext) -> float:
    start = anyio.current_time()
    await called(tools, where)
    return anyio.current_time() - start


async def test_a_duration_is_as_told_but_for_a_microsecond() -> None:
    fixed = mocks(mocks=[{"duration_s": 30}])
    assert await duration(fixed, context()) == pytest.approx(30, abs=1e-6)
    between = [await duration(mocks(seed, mocks=[{"duration_s": [10, 20]}]), context()) for seed in range(50)]
    assert min(between) < 12 < 18 < max(between)
    assert all(10 <= taken <= 20.000001 for taken in between)


async def test_what_takes_the_same_time_does_not_end_at_the_same_moment() -> None:
    tools = mocks(mocks=[{"duration_s": 5}])
    assert len({await duration(tools, context(f"n{number}")) for number in range(100)}) == 100


async def test_a_duration_that_is_left_out_has_any_order_of_magnitude_up_to_a_second() -> None:
    taken = [await duration(mocks(seed), context()) for seed in range(200)]
    assert all(0.001 <= one < 1.001 for one in taken)
    assert [sum(low <= one < 10 * low for one in taken) > 40 for low in (0.001, 0.01, 0.1)] == [True] * 3


async def test_a_mock_does_the_same_again_whatever_was_called_before() -> None:
    def places() -> list[ToolContext]:
        return [context("a"), context("b"), context("a", 2), context("a", 1, 2), context("a", path="a#1")]

    tools, again = mocks(7), mocks(7)
    there = [await duration(tools, where) for where in places()]
    back = [await duration(again, where) for where in reversed(places())]
    assert there == pytest.approx(back[::-1], abs=1e-9)
    assert len({round(one, 6) for one in there}) == 5
    assert await duration(mocks(8), context("a")) != pytest.approx(there[0], abs=1e-9)


def test_none_matches_everything() -> None:
    assert matches(None, "")
    assert matches("*", "a\nb")
    assert not matches("[ab]", "a")


def test_a_mock_of_an_isolated_tool_starts_no_process() -> None:
    class Isolated(OneTool):
        def find(self, reference: str) -> Tool | None:
            found = super().find(reference)
            return found and replace(found, isolation="process", memory_mb=512, origin="module:nowhere")

    mock = MockTools(Isolated(), read_scenario({}), 0, set()).find("pay")
    assert mock is not None
    assert (mock.isolation, mock.memory_mb) == (None, None)
