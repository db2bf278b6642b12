"""Each known bug is found by one of the proofs; that of `synchronous_normal` by the power cut (`test_powercut_short.py`).

That the simulation finds nothing where there is no bug is what `test_simulation_short.py` shows.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pytest

from runtime.errors import JournalUnavailable
from runtime.journal import Entry, RunRow, SqliteJournal
from runtime.journal.base import chain_next, chain_start
from runtime.journal.sqlite import journal
from tests.proof.simulation.disk import SimulatedJournal
from tests.proof.simulation.simulate import simulate
from tests.support.bugs import (
    acknowledge_before_commit,
    no_epoch_check,
    publish_before_commit,
    skipped_deduplication,
)

NOW: Final = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
SEEDS: Final = 40

pytestmark = pytest.mark.timeout(120)


def first_failing_seed() -> int | None:
    """Return the first seed of the simulation that fails, if any of the first few does."""
    for seed in range(SEEDS):
        try:
            simulate(seed)
        except Exception:
            return seed
    return None


@pytest.mark.parametrize("bug", [acknowledge_before_commit, publish_before_commit, skipped_deduplication])
def test_the_simulation_finds_a_known_bug(bug: Callable[[], AbstractContextManager[None]]) -> None:
    with bug():
        assert first_failing_seed() is not None


def test_the_simulation_finds_a_journal_that_a_replaced_owner_can_write_to() -> None:
    with patch.object(SimulatedJournal, "refuses", lambda _journal, _epoch: False):
        assert first_failing_seed() is not None


# --- fencing, on real files -------------------------------------------------------------------------------------------


def entry(run: int, epoch: int) -> Entry:
    run_id = f"run-{run}"
    body = b'{"event":"run_submitted"}'
    return Entry(
        run, 1, 1, epoch, body, chain_next(chain_start(run_id), body), RunRow(run, run_id, "g", "pending", NOW)
    )


def epochs_of_a_zombie(path: Path) -> list[int]:
    """Return the epochs of all entries, in order, after an owner wrote that was replaced without noticing."""
    old, new = SqliteJournal(path), SqliteJournal(path)
    old_epoch = old.open()
    try:
        with patch.object(journal, "lock", lambda lock_file: lock_file.open("a+")):  # as if on another machine
            new_epoch = new.open()
        new.commit([entry(1, new_epoch)])
        try:
            old.commit([entry(2, old_epoch)])
        except JournalUnavailable:
            assert new.run("run-2") is None
        stored = [new.entries(run, after=0, limit=9) for run in (1, 2)]
        return [one.epoch for entries in stored for one in entries]
    finally:
        old.close()
        new.close()


def test_an_owner_that_was_replaced_writes_nothing_more(tmp_path: Path) -> None:
    assert epochs_of_a_zombie(tmp_path / "work.db") == [2]


def test_without_the_check_of_epochs_it_would(tmp_path: Path) -> None:
    with no_epoch_check():
        assert epochs_of_a_zombie(tmp_path / "work.db") == [2, 1]
