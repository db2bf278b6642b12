"""A run whose conditions need an extra that is gone waits for it, as for a missing tool."""

import sys

import pytest

from runtime.errors import ToolMissing
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import named, stored, until
from tests.support.graphs import edge


async def test_a_run_whose_extra_is_gone_waits_for_a_start_that_has_it(
    opened: Open, tools: ScriptedTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as engine:
        nodes = [named("a", scripted("wait", update={"n": 1})), named("b", scripted("ok"))]
        graph_id = await stored(engine, nodes, edge("a > b", condition={"expr": "n > 0"}))
        run = await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
    tools.gate("gate").open()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "cel_expr_python", None)
        async with opened() as engine:
            await until(engine, run.run_id, "run_blocked")
            assert (await engine.state(run.run_id)).status == "waiting"
            with pytest.raises(ToolMissing, match="the extra 'cel'"):
                await engine.submit(graph_id)
    async with opened() as engine:
        assert (await engine.wait(run.run_id)).status == "completed"
