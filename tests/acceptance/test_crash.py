"""kill -9 in the middle of runs: what was acknowledged ends, exactly once, with a log without gaps."""

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.server import Server


def lines(path: Path) -> Counter[str]:
    return Counter(path.read_text().splitlines())


def test_every_acknowledged_run_ends_once_after_a_kill(
    launch: Callable[..., Server], tmp_path: Path, held: dict[str, Any]
) -> None:
    first = launch()
    graph_id = first.create(held)
    waiting = [first.submit(graph_id, {"name": f"waiting{i}"}) for i in range(10)]
    for run_id in waiting:
        first.wait_started(run_id, 2)
    watched = first.state(waiting[0])["execution_log"]
    just_accepted = [first.submit(graph_id, {"name": f"accepted{i}"}) for i in range(30)]
    assert first.end(signal.SIGKILL) == -signal.SIGKILL

    second = launch()
    acknowledged = [*waiting, *just_accepted]
    listed = second.client.get("/api/runs", params={"limit": 200}).json()["runs"]
    assert {run["run_id"] for run in listed} == set(acknowledged)
    (tmp_path / "gate").touch()
    for run_id in acknowledged:
        ended = second.wait_ended(run_id)
        assert ended["status"] == "completed"
        log = ended["execution_log"]
        assert [record["seq"] for record in log] == list(range(1, len(log) + 1))
        completed = [record["node"] for record in log if record["event"] == "step_completed"]
        assert sorted(completed) == ["after", "before", "wait"]
        assert [record["event"] for record in log].count("run_completed") == 1
        assert log[-1]["event"] == "run_completed"

    # what a client saw before the kill is what the log still says
    assert second.state(waiting[0])["execution_log"][: len(watched)] == watched
    effects = lines(tmp_path / "ledger")
    for i in range(10):  # committed before the kill, so never repeated
        assert effects[f"before waiting{i}"] == 1
    for i in range(30):  # may have happened just before the kill, so at least once
        assert effects[f"before accepted{i}"] in (1, 2)
    assert all(count == 1 for line, count in effects.items() if line.startswith("after"))


def test_a_watcher_goes_on_after_a_kill_without_a_gap(
    launch: Callable[..., Server], tmp_path: Path, held: dict[str, Any]
) -> None:
    first = launch()
    run_id = first.submit(first.create(held), {"name": "watched"})
    seen: list[dict[str, Any]] = []
    with first.client.websocket(f"{first.ws_url}/ws/monitor/{run_id}") as socket:
        while len(seen) < 4:
            seen.append(socket.receive_json(timeout=20)["data"])
        first.end(signal.SIGKILL)
    second = launch()
    (tmp_path / "gate").touch()
    with second.client.websocket(f"{second.ws_url}/ws/monitor/{run_id}?after={seen[-1]['seq']}") as socket:
        while (message := socket.receive_json(timeout=20))["type"] == "log":
            seen.append(message["data"])
    assert message["type"] == "complete"
    assert seen == second.state(run_id)["execution_log"]
    assert [record["seq"] for record in seen] == list(range(1, len(seen) + 1))
