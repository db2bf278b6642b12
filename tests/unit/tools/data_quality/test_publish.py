import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.quality_outcomes import hostile, orders
from tools.data_quality.columns.cells import Cell
from tools.data_quality.datasets.dataset import Dataset, of_file
from tools.data_quality.datasets.splice import NotThisFile
from tools.data_quality.detectors.flags import Suggestion, Tier
from tools.data_quality.outcome import Anomaly, Change, Outcome
from tools.data_quality.publish import as_csv, files_of, undone
from tools.data_quality.repair.patch import applied
from tools.data_quality.rules import model

RULES = [model.make_rule("placeholder", ["n"], {"words": ["na"]}, tier="auto", repair="empties the cell")]
ALWAYS = [
    *("report.html", "flags.csv", "repaired.csv", "patch.csv", "repaired_all.csv", "patch_all.csv", "rules.json"),
    *("contract.odcs.yaml", "great_expectations.json", "pandera.yaml"),
]
TABLE = b'id;x,n,note\r\n"a",NA,"1,5"\r\nb,7,\r\nc,NA,"say ""no"""\r\nb,7,'


def change(row: int, column: str | None, old: Cell, new: Cell, tier: Tier = "auto") -> Change:
    return Change(row, column, old, new, RULES[0].rule_id, 0.9, tier, 1)


def outcome_of(before: Dataset, patch: Sequence[Change]) -> Outcome:
    found = [
        Anomaly(
            *(each.row, each.column, each.old, "placeholder" if each.column else "duplicate_row", each.confidence),
            *("a reason", {}, Suggestion(each.new), each.tier, each.rule_id),
        )
        for each in patch
    ]
    repaired = applied(before, [each for each in patch if each.tier == "auto"])
    profile: dict[str, Any] = {"rows": before.rows, "columns": len(before.columns), "column_profiles": []}
    return Outcome(
        *("table", before, repaired, applied(before, patch), profile, profile, found, RULES, RULES),
        *(list(patch), [], "unchanged"),
    )


PATCH = [
    change(0, "n", "NA", None),
    change(1, "note", None, "new, and longer", "suggest"),
    change(2, "n", "NA", None),
    change(3, None, None, None, "suggest"),
]


def files_of_csv(data: bytes, patch: Sequence[Change]) -> dict[str, bytes]:
    return files_of(outcome_of(of_file(data, "table.csv"), patch), data, ".csv")


def lines(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def test_a_run_on_a_csv_file_leaves_ten_files() -> None:
    assert list(files_of_csv(TABLE, PATCH)) == ALWAYS


def test_the_repaired_files_differ_from_the_input_in_the_repaired_fields_only() -> None:
    files = files_of_csv(TABLE, PATCH)
    assert files["repaired.csv"] == b'id;x,n,note\r\n"a",,"1,5"\r\nb,7,\r\nc,,"say ""no"""\r\nb,7,'
    assert files["repaired_all.csv"] == b'id;x,n,note\r\n"a",,"1,5"\r\nb,7,"new, and longer"\r\nc,,"say ""no"""\r\n'


def test_undoing_either_patch_gives_back_every_byte_of_the_input() -> None:
    files = files_of_csv(TABLE, PATCH)
    assert undone(files["repaired.csv"], files["patch.csv"]) == TABLE
    assert undone(files["repaired_all.csv"], files["patch_all.csv"]) == TABLE


def test_the_patches_name_every_change_with_its_rule_and_who_has_to_agree() -> None:
    files, rule_id = files_of_csv(TABLE, PATCH), RULES[0].rule_id
    assert lines(files["patch.csv"]) == [
        ["row", "column", "old", "new", "rule_id", "confidence"],
        ["0", "n", "NA", "", rule_id, "0.9"],
        ["2", "n", "NA", "", rule_id, "0.9"],
    ]
    assert lines(files["patch_all.csv"]) == [
        ["row", "column", "old", "new", "rule_id", "confidence", "tier"],
        ["0", "n", "NA", "", rule_id, "0.9", "auto"],
        ["1", "note", "", "new, and longer", rule_id, "0.9", "suggest"],
        ["2", "n", "NA", "", rule_id, "0.9", "auto"],
        ["3", "", "b,7,", "", rule_id, "0.9", "suggest"],
    ]


def test_flags_name_cells_and_leave_whole_rows_out() -> None:
    assert lines(files_of_csv(TABLE, PATCH)["flags.csv"]) == [
        ["row", "column", "confidence", "kind"],
        ["0", "n", "0.9", "placeholder"],
        ["1", "note", "0.9", "placeholder"],
        ["2", "n", "0.9", "placeholder"],
    ]


def test_rules_are_read_back_as_the_rules_they_were() -> None:
    assert model.parse(json.loads(files_of_csv(TABLE, PATCH)["rules.json"])) == RULES


def test_a_table_without_any_repair_is_left_as_it_came() -> None:
    files = files_of_csv(TABLE, [])
    assert files["repaired.csv"] == files["repaired_all.csv"] == TABLE
    assert files["patch.csv"] == b"row,column,old,new,rule_id,confidence\n"


def test_a_latin_1_file_that_needs_more_letters_becomes_utf_8_and_comes_back_as_it_was() -> None:
    data = b"name,n\nM\xfcnchen,NA\n\x93x\x94,2\n"
    files = files_of_csv(data, [change(1, "name", "\x93x\x94", "\u201cx\u201d")])
    assert files["repaired.csv"].decode() == "name,n\nM\u00fcnchen,NA\n\u201cx\u201d,2\n"
    assert lines(files["patch.csv"])[1] == ["", "", "latin-1", "utf-8", "", ""]
    assert undone(files["repaired.csv"], files["patch.csv"]) == data


def test_a_file_with_stray_quotes_is_written_anew_where_they_are_in_the_way() -> None:
    data = b'a, n\r\n\r\n","b""'  # no field by any rule; the reader takes it for one
    before = of_file(data, "table.csv")
    assert isinstance(before.content, pl.DataFrame)
    assert before.content.rows() == [(None, None), (",b", None)]
    files = files_of(outcome_of(before, [change(1, " n", None, "1")]), data, ".csv")
    assert files["repaired.csv"] == b'a, n\n,\n",b",1\n'
    assert undone(files["repaired.csv"], files["patch.csv"]) == as_csv(before) == b'a, n\n,\n",b",\n'


def test_a_file_whose_quotes_the_reader_takes_otherwise_is_written_anew() -> None:
    data = b'x,y\n",,"xx""'  # no fields by the rules of CSV, one for the reader
    before = of_file(data, "table.csv")
    assert isinstance(before.content, pl.DataFrame)
    assert before.content.rows() == [(",,xx", None)]
    files = files_of(outcome_of(before, [change(0, "x", ",,xx", "q")]), data, ".csv")
    assert files["repaired.csv"] == b"x,y\nq,\n"
    assert undone(files["repaired.csv"], files["patch.csv"]) == as_csv(before)


def test_changes_below_and_in_a_removed_row_keep_their_places() -> None:
    patch = [
        change(0, None, None, None, "suggest"),
        change(0, "n", "NA", None),
        change(2, "n", "NA", None),
        change(3, "n", "7", "8", "suggest"),
    ]
    files = files_of_csv(TABLE, patch)
    assert files["repaired_all.csv"] == b'id;x,n,note\r\nb,7,\r\nc,,"say ""no"""\r\nb,8,'
    assert undone(files["repaired_all.csv"], files["patch_all.csv"]) == TABLE


def test_a_parquet_file_is_repaired_as_parquet_and_as_csv() -> None:
    buffer = io.BytesIO()
    pl.DataFrame(
        {"n": [1, 2, None], "x": [0.5, 1e20, None], "s": ["a", "", None], "b": [True, None, False]}
    ).write_parquet(buffer)
    data = buffer.getvalue()
    before = of_file(data, "table.parquet")
    files = files_of(
        outcome_of(before, [change(1, "n", 2, 3.0), change(2, None, None, None, "suggest")]), data, ".parquet"
    )
    assert sorted({*files} - {*ALWAYS}) == ["repaired.parquet", "repaired_all.parquet"]
    assert pl.read_parquet(io.BytesIO(files["repaired.parquet"]))["n"].to_list() == [1, 3, None]
    assert pl.read_parquet(io.BytesIO(files["repaired_all.parquet"]))["n"].to_list() == [1, 3]
    assert files["repaired.csv"] == b'n,x,s,b\n1,0.5,a,true\n3,1e+20,"",\n,,,false\n'
    assert files["repaired_all.csv"] == b'n,x,s,b\n1,0.5,a,true\n3,1e+20,"",\n'
    assert undone(files["repaired_all.csv"], files["patch_all.csv"]) == as_csv(before)


@pytest.mark.parametrize("suffix", [".ndjson", ".jsonl"])
def test_lines_of_json_without_a_change_stay_as_they_are(suffix: str) -> None:
    data = b'{"n":  1.50, "s": "\\u00e9"}\r\n\n{"n": 2, "s": "NA"}\n{"s": "b"}'
    before = of_file(data, f"table{suffix}")
    patch = [change(1, "s", "NA", "\u00e9"), change(2, None, None, None, "suggest")]
    files = files_of(outcome_of(before, patch), data, suffix)
    first, second, third = '{"n":  1.50, "s": "\\u00e9"}\n', '{"n": 2, "s": "\u00e9"}\n', '{"s": "b"}\n'
    assert files[f"repaired{suffix}"].decode() == first + second + third
    assert files[f"repaired_all{suffix}"].decode() == first + second
    assert files["repaired.csv"].decode() == "n,s\n1.5,\u00e9\n2,\u00e9\n,b\n"
    assert undone(files["repaired.csv"], files["patch.csv"]) == as_csv(before)


@settings(max_examples=25)
@given(
    st.lists(st.text("a,\"\n\r'\u00e9\ufeff \t=", min_size=1, max_size=4), min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_any_table_as_csv_can_be_patched_and_undone(names: list[str], data: st.DataObject) -> None:
    cells = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=3)
    )
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, cells)), min_size=1, max_size=4))
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    before = of_file(text, "table.jsonl")
    patch = [
        change(0, names[0], rows[0][names[0]], data.draw(cells)),
        change(len(rows) - 1, None, None, None, "suggest"),
    ]
    files = files_of(outcome_of(before, patch), text, ".jsonl")
    assert undone(files["repaired.csv"], files["patch.csv"]) == as_csv(before)
    assert undone(files["repaired_all.csv"], files["patch_all.csv"]) == as_csv(before)
    assert files["repaired.csv"] == as_csv(applied(before, patch[:1]))


def test_an_inline_table_leaves_the_same_files_as_a_csv_file() -> None:
    assert list(files_of(orders())) == ALWAYS


def test_values_and_names_that_no_encoding_holds_are_written_nevertheless() -> None:
    files = files_of(hostile(["lone \ud800 surrogate", "nul \x00", "\u202e", 'a"b,c\nd', "="]))
    for name in ALWAYS:
        files[name].decode()


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (b"", "a patch begins with the line"),
        (b"row,column,confidence,kind\n", "a patch begins with the line"),
        (b"row,column,old,new,rule_id,confidence\n0,n\n", "line 2 of the patch is not one that a run has written"),
        (b"row,column,old,new,rule_id,confidence\nx,n,1,2,r,1\n", "line 2 of the patch is not one"),
        (b"row,column,old,new,rule_id,confidence\n0,n,1,2,r,1\n", "column 'n' holds 'NA'; the patch has put '2' there"),
    ],
)
def test_what_is_no_patch_of_the_file_is_refused(patch: bytes, expected: str) -> None:
    with pytest.raises(NotThisFile, match=expected):
        undone(TABLE, patch)


def test_equal_outcomes_leave_equal_bytes() -> None:
    assert files_of_csv(TABLE, PATCH) == files_of_csv(TABLE, PATCH)
