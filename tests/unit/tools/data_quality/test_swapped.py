"""Values that stand in each other's column, and columns in which the same thing is no error."""

import random

import pytest

from tests.support.quality_tables import Columns, changed, cleaned, flags_of, judged, sites, table_of, words
from tools.data_quality.detectors import swapped
from tools.data_quality.detectors.flags import Suggestion
from tools.data_quality.rules.model import make_rule

SITES = sites()


def exchanged(columns: Columns, one: str, other: str, rows: list[int]) -> Columns:
    return changed(
        columns,
        **{one: {row: columns[other][row] for row in rows}, other: {row: columns[one][row] for row in rows}},
    )


def rows_flagged(columns: Columns) -> set[int]:
    return {row for flag in flags_of(swapped, table_of(**columns)) for row in flag.rows or ()}


@pytest.mark.parametrize(("one", "other"), [("town", "postcode"), ("site", "name"), ("inspector", "score")])
def test_both_cells_are_flagged_and_each_is_offered_the_other_s_value(one: str, other: str) -> None:
    dirty = exchanged(SITES, one, other, [7, 90, 301])
    table = table_of(**dirty)
    flags = flags_of(swapped, table)
    assert {(flag.rows, table.columns[flag.column or 0].name) for flag in flags} == {
        ((row,), name) for row in (7, 90, 301) for name in (one, other)
    }
    for flag in flags:
        [row] = flag.rows or ()
        name = other if table.columns[flag.column or 0].name == one else one
        assert (flag.tier, flag.suggestion) == ("suggest", Suggestion(dirty[name][row]))


def test_after_a_person_agrees_the_table_is_right_again() -> None:
    outcome = cleaned(exchanged(SITES, "inspector", "score", [7, 90, 301]))
    assert outcome.proposed.content == SITES
    assert {anomaly.kind for anomaly in outcome.anomalies} == {"swapped"}


def test_values_that_stand_nowhere_else_are_told_by_how_they_are_written() -> None:
    people = words(80)
    columns: Columns = {
        "name": people,
        "mail": [f"{name.lower()}@example.org" for name in people],
        "phone": [f"555-{1000 + number}" for number in range(80)],
    }
    assert rows_flagged(columns) == set()
    assert rows_flagged(exchanged(columns, "mail", "phone", [3, 40])) == {3, 40}


def test_numbers_that_lie_where_those_of_the_other_column_lie_were_exchanged() -> None:
    chance = random.Random(3)
    columns: Columns = {
        "length": [chance.randint(350, 600) / 10 for _ in range(200)],
        "depth": [chance.randint(130, 210) / 10 for _ in range(200)],
        "width": [chance.randint(300, 520) / 10 for _ in range(200)],
    }
    assert rows_flagged(columns) == set()
    assert rows_flagged(exchanged(columns, "length", "depth", [3, 40, 170])) == {3, 40, 170}
    assert rows_flagged(exchanged(columns, "length", "width", [3, 40, 170])) == set(), "nobody can tell"


def test_numbers_that_reach_far_together_were_not_exchanged() -> None:
    """Trains that leave after midnight are those of the evening that are hours late."""
    chance = random.Random(6)
    planned = [chance.randint(700, 1_900) for _ in range(1_500)] + [1_850] * 12
    late = [chance.randint(0, 40) if chance.random() < 0.94 else chance.randint(340, 480) for _ in range(1_500)]
    late += range(555, 603, 4)
    leaves = [(start + delay) % 2_400 for start, delay in zip(planned, late, strict=True)]
    assert max(leaves[-12:]) < 60
    assert rows_flagged({"leaves": leaves, "late": late}) == set()


def test_columns_that_are_written_alike_may_hold_the_same_values_in_turn() -> None:
    """Nearly all journeys begin at the home of the fleet, and a few end there."""
    chance = random.Random(4)
    away = [name[:3].upper() for name in words(40)]
    ways = [("HOM", chance.choice(away)) if number % 20 else (chance.choice(away), "HOM") for number in range(400)]
    columns: Columns = {"origin": [start for start, _ in ways], "destination": [end for _, end in ways]}
    assert rows_flagged(columns) == set()


def test_one_strange_value_is_not_an_exchange() -> None:
    dirty = changed(SITES, town={5: SITES["postcode"][5], 80: SITES["postcode"][80]})
    assert rows_flagged(dirty) == set()


def test_one_row_alone_may_be_as_it_is() -> None:
    assert rows_flagged(exchanged(SITES, "town", "postcode", [7])) == set()


def test_what_holds_for_much_of_the_table_is_how_it_is() -> None:
    assert rows_flagged(exchanged(SITES, "town", "postcode", list(range(0, 400, 4)))) == set()


def test_a_rule_needs_both_columns_and_tells_how_many_rows_break_it() -> None:
    rule = make_rule("swapped", ["town", "postcode"])
    assert list(swapped.check(rule, table_of(town=["a"]))) == []
    [found] = [rule for rule in judged(exchanged(SITES, "town", "postcode", [7, 90])).rules if rule.type == "swapped"]
    assert (found.columns, found.support, found.violations) == (["town", "postcode"], 400, 4)
