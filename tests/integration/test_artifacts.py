"""What the tools of a run leave behind lives exactly as long as the run, whatever happens to engines in between."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from runtime import Engine, open_engine
from tests.conftest import Open, Store, settings
from tests.integration.flow import stored, until
from tests.support.graphs import Source, node
from tools import Registry, ToolContext, tool
from tools.artifact_store import ORPHAN_S, ArtifactStore
from tools.data_quality.datasets.references import fetch
from tools.data_quality.datasets.store import DatasetStore

LIMIT = 1_000
OLD, NEW = b"a\n1\n", b"a\n2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def artifacts(folder: Path) -> ArtifactStore:
    return ArtifactStore(folder, LIMIT)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Set it to let every `hold` tool return."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def registry(released: threading.Event) -> Registry:
    @tool(effect="idempotent")
    def leave(state: dict[str, Any], name: str, text: str, *, context: ToolContext) -> dict[str, Any]:
        """Leave a file behind, with the iteration in it."""
        assert context.artifacts is not None
        data = text.format(iteration=context.iteration).encode()
        return {"left": context.artifacts.write(name, data, "text/plain")}

    @tool(effect="pure")
    def look(state: dict[str, Any], *, context: ToolContext) -> dict[str, Any]:
        """Say what a former step left behind."""
        assert context.artifacts is not None
        return {"seen": context.artifacts.read(state["left"]).decode()}

    @tool(effect="pure")
    def table(state: dict[str, Any], *, context: ToolContext) -> dict[str, Any]:
        """Say what the dataset holds, and pin it."""
        fetched = fetch(state["dataset"], context.datasets_dir, context.artifacts)
        return {"dataset": fetched.pinned, "content": fetched.data.decode()}

    @tool(effect="pure")
    def hold(state: dict[str, Any]) -> None:
        """Wait until the test lets go."""
        assert released.wait(20)

    registry = Registry()
    for one in (leave, look, table, hold):
        registry.add(one)
    return registry


@pytest.fixture
def opened(store: Store, registry: Registry, folder: Path, tmp_path: Path) -> Callable[..., Any]:
    """Opens an engine whose tools may leave files behind."""

    def open_one(**keys: Any) -> AbstractAsyncContextManager[Engine]:
        keys = {"artifacts_dir": folder, "max_artifact_bytes": LIMIT, "datasets_dir": tmp_path / "datasets", **keys}
        return open_engine(settings(**keys), registry, journal=store.journal())

    return open_one


def leaving(name: str = "leave", file: str = "a.txt", text: str = "x", **keys: Any) -> Source:
    return node(name, tool="leave", config={"name": file, "text": text}, **keys)


def files(folder: Path) -> list[str]:
    return sorted(name for _, _, names in os.walk(folder) for name in names)  # which minds nothing that goes meanwhile


async def becomes(expected: object, read: Callable[..., object], *arguments: object) -> None:
    """Wait until a thread reads from the disk what is expected."""
    with anyio.fail_after(20):
        while await to_thread.run_sync(read, *arguments) != expected:
            pass


async def put(tmp_path: Path, data: bytes) -> None:
    def put() -> None:
        store = DatasetStore(tmp_path / "datasets")
        incoming = store.receive()
        incoming.write(data)
        store.put("t.csv", incoming)
        incoming.discard()

    await to_thread.run_sync(put)


async def test_a_later_step_reads_what_a_former_one_left(opened: Open, artifacts: ArtifactStore) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [leaving(), node("look", tool="look")], "leave > look")
        view = await engine.run(graph_id)
        assert view.state["seen"] == "x"
        [listed] = await to_thread.run_sync(artifacts.listing, view.run_id)
        assert view.state["left"] == {"artifact": "a.txt", "sha256": listed.sha256, "bytes": 1}


async def test_too_much_fails_the_step_and_says_how_much(opened: Open) -> None:
    async with opened() as engine:
        view = await engine.run(await stored(engine, [leaving(text="x" * 1_001)]))
        assert view.status == "failed"
        assert view.error is not None
        assert "ARTIFACT_TOO_LARGE" in view.error
        assert "1,001 bytes, the limit is 1,000" in view.error


async def test_artifacts_go_with_their_run_and_no_other_one_s(
    opened: Open, artifacts: ArtifactStore, folder: Path
) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [leaving()])
        ids = [(await engine.run(graph_id)).run_id for _ in range(3)]
    async with opened(keep_ended_runs=1) as engine:
        for run_id in ids[:2]:
            await becomes([], artifacts.listing, run_id)
        assert [line.run_id for line in (await engine.runs()).items] == ids[2:]
        await becomes(sorted(["a.txt.json", *[hashlib.sha256(b"x").hexdigest()] * 2]), files, folder)
    async with opened(keep_ended_runs=0):
        await becomes([], files, folder)


async def test_a_fork_keeps_what_it_took_over_when_its_source_is_gone(
    opened: Open, artifacts: ArtifactStore, folder: Path
) -> None:
    async with opened() as engine:
        source = await engine.run(await stored(engine, [leaving(), node("look", tool="look")], "leave > look"))
        fork = await engine.fork(source.run_id, "look")
        assert (await engine.wait(fork.run_id)).state["seen"] == "x"
    async with opened(keep_ended_runs=1) as engine:
        await becomes([], artifacts.listing, source.run_id)
        again = await engine.fork(fork.run_id, "look")
        assert (await engine.wait(again.run_id)).state["seen"] == "x"
        assert len(await to_thread.run_sync(artifacts.listing, again.run_id)) == 1


async def test_an_artifact_is_there_while_its_run_goes_on_and_after_a_restart(
    opened: Open, artifacts: ArtifactStore, released: threading.Event, store: Store
) -> None:
    async with opened() as engine:
        nodes = [leaving(), node("hold", tool="hold"), node("look", tool="look")]
        run = await engine.submit(await stored(engine, nodes, "leave > hold", "hold > look"))
        await until(engine, run.run_id, "step_completed")
        assert len(await to_thread.run_sync(artifacts.listing, run.run_id)) == 1
        released.set()
        await engine.wait(run.run_id)
    async with opened() as engine:
        assert len(await to_thread.run_sync(artifacts.listing, run.run_id)) == 1


async def test_files_of_a_run_that_nobody_knows_are_swept_up_after_a_week(
    opened: Open, artifacts: ArtifactStore, folder: Path
) -> None:
    async with opened() as engine:
        known = await engine.run(await stored(engine, [leaving()]))

    def leave_behind() -> None:
        for run_id in ("run-old", "run-young"):
            artifacts.of_run(run_id).write("a", b"x", "text/plain")
        for run_id in ("run-old", known.run_id):
            place = folder / "runs" / run_id
            for path in (place, *place.iterdir()):
                os.utime(path, times=(0, path.stat().st_mtime - ORPHAN_S - 60))

    await to_thread.run_sync(leave_behind)
    async with opened():
        await becomes([], artifacts.listing, "run-old")
        assert len(await to_thread.run_sync(artifacts.listing, "run-young")) == 1
        assert len(await to_thread.run_sync(artifacts.listing, known.run_id)) == 1


async def test_files_that_cannot_be_removed_hold_up_nothing(
    opened: Open, monkeypatch: pytest.MonkeyPatch, artifacts: ArtifactStore
) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [leaving()])
        gone = (await engine.run(graph_id)).run_id

    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ArtifactStore, "remove", fail)
    monkeypatch.setattr(ArtifactStore, "sweep", fail)
    async with opened(keep_ended_runs=0) as engine:
        while (await engine.runs()).items:
            await anyio.lowlevel.checkpoint()
        assert (await engine.run(graph_id)).status == "completed"
        assert len(await to_thread.run_sync(artifacts.listing, gone)) == 1


async def test_a_pinned_content_stays_the_same_for_a_run_whatever_its_name_stands_for(
    opened: Open, tmp_path: Path, released: threading.Event
) -> None:
    await put(tmp_path, OLD)
    async with opened() as engine:
        nodes = [node("first", tool="table"), node("hold", tool="hold"), node("second", tool="table")]
        graph_id = await stored(engine, nodes, "first > hold", "hold > second")
        run = await engine.submit(graph_id, {"dataset": {"path": "t.csv"}})
        await until(engine, run.run_id, "step_completed")
        await put(tmp_path, NEW)
        released.set()
        assert (await engine.wait(run.run_id)).state["content"] == OLD.decode()
        assert await to_thread.run_sync(DatasetStore(tmp_path / "datasets").delete, "t.csv")
        fork = await engine.fork(run.run_id, "second")
        view = await engine.wait(fork.run_id)
        assert (view.status, view.state["content"]) == ("completed", OLD.decode())


async def test_a_pin_of_the_client_holds_before_the_run_has_read_it(opened: Open, tmp_path: Path) -> None:
    await put(tmp_path, OLD)
    await put(tmp_path, NEW)
    async with opened() as engine:
        graph_id = await stored(engine, [node("read", tool="table")])
        pin = {"path": "t.csv", "sha256": hashlib.sha256(OLD).hexdigest()}
        assert (await engine.run(graph_id, {"dataset": pin})).state["content"] == OLD.decode()
        lost = {"path": "t.csv", "sha256": "0" * 64}
        view = await engine.run(graph_id, {"dataset": lost})
        assert view.error is not None
        assert "DATASET_CHANGED" in view.error
