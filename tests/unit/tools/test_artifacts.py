"""What tools leave behind is shown whole, kept within bounds, found again by its digest, and removed with its run."""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tools import ToolError
from tools.artifact_store import ORPHAN_S, ArtifactStore
from tools.artifacts import MAX_ARTIFACTS, RunArtifacts
from tools.objects import ObjectStore

LIMIT = 1_000
OTHER_DISK = OSError(18, "Invalid cross-device link")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts", LIMIT)


@pytest.fixture
def artifacts(store: ArtifactStore) -> RunArtifacts:
    return store.of_run("run-1")


def code_of(call: Any, *arguments: Any) -> str:
    with pytest.raises(ToolError) as refused:
        call(*arguments)
    assert refused.value.code.startswith("ARTIFACT_")
    return refused.value.code


def content(store: ArtifactStore, run_id: str, name: str) -> bytes | None:
    opened = store.open(run_id, name)
    if opened is None:
        return None
    with opened[1] as stream:
        return stream.read()


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file())


def test_what_was_written_is_listed_and_read(store: ArtifactStore, artifacts: RunArtifacts) -> None:
    reference = artifacts.write("report.html", b"<p>", "text/html; charset=utf-8")
    assert reference == {"artifact": "report.html", "sha256": reference["sha256"], "bytes": 3}
    [artifact] = store.listing("run-1")
    assert (artifact.name, artifact.media_type, artifact.bytes) == ("report.html", "text/html; charset=utf-8", 3)
    assert artifact.sha256 == reference["sha256"]
    assert artifacts.read(reference) == b"<p>"
    assert content(store, "run-1", "report.html") == b"<p>"


def test_a_file_is_copied_as_it_is_then(artifacts: RunArtifacts, tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(b"then")
    reference = artifacts.write("made", tmp_path / "made", "text/plain")
    (tmp_path / "made").write_bytes(b"later")
    assert artifacts.read(reference) == b"then"


def test_writing_the_same_again_changes_nothing(store: ArtifactStore, artifacts: RunArtifacts, tmp_path: Path) -> None:
    first = artifacts.write("a.csv", b"x", "text/csv")
    before, listed = files(tmp_path), store.listing("run-1")
    assert artifacts.write("a.csv", b"x", "text/csv") == first
    assert (files(tmp_path), store.listing("run-1")) == (before, listed)


def test_a_reference_stands_for_the_content_it_was_made_for(store: ArtifactStore, artifacts: RunArtifacts) -> None:
    first, second = (artifacts.write("a", data, "text/plain") for data in (b"one", b"two"))
    assert (artifacts.read(first), artifacts.read(second)) == (b"one", b"two")
    assert content(store, "run-1", "a") == b"two"
    assert len(store.listing("run-1")) == 1


def test_artifacts_are_listed_by_name(store: ArtifactStore, artifacts: RunArtifacts) -> None:
    for name in ("b", "C", "a"):
        artifacts.write(name, b"", "text/plain")
    assert [one.name for one in store.listing("run-1")] == ["C", "a", "b"]
    assert store.listing("run-2") == []


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "../../x", "a\0b", "x" * 121])
def test_names_that_lead_elsewhere_are_refused(
    store: ArtifactStore, artifacts: RunArtifacts, name: str, tmp_path: Path
) -> None:
    assert code_of(artifacts.write, name, b"x", "text/plain") == "ARTIFACT_INVALID"
    assert store.open("run-1", name) is None
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize("media_type", ["", "text", "text/html\r\nx: y", "text/csv; header=present", "a/b/c"])
def test_what_is_no_media_type_is_refused(artifacts: RunArtifacts, media_type: str) -> None:
    assert code_of(artifacts.write, "a", b"x", media_type) == "ARTIFACT_INVALID"


@pytest.mark.parametrize("run_id", ["..", "a/b", ""])
def test_the_id_of_a_run_leads_nowhere_else(store: ArtifactStore, run_id: str) -> None:
    with pytest.raises(ValueError, match="cannot be the id"):
        store.of_run(run_id).write("a", b"x", "text/plain")


def test_contents_of_one_run_are_bounded_together(
    store: ArtifactStore, artifacts: RunArtifacts, tmp_path: Path
) -> None:
    artifacts.write("a", b"a" * 600, "text/plain")
    artifacts.write("again", b"a" * 600, "text/plain")  # the same content takes no room
    before = files(tmp_path)
    with pytest.raises(ToolError, match="1,001 bytes, the limit is 1,000") as refused:
        artifacts.write("b", b"b" * 401, "text/plain")
    assert (refused.value.code, refused.value.retryable) == ("ARTIFACT_TOO_LARGE", False)
    assert files(tmp_path) == before
    artifacts.write("b", b"b" * 400, "text/plain")
    store.of_run("run-2").write("b", b"c" * 1_000, "text/plain")


def test_a_file_over_the_limit_is_not_read_to_its_end(artifacts: RunArtifacts, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert code_of(artifacts.write, "a", tmp_path / "sparse", "text/plain") == "ARTIFACT_TOO_LARGE"


def test_a_pipe_is_no_content(artifacts: RunArtifacts, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert code_of(artifacts.write, "a", tmp_path / "pipe", "text/plain") == "ARTIFACT_NOT_WRITTEN"


def test_one_run_has_so_many_names_and_no_more(artifacts: RunArtifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ARTIFACTS == 1_000
    monkeypatch.setattr("tools.artifacts.MAX_ARTIFACTS", 2)
    for name in ("a", "b"):
        artifacts.write(name, b"", "text/plain")
    assert code_of(artifacts.write, "c", b"", "text/plain") == "ARTIFACT_TOO_LARGE"
    artifacts.write("a", b"new", "text/plain")


def test_those_that_write_at_once_do_not_exceed_the_bound_together(
    store: ArtifactStore, artifacts: RunArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, hold = threading.Barrier(2), ObjectStore.hold
    refused: list[str] = []

    def hold_when_both_were_let_through(*arguments: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # the other one never comes, unless it was let through as well
        hold(*arguments)

    def write(number: int) -> None:
        try:
            artifacts.write(f"n{number}", bytes([number]) * 600, "text/plain")
        except ToolError as error:
            refused.append(error.code)

    monkeypatch.setattr(ObjectStore, "hold", hold_when_both_were_let_through)
    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["ARTIFACT_TOO_LARGE"]
    assert len(store.listing("run-1")) == 1


@pytest.mark.parametrize("reference", [{}, {"artifact": "a"}, {"sha256": "../x"}, {"sha256": 1}, {"sha256": "A" * 64}])
def test_what_is_no_reference_is_refused(artifacts: RunArtifacts, reference: dict[str, Any]) -> None:
    assert code_of(artifacts.read, reference) == "ARTIFACT_INVALID"


def test_what_is_gone_or_damaged_is_said_to_be(artifacts: RunArtifacts, tmp_path: Path) -> None:
    reference = artifacts.write("a", b"right", "text/plain")
    held = tmp_path / "artifacts" / "runs" / "run-1" / "held" / reference["sha256"]
    held.chmod(0o644)
    held.write_bytes(b"wrong")
    assert code_of(artifacts.read, reference) == "ARTIFACT_MISSING"
    assert artifacts.write("a", b"right", "text/plain") == reference
    assert artifacts.read(reference) == b"right"
    assert code_of(artifacts.read, {"sha256": "0" * 64}) == "ARTIFACT_MISSING"


def test_an_artifact_is_not_shown_before_its_content_is_there(
    store: ArtifactStore, artifacts: RunArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts.write("a", b"old", "text/plain")

    def crash(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr("tools.artifacts.write_whole", crash)
    with pytest.raises(SystemExit):
        artifacts.write("a", b"new", "text/plain")
    assert content(store, "run-1", "a") == b"old"
    with pytest.raises(SystemExit):
        artifacts.write("b", b"new", "text/plain")
    assert [one.name for one in store.listing("run-1")] == ["a"]


def test_a_disk_that_fails_is_told_and_may_be_tried_again(
    artifacts: RunArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tools.objects.Incoming.seal", full)
    with pytest.raises(ToolError, match="No space left") as failed:
        artifacts.write("a", b"x", "text/plain")
    assert (failed.value.code, failed.value.retryable) == ("ARTIFACT_NOT_WRITTEN", True)


def test_removing_a_run_removes_what_no_other_run_holds(store: ArtifactStore, tmp_path: Path) -> None:
    shared = store.of_run("run-1").write("a", b"shared", "text/plain")
    store.of_run("run-1").write("b", b"alone", "text/plain")
    store.of_run("run-2").write("a", b"shared", "text/plain")
    store.remove(["run-1", "run-3"])
    assert store.listing("run-1") == []
    assert store.of_run("run-2").read(shared) == b"shared"
    assert files(tmp_path) == sorted([shared["sha256"], shared["sha256"], "a.json"])
    store.remove(["run-2"])
    assert files(tmp_path) == []


def test_a_removal_that_was_cut_off_is_finished_by_the_next_sweep(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.of_run("run-1").write("a", b"x", "text/plain")

    def crash(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("tools.artifact_store.shutil.rmtree", crash)
        with pytest.raises(SystemExit):
            store.remove(["run-1"])
    assert store.listing("run-1") == []
    store.sweep()
    assert files(tmp_path) == []


def test_only_what_has_rested_for_a_week_may_be_an_orphan(store: ArtifactStore, tmp_path: Path) -> None:
    store.of_run("run-1").write("a", b"x", "text/plain")
    store.of_run("run-2").write("a", b"x", "text/plain")
    old = (tmp_path / "artifacts" / "runs" / "run-1").stat().st_mtime - ORPHAN_S - 1
    for folder in (tmp_path / "artifacts" / "runs" / "run-1", *(tmp_path / "artifacts" / "runs" / "run-1").iterdir()):
        os.utime(folder, (old, old))
    assert store.idle_runs() == ["run-1"]


def test_a_fork_has_what_its_source_had_also_when_that_is_gone(store: ArtifactStore) -> None:
    source = store.of_run("run-1")
    reference = source.write("a", b"x", "text/plain")
    source.keep("1" * 64, b"not looked at")
    listed = store.listing("run-1")
    store.adopt("run-1", "run-2")
    store.remove(["run-1"])
    assert store.of_run("run-2").read(reference) == b"x"
    assert store.listing("run-2") == listed
    assert content(store, "run-2", "a") == b"x"
    store.adopt("run-9", "run-3")
    assert store.listing("run-3") == []


def test_input_is_kept_as_a_link_or_as_a_copy(
    artifacts: RunArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ObjectStore(tmp_path / "datasets")
    with source.receiving(10) as incoming:
        incoming.write(b"table")
        source.hold(incoming, tmp_path / "table.csv")
        digest = incoming.sha256
    artifacts.keep(digest, b"table", source)
    assert (tmp_path / "artifacts" / "runs" / "run-1" / "inputs" / digest).samefile(tmp_path / "table.csv")
    with monkeypatch.context() as patched:

        def refuse(*_: object, **__: object) -> None:
            raise OTHER_DISK

        patched.setattr(os, "link", refuse)
        RunArtifacts(tmp_path / "artifacts", "run-2", LIMIT).keep(digest, b"table", source)
    (tmp_path / "table.csv").unlink()
    source.sweep(0)
    for run_id in ("run-1", "run-2"):
        assert RunArtifacts(tmp_path / "artifacts", run_id, LIMIT).read({"sha256": digest}) == b"table"
