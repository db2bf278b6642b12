"""What each kind of error makes of a value."""

import random
from collections.abc import Sequence

import pytest

from bench.data_quality import cell_errors
from bench.data_quality.cell_errors import PAIRS, SINGLE, same, unit

MANY = range(300)
VALUES = (
    "Lansdowne Airport",
    "737-4H4",
    "1044",
    "-80.61",
    "2013-02-28",
    "07:05",
    "2013-02-28 23:15",
    "Müller's",
    "x",
    "0",
    "",
)


def outcomes(kind: str, value: str) -> set[str]:
    return {str(SINGLE[kind](value, random.Random(seed))) for seed in MANY}


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("value", VALUES)
def test_an_error_changes_a_value_visibly_or_does_not_happen(kind: str, value: str) -> None:
    for seed in MANY:
        wrong = SINGLE[kind](value, random.Random(seed))
        assert wrong is None or not same(wrong, value) or not value


@pytest.mark.parametrize("kind", SINGLE)
def test_the_same_chance_makes_the_same_error(kind: str) -> None:
    for value in VALUES:
        assert SINGLE[kind](value, random.Random(7)) == SINGLE[kind](value, random.Random(7))


def test_a_typo_is_one_slip_of_a_hand() -> None:
    wrong = outcomes("typo", "Denver")
    assert {"Dever", "Dennver", "Devner", "Denvet"} <= wrong
    assert {len(value) for value in wrong} == {5, 6, 7}
    assert all(sum(a != b for a, b in zip(value, "Denver", strict=True)) <= 2 for value in wrong if len(value) == 6)


def test_a_typo_leaves_digits_of_words_alone_and_short_texts_entirely() -> None:
    assert all(value.endswith("-20") for value in outcomes("typo", "Airbus-20"))
    assert outcomes("typo", "AK") == {"None"}
    assert "None" not in outcomes("typo", "80301")


def test_the_odd_letter_is_the_same_everywhere() -> None:
    assert outcomes("odd_letter", "Oslo") == {"xslo", "Oxlo", "Osxo", "Oslx"}
    assert outcomes("odd_letter", "2013") == {"None"}


def test_a_placeholder_of_a_word_is_never_a_number() -> None:
    assert outcomes("placeholder", "Denver") == {"N/A", "-", "?", "null", "unknown"}
    assert outcomes("placeholder", "12.5") == {"N/A", "-", "?", "null", "unknown", "9999", "-999"}


def test_dates_and_times_are_written_another_way() -> None:
    assert outcomes("date_format", "2013-02-03") == {"03.02.2013", "2/3/2013", "3 Feb 2013", "Feb 3, 2013", "20130203"}
    assert outcomes("date_format", "00:05") == {"12:05 AM", "0005", "0h05"}
    assert "2/3/2013 1:30 PM" in outcomes("date_format", "2013-02-03 13:30")
    assert outcomes("date_format", "1044") == {"None"}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("missing", "a", {""}),
        ("case", "Denver", {"DENVER", "denver"}),
        ("case", "12", {"None"}),
        ("spaces", "ab cd", {"abcd", "a b cd", "ab c d"}),
        ("thousands", "1044", {"1,044"}),
        ("thousands", "-25960.5", {"-25,960.5"}),
        ("thousands", "999", {"None"}),
        ("percent", "12", {"12%", "12 %"}),
        ("percent", "12%", {"None"}),
        ("encoding", "Müller", {"MÃ¼ller"}),
        ("encoding", "O'Hare", {"Oâ€™Hare"}),
        ("encoding", "Denver", {"None"}),
        ("sign", "-80.61", {"80.61"}),
        ("sign", "41.13", {"-41.13"}),
        ("sign", "0", {"None"}),
        ("outlier", "1.25", {"12.50", "125.00"}),
        ("outlier", "0.0", {"None"}),
        ("far_future", "2013-02-28", {"2099-02-28", "2150-02-28", "2999-02-28"}),
        ("far_future", "07:05", {"None"}),
        ("shifted", "Denver", {"None"}),
    ],
)
def test_an_error_makes_exactly_these_values(kind: str, value: str, expected: set[str]) -> None:
    assert outcomes(kind, value) == expected


def test_a_shifted_value_looks_as_right_as_before() -> None:
    for seed in MANY:
        time = SINGLE["shifted"]("00:05", random.Random(seed))
        assert time is not None
        assert len(time) == 5
        assert time < "01:36" or time >= "22:35"
        number = SINGLE["shifted"]("12.5", random.Random(seed))
        assert number is not None
        assert 0.045 <= abs(float(number) - 12.5) / 12.5 <= 0.405  # rounded to the digits of the value
        assert len(number.split(".")[1]) == 1


def test_a_unit_is_written_in_all_its_spellings() -> None:
    wrong = {unit(("kg", "KG"))("12.5", random.Random(seed)) for seed in MANY}
    assert wrong == {"12.5kg", "12.5 kg", "12.5KG", "12.5 KG"}
    assert unit(("kg",))("heavy", random.Random(1)) is None


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("swap", ("Portland", "OR"), ("OR", "Portland")),
        ("swap", ("OR", "OR"), None),
        ("coordinates", ("41.1", "-80.6"), ("-80.6", "41.1")),
        ("merged", ("Portland", "OR"), ("Portland OR", "")),
        ("order", ("9", "10"), ("10", "9")),
        ("order", ("2013-01-09", "2013-01-10"), ("2013-01-10", "2013-01-09")),
        ("order", ("10", "9"), None),
        ("order", ("low", "high"), None),
        ("end_before_start", ("soon", "2013-01-10"), None),
    ],
)
def test_an_error_of_two_cells(kind: str, right: tuple[str, str], wrong: tuple[str, str] | None) -> None:
    assert PAIRS[kind](*right, random.Random(1)) == wrong


def test_an_end_before_its_start_keeps_its_time() -> None:
    ends: Sequence[tuple[str, str]] = [
        pair
        for seed in MANY
        if (pair := cell_errors.end_before_start("2013-03-01", "2013-03-05 10:30", random.Random(seed)))
    ]
    assert len(ends) == len(MANY)
    assert all(start == "2013-03-01" and "2012-01-20" < end < start and end[10:] == " 10:30" for start, end in ends)
