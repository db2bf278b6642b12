import os
import signal
from pathlib import Path

import pytest

from tools.data_quality.command.folder import SUMS, FolderRefused, check, deliver, write_file

FILES = {"repaired.csv": b"a\n1\n", "flags.csv": b"row\n"}


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != SUMS}


def test_a_new_folder_gets_all_files_and_their_digests(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    check(folder, force=False)
    assert [file.name for file in deliver(folder, FILES)] == [*FILES, SUMS]
    assert content(folder) == FILES
    assert (folder / SUMS).read_text().splitlines()[1].endswith("  flags.csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_second_run_replaces_the_files_of_the_first(tmp_path: Path) -> None:
    deliver(tmp_path, {**FILES, "repaired.parquet": b"PAR1"})
    check(tmp_path, force=False)
    deliver(tmp_path, {"repaired.csv": b"new", "flags.csv": b""})
    assert content(tmp_path) == {"repaired.csv": b"new", "flags.csv": b""}


@pytest.mark.parametrize("name", ["notes.txt", "repaired.csv"])
def test_what_a_person_has_written_or_changed_is_not_replaced_unless_forced(tmp_path: Path, name: str) -> None:
    deliver(tmp_path, FILES)
    (tmp_path / name).write_bytes(b"by hand")
    with pytest.raises(FolderRefused, match=name):
        check(tmp_path, force=False)
    check(tmp_path, force=True)
    deliver(tmp_path, FILES)
    assert content(tmp_path) == FILES | {name: FILES.get(name, b"by hand")}


def test_a_list_of_digests_that_leads_elsewhere_is_not_believed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"")
    folder = tmp_path / "folder"
    deliver(folder, FILES)
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with (folder / SUMS).open("a") as sums:
        sums.write(f"{empty}  ../outside.txt\n{empty}  {outside}\n")
    deliver(folder, FILES)
    assert outside.exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FolderRefused, match="is a file"):
            check(folder, force=True)


@pytest.mark.parametrize("exists", [False, True])
def test_a_write_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    folder = tmp_path / "folder"
    if exists:
        deliver(folder, FILES)
    before = sorted(tmp_path.rglob("*"))
    write = Path.write_bytes

    def full(file: Path, data: bytes) -> int:
        if file.name == "flags.csv":
            raise KeyboardInterrupt
        return write(file, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(KeyboardInterrupt):
        deliver(folder, {"repaired.csv": b"new", "flags.csv": b""})
    assert sorted(tmp_path.rglob("*")) == before
    assert not exists or content(folder) == FILES


def test_ctrl_c_waits_while_files_are_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path, FILES)
    replace = os.replace

    def interrupted(source: Path, target: Path) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    deliver(tmp_path, dict.fromkeys(FILES, b"new"))
    assert content(tmp_path) == dict.fromkeys(FILES, b"new")
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_one_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "table.csv"
    write_file(file, b"one")
    assert file.read_bytes() == b"one"

    def denied(source: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "replace", denied)
    with pytest.raises(PermissionError):
        write_file(file, b"two")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("table.csv", b"one")]
