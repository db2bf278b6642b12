"""Which files may be read, and how results are written beside them."""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tools.contract import ToolContext, ToolError
from tools.data_quality import apply_rules, generate_rules, profile_data
from tools.data_quality.datasets import limits
from tools.data_quality.datasets.files import parse

TABLE = "code,amount\n" + "".join(f"C{row},{row % 7}\n" for row in range(40))


def refusal(path: object, context: ToolContext) -> str:
    with pytest.raises(ToolError) as caught:
        profile_data({"dataset": {"path": path}}, context=context)
    assert not caught.value.retryable
    return caught.value.code


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd.csv",
        "../outside.csv",
        "folder/../../outside.csv",
        "http://example.org/table.csv",
        "s3://bucket/table.csv",
        "file:table.csv",
        "http:/table.csv",
        "*.csv",
        "tabl?.csv",
        "[t]able.csv",
        "table\0.csv",
        "folder\\table.csv",
        "table.txt",
        "table",
        "",
        "absent.csv",
        "folder.csv",
        "leaves.csv",
        "leaves/outside.csv",
        "circle.csv",
        "pipe.csv",
        "other_kind.csv",
    ],
)
def test_only_regular_files_inside_the_folder_are_read(tmp_path: Path, context: ToolContext, path: str) -> None:
    root = tmp_path / "datasets"
    root.mkdir()
    (tmp_path / "outside.csv").write_text(TABLE)
    (root / "table.csv").write_text(TABLE)
    (root / "table.txt").write_text(TABLE)
    (root / "folder.csv").mkdir()
    (root / "leaves.csv").symlink_to(tmp_path / "outside.csv")
    (root / "leaves").symlink_to(tmp_path)
    (root / "circle.csv").symlink_to(root / "circle.csv")
    (root / "other_kind.csv").symlink_to(root / "table.txt")
    os.mkfifo(root / "pipe.csv")
    for name in ("file:table.csv", "*.csv", "tabl?.csv", "[t]able.csv", "folder\\table.csv"):
        (root / name).write_text(TABLE)  # such files may exist, and are refused for their names
    (root / "http:").mkdir()
    (root / "http:" / "table.csv").write_text(TABLE)
    assert refusal(path, replace(context, datasets_dir=root)) == "DATASET_REFUSED"


def test_without_a_folder_no_file_is_read(tmp_path: Path, context: ToolContext) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    assert refusal("table.csv", replace(context, datasets_dir=None)) == "DATASET_REFUSED"
    assert refusal("table.csv", replace(context, datasets_dir=tmp_path / "absent")) == "DATASET_REFUSED"


def test_a_link_that_stays_inside_the_folder_is_followed(tmp_path: Path, context: ToolContext) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "alias.csv").symlink_to(tmp_path / "table.csv")
    assert profile_data({"dataset": {"path": "alias.csv"}}, context=context)["profile"]["rows"] == 40


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "DATASET_INVALID"),
        ("a,a\n1,2\n", "DATASET_INVALID"),
        ("a,\n1,2\n", "DATASET_INVALID"),
        ("a,b\n1,2,3\n", "DATASET_INVALID"),
        (",".join(f"c{index}" for index in range(501)) + "\n", "DATASET_TOO_LARGE"),
        ("a,b\n" + "x" * 70_000 + ",1\n", "DATASET_TOO_LARGE"),
    ],
)
def test_a_malformed_csv_is_named_as_such(tmp_path: Path, context: ToolContext, text: str, code: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    assert refusal("table.csv", context) == code


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('a,b\n1,"x\n2,y\n3,z\n', "the quotation mark on line 2 has no partner"),
        ('a,b\n1,x\n2,"y\n"\n3,z"\n4,u\n', "the quotation mark on line 5 has no partner"),
        ('a,b\n1,5" pipe\n2,6" pipe\n3,z\n', "line 2 has a quotation mark in the middle of a field"),
        ('a,b\n1,x\n2,"y"z\n', "line 3 has a quotation mark in the middle of a field"),
        ('a,b\n1,"x\n\ny"\n2,y,z\n', "line 5 has 3 fields, and the first line names 2 columns"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said_with_its_line(text: str, fault: str) -> None:
    with pytest.raises(ToolError) as caught:
        parse(text.encode(), "table.csv")
    assert str(caught.value).startswith(f"cannot read 'table.csv': {fault}")


def test_quotation_marks_that_are_paired_are_no_fault() -> None:
    frame, _ = parse(b'a,b\n1,"5"" pipe"\n2,"y\nz"\n', "table.csv")
    assert isinstance(frame, pl.DataFrame)
    assert frame.rows() == [("1", '5" pipe'), ("2", "y\nz")]


@pytest.mark.parametrize("text", ["{\n", '{"a": [1]}\n', '{"a": NaN}\n', "3\n", '{"a": 1e999}\n'])
def test_a_malformed_jsonl_is_named_as_such(tmp_path: Path, context: ToolContext, text: str) -> None:
    (tmp_path / "table.jsonl").write_text(text)
    assert refusal("table.jsonl", context) == "DATASET_INVALID"


def test_a_malformed_parquet_is_named_as_such(tmp_path: Path, context: ToolContext) -> None:
    (tmp_path / "table.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    assert refusal("table.parquet", context) == "DATASET_INVALID"
    pl.DataFrame({"a": [[1], [2]]}).write_parquet(tmp_path / "nested.parquet")
    assert refusal("nested.parquet", context) == "DATASET_INVALID"


def test_limits_name_the_limit_and_what_was_found(
    tmp_path: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    pl.DataFrame({"a": range(40)}).write_parquet(tmp_path / "table.parquet")
    monkeypatch.setattr(limits, "ROWS", 30)
    for name in ("table.csv", "table.parquet"):
        with pytest.raises(ToolError, match=r"dataset has \d+ rows, the limit is 30"):
            profile_data({"dataset": {"path": name}}, context=context)
    monkeypatch.setattr(limits, "FILE_BYTES", 100)
    with pytest.raises(ToolError, match=r"dataset has \d+ bytes, the limit is 100"):
        profile_data({"dataset": {"path": "table.csv"}}, context=context)


def test_latin_1_is_read_and_noted(tmp_path: Path, context: ToolContext) -> None:
    (tmp_path / "table.csv").write_bytes("name\nZürich\n".encode("latin-1"))
    profile = profile_data({"dataset": {"path": "table.csv"}}, context=context)["profile"]
    assert profile["notes"] == ["not UTF-8; read as Latin-1"]
    assert profile["column_profiles"][0]["top"] == [{"value": "Zürich", "count": 1}]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, context: ToolContext) -> None:
    (tmp_path / "table.csv").write_bytes(b"\xef\xbb\xbfname\nx\n")
    profile = profile_data({"dataset": {"path": "table.csv"}}, context=context)["profile"]
    assert profile["column_profiles"][0]["name"] == "name"


def read(context: ToolContext, reference: dict[str, Any]) -> bytes:
    assert context.artifacts is not None
    return context.artifacts.read(reference)


def test_a_cleaned_csv_keeps_every_other_cell(
    tmp_path: Path, context: ToolContext, one_pass: Callable[..., dict[str, Any]]
) -> None:
    rows = [f'{row},00{row},"a, ""quoted"" {row}",1.{row}' for row in range(50)]
    text = "\n".join(["id,code,text,price", *rows, "50,0050,, 1.7"]) + "\n"
    (tmp_path / "table.csv").write_text(text)
    state = one_pass({"dataset": {"path": "table.csv"}})
    assert read(context, state["dataset"]).decode() == text.replace(" 1.7", "1.7")
    assert (tmp_path / "table.csv").read_text() == text


def test_the_repaired_table_is_an_artifact_and_the_next_pass_reads_it(
    tmp_path: Path, context: ToolContext, one_pass: Callable[..., dict[str, Any]]
) -> None:
    (tmp_path / "deep").mkdir()
    numbers = "".join(f"{row},{row % 7}\n" for row in range(50))
    (tmp_path / "deep" / "table.csv").write_text("id,amount\n" + numbers + "50,-\n51,900\n52, 3\n")
    first = one_pass({"dataset": {"path": "deep/table.csv"}})
    again = one_pass({"dataset": {"path": "deep/table.csv"}})
    assert first == again
    assert first["dataset"]["artifact"] == "repaired.csv"
    assert b"\n50,-\n51,900\n52,3\n" in read(context, first["dataset"])
    second = one_pass(first, missing="median", outliers="clip")
    assert second["source"] == first["source"], "the file as it came"
    assert second["source"]["path"] == "deep/table.csv"
    assert second["modifications_made"] == 3
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["table.csv"], "the folder is left alone"


def test_without_a_folder_for_artifacts_a_file_is_not_repaired(tmp_path: Path, context: ToolContext) -> None:
    (tmp_path / "table.csv").write_text(TABLE + "C40, 3\n")
    alone = replace(context, artifacts=None)
    state: dict[str, Any] = {"dataset": {"path": "table.csv"}}
    state |= generate_rules(state, context=alone)
    with pytest.raises(ToolError, match="no folder for artifacts") as caught:
        apply_rules(state, context=alone)
    assert caught.value.code == "DATASET_NOT_WRITTEN"


def test_parquet_keeps_its_types(tmp_path: Path, context: ToolContext, one_pass: Callable[..., dict[str, Any]]) -> None:
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 3, 1), eager=True)
    count = len(days)
    table = pl.DataFrame(
        {
            "day": days,
            "small": pl.Series([*range(count - 1), None], dtype=pl.Int16),
            "word": [f"w {row}" for row in range(count - 1)] + [" w 3 "],
            "money": pl.Series([*range(count - 1), 9999], dtype=pl.Decimal(10, 2)),
        }
    )
    table.write_parquet(tmp_path / "table.parquet")
    state = one_pass({"dataset": {"path": "table.parquet"}}, missing="median", outliers="clip")
    cleaned = pl.read_parquet(io.BytesIO(read(context, state["dataset"])))
    assert cleaned.schema == table.schema
    assert cleaned["small"][-1] == 29
    assert cleaned["word"][-1] == "w 3"
    assert float(cleaned["money"][-1]) < 1000
    assert cleaned[:-1].equals(table[:-1])
    again = one_pass({"dataset": {"path": "table.parquet"}}, missing="median", outliers="clip")
    assert again["dataset"] == state["dataset"]


def test_jsonl_keeps_its_rows(tmp_path: Path, context: ToolContext, one_pass: Callable[..., dict[str, Any]]) -> None:
    lines = ['{"id": %d, "size": %d}\n' % (row, 100 * row) for row in range(30)]  # noqa: UP031
    (tmp_path / "table.jsonl").write_text("".join([*lines, '{"id": 30, "size": "1,234", "more": true}\n']))
    state = one_pass({"dataset": {"path": "table.jsonl"}})
    cleaned = read(context, state["dataset"]).decode()
    assert cleaned == "".join([*lines, '{"id": 30, "size": 1234, "more": true}\n'])
