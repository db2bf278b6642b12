"""The footer of a Parquet file says how much it unpacks to; what contradicts itself is refused and nothing hangs."""

import io
import random
from contextlib import suppress
from typing import Any

import polars as pl
import pytest

from tools import ToolError
from tools.data_quality.datasets import files, limits
from tools.data_quality.datasets.parquet_footer import BadFooter, read_footer


def parquet(frame: pl.DataFrame, **keys: Any) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, **keys)
    return buffer.getvalue()


@pytest.mark.parametrize("rows", [0, 1, 1_000])
@pytest.mark.parametrize("group", [None, 10])
def test_rows_are_those_of_all_row_groups(rows: int, group: int | None) -> None:
    frame = pl.DataFrame({"a": range(rows), "b": [str(n) for n in range(rows)]}, schema={"a": pl.Int64, "b": pl.String})
    assert read_footer(parquet(frame, row_group_size=group)).rows == rows


def test_a_small_file_that_unpacks_to_much_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [f"{number:08}" * 50 for number in range(2_000)]
    data = parquet(pl.DataFrame({"a": values}), compression="zstd")
    size = read_footer(data).uncompressed_bytes
    assert size > 20 * len(data)
    monkeypatch.setattr(limits, "UNPACKED_BYTES", size - 1)
    with pytest.raises(ToolError, match=f"{size:,} bytes without compression, the limit is {size - 1:,}"):
        files.parse(data, "x.parquet")


def test_a_footer_that_counts_other_rows_than_its_groups_is_refused() -> None:
    data = bytearray(parquet(pl.DataFrame({"a": [1, 2, 3]})))
    size = int.from_bytes(data[-8:-4], "little")
    place = data.index(b"\x16\x06", len(data) - 8 - size)  # the first i64 of 3: all rows
    data[place + 1] = 8
    with pytest.raises(BadFooter, match="4 rows, its row groups 3"):
        read_footer(bytes(data))


def footer(body: bytes) -> bytes:
    return b"PAR1" + body + len(body).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\x1c" * 1_000,  # a structure in a structure, and so on
        b"\x19\xfc" + b"\xff" * 9 + b"\x01",  # a list of so many structures that no file has them
        b"\x18" + b"\xff" * 8 + b"\x7f",  # a text of that length
        b"\x16" + b"\xff" * 20,  # a number without an end
        b"\x1f\x00",  # a type that there is not
        b"\x1b\xff\xff\x03\x88",  # a map that is cut off
    ],
)
def test_footers_that_claim_the_impossible_are_refused(body: bytes) -> None:
    with pytest.raises(BadFooter):
        read_footer(footer(body))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_altered_in_a_footer_it_is_read_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    data = parquet(pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]}), row_group_size=2)
    size = int.from_bytes(data[-8:-4], "little")
    for _ in range(100):
        altered = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            altered[chance.randrange(len(data) - 8 - size, len(data))] = chance.randrange(256)
        with suppress(BadFooter):
            assert read_footer(bytes(altered)).rows >= 0


def test_a_damaged_column_is_refused_though_the_library_panics(capfd: pytest.CaptureFixture[str]) -> None:
    chance, codes = random.Random(1), []
    data = parquet(pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]}))
    for _ in range(300):
        altered = bytearray(data)
        for _ in range(3):
            altered[chance.randrange(len(data))] = chance.randrange(256)
        try:
            files.parse(bytes(altered), "x.parquet")
        except ToolError as error:
            codes.append(error.code)
    assert len(codes) > 100
    assert set(codes) <= {"DATASET_INVALID", "DATASET_TOO_LARGE"}
    assert "panicked" in capfd.readouterr().err
