"""Whoever was answered sees what was answered, at once and everywhere."""

from typing import Any

import pytest

from runtime.errors import UnknownGraph
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import events, named, stored

ASKS: dict[str, Any] = {"name": "ask", "type": "approval", "approval": {"prompt": "?"}}


async def test_whoever_was_answered_reads_what_was_done(opened: Open, tools: ScriptedTools) -> None:
    async with opened() as engine:
        graph_id = await stored(engine, [ASKS, named("a", scripted("wait"))], "ask > a")
        assert (await engine.graph(graph_id)).graph_id == graph_id
        assert graph_id in [graph.graph_id for graph in (await engine.graphs()).items]
        run_id = (await engine.submit(graph_id, {"n": 1})).run_id
        assert (await engine.state(run_id)).state == {"n": 1}
        assert run_id in [run.run_id for run in (await engine.runs()).items]
        assert (await events(engine, run_id))[0] == "run_submitted"
        await engine.pause(run_id)
        assert (await engine.state(run_id)).status == (await engine.summary(run_id)).status == "paused"
        await engine.signal(run_id, "word", 1, signal_id="s")
        assert "signal_received" in await events(engine, run_id)
        await engine.resume(run_id)
        assert "run_resumed" in await events(engine, run_id)
        [question] = await engine.approvals(run_id)
        await engine.answer(run_id, question.approval, True)
        assert await engine.approvals(run_id) == ()
        assert (await engine.state(run_id)).state == {"n": 1, "ask": True}
        assert "ask" in await engine.blame(run_id)
        await engine.cancel(run_id)
        assert "run_cancel_requested" in await events(engine, run_id)
        await engine.wait(run_id)
        assert [run.run_id for run in (await engine.runs(status="cancelled")).items] == [run_id]
        await engine.delete_graph(graph_id)
        with pytest.raises(UnknownGraph):
            await engine.graph(graph_id)
