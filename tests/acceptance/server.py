"""A real server process and a client for it."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2

ROOT: Final = Path(__file__).parents[2]
DEADLINE_S: Final = 30.0
T = TypeVar("T")


def eventually(condition: Callable[[], T], *, within_s: float = DEADLINE_S) -> T:
    """Return the first true result of `condition`."""
    deadline = time.monotonic() + within_s
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not true within {within_s} s: {condition}"
        time.sleep(0.01)


class Server:
    """One server process and a client for it."""

    def __init__(self, folder: Path, arguments: list[str], program: tuple[str, ...] = ("-m", "api")) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out = folder / "out.txt"
        self._err = folder / "err.txt"
        command = [sys.executable, *program, *arguments]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        self.client = httpx2.Client(timeout=DEADLINE_S)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def url(self) -> str:
        return str(self.client.base_url).rstrip("/")

    @property
    def ws_url(self) -> str:
        return self.url.replace("http:", "ws:")

    def wait_ready(self) -> "Server":
        def greeting() -> str:
            assert self.process.poll() is None, f"server ended with {self.process.returncode}: {self.err}"
            found = re.search(r"listens on (http://\S+)", self.out)
            return found[1] if found else ""

        self.client.base_url = httpx2.URL(eventually(greeting))
        assert self.client.get("/health").json()["status"] == "ok"
        return self

    def end(self, number: signal.Signals, *, within_s: float = DEADLINE_S) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(within_s)

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)

    def create(self, definition: dict[str, Any]) -> str:
        response = self.client.post("/api/graph/create", json={"graph": definition})
        assert response.status_code == 200, response.text
        graph_id: str = response.json()["graph_id"]
        return graph_id

    def submit(self, graph_id: str, state: dict[str, Any]) -> str:
        response = self.client.post("/api/graph/run-async", json={"graph_id": graph_id, "initial_state": state})
        assert response.status_code == 200, response.text
        run_id: str = response.json()["run_id"]
        return run_id

    def state(self, run_id: str) -> dict[str, Any]:
        response = self.client.get(f"/api/graph/state/{run_id}")
        assert response.status_code == 200, response.text
        state: dict[str, Any] = response.json()
        return state

    def wait_ended(self, run_id: str) -> dict[str, Any]:
        eventually(lambda: self.state(run_id)["status"] not in ("pending", "running", "waiting", "paused"))
        return self.state(run_id)

    def wait_event(self, run_id: str, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for the first record of that kind with these fields, and return it."""

        def found() -> dict[str, Any] | None:
            log: list[dict[str, Any]] = self.state(run_id)["execution_log"]
            return next((one for one in log if one["event"] == event and fields.items() <= one.items()), None)

        record = eventually(found)
        assert record is not None
        return record

    def command(self, run_id: str, command: str, **body: Any) -> dict[str, Any]:
        """Send a command that has to be taken, and return the answer."""
        response = self.client.post(f"/api/runs/{run_id}/{command}", json=body or None)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def wait_started(self, run_id: str, steps: int) -> None:
        """Wait until that many steps of the run have started."""
        eventually(lambda: self.events(run_id).count("step_started") >= steps)

    def events(self, run_id: str) -> list[str]:
        return [record["event"] for record in self.state(run_id)["execution_log"]]
