"""The graphs in the pages do what the pages say: each is run, on virtual time, and has to end as the page tells."""

import json
import re
from typing import Any

import anyio
import pytest

from runtime import Engine, Settings, open_engine
from runtime.clock import LoopClock
from tests.docs.pages import ROOT, Block, blocks_that_begin
from tools import default_registry

RUNS = blocks_that_begin("json run ")


@pytest.mark.parametrize("block", RUNS, ids=str)
async def test_a_graph_of_the_pages_ends_as_it_says(block: Block, virtual: LoopClock) -> None:
    told = json.loads(block.info.removeprefix("json run "))
    async with open_engine(Settings(log_format="none"), default_registry(), clock=virtual) as engine:
        created = await engine.create_graph(json.loads(block.text))
        assert created.warnings == ()
        run = await engine.submit(created.graph_id, told.get("state", {}))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_attend, engine, run.run_id, told)
            ended = await engine.wait(run.run_id)
            tasks.cancel_scope.cancel()
    assert {"status": ended.status, "state": _rounded(ended.state)} == told["ends"]


async def _attend(engine: Engine, run_id: str, told: dict[str, Any]) -> None:
    """Send the signals that the page tells of, and answer the questions."""
    for name, data in told.get("signals", {}).items():
        await engine.signal(run_id, name, data)
    async for record in engine.subscribe(run_id):
        if record.event == "approval_requested":
            approval = record.data["approval"]
            await engine.answer(run_id, approval, told["answers"][approval])


def _rounded(state: Any) -> Any:
    return json.loads(json.dumps(state), parse_float=lambda text: round(float(text), 9))


def test_every_type_of_node_is_run() -> None:
    shown = {kind for block in RUNS for kind in re.findall(r'"type": "(\w+)"', block.text)}
    assert shown >= {"conditional", "wait", "approval", "graph", "map", "end"}
    page = (ROOT / "docs" / "node_types.md").read_text(encoding="utf-8")
    assert page.count("```json run ") == len([block for block in RUNS if block.page == "docs/node_types.md"])
