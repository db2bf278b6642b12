"""A thousand seeds of the simulation, and the one thing it stands on: the same seed is the same run."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.proof.simulation.__main__ import SEEDS
from tests.proof.simulation.simulate import simulate

ROOT: Final = Path(__file__).parents[2]
CHUNK: Final = 125
CHUNKS: Final = 8

pytestmark = pytest.mark.timeout(300)


def kept_seeds() -> list[int]:
    return [int(line) for line in SEEDS.read_text().splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_promise_holds_whatever_befalls_the_engine(chunk: int) -> None:
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        survive(seed)


@pytest.mark.parametrize("seed", kept_seeds())
def test_a_seed_that_once_failed_fails_no_more(seed: int) -> None:
    survive(seed)


@pytest.mark.parametrize("chunk", range(5))
def test_the_same_seed_is_the_same_run_bit_for_bit(chunk: int) -> None:
    for seed in range(chunk * 10, chunk * 10 + 10):
        assert simulate(seed) == simulate(seed), f"seed {seed}"


def test_the_same_seed_is_the_same_run_in_every_process() -> None:
    assert digests("1") == digests("2")


def survive(seed: int) -> None:
    try:
        simulate(seed)
    except BaseException as error:
        error.add_note(f"seed {seed} fails; again: python -m tests.proof.simulation --first {seed} --seeds 1")
        raise


def digests(hash_seed: str) -> list[str]:
    command = [sys.executable, "-m", "tests.proof.simulation", "--seeds", "8", "--processes", "1", "--digests"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line.split()[0].isdigit() and len(line.split()) == 2]
    assert len(lines) == 8
    return sorted(lines)
