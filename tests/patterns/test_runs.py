"""The graphs of the control-flow patterns do what their patterns say, on a real engine, second by second of virtual time."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import anyio
import pytest

from runtime import Engine, LogRecord, open_engine
from runtime.clock import LoopClock
from tests.conftest import settings
from tests.patterns.table import GRAPHS, RUNS, Run, graph_of
from tools import default_registry

_ENDS: Final = {"step_completed": "", "step_cancelled": " cancelled", "step_failed": " failed"}


@pytest.mark.parametrize("case", RUNS, ids=str)
async def test_a_run_of_a_pattern_goes_as_the_pattern_says(case: Run, virtual: LoopClock) -> None:
    async with open_engine(settings(), default_registry(), clock=virtual) as engine:
        created = await engine.create_graph(graph_of(case.pattern))
        assert created.warnings == ()
        run = await engine.submit(created.graph_id, case.state)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_send, engine, run.run_id, case)
            ended = await engine.wait(run.run_id)
            tasks.cancel_scope.cancel()
        log = await engine.log(run.run_id)
    assert sorted(timeline(log)) == sorted(case.goes.split(", "))
    assert {key: ended.state.get(key) for key in case.leaves} == case.leaves


async def _send(engine: Engine, run_id: str, case: Run) -> None:
    now = 0.0
    for at, name, *data in case.sends:
        await anyio.sleep(at - now)
        now = at
        if name == "cancel":
            await engine.cancel(run_id)
        else:
            await engine.signal(run_id, name, *data)


def timeline(log: list[LogRecord]) -> list[str]:
    """Return what became of each step, and of the run, with the seconds since the run began: `a 0-2`, `b#2 2-3 cancelled`."""
    lines = []
    origin = _time(next(record.data for record in log if record.event == "run_started"))
    began: dict[str, str] = {}
    for record in log:
        name, at = _name(record.data), f"{round(_time(record.data) - origin, 2):g}"
        if record.event == "step_started":
            began[name] = at
        elif record.event in _ENDS:
            first = began.pop(name)
            lines.append(f"{name} {first if first == at else f'{first}-{at}'}{_ENDS[record.event]}")
        elif record.event == "step_skipped":
            lines.append(f"{name} skipped")
    assert began == {}
    return [*lines, f"run {log[-1].event.removeprefix('run_')} {at}"]


def _time(data: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(data["timestamp"]).timestamp()


def _name(data: Mapping[str, Any]) -> str:
    """Return `path/node#iteration`, without the iterations that are 1."""
    parts = [data["path"]] if "path" in data else []
    return re.sub(r"#1(?!\d)", "", "/".join([*parts, f"{data.get('node')}#{data.get('iteration')}"]))


def test_every_graph_is_run() -> None:
    assert {case.pattern for case in RUNS} == set(GRAPHS)
