"""A name stands for a whole table or for none; what the folder holds besides is shown, and never trusted."""

import hashlib
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tools import ToolError
from tools.data_quality.datasets import limits
from tools.data_quality.datasets.store import KEPT_S, Change, DatasetInfo, DatasetStore, inspect, is_name
from tools.objects import ObjectStore

TABLE = b"code,name\n007,Bond\n008,Bill\n"


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path)


def put(store: DatasetStore, name: str, data: bytes) -> tuple[DatasetInfo, Change, list[str]]:
    incoming = store.receive()
    try:
        incoming.write(data)
        return store.put(name, incoming)
    finally:
        incoming.discard()


def got(store: DatasetStore, name: str) -> tuple[DatasetInfo, bytes] | None:
    opened = store.open(name)
    if opened is None:
        return None
    with opened[1] as stream:
        return opened[0], stream.read()


def refusal(name: str, data: bytes) -> str:
    with pytest.raises(ToolError) as refused:
        inspect(data, name)
    assert not refused.value.retryable
    return refused.value.code


def parquet(frame: pl.DataFrame, **keys: Any) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, **keys)
    return buffer.getvalue()


def test_an_upload_is_a_plain_file_of_its_name(store: DatasetStore, tmp_path: Path) -> None:
    info, change, notes = put(store, "agents.csv", TABLE)
    digest = hashlib.sha256(TABLE).hexdigest()
    assert (info.sha256, info.rows, info.columns, info.bytes) == (digest, 2, 2, len(TABLE))
    assert (change, notes) == ("created", [])
    assert (tmp_path / "agents.csv").read_bytes() == TABLE
    assert got(store, "agents.csv") == (info, TABLE)


def test_the_same_again_changes_nothing_and_another_content_replaces_it(store: DatasetStore) -> None:
    first, _, _ = put(store, "a.csv", TABLE)
    assert put(store, "a.csv", TABLE)[:2] == (first, "unchanged")
    second, change, _ = put(store, "a.csv", b"x\n1\n")
    assert (change, second.rows) == ("replaced", 1)
    assert got(store, "a.csv") == (second, b"x\n1\n")


def test_equal_content_is_stored_once(store: DatasetStore, tmp_path: Path) -> None:
    put(store, "a.csv", TABLE)
    put(store, "b.csv", TABLE)
    assert (tmp_path / "a.csv").samefile(tmp_path / "b.csv")


def test_what_is_no_table_changes_nothing(store: DatasetStore, tmp_path: Path) -> None:
    put(store, "a.csv", TABLE)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(ToolError):
        put(store, "a.csv", b"a,a\n")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert (tmp_path / "a.csv").read_bytes() == TABLE


def test_datasets_are_listed_by_name_and_page_by_page(store: DatasetStore, tmp_path: Path) -> None:
    for name in ("c.csv", "a.csv", "b.csv"):
        put(store, name, TABLE)
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.csv").touch()
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("a.csv")
    assert [info.name for info in store.listing("", 10)] == ["a.csv", "b.csv", "c.csv"]
    assert [info.name for info in store.listing("a.csv", 1)] == ["b.csv"]


def test_a_file_that_was_not_uploaded_is_listed_and_sent(store: DatasetStore, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes(TABLE)
    [info] = store.listing("", 10)
    assert (info.name, info.sha256, info.rows, info.bytes) == ("mine.csv", None, None, len(TABLE))
    opened = got(store, "mine.csv")
    assert opened is not None
    assert (opened[0].sha256, opened[1]) == (hashlib.sha256(TABLE).hexdigest(), TABLE)


@pytest.mark.parametrize("in_place", [True, False])
def test_what_was_known_of_a_file_does_not_count_once_somebody_changed_it(
    store: DatasetStore, tmp_path: Path, in_place: bool
) -> None:
    put(store, "a.csv", TABLE)
    if in_place:
        (tmp_path / "a.csv").chmod(0o644)
    else:
        (tmp_path / "a.csv").unlink()
    (tmp_path / "a.csv").write_bytes(TABLE.replace(b"Bond", b"Band"))
    [listed] = store.listing("", 10)
    assert listed.sha256 is None
    opened = got(store, "a.csv")
    assert opened is not None
    assert opened[0].sha256 == hashlib.sha256(opened[1]).hexdigest()
    info, change, _ = put(store, "a.csv", TABLE)
    assert (change, got(store, "a.csv")) == ("replaced", (info, TABLE))


def test_a_crash_between_the_file_and_what_is_known_of_it_makes_it_unknown_but_not_wrong(
    store: DatasetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a.csv", TABLE)

    def crash(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("tools.data_quality.datasets.store.write_whole", crash)
        with pytest.raises(SystemExit):
            put(store, "a.csv", b"x\n1\n")
    [listed] = store.listing("", 10)
    assert (listed.sha256, listed.bytes) == (None, 4)
    put(store, "a.csv", b"x\n1\n")
    assert store.listing("", 10)[0].rows == 1


def symlink(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("plant", [symlink, os.mkfifo, Path.mkdir], ids=["symlink", "pipe", "folder"])
def test_what_is_no_file_is_no_dataset(store: DatasetStore, tmp_path: Path, plant: Callable[[Path], None]) -> None:
    plant(tmp_path / "a.csv")
    assert store.open("a.csv") is None
    assert store.delete("a.csv") is False
    if plant is Path.mkdir:
        with pytest.raises(IsADirectoryError):
            put(store, "a.csv", TABLE)
    else:
        put(store, "a.csv", TABLE)
        assert not (tmp_path / "a.csv").is_symlink()
    assert "root" in Path("/etc/passwd").read_text()


@pytest.mark.parametrize(
    "name", ["..", "../a.csv", "a/b.csv", ".a.csv", "a\0.csv", "a.csv.gz", "a", ".csv", "a.CSV", "a.pkl"]
)
def test_names_that_lead_elsewhere_are_none(store: DatasetStore, name: str) -> None:
    assert not is_name(name)
    assert store.open(name) is None
    assert store.delete(name) is False


def test_deleting_frees_the_name_and_keeps_what_is_read_just_now(store: DatasetStore) -> None:
    put(store, "a.csv", TABLE)
    opened = store.open("a.csv")
    assert opened is not None
    assert store.delete("a.csv") is True
    assert store.delete("a.csv") is False
    assert (got(store, "a.csv"), store.listing("", 10)) == (None, [])
    with opened[1] as stream:
        assert stream.read() == TABLE


def test_a_content_without_a_name_is_kept_for_a_day(store: DatasetStore, tmp_path: Path) -> None:
    info, _, _ = put(store, "a.csv", TABLE)
    store.delete("a.csv")
    objects = ObjectStore(tmp_path / ".store")
    objects.sweep(KEPT_S)
    assert objects.path_of(info.sha256 or "").exists()
    objects.sweep(0)
    assert not objects.path_of(info.sha256 or "").exists()


def test_uploads_of_one_name_at_once_leave_one_of_them_whole(store: DatasetStore) -> None:
    tables = [f"a\n{number}\n".encode() * 50 for number in range(8)]
    threads = [threading.Thread(target=put, args=(store, "a.csv", table)) for table in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened = got(store, "a.csv")
    assert opened is not None
    assert opened[1] in tables
    assert opened[0].rows == 99
    assert opened[0].sha256 == hashlib.sha256(opened[1]).hexdigest()
    assert store.listing("", 10) == [opened[0]]


# ---- What is a table.


def test_each_kind_of_file_is_counted() -> None:
    assert inspect(b"a,b\n1,2\n", "x.csv") == (1, 2, [])
    assert inspect(b"\xef\xbb\xbfa\n1\n", "x.csv") == (1, 1, [])
    assert inspect(b"a\n\xe4\n", "x.csv") == (1, 1, ["not UTF-8; read as Latin-1"])
    assert inspect(b'{"a": 1}\n\n{"b": null, "a": "x"}\n', "x.ndjson") == (2, 2, [])
    assert inspect(b'{"a": 1}', "x.jsonl") == (1, 1, [])
    assert inspect(parquet(pl.DataFrame({"a": [1, 2, 3]})), "x.parquet") == (3, 1, [])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.csv", b""),
        ("x.csv", b"a,a\n1,2\n"),
        ("x.csv", b"a,\n1,2\n"),
        ("x.csv", b"a\n1,2\n"),
        ("x.csv", "a,b\n1,2\n".encode("utf-16")),
        ("x.csv", b"\x1f\x8b\x08rest"),
        ("x.csv", b"PK\x03\x04rest"),
        ("x.csv", b"\x28\xb5\x2f\xfdrest"),
        ("x.ndjson", b""),
        ("x.ndjson", b"{}\n"),
        ("x.ndjson", b"[1]\n"),
        ("x.ndjson", b'{"a": [1]}\n'),
        ("x.ndjson", b'{"a": NaN}\n'),
        ("x.ndjson", b'{"a": 1'),
        ("x.ndjson", b'{"a":' * 5_000),
        ("x.parquet", b""),
        ("x.parquet", b"a,b\n1,2\n"),
        ("x.parquet", b"PAR1PAR1"),
        ("x.parquet", b"PAR1" + b"\xff" * 20 + b"PAR1"),
        ("x.parquet", b"\x80\x04\x95pickle"),
    ],
)
def test_what_is_no_table_is_refused(name: str, data: bytes) -> None:
    assert refusal(name, data) == "DATASET_INVALID"


def test_a_column_that_looks_like_a_compressed_file_is_read() -> None:
    assert inspect(b"x^,BZh\n1,2\n", "x.csv") == (1, 2, [])


@pytest.mark.parametrize("name", ["x.csv", "x.ndjson", "x.parquet"])
def test_each_limit_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"a": ["x", "y", "z"], "b": ["1", "2", "3"]})
    text = frame.write_csv().encode() if name.endswith("csv") else frame.write_ndjson().encode()
    data = parquet(frame) if name.endswith("parquet") else text
    assert inspect(data, name)[:2] == (3, 2)
    for limit, value in (("ROWS", 2), ("COLUMNS", 1), ("CELLS", 5), ("CELL_BYTES", 0)):
        with monkeypatch.context() as patched:
            patched.setattr(limits, limit, value)
            with pytest.raises(ToolError, match=f"the limit is {value}") as refused:
                inspect(data, name)
        assert refused.value.code == "DATASET_TOO_LARGE"


def test_a_cell_is_measured_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CELL_BYTES", 5)
    assert refusal("x.csv", "a\näöü\n".encode()) == "DATASET_TOO_LARGE"
    assert refusal("x.ndjson", '{"a": "äöü"}'.encode()) == "DATASET_TOO_LARGE"
