import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from tools.data_quality.columns.column import encode
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors import order
from tools.data_quality.detectors.flags import Flag, Suggestion
from tools.data_quality.rules.model import Rule

chance = random.Random(5)
STARTS = [chance.randint(0, 700) for _ in range(600)]
ENDS = [start + chance.randint(0, 20) for start in STARTS]


def table_of(**columns: Sequence[Any]) -> Table:
    return Table([encode(name, cells) for name, cells in columns.items()])


def days(numbers: Sequence[int]) -> list[str]:
    return [(date(2020, 1, 1) + timedelta(days=number)).isoformat() for number in numbers]


def clock(minutes: Sequence[int]) -> list[str]:
    return [f"{minute // 60 % 24:02}:{minute % 60:02}" for minute in minutes]


def found(table: Table) -> list[Flag]:
    return [flag for rule in order.discover(table) for flag in order.check(rule, table)]


def rules(table: Table) -> list[Rule]:
    return list(order.discover(table))


def test_dates_in_order_make_a_rule_whatever_they_are_called() -> None:
    [rule] = rules(table_of(shipped=days(ENDS), requested=days(STARTS)))
    assert (rule.columns, rule.params["operator"], rule.params["type"]) == (["requested", "shipped"], "<=", "date")


def test_where_nothing_tells_which_of_the_two_is_wrong_both_are_flagged() -> None:
    ends = list(ENDS)
    ends[100] = STARTS[100] - 90
    flags = found(table_of(requested=days(STARTS), shipped=days(ends)))
    assert [(flag.column, flag.kind, flag.rows) for flag in flags] == [(0, "order", (100,)), (1, "order", (100,))]
    assert {(flag.tier, flag.suggestion) for flag in flags} == {("report", None)}
    for flag in flags:
        assert (flag.evidence["requested"], flag.evidence["shipped"]) == (days([STARTS[100]])[0], days([ends[100]])[0])


def test_a_value_far_from_its_column_is_the_wrong_one_of_the_two() -> None:
    ends = list(ENDS)
    ends[100] = STARTS[100] - 5_000
    [flag] = found(table_of(requested=days(STARTS), shipped=days(ends)))
    assert flag.column == 1


@pytest.mark.parametrize("moved", ["requested", "shipped"])
def test_a_value_at_its_usual_distance_from_a_third_column_is_the_right_one_of_the_two(moved: str) -> None:
    columns = {"requested": list(STARTS), "shipped": list(ENDS), "paid": [start + 3 for start in STARTS]}
    columns[moved][100] += 90 if moved == "requested" else -90
    flags = found(table_of(**{name: days(numbers) for name, numbers in columns.items()}))
    assert {(flag.column, flag.rows) for flag in flags} == {(list(columns).index(moved), (100,))}


def exchanged(rows: Sequence[int]) -> tuple[list[int], list[int]]:
    starts, ends = list(STARTS), list(ENDS)
    for row in rows:
        starts[row], ends[row] = ends[row], starts[row]
    return starts, ends


def test_values_that_were_exchanged_are_told_by_their_gap_and_exchanged_again() -> None:
    rows = [row for row in range(0, 600, 15) if STARTS[row] < ENDS[row]]
    starts, ends = exchanged(rows)
    for table in (table_of(start=days(starts), end=days(ends)), table_of(temp_min=starts, temp_max=ends)):
        flags = found(table)
        assert {flag.rows for flag in flags} == {(row,) for row in rows}
        assert {(flag.column, flag.tier) for flag in flags} == {(0, "suggest"), (1, "suggest")}
        for flag in flags:
            other = table.columns[1 - (flag.column or 0)]
            assert flag.rows is not None
            assert flag.suggestion == Suggestion(other.values[other.codes[flag.rows[0]]])


def test_values_that_were_moved_are_not_taken_for_exchanged() -> None:
    ends = [STARTS[row] - 60 - row % 30 if row % 20 == 0 else end for row, end in enumerate(ENDS)]
    flags = found(table_of(start=days(STARTS), end=days(ends)))
    assert len({flag.rows for flag in flags}) == 30
    assert {flag.suggestion for flag in flags} == {None}


def test_numbers_in_order_make_a_rule_where_their_names_say_so() -> None:
    assert rules(table_of(temp_min=STARTS, temp_max=ENDS))
    assert not rules(table_of(weight=STARTS, price=ENDS))


def test_numbers_with_a_word_in_common_are_flagged_with_less_confidence() -> None:
    ends = list(ENDS)
    ends[7] = -3_000
    [named] = found(table_of(temp_min=STARTS, temp_max=ends))
    [unnamed] = found(table_of(wind_speed=STARTS, wind_gust=ends))
    assert named.rows == unnamed.rows == (7,)
    assert unnamed.confidence < named.confidence


def test_ranges_that_lie_apart_tell_nothing() -> None:
    assert rules(table_of(start=days(STARTS), end=days([number + 5_000 for number in STARTS]))) == []


def test_columns_that_have_nothing_to_do_with_each_other_have_no_order() -> None:
    other = [chance.randint(400, 1_500) for _ in STARTS]
    assert rules(table_of(start=days(STARTS), end=days(other))) == []


def test_an_order_that_is_broken_too_often_is_none() -> None:
    ends = [end if number % 6 else STARTS[number] - 300 for number, end in enumerate(ENDS)]
    assert rules(table_of(start=days(STARTS), end=days(ends))) == []


def test_an_order_that_is_often_broken_needs_an_edge() -> None:
    noise = random.Random(8)
    ends = [start + round(noise.gauss(10, 6)) for start in STARTS]
    assert 0.02 < sum(end < start for start, end in zip(STARTS, ends, strict=True)) / 600 < 0.1
    assert rules(table_of(requested=days(STARTS), shipped=days(ends))) == []
    ends = [STARTS[row] - 60 - row % 30 if row % 20 == 0 else end for row, end in enumerate(ENDS)]
    assert rules(table_of(requested=days(STARTS), shipped=days(ends)))


def test_columns_that_are_mostly_equal_have_no_order() -> None:
    ends = [start + (1 if number % 40 == 0 else -1 if number % 41 == 0 else 0) for number, start in enumerate(STARTS)]
    assert rules(table_of(start=days(STARTS), end=days(ends))) == []


def test_an_end_after_midnight_is_in_order() -> None:
    starts = [chance.randint(0, 1_300) for _ in range(600)]
    ends = [start + chance.randint(5, 100) for start in starts]
    starts[3], ends[3] = 1_430, 1_450
    starts[4], ends[4] = 700, 600
    assert {flag.rows for flag in found(table_of(start=clock(starts), end=clock(ends)))} == {(4,)}


def test_empty_cells_break_no_order() -> None:
    ends: list[str | None] = [*days(ENDS)]
    ends[5] = None
    assert found(table_of(start=days(STARTS), end=ends)) == []


def test_the_same_rules_are_found_however_often_one_looks() -> None:
    table = table_of(a_min=STARTS, a_max=ENDS, day=days(STARTS), until=days(ENDS))
    assert [rule.rule_id for rule in rules(table)] == [rule.rule_id for rule in rules(table)]


def test_a_stored_rule_judges_another_table_and_one_without_the_column() -> None:
    [rule] = rules(table_of(start=days(STARTS), end=days(ENDS)))
    ends = list(ENDS)
    ends[9] = STARTS[9] - 50
    assert {flag.rows for flag in order.check(rule, table_of(start=days(STARTS), end=days(ends)))} == {(9,)}
    assert list(order.check(rule, table_of(start=days(STARTS)))) == []
    assert list(order.check(rule, table_of(start=STARTS, end=ENDS))) == []
