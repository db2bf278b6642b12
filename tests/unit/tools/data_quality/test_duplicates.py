from collections.abc import Sequence
from typing import Any

from tools.data_quality.columns.column import encode
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors import duplicates
from tools.data_quality.detectors.flags import Flag, Suggestion
from tools.data_quality.rules.model import make_rule

HEADER = ("id", "name", "street", "city", "group")


def people(count: int = 200) -> list[list[Any]]:
    letters = "abcdefghij"
    return [
        [
            f"p{n}",
            f"Person {letters[n // 10 % 10]}{letters[n % 10]} of {n}",
            f"{n} High Street",
            "Springfield",
            letters[n % 7],
        ]
        for n in range(count)
    ]


def table_of(rows: Sequence[Sequence[Any]], names: Sequence[str] = HEADER) -> Table:
    return Table([encode(name, [row[place] for row in rows]) for place, name in enumerate(names)])


def found(table: Table) -> list[Flag]:
    return [flag for rule in duplicates.discover(table) for flag in duplicates.check(rule, table)]


def test_rows_that_repeat_an_earlier_one_are_flagged_and_the_first_is_not() -> None:
    rows = [*people(), people()[3], people()[9], people()[3]]
    flags = found(table_of(rows))
    assert [flag.rows for flag in flags] == [(200,), (201,), (202,)]
    assert [flag.evidence["earlier_row"] for flag in flags] == [3, 9, 3]
    assert all(
        (flag.column, flag.code, flag.kind, flag.tier) == (None, -1, "duplicate_row", "report") for flag in flags
    )
    assert all(flag.confidence >= 0.9 for flag in flags)


def test_rows_without_any_repetition_are_left_alone() -> None:
    assert found(table_of(people())) == []


def test_values_of_different_types_are_not_equal() -> None:
    rows = [[f"{n}", f"name {n}", 1] for n in range(100)]
    assert found(table_of([*rows, ["5", "name 5", "1"]], ("id", "name", "n"))) == []


def test_where_many_rows_repeat_that_is_how_the_table_is() -> None:
    assert found(table_of([*people(100), *people(60)])) == []


def test_a_repetition_that_chance_explains_is_not_shown() -> None:
    rows = [[n % 13, n * 7 % 11] for n in range(100)]
    assert all(flag.confidence < 0.5 for flag in found(table_of([*rows, rows[0]], ("a", "b"))))


def test_rows_that_differ_in_key_case_and_white_space_alone_are_reported() -> None:
    twin = ["p999", "PERSON bc of 12 ", "12  high street", "Springfield", "f"]
    [flag] = found(table_of([*people(), twin]))
    assert (flag.rows, flag.tier, flag.evidence["earlier_row"]) == ((200,), "report", 12)
    assert 0.5 <= flag.confidence < 0.9


def test_rows_that_differ_in_one_letter_alone_are_reported() -> None:
    twin = ["p999", "Person bc of 12", "12 High Street", "Springfeld", "f"]
    [flag] = found(table_of([*people(), twin]))
    assert (flag.rows, flag.evidence["earlier_row"]) == ((200,), 12)
    assert flag.confidence < 0.75


def test_rows_that_differ_in_a_number_or_a_short_code_are_not_the_same() -> None:
    moved = ["p998", "Person bc of 12", "13 High Street", "Springfield", "f"]
    graded = ["p999", "Person bc of 12", "12 High Street", "Springfield", "g"]
    assert found(table_of([*people(), moved])) == []
    assert found(table_of([*people(), graded])) == []


def test_rows_of_grades_with_a_key_do_not_nearly_repeat() -> None:
    rows = [[f"k{n}", n % 3, n % 5, n % 7, n % 4] for n in range(200)]
    assert found(table_of([*rows, ["k200", *rows[0][1:]]])) == []


def test_many_repetitions_share_a_flag() -> None:
    rows = [[f"k{n}", f"name {n}"] for n in range(8_000)]
    [flag] = found(table_of([*rows, *rows[:1_500]], ("key", "name")))
    assert flag.rows == tuple(range(8_000, 9_500))


def test_the_owner_may_have_repeated_rows_removed() -> None:
    table = table_of([*people(), people()[3]])
    rule = make_rule("duplicate_rows", HEADER, {"drop": True}, tier="auto")
    [flag] = duplicates.check(rule, table)
    assert (flag.tier, flag.suggestion) == ("auto", Suggestion(None, drops_row=True))


def test_repeated_rows_are_counted_whatever_their_share() -> None:
    assert duplicates.repeated_rows(table_of([*people(3), *people(3)])) == [3, 4, 5]
    assert duplicates.repeated_rows(table_of([["a"], ["a"]], ("only",))) == []


def test_a_stored_rule_needs_all_of_its_columns() -> None:
    rule = next(duplicates.discover(table_of(people())))
    assert [flag.rows for flag in duplicates.check(rule, table_of([*people(), people()[0]]))] == [(200,)]
    assert list(duplicates.check(rule, table_of([*people(), people()[0]], ("id", "name")))) == []
