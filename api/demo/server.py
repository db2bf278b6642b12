"""The server as a child process: started on a free port, its log kept in a file, always stopped.

The server is found by what it prints, and stopped by its process id; both waits are bounded.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
_START_S: Final = 60.0
_STOP_S: Final = 15.0
_POLL_S: Final = 0.05
_GREETING: Final = re.compile(r"listens on (http://\S+)")


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


@contextmanager
def serving(data_dir: Path, log: Path) -> Iterator[str]:
    """Run a server that keeps everything in `data_dir`; yields its URL, and stops it at the end, whatever happened.

    Raises:
        DemoFailed: It did not start, or did not end cleanly.
    """
    command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", "0", "--data-dir", str(data_dir)]
    # The demo's server must not be changed by what the environment says about another one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WFE_")}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # no part of the command comes from outside
            command, cwd=_ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        url = _wait_for_url(process, log)
        try:
            yield url
        except DemoFailed as failure:
            if (code := _stop(process)) != 0:  # it is why the demo failed, and says more
                raise DemoFailed(f"{failure} The server is gone: {_meaning(code)}.") from failure
            raise
    except BaseException:
        _stop(process)
        raise
    code = _stop(process)
    if code != 0:
        raise DemoFailed(f"The server did not end cleanly: {_meaning(code)}.")


def last_lines(log: Path, count: int = 5) -> list[str]:
    """Return the last lines of the server's log; none if there is no log."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except OSError:
        return []


def _wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        code = process.poll()
        if found := _GREETING.search(log.read_text(encoding="utf-8", errors="replace")):
            return found[1]
        if code is not None:
            raise DemoFailed(f"The server did not start: {_meaning(code)}.")
        time.sleep(_POLL_S)
    raise DemoFailed(f"The server did not start within {_START_S:g} seconds.")


def _stop(process: subprocess.Popen[bytes]) -> int:
    process.terminate()  # does nothing if it has ended already
    try:
        return process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise DemoFailed(f"The server did not stop within {_STOP_S:g} seconds of SIGTERM, and was killed.") from None


def _meaning(code: int) -> str:
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"
