import codecs
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.data_quality.datasets import files
from tools.data_quality.datasets.splice import (
    Edit,
    NotThisFile,
    encoding_of,
    fields_of,
    header_of,
    records_of,
    restored,
    spliced,
    value_of,
)

HEADER = ("a", "b", "c")
TEXTS = st.text('ab1 ",\n\r=\té', max_size=6)
NEW = st.none() | st.text('ab1 ",\n\r=\té€“', max_size=6)  # the last two are not in Latin-1


@dataclass(frozen=True)
class Case:
    data: bytes
    header: list[str]
    rows: list[list[str | None]]
    changes: dict[int, dict[str, str | None]]
    removed: list[int]


def written(value: str | None, *, quoted: bool) -> str:
    if value is None:
        return ""
    if quoted or not value or set(value) & set('",\n\r'):
        return '"' + value.replace('"', '""') + '"'
    return value


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A CSV file in any style, ragged and with blank lines, what it says, and what is to change in it."""
    width = draw(st.integers(1, 3))
    header = list(HEADER[:width])
    text = ",".join(header) + draw(st.sampled_from(["\n", "\r\n"]))
    rows: list[list[str | None]] = []
    for left in reversed(range(draw(st.integers(0, 5)))):
        fields = draw(st.lists(st.tuples(st.none() | TEXTS, st.booleans()), max_size=width))
        body = ",".join(written(value, quoted=quoted) for value, quoted in fields)
        ends = ["\n", "\r\n", ""] if left == 0 and body else ["\n", "\r\n"]
        text += body + draw(st.sampled_from(ends))
        rows.append([value for value, _ in fields] + [None] * (width - len(fields)))
    data = text.encode(draw(st.sampled_from(["utf-8", "latin-1"])))
    if draw(st.booleans()):
        data = codecs.BOM_UTF8 + text.encode()
    places = st.sampled_from(range(len(rows))) if rows else st.nothing()
    changes = draw(
        st.dictionaries(places, st.dictionaries(st.sampled_from(header), NEW, min_size=1), max_size=3)
        if rows
        else st.just({})
    )
    removed = sorted(draw(st.sets(places, max_size=2))) if rows else []
    return Case(data, header, rows, changes, removed)


def frame(data: bytes) -> pl.DataFrame:
    content, _ = files.parse(data, "table.csv")
    assert isinstance(content, pl.DataFrame)
    return content


def rows_of(data: bytes) -> list[list[str | None]]:
    return [list(row) for row in frame(data).rows()]


@given(cases())
def test_rows_and_values_are_those_that_the_reader_of_files_finds(case: Case) -> None:
    encoding = encoding_of(case.data)
    found = []
    for record in records_of(case.data)[1:]:
        values = [value_of(field.decode(encoding)) for field in fields_of(record)[0]]
        found.append(values + [None] * (len(case.header) - len(values)))
    assert found == rows_of(case.data) == case.rows
    assert header_of(case.data) == case.header


@given(cases())
def test_a_patched_file_says_what_was_asked_for_and_can_be_restored_byte_for_byte(case: Case) -> None:
    result = spliced(case.data, case.header, case.changes, case.removed)
    wanted = [list(row) for row in case.rows]
    for row, cells in case.changes.items():
        for column, value in cells.items():
            wanted[row][case.header.index(column)] = value
    assert rows_of(result.data) == [row for number, row in enumerate(wanted) if number not in case.removed]
    assert restored(result.data, case.header, result.edits) == case.data


@given(cases())
def test_records_without_a_change_keep_every_byte(case: Case) -> None:
    result = spliced(case.data, case.header, case.changes, case.removed)
    if encoding_of(result.data) != encoding_of(case.data):
        return
    before, after = records_of(case.data), records_of(result.data)
    kept = [row for row in range(len(case.rows)) if row not in case.removed]
    assert after[0] == before[0]
    for place, row in enumerate(kept, start=1):
        if row not in case.changes:
            assert after[place] == before[row + 1]


@given(cases())
def test_no_change_is_no_difference(case: Case) -> None:
    result = spliced(case.data, case.header, {})
    assert (result.data, result.edits) == (case.data, [])


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (b"a,b\n1,2\n", "3", b"a,b\n3,2\n"),
        (b'a,b\n"1",2\n', "3", b'a,b\n"3",2\n'),  # quoted without need: so is what replaces it
        (b'a,b\n"1,5",2\n', "3", b"a,b\n3,2\n"),
        (b"a,b\n1,2\n", "1,5", b'a,b\n"1,5",2\n'),
        (b"a,b\n1,2\n", 'x"y', b'a,b\n"x""y",2\n'),
        (b"a,b\n1,2\n", "x\ny", b'a,b\n"x\ny",2\n'),
        (b"a,b\n1,2\n", None, b"a,b\n,2\n"),
        (b"a,b\n1,2\n", "", b'a,b\n"",2\n'),
        (b"a,b\n,2\n", "1", b"a,b\n1,2\n"),
        (b"a,b\r\n1,2", "3", b"a,b\r\n3,2"),
        (b"\xef\xbb\xbfa,b\n1,2\n", "3", b"\xef\xbb\xbfa,b\n3,2\n"),
        (b"a,b\n\n1,2\n", "3", b"a,b\n3\n1,2\n"),  # a blank line is a row, with room for one value
        (b"a,b\nM\xfcnchen,2\n", "Z\u00fcrich", b"a,b\nZ\xfcrich,2\n"),
        (b"a,b\nM\xfcnchen,2\n", "Zurich", b"a,b\nZurich,2\n"),
        (b"a,b\nM\xfcnchen,\xe9\n", "\u20ac", "a,b\n\u20ac,\u00e9\n".encode()),
    ],
)
def test_a_new_value_is_written_as_its_place_asks_for(before: bytes, value: str | None, after: bytes) -> None:
    result = spliced(before, ["a", "b"], {0: {"a": value}})
    assert result.data == after
    assert restored(result.data, ["a", "b"], result.edits) == before


def test_a_record_that_is_too_short_gets_its_missing_fields() -> None:
    result = spliced(b"a,b,c\n1\n2,3,4\n", ["a", "b", "c"], {0: {"b": "5"}})
    assert result.data == b"a,b,c\n1,5,\n2,3,4\n"
    assert result.edits == [Edit(0, None, "1\n", "1,,\n"), Edit(0, "b", "", "5")]


def test_edits_hold_the_fields_as_they_stood_in_the_file() -> None:
    result = spliced(b'a,b\n"1",2\n3,"x ""y"""\n', ["a", "b"], {0: {"a": "4"}, 1: {"b": "x y"}})
    assert result.edits == [Edit(0, "a", '"1"', '"4"'), Edit(1, "b", '"x ""y"""', "x y")]


def test_the_quotes_of_a_field_that_needed_none_come_back_although_its_new_value_needed_some() -> None:
    result = spliced(b'a\n"1"\n', ["a"], {0: {"a": "1,2"}})
    assert restored(result.data, ["a"], result.edits) == b'a\n"1"\n'


def test_the_only_value_of_a_last_line_without_an_end_can_become_null() -> None:
    result = spliced(b"a\r\n1\r\n2", ["a"], {1: {"a": None}})
    assert rows_of(result.data) == [["1"], [None]]
    assert restored(result.data, ["a"], result.edits) == b"a\r\n1\r\n2"
    short = spliced(b"a,b\n2", ["a", "b"], {0: {"a": None}})
    assert rows_of(short.data) == [[None, None]], "the only value of its record, in a wider table"
    assert restored(short.data, ["a", "b"], short.edits) == b"a,b\n2"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a,b\n9,2\n3,4\n", "row 0, column 'a' holds '9'; the patch has put '5' there"),
        (b"a,b\n", "there is no row 0: the file has 0 rows"),
        (b"x,b\n5,2\n", "there is no column 'a'"),
        (b'a,b\n"5,2\n', "a record cannot be cut into fields"),
    ],
)
def test_a_file_that_the_patch_has_not_made_is_refused(data: bytes, expected: str) -> None:
    edits = spliced(b"a,b\n1,2\n3,4\n", ["a", "b"], {0: {"a": "5"}}).edits
    with pytest.raises(NotThisFile, match=expected):
        restored(data, header_of(data), edits)


def test_a_removed_row_finds_no_place_in_a_file_that_is_too_short() -> None:
    edits = spliced(b"a\n1\n2\n3\n", ["a"], {}, [2]).edits
    with pytest.raises(NotThisFile, match="no place for row 2"):
        restored(b"a\n1\n", ["a"], edits)


def test_a_change_below_the_last_row_is_refused() -> None:
    with pytest.raises(NotThisFile, match="no row 1"):
        spliced(b"a\n1\n", ["a"], {1: {"a": "2"}})


def test_a_record_with_stray_quotes_is_left_alone_and_cannot_be_changed() -> None:
    broken: Any = b'a,b\n1,2\n"3"x,4"\n'
    assert spliced(broken, ["a", "b"], {0: {"a": "5"}}).data == b'a,b\n5,2\n"3"x,4"\n'
    with pytest.raises(NotThisFile, match="cannot be cut"):
        spliced(broken, ["a", "b"], {1: {"a": "5"}})
