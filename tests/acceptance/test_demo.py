"""`python -m api.demo` as a newcomer runs it: one process, no terminal, and a report whose every claim is checked here."""

import csv
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.server import ROOT, eventually

DEADLINE_S = 55.0
CHANGED = {417: "EEN", 815: "LRO", 1434: "YAK"}
LEFT = [
    (396, "DVT", "lon", "112.457"),
    (396, "DVT", "tz", "8"),
    (417, "EEN", "lon", "42.898333"),
    (942, "MYF", "lon", "117.759"),
    (942, "MYF", "tz", "8"),
    (1290, "SYA", "lon", "174.11362"),
]
STEPS = ["profile_data", "identify_anomalies", "generate_rules", "apply_rules"]


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


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def row_of(report: str, *cells: str) -> bool:
    """Whether a Markdown table has a row that begins with these cells, of which the second is the start of a name."""
    row, name, *others = map(re.escape, cells)
    return re.search(rf"^\| {row} \| {name} [^|]+\| {' [|] '.join(others)} \|", report, re.MULTILINE) is not None


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_one_line_for_each_step_of_each_iteration(demo: tuple[Path, str]) -> None:
    _, out = demo
    lines = re.findall(r"^ +(\d)  (\w+) +(.+?)  +[\d.]+ m?s$", out, re.MULTILINE)
    assert [(int(number), step) for number, step, _ in lines] == [(n, step) for n in (1, 2, 3) for step in STEPS]
    assert [text for *_, text in lines[:4]] == [
        "1,458 rows, 8 columns, no repeated rows",
        "9 anomalies: 6 outliers, 3 placeholders",
        "22 rules, 2 of them with a repair",
        "3 cells changed, 9 anomalies left",
    ]
    assert re.search(r"^ +3  loop_exhausted +9 anomalies are left: this needs a person$", out, re.MULTILINE)


def test_plain_text_that_fits_80_columns(demo: tuple[Path, str]) -> None:
    folder, out = demo
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if len(line) > 80 and str(folder) not in line] == []


def test_the_report_names_what_was_changed_and_what_is_left(demo: tuple[Path, str]) -> None:
    folder, out = demo
    report = (folder / "report.md").read_text(encoding="utf-8")
    for text in ("3 cells were changed", "9 values need a person", "loop_exhausted", "anomaly_count < 5 (it was 9)"):
        assert text in report
        assert text in " ".join(out.split())
    for row, airport in CHANGED.items():
        assert row_of(report, str(row), airport, "tzone", "NA", "(empty)")
        assert row_of(report, str(row), airport, "tzone", "(empty)", "empty, where the column is otherwise filled")
    for row, airport, column, value in LEFT:
        assert row_of(report, str(row), airport, column, value)


def test_the_cleaned_table_differs_in_exactly_the_changed_cells(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    original = table(folder / "datasets" / "airports.csv")
    assert original == table(ROOT / "tools" / "data_quality" / "demo" / "airports.csv")
    (cleaned,) = (folder / "datasets").glob("airports.cleaned-????????????.csv")
    column = original[0].index("tzone")
    for row in CHANGED:
        assert original[row + 1][column] == "NA"
        original[row + 1][column] = ""
    assert table(cleaned) == original


def test_every_file_the_report_names_exists_and_no_server_is_left(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    report = (folder / "report.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^- (?:\w|[' ])+: `(/[^`]+)`$", report, re.MULTILINE))
    assert len(named) == 7
    assert all(Path(path).is_file() for path in named)
    (port,) = set(re.findall(r"http://127\.0\.0\.1:(\d+)", report))
    with pytest.raises(ConnectionRefusedError):
        connect(int(port))


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
    eventually((folder / "datasets").exists)
    (folder / "data").write_text("in the way")
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1, out
    assert "The demo failed: The server did not start: it ended with code 77." in err
    assert "Cannot use" in err


def test_sigterm_ends_the_demo_and_its_server(tmp_path: Path) -> None:
    process = start(tmp_path / "output", "--threshold", "0", "--max-iterations", "100")
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
