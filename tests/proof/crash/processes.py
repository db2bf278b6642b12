"""Server processes that follow each other on one data folder, each imported beforehand so that a restart takes a moment only."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
START_S: Final = 30.0
_LOOK_S: Final = 0.005


class ServerFailed(Exception):
    """A server ended although nobody killed it, or did not start."""


class ServerProcess:
    """One server: on standby until `start`."""

    def __init__(self, folder: Path, number: int, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self._out = folder / f"server-{number}.out"
        self._err = folder / f"server-{number}.err"
        command = [sys.executable, "-m", "tests.support.faulty_server", "--standby", "--", *arguments]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=err, env=os.environ | environment
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How the process ended; None while it goes on."""
        return self._process.poll()

    @property
    def err(self) -> str:
        return self._err.read_text(errors="replace")

    def start(self, faults: Sequence[str]) -> None:
        """Let the server open its journal and serve, with these faults in it."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(faults).encode() + b"\n")
        self._process.stdin.flush()

    async def url(self) -> str | None:
        """Return where the server listens, or None if it was killed before it did.

        Raises:
            ServerFailed: It ended otherwise, or takes too long.
        """
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            found = re.search(r"listens on (http://\S+)", self._out.read_text())
            if found:
                return found[1]
            if self.code is not None:
                self.require_killed()
                return None
            await asyncio.sleep(_LOOK_S)
        self.dump_stacks()
        raise ServerFailed(f"The server does not listen after {START_S:g} s: {self.err[-4000:]}")

    def require_killed(self) -> None:
        """Raise ServerFailed if the process ended in any way but by SIGKILL."""
        if self.code not in (None, -signal.SIGKILL):
            raise ServerFailed(f"The server ended by itself with {self.code}: {self.err[-4000:]}")

    async def ended(self, within_s: float) -> bool:
        """Wait for the end of the process, for so long; return whether it came."""
        deadline = time.monotonic() + within_s
        while self.code is None:
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    def dump_stacks(self) -> None:
        """Have the stacks of all threads written to the file of standard error."""
        if self.code is None:
            self._process.send_signal(signal.SIGUSR1)

    async def kill(self) -> None:
        """Kill the process, if it still goes on, and wait until it is gone."""
        if self.code is None:
            self._process.kill()
        await self.ended(START_S)
        self._close()

    async def stop(self) -> int:
        """End the process in the orderly way and return its exit code."""
        self._process.terminate()
        if not await self.ended(60.0):
            self.dump_stacks()
            await asyncio.sleep(0.5)
            await self.kill()
            raise ServerFailed(f"The server did not stop within 60 s: {self.err[-4000:]}")
        self._close()
        return self._process.returncode

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


class Fleet:
    """Makes servers for one data folder, `servers` in all, and keeps the next few on standby."""

    def __init__(
        self, folder: Path, arguments: Sequence[str], environment: dict[str, str], servers: int, ahead: int = 2
    ) -> None:
        self._folder = folder
        self._arguments = arguments
        self._environment = environment
        self._count = 0
        self._servers = servers
        self._ahead = ahead
        self._standby: list[ServerProcess] = []
        self.current: ServerProcess | None = None

    def _prepare(self) -> None:
        while len(self._standby) < self._ahead and self._count < self._servers:
            self._count += 1
            self._standby.append(ServerProcess(self._folder, self._count, self._arguments, self._environment))

    def next(self, faults: Sequence[str]) -> ServerProcess:
        """Start the next server."""
        self._prepare()
        server = self.current = self._standby.pop(0)
        server.start(faults)
        self._prepare()
        return server

    async def close(self) -> None:
        """End whatever is left."""
        for server in [*self._standby, *([self.current] if self.current is not None else [])]:
            await server.kill()
        self._standby.clear()
