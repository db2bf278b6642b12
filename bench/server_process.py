"""A server for a bench: `python -m api` as a process of its own on a free loopback port, with its data in a temporary folder.

It is told to stop by SIGTERM to its own pid, and killed by that pid if it does not. `cpu_seconds` is what makes a figure
comparable on a busy machine: time on a core, which neighbours hardly change.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.report import ROOT
from bench.scenarios import TOOLS_FILE

_READY_S: Final = 60.0
_STOP_S: Final = 30.0
_LOG_LINES: Final = 20


class ServerFailed(Exception):
    """The server did not start; the message has the last lines it wrote."""


@dataclass(frozen=True, slots=True)
class ServerUnderTest:
    """Where a server is. `pid` is None for one that the bench did not start."""

    host: str
    port: int
    pid: int | None = None

    @property
    def name(self) -> str:
        """`127.0.0.1:8000`."""
        return f"{self.host}:{self.port}"

    def cpu_seconds(self) -> float:
        """Return the time on a core that all threads of the process have used; 0 where the pid is not known."""
        if self.pid is None:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, see proc(5)

    def memory_mib(self) -> float:
        """Return the resident memory of the process now; 0 where the pid is not known."""
        if self.pid is None:
            return 0.0
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def server_at(url: str) -> ServerUnderTest:
    """Return the server at a loopback URL such as `http://127.0.0.1:8000`.

    Raises:
        ValueError: It is no such URL.
    """
    found = re.fullmatch(r"http://(127\.0\.0\.1|localhost):(\d+)/?", url)
    if found is None:
        raise ValueError(f"{url!r} is not of the form http://127.0.0.1:PORT; benches stay on this machine")
    return ServerUnderTest(found[1], int(found[2]))


@contextmanager
def running_server(journal: str = "sqlite") -> Iterator[ServerUnderTest]:
    """Start a server with the tools of the bench, and stop it at the end.

    Args:
        journal: `sqlite`, or `memory` to leave the disk out.

    Raises:
        ServerFailed: It ended, or did not listen in time.
    """
    with tempfile.TemporaryDirectory(prefix="bench-server-") as folder:
        output = Path(folder) / "server.log"
        command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", "0", "--data-dir", folder]
        command += ["--tools", str(TOOLS_FILE), "--log-format", "none"]
        if journal == "memory":
            command += ["--journal", "memory:"]
        with output.open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield _when_ready(process, output)
        finally:
            _stop(process)


def _when_ready(process: subprocess.Popen[bytes], output: Path) -> ServerUnderTest:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"listens on http://([\d.]+):(\d+)", output.read_text())
        if found is not None:
            return ServerUnderTest(found[1], int(found[2]), process.pid)
        time.sleep(0.02)
    tail = "\n".join(output.read_text().splitlines()[-_LOG_LINES:])
    raise ServerFailed(f"the server does not listen (exit code {process.poll()}):\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_S)
