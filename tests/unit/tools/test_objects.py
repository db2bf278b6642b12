"""Contents that somebody holds are there, whatever is removed or written at the same moment."""

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tools import objects
from tools.objects import ObjectStore, TooLong, digest_of, open_regular

DAY = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "store")


def held(store: ObjectStore, data: bytes, hold: Path) -> str:
    with store.receiving(1_000) as incoming:
        incoming.write(data)
        store.hold(incoming, hold)
        return incoming.sha256


def incoming_files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "store" / "incoming").iterdir())


def test_equal_contents_are_one_file(store: ObjectStore, tmp_path: Path) -> None:
    digest = held(store, b"same", tmp_path / "a")
    assert held(store, b"same", tmp_path / "b") == digest
    assert (tmp_path / "a").samefile(tmp_path / "b")
    assert (tmp_path / "a").samefile(store.path_of(digest))
    assert (tmp_path / "b").read_bytes() == b"same"
    assert incoming_files(tmp_path) == []


def test_a_hold_takes_the_place_of_the_one_before(store: ObjectStore, tmp_path: Path) -> None:
    held(store, b"old", tmp_path / "a")
    held(store, b"new", tmp_path / "a")
    held(store, b"new", tmp_path / "a")  # another name for the same file: renaming does nothing then
    assert (tmp_path / "a").read_bytes() == b"new"
    assert incoming_files(tmp_path) == []


def test_what_is_over_the_limit_is_not_written(store: ObjectStore, tmp_path: Path) -> None:
    with store.receiving(5) as incoming:
        incoming.write(b"12345")
        with pytest.raises(TooLong) as refused:
            incoming.write(b"6")
        assert incoming.path.read_bytes() == b"12345"
    assert (refused.value.observed, refused.value.limit) == (6, 5)
    assert incoming_files(tmp_path) == []


def test_an_upload_that_breaks_off_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    with suppress(ConnectionError), store.receiving(100) as incoming:
        incoming.write(b"half")
        raise ConnectionError
    assert incoming_files(tmp_path) == []
    assert not (tmp_path / "store" / "objects").exists()


def test_a_content_is_flushed_before_it_gets_a_name_and_its_name_after(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noting(name: str) -> None:
        real = getattr(os, name)

        def noted(*arguments: Any, **keys: Any) -> Any:
            done.append(name)
            return real(*arguments, **keys)

        monkeypatch.setattr(os, name, noted)

    held(store, b"makes the folders", tmp_path / "a")
    for name in ("fsync", "link", "replace"):
        noting(name)
    with store.receiving(10) as incoming:
        incoming.write(b"x")
        store.hold(incoming, tmp_path / "a")
    assert done[:3] == ["fsync", "link", "replace"]
    assert done[-1] == "fsync"


def test_a_sweep_removes_what_nobody_holds_and_nothing_else(store: ObjectStore, tmp_path: Path) -> None:
    kept, gone = held(store, b"kept", tmp_path / "a"), held(store, b"gone", tmp_path / "b")
    (tmp_path / "b").unlink()
    assert store.sweep(DAY) == 0
    assert store.path_of(gone).exists()
    assert store.sweep(0) == 1
    assert not store.path_of(gone).exists()
    assert store.path_of(kept).exists()


def test_a_sweep_removes_uploads_that_a_crash_cut_off(store: ObjectStore, tmp_path: Path) -> None:
    old, new = store.receive(100), store.receive(100)
    os.utime(old.path, (0, 0))
    assert store.sweep(DAY) == 1
    assert incoming_files(tmp_path) == [new.path]
    old.discard()
    new.discard()


def test_a_hold_outlives_a_sweep_that_removes_the_object_at_the_same_moment(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = held(store, b"x", tmp_path / "a")
    (tmp_path / "a").unlink()
    link = os.link

    def swept_before(*arguments: Any, **keys: Any) -> None:
        monkeypatch.setattr(os, "link", link)
        assert store.sweep(0) == 1
        link(*arguments, **keys)

    monkeypatch.setattr(os, "link", swept_before)
    assert held(store, b"x", tmp_path / "b") == digest
    assert (tmp_path / "b").read_bytes() == b"x"

    def swept_behind(*arguments: Any, **keys: Any) -> None:
        link(*arguments, **keys)
        monkeypatch.setattr(os, "link", link)
        store.path_of(digest).unlink()  # as a sweep does that had counted the links before

    (tmp_path / "b").unlink()
    monkeypatch.setattr(os, "link", swept_behind)
    assert held(store, b"x", tmp_path / "c") == digest
    assert (tmp_path / "c").read_bytes() == b"x"


def test_sweeps_and_holds_of_one_content_at_once_lose_nothing(store: ObjectStore, tmp_path: Path) -> None:
    over = threading.Event()
    failures: list[BaseException] = []

    def sweep() -> None:
        while not over.is_set():
            store.sweep(0)

    def hold(name: str) -> None:
        try:
            for _ in range(50):
                held(store, b"shared", tmp_path / name)
                assert (tmp_path / name).read_bytes() == b"shared"
                (tmp_path / name).unlink()
        except BaseException as error:
            failures.append(error)

    sweeper, *holders = (
        threading.Thread(target=sweep),
        *(threading.Thread(target=hold, args=(f"h{i}",)) for i in range(4)),
    )
    for thread in (sweeper, *holders):
        thread.start()
    for thread in holders:
        thread.join()
    over.set()
    sweeper.join()
    assert failures == []


@pytest.mark.parametrize("code", [errno.EMLINK, errno.EXDEV, errno.EPERM])
def test_where_files_cannot_be_linked_every_hold_has_a_copy(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_arguments: Any, **_keys: Any) -> None:
        raise OSError(code, os.strerror(code))

    digest = held(store, b"x", tmp_path / "a")
    monkeypatch.setattr(os, "link", refuse)
    assert held(store, b"x", tmp_path / "b") == digest
    store.share(tmp_path / "b", tmp_path / "c")
    assert [(tmp_path / name).read_bytes() for name in "abc"] == [b"x", b"x", b"x"]
    assert store.link(digest, tmp_path / "d") is False
    assert incoming_files(tmp_path) == []


def test_an_object_that_was_damaged_is_mended_by_the_next_one_who_brings_it(store: ObjectStore, tmp_path: Path) -> None:
    digest = held(store, b"right", tmp_path / "a")
    store.path_of(digest).chmod(0o644)
    store.path_of(digest).write_bytes(b"wrong")
    held(store, b"right", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"right"
    assert digest_of(store.path_of(digest)) == digest


def test_a_release_removes_an_object_only_when_nobody_holds_it(store: ObjectStore, tmp_path: Path) -> None:
    digest = held(store, b"x", tmp_path / "a")
    assert store.release(digest) is False
    (tmp_path / "a").unlink()
    assert store.release(digest) is True
    assert store.release(digest) is False


def symlink(path: Path) -> None:
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("plant", [os.mkfifo, Path.mkdir, symlink], ids=["pipe", "folder", "symlink"])
def test_only_regular_files_are_opened(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    plant(tmp_path / "x")
    with pytest.raises(OSError, match="x"):
        open_regular(tmp_path / "x")


@pytest.mark.parametrize("name", ["a", "A-1_b.csv", "x" * 120, "_", "-"])
def test_names_are_one_plain_part_of_a_path(name: str) -> None:
    assert objects.NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "a/b", "a\\b", "a\0", "a b", "ä", "x" * 121, "a\n", "a*"])
def test_what_could_lead_elsewhere_is_no_name(name: str) -> None:
    assert not objects.NAME.fullmatch(name)
