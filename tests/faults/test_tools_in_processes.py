"""Tools in processes of their own may leak, crash and flood: the step fails as the book says, and the engine does not feel it."""

import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Final

import anyio
import pytest
from anyio import to_thread

from tests.integration.flow import of, stored
from tests.support.graphs import Source, node
from tests.support.processes import ISOLATED, eventually, exists, opened_isolated, runs

ROOT: Final = Path(__file__).parents[2]
MIB: Final = 1 << 20
RETRIED: Source = {"retry": {"max_attempts": 3, "initial_s": 0}}


def calling(tool: str, *, keys: Source | None = None, **config: object) -> Source:
    return node("a", tool=tool, config=config, **(keys or {}))


def peak_bytes() -> int:
    """Return the most memory that this process, which the engine is in, has taken since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def forget_peak() -> int:
    """Let the peak begin anew, and return it."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


@pytest.mark.parametrize("error", ["ValueError", "SystemExit", "KeyboardInterrupt", "GeneratorExit"])
async def test_f26_whatever_a_tool_raises_fails_one_attempt_and_its_process_goes_on(error: str) -> None:
    async with opened_isolated(tool_processes=1) as engine:
        before = (await engine.run(await stored(engine, [calling("add")]))).state["pid"]
        view = await engine.run(await stored(engine, [calling("fail", how=error)]))
        assert (view.error or "").startswith(f"TOOL_EXCEPTION: {error}: a {error}")
        assert (await engine.run(await stored(engine, [calling("add")]))).state["pid"] == before


@pytest.mark.parametrize("tool", ["leak", "leak_in_group"])
async def test_f30_a_leak_ends_at_the_limit_of_its_process_and_the_engine_does_not_grow(tool: str) -> None:
    async with opened_isolated() as engine:
        graph_id = await stored(engine, [calling(tool, keys={"retry": {"max_attempts": 1}})])
        assert (await engine.run(graph_id)).status == "failed"  # so that the engine has loaded what it needs
        before = forget_peak()
        view = await engine.run(graph_id)
        assert peak_bytes() - before < 16 * MIB
        assert (view.error or "").startswith("RESOURCE_EXCEEDED")
        assert "256 MiB" in (view.error or "")
        assert (await engine.run(await stored(engine, [calling("leak", mib=1)]))).status == "completed"


async def test_f30_each_attempt_after_a_leak_gets_a_fresh_process() -> None:
    async with opened_isolated(tool_processes=1) as engine:
        graph_id = await stored(engine, [calling("leak", mib=40, keys=RETRIED)])
        views = [await engine.run(graph_id) for _ in range(8)]  # 40 MiB stay each time
        assert [view.status for view in views] == ["completed"] * 8
        assert len({view.state["pid"] for view in views}) > 1


async def test_f32_of_a_result_of_100_mb_no_more_is_read_than_an_update_may_have() -> None:
    async with opened_isolated() as engine:
        graph_id = await stored(engine, [calling("huge", size_bytes=100_000_000, keys=RETRIED)])
        before = forget_peak()
        view = await engine.run(graph_id, {"y": 1})
        assert peak_bytes() - before < 16 * MIB
        assert (view.error or "").startswith("UPDATE_TOO_LARGE")
        assert view.state == {"y": 1}
        [failed] = await of(engine, view.run_id, "step_failed")
        assert failed["attempt"] == 1  # not worth a second one


@pytest.mark.parametrize("size_bytes", [MIB - 11, MIB - 10])
async def test_f32_the_limit_is_the_same_to_the_byte_as_in_the_engines_process(size_bytes: int) -> None:
    async with opened_isolated() as engine:
        view = await engine.run(await stored(engine, [calling("huge", size_bytes=size_bytes)]))
        assert view.status == ("completed" if size_bytes + len('{"text":""}') <= MIB else "failed")


@pytest.mark.parametrize(("how", "cause"), [("segfault", "SIGSEGV"), ("exit", "exit code 3")])
async def test_f33_a_process_that_dies_fails_the_attempt_which_is_retried_in_a_new_one(how: str, cause: str) -> None:
    async with opened_isolated(tool_processes=1) as engine:
        dies = await engine.run(await stored(engine, [calling("die", how=how, keys=RETRIED)]))
        assert (dies.error or "").startswith("WORKER_DIED")
        assert cause in (dies.error or "")
        pids = {line["fields"]["pid"] for line in await of(engine, dies.run_id, "tool_log")}
        assert len(pids) == 3
        assert not any(map(exists, pids))
        survives = await engine.run(await stored(engine, [calling("die", how=how, times=2, keys=RETRIED)]))
        assert survives.state == {"survived": 3}


async def test_f33_unbounded_recursion_is_an_ordinary_failure() -> None:
    async with opened_isolated(tool_processes=1) as engine:
        before = (await engine.run(await stored(engine, [calling("add")]))).state["pid"]
        view = await engine.run(await stored(engine, [calling("die", how="recursion", keys=RETRIED)]))
        assert (view.error or "").startswith("TOOL_EXCEPTION: RecursionError")
        assert (await engine.run(await stored(engine, [calling("add")]))).state["pid"] == before


async def test_f33_many_deaths_at_once_leave_a_pool_that_works() -> None:
    async with opened_isolated(tool_processes=2) as engine:
        dies = await stored(engine, [calling("die", how="segfault", keys={"retry": {"max_attempts": 1}})])
        lives = await stored(engine, [calling("add")])
        ended: list[str] = []

        async def run(graph_id: str) -> None:
            ended.append((await engine.run(graph_id)).status)

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(run, dies)
                tasks.start_soon(run, lives)
        assert sorted(ended) == ["completed"] * 6 + ["failed"] * 6


async def test_f34_changing_its_input_changes_nothing() -> None:
    async with opened_isolated(tool_processes=1) as engine:
        graph_id = await stored(engine, [calling("change_input", items=[1])])
        for _ in range(2):
            view = await engine.run(graph_id, {"items": [1, 2, 3]})
            assert (view.status, view.state) == ("completed", {"items": [1, 2, 3]})


ENGINE: Final = """
import sys
import anyio
from pathlib import Path
from runtime import Settings, open_engine
from tools import Registry

async def main():
    registry = Registry()
    registry.load_file(Path(sys.argv[1]))
    graph = {"name": "g", "nodes": [{"name": "a", "tool": "spin"}], "entry_point": "a"}
    async with open_engine(Settings(log_format="none"), registry) as engine:
        run = await engine.submit((await engine.create_graph(graph)).graph_id)
        async for record in engine.subscribe(run.run_id):
            if record.event == "tool_log":
                print(record.data["fields"]["pid"], record.data["fields"]["child"], flush=True)

anyio.run(main, backend=sys.argv[2])
"""


async def test_f33_processes_end_with_an_engine_that_is_killed(anyio_backend_name: str) -> None:
    engine = await to_thread.run_sync(_start_engine, anyio_backend_name)
    try:
        assert engine.stdout is not None
        line = await to_thread.run_sync(engine.stdout.readline)
        worker, child = map(int, line.split())
        assert runs(worker)
        assert runs(child)
        os.kill(engine.pid, signal.SIGKILL)
        await eventually(lambda: not runs(worker) and not runs(child))
    finally:
        engine.kill()
        await to_thread.run_sync(engine.communicate)


def _start_engine(backend: str) -> Popen[bytes]:
    return Popen([sys.executable, "-c", ENGINE, str(ISOLATED), backend], cwd=ROOT, stdout=PIPE)
