"""A reference with a digest yields those bytes or an error, whatever its name stands for by now."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tools import ToolError
from tools.artifact_store import ArtifactStore
from tools.artifacts import RunArtifacts
from tools.data_quality.datasets.references import fetch, is_reference, read
from tools.data_quality.datasets.store import DatasetStore
from tools.objects import ObjectStore

OLD, NEW = b"a\n1\n", b"a\n2\n3\n"
OLD_DIGEST = hashlib.sha256(OLD).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


@pytest.fixture
def artifacts(tmp_path: Path) -> RunArtifacts:
    return ArtifactStore(tmp_path / "artifacts", 1_000).of_run("run-1")


def put(folder: Path, name: str, data: bytes) -> None:
    store = DatasetStore(folder)
    incoming = store.receive()
    incoming.write(data)
    store.put(name, incoming)
    incoming.discard()


def code_of(*arguments: Any) -> str:
    with pytest.raises(ToolError) as refused:
        fetch(*arguments)
    assert not refused.value.retryable
    return refused.value.code


def test_a_name_means_what_it_stands_for_and_tells_what_that_was(folder: Path) -> None:
    put(folder, "t.csv", OLD)
    fetched = fetch({"path": "t.csv"}, folder)
    assert (fetched.data, fetched.pinned) == (OLD, {"path": "t.csv", "sha256": OLD_DIGEST})
    put(folder, "t.csv", NEW)
    assert fetch({"path": "t.csv"}, folder).data == NEW
    assert fetch(fetched.pinned, folder).data == OLD


def test_a_pinned_content_is_there_after_its_name_was_given_away_or_deleted(
    folder: Path, artifacts: RunArtifacts
) -> None:
    put(folder, "t.csv", OLD)
    pinned = {"path": "t.csv", "sha256": OLD_DIGEST}
    put(folder, "t.csv", NEW)
    assert fetch(pinned, folder, artifacts).data == OLD
    DatasetStore(folder).delete("t.csv")
    objects = ObjectStore(folder / ".store")
    objects.sweep(0)
    assert objects.path_of(OLD_DIGEST).exists()  # the run holds it
    objects.path_of(OLD_DIGEST).unlink()
    assert fetch(pinned, folder, artifacts).data == OLD
    assert code_of(pinned, folder) == "DATASET_REFUSED"


def test_what_a_run_has_read_by_name_it_can_read_again_by_digest(folder: Path, artifacts: RunArtifacts) -> None:
    (folder / "mine.csv").write_bytes(OLD)  # not uploaded
    pinned = fetch({"path": "mine.csv"}, folder, artifacts).pinned
    (folder / "mine.csv").write_bytes(NEW)
    assert fetch(pinned, folder, artifacts).data == OLD
    assert code_of(pinned, folder) == "DATASET_CHANGED"


def test_content_that_was_damaged_is_not_taken_for_the_pinned_one(folder: Path) -> None:
    put(folder, "t.csv", OLD)
    (folder / "t.csv").chmod(0o644)
    (folder / "t.csv").write_bytes(NEW)  # the very file of the object
    assert code_of({"path": "t.csv", "sha256": OLD_DIGEST}, folder) == "DATASET_CHANGED"


def test_an_artifact_is_a_dataset_too(folder: Path, artifacts: RunArtifacts) -> None:
    reference = artifacts.write("cleaned.csv", OLD, "text/csv")
    content, notes, pinned = read(reference, None, artifacts)
    assert (len(content), notes, pinned) == (1, [], reference)
    assert code_of(reference, folder) == "DATASET_REFUSED"


@pytest.mark.parametrize(
    "reference",
    [
        {"path": "t.csv", "sha256": "x"},
        {"path": "t.csv", "sha256": None, "more": 1},
        {"path": "t.csv", "sha256": OLD_DIGEST.upper()},
        {"artifact": "t.csv"},
        {"artifact": "t.csv", "sha256": OLD_DIGEST, "path": "t.csv"},
        {"artifact": 5, "path": "x", "sha256": OLD_DIGEST},
    ],
)
def test_what_is_no_reference_is_refused(folder: Path, artifacts: RunArtifacts, reference: dict[str, Any]) -> None:
    put(folder, "t.csv", OLD)
    assert is_reference(reference)
    assert code_of(reference, folder, artifacts) == "DATASET_INVALID"


@pytest.mark.parametrize(
    "path", ["../t.csv", ".store/names/t.csv", "/etc/passwd", "t*.csv", "s3://t.csv", "t\0.csv", ".t.csv"]
)
@pytest.mark.parametrize("pin", [{}, {"sha256": "0" * 64}])
def test_a_path_leads_nowhere_else(folder: Path, path: str, pin: dict[str, str]) -> None:
    put(folder, "t.csv", OLD)
    assert code_of({"path": path, **pin}, folder) == "DATASET_REFUSED"


@pytest.mark.parametrize("path", [".hidden.csv", ".store/x.csv", "a/.b/x.csv"])
def test_what_is_hidden_is_nobody_s_dataset_though_it_is_there(folder: Path, path: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(OLD)
    assert code_of({"path": path}, folder) == "DATASET_REFUSED"


def test_without_a_folder_there_are_no_files(artifacts: RunArtifacts) -> None:
    for pin in ({}, {"sha256": OLD_DIGEST}):
        assert code_of({"path": "t.csv", **pin}, None, artifacts) == "DATASET_REFUSED"


def test_a_table_is_no_reference() -> None:
    for table in ([1, 2], {"path": ["a.csv"]}, {"a": [1]}, None, "t.csv"):
        assert not is_reference(table)
