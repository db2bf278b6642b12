"""Everything that is known about a series when it is over, from four sources that do not know each other.

The client's own record, what its watchers saw, the ledger of the tools, and the journal: asked for through the API, and read from
the SQLite file beside it, without any code of the engine.
"""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec

from tests.proof.crash.client import Watcher
from tests.proof.crash.processes import ROOT
from tests.proof.crash.record import Asked

AT_ONCE: Final = 8
FINAL: Final = ("completed", "failed", "cancelled", "timed_out", "dead_lettered")


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A row of the journal as it stands in the file."""

    first_seq: int
    count: int
    body: bytes
    hash: bytes


@dataclass(slots=True)
class Run:
    """A run as the server and its file show it.

    Attributes:
        lines: The records of its log, byte by byte, as the API shows them.
        records: The same, decoded.
        entries: What the file holds.
        row_status, row_last_seq: Its line in the index, as in the file.
    """

    run_id: str
    status: str
    state: dict[str, Any]
    lines: list[bytes]
    records: list[dict[str, Any]]
    entries: list[StoredEntry] = field(default_factory=list)
    row_status: str = ""
    row_last_seq: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """A line of the ledger."""

    key: str
    attempt: int
    effect: str
    pid: int

    @property
    def run_id(self) -> str:
        return self.key.partition("/")[0]


@dataclass(slots=True)
class History:
    """What the checks look at.

    Attributes:
        asked: What the client asked for, and was answered.
        runs: Every run that the server lists.
        stored: Ids of the runs that the file has.
        kills: Processes that were killed.
        kills_of_recovery: Those that may have been rebuilding a run just then.
        unfinished: Runs that had not ended when patience did.
        integrity: What SQLite says about the file; `ok` if nothing.
        verified: Exit code and output of `python -m api verify`, if there is such a command.
    """

    asked: dict[str, Asked]
    runs: dict[str, Run]
    watchers: list[Watcher]
    effects: list[Effect]
    kills: int
    kills_of_recovery: int = 0
    stored: set[str] = field(default_factory=set)
    unfinished: list[str] = field(default_factory=list)
    integrity: str = "ok"
    verified: tuple[int, str] | None = None

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(len(run.lines) for run in self.runs.values())


class _State(msgspec.Struct):
    run_id: str
    status: str
    current_state: dict[str, Any]
    execution_log: list[msgspec.Raw]


async def unfinished_runs(http: httpx2.AsyncClient) -> list[str]:
    """Return the runs that have not ended, as `id (status)`."""
    found = []
    for status in ("pending", "running", "waiting", "paused"):
        answer = (await http.get("/api/runs", params={"status": status, "limit": 200})).raise_for_status().json()
        found += [f"{run['run_id']} ({status})" for run in answer["runs"]]
    return found


async def read_runs(http: httpx2.AsyncClient) -> dict[str, Run]:
    """Return every run there is, as the API shows it."""
    run_ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await http.get("/api/runs", params={"limit": "200", **cursor})).raise_for_status().json()
        run_ids += [run["run_id"] for run in page["runs"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    runs: dict[str, Run] = {}
    waiting = iter(run_ids)

    async def read() -> None:
        for run_id in waiting:
            content = (await http.get(f"/api/graph/state/{run_id}")).raise_for_status().content
            seen = msgspec.json.decode(content, type=_State)
            lines = [bytes(line) for line in seen.execution_log]
            records = [msgspec.json.decode(line) for line in lines]
            runs[run_id] = Run(run_id, seen.status, seen.current_state, lines, records)

    await asyncio.gather(*(read() for _ in range(AT_ONCE)))
    return runs


def read_file(path: Path, runs: dict[str, Run]) -> tuple[set[str], str]:
    """Add to the runs what the file has of them; return the ids of its runs and what SQLite says about its own file."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        integrity = "; ".join(str(row[0]) for row in connection.execute("PRAGMA quick_check(10)"))
        numbers = {}
        for number, run_id, status, last_seq in connection.execute("SELECT number, run_id, status, last_seq FROM runs"):
            numbers[number] = run_id
            if run_id in runs:
                runs[run_id].row_status, runs[run_id].row_last_seq = status, last_seq
        query = "SELECT run, first_seq, count, body, hash FROM journal ORDER BY run, first_seq"
        for number, first_seq, count, body, digest in connection.execute(query):
            run = runs.get(numbers.get(number, ""))
            if run is not None:
                run.entries.append(StoredEntry(first_seq, count, bytes(body), bytes(digest)))
        return set(numbers.values()), integrity
    finally:
        connection.close()


def read_ledger(path: Path) -> list[Effect]:
    """Return the effects in the order in which they happened."""
    if not path.exists():
        return []
    lines = (line.split("\t") for line in path.read_text().splitlines())
    return [Effect(key, int(attempt), effect, int(pid)) for key, attempt, effect, pid in lines]


def verify(data_dir: Path) -> tuple[int, str] | None:
    """Return what the server's own `verify` says about a folder that nobody uses, or None if it has no such command."""
    if "verify" not in _api("--help").stdout:
        return None
    done = _api("verify", "--data-dir", str(data_dir))
    return done.returncode, (done.stdout + done.stderr)[-2000:]


def _api(*arguments: str) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = [sys.executable, "-m", "api", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
