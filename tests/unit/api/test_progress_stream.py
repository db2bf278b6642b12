"""Whoever watches a run sees over the WebSocket how far a long tool is, while it is at work."""

import threading
from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from tools import Registry, ToolContext, tool


def test_a_monitor_sees_the_bar_move_before_the_tool_returns(
    client: TestClient, registry: Registry, stored: Callable[..., str], released: threading.Event
) -> None:
    @tool(effect="pure", cpu_bound=True)
    def study(state: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        """Work on four columns, and on the last two when the test lets go."""
        for column in range(1, 5):
            if column == 3:
                released.wait(20)
            context.progress(column, 4, "columns", "study")
        return {"studied": True}

    registry.add(study)
    run_id = client.post("/api/graph/run-async", json={"graph_id": stored("study")}).json()["run_id"]
    moves: list[dict[str, Any]] = []
    with client.websocket_connect(f"ws://127.0.0.1:8000/ws/monitor/{run_id}") as socket:
        while (message := socket.receive_json())["type"] != "complete":
            if message["data"]["event"] == "tool_log":
                moves.append(message["data"]["fields"])
            if len(moves) == 2 and not released.is_set():
                assert client.get(f"/api/graph/state/{run_id}").json()["status"] == "running"
                released.set()
    assert moves == [{"done": done, "total": 4, "unit": "columns"} for done in range(1, 5)]
    assert message["data"]["final_state"] == {"studied": True}
