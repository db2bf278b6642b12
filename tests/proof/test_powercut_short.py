"""The proof of power cuts, in short; and that it finds journals which acknowledge too early, and that its disk is cruel enough."""

import random
from contextlib import suppress
from itertools import count

import apsw
import pytest

from tests.proof.powercut.disk import DEVICES, Device, PowerCut, SimulatedDisk
from tests.proof.powercut.harness import ENGINE_EVERY, Tally, known_seeds, run, tell
from tests.proof.powercut.journals import BUGS, Bug

CUTS = 200
ENGINE_STORIES = 200
"""How many may be told of an engine with a bug. It has threads, so a story never goes the same way twice; mostly one finds it."""

OLD, FIRST, SECOND = b"o" * 8192, b"1" * 8192, b"2" * 8192


def test_f13_everything_acknowledged_survives_200_power_cuts() -> None:
    tally = run(count(1), CUTS)

    assert tally.failures == {}
    assert tally.cuts["direct"] > 100
    assert tally.cuts["engine"] > 5
    assert tally.acknowledged > 5_000
    assert tally.present > 10, "no cut came between the durable commit and its acknowledgement"
    assert tally.absent > 10, "no cut came before the durable commit"


@pytest.mark.parametrize("seed", known_seeds())
def test_f13_a_story_that_found_a_fault_once_finds_none_now(seed: int) -> None:
    tally = Tally()
    tell(seed, tally)

    assert tally.failures == {}


@pytest.mark.parametrize("bug", BUGS)
def test_f13_a_journal_that_acknowledges_too_early_is_found_within_200_cuts(bug: Bug) -> None:
    tally = Tally()
    for seed in count(1):
        tell(seed, tally, bug)
        if tally.faults["lost"] or tally.cuts.total() >= CUTS:
            break

    assert tally.faults["lost"]


@pytest.mark.timeout(300)
def test_f13_a_whole_engine_on_a_journal_that_acknowledges_too_early_is_found() -> None:
    tally = Tally()
    for seed in range(ENGINE_EVERY, (ENGINE_STORIES + 1) * ENGINE_EVERY, ENGINE_EVERY):
        tell(seed, tally, "synchronous_normal")
        if tally.faults["lost"]:
            break

    assert tally.faults["lost"]
    assert set(tally.cuts) == {"engine"}


def left_of(disk: SimulatedDisk, name: str = "file") -> bytes | None:
    """Cut the power at the next change, and return what is left of a file."""
    with suppress(PowerCut):
        while True:
            disk.create("last")
    assert disk.left is not None
    return disk.left.get(name)


def a_disk(seed: int, device: Device = DEVICES[1], cut_at: int = 100) -> SimulatedDisk:
    return SimulatedDisk(device, random.Random(seed), cut_at=cut_at, files={"file": OLD})


@pytest.mark.parametrize("device", DEVICES)
def test_what_was_synced_survives_every_cut(device: Device) -> None:
    for seed in range(100):
        disk = a_disk(seed, device)
        content = disk.content("file")
        assert content is not None
        disk.write(content, 0, FIRST)
        disk.sync(content)
        disk.write(content, 8192, SECOND)

        left = left_of(disk)
        assert left is not None
        assert left[:8192] == FIRST


def test_what_was_not_synced_is_lost_kept_torn_or_reordered() -> None:
    seen = set()
    for seed in range(300):
        disk = a_disk(seed)
        content = disk.content("file")
        assert content is not None
        disk.write(content, 0, FIRST)
        disk.write(content, 4096, SECOND)

        left = left_of(disk)
        assert left is not None
        seen |= {
            "lost" if left == OLD else "",
            "kept" if left == FIRST[:4096] + SECOND else "",
            "reordered" if b"2" in left and b"1" not in left else "",
            "torn" if any(len(set(left[start : start + 512])) > 1 for start in range(0, len(left), 512)) else "",
            "longer" if len(left) > 12288 - 512 and b"\0" in left else "",
        }

    assert seen - {""} == {"lost", "kept", "reordered", "torn", "longer"}


def test_garbage_is_only_where_the_disk_promises_nothing_better() -> None:
    for device in DEVICES:
        garbage = False
        for seed in range(100):
            disk = a_disk(seed, device)
            content = disk.content("file")
            assert content is not None
            disk.write(content, 100, b"1")

            left = left_of(disk)
            assert left is not None
            garbage = garbage or left not in (OLD, OLD[:100] + b"1" + OLD[101:])
        assert garbage is not bool(device.characteristics & apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE)


def test_a_name_is_safe_once_its_folder_was_synced() -> None:
    lost = 0
    for seed in range(100):
        disk = a_disk(seed)
        disk.create("synced")
        disk.sync_names()
        disk.create("unsynced")
        disk.move("synced", "moved")

        assert left_of(disk, "file") == OLD
        assert disk.left is not None
        assert ("synced" in disk.left) is not ("moved" in disk.left)
        lost += "unsynced" not in disk.left
    assert 0 < lost < 100


def test_nothing_reaches_the_disk_once_the_power_is_off() -> None:
    disk = a_disk(1, cut_at=1)
    content = disk.content("file")
    assert content is not None
    with pytest.raises(PowerCut):
        disk.sync(content)

    assert not disk.is_on
    with pytest.raises(PowerCut):
        disk.write(content, 0, FIRST)
    assert disk.left == {"file": OLD}
