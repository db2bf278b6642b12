"""`python -m tools.data_quality` as a person runs it: real processes, real files, no server."""

import csv
import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from tests.acceptance.server import ROOT

DEADLINE_S = 55.0
FILES = [
    *("SHA256SUMS", "contract.odcs.yaml", "flags.csv", "great_expectations.json", "pandera.yaml", "patch.csv"),
    *("patch_all.csv", "repaired.csv", "repaired_all.csv", "report.html", "rules.json"),
]


def start(folder: Path, *arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tools.data_quality", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **(env or {})}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(folder: Path, *arguments: str | Path, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    process = start(folder, *arguments, env=env)
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def towns(rows: int = 400) -> bytes:
    """Orders with a placeholder, a number with separators, and one misspelt town: CRLF, quotes, no last line end."""
    names = ("Springfield", "Riverside", "Greenville", "Fairview")
    lines = ["order,town,amount"]
    lines += [f'N-{10_000 + row},"{names[row % 4]}",{100 + row * 7 % 900}' for row in range(rows)]
    lines[51] = lines[51].replace("Greenville", "Grenville")
    lines[81] = 'N-10080,"Springfield","1,234"'
    lines[121] = 'N-10120,"Springfield",N/A'
    return "\r\n".join(lines).encode()


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder in which the command was run on `towns.csv`, with what it wrote to its outputs."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "towns.csv").write_bytes(towns())
    code, out, err = run(folder, "towns.csv")
    assert code == 0, err
    return folder, out, err


def test_a_run_leaves_its_files_in_a_folder_named_after_the_table(done: tuple[Path, str, str]) -> None:
    folder, _, _ = done
    assert sorted(entry.name for entry in folder.iterdir()) == ["towns-quality", "towns.csv"]
    assert list(content(folder / "towns-quality")) == FILES
    assert (folder / "towns.csv").read_bytes() == towns()
    check = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder / "towns-quality", check=False)
    assert check.returncode == 0


def test_the_output_says_what_was_found_and_what_became_of_it(done: tuple[Path, str, str]) -> None:
    folder, out, err = done
    flags = list(csv.reader(io.StringIO((folder / "towns-quality" / "flags.csv").read_text())))[1:]
    assert ["120", "amount"] in [flag[:2] for flag in flags]
    words = [line.split() for line in out.splitlines()]
    assert ["kind", "found", "repaired", "(auto)", "waiting", "(suggest)", "only", "reported"] in words
    for kind in {flag[3] for flag in flags}:
        (line,) = (line for line in words if line[:1] == [kind])
        found, *fates = map(int, line[1:])
        assert found == sum(fates) == [flag[3] for flag in flags].count(kind)
    assert f"quality score: {100 - 100 * len(flags) / 1200:.2f}"[:-1] in out
    assert "11 files in " in out
    assert err.splitlines()[:2] == ["towns.csv: 400 rows, 3 columns", "round 1: looking at 3 columns"]
    assert "\x1b" not in out + err


@pytest.mark.parametrize("which", ["", "_all"])
def test_undo_gives_back_the_bytes_of_the_table(done: tuple[Path, str, str], tmp_path: Path, which: str) -> None:
    made = done[0] / "towns-quality"
    assert (made / f"repaired{which}.csv").read_bytes() != towns()
    arguments = ("undo", made / f"repaired{which}.csv", made / f"patch{which}.csv", "--out", "before.csv")
    assert run(tmp_path, *arguments) == (0, "wrote before.csv\n", "")
    assert (tmp_path / "before.csv").read_bytes() == towns()
    code, _, err = run(tmp_path, *arguments)
    assert (code, "add --force" in err) == (2, True)
    assert run(tmp_path, *arguments, "--force")[0] == 0


def test_undo_refuses_a_patch_of_another_file(done: tuple[Path, str, str], tmp_path: Path) -> None:
    patch = done[0] / "towns-quality" / "patch.csv"
    code, out, err = run(tmp_path, "undo", done[0] / "towns.csv", patch, "--out", "before.csv")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "cannot be undone" in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_only_written_to_again_where_nothing_else_is_lost(tmp_path: Path) -> None:
    (tmp_path / "towns.csv").write_bytes(towns())
    assert run(tmp_path, "towns.csv", "--out", "here/results")[0] == 0
    first = content(tmp_path / "here" / "results")
    assert run(tmp_path, "towns.csv", "--out", "here/results")[0] == 0
    assert content(tmp_path / "here" / "results") == first
    (tmp_path / "here" / "results" / "notes.txt").write_text("mine")
    code, out, err = run(tmp_path, "towns.csv", "--out", "here/results", "--min-confidence", "0.99")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "'notes.txt'" in err
    assert run(tmp_path, "towns.csv", "--out", "here/results", "--force")[0] == 0
    assert content(tmp_path / "here" / "results") == {**first, "notes.txt": b"mine"}


REFUSED = {
    "absent.csv": "No such file",
    "https://example.org/table.csv": "is a URL",
    "folder.csv": "is a folder",
    "pipe.csv": "not a regular file",
    "table.txt": "must end in one of .csv, .parquet, .ndjson, .jsonl",
    "empty.csv": "the first line must name every column",
    "ragged.csv": "cannot read 'ragged.csv'",
    "twice.csv": "the first line must name every column",
    "binary.csv": "NUL bytes",
    "packed.csv": "unpack it first",
    "bad.parquet": "is no Parquet file",
    "bad.ndjson": "line 2 is not JSON",
    "nested.jsonl": "holds no single JSON value",
    "large.csv": "the limit is 67,108,864",
    "escape\x1b[31m.csv": r"\x1b[31m",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    contents = {
        "table.txt": b"a\n1\n",
        "empty.csv": b"",
        "ragged.csv": b"a,b\n1,2,3\n",
        "twice.csv": b"a,a\n1,2\n",
        "binary.csv": b"a,b\n\x00\x01\n",
        "packed.csv": b"\x1f\x8b\x08",
        "bad.parquet": b"PAR1 nothing PAR1",
        "bad.ndjson": b'{"a": 1}\n{"a"\n',
        "nested.jsonl": b'{"a": [1]}\n',
    }
    for file, data in contents.items():
        (tmp_path / file).write_bytes(data)
    with (tmp_path / "large.csv").open("wb") as large:
        large.truncate(64 * 1024 * 1024 + 1)
    before = sorted(tmp_path.iterdir())
    code, out, err = run(tmp_path, name)
    assert (code, out) == (2, "")
    assert err.startswith("data-quality: ")
    assert REFUSED[name] in err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("arguments", [(), ("towns.csv", "--passes", "0"), ("towns.csv", "--min-confidence", "2")])
def test_a_wrong_command_line_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "towns.csv").write_bytes(towns())
    code, out, err = run(tmp_path, *arguments)
    assert (code, out) == (2, "")
    assert "Usage: python -m tools.data_quality" in err
    assert "Traceback" not in err


def test_ctrl_c_ends_the_run_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "towns.csv").write_bytes(towns(200_000))
    process = start(tmp_path, "towns.csv")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("round 1"):
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "data-quality: stopped; nothing was written"
    assert "Traceback" not in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["towns.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".ndjson"])
def test_every_process_writes_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    table = tmp_path / f"towns{suffix}"
    frame = pl.read_csv(towns(), infer_schema=False)
    if suffix == ".csv":
        table.write_bytes(towns())
    elif suffix == ".parquet":
        frame.write_parquet(table)
    else:
        frame.write_ndjson(table)
    made = []
    for number, threads in (("1", "1"), ("2", "4")):
        env = {"PYTHONHASHSEED": number, "POLARS_MAX_THREADS": threads}
        code, _, err = run(tmp_path, table, "--out", number, env=env)
        assert code == 0, err
        made.append(content(tmp_path / number))
    assert made[0] == made[1]
    own = [] if suffix == ".csv" else [f"repaired{suffix}", f"repaired_all{suffix}"]
    assert list(made[0]) == sorted([*FILES, *own])
