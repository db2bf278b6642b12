"""Numbers with units: brought to the plain number where spellings mix, and left alone where they do not."""

import random

import pytest

from tests.support.quality_tables import cleaned, found, judged, studied, table_of
from tools.data_quality.columns.cells import Cell
from tools.data_quality.columns.units import Measured, bare_unit, read_measured
from tools.data_quality.detectors import units
from tools.data_quality.detectors.flags import Flag, Suggestion

chance = random.Random(3)
NUMBERS = [chance.randint(8, 32) for _ in range(300)]


def flags(*cells: Cell) -> dict[str, Flag]:
    """Wrong text -> what is said about it."""
    table = table_of(size=cells)
    return {
        str(table.columns[0].values[flag.code]): flag
        for rule in units.discover(table)
        for flag in units.check(rule, table)
    }


def suggested(*cells: Cell) -> dict[str, Cell]:
    return {text: flag.suggestion.value for text, flag in flags(*cells).items() if flag.suggestion}


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("12 oz", "12", "oz"),
        ("12.5oz.", "12.5", "oz."),
        ("-3 °C", "-3", "°C"),
        ("5%", "5", "%"),
        ("$ 1,200", "1200", "$"),
        (".5 fl oz", ".5", "fl oz"),
        ("90 km / h", "90", "km/h"),
        ("12 g", "12", "g"),
        ("12g", "12", "g"),
        ("12 B", "12", "B"),
    ],
)
def test_a_number_and_its_unit_are_read(text: str, number: str, unit: str) -> None:
    read = read_measured(text)
    assert read is not None
    assert (read.number, read.unit) == (number, unit)


@pytest.mark.parametrize(
    "text", ["", "oz", "12 oz of best beer", "$5 off", "1,2,3 oz", "A-12", "12A", "5K", "12-14", "1.2.3"]
)
def test_what_is_no_number_with_a_unit_is_not_read_as_one(text: str) -> None:
    assert read_measured(text) is None


def test_a_plain_number_has_no_unit() -> None:
    assert read_measured("12.50") == Measured("12.50", "")


def test_spellings_of_a_unit_differ_in_case_full_stops_and_a_plural() -> None:
    assert len({bare_unit(unit) for unit in ("oz", "OZ", "oz.", "o z", "Oz.")}) == 1
    assert bare_unit("ounces") == bare_unit("Ounce")


def test_one_unit_always_written_alike_is_left_alone() -> None:
    cells = [f"{number} oz" for number in NUMBERS]
    assert studied(*cells).semantic == "unit_number"
    assert flags(*cells) == {}


def test_where_spellings_mix_the_plain_number_is_what_all_can_be_turned_into() -> None:
    ways = ("{} oz", "{} oz.", "{}", "{} OZ", "{} ounces")
    cells = [ways[row % 5].format(number) for row, number in enumerate(NUMBERS)]
    plain = cleaned({"size": cells}).repaired.content
    assert plain == {"size": list(map(str, NUMBERS))}


@pytest.mark.parametrize(
    ("cells", "written", "plain"),
    [
        ([f"{number}.0 oz" if number % 2 else f"{number}.0 oz." for number in range(10, 60)], "11.0 oz", "11"),
        ([f"{number}.50EUR" if number % 2 else f"{number}.25 Euro" for number in range(10, 60)], "11.50EUR", "11.50"),
        (
            [f"{number}.50" if number % 2 else f"{number}.4000000000000001 mm" for number in range(10, 60)],
            "12.4000000000000001 mm",
            "12.4",
        ),
        ([f"{number}.0" if number % 2 else f"{number}.0 mm" for number in range(10, 60)], "12.0 mm", "12.0"),
    ],
)
def test_decimals_that_are_meant_are_kept(cells: list[Cell], written: str, plain: str) -> None:
    suggestion = flags(*cells)[written].suggestion
    assert suggestion
    assert suggestion.value == plain


def test_known_units_of_one_kind_are_converted_and_that_is_only_suggested() -> None:
    found = flags(*[f"{number} kg" if row % 3 else f"{number * 1000} g" for row, number in enumerate(NUMBERS)])
    assert found["15000 g"].suggestion
    assert found["15000 g"].suggestion.value == "15"
    assert {flag.tier for flag in found.values()} == {"suggest"}


@pytest.mark.parametrize(("one", "other"), [("{} kg", "{} ml"), ("${}", "€{}"), ("{} h", "{} km")])
def test_known_units_of_different_kinds_are_never_taken_for_one(one: str, other: str) -> None:
    assert flags(*[(one if row % 2 else other).format(number) for row, number in enumerate(NUMBERS)]) == {}


def test_unknown_words_before_numbers_of_one_size_are_believed_to_mean_the_same() -> None:
    alike = flags(*[f"{number} pcs" if row % 2 else f"{number} items" for row, number in enumerate(NUMBERS)])
    assert {flag.tier for flag in alike.values()} == {"suggest"}
    assert alike["26 pcs"].suggestion
    assert alike["26 pcs"].suggestion.value == "26"
    assert not flags(*[f"{number} pcs" if row % 2 else f"{number * 40} items" for row, number in enumerate(NUMBERS)])


def test_the_scale_of_the_plain_numbers_says_what_a_percentage_is() -> None:
    shares = suggested(*[f"{number}%" if row % 3 else str(number / 100) for row, number in enumerate(NUMBERS)])
    assert shares["26%"] == "0.26"
    percentages = suggested(*[f"{number}%" if row % 3 else str(number) for row, number in enumerate(NUMBERS)])
    assert percentages["26%"] == "26"


def test_a_percentage_whose_scale_is_in_doubt_is_left_alone() -> None:
    assert not flags(*[f"{number}%" if row % 3 else str(number * 25) for row, number in enumerate(NUMBERS)])
    assert not flags(*[f"{number}%" if row % 3 else "0" for row, number in enumerate(NUMBERS)])


def test_digits_of_binary_fractions_do_not_show() -> None:
    cells = [f"{number / 10}%" if row % 2 else str(number / 1000) for row, number in enumerate(NUMBERS)]
    assert all(len(str(new)) <= 6 for new in suggested(*cells).values())


def test_where_one_unit_rules_another_one_is_shown_and_a_slip_mended() -> None:
    cells = [f"{number} minutes" for number in NUMBERS]
    found = flags(*cells, "12 minuets", "13 hours", "14")
    assert found["12 minuets"].suggestion
    assert found["12 minuets"].suggestion.value == "12 minutes"
    assert {found[text].suggestion for text in ("13 hours", "14")} == {None}
    assert suggested(*[f"{number} m" for number in NUMBERS], "12 g") == {}, "another letter is another unit"


def test_a_stray_unit_among_plain_numbers_is_taken_off_where_the_number_then_fits() -> None:
    cells = list(map(str, NUMBERS))
    assert suggested(*cells, "12 oz") == {"12 oz": "12"}
    assert suggested(*cells, "9000 oz") == {}
    assert suggested(*[str(number / 1000) for number in NUMBERS], "1.5%") == {"1.5%": "0.015"}


def test_a_remark_behind_a_unit_is_not_dropped_unasked() -> None:
    ways = ("{} oz", "{} oz.", "{} oz cans")
    found = flags(*[ways[row % 3].format(number) for row, number in enumerate(NUMBERS)])
    assert {flag.tier for text, flag in found.items() if "cans" in text} == {"suggest"}
    assert {flag.tier for text, flag in found.items() if "cans" not in text} == {"auto"}


def test_letters_behind_a_number_name_a_house() -> None:
    houses = [f"{number}{chance.choice(['', '', '', 'A', 'B', 'C'])}" for number in NUMBERS]
    assert judged({"house": houses}).by_kind == {}
    assert found({"house": [*map(str, range(80)), *(f"{row}B" for row in range(20))]}) == []
    assert found({"house": [*(f"{number}B" for number in NUMBERS), "7A"]}) == []


def test_a_rule_holds_for_tomorrows_table_and_is_silent_without_its_column() -> None:
    ways = ("{} oz", "{} OZ.", "{}")
    [rule] = units.discover(table_of(size=[ways[row % 3].format(number) for row, number in enumerate(NUMBERS)]))
    later = table_of(size=["7 oz", "8", "9 OZ.", "10 kg"])
    assert [later.columns[0].values[flag.code] for flag in units.check(rule, later)] == ["7 oz", "9 OZ."]
    assert list(units.check(rule, table_of(weight=["7 oz"]))) == []


def test_a_letter_in_the_place_of_a_mark_is_a_slip() -> None:
    found = flags(*[f"{number}%" for number in NUMBERS], "80x", "many")
    assert list(found) == ["80x"]
    assert found["80x"].suggestion
    assert (found["80x"].suggestion.value, found["80x"].tier) == ("80%", "suggest")


def test_a_letter_that_stands_apart_from_some_numbers_is_a_unit_behind_the_others() -> None:
    ways = ("{}k", "{} k", "{} thousand", "{}thousand")
    cells = [ways[row % 4].format(number) for row, number in enumerate(NUMBERS)]
    found = flags(*cells)
    assert found.keys() == set(cells)
    assert found[f"{NUMBERS[0]}k"].suggestion == Suggestion(str(NUMBERS[0]))
    assert studied(*[f"{number}B" for number in NUMBERS]).semantic != "unit_number", "a house, or a model"
