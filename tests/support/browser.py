"""A real browser without a window, in which a test opens a page and sees what became of it.

The browser has no network: every request to any host ends at a socket of the test, which writes down what was asked for
and answers nothing. Invariant: a browser is waited for with a time limit, and its profile is gone with it.
"""

import os
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from socket import create_server, socket

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium here: name one in CHROMIUM, or install one (Debian: apt install chromium)"

_START_S = 60
_VISIT_S = 120  # a second or two as a rule; a machine that is busy with all tests may be slow
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    "--disable-features=NetworkTimeServiceQuerying,OptimizationHints,MediaRouter",
    *("--proxy-bypass-list=<-loopback>", "--enable-logging=stderr", "--v=0", "--window-size=1280,1600"),
)


@dataclass(frozen=True)
class Visit:
    """What a page became: its elements as HTML, what the browser complained about, and what it asked the network for.

    Attributes:
        asked: First lines of requests, such as `GET http://elsewhere.example/x HTTP/1.1`, but for what the browser asks its
            maker by itself.
    """

    dom: str
    complaints: list[str]
    asked: list[str]


@cache
def find_browser() -> str | None:
    """Path of a Chromium that starts: the one in `CHROMIUM`, else the first of its usual names."""
    for name in (os.environ.get("CHROMIUM"), *NAMES):
        path = shutil.which(name) if name else None
        if path and _starts(path):
            return path
    return None


def visit(page: Path, folder: Path) -> Visit:
    """Open the page, wait until it is loaded, and return what is there."""
    browser = find_browser()
    assert browser is not None, MISSING
    asked: list[bytes] = []
    with create_server(("127.0.0.1", 0)) as listening:
        listener = threading.Thread(target=_listen, args=(listening, asked), daemon=True)
        listener.start()
        port = listening.getsockname()[1]
        command = [
            *(browser, *_FLAGS, f"--proxy-server=http://127.0.0.1:{port}", f"--user-data-dir={folder / 'profile'}"),
            *("--dump-dom", page.as_uri()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_VISIT_S, check=True)
        _knock(port)
        listener.join()
    shutil.rmtree(folder / "profile", ignore_errors=True)
    complaints = [line for line in done.stderr.splitlines() if re.search(r":CONSOLE[:(]", line)]
    lines = [request.split(b"\r\n")[0].decode("latin-1") for request in asked]
    return Visit(done.stdout, complaints, [line for line in lines if not _OF_THE_BROWSER.search(line)])


_LAST = b"no more"
_OF_THE_BROWSER = re.compile(r"^[A-Z]+ (?:https?://)?[\w.-]*\.(?:google|googleapis|gstatic|gvt1)\.com[:/]")


def _listen(listening: socket, asked: list[bytes]) -> None:
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(5)
            try:
                request = connection.recv(4096)
            except OSError:
                continue
            if request == _LAST:
                return
            if request:  # a connection made ahead of time, and not used, asks for nothing
                asked.append(request)


def _knock(port: int) -> None:
    with socket() as connection:
        connection.connect(("127.0.0.1", port))
        connection.sendall(_LAST)


def _starts(path: str) -> bool:
    # Ubuntu's chromium-browser is a script that only says where to get one.
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=_START_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
