"""Tools in processes of their own do what others do, and end when they are told to, whatever they are doing."""

import os
import signal
from pathlib import Path

import anyio
import pytest

from runtime import EngineError, open_engine
from tests.conftest import settings
from tests.integration.flow import assert_whole, followed, of, stored, until
from tests.support.graphs import Source, node
from tests.support.processes import eventually, exists, opened_isolated, runs
from tools import Registry
from tools.artifact_store import ArtifactStore

ONCE: Source = {"retry": {"max_attempts": 1}}


@pytest.fixture(autouse=True)
def _never_blocks() -> None:
    """Not checked here: asyncio waits in the event loop for a process to begin, a millisecond or two."""


def calling(tool: str, *, keys: Source | None = None, **config: object) -> Source:
    return node("a", tool=tool, config=config, **(keys or {}))


async def test_plain_and_async_tools_return_their_updates_from_another_process() -> None:
    async with opened_isolated() as engine:
        for tool in ("add", "add_async"):
            view = await engine.run(await stored(engine, [calling(tool)]), {"n": 1})
            assert view.status == "completed", view.error
            assert view.state["n"] == 2
            assert view.state["pid"] != os.getpid()


async def test_a_process_is_used_again_by_tools_of_the_same_file() -> None:
    async with opened_isolated() as engine:
        pids = {
            (await engine.run(await stored(engine, [calling(tool)]))).state["pid"]
            for tool in ("add", "add_async", "add", "add_async")
        }
        assert len(pids) == 1


async def test_a_tool_in_a_process_of_its_own_tells_its_progress_and_is_never_told_to_end() -> None:
    async with opened_isolated() as engine:
        run = await engine.run(await stored(engine, [calling("advance", total=100)]))
        assert run.state == {"advanced": True}
        lines = await of(engine, run.run_id, "tool_log")
        assert [line["fields"]["done"] for line in lines] == [1, *range(5, 101, 5)]


async def test_calls_beyond_the_number_of_processes_queue() -> None:
    async with opened_isolated(tool_processes=2) as engine:
        graph_id = await stored(engine, [calling("add")])
        pids: list[int] = []

        async def run() -> None:
            pids.append((await engine.run(graph_id)).state["pid"])

        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(run)
        assert len(pids) == 12
        assert len(set(pids)) == 2


async def test_a_process_of_another_memory_limit_takes_the_place_of_one_that_rests() -> None:
    async with opened_isolated(tool_processes=1) as engine:
        first = (await engine.run(await stored(engine, [calling("add")]))).state["pid"]
        second = (await engine.run(await stored(engine, [calling("leak", mib=1)]))).state["pid"]
        assert second != first
        assert not exists(first)


async def test_the_tool_gets_the_same_context_as_any_other(tmp_path: Path) -> None:
    async with opened_isolated(datasets_dir=tmp_path) as engine:
        view = await engine.run(await stored(engine, [calling("who")]))
        assert view.state["context"] == [view.run_id, "a", 1, 1, f"{view.run_id}/a/1", str(tmp_path)]


async def test_what_a_tool_prints_and_reads_disturbs_nothing() -> None:
    async with opened_isolated() as engine:
        graph_id = await stored(engine, [calling("noisy")])
        for _ in range(2):
            view = await engine.run(graph_id)
            assert (view.status, view.state) == ("completed", {"read": ""})


async def test_lines_join_the_runs_log_in_order() -> None:
    async with opened_isolated() as engine:
        run = await engine.run(await stored(engine, [calling("log", times=30)]))
        lines = await of(engine, run.run_id, "tool_log")
        assert [line["fields"]["number"] for line in lines] == list(range(30))
        assert {(line["node"], line["attempt"], line["level"]) for line in lines} == {("a", 1, "info")}


async def test_a_flood_of_lines_is_kept_to_its_rate_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.actors.tool_log.BURST", 50)
    monkeypatch.setattr("runtime.actors.tool_log.RATE", 1)
    async with opened_isolated() as engine:
        run = await engine.run(await stored(engine, [calling("log", times=1_000)]))
        assert run.status == "completed"
        records = await followed(engine, run.run_id)
        assert_whole(records)
        kept = sum(record.event == "tool_log" for record in records)
        dropped = sum(record.data["count"] for record in records if record.event == "tool_log_dropped")
        assert dropped > 0
        assert kept + dropped == 1_000


async def test_lines_that_are_too_long_or_no_json_are_shown_as_far_as_they_can_be() -> None:
    async with opened_isolated() as engine:
        run = await engine.run(await stored(engine, [calling("log_oddly")]))
        assert run.status == "completed", run.error
        odd, long = await of(engine, run.run_id, "tool_log")
        assert (odd["message"], odd["fields"]) == ("half \\ud800", {"value": "{1, 2}", "nothing": None})
        assert len(long["message"]) < 9_000
        assert "more" in long["fields"]["omitted"]


async def test_lines_that_a_tool_leaves_behind_do_not_join_the_next_call() -> None:
    async with opened_isolated(tool_processes=1) as engine:
        assert (await engine.run(await stored(engine, [calling("log_late")]))).status == "completed"
        run = await engine.run(await stored(engine, [calling("log", times=3)]))
        assert [line["message"] for line in await of(engine, run.run_id, "tool_log")] == ["line"] * 3


@pytest.mark.parametrize(
    ("how", "code", "text"),
    [
        ("ValueError", "TOOL_EXCEPTION", "ValueError: a ValueError"),
        ("ExceptionGroup", "TOOL_EXCEPTION", "two at once"),
        ("long", "TOOL_EXCEPTION", "…"),
        ("tool error", "MINE", "no use"),
        ("stray cancellation", "SPURIOUS_CANCEL", "nobody had asked"),
        ("bytes", "INVALID_OUTPUT", "bytes, which is not JSON, at /a/b"),
        ("tuple", "INVALID_OUTPUT", "tuple, which is not JSON, at /a/0"),
        ("nan", "INVALID_OUTPUT", "nan"),
        ("text", "INVALID_OUTPUT", "returned str"),
        ("close", "WORKER_DIED", "closed the pipe|exit code"),
    ],
)
async def test_a_bad_tool_fails_with_the_code_that_it_has_everywhere(how: str, code: str, text: str) -> None:
    async with opened_isolated() as engine:
        view = await engine.run(await stored(engine, [calling("fail", how=how)]), {"y": 1})
        assert (view.status, view.state) == ("failed", {"y": 1})
        [failed] = await of(engine, view.run_id, "step_failed")
        assert failed["error"]["code"] == code
        assert any(part in failed["error"]["message"] for part in text.split("|"))
        assert len(failed["error"]["message"]) < 4_200


async def test_a_tool_that_cannot_be_loaded_again_says_where_it_was_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from tools import tool\n\n@tool(isolation='process')\ndef gone(state):\n    return {}\n")
    registry = Registry()
    registry.load_file(file)
    file.unlink()
    async with open_engine(settings(), registry) as engine:
        view = await engine.run(await stored(engine, [calling("gone")]))
        assert (view.error or "").startswith("TOOL_NOT_LOADED")
        assert str(file) in (view.error or "")


async def test_a_time_out_kills_the_process_and_what_it_started_at_once() -> None:
    async with opened_isolated(cancel_grace_s=60.0) as engine:
        # Without a time-out first: the process has to be there before the clock runs.
        assert (await engine.run(await stored(engine, [calling("add")]))).status == "completed"
        view = await engine.run(await stored(engine, [calling("spin", keys={"timeout_s": 1.0, **ONCE})]))
        assert (view.error or "").startswith("TIMEOUT")
        [line] = await of(engine, view.run_id, "tool_log")
        assert not exists(line["fields"]["pid"])
        await eventually(lambda: not runs(line["fields"]["child"]))
        [failed] = await of(engine, view.run_id, "step_failed")
        assert not failed.get("abandoned")
        assert (await engine.statistics()).abandoned_attempts == 0


async def test_a_cancelled_run_kills_its_process() -> None:
    async with opened_isolated(cancel_grace_s=60.0) as engine:
        run = await engine.submit(await stored(engine, [calling("spin")]))
        await until(engine, run.run_id, "tool_log")
        [line] = await of(engine, run.run_id, "tool_log")
        await engine.cancel(run.run_id)
        assert (await engine.wait(run.run_id)).status == "cancelled"
        assert not exists(line["fields"]["pid"])
        await eventually(lambda: not runs(line["fields"]["child"]))


async def test_a_call_that_times_out_in_the_queue_says_what_it_waited_for() -> None:
    async with opened_isolated(tool_processes=1) as engine:
        busy = await engine.submit(await stored(engine, [calling("spin")]))
        await until(engine, busy.run_id, "tool_log")
        view = await engine.run(await stored(engine, [calling("add", keys={"timeout_s": 0.05, **ONCE})]))
        assert (view.error or "").startswith("TIMEOUT")
        assert "one of the 1 processes" in (view.error or "")
        await engine.cancel(busy.run_id)
        assert (await engine.run(await stored(engine, [calling("add")]))).status == "completed"


async def test_a_call_that_is_cancelled_in_the_queue_leaves_its_turn_to_the_next() -> None:
    async with opened_isolated(tool_processes=1) as engine:
        add = await stored(engine, [calling("add")])
        busy = await engine.submit(await stored(engine, [calling("spin")]))
        await until(engine, busy.run_id, "tool_log")
        first, second = await engine.submit(add), await engine.submit(add)
        await until(engine, second.run_id, "step_started")
        await engine.cancel(first.run_id)
        assert (await engine.wait(first.run_id)).status == "cancelled"
        await engine.cancel(busy.run_id)
        assert (await engine.wait(second.run_id)).status == "completed"


async def test_a_resting_process_that_died_costs_the_next_call_nothing() -> None:
    async with opened_isolated() as engine:
        graph_id = await stored(engine, [calling("add", keys=ONCE)])
        pid = (await engine.run(graph_id)).state["pid"]
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not runs(pid))
        await anyio.sleep(0.05)  # asyncio hears of it from the system's watcher
        view = await engine.run(graph_id)
        assert view.status == "completed", view.error
        assert view.state["pid"] != pid


async def test_closing_the_engine_ends_all_processes_those_at_work_and_those_at_rest() -> None:
    async with opened_isolated() as engine:
        busy = await engine.submit(await stored(engine, [calling("spin")]))
        await until(engine, busy.run_id, "tool_log")
        [line] = await of(engine, busy.run_id, "tool_log")
        resting = (await engine.run(await stored(engine, [calling("add")]))).state["pid"]
        assert exists(resting)
    assert not exists(resting)
    assert not exists(line["fields"]["pid"])


@pytest.mark.parametrize("keys", [{"tool_processes": 0}, {"tool_memory_mb": 8}])
async def test_settings_that_no_process_can_work_with_are_refused(keys: dict[str, int]) -> None:
    with pytest.raises(EngineError, match=next(iter(keys))):
        async with opened_isolated(**keys):
            pass


async def test_a_tool_in_a_process_of_its_own_leaves_artifacts_within_the_same_bounds(tmp_path: Path) -> None:
    async with opened_isolated(artifacts_dir=tmp_path, max_artifact_bytes=5) as engine:
        run = await engine.run(await stored(engine, [calling("leave", name="a.txt", text="small")]))
        assert run.state["read"] == "small"
        [listed] = ArtifactStore(tmp_path, 5).listing(run.run_id)
        assert run.state["left"] == {"artifact": "a.txt", "sha256": listed.sha256, "bytes": 5}
        failed = await engine.run(await stored(engine, [calling("leave", name="a.txt", text="larger")]))
        assert "ARTIFACT_TOO_LARGE" in (failed.error or "")
    async with opened_isolated() as engine:  # without a folder there are none
        run = await engine.run(await stored(engine, [calling("leave", name="a.txt", text="small")]))
        assert run.state == {"left": None}
