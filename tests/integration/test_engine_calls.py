"""What the engine's methods answer, over memory and SQLite, on both event loops."""

from collections import Counter

import anyio
import pytest

from runtime.errors import Closing, GraphInUse, InvalidGraph, InvalidInput, ToolMissing, UnknownGraph, UnknownRun
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import assert_whole, events, followed, named, stored
from tools.contract import tool

OK = named("a", scripted("ok", update={"x": 1}))
WAIT = named("a", scripted("wait"))


async def test_run_returns_the_end_state(opened: Open) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [OK, named("b", scripted("count"))], "a > b")
        view = await engine.run(graph_id, {"count": 41})
        assert (view.status, view.state, view.error) == ("completed", {"count": 42, "x": 1}, None)
        assert await engine.state(view.run_id) == view
        assert await engine.wait(view.run_id) == view
        assert (await engine.log(view.run_id))[-1].seq == view.last_seq


async def test_submit_returns_before_the_run_has_ended(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [WAIT]))
        assert run.status == "running"
        assert run.started_at is not None
        assert run.completed_at is None
        tools.gate("gate").open()
        assert (await engine.wait(run.run_id)).status == "completed"
        assert (await engine.summary(run.run_id)).completed_at is not None


async def test_a_failing_tool_fails_its_run_and_says_why(opened: Open) -> None:
    async with opened() as engine:
        view = await engine.run(await stored(engine, [named("a", scripted("fail", code="MINE", retryable=False))]))
        assert (view.status, view.error) == ("failed", "MINE: the script says so")


async def test_the_state_of_a_running_run_is_what_is_committed(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, [OK, named("b", scripted("wait"))], "a > b"), {"y": 2})
        await tools.gate("gate").wait_reached()
        view = await engine.state(run.run_id)
        assert (view.status, view.state) == ("running", {"x": 1, "y": 2})
        assert (await engine.log(run.run_id))[-1].seq == view.last_seq
        tools.gate("gate").open()
        await engine.wait(run.run_id)


async def test_the_log_can_be_read_in_parts(opened: Open) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, [OK]))
        whole = await engine.log(run.run_id)
        assert_whole(whole)
        for after in range(len(whole) + 2):
            assert await engine.log(run.run_id, after=after) == whole[after:]
            assert await engine.log(run.run_id, after=after, limit=2) == whole[after : after + 2]
        assert await engine.log(run.run_id, limit=0) == []


async def test_the_initial_state_is_copied(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        initial = {"x": [1]}
        run = await engine.submit(await stored(engine, [WAIT]), initial)
        initial["x"].append(2)
        tools.gate("gate").open()
        assert (await engine.wait(run.run_id)).state == {"x": [1]}


async def test_tools_are_told_who_calls_them(opened: Open) -> None:
    async with opened() as engine:
        run = await engine.run(await stored(engine, [named("a", scripted("echo"))]))
        assert run.state["context"] == [run.run_id, "a", 1, 1, f"{run.run_id}/a/1"]


async def test_a_tool_cannot_change_the_state_but_by_what_it_returns(opened: Open, tools: ScriptedTools) -> None:
    @tool(effect="pure")
    async def meddle(state: dict[str, list[int]]) -> None:
        state["x"].append(2)

    tools.add(meddle)
    async with opened() as engine:
        run = await engine.run(await stored(engine, [named("a", {"tool": "meddle"})]), {"x": [1]})
        assert run.state == {"x": [1]}


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_runs_are_listed_newest_first_page_by_page(opened: Open) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [OK])
        runs = [(await engine.run(graph_id)).run_id for _ in range(5)]
        first = await engine.runs(limit=2)
        second = await engine.runs(limit=2, cursor=first.next_cursor)
        third = await engine.runs(limit=2, cursor=second.next_cursor)
        assert [run.run_id for page in (first, second, third) for run in page.items] == runs[::-1]
        assert third.next_cursor is None


async def test_a_last_page_that_is_full_has_no_cursor(opened: Open) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [OK])
        await engine.run(graph_id)
        assert (await engine.runs(limit=1)).next_cursor is None
        assert (await engine.graphs(limit=1)).next_cursor is None


async def test_runs_are_filtered_by_graph_and_status(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        done, running = await stored(engine, [OK]), await stored(engine, [WAIT])
        finished = await engine.run(done)
        waiting = await engine.submit(running)
        assert [run.run_id for run in (await engine.runs(status="running")).items] == [waiting.run_id]
        assert [run.run_id for run in (await engine.runs(graph_id=done)).items] == [finished.run_id]
        assert (await engine.runs(graph_id=done, status="running")).items == ()
        tools.gate("gate").open()


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 201}, {"cursor": "x"}, {"cursor": "-1"}, {"status": "done"}])
async def test_a_list_that_cannot_be_is_refused(opened: Open, wrong: dict[str, object]) -> None:
    async with opened() as engine:
        with pytest.raises(InvalidInput) as caught:
            await engine.runs(**wrong)  # type: ignore[arg-type]
        assert len(caught.value.problems) == 1


# --- graphs -----------------------------------------------------------------------------------------------------------


async def test_the_same_graph_always_has_the_same_id(opened: Open) -> None:
    async with opened() as engine:
        assert await stored(engine, [OK]) == await stored(engine, [OK])
        assert (await engine.statistics()).graphs == 1


async def test_graphs_are_listed_and_read_back(opened: Open) -> None:
    async with opened() as engine:
        ids = [await stored(engine, [OK], name=f"g{number}", description="d") for number in range(3)]
        page = await engine.graphs(limit=2)
        assert [(graph.graph_id, graph.name, graph.nodes) for graph in page.items] == [
            (ids[2], "g2", 1),
            (ids[1], "g1", 1),
        ]
        assert [graph.graph_id for graph in (await engine.graphs(cursor=page.next_cursor)).items] == ids[:1]
        assert b'"name":"g0"' in (await engine.graph(ids[0])).definition


async def test_a_graph_with_mistakes_is_refused_with_all_of_them(opened: Open) -> None:
    async with opened() as engine:
        with pytest.raises(InvalidGraph) as caught:
            await engine.create_graph({"name": "g", "nodes": [{"name": "a", "tool": "pur"}], "entry_point": "b"})
        assert {problem.pointer for problem in caught.value.problems} == {"/nodes/0/tool", "/entry_point"}


async def test_a_graph_in_use_cannot_be_deleted_and_a_finished_one_can(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [WAIT])
        run = await engine.submit(graph_id)
        with pytest.raises(GraphInUse):
            await engine.delete_graph(graph_id)
        tools.gate("gate").open()
        await engine.wait(run.run_id)
        await engine.delete_graph(graph_id)
        with pytest.raises(UnknownGraph):
            await engine.graph(graph_id)
        with pytest.raises(UnknownGraph):
            await engine.submit(graph_id)
        with pytest.raises(UnknownGraph):
            await engine.delete_graph(graph_id)
        assert (await engine.state(run.run_id)).status == "completed"
        assert_whole(await followed(engine, run.run_id))


async def test_a_deleted_graph_that_is_created_again_runs_again(opened: Open) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [OK])
        await engine.run(graph_id)
        await engine.delete_graph(graph_id)
        assert await stored(engine, [OK]) == graph_id
        assert (await engine.run(graph_id)).status == "completed"


# --- what is not there, and what is over ------------------------------------------------------------------------------


async def test_unknown_ids_are_told(opened: Open) -> None:
    async with opened() as engine:
        with pytest.raises(UnknownGraph):
            await engine.submit("graph-x")
        for call in (engine.wait, engine.state, engine.summary, engine.cancel, engine.log):
            with pytest.raises(UnknownRun):
                await call("run-x")
        with pytest.raises(UnknownRun):
            await followed(engine, "run-x")


async def test_a_tool_that_is_gone_refuses_new_runs(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [OK])
        tools.hide("pure")
        with pytest.raises(ToolMissing):
            await engine.submit(graph_id)
        tools.show("pure")
        assert (await engine.run(graph_id)).status == "completed"


async def test_an_initial_state_that_does_not_fit_is_refused_and_nothing_is_stored(opened: Open) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [OK], input_schema={"required": ["n"]})
        with pytest.raises(InvalidInput):
            await engine.submit(graph_id, {})
        assert (await engine.statistics()).runs == 0
        assert (await engine.run(graph_id, {"n": 1})).status == "completed"


async def test_a_draining_engine_takes_nothing_new_and_still_answers(opened: Open) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [OK])
        run = await engine.run(graph_id)
        await engine.drain()
        assert engine.is_closing
        with pytest.raises(Closing):
            await engine.submit(graph_id)
        with pytest.raises(Closing):
            await stored(engine, [OK])
        with pytest.raises(Closing):
            await engine.delete_graph(graph_id)
        assert (await engine.state(run.run_id)).status == "completed"


async def test_the_callers_own_exception_leaves_the_engine_as_it_is(opened: Open) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with opened():
            raise LookupError("mine")


async def test_statistics_count_what_there_is(opened: Open, tools: ScriptedTools) -> None:
    async with opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [WAIT])
        runs = [await engine.submit(graph_id) for _ in range(3)]
        counts = await engine.statistics()
        assert (counts.graphs, counts.runs, counts.active, counts.pending, counts.finished) == (1, 3, 1, 2, 0)
        tools.gate("gate").open()
        for run in runs:
            await engine.wait(run.run_id)
        counts = await engine.statistics()
        assert (counts.active, counts.pending, counts.finished) == (0, 0, 3)


async def test_three_hundred_runs_at_once_all_complete(opened: Open) -> None:
    async with opened(recent_records=16) as engine:
        nodes = [named("a", scripted("count")), named("b", scripted("count", tool="undeclared"))]
        graph_id = await stored(engine, nodes, "a > b")
        states = []

        async def run(number: int) -> None:
            view = await engine.run(graph_id, {"count": number})
            states.append((view.status, view.state["count"] - number))

        async with anyio.create_task_group() as tasks:
            for number in range(300):
                tasks.start_soon(run, number)
        assert states == [("completed", 2)] * 300
        assert (await engine.statistics()).finished == 300
        assert "run_completed" in await events(engine, (await engine.runs(limit=1)).items[0].run_id)


async def test_a_run_that_goes_on_by_itself_for_long_leaves_others_their_turn(opened: Open) -> None:
    nodes = [{"name": f"n{number}", "type": "conditional"} for number in range(3_000)]
    edges = [{"from_node": f"n{number}", "to_node": f"n{number + 1}"} for number in range(2_999)]
    async with opened() as engine:
        graph = {"name": "long", "nodes": nodes, "edges": edges, "entry_point": "n0"}
        run = await engine.run((await engine.create_graph(graph)).graph_id)
        assert run.status == "completed"
        records = [record.data for record in await engine.log(run.run_id)]
        assert sum(record["event"] == "step_completed" for record in records) == 3_000
        assert max(Counter(record["timestamp"] for record in records).values()) < 3_000
