"""Typos and spellings: what is nearly a frequent value, and what only looks like it."""

import pytest

from tests.support.quality_tables import flags_of, studied, swapped, table_of, words
from tools.data_quality.columns.cells import Cell
from tools.data_quality.detectors import typos
from tools.data_quality.detectors.flags import Flag

NAMES = words(12, 4)
COLUMN: list[Cell] = [NAMES[row % 10] for row in range(400)]


def flags(*cells: Cell) -> dict[str, Flag]:
    table = table_of(name=cells)
    return {str(table.columns[0].values[flag.code]): flag for flag in flags_of(typos, table)}


def test_a_rare_value_that_is_nearly_a_frequent_one_is_a_typo() -> None:
    wrong = swapped(NAMES[0])
    flag = flags(*COLUMN, wrong)[wrong]
    assert (flag.kind, flag.tier) == ("typo", "auto")
    assert flag.suggestion
    assert flag.suggestion.value == NAMES[0]


def test_the_more_frequent_the_neighbour_the_surer_it_is() -> None:
    sure = [
        flags(*["Springfield"] * rows, *["Portland"] * rows, "Springfeild")["Springfeild"].confidence
        for rows in (15, 30, 60)
    ]
    assert sure == sorted(set(sure))
    assert "Springfeild" not in flags(*["Springfield"] * 14, *["Portland"] * 300, "Springfeild"), "too rare a neighbour"


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ("Portland", "Portlands"),  # an ending
        ("Route 66", "Route 67"),  # a digit
        ("Mary", "Mari"),  # too short
        ("Anna Berg", "Emma Berg"),  # another word, of short ones
        ("QXT-ABCDE", "QXT-ABCDF"),  # a code
        ("Kestrel", "Mestrel"),  # the first letter: less than sure
    ],
)
def test_what_differs_as_two_names_do_is_not_repaired(usual: str, other: str) -> None:
    flag = flags(*[usual] * 100, *["Something else"] * 50, other).get(other)
    assert flag is None or (flag.confidence <= 0.5 and flag.tier == "suggest")


def test_a_letter_lost_inside_a_word_is_no_ending() -> None:
    assert "Brookhven" in flags(*["Brookhaven"] * 20, *["Portland"] * 50, "Brookhven")


def test_in_a_long_text_a_short_word_may_be_misspelled() -> None:
    text = "pneumonia patients who were given the right drugs"
    assert flags(*[text] * 40, *["another text of many words"] * 40, text.replace("the", "teh"))


def test_a_spelling_in_other_case_or_space_is_brought_to_the_usual_one() -> None:
    found = flags(*COLUMN, NAMES[1].upper(), f"{NAMES[2]}s")
    assert list(found) == [NAMES[1].upper()]
    assert found[NAMES[1].upper()].kind == "format"
    assert found[NAMES[1].upper()].tier == "auto"
    two = ["Upper Mill"] * 40
    assert set(flags(*two, *["Lower Mill"] * 40, "upper  mill")) == {"upper  mill"}


def test_of_two_frequent_spellings_none_is_the_right_one() -> None:
    assert flags(*["Upper Mill"] * 40, *["UPPER MILL"] * 20, *["Lower Mill"] * 40) == {}
    sure = flags(*["Upper Mill"] * 40, *["UPPER MILL"] * 10, *["Lower Mill"] * 40)["UPPER MILL"]
    assert sure.tier == "suggest"


def test_codes_have_spellings_but_no_typos() -> None:
    codes: list[Cell] = [f"KX-{100 + row % 30}" for row in range(600)]
    assert studied(*codes).semantic == "code"
    assert set(flags(*codes, "kx-101", "KX-1O1")) <= {"kx-101"}


# Words in texts that are all different

COUNTIES: list[Cell] = [f"{name} County Airport" for name in words(120, 6)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Willow Couty Airport", "Willow County Airport"),
        ("Willow Countyy Airport", "Willow County Airport"),
        ("WILLOW COUTNY Airport", "WILLOW COUNTY Airport"),
        ("Willow County (Ariport)", "Willow County (Airport)"),
        ("willow county aurport", "willow county airport"),
    ],
)
def test_a_word_that_is_nearly_one_that_stands_everywhere_is_misspelled(text: str, meant: str) -> None:
    flag = flags(*COUNTIES, text)[text]
    assert (flag.kind, flag.tier, flag.confidence) == ("typo", "suggest", 0.7)
    assert flag.suggestion
    assert flag.suggestion.value == meant


@pytest.mark.parametrize(
    "text",
    [
        "Willow Counties Airport",  # another word
        "Willow County Airports",  # an ending
        "Willow Bounty Airport",  # another first letter
        "Count Willow Airport",  # an ending, too
        "Willow Creek Airfield",
    ],
)
def test_a_word_of_its_own_is_not_misspelled(text: str) -> None:
    assert flags(*COUNTIES, text) == {}


def test_a_word_is_believed_from_the_second_time_on() -> None:
    assert flags(*COUNTIES, "Willow Couty Airport", "Maple Couty Airport") == {}


def test_a_word_must_be_frequent_and_long_for_others_to_be_slips_of_it() -> None:
    assert flags(*COUNTIES[:20], "Willow Couty Airport") == {}
    assert flags(*[f"{name} Stout" for name in words(120, 6)], "Wicked Snout") == {}


@pytest.mark.parametrize(("usual", "other"), [("Center", "Centre"), ("Harbor", "Harbour"), ("Organize", "Organise")])
def test_british_and_american_spellings_are_both_right(usual: str, other: str) -> None:
    assert flags(*[f"{name} {usual}" for name in words(120, 6)], f"Willow {other}") == {}
