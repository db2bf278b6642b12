"""What the tools return, brought to the rows of the table that they got."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.data_quality.injector import Table
from bench.data_quality.make_tables import write
from bench.data_quality.running import read_result

Lines = Sequence[Sequence[str]]
TABLE: Table = {"city": ["Olso", "Oslo", "Oslo"], "zip": ["0150", "", "0150"]}


def written(out: Path, flags: Lines, repaired: Lines, proposed: Lines) -> Path:
    write(out / "flags.csv", ("row", "column", "confidence", "kind"), flags)
    write(out / "repaired.csv", tuple(TABLE), repaired)
    write(out / "repaired_all.csv", tuple(TABLE), proposed)
    return out


def test_the_files_of_the_command_are_read_as_they_stand(tmp_path: Path) -> None:
    right = [("Oslo", "0150"), ("Oslo", "0150"), ("Oslo", "0150")]
    only_city = [("Oslo", "0150"), ("Oslo", ""), ("Oslo", "0150")]
    flags = [("0", "city", "0.9", "typo"), ("1", "zip", "0.8", "missing")]
    result = read_result(written(tmp_path, flags, only_city, right), TABLE)
    assert result.flags == {(0, "city"): "typo", (1, "zip"): "missing"}
    assert result.repaired == {"city": ["Oslo"] * 3, "zip": ["0150", "", "0150"]}
    assert result.proposed == {"city": ["Oslo"] * 3, "zip": ["0150"] * 3}
    assert not result.removed


def test_rows_that_were_removed_stay_as_they_were(tmp_path: Path) -> None:
    whole = [("Oslo", "0150"), ("Oslo", ""), ("Oslo", "0150")]
    flags = [("1", "", "1.0", "duplicate_row")]
    result = read_result(written(tmp_path, flags, whole, [whole[0], whole[2]]), TABLE)
    assert result.flagged_rows == result.removed == {1}
    assert result.repaired == result.proposed == {"city": ["Oslo"] * 3, "zip": ["0150", "", "0150"]}


def test_rows_that_are_lost_without_a_word_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"returned 2 rows of columns .* and removed 0; they got 3 rows"):
        read_result(written(tmp_path, [], [("Oslo", "0150")] * 2, [("Oslo", "0150")] * 2), TABLE)
