"""Simulations: the real machine and actors, mocks for tools, virtual time, and every seed the same each time."""

import threading
from functools import partial
from random import Random
from typing import Any

import anyio
import pytest
from anyio import to_thread

from runtime import Engine
from runtime.errors import Closing, InvalidGraph, InvalidInput, Overloaded, UnknownGraph
from runtime.simulation import Conflict, Finding, Simulation
from runtime.simulation import simulate as simulating
from runtime.simulation.simulate import simulate
from runtime.testing import ScriptedTools
from tests.conftest import Open
from tests.integration.flow import stored
from tests.support.graphs import Source, edge, graph, loop, node, when
from tests.support.random_graphs import Shape, build
from tools.contract import Tool

pytestmark = pytest.mark.parametrize("store", ["memory"], indirect=True)


def pure(name: str, **keys: Any) -> Source:
    return node(name, tool="pure", **keys)


def race(**keys: Any) -> Source:
    """Return a graph that goes on with whichever of two branches ends first, and tells which it was."""
    nodes = [
        node("start", tool=None, type="conditional"),
        pure("left"),
        pure("right"),
        node("first", tool=None, type="conditional", join="any"),
        pure("was_left"),
        pure("was_right"),
    ]
    edges: list[str | Source] = ["start > left", "start > right", "left > first", "right > first"]
    edges += [edge("first > was_left", **when("side", "==", "left")), edge("first > was_right", default=True)]
    return graph(nodes, *edges, **keys)


RACE_MOCKS: list[dict[str, Any]] = [
    {"node": "left", "value": {"side": "left"}},
    {"node": "right", "value": {"side": "right"}},
    {"node": "was_*", "value": {"told": True}},
    {"node": "was_right", "value": {"never": "used"}},
]


async def simulated(engine: Engine, definition: Source | str, **scenario: Any) -> Simulation:
    return await engine.simulate(definition, scenario)


def events(found: Simulation, event: str) -> list[Any]:
    return [record.data for record in found.records if record.event == event]


async def test_every_order_of_parallel_steps_is_found_over_the_seeds(opened: Open) -> None:
    async with opened() as engine:
        found = await simulated(engine, race(), mocks=RACE_MOCKS, seeds=60)
        assert (found.seeds, found.complete) == (60, True)
        assert [(end.status, end.code, end.count) for end in found.ends] == [("completed", None, 60)]
        assert {finding.node for finding in found.skipped_sometimes} == {"was_left", "was_right"}
        assert sum(finding.count for finding in found.skipped_sometimes) == 60
        assert found.dead_nodes == ()
        assert found.unused_mocks == (3,)


async def test_a_seed_alone_does_what_it_did_among_others(opened: Open) -> None:
    async with opened() as engine:
        among = await simulated(engine, race(), mocks=RACE_MOCKS, seeds=30)
        left = {finding.node: finding for finding in among.skipped_sometimes}["was_left"]
        alone = await simulated(engine, race(), mocks=RACE_MOCKS, seed=left.seeds[0])
        assert alone.dead_nodes == ("was_left",)
        assert alone.status == "completed"


async def test_the_same_seed_gives_the_same_records_every_time(opened: Open) -> None:
    async with opened() as engine:
        scenario = {"mocks": [{"attempt": 1, "fail": {}, "fail_chance": 0.5}], "seed": 4, "cancel_at_s": 0.9}
        runs = [await simulated(engine, race(), **scenario) for _ in range(20)]
        assert len({tuple(record.encoded for record in run.records) for run in runs}) == 1
        assert len({run.state_json for run in runs}) == 1


@pytest.mark.parametrize("seed", range(12))
async def test_random_graphs_are_simulated_alike_every_time(opened: Open, seed: int) -> None:
    chance = Random(seed)
    definition = build(seed, Shape(counted_joins=seed % 2 == 0))
    definition["limits"]["timeout_s"] = chance.uniform(0.1, 3)
    scenario: dict[str, Any] = {
        "allow_unknown_tools": True,
        "seed": seed,
        "seeds": 3,
        "mocks": [
            {"attempt": 1, "fail": {}, "fail_chance": 0.15, "value": {"shared": 1}},
            {"duration_s": 0.1, "node": "n1"},
        ],
        "cancel_at_s": chance.choice([None, 0, 0.1, 0.3]),
    }
    async with opened() as engine:
        first = await simulated(engine, definition, **scenario)
        assert first.seeds == 3
        for _ in range(4):
            assert await simulated(engine, definition, **scenario) == first


async def test_attempts_that_take_equally_long_end_in_any_order(opened: Open) -> None:
    async with opened() as engine:
        mocks = [{**rule, "duration_s": 5} for rule in RACE_MOCKS]
        found = await simulated(engine, race(), mocks=mocks, seeds=40)
        assert {finding.node for finding in found.skipped_sometimes} == {"was_left", "was_right"}


async def test_real_tools_are_never_called_and_nothing_is_stored(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        await simulated(engine, race(), seeds=3)
        assert tools.calls == []
        assert (await engine.graphs()).items == ()
        assert (await engine.runs()).items == ()


async def test_retries_and_time_outs_are_the_real_ones_on_virtual_time(opened: Open) -> None:
    retry = {"jitter": "none", "initial_s": 600, "factor": 1, "max_s": 600}
    nodes = [pure("flaky", retry=retry, timeout_s=60), node("once", tool="once")]
    async with opened() as engine:
        mocks = [
            {"node": "flaky", "attempt": 1, "fail": {"code": "DOWN"}, "duration_s": 30},
            {"node": "flaky", "attempt": 2, "duration_s": 3_600},
            {"node": "flaky", "value": {"ok": True}, "duration_s": 1},
            {"node": "once", "fail": {"code": "LOST"}, "duration_s": 2},
        ]
        found = await simulated(engine, graph(nodes, "flaky > once"), mocks=mocks)
        assert [retried["error"]["code"] for retried in events(found, "step_retrying")] == ["DOWN", "TIMEOUT"]
        assert (found.ends[0].status, found.ends[0].code) == ("failed", "LOST")
        assert found.final_state == {"ok": True}
        assert found.virtual_s is not None
        assert found.virtual_s.max == pytest.approx(30 + 600 + 60 + 600 + 1 + 2, abs=1e-3)
        ended = [*events(found, "step_retrying"), *events(found, "step_completed"), *events(found, "step_failed")]
        assert [record["duration_ms"] for record in ended] == pytest.approx([30_000, 60_000, 1_000, 2_000], abs=0.01)


async def test_conflicts_are_found_with_their_key_and_writers(opened: Open) -> None:
    definition = graph([node("s", tool=None, type="conditional"), pure("a"), pure("b"), pure("j")])
    definition["edges"] = [edge(arrow) for arrow in ("s > a", "s > b", "a > j", "b > j")]
    async with opened() as engine:
        failure = {"fail": {"retryable": False}, "fail_chance": 0.3}
        mocks = [{"node": "a", "value": {"x": 1}}, {"node": "b", "value": {"x": 2}, **failure}]
        found = await simulated(engine, definition, mocks=mocks, seeds=30)
        assert [(end.status, end.code) for end in found.ends] == [
            ("failed", "STATE_CONFLICT"),
            ("failed", "MOCK_FAILURE"),
        ]
        [conflict] = found.conflicts
        assert conflict == Conflict("x", ("a", "b"), "j", conflict.count, conflict.seeds)
        assert found.dead_nodes == ("j",)


async def test_loops_that_run_out_and_routes_that_lead_nowhere_are_found(opened: Open) -> None:
    nodes = [pure("count"), pure("judge"), pure("many"), pure("island")]
    edges: list[str | Source] = ["count > judge", edge("judge > many", **when("n", ">=", 3))]
    definition = graph(
        nodes, *edges, loops=[loop("count", {"field": "n", "operator": ">=", "value": 3}, max_iterations=3)]
    )
    async with opened() as engine:
        counts = [{"node": "count", "values": [{"n": 1}, {"n": 2}]}]
        found = await simulated(engine, definition, mocks=counts, seeds=2, seed=1)
        assert found.exhausted_loops == (Finding("count", 2, (1, 2)),)
        assert found.unmatched_routes == (Finding("judge", 2, (1, 2)),)
        assert found.dead_nodes == ("many", "island")
        assert len(events(found, "loop_iteration")) == 2


async def test_keys_that_depend_on_chance_are_named(opened: Open) -> None:
    async with opened() as engine:
        mocks = [
            {"node": "a", "value": {"x": 1, "y": 1}, "fail": {}, "fail_chance": 0.5},
            {"node": "b", "value": {"z": 1}},
        ]
        definition = graph([pure("a", on_error="continue", retry={"max_attempts": 1}), pure("b")], "a > b")
        found = await simulated(engine, definition, mocks=mocks, seeds=20, initial_state={"y": 1})
        assert found.final_states == {"completed": 2}
        assert found.unstable_keys == ("x",)


async def test_a_run_is_cancelled_when_the_scenario_says_so(opened: Open) -> None:
    async with opened() as engine:
        found = await simulated(engine, graph([pure("a")]), mocks=[{"duration_s": 20}], cancel_at_s=7)
        assert (found.status, found.final_state) == ("cancelled", {})
        assert found.virtual_s is not None
        assert found.virtual_s.max == pytest.approx(7, abs=1e-6)
        late = await simulated(engine, graph([pure("a")]), mocks=[{"duration_s": 20}], cancel_at_s=21)
        assert late.status == "completed"


async def test_the_run_begins_at_the_instant_that_the_scenario_says(opened: Open) -> None:
    async with opened() as engine:
        found = await simulated(engine, graph([pure("a")]), starts_at="2026-01-31T12:00:00+01:00")
        assert found.records[0].data["timestamp"] == "2026-01-31T11:00:00Z"


async def test_a_stored_graph_is_simulated_by_its_id(opened: Open) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [pure("a")])
        found = await simulated(engine, graph_id, mocks=[{"value": {"x": 1}}])
        assert found.final_state == {"x": 1}
        assert events(found, "run_submitted")[0]["graph_id"] == graph_id
        assert events(found, "run_submitted")[0]["run_id"] == "run-simulated-0"
        with pytest.raises(UnknownGraph):
            await simulated(engine, "graph-0")


async def test_graphs_inside_graphs_are_found_by_their_ids(opened: Open) -> None:
    async with opened() as engine:
        deep = await stored(engine, [pure("deep"), pure("never")])
        sub = graph([{"name": "down", "type": "graph", "graph": deep}, pure("beside")], "down > beside")
        sub_id = (await engine.create_graph(sub)).graph_id
        nodes = [{"name": "a/b", "type": "graph", "graph": sub_id}, {"name": "again", "type": "graph", "graph": deep}]
        mocks = [{"path": "a~1b#1/down#1", "value": {"x": 1}}, {"path": "again#*", "value": {"y": 2}}]
        found = await simulated(engine, graph(nodes, "a/b > again"), mocks=mocks)
        assert (found.status, found.final_state) == ("completed", {"x": 1, "y": 2})
        assert found.dead_nodes == ("a~1b/down/never", "again/never")
        missing = graph([{"name": "sub", "type": "graph", "graph": "graph-0"}])
        with pytest.raises(InvalidGraph) as refused:
            await simulated(engine, missing)
        assert [problem.pointer for problem in refused.value.problems] == ["/nodes/0/graph"]


async def test_items_of_a_map_have_rules_of_their_own(opened: Open) -> None:
    each = {"name": "each", "type": "map", "map": {"items": [0, 1, 2], "mode": "collect"}, "tool": "once"}
    mocks = [
        {"item": 1, "fail": {"code": "DOWN"}},
        {"item": 2, "value": {"last": True}},
        {"node": "each", "value": {"x": 1}},
    ]
    async with opened() as engine:
        found = await simulated(engine, graph([each]), mocks=mocks)
        assert found.status == "completed"
        state = found.final_state or {}
        assert state["each"] == [{"x": 1}, None, {"last": True}]
        assert [(error["index"], error["code"]) for error in state["each_errors"]] == [(1, "DOWN")]
        assert found.dead_nodes == ()


def approval(name: str, **keys: Any) -> Source:
    return {"name": name, "type": "approval", "approval": {"prompt": "Publish?", **keys}}


def wait(name: str, **keys: Any) -> Source:
    return {"name": name, "type": "wait", "wait": keys}


async def test_signals_come_at_their_time_and_in_their_order(opened: Open) -> None:
    nodes = [wait("paid", signal="paid", into="first"), wait("more", signal="paid", into="second"), pure("ship")]
    signals = [
        {"at_s": 90, "name": "paid", "data": 2},
        {"at_s": 30, "name": "paid", "data": {"amount": 1}},
        {"at_s": 90, "name": "paid", "data": 3},
        {"at_s": 99_999, "name": "too late"},
    ]
    definition = graph(nodes, "paid > more", "more > ship")
    async with opened() as engine:
        found = await simulated(engine, definition, signals=signals)
        assert found == await simulated(engine, definition, signals=signals)
        assert found.final_state == {"first": {"amount": 1}, "second": 2}
        assert [record["data"] for record in events(found, "signal_received")] == [{"amount": 1}, 2, 3]
        assert found.virtual_s is not None
        assert found.virtual_s.max == pytest.approx(90.5, abs=0.51)


async def test_a_signal_that_never_comes_is_waited_for_until_the_run_is_over_time(opened: Open) -> None:
    async with opened() as engine:
        found = await simulated(engine, graph([wait("paid", signal="paid")]), signals=[{"at_s": 1, "name": "pay"}])
        assert (found.status, found.virtual_s and found.virtual_s.max) == ("timed_out", 86_400)


async def test_waits_for_instants_begin_at_the_start_of_the_scenario(opened: Open) -> None:
    async with opened() as engine:
        found = await simulated(
            engine, graph([wait("noon", until="2026-01-31T12:00:00Z")]), starts_at="2026-01-31T11:00:00Z"
        )
        assert (found.status, found.virtual_s and found.virtual_s.max) == ("completed", 3_600)


async def test_approvals_are_answered_by_the_first_answer_that_fits(opened: Open) -> None:
    again = edge("check > review", **when("review.ok", "==", False))
    nodes = [approval("review"), pure("check"), {"name": "sub", "type": "graph", "graph": graph([approval("review")])}]
    answers = [
        {"path": "sub#1", "answer": "inside", "after_s": 7},
        {"node": "review", "iteration": 1, "answer": {"ok": False}, "after_s": 60},
        {"node": "rev*", "answer": {"ok": True}},
    ]
    async with opened() as engine:
        definition = graph(nodes, "review > check", again, edge("check > sub", default=True))
        found = await simulated(engine, definition, answers=answers, mocks=[{"duration_s": 0}])
        assert found.status == "completed"
        assert [one["answer"] for one in events(found, "approval_answered")] == [{"ok": False}, {"ok": True}, "inside"]
        assert found.virtual_s is not None
        assert found.virtual_s.max == pytest.approx(60 + 1 + 7, abs=1e-4)


async def test_an_answer_that_comes_too_late_changes_nothing(opened: Open) -> None:
    nodes = [approval("review", timeout_s=30, timeout_answer="none"), pure("after")]
    async with opened() as engine:
        mocks, answers = [{"duration_s": 45}], [{"answer": "late", "after_s": 31}]
        found = await simulated(engine, graph(nodes, "review > after"), answers=answers, mocks=mocks)
        assert (found.status, found.final_state) == ("completed", {"review": "none"})


async def test_an_answer_that_does_not_fit_is_refused_with_its_place(opened: Open) -> None:
    definition = graph([approval("review", answer_schema={"properties": {"ok": {"type": "boolean"}}})])
    async with opened() as engine:
        with pytest.raises(InvalidInput) as refused:
            await simulated(engine, definition, answers=[{"node": "x", "answer": 1}, {"answer": {"ok": "yes"}}])
        assert [problem.pointer for problem in refused.value.problems] == ["/answers/1/answer/ok"]


async def test_what_is_cancelled_at_once_ends_in_the_same_order_every_time(opened: Open) -> None:
    """Losers of a join that have just begun, items of a map, and everything else when an end is reached."""
    each = {"name": "each", "type": "map", "map": {"items": list(range(20)), "concurrency": 20}, "tool": "pure"}
    nodes = [
        node("split", tool=None, type="conditional"),
        node("quick", tool=None, type="conditional"),
        *(pure(f"loser{number}") for number in range(8)),
        node("join", tool=None, type="conditional", join="any", cancel_losers=True),
        each,
        *(pure(f"beside{number}") for number in range(8)),
        {"name": "stop", "type": "end"},
    ]
    losers = [edge(f"split > loser{number}") for number in range(8)]
    beside = [edge(f"join > beside{number}") for number in range(8)]
    edges: list[str | Source] = [
        *losers,
        "split > quick",
        "quick > join",
        *(f"loser{number} > join" for number in range(8)),
    ]
    definition = graph(nodes, *edges, "join > each", *beside, edge("each > stop", on="error"))
    definition["nodes"][11]["on_error"] = "route"
    mocks = [{"node": "each", "item": 3, "fail": {"retryable": False}, "duration_s": 0.2}, {"duration_s": [5, 6]}]
    async with opened() as engine:
        runs = [await simulated(engine, definition, mocks=mocks) for _ in range(12)]
        assert runs[0].status == "completed"
        cancelled = [record.get("path", "")[:4] for record in events(runs[0], "step_cancelled")]
        assert (cancelled.count(""), cancelled.count("each")) == (16, 19)
        assert len(events(runs[0], "item_cancelled")) == 19
        assert all(run == runs[0] for run in runs)


async def test_tools_that_nobody_has_written_yet_can_be_simulated(opened: Open) -> None:
    definition = graph([node("a", tool="not_there_yet", config={"any": 1})])
    async with opened() as engine:
        with pytest.raises(InvalidGraph) as refused:
            await simulated(engine, definition)
        assert [problem.pointer for problem in refused.value.problems] == ["/nodes/0/tool"]
        found = await simulated(engine, definition, allow_unknown_tools=True)
        assert found.status == "completed"


async def test_what_does_not_fit_the_graph_is_refused(opened: Open) -> None:
    definition = graph([pure("a", config={"do": "nonsense"})], input_schema={"required": ["n"]})
    async with opened() as engine:
        with pytest.raises(InvalidGraph) as wrong_config:
            await simulated(engine, definition)
        assert wrong_config.value.problems[0].pointer == "/nodes/0/config/do"
        del definition["nodes"][0]["config"]
        with pytest.raises(InvalidInput) as wrong_state:
            await simulated(engine, definition)
        assert wrong_state.value.problems[0].pointer == "/initial_state"
        with pytest.raises(InvalidInput) as wrong_scenario:
            await simulated(engine, definition, seeds=0)
        assert wrong_scenario.value.problems[0].pointer == "/seeds"


async def test_one_run_without_a_scenario_shows_the_way_of_empty_updates(opened: Open) -> None:
    async with opened() as engine:
        found = await engine.simulate(race())
        assert (found.seeds, found.status, found.final_state) == (1, "completed", {})


async def test_when_the_time_is_up_what_was_found_is_answered(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as engine:
        monkeypatch.setattr(simulating, "BUDGET_S", 0.3)
        found = await simulated(engine, race(), mocks=RACE_MOCKS, seeds=1_000)
        assert 0 < found.seeds < 1_000
        assert (found.complete, found.stopped_by) == (False, "time")
        assert found.status == "completed"


def endless(**limits: Any) -> Source:
    nodes = [pure("a"), pure("b")]
    return graph(nodes, "a > b", edge("b > a", **when("done", "not_exists", True)), limits=limits)


@pytest.mark.parametrize(
    ("bound", "value", "stopped_by"),
    [("BUDGET_S", 0.3, "time"), ("MAX_BYTES", 50_000, "size"), ("MAX_STEPS", 100, "steps")],
)
async def test_a_run_without_an_end_is_cut_and_shown(
    opened: Open, monkeypatch: pytest.MonkeyPatch, bound: str, value: float, stopped_by: str
) -> None:
    monkeypatch.setattr(simulating, bound, value)
    definition = endless(max_steps=1_000_000)
    async with opened() as engine:
        found = await simulated(engine, definition, seeds=5)
        assert (found.seeds, found.complete, found.stopped_by) == (0, False, stopped_by)
        assert (found.ends, found.final_state) == ((), None)
        assert len(found.records) > 2
        graph_id = (await engine.create_graph(definition)).graph_id
        assert events(found, "run_submitted")[0]["graph_id"] == graph_id


async def test_nothing_is_simulated_behind_a_run_that_was_cut(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulating, "MAX_STEPS", 40)
    definition, mocks = endless(max_steps=50), [{"fail": {"retryable": False}, "fail_chance": 0.05}]
    async with opened() as engine:
        alone = [await simulated(engine, definition, mocks=mocks, seed=seed) for seed in range(10)]
        cut = [found.stopped_by for found in alone].index("steps")
        assert any(found.complete for found in alone[cut:])
        together = await simulated(engine, definition, mocks=mocks, seeds=10)
        assert (together.seeds, together.stopped_by) == (cut, "steps")


async def test_a_step_limit_of_the_graph_is_an_end_like_any_other(opened: Open) -> None:
    async with opened() as engine:
        found = await simulated(engine, endless(max_steps=10), seeds=2)
        assert (found.complete, found.ends[0].code, found.ends[0].count) == (True, "STEP_LIMIT", 2)


async def test_too_many_simulations_are_refused_and_the_others_take_turns(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, released, done = threading.Event(), threading.Event(), []
    work = simulating._Work.simulate

    def held(self: Any) -> Simulation:
        reached.set()
        released.wait(30)
        return work(self)

    async def one(engine: Engine) -> None:
        done.append((await simulated(engine, race())).status)

    monkeypatch.setattr(simulating._Work, "simulate", held)
    async with opened() as engine:
        async with anyio.create_task_group() as tasks:
            for _ in range(simulating.AT_ONCE + simulating.MAX_WAITING):
                tasks.start_soon(one, engine)
            await anyio.wait_all_tasks_blocked()
            await to_thread.run_sync(reached.wait, 30)
            try:
                with pytest.raises(Overloaded) as refused:
                    await one(engine)
            finally:
                released.set()
            assert refused.value.retry_after_s == simulating.BUDGET_S
            assert done == []
        assert done == ["completed"] * (simulating.AT_ONCE + simulating.MAX_WAITING)


class NotingTools(ScriptedTools):
    """Tells when a tool is looked for: then the simulation is at work in its thread."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def find(self, reference: str) -> Tool | None:
        self.reached.set()
        return super().find(reference)


async def nowhere(graph_id: str) -> Any:
    raise UnknownGraph(graph_id)


async def test_cancelling_the_call_ends_the_thread(store: object, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, ended = NotingTools(), threading.Event()
    work = simulating._Work.simulate

    def noted(self: Any) -> Simulation:
        try:
            return work(self)
        finally:
            ended.set()

    monkeypatch.setattr(simulating._Work, "simulate", noted)
    monkeypatch.setattr(simulating, "BUDGET_S", 1e9)
    monkeypatch.setattr(simulating, "MAX_STEPS", 1_000_000)
    monkeypatch.setattr(simulating, "MAX_BYTES", 1 << 40)
    async with anyio.create_task_group() as tasks:
        definition = endless(max_steps=1_000_000)
        tasks.start_soon(partial(simulate, definition, {}, tools=tools, find_graph=nowhere))
        await to_thread.run_sync(tools.reached.wait, 30)
        tasks.cancel_scope.cancel()
    assert await to_thread.run_sync(ended.wait, 30)


async def test_an_engine_that_closes_simulates_nothing_more(opened: Open) -> None:
    async with opened() as engine:
        await engine.drain()
        with pytest.raises(Closing):
            await simulated(engine, race())
