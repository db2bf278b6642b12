"""The machine's clock is set, stands still, or passes while the process is stopped: timers keep their time, and fire once."""

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from httpx2.websockets import WebSocketDisconnect

from runtime import Engine, open_engine
from runtime.clock import LoopClock, SystemClock
from runtime.journal import MemoryJournal
from runtime.testing import ScriptedTools, scripted
from tests.acceptance.server import DEADLINE_S, Server
from tests.conftest import START, settings
from tests.integration.flow import assert_whole, followed, named, of, stored, until
from tests.support.graphs import Source, graph

HOUR: Final = 3_600.0
TIMER_S: Final = 3.0
"""Long enough that none expires before the process is stopped."""

STOPPED_S: Final = 5.0


class Machine:
    """The clock of a machine: it follows virtual time until somebody sets it, or stops it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._stands_at: float | None = None

    def stand_still(self) -> None:
        self._stands_at = self.seconds()

    def seconds(self) -> float:
        if self._stands_at is not None:
            return self._stands_at
        return START.timestamp() + anyio.current_time() + self.ahead_s

    def clock(self) -> SystemClock:
        return SystemClock(self.seconds)


def on(
    machine: Machine, journal: MemoryJournal, tools: ScriptedTools, **keys: Any
) -> AbstractAsyncContextManager[Engine]:
    """Open an engine on a machine with that clock."""
    return open_engine(settings(**keys), tools, journal=journal, clock=machine.clock(), chance=random.Random(1))


@pytest.fixture
def machine() -> Machine:
    return Machine()


CHANGES: Final[dict[str, Callable[[Machine], None]]] = {
    "an hour ahead": lambda machine: setattr(machine, "ahead_s", HOUR),
    "an hour back": lambda machine: setattr(machine, "ahead_s", -HOUR),
    "standing still": Machine.stand_still,
}


def waiting(name: str, seconds: float) -> Source:
    return {"name": name, "type": "wait", "wait": {"for_s": seconds}}


TIMED: Final[dict[str, tuple[list[Source], float, str]]] = {
    "wait": ([waiting("a", 60)], 60, "completed"),
    "retry": (
        [
            named(
                "a",
                scripted(
                    "fail_times", node={"retry": {"max_attempts": 2, "initial_s": 60, "max_s": 60, "jitter": "none"}}
                ),
            )
        ],
        60,
        "completed",
    ),
    "time limit of a tool": (
        [named("a", scripted("hang", node={"timeout_s": 60, "retry": {"max_attempts": 1}}))],
        60,
        "failed",
    ),
    "question": (
        [{"name": "a", "type": "approval", "approval": {"prompt": "?", "timeout_s": 60, "timeout_answer": 1}}],
        60,
        "completed",
    ),
    "deadline of the run": ([waiting("a", HOUR)], 90, "timed_out"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize(("nodes", "seconds", "status"), TIMED.values(), ids=TIMED.keys())
async def test_f24_timers_keep_their_time_when_the_clock_of_the_machine_is_set(
    virtual: LoopClock,
    machine: Machine,
    tools: ScriptedTools,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Machine], None],
    nodes: list[Source],
    seconds: float,
    status: str,
) -> None:
    journal = MemoryJournal()
    async with on(machine, journal, tools, log_format="json") as engine:
        begun = anyio.current_time()
        run = await engine.submit((await engine.create_graph(graph(nodes, limits={"timeout_s": 90}))).graph_id)
        await anyio.sleep(20)
        change(machine)
        view = await engine.wait(run.run_id)
        assert view.status == status
        assert anyio.current_time() - begun == pytest.approx(seconds, abs=1)
        records = await followed(engine, run.run_id)
    assert_whole(records)
    times = [datetime.fromisoformat(record.data["timestamp"]) for record in records]
    assert times == sorted(times)
    assert (times[-1] - times[0]).total_seconds() == pytest.approx(seconds, abs=1)
    jumps = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"clock_jump"' in line]
    assert jumps
    assert abs(jumps[0]["ahead_s"]) > 1
    if machine.ahead_s:
        assert [jump["ahead_s"] for jump in jumps] == [machine.ahead_s]


@pytest.mark.parametrize(
    ("set_by", "remaining"),
    [(0.0, 40.0), (15.0, 25.0), (HOUR, 0.0), (-HOUR, 50.0)],
    ids=["not set", "a little ahead", "an hour ahead", "an hour back"],
)
async def test_f24_after_a_restart_a_timer_has_what_is_left_of_it_and_never_more_than_it_had(
    virtual: LoopClock, machine: Machine, tools: ScriptedTools, set_by: float, remaining: float
) -> None:
    journal = MemoryJournal()
    async with on(machine, journal, tools) as engine:
        run = await engine.submit(await stored(engine, [waiting("a", 10), waiting("b", 60)], "a > b"))
        await anyio.sleep(20)  # ten seconds of the second wait
        shown = await engine.log(run.run_id)
    machine.ahead_s = set_by
    await anyio.sleep(10)
    async with on(machine, journal, tools) as engine:
        begun = anyio.current_time()
        assert (await engine.wait(run.run_id)).status == "completed"
        left = anyio.current_time() - begun
        assert 0 <= left <= 60
        if set_by >= 0:
            assert left == pytest.approx(remaining, abs=1)
        else:
            assert left >= remaining - 1  # the time that the newest record knows is the latest there is
        records = await followed(engine, run.run_id)
    assert records[: len(shown)] == shown
    assert_whole(records)
    times = [datetime.fromisoformat(record.data["timestamp"]) for record in records]
    assert times == sorted(times)


async def test_f24_a_retry_is_due_no_later_than_it_was_after_a_restart_with_the_clock_set_back(
    virtual: LoopClock, machine: Machine, tools: ScriptedTools
) -> None:
    journal = MemoryJournal()
    retry = {"max_attempts": 2, "initial_s": 30, "jitter": "none"}
    async with on(machine, journal, tools) as engine:
        run = await engine.submit(await stored(engine, [named("a", scripted("fail_times", node={"retry": retry}))]))
        await until(engine, run.run_id, "step_retrying")
    machine.ahead_s = -24 * HOUR
    async with on(machine, journal, tools) as engine:
        begun = anyio.current_time()
        assert (await engine.wait(run.run_id)).status == "completed"
        assert anyio.current_time() - begun <= 31
        assert len(await of(engine, run.run_id, "step_retrying")) == 1
    assert [call.attempt for call in tools.calls] == [1, 2]


def test_f24_the_clock_of_the_engine_goes_as_the_loop_does_and_tells_each_jump_once() -> None:
    loop, wall = [5.0], [1_000.0]
    clock = SystemClock(lambda: wall[0], lambda: loop[0])
    first = clock.now()
    told: list[float] = []
    clock.on_jump = lambda ahead_s: told.append(ahead_s)
    loop[0], wall[0] = 6.0, 0.0
    assert (clock.now() - first).total_seconds() == 1
    loop[0], wall[0] = 7.0, 1.0
    assert (clock.now() - first).total_seconds() == 2
    assert told == [-1_001.0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "tools.py").write_text(TOOLS)
    arguments = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--log-format", "json"]
    server = Server(tmp_path / "server", [*arguments, "--tools", str(tmp_path / "tools.py")])
    yield server.wait_ready()
    server.process.send_signal(signal.SIGCONT)
    server.close()


TOOLS: Final = '''
from typing import Any

import anyio

from tools import ToolContext, ToolError, tool


@tool(effect="once")
async def note(state: dict[str, Any], path: str, context: ToolContext, hangs: bool = False, fails: int = 0) -> None:
    """Append the key of the attempt to the file; then hang, or fail in the first attempts."""
    with open(path, "a") as file:
        file.write(f"{context.node} {context.attempt}\\n")
    if hangs:
        await anyio.sleep(3600)
    if context.attempt <= fails:
        raise ToolError("not yet", code="NOT_YET")
'''


def timers(ledger: Path, count: int) -> Source:
    """Return a graph with so many waits, a retry, a time limit and a question, each followed by a note."""

    def note(name: str, **keys: Any) -> Source:
        config = {"path": str(ledger), **keys.pop("config", {})}
        return {"name": name, "tool": "note", "config": config, **keys}

    waits = [waiting(f"w{number}", TIMER_S) for number in range(count)]
    again = {"max_attempts": 2, "initial_s": TIMER_S, "max_s": TIMER_S, "jitter": "none"}
    question = {"prompt": "?", "timeout_s": TIMER_S, "timeout_answer": "nobody"}
    timed = [
        *waits,
        note("retried", retry=again, config={"fails": 1}),
        note("limited", timeout_s=TIMER_S, on_error="continue", retry={"max_attempts": 1}, config={"hangs": True}),
        {"name": "asked", "type": "approval", "approval": question},
    ]
    edges = [edge for one in timed for edge in (f"split > {one['name']}", f"{one['name']} > after_{one['name']}")]
    return graph(
        [{"name": "split", "type": "conditional"}, *timed, *(note(f"after_{one['name']}") for one in timed)], *edges
    )


@pytest.mark.acceptance
def test_f25_timers_that_expire_while_the_process_is_stopped_fire_once_each(server: Server, tmp_path: Path) -> None:
    ledger, waits = tmp_path / "ledger", 50
    run_id = server.submit(server.create(timers(ledger, waits)), {})
    seen: list[int] = []
    with server.client.websocket(f"{server.ws_url}/ws/monitor/{run_id}") as socket:
        server.wait_event(run_id, "step_retrying")
        server.wait_event(run_id, "approval_requested")
        server.wait_started(run_id, waits + 4)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)  # the process stands still, so there is nothing to wait for
        assert not [line for line in ledger.read_text().splitlines() if line.startswith("after")]
        server.process.send_signal(signal.SIGCONT)
        continued = time.monotonic()
        while (message := socket.receive_json(timeout=DEADLINE_S))["type"] == "log":
            seen.append(message["data"]["seq"])
        assert message["type"] == "complete"
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json(timeout=DEADLINE_S)
    assert closed.value.code == 1000
    assert time.monotonic() - continued < 10
    ended = server.state(run_id)
    log = ended["execution_log"]
    assert ended["status"] == "completed"
    assert seen == [record["seq"] for record in log] == list(range(1, len(log) + 1))
    names = [f"w{number}" for number in range(waits)] + ["asked", "retried", "limited"]
    lines = [*(f"after_{name} 1" for name in names), "retried 1", "retried 2", "limited 1"]
    assert sorted(ledger.read_text().splitlines()) == sorted(lines)
    for event, nodes in (
        ("step_completed", {*names, "split", *(f"after_{name}" for name in names)} - {"limited"}),
        ("step_failed", {"limited"}),
        ("step_retrying", {"retried"}),
        ("approval_answered", {"asked"}),
    ):
        assert sorted(one["node"] for one in log if one["event"] == event) == sorted(nodes)
    assert server.client.get("/health").json()["status"] == "ok"


@pytest.mark.acceptance
def test_f25_a_server_that_was_stopped_takes_new_runs_at_once(server: Server, tmp_path: Path) -> None:
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(STOPPED_S)
    server.process.send_signal(signal.SIGCONT)
    run_id = server.submit(server.create(timers(tmp_path / "ledger", 1)), {})
    assert server.wait_ended(run_id)["status"] == "completed"
