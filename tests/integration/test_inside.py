"""Graphs and maps inside nodes through the engine: real tools, real journals, restarts in the middle."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from runtime import Engine
from runtime.clock import LoopClock
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import assert_whole, events, followed, named, of, stored, until
from tests.support.graphs import Source, edge, graph, leaf, node

PROMPT_S = 10
OK = named("x", scripted("ok", update={"x": 1}))


def slow(name: str = "a", gate: str = "gate", **keys: Any) -> Source:
    return named(name, scripted("wait", tool="idempotent", gate=gate, **keys))


def inside(name: str, inner: Source | str, **keys: Any) -> Source:
    return node(name, tool=None, type="graph", graph=inner, **keys)


def over(name: str, items: Any, scripted_keys: Source, node_keys: Source | None = None, **keys: Any) -> Source:
    return node(name, type="map", map={"items": items, **keys}, **scripted_keys, **(node_keys or {}))


async def ended(engine: Engine, run_id: str) -> Any:
    with anyio.fail_after(PROMPT_S):
        return await engine.wait(run_id)


async def test_a_restart_in_the_middle_of_a_graph_inside_goes_on_there(opened: Open, tools: ScriptedTools) -> None:
    inner = graph([OK, slow(update={"a": 1}), named("z", scripted("count", key="z"))], "x > a", "a > z")
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [inside("g", graph([inside("h", inner)]))]))
        await tools.gate("gate").wait_reached()
    tools.gate("gate").open()
    async with opened() as engine:
        view = await ended(engine, run.run_id)
        assert (view.status, view.state) == ("completed", {"x": 1, "a": 1, "z": 1})
        assert_whole(await followed(engine, run.run_id))
    assert [(call.node, call.attempt) for call in tools.calls] == [("x", 1), ("a", 1), ("a", 2), ("z", 1)]
    keys = {call.idempotency_key for call in tools.called("a")}
    assert len(keys) == 1
    assert "g#1/h#1/a" in keys.pop()


async def test_a_restart_in_the_middle_of_a_map_repeats_no_item_that_was_done(
    opened: Open, tools: ScriptedTools
) -> None:
    inner = graph([named("c", scripted("count", key="n")), slow(gate="hold")], "c > a")
    async with opened() as engine:
        source = node("m", tool=None, type="map", map={"items": [1, 2, 3, 4], "concurrency": 2}, graph=inner)
        run = await engine.submit(await stored(engine, [source]))
        await tools.gate("hold").wait_reached(2)
    tools.gate("hold").open()
    async with opened() as engine:
        view = await ended(engine, run.run_id)
        assert (view.status, view.state) == ("completed", {"m": [{"n": 1}] * 4})
        assert_whole(await followed(engine, run.run_id))
    assert len(tools.called("c")) == 4
    assert len({call.idempotency_key for call in tools.called("a")}) == 4


async def test_items_of_a_tool_with_effects_have_keys_of_their_own(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, [over("m", [1, 2, 3], scripted(tool="undeclared"))]))
        assert run.status == "completed"
    assert len({call.idempotency_key for call in tools.calls}) == 3


@pytest.mark.parametrize("mode", ["fail_fast", "collect"])
async def test_an_item_that_fails_stops_the_others_or_does_not(opened: Open, tools: ScriptedTools, mode: str) -> None:
    bad = named("bad", scripted("fail", node={"retry": {"max_attempts": 1}}))
    inner = graph(
        [node("r", tool=None, type="conditional"), bad, slow()],
        edge("r > bad", condition=leaf("item", "==", 2)),
        edge("r > a", default=True),
    )
    async with opened(cancel_grace_s=0.01) as engine:
        source = node("m", tool=None, type="map", map={"items": [1, 2, 3], "mode": mode}, graph=inner)
        run = await engine.submit(await stored(engine, [source]))
        if mode == "collect":
            await tools.gate("gate").wait_reached(2)
            tools.gate("gate").open()
        view = await ended(engine, run.run_id)
        if mode == "fail_fast":
            assert (view.status, (view.error or "")[:11]) == ("failed", "ITEM_FAILED")
            assert sorted(await events(engine, run.run_id)).count("item_cancelled") == 2
        else:
            assert (view.status, view.state["m"]) == ("completed", [{}, None, {}])
            assert view.state["m_errors"][0]["index"] == 1


async def test_a_map_of_many_items_runs_no_more_than_may_at_once(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [over("m", list(range(100)), scripted("wait"), concurrency=7)]))
        await tools.gate("gate").wait_reached(7)
        assert len(tools.calls) == 7
        tools.gate("gate").open()
        view = await ended(engine, run.run_id)
        assert (view.status, len(view.state["m"]), len(tools.calls)) == ("completed", 100, 100)


async def test_items_retry_and_time_out_exactly_as_told(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    retry = {"retry": {"max_attempts": 3, "jitter": "none", "initial_s": 5}}
    async with opened_virtual() as engine:
        run = await engine.run(await stored(engine, [over("m", [1, 2], scripted("fail_times", times=2, node=retry))]))
        assert run.status == "completed"
        assert virtual.monotonic() == pytest.approx(15, abs=0.1)
        hanging = scripted("hang", node={"timeout_s": 7, "retry": {"max_attempts": 1}})
        run = await engine.run(await stored(engine, [over("m", [1, 2], hanging, mode="collect")]))
        assert [error["code"] for error in run.state["m_errors"]] == ["TIMEOUT", "TIMEOUT"]
        assert virtual.monotonic() == pytest.approx(22, abs=0.2)


async def test_a_graph_that_takes_too_long_is_stopped_with_all_its_calls(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    inner = graph([over("m", [1, 2, 3], scripted("hang", node={"timeout_s": 9_999}), concurrency=2)])
    async with opened_virtual() as engine:
        run = await engine.run(
            await stored(engine, [inside("g", inner, timeout_s=30, on_error="continue"), OK], "g > x")
        )
        assert (run.status, run.state) == ("completed", {"x": 1})
        assert virtual.monotonic() == pytest.approx(30, abs=0.1)
        assert len(tools.called("m")) == 2


async def test_losers_are_cancelled_and_their_workers_are_free_again(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    nodes = [
        node("s", tool=None, type="conditional"),
        OK,
        named("slow", scripted("hang", node={"timeout_s": 9_999})),
        inside("deep", graph([named("b", scripted("hang", node={"timeout_s": 9_999}))])),
        node("j", tool=None, type="conditional", join="any", cancel_losers=True),
    ]
    edges = [f"s > {name}" for name in ("slow", "deep", "x")] + [f"{name} > j" for name in ("slow", "deep", "x")]
    async with opened_virtual(max_workers_per_node=1) as engine:
        graph_id = await stored(engine, nodes, *edges)
        for _ in range(3):
            run = await engine.run(graph_id)
            assert (run.status, run.state) == ("completed", {"x": 1})
        assert virtual.monotonic() < 1


async def test_a_stored_graph_runs_inside_and_may_be_deleted_while_it_does(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        inner = await stored(engine, [OK, slow()], "x > a")
        graph_id = await stored(engine, [inside("g", inner), named("z", scripted("count", key="z"))], "g > z")
        run = await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        assert (await of(engine, run.run_id, "step_started"))[0]["graph"] == inner
        await engine.delete_graph(inner)
    async with opened() as engine:
        await tools.gate("gate").wait_reached(2)
        tools.gate("gate").open()
        assert (await ended(engine, run.run_id)).state == {"x": 1, "z": 1}
        assert (await engine.run(graph_id)).status == "completed"
        fork = await engine.fork(run.run_id, "a", path="g#1")
        assert (await ended(engine, fork.run_id)).status == "completed"


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled"])
async def test_a_restart_while_the_last_nodes_run_ends_the_run_as_it_would_have(
    opened: Open, tools: ScriptedTools, how: str
) -> None:
    first = {
        "completed": OK,
        "failed": named("x", scripted("fail", code="MINE", node={"retry": {"max_attempts": 1}})),
        "cancelled": named("x", scripted("hang")),
    }[how]
    async with opened() as engine:
        last = [slow("f"), named("g", scripted("count", key="g"))]
        run = await engine.submit(await stored(engine, [first, *last], **{"finally": ["f", "g"]}))
        if how == "cancelled":
            await until(engine, run.run_id, "step_started")
            await engine.cancel(run.run_id)
        await tools.gate("gate").wait_reached()
    async with opened() as engine:
        await tools.gate("gate").wait_reached(2)
        tools.gate("gate").open()
        view = await ended(engine, run.run_id)
        assert (view.status, view.state["g"]) == (how, 1)
        assert (await events(engine, run.run_id)).count("run_finishing") == 1
        assert_whole(await followed(engine, run.run_id))


async def test_an_end_node_stops_what_else_runs_at_once(
    opened_virtual: Open, tools: ScriptedTools, virtual: LoopClock
) -> None:
    nodes = [
        node("s", tool=None, type="conditional"),
        OK,
        node("e", tool=None, type="end"),
        over("m", [1, 2], scripted("hang", node={"timeout_s": 9_999})),
    ]
    async with opened_virtual() as engine:
        run = await engine.run(await stored(engine, nodes, "s > m", "s > x", "x > e"))
        assert (run.status, run.state) == ("completed", {"x": 1})
        assert virtual.monotonic() < 1


async def test_a_pause_while_a_map_runs_holds_across_a_restart(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        source = over("m", list(range(5)), scripted("wait", tool="idempotent", update={"r": 1}), concurrency=2)
        run = await engine.submit(await stored(engine, [source]))
        await tools.gate("gate").wait_reached(2)
        await engine.pause(run.run_id)
        tools.gate("gate").open()
        while (await events(engine, run.run_id)).count("step_completed") < 2:
            await anyio.lowlevel.checkpoint()
        assert len(tools.calls) == 2
    async with opened() as engine:
        assert (await engine.state(run.run_id)).status == "paused"
        assert len(tools.calls) == 2
        await engine.resume(run.run_id)
        assert (await ended(engine, run.run_id)).state == {"m": [{"r": 1}] * 5}
        assert len(tools.calls) == 5


async def test_nodes_that_share_a_word_never_run_at_once(opened: Open, tools: ScriptedTools) -> None:
    names = [f"n{number}" for number in range(5)]
    nodes = [node("s", tool=None, type="conditional")]
    nodes += [named(name, scripted("wait", gate=name, node={"mutex": "m"})) for name in names]
    async with opened() as engine:
        run = await engine.submit(await stored(engine, nodes, *(f"s > {name}" for name in names)))
        for name in names:
            await tools.gate(name).wait_reached()
            assert tools.calls[-1].node == name
            tools.gate(name).open()
        assert (await ended(engine, run.run_id)).status == "completed"
