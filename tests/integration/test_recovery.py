"""What a stop or a crash leaves behind, the next opening takes up: every run ends, exactly once."""

import pytest
from anyio import to_thread
from msgspec.structs import replace

from runtime import open_engine
from runtime.actors.recovery import read_histories
from runtime.errors import JournalDamaged
from runtime.journal import Entry, MemoryJournal, RunRow
from runtime.journal.base import chain_next, chain_start
from runtime.run.records import RunPaused, encode_json
from runtime.testing import ScriptedTools, scripted
from tests.conftest import START, Open, Store, settings
from tests.integration.flow import assert_whole, completed_steps, events, followed, named, of, stored, until
from tests.support.graphs import Source, edge, leaf


def around(effect: str, **keys: object) -> list[Source]:
    """Return a chain of three nodes whose middle one waits, with a tool of that effect."""
    return [
        named("a", scripted("count", key="a", tool="undeclared")),
        named("b", {**scripted("wait", tool=effect, update={"b": 1}), **keys}),
        named("c", scripted("count", key="c", tool="undeclared")),
    ]


CHAIN = ("a > b", "b > c")


@pytest.mark.parametrize("effect", ["pure", "idempotent", "undeclared"])
async def test_a_stopped_run_repeats_only_the_interrupted_attempt(
    opened: Open, tools: ScriptedTools, effect: str
) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, around(effect), *CHAIN))
        await tools.gate("gate").wait_reached()
    tools.gate("gate").open()
    async with opened() as engine:
        view = await engine.wait(run.run_id)
        assert (view.status, view.state) == ("completed", {"a": 1, "b": 1, "c": 1})
        records = await followed(engine, run.run_id)
        assert_whole(records)
        assert set(completed_steps(records).values()) == {1}
    assert [(call.node, call.attempt) for call in tools.calls] == [("a", 1), ("b", 1), ("b", 2), ("c", 1)]
    assert len({call.idempotency_key for call in tools.called("b")}) == 1


@pytest.mark.parametrize(
    ("on_error", "status", "ran"),
    [("fail_run", "failed", []), ("route", "completed", ["d"]), ("continue", "completed", ["c"])],
)
async def test_an_interrupted_call_that_must_not_repeat_takes_its_way_for_errors(
    opened: Open, tools: ScriptedTools, on_error: str, status: str, ran: list[str]
) -> None:
    nodes = [*around("once", on_error=on_error), named("d", scripted("ok"))]
    edges: list[str | Source] = [*CHAIN, edge("b > d", on="error")]
    if on_error != "route":
        nodes, edges = nodes[:3], [*CHAIN]
    async with opened() as engine:
        run = await engine.submit(await stored(engine, nodes, *edges))
        await tools.gate("gate").wait_reached()
    tools.gate("gate").open()
    async with opened() as engine:
        assert (await engine.wait(run.run_id)).status == status
        [failed] = await of(engine, run.run_id, "step_failed")
        assert (failed["node"], failed["error"]["code"]) == ("b", "OUTCOME_UNKNOWN")
    assert len(tools.called("b")) == 1
    assert [call.node for call in tools.calls if call.node in "cd"] == ran


async def test_a_crash_loses_nothing_that_was_shown(sqlite: Store, tools: ScriptedTools) -> None:
    """A copy of the files, taken while the engine runs, is what a machine finds that lost its power at that moment."""
    async with open_engine(settings(), tools, journal=sqlite.journal()) as engine:
        run = await engine.submit(await stored(engine, around("undeclared"), *CHAIN))
        await tools.gate("gate").wait_reached()
        shown = await engine.log(run.run_id)
        copy = await to_thread.run_sync(sqlite.copied, "crashed")
        tools.gate("gate").open()
        await engine.wait(run.run_id)
    async with open_engine(settings(), tools, journal=copy.journal()) as engine:
        assert (await engine.wait(run.run_id)).status == "completed"
        records = await followed(engine, run.run_id)
        assert records[: len(shown)] == shown
        assert set(completed_steps(records).values()) == {1}
        assert [record.event for record in records].count("run_completed") == 1


async def test_an_ended_run_stays_as_it_is(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        view = await engine.run(await stored(engine, [named("a", scripted("count"))]))
        records = await followed(engine, view.run_id)
    async with opened() as engine:
        assert await engine.state(view.run_id) == view
        assert await engine.wait(view.run_id) == view
        assert await followed(engine, view.run_id) == records
    assert len(tools.calls) == 1


async def test_run_numbers_go_on_so_lists_stay_in_order(opened: Open) -> None:
    ids = []
    for _ in range(3):
        async with opened() as engine:
            ids.append((await engine.run(await stored(engine, [named("a", scripted("ok"))]))).run_id)
    async with opened() as engine:
        assert [run.run_id for run in (await engine.runs()).items] == ids[::-1]


async def test_pending_runs_are_taken_up_and_never_more_than_the_bound(opened: Open, tools: ScriptedTools) -> None:
    async with opened(max_active_runs=1) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        runs = [await engine.submit(graph_id) for _ in range(4)]
        await tools.gate("gate").wait_reached()
    async with opened(max_active_runs=2) as engine:
        await tools.gate("gate").wait_reached(3)
        counts = await engine.statistics()
        assert (counts.active, counts.pending) == (2, 2)
        tools.gate("gate").open()
        for run in runs:
            assert (await engine.wait(run.run_id)).status == "completed"


async def test_restarting_again_and_again_does_not_put_a_healthy_run_aside(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, around("undeclared"), *CHAIN))
        await tools.gate("gate").wait_reached()
    for times in range(2, 8):
        async with opened():
            await tools.gate("gate").wait_reached(times)
    tools.gate("gate").open()
    async with opened() as engine:
        assert (await engine.wait(run.run_id)).status == "completed"
    assert [call.attempt for call in tools.called("b")] == list(range(1, 9))


async def test_a_run_whose_tool_is_gone_waits_and_goes_on_when_it_is_back(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        run = await engine.submit(await stored(engine, around("idempotent"), *CHAIN))
        await tools.gate("gate").wait_reached()
    tools.hide("idempotent")
    tools.gate("gate").open()
    async with opened() as engine:
        other = await stored(engine, [named("x", scripted("ok"))])
        assert (await engine.run(other)).status == "completed"
        await until(engine, run.run_id, "run_blocked")
        blocked = await of(engine, run.run_id, "run_blocked")
        assert "idempotent@1" in blocked[0]["reason"]
        assert (await engine.state(run.run_id)).status == "waiting"
        assert [line.run_id for line in (await engine.runs(status="waiting")).items] == [run.run_id]
    tools.show("idempotent")
    async with opened() as engine:
        view = await engine.wait(run.run_id)
        assert (view.status, view.state) == ("completed", {"a": 1, "b": 1, "c": 1})


async def test_a_cancel_that_was_answered_holds_across_a_stop(opened: Open, tools: ScriptedTools) -> None:
    async with opened(cancel_grace_s=60) as engine:
        nodes = [named("a", scripted("hang", tool="undeclared")), named("b", scripted("ok"))]
        run = await engine.submit(await stored(engine, nodes, "a > b"))
        await engine.cancel(run.run_id)
    async with opened() as engine:
        assert (await engine.wait(run.run_id)).status == "cancelled"
        assert tools.called("b") == []


async def test_an_altered_record_stops_the_engine(tools: ScriptedTools) -> None:
    journal = MemoryJournal()
    async with open_engine(settings(), tools, journal=journal) as engine:
        await engine.submit(await stored(engine, [named("a", scripted("wait"))]))
        await tools.gate("gate").wait_reached()
    first = journal._entries[1][0]
    journal._entries[1][0] = replace(first, body=first.body.replace(b'"initial_state":{}', b'"initial_state":{"a":1}'))
    with pytest.raises(JournalDamaged):
        async with open_engine(settings(), tools, journal=journal) as engine:
            await engine.wait((await engine.runs()).items[0].run_id)


# --- recovery equals the uninterrupted run, from every position --------------------------------------------------------

LOOP_AND_BRANCH = [
    named("start", scripted("ok", update={"go": True}, tool="undeclared")),
    named("body", scripted("count", key="n", tool="idempotent")),
    named("left", scripted("count", key="l")),
    named(
        "right",
        scripted(
            "fail_times",
            times=1,
            tool="undeclared",
            update={"r": 1},
            node={"retry": {"max_attempts": 2, "initial_s": 0}},
        ),
    ),
    named("end", scripted("count", key="e", tool="undeclared")),
]
PATHS = ["start > body", "body > left", "body > right", "left > end", "right > end"]
LOOPS = [{"node": "body", "condition": leaf("n", ">=", 3), "max_iterations": 5}]


def cut(journal: MemoryJournal, entries: int) -> MemoryJournal:
    """Return a journal as it was after so many entries of run 1."""
    copy = MemoryJournal()
    copy.open()
    for graph in journal.graphs(before=None, limit=9):
        copy.add_graph(graph)
    copy.commit(journal.entries(1, after=0, limit=entries))
    return copy


async def test_from_every_position_of_the_journal_a_run_ends_as_if_nothing_had_happened(tools: ScriptedTools) -> None:
    whole = MemoryJournal()
    async with open_engine(settings(), tools, journal=whole) as engine:
        graph_id = await stored(engine, LOOP_AND_BRANCH, *PATHS, loops=LOOPS)
        expected = await engine.run(graph_id)
        steps = completed_steps(await followed(engine, expected.run_id))
        assert expected.status == "completed"
        assert expected.state == {"go": True, "n": 3, "l": 1, "r": 1, "e": 1}
        assert steps["body", 3] == 1
    total = len(whole.entries(1, after=0, limit=1_000))
    assert total >= 10
    for position in range(1, total + 1):
        async with open_engine(settings(), tools, journal=cut(whole, position)) as engine:
            view = await engine.wait(expected.run_id)
            records = await followed(engine, expected.run_id)
            assert (view.status, view.state) == (expected.status, expected.state), f"after entry {position}"
            assert completed_steps(records) == steps, f"after entry {position}"
            assert_whole(records)
            assert (await events(engine, expected.run_id)).count("run_completed") == 1


@pytest.mark.parametrize("enough", [1, 7, 1_000])
async def test_runs_with_many_records_are_not_all_read_at_once(
    opened: Open, tools: ScriptedTools, monkeypatch: pytest.MonkeyPatch, enough: int
) -> None:
    monkeypatch.setattr("runtime.actors.rebuilding.RECORDS_AT_ONCE", enough)
    async with opened() as engine:
        graph_id = await stored(engine, [named("a", scripted("wait", tool="undeclared"))])
        runs = [(await engine.submit(graph_id)).run_id for _ in range(5)]
        await tools.gate("gate").wait_reached(5)
    tools.gate("gate").open()
    async with opened() as engine:
        assert {(await engine.wait(run_id)).status for run_id in runs} == {"completed"}


def test_histories_are_read_until_there_are_enough_records_however_few_their_rows_tell_of() -> None:
    journal = MemoryJournal()
    journal.open()
    for number in (1, 2, 3):
        run_id, at = f"run-{number}", START
        lines = [encode_json(RunPaused(run_id=run_id, seq=seq, timestamp=at)) for seq in (1, 2)]
        body = b"\n".join(lines)
        row = RunRow(number, run_id, "graph-1", "running", at, last_seq=1)
        journal.commit([Entry(number, 1, 2, 1, body, chain_next(chain_start(run_id), body), row)])
    rows = journal.unfinished()
    assert [len(read_histories(journal, rows, enough)) for enough in (1, 2, 3, 5, 9)] == [1, 1, 2, 3, 3]
