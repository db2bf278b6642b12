"""What the speed bench says about a process."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bench.data_quality.speed import FLIGHTS, PROFILE, Use, use_of, write_flights

MEASURED = """
import sys
from bench.data_quality.speed import use_of
for code in ("block = b'x' * 600_000_000", "pass"):
    use = use_of([sys.executable, "-c", code])
    print(use.wall_s, use.cpu_s, use.peak_mib)
"""


def test_the_memory_of_the_process_is_counted_and_that_of_earlier_ones_is_not() -> None:
    # By a process of its own, as the bench is one: what starts another counts in, and this one may be larger than both.
    told = subprocess.run([sys.executable, "-c", MEASURED], check=True, capture_output=True, text=True).stdout
    large, small = (Use(*map(float, line.split())) for line in told.splitlines())
    assert 572 < large.peak_mib < 1200
    assert small.peak_mib < large.peak_mib - 100
    assert large.wall_s > 0
    assert small.cpu_s > 0


def test_a_process_that_fails_ends_the_bench_with_what_it_said() -> None:
    with pytest.raises(SystemExit, match="ended with 3:\nno such table"):
        use_of([sys.executable, "-c", "import sys; sys.stderr.write('no such table'); sys.exit(3)"])


def test_the_flights_are_written_as_they_are_packed(tmp_path: Path) -> None:
    archive = tmp_path / FLIGHTS
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("__MACOSX/._other", "no")
        packed.writestr("flights.csv", "year,month\n2013,1\n")
    write_flights(tmp_path, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "year,month\n2013,1\n"


def test_sources_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"there is no .*flights\.csv\.zip"):
        write_flights(tmp_path, tmp_path / "out.csv")


def test_the_profile_alone_can_be_measured(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("city,zip\n" + "Oslo,0150\n" * 30)
    assert use_of([sys.executable, "-c", PROFILE, str(file)]).wall_s > 0
