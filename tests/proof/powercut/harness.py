"""Tells stories of power cuts, each from a seed, and counts what was found.

A story is one journal on one disk: it is worked until the power fails, what is left is opened on real files and checked, and
often the work goes on from there to the next cut.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from tests.proof.powercut.direct import DirectWork
from tests.proof.powercut.disk import DEVICES, SimulatedDisk
from tests.proof.powercut.journals import Bug
from tests.proof.powercut.whole_engine import EngineWork
from tests.proof.powercut.world import Found

DATABASE: Final = "work.db"
ENGINE_EVERY: Final = 10
"""Every tenth story is that of a whole engine."""

MIGRATION_EVERY: Final = 20
"""Every twentieth story begins with a journal of the first schema."""

GOLDEN: Final = Path(__file__).parents[2] / "golden" / "schema-1" / "workflow.db"
SEEDS: Final = Path(__file__).with_name("seeds.txt")
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where files are fast; each story has a folder of its own


class Work(Protocol):
    """What is done with a journal."""

    kind: str

    def begin_with(self, path: Path) -> None:
        """Note what a journal holds that the work begins with."""
        ...

    def until_cut(self, disk: SimulatedDisk, path: Path) -> None:
        """Work until the power fails."""
        ...

    def check(self, path: Path) -> Found:
        """Check what is left, and go on from that the next time."""
        ...


@dataclass(slots=True)
class Tally:
    """What was found so far.

    Attributes:
        acknowledged: Entries that were acknowledged before a cut, and so looked for after it.
        present: Cuts after which a commit was there that had not been acknowledged.
        absent: Cuts after which it was not.
        faults: By their kind.
        failures: Seeds of stories with faults, with what the first one was.
    """

    cuts: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    present: int = 0
    absent: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)

    def add(self, seed: int, kind: str, found: Found) -> None:
        """Count the check after one cut."""
        self.cuts[kind] += 1
        self.acknowledged += found.acknowledged
        self.present += found.unacknowledged is True
        self.absent += found.unacknowledged is False
        for fault, text in found.faults:
            self.faults[fault] += 1
            self.failures.setdefault(seed, f"{fault}: {text}")

    def merge(self, other: "Tally") -> None:
        """Add what another process found."""
        self.cuts += other.cuts
        self.acknowledged += other.acknowledged
        self.present += other.present
        self.absent += other.absent
        self.faults += other.faults
        self.failures |= other.failures


def tell(seed: int, tally: Tally, bug: Bug | None = None) -> None:
    """Tell the story of a seed: up to four cuts, fewer if one finds a fault."""
    chance = random.Random(seed)
    work = _work(seed, chance, bug)
    files = {DATABASE: GOLDEN.read_bytes()} if seed % MIGRATION_EVERY == MIGRATION_EVERY - 1 else {}
    device = chance.choice(DEVICES)
    with tempfile.TemporaryDirectory(prefix="powercut-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        if files:
            work.begin_with(_folder(Path(folder) / "begun", files) / DATABASE)
        for number in range(chance.choice([1, 2, 3, 4])):
            cut_at = chance.randint(1, 40) if chance.random() < 0.2 else chance.randint(1, 500)
            disk = SimulatedDisk(device, random.Random(f"{seed}/{number}"), cut_at=cut_at, files=files)
            live = _folder(Path(folder) / f"{number}", files)
            work.until_cut(disk, live / DATABASE)
            assert disk.left is not None
            files = disk.left
            left = _folder(Path(folder) / f"{number}-left", files)
            found = work.check(left / DATABASE)
            tally.add(seed, work.kind, found)
            if found.faults:
                return
            shutil.rmtree(live)


def known_seeds() -> list[int]:
    """Return the seeds of stories that found a fault once."""
    lines = (line.partition("#")[0].strip() for line in SEEDS.read_text(encoding="utf-8").splitlines())
    return [int(line) for line in lines if line]


def run(seeds: Iterable[int], cuts: int, bug: Bug | None = None) -> Tally:
    """Tell stories until there were that many cuts."""
    tally = Tally()
    for seed in seeds:
        tell(seed, tally, bug)
        if tally.cuts.total() >= cuts:
            break
    return tally


def _work(seed: int, chance: random.Random, bug: Bug | None) -> Work:
    return EngineWork(chance, bug) if seed % ENGINE_EVERY == 0 else DirectWork(chance, bug)


def _folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path
