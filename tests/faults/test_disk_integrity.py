"""Faults of the disk and of whoever handles its files: F11, F12, F14, F20 to F23."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Final

import apsw
import pytest

from runtime.errors import InvalidInput
from runtime.journal import SqliteJournal, verify_journal
from runtime.journal.base import check_chain
from runtime.journal.sqlite import ownership
from runtime.journal.sqlite.ownership import Mount, mount_of
from tests.acceptance.server import DEADLINE_S, ROOT, Server
from tests.conformance.first_schema import make_first_schema

acceptance = pytest.mark.acceptance

GRAPH: Final = {
    "name": "two steps",
    "nodes": [
        {"name": "a", "tool": "echo", "config": {"message": "hello"}},
        {"name": "b", "type": "wait", "wait": {"signal": "go"}},
    ],
    "edges": [{"from_node": "a", "to_node": "b"}],
    "entry_point": "a",
}

Launch = Callable[..., Server]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts servers on a data folder; they are killed when the test ends."""
    servers: list[Server] = []

    def launch(data: Path, *arguments: str, ready: bool = True, program: tuple[str, ...] = ("-m", "api")) -> Server:
        options = ["--port", "0", "--data-dir", str(data), "--log-format", "json", *arguments]
        server = Server(tmp_path / f"server{len(servers)}", options, program)
        servers.append(server)
        return server.wait_ready() if ready else server

    yield launch
    for server in servers:
        server.close()


def refusal(server: Server) -> tuple[int, str]:
    """Return the exit code and the one line of a server that does not start."""
    code = server.process.wait(DEADLINE_S)
    assert "listens" not in server.out
    (line,) = server.err.splitlines()
    return code, line


def processor_s(pid: int) -> float:
    """Seconds of the processor that a process has used until now: other programs do not count."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m api` to its end."""
    whole = [sys.executable, "-m", "api", *arguments]
    return subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A data folder whose server was killed, with much in the write-ahead log, and the runs it had acknowledged."""
    folder = tmp_path_factory.mktemp("killed")
    with closing(Server(folder / "server", ["--port", "0", "--data-dir", str(folder / "data")])) as server:
        server.wait_ready()
        graph_id = server.create(GRAPH)
        runs = [server.submit(graph_id, {"n": n, "text": "x" * 200}) for n in range(40)]
        for run_id in runs:
            server.wait_event(run_id, "step_waiting")
        server.end(signal.SIGKILL)
    return folder / "data", runs


@pytest.fixture
def data(killed: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """A copy of that folder, to spoil."""
    return Path(shutil.copytree(killed[0], tmp_path / "data"))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def sql(data: Path, statement: str, *values: object) -> None:
    with closing(apsw.Connection(str(data / "workflow.db"))) as connection:
        connection.execute(statement, values)


# --- F14: altered or cut while nobody uses it -------------------------------------------------------------------------


def flip_log(data: Path) -> None:
    log = data / "workflow.db-wal"
    flip(log, log.stat().st_size // 2)


def cut_log(data: Path) -> None:
    log = data / "workflow.db-wal"
    os.truncate(log, log.stat().st_size * 2 // 3)


def flip_record(data: Path) -> None:
    sql(data, "PRAGMA wal_checkpoint(TRUNCATE)")
    content = (data / "workflow.db").read_bytes()  # also where a page has remains of what was moved: all of it
    (data / "workflow.db").write_bytes(content.replace(b'"event":"step_waiting"', b'"event":"step_waitinf"'))


def cut_database(data: Path) -> None:
    sql(data, "PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(data / "workflow.db", (data / "workflow.db").stat().st_size // 8192 * 4096)


def alter_row(data: Path) -> None:
    sql(data, "UPDATE runs SET graph_id = 'graph-other' WHERE number = 7")


SPOILED = [
    (flip_log, "it ends with commit", 1, False),
    (cut_log, "it ends with commit", 1, False),
    (flip_record, "was altered at record", 0, True),  # a record of every run
    (cut_database, "", 0, False),  # how many depends on which pages were cut off
    (alter_row, "does not fit its digest", 39, True),
]
"""What is done, what is told, how many of the 40 runs are kept at least, and whether the report names all others."""


@acceptance
@pytest.mark.parametrize(
    ("spoil", "told", "kept", "is_named"), SPOILED, ids=[spoiled[0].__name__ for spoiled in SPOILED]
)
def test_f14_what_was_altered_at_rest_is_refused_until_the_loss_is_accepted(
    launch: Launch,
    data: Path,
    killed: tuple[Path, list[str]],
    spoil: Callable[[Path], None],
    told: str,
    kept: int,
    is_named: bool,
) -> None:
    spoil(data)
    damaged = {
        name: (data / name).read_bytes() for name in ("workflow.db", "workflow.db-wal") if (data / name).exists()
    }
    code, line = refusal(launch(data, ready=False))
    assert code == os.EX_DATAERR
    assert str(data / "workflow.db") in line
    assert told in line
    assert "--accept-data-loss" in line
    assert {name: (data / name).read_bytes() for name in damaged} == damaged

    server = launch(data, "--accept-data-loss")
    (copy,) = data.glob("damaged-*")
    assert {name: (copy / name).read_bytes() for name in damaged} == damaged
    report = json.loads((copy / "report.json").read_text())
    assert report["found"]
    there = {run["run_id"] for run in server.client.get("/api/runs", params={"limit": 200}).json()["runs"]}
    left_out = {lost["identity"] for lost in report["left_out"]}
    assert not there & left_out
    assert len(there) >= kept
    if is_named:
        assert there | left_out == set(killed[1])
    else:  # it ends earlier, and up to there everything is kept
        assert there == set(killed[1][: len(there)])
    assert "journal_salvaged" in server.err
    for run_id in there:
        server.command(run_id, "signal", name="go")
    assert all(server.wait_ended(run_id)["status"] == "completed" for run_id in there)
    assert server.end(signal.SIGTERM) == 0
    assert launch(data).end(signal.SIGTERM) == 0


@acceptance
def test_f14_verify_names_everything_that_is_wrong(data: Path) -> None:
    assert command("verify", "--data-dir", str(data)).returncode == 0
    sql(data, "UPDATE runs SET error = 'x' WHERE number IN (3, 5)")
    told = command("--data-dir", str(data), "verify")
    assert told.returncode == os.EX_DATAERR
    assert told.stdout.count("does not fit its digest") == 2


# --- F12: killed while the schema is brought up to date ---------------------------------------------------------------

MIGRATE: Final = """
import os, signal, sys
from pathlib import Path
from runtime.journal import SqliteJournal
from runtime.journal.sqlite import journal, schema

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def after(function, calls):
    def counted(*arguments):
        nonlocal calls
        calls -= 1
        return function(*arguments) if calls else die()
    return counted

point, path = sys.argv[1:]
if point == "behind the script":
    schema._BEHIND_SCRIPT = {2: die}
elif point == "among the rows":
    schema.run_digest = after(schema.run_digest, 1500)
elif point == "before the commit":
    fill = schema._begin_integrity
    schema._BEHIND_SCRIPT = {2: lambda *arguments: (fill(*arguments), die())}
elif point == "before the watermark":
    journal.Watermark = die
elif point == "before the schema":
    journal.migrate = die
SqliteJournal(Path(path)).open()
"""


@pytest.mark.parametrize(
    ("point", "schema"),
    [
        ("before the schema", 1),
        ("behind the script", 1),
        ("among the rows", 1),
        ("before the commit", 1),
        ("before the watermark", 2),
    ],
)
def test_f12_a_kill_during_a_migration_leaves_the_old_schema_or_the_new_one(
    tmp_path: Path, point: str, schema: int
) -> None:
    path = tmp_path / "work.db"
    make_first_schema(path, runs=2_000)
    child = subprocess.run([sys.executable, "-c", MIGRATE, point, str(path)], cwd=ROOT, timeout=DEADLINE_S, check=False)
    assert child.returncode == -signal.SIGKILL
    report = verify_journal(path)
    assert report.schema == schema
    assert report.is_whole
    assert sum(report.runs.values()) == 2_000
    with closing(SqliteJournal(path)) as journal:
        journal.open()
        assert journal.counts() == (1, 2_000)
    assert (verify_journal(path).schema, verify_journal(path).is_whole) == (2, True)


@acceptance
def test_f12_a_newer_schema_is_refused_as_a_matter_of_configuration(launch: Launch, data: Path) -> None:
    sql(data, "PRAGMA user_version = 99")
    code, line = refusal(launch(data, ready=False))
    assert code == os.EX_CONFIG
    assert "Start the newer version" in line


# --- F11: killed while it checkpoints or deletes ----------------------------------------------------------------------

CHURN: Final = """
import os, signal, sys
from pathlib import Path
from msgspec.structs import replace
from runtime.journal import SqliteJournal
from tests.conformance.entries import chained, row, stored

path, die_after = Path(sys.argv[1]), int(sys.argv[2])
journal = SqliteJournal(path)
epoch = journal.open()
number = journal.last_run_number()

def die():
    os.kill(os.getpid(), signal.SIGKILL)

while True:
    first = number + 1
    for number in range(first, first + 40):
        begin, end = chained(number, 2, 1, epoch=epoch)
        journal.commit([begin, replace(end, row=row(number, "completed", last_seq=3, final_state=b"{}" * 100))])
    print("there", first, number, flush=True)
    gone = list(range(first, first + 30))
    if die_after:
        journal._writer.set_progress_handler(die, die_after)
    journal.delete_runs(gone)
    print("gone", gone[0], gone[-1], flush=True)
    journal._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
"""


def churn(path: Path, die_after: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CHURN, str(path), str(die_after)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def told(lines: list[str]) -> tuple[set[int], set[int]]:
    """Return the runs that were reported as stored, and those as deleted."""
    sets: dict[str, set[int]] = {"there": set(), "gone": set()}
    for line in lines:
        word, first, last = line.split()
        sets[word] |= set(range(int(first), int(last) + 1))
    return sets["there"], sets["gone"]


def check_whole_runs(path: Path, there: set[int], gone: set[int]) -> None:
    """Every run is there with all its records, or not at all, as far as it was reported."""
    report = verify_journal(path)
    assert report.is_whole, report.faults
    with closing(SqliteJournal(path)) as journal:
        journal.open()
        for number in there:
            known, entries = journal.run(f"run-{number}"), journal.entries(number, after=0, limit=9)
            assert (known is None) == (entries == [])
            if number in gone:
                assert known is None
            elif known is not None:
                assert check_chain(known.run_id, entries) == entries[-1].hash
        last = max(there)
        block = set(range(last - 39, last - 9)) - gone  # the newest block may be deleted, but only as a whole
        assert sum(journal.run(f"run-{number}") is not None for number in block) in (0, 30)


@pytest.mark.parametrize("steps", [50, 200, 500])
def test_f11_a_kill_inside_a_deletion_deletes_whole_runs_or_none(tmp_path: Path, steps: int) -> None:
    path = tmp_path / "work.db"
    child = churn(path, steps)
    out, _ = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == -signal.SIGKILL
    there, gone = told(out.splitlines())
    assert (len(there), len(gone)) == (40, 0)
    check_whole_runs(path, there, gone)


def test_f11_a_kill_at_any_moment_of_checkpoints_and_deletions_leaves_whole_runs(tmp_path: Path) -> None:
    path, chance = tmp_path / "work.db", random.Random(11)
    there: set[int] = set()
    gone: set[int] = set()
    for _ in range(4):
        child = churn(path, 0)
        assert child.stdout is not None
        lines = [next(child.stdout) for _ in range(chance.randint(1, 12))]
        child.kill()
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait(DEADLINE_S)
        stored, deleted = told([line for line in lines if line.endswith("\n")])
        there, gone = there | stored, gone | deleted
        check_whole_runs(path, there, gone)


# --- F20: no access ---------------------------------------------------------------------------------------------------

READ_ONLY: Final = """
import os, sys
data, python = sys.argv[sys.argv.index("--data-dir") + 1], sys.executable
script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
os.execvp("unshare", ["unshare", "-m", "sh", "-c", script, data, python, "-m", "api", *sys.argv[1:]])
"""

NOBODY: Final = """
import os
import api.__main__ as program
os.setgroups([]), os.setgid(65534), os.setuid(65534)
program.cli(prog_name="python -m api")
"""


@acceptance
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a folder read-only, and changes the user")
@pytest.mark.parametrize("program", [READ_ONLY, NOBODY], ids=["read-only", "another user"])
def test_f20_a_folder_without_access_is_refused_in_one_line(launch: Launch, data: Path, program: str) -> None:
    data.chmod(0o700)
    code, line = refusal(launch(data, ready=False, program=("-c", program)))
    assert code == os.EX_NOPERM
    assert str(data) in line


# --- F21: a copy of the database alone --------------------------------------------------------------------------------


@acceptance
def test_f21_a_copy_of_the_database_file_alone_is_refused_and_a_backup_is_not(
    launch: Launch, data: Path, killed: tuple[Path, list[str]], tmp_path: Path
) -> None:
    server = launch(data)
    (tmp_path / "bad").mkdir()
    shutil.copyfile(data / "workflow.db", tmp_path / "bad" / "workflow.db")
    code, line = refusal(launch(tmp_path / "bad", ready=False))
    assert code == os.EX_DATAERR
    assert "python -m api backup" in line

    shutil.copyfile(data / "workflow.db.watermark", tmp_path / "bad" / "workflow.db.watermark")
    code, line = refusal(launch(tmp_path / "bad", ready=False))
    assert code == os.EX_DATAERR
    assert "the watermark of" in line

    made = command("backup", str(tmp_path / "copy.db"), "--data-dir", str(data))
    assert made.returncode == 0, made.stderr
    late = server.submit(server.create(GRAPH), {"n": 99})
    again = command("backup", str(tmp_path / "copy.db"), "--data-dir", str(data))
    assert again.returncode == os.EX_CONFIG
    assert "already" in again.stderr

    (tmp_path / "restored").mkdir()
    for suffix in ("", ".watermark"):
        (tmp_path / f"copy.db{suffix}").rename(tmp_path / "restored" / f"workflow.db{suffix}")
    restored = launch(tmp_path / "restored")
    listed = restored.client.get("/api/runs", params={"limit": 200}).json()["runs"]
    assert {run["run_id"] for run in listed} == set(killed[1])
    assert late not in {run["run_id"] for run in listed}


# --- F22: two processes -----------------------------------------------------------------------------------------------


@acceptance
def test_f22_a_second_process_is_refused_at_once_and_starts_after_a_kill_of_the_first(
    launch: Launch, data: Path
) -> None:
    first = launch(data)
    start_s = processor_s(first.process.pid)
    owner = (data / "workflow.db.lock").read_text()
    assert f"process {first.process.pid} (boot " in owner
    second = launch(data, ready=False)
    _, status, used = os.wait4(second.process.pid, 0)
    second.process.returncode = os.waitstatus_to_exitcode(status)
    assert used.ru_utime + used.ru_stime < 1.5 * start_s  # no more than a start that succeeds; the rest is noise
    code, line = refusal(second)
    assert code == os.EX_TEMPFAIL
    assert owner in line
    first.end(signal.SIGKILL)
    assert launch(data).client.get("/health").status_code == 200


# --- F23: a disk of another machine -----------------------------------------------------------------------------------

MOUNTS: Final = r"""22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 22 0:26 / /mnt rw - tmpfs tmpfs rw
40 31 0:47 / /mnt/share rw,relatime shared:20 master:3 - nfs4 server:/export rw,vers=4.2
41 22 0:48 / /home/a\040b rw - fuse.sshfs a@b:/ rw
42 22 0:49 / /srv rw - cifs //server/srv rw
43 22 0:50 / /srv rw - xfs /dev/vdb1 rw
44 22 0:51 / /odd
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/workflow.db", Mount("/", "ext4")),
        ("/mnt/workflow.db", Mount("/mnt", "tmpfs")),
        ("/mnt/share", Mount("/mnt/share", "nfs4")),
        ("/mnt/share/deep/workflow.db", Mount("/mnt/share", "nfs4")),
        ("/mnt/shared/workflow.db", Mount("/mnt", "tmpfs")),
        ("/home/a b/workflow.db", Mount("/home/a b", "fuse.sshfs")),
        ("/srv/workflow.db", Mount("/srv", "xfs")),
        ("/odd/workflow.db", Mount("/", "ext4")),
    ],
)
def test_f23_a_path_lies_on_the_innermost_and_latest_mount(path: str, expected: Mount) -> None:
    assert mount_of(PurePosixPath(path), MOUNTS) == expected


def test_f23_nothing_is_known_without_mounts() -> None:
    assert mount_of(PurePosixPath("/data"), "") is None


@pytest.mark.parametrize("filesystem", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"])
def test_f23_a_journal_on_a_network_file_system_is_refused_unless_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filesystem: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/vda1 rw\n2 1 0:2 / {tmp_path} rw - {filesystem} server:/x rw\n")
    monkeypatch.setattr(ownership, "_MOUNTS", mounts)
    path = tmp_path / "deep" / "work.db"
    with pytest.raises(InvalidInput, match="--allow-network-filesystem"):
        SqliteJournal(path).open()
    assert not path.parent.exists()
    with closing(SqliteJournal(path, allow_network_filesystem=True)) as journal:
        assert journal.open() == 1
