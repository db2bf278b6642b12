"""A disk that is full, stalls, fails or is locked, under a real server process.

The faults are real: a small file system that is filled up, system calls that the kernel is told to fail (strace), a lock held by
this process. Where the machine does not allow that, the test is left out and says so; `test_storage_trouble.py` shows the same
with journals that refuse.
"""

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import httpx2
import pytest

from tests.acceptance.conftest import TOOLS
from tests.acceptance.server import DEADLINE_S, Server, eventually

pytestmark = pytest.mark.acceptance

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None or os.geteuid() != 0, reason="needs strace and the right to attach it"
)
Launch = Callable[[Path], Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Launch]:
    """Starts servers on data folders; they are killed when the test ends."""
    servers: list[Server] = []
    (tmp_path / "tools.py").write_text(TOOLS)

    def start(data: Path) -> Server:
        arguments = ["--port", "0", "--data-dir", str(data), "--tools", str(tmp_path / "tools.py")]
        server = Server(tmp_path / f"server{len(servers)}", [*arguments, "--log-format", "json"])
        servers.append(server)
        return server.wait_ready()

    yield start
    for server in servers:
        server.close()


@contextmanager
def injected(server: Server, *faults: str) -> Iterator[None]:
    """Let system calls of the server fail or stall, as strace's `inject=` says, as long as the block lasts."""
    asked = [part for fault in faults for part in ("-e", f"inject={fault}")]
    names = ",".join(name for fault in faults for name in fault.split(":")[0].split(","))
    command = ["strace", "-f", "-qq", "-p", str(server.process.pid), "-e", f"trace={names}", *asked]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: tracer.poll() is not None or _traced_by(server.process.pid) == tracer.pid)
        if tracer.poll() is not None:
            assert tracer.stderr is not None
            pytest.skip(f"strace may not attach here: {tracer.stderr.read().strip()[:200]}")
        yield
    finally:
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=DEADLINE_S)


def _traced_by(pid: int) -> int:
    try:
        threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    except OSError:
        return 0
    tracers = {int(text.split("TracerPid:")[1].split()[0]) for text in threads}
    return tracers.pop() if len(tracers) == 1 else 0


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["code"]) if answer.status_code >= 400 else ""


def submitted(server: Server, graph_id: str, **state: Any) -> httpx2.Response:
    return server.client.post("/api/graph/run-async", json={"graph_id": graph_id, "initial_state": state})


def is_cut_off(ask: Callable[[], httpx2.Response]) -> bool:
    """Whether a request gets no answer, or one of 5xx: not everybody hears of the end of a server in time."""
    try:
        return ask().status_code >= 500
    except httpx2.HTTPError:
        return True


def fill(ballast: Path) -> None:
    """Write to a file until its disk is full."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - the one way out of the loop


def held(folder: Path) -> dict[str, Any]:
    """A graph that waits for the file `gate` and then writes a line to `ledger`."""
    return {
        "name": "held",
        "nodes": [
            {"name": "wait", "tool": "wait_for", "config": {"path": str(folder / "gate")}, "timeout_s": 120},
            {"name": "after", "tool": "append_line", "config": {"path": str(folder / "ledger"), "line": "after"}},
        ],
        "edges": [{"from_node": "wait", "to_node": "after"}],
        "entry_point": "wait",
    }


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.timeout(120)
def test_f15_a_full_disk_refuses_new_runs_fails_none_and_goes_on_when_there_is_space(
    start: Launch, small_disk: Path, tmp_path: Path
) -> None:
    server = start(small_disk / "data")
    graph_id = server.create(held(tmp_path))
    runs = [server.submit(graph_id, {"name": f"run{i}"}) for i in range(5)]
    for run_id in runs:
        server.wait_started(run_id, 1)
    ballast = small_disk / "ballast"
    fill(ballast)
    accepted = list(runs)

    def refused() -> httpx2.Response | None:
        answer = submitted(server, graph_id, name=f"run{len(accepted)}", filler="x" * 50_000)
        if answer.status_code == 200:  # the log still had room
            accepted.append(answer.json()["run_id"])
            return None
        return answer

    answer = eventually(refused)
    assert answer is not None
    assert refusal(answer) == (503, "STORAGE_FULL")
    assert answer.headers["retry-after"] == "30"
    assert server.client.get("/readyz").json()["reasons"] == ["storage_full"]
    (tmp_path / "gate").touch()  # the steps that run end; what follows has to wait
    for run_id in runs:
        assert server.state(run_id)["status"] == "running"
    assert server.client.get("/api/runs").status_code == 200
    ballast.unlink()
    ended = [server.wait_ended(run_id)["status"] for run_id in accepted]
    assert set(ended) == {"completed"}
    assert eventually(lambda: submitted(server, graph_id, name="later").status_code == 200)
    lines = (tmp_path / "ledger").read_text().splitlines()
    assert {f"after run{i}" for i in range(len(accepted))} <= set(lines)
    assert server.process.poll() is None


@needs_strace
def test_f16_a_failed_flush_ends_the_server_and_nothing_after_it_is_acknowledged(start: Launch, tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    graph_id = server.create(held(tmp_path))
    run_id = server.submit(graph_id, {"name": "first"})
    with injected(server, "fsync,fdatasync:error=EIO"):
        before = time.monotonic()
        assert is_cut_off(lambda: submitted(server, graph_id, name="second"))
        assert server.process.wait(DEADLINE_S) == os.EX_IOERR
        assert time.monotonic() - before < 10  # one second without strace and other tests beside it
    assert "workflow.db" in server.err
    (tmp_path / "gate").touch()
    again = start(tmp_path / "data")
    assert again.wait_ended(run_id)["status"] == "completed"


@needs_strace
def test_f17_a_failed_read_is_told_to_who_asked_and_the_second_one_ends_the_server(
    start: Launch, tmp_path: Path
) -> None:
    first = start(tmp_path / "data")
    (tmp_path / "gate").touch()
    graph_id = first.create(held(tmp_path))
    runs = [first.submit(graph_id, {"name": f"run{i}", "filler": "x" * 20_000}) for i in range(40)]
    for run_id in runs:
        first.wait_ended(run_id)
    assert first.end(signal.SIGTERM) == 0
    server = start(tmp_path / "data")
    with injected(server, "pread64:error=EIO"):
        answer = server.client.get(f"/api/graph/state/{runs[3]}")
        assert refusal(answer) == (500, "STORAGE_ERROR"), answer.text
        assert is_cut_off(lambda: server.client.get(f"/api/graph/state/{runs[30]}"))
        assert server.process.wait(DEADLINE_S) == os.EX_IOERR
    again = start(tmp_path / "data")
    assert again.state(runs[3])["status"] == "completed"


@needs_strace
@pytest.mark.timeout(120)
def test_f18_a_disk_that_stalls_refuses_new_runs_and_holds_up_nobody_else(start: Launch, tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    graph_id = server.create(held(tmp_path))
    with injected(server, "fsync,fdatasync:delay_enter=6s"):
        assert refusal(submitted(server, graph_id, name="slow")) == (503, "STORAGE_SLOW")
        answer = submitted(server, graph_id, name="refused at once")
        assert refusal(answer) == (503, "STORAGE_SLOW")
        assert int(answer.headers["retry-after"]) >= 1
        assert server.client.get("/livez").status_code == 200
        assert server.client.get("/readyz").json()["reasons"] == ["storage_slow"]
        assert server.client.get("/api/runs").status_code == 200
    (tmp_path / "gate").touch()
    assert eventually(lambda: server.client.get("/readyz").status_code == 200)
    run_id = server.submit(graph_id, {"name": "afterwards"})
    assert server.wait_ended(run_id)["status"] == "completed"


@pytest.mark.timeout(120)
def test_f19_a_journal_that_somebody_else_has_locked_is_waited_for(start: Launch, tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    graph_id = server.create(held(tmp_path))
    run_id = server.submit(graph_id, {"name": "first"})
    server.wait_started(run_id, 1)
    with closing(apsw.Connection(str(tmp_path / "data" / "workflow.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        (tmp_path / "gate").touch()
        codes: set[str] = set()

        def is_busy() -> bool:
            codes.add(refusal(submitted(server, graph_id, name="refused"))[1])
            return "STORAGE_BUSY" in codes

        assert eventually(is_busy)
        assert codes <= {"STORAGE_SLOW", "STORAGE_BUSY"}
        assert server.state(run_id)["status"] == "running"
        other.execute("ROLLBACK")
    assert server.wait_ended(run_id)["status"] == "completed"
    assert eventually(lambda: submitted(server, graph_id, name="later").status_code == 200)
    assert (tmp_path / "ledger").read_text().splitlines().count("after first") == 1
