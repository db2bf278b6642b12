"""Slips of values that are short or codes: believed where the column shows that chance cannot explain them."""

import pytest

from tests.support.quality_tables import flags_of, found, studied, table_of
from tools.data_quality.columns.cells import Cell
from tools.data_quality.detectors import typos
from tools.data_quality.detectors.slips import slips

STATIONS: list[Cell] = ["JFK", "LGA", "EWR"] * 100
SLIPS = ["JKF", "LLGA", "LG", "EER", "WER", "JFJ", "RWR"]
MEANT = ["JFK", "LGA", "LGA", "EWR", "EWR", "JFK", "EWR"]
PLACES = ["BOS", "SFO", "SEA", "MIA", "DEN", "PHX", "TPA", "STL"]


def meant(*cells: Cell) -> dict[str, str]:
    return {text: right for text, (right, _) in slips(studied(*cells)).items()}


def test_slips_of_a_few_frequent_values_are_found_and_say_what_is_meant() -> None:
    assert meant(*STATIONS, *SLIPS) == dict(zip(SLIPS, MEANT, strict=True))
    flags = flags_of(typos, table_of(station=[*STATIONS, *SLIPS]))
    assert {(flag.kind, flag.tier) for flag in flags} == {("typo", "suggest")}, "three letters are no proof"


def test_one_frequent_value_and_its_slips_are_told_from_other_rare_values() -> None:
    wrong = ["UAS", "USS", "USAA", "ISA", "UxA", "SUA"]
    assert found({"land": [*["USA"] * 300, *wrong, "Chile"]}) == [(row, "land") for row in range(300, 306)]
    assert found({"land": [*["USA"] * 300, "UAE", "US", "Chile", "Peru", "Oman", "Laos"]}) == []
    assert found({"land": [*["USA"] * 300, *wrong]}, least=0.9) == [], "three letters are no proof"
    others = ["Chile", "Peru", "Oman", "Laos", "Mali", "Iraq", "Cuba", "Togo"]
    assert found({"land": [*["USA"] * 700, *wrong, *others]}) == [], "most of what is rare is something else"
    places = ["BOS", "SFO", "LAX", "LGB", "SEA", "MIA", "EWE", "BOS"]
    assert found({"place": [*STATIONS, *places]}) == [], "places"


def test_codes_with_digits_slip_too() -> None:
    codes = [f"{letter}4{digit}-{digit}8{letter}" for letter, digit in zip("QXBZ", "1739", strict=True)] * 40
    wrong = [codes[0][1:], codes[1] + codes[1][-1], codes[2].replace("-", ""), "Z494-98Z", "Q411-18Q", "X74-78X"]
    assert set(meant(*codes, *wrong)) == set(wrong)


def test_fewer_than_five_are_no_row_of_slips() -> None:
    assert len(meant(*STATIONS, *SLIPS[:5])) == 5
    assert meant(*STATIONS, *SLIPS[:4]) == {}


def test_what_chance_explains_is_no_slip() -> None:
    assert meant(*STATIONS, *SLIPS, *PLACES[:4]), "a few others"
    others = [f"{one}{other}M" for one in "ABCDHIKM" for other in "TUVXYZ"]
    assert meant(*STATIONS, *SLIPS, *others) == {}, "most of what is rare is something else"
    close = ["JFK", "JFA", "LGA", "LGK", "EWR", "EWA"] * 50
    assert meant(*close, *SLIPS, *PLACES) == {}, "the frequent ones are as near each other"
    assert found({"place": [*STATIONS, *PLACES]}, "typo") == []


@pytest.mark.parametrize(
    "variants",
    [
        ["JFKA", "JFKB", "LGAX", "LGAY", "EWRZ", "EWRQ", "LGAQ"],  # all differ at the end
        ["JAK", "JBK", "LXA", "LYA", "EZR", "EQR", "LQA"],  # all have another letter, and none is lost or doubled
    ],
)
def test_variants_differ_in_one_way_and_slips_in_all(variants: list[str]) -> None:
    assert meant(*STATIONS, *variants) == {}


def test_a_value_must_be_many_times_as_frequent_as_its_slips() -> None:
    base = [*["JFK"] * 96, *["LGA"] * 96, *["EWR"] * 96, *SLIPS]
    assert "FK" in meant(*base, *["FK"] * 2)
    assert "FK" not in meant(*base, *["FK"] * 7), "repeated, and only 14 times as rare"
    assert "FK" in meant(*base, *["FK"] * 6), "repeated, and 16 times as rare"
    few = [*["JFK"] * 7, *["LGA"] * 7, *["EWR"] * 7, *SLIPS]
    assert meant(*few) == {}, "nothing is frequent"


def test_endings_and_two_letters_are_no_proof() -> None:
    words = ["turbine", "piston"] * 100
    assert "turbines" not in meant(*words, "turbines", "tubrine", "ttrbine", "pisto", "pistpn", "iston", "turbinr")
    assert "pistonn" in meant(*words, "pistonn", "tubrine", "ttrbine", "pisto", "pistpn", "iston", "turbinr"), "doubled"
    assert meant(*["AB", "XY", "QR"] * 100, "BA", "YX", "RQ", "BAB", "YXY", "RQR") == {}


def test_spellings_in_other_case_are_one_value() -> None:
    cells = [*STATIONS, *(str(cell).lower() for cell in STATIONS[:30]), *SLIPS, "jkf"]
    assert meant(*cells)["jkf"] == "JFK"


def test_of_two_that_could_be_meant_the_more_frequent_is_suggested_with_less_confidence() -> None:
    cells = [*["ban"] * 60, *["bon"] * 40, *STATIONS, *SLIPS, "bn"]
    told = slips(studied(*cells))
    assert told["bn"][0] == "ban"
    assert told["bn"][1] < told["JKF"][1]


def test_where_chance_explains_some_of_them_all_are_less_sure() -> None:
    assert {confidence for _, confidence in slips(studied(*STATIONS, *SLIPS, *PLACES)).values()} == {0.6}
    assert {confidence for _, confidence in slips(studied(*STATIONS, *SLIPS)).values()} == {0.85}
