"""Tools that are there twice, are gone, cannot be loaded, or have changed: runs keep the versions they began with, or wait."""

import random
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime import Engine, open_engine
from runtime.clock import LoopClock
from runtime.errors import ToolMissing
from runtime.journal import MemoryJournal
from runtime.testing import Gate
from tests.acceptance.server import Server
from tests.conftest import settings
from tests.integration.flow import events, of, stored, until
from tests.support.graphs import node
from tools import Tool, tool
from tools.registry import Registry

SAY = '''
from typing import Any

from tools import tool


@tool(effect="pure")
def say(state: dict[str, Any]) -> dict[str, Any]:
    """Say which file this is."""
    return {{"said": "{0}"}}
'''


class Versions:
    """Tools of several versions, each of which notes its calls: `hold` waits at a gate, `step` does not."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.calls: list[str] = []

    def step(self, version: str) -> Tool:
        @tool(name="step", version=version, effect="pure")
        async def step(state: dict[str, Any]) -> dict[str, Any]:
            """Say which version this is."""
            self.calls.append(version)
            return {"version": version}

        return step

    def hold(self) -> Tool:
        @tool(name="hold", effect="pure")
        async def hold(state: dict[str, Any]) -> None:
            """Wait at the gate."""
            await self.gate.passage()

        return hold

    def registry(self, *versions: str) -> Registry:
        """Return a registry with these versions of `step`, and `hold`."""
        registry = Registry()
        for one in (self.hold(), *map(self.step, versions)):
            registry.add(one)
        return registry


@pytest.fixture
def versions() -> Versions:
    return Versions()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


def on(journal: MemoryJournal, registry: Registry, **keys: Any) -> AbstractAsyncContextManager[Engine]:
    return open_engine(settings(), registry, journal=journal, chance=random.Random(1), **keys)


async def held_before_step(engine: Engine, versions: Versions, reference: str = "step") -> str:
    """Return a run that stands at the gate, with a call of `step` behind it."""
    graph_id = await stored(engine, [node("a", tool="hold"), node("b", tool=reference)], "a > b")
    before = versions.gate.reached
    run = await engine.submit(graph_id)
    await versions.gate.wait_reached(before + 1)
    return run.run_id


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with four files of tools, of which the second has the tool of the first, and the third ends the process."""
    files = {
        "first": SAY.format("first"),
        "twin": SAY.format("twin"),
        "ends": "raise SystemExit(3)",
        "late": SAY.format("late").replace("def say", "def say_late"),
    }
    arguments = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--log-format", "json"]
    for name, text in files.items():
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        arguments += ["--tools", str(path)]
    server = Server(tmp_path / "server", arguments)
    yield server.wait_ready()
    server.close()


@pytest.mark.acceptance
def test_f36_tools_that_are_there_twice_or_cannot_be_loaded_are_listed_and_all_others_work(
    server: Server, tmp_path: Path
) -> None:
    listed = server.client.get("/api/tools").json()
    broken = {line["name"]: line["error"] for line in listed["broken"]}
    assert list(broken) == [str(tmp_path / "twin.py"), str(tmp_path / "ends.py")]
    assert "say@1 is defined twice" in broken[str(tmp_path / "twin.py")]
    assert str(tmp_path / "first.py") in broken[str(tmp_path / "twin.py")]
    assert broken[str(tmp_path / "ends.py")] == "SystemExit: 3"
    for name, said in (("say", "first"), ("say_late", "late")):
        run_id = server.submit(
            server.create({"name": name, "nodes": [{"name": "a", "tool": name}], "entry_point": "a"}), {}
        )
        assert server.wait_ended(run_id)["current_state"] == {"said": said}


def test_f36_a_tool_is_not_registered_twice_and_the_first_one_stays(versions: Versions) -> None:
    registry = versions.registry("1")
    first = registry.find("step")
    with pytest.raises(ValueError, match="step@1 is defined twice"):
        registry.add(versions.step("1"))
    assert registry.find("step") is registry.find("step@1") is first


def test_f36_a_bad_new_version_is_rejected_and_the_old_one_stays(versions: Versions, tmp_path: Path) -> None:
    registry = versions.registry("1")
    (tmp_path / "new.py").write_text(
        SAY.format("new").replace("@tool(", '@tool(name="step", version="2", ') + "\nraise ValueError('not today')\n"
    )
    registry.load_file(tmp_path / "new.py")
    assert [broken.error for broken in registry.broken] == ["ValueError: not today"]
    found = registry.find("step")
    assert found is not None
    assert found.version == "1"


async def test_f36_a_run_whose_tool_is_missing_at_recovery_waits_and_goes_on_when_it_is_back(
    journal: MemoryJournal, versions: Versions, virtual: LoopClock
) -> None:
    async with on(journal, versions.registry("1"), clock=virtual) as engine:
        run_id = await held_before_step(engine, versions)
    versions.gate.open()
    registry = versions.registry()
    async with on(journal, registry, clock=virtual) as engine:
        await until(engine, run_id, "run_blocked")
        await anyio.sleep(3600)
        assert (await engine.state(run_id)).status == "waiting"
        assert [record["reason"].split(" (")[0] for record in await of(engine, run_id, "run_blocked")] == [
            "Not there now: step@1"
        ]
        with pytest.raises(ToolMissing):
            await engine.submit((await engine.summary(run_id)).graph_id)
        registry.add(versions.step("1"))  # nobody says so: the engine looks again by itself
        with anyio.fail_after(10):
            view = await engine.wait(run_id)
        assert (view.status, view.state) == ("completed", {"version": "1"})
        found = await events(engine, run_id)
        assert "run_failed" not in found
        assert "step_failed" not in found


async def test_f36_a_running_run_keeps_its_version_when_a_newer_one_appears(
    journal: MemoryJournal, versions: Versions
) -> None:
    registry = versions.registry("1")
    async with on(journal, registry) as engine:
        old = await held_before_step(engine, versions)
        registry.add(versions.step("2"))
        new = await held_before_step(engine, versions)
        versions.gate.open()
        assert (await engine.wait(old)).state == {"version": "1"}
        assert (await engine.wait(new)).state == {"version": "2"}
    assert sorted(versions.calls) == ["1", "2"]


async def test_f37_a_run_goes_on_with_the_old_version_of_its_tool_as_long_as_that_is_there(
    journal: MemoryJournal, versions: Versions
) -> None:
    async with on(journal, versions.registry("1")) as engine:
        run_id = await held_before_step(engine, versions)
    versions.gate.open()
    async with on(journal, versions.registry("1", "2")) as engine:
        assert (await engine.wait(run_id)).state == {"version": "1"}
        assert (await engine.run((await engine.summary(run_id)).graph_id)).state == {"version": "2"}
        assert "run_blocked" not in await events(engine, run_id)


async def test_f37_a_run_whose_version_is_gone_waits_for_exactly_that_one(
    journal: MemoryJournal, versions: Versions
) -> None:
    async with on(journal, versions.registry("1", "1.5")) as engine:
        run_id = await held_before_step(engine, versions)
    versions.gate.open()
    async with on(journal, versions.registry("1", "2")) as engine:
        await until(engine, run_id, "run_blocked")
        [blocked] = await of(engine, run_id, "run_blocked")
        assert blocked["reason"].split(" (")[0] == "Not there now: step@1.5"
        assert (await engine.state(run_id)).status == "waiting"
        assert [line.run_id for line in (await engine.runs(status="waiting")).items] == [run_id]
        await engine.resume(run_id)  # looks again, and finds it missing still
        assert (await engine.state(run_id)).status == "waiting"
        assert versions.calls == []
    async with on(journal, versions.registry("1", "1.5", "2")) as engine:
        assert (await engine.wait(run_id)).state == {"version": "1.5"}
    assert versions.calls == ["1.5"]
