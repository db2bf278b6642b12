"""`python -m api.demo` as a newcomer runs it: one process, no terminal, and every claim it makes is checked here."""

import csv
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.data_quality import make_demo
from tests.acceptance.server import ROOT, eventually

DEADLINE_S = 55.0
SHIPPED = ROOT / "tools" / "data_quality" / "demo"
STEPS = ["profile_data", "identify_anomalies", "generate_rules", "apply_rules"]
AFTER = ["propose_repairs", "report_proposals", "review", "apply_approved", "report_quality"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "api.demo", "--output", str(folder), *arguments]
    environment = os.environ | {"COLUMNS": "80", "WFE_PORT": "not a port"}  # another server's settings: of no interest
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the output of one demo, run as it is run by default."""
    folder = tmp_path_factory.mktemp("demo") / "output"
    process = start(folder)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (0, "")
    return folder, out


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def truth() -> dict[tuple[int, str], str]:
    return {
        (int(one["row"]), one["column"]): one["right"] for one in table(SHIPPED / "flights.truth.csv") if one["column"]
    }


def changed(folder: Path) -> dict[tuple[int, str], str]:
    """The cells that the run has repaired, with what stands there now."""
    pairs = zip(table(SHIPPED / "flights.csv"), table(folder / "repaired.csv"), strict=True)
    return {(row, name): new[name] for row, (old, new) in enumerate(pairs) for name in old if old[name] != new[name]}


def numbers(pattern: str, out: str) -> list[int]:
    """The numbers that the groups of a pattern match in the output, however its lines are broken."""
    found = re.search(pattern, " ".join(out.split()))
    assert found, f"the output does not say {pattern!r}"
    return [int(number.replace(",", "")) for number in found.groups()]


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_the_shipped_table_is_what_its_script_makes() -> None:
    assert {name: (SHIPPED / name).read_bytes() for name in make_demo.files()} == make_demo.files()


def test_one_line_for_each_step_of_each_pass_and_of_what_follows(demo: tuple[Path, str]) -> None:
    _, out = demo
    lines = re.findall(r"^ {3,4}(\d?)  (\w+) +(.+?)  +[\d.]+ m?s$", out, re.MULTILINE)
    passes = (len(lines) - len(AFTER)) // len(STEPS)
    assert passes >= 2
    expected = [(str(number + 1), step) for number in range(passes) for step in STEPS] + [("", step) for step in AFTER]
    assert [(number, step) for number, step, _ in lines] == expected
    shipped = table(SHIPPED / "flights.csv")
    assert lines[0][2].startswith(f"{len(shipped):,} rows, {len(shipped[0])} columns ")


def test_plain_text_that_fits_80_columns(demo: tuple[Path, str]) -> None:
    folder, out = demo
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if len(line) > 80 and str(folder) not in line] == []


def test_what_was_found_is_what_the_run_has_flagged(demo: tuple[Path, str]) -> None:
    folder, out = demo
    flagged = {(int(one["row"]), one["column"]) for one in table(folder / "flags.csv")}
    right = truth()
    found, wrong, alarms = numbers(r"Found ([\d,]+) of ([\d,]+) wrong cells.*?; ([\d,]+) false alarms?\.", out)
    assert (found, wrong, alarms) == (len(flagged & right.keys()), len(right), len(flagged - right.keys()))
    copies = [int(one["row"]) for one in table(SHIPPED / "flights.truth.csv") if not one["column"]]
    assert numbers(r"and (\d+) of (\d+) repeated rows", out) == [len(copies)] * 2
    assert found > 0.9 * wrong
    assert alarms < 0.05 * found


def test_what_was_repaired_is_what_differs_between_the_files(demo: tuple[Path, str]) -> None:
    folder, out = demo
    fate = r" ([\d,]+) cells?, ([\d,]+) of them right, ([\d,]+) still wrong, and ([\d,]+) that had been right"
    at_once, approved = numbers("Repaired at once:" + fate, out), numbers("Approved:" + fate, out)
    right, now = truth(), changed(folder)
    assert at_once[0] + approved[0] == len(now)
    assert at_once[1] + approved[1] == sum(right.get(cell) == value for cell, value in now.items())
    assert at_once[2] + approved[2] == sum(right.get(cell, value) != value for cell, value in now.items())
    assert at_once[3] + approved[3] == len(now.keys() - right.keys())
    assert at_once[3] == 0
    assert numbers(r"([\d,]+) cells were repaired at once", out) == at_once[:1]
    assert numbers(r"([\d,]+) repairs wait for approval", out) == approved[:1]
    patch = {(int(one["row"]), one["column"]) for one in table(folder / "patch.csv")}
    assert patch == now.keys()


def test_the_demo_says_that_it_answers_in_the_place_of_a_person(demo: tuple[Path, str]) -> None:
    _, out = demo
    assert "The demo answers for you and approves all. You would choose" in " ".join(out.split())


def test_undoing_the_patch_gives_back_the_table_that_came_in(demo: tuple[Path, str], tmp_path: Path) -> None:
    folder, out = demo
    given = (SHIPPED / "flights.csv").read_bytes()
    assert numbers(r"gives the ([\d,]+) bytes of flights\.csv", out) == [len(given)]
    undo = [sys.executable, "-m", "tools.data_quality", "undo", str(folder / "repaired.csv"), str(folder / "patch.csv")]
    subprocess.run([*undo, "--out", str(tmp_path / "back.csv")], cwd=ROOT, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "back.csv").read_bytes() == given == (folder / "flights.csv").read_bytes()


def test_every_file_that_is_named_exists_the_report_first_and_no_server_is_left(demo: tuple[Path, str]) -> None:
    folder, out = demo
    named = re.findall(r"^  (?:[\w.]|[' ])+?  +(/\S+)$", out, re.MULTILINE)
    assert named[0] == str(folder / "report.html")
    assert len(named) == 13
    assert all(Path(path).is_file() for path in named)
    (port,) = set(re.findall(r"http://127\.0\.0\.1:(\d+)", out))
    with pytest.raises(ConnectionRefusedError):
        connect(int(port))


def test_nothing_is_approved_where_nothing_shall_be(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    process = start(folder, "--approve", "none")
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (0, "")
    assert numbers(r"Approved: (\d+) cells", out) == [0]
    assert numbers(r"([\d,]+) cells were repaired at once", out) == [len(changed(folder))]


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    process = start(tmp_path)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (1, "")
    assert f"{tmp_path} is not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_server_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    """The folder of the journal cannot be made: it is there already, as a file."""
    folder = tmp_path / "output"
    process = start(folder)
    eventually((folder / "flights.csv").exists)
    (folder / "data").write_text("in the way")
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1, out
    assert "The demo failed: The server did not start: it ended with code 77." in err
    assert "Cannot use" in err


def test_sigterm_ends_the_demo_and_its_server(tmp_path: Path) -> None:
    process = start(tmp_path / "output")
    assert process.stdout is not None
    port = int(re.search(r":(\d+)", next(line for line in process.stdout if "127.0.0.1" in line))[1])  # type: ignore[index]
    connect(port)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - began < 20
    with pytest.raises(ConnectionRefusedError):
        connect(port)
