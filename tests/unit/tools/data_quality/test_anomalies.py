"""What each detector finds, and the traps in which it must find nothing."""

from random import Random
from typing import Any

import pytest

from tools.data_quality import identify_anomalies, profile_data


def found(dataset: object, kind: str | None = None) -> list[tuple[int, Any]]:
    """The (row, value) of every anomaly, or of those of one kind."""
    anomalies = identify_anomalies({"dataset": dataset})["anomalies"]["sample"]
    return [(anomaly["row"], anomaly["value"]) for anomaly in anomalies if kind in (None, anomaly["kind"])]


def column(*cells: object) -> dict[str, list[object]]:
    """A table of one column, which is not a bare list."""
    return {"column": list(cells)}


def described(*cells: object) -> dict[str, Any]:
    profile: dict[str, Any] = profile_data({"dataset": column(*cells)})["profile"]["column_profiles"][0]
    return profile


NAMES = [f"{'o' * (row % 7)}n {'a' * (row % 13)}m {'e' * (row // 10)}s" for row in range(100)]


def test_every_null_in_a_bare_list_is_missing() -> None:
    dataset = [1, None, 2, None, None, None]
    assert found(dataset, "missing") == [(1, None), (3, None), (4, None), (5, None)]


def test_an_empty_cell_is_missing_only_where_the_column_is_otherwise_filled() -> None:
    assert found(column(*NAMES[:95], *[None] * 3, "", ""), "missing") == [
        (95, None),
        (96, None),
        (97, None),
        (98, ""),
        (99, ""),
    ]
    assert found(column(*NAMES[:90], *[None] * 10)) == []


@pytest.mark.parametrize("word", ["NA", "n/a", " N/A ", "null", "None", "-", "?", "UNKNOWN", "nan", "  ", "#N/A"])
def test_words_for_no_value_are_placeholders(word: str) -> None:
    assert found(column(*NAMES, word)) == [(100, word)]
    assert found([*range(50), word], "placeholder") == [(50, word)]


def test_a_placeholder_in_a_mostly_missing_column_is_structure() -> None:
    assert found(column(*NAMES[:30], "NA", "NA", "NA", *[None] * 67)) == []


def test_a_placeholder_in_a_fifth_of_the_column_is_a_finding_about_it() -> None:
    cells = [*NAMES[:70], *["NA"] * 30]
    assert found(column(*cells)) == []
    finding = {"kind": "placeholder", "rows": 30, "reason": "stands for a missing value, too often to be an error"}
    assert described(*cells)["findings"] == [finding]


def test_namibia_is_a_country() -> None:
    countries = [chr(65 + row) + chr(66 + row) for row in range(24)] * 4
    assert found(column(*countries, "NA")) == []
    assert found(column(*countries, "N/A"), "placeholder") == [(96, "N/A")]


def test_a_repeated_9999_far_outside_stands_for_no_value() -> None:
    assert found(column(*range(100), 9999, 9999), "placeholder") == [(100, 9999), (101, 9999)]
    assert found(column(*range(100), 9999), "outlier") == [(100, 9999)], "a single one is an outlier"
    assert found(column(*range(9950, 10050), 9999, 9999)) == [], "among its like it is a number"


def test_text_in_a_column_of_numbers_is_of_the_wrong_type() -> None:
    assert found(column(*range(100), "twelve"), "wrong_type") == [(100, "twelve")]
    assert found(column(*map(str, range(100)), "12 oz"), "wrong_type") == [(100, "12 oz")]
    assert found([*range(100), True], "wrong_type") == [(100, True)]


def test_a_column_of_mixed_codes_is_no_column_of_numbers() -> None:
    assert found(column(*map(str, range(80)), *(f"{row}B" for row in range(20)))) == []


@pytest.mark.parametrize(("untidy", "plain"), [(" 12", 12), ("1,234", 1234), ("1 234.5", 1234.5), ("12", 12)])
def test_numbers_not_written_as_numbers_are_format_errors(untidy: str, plain: float) -> None:
    sample = identify_anomalies({"dataset": column(*range(0, 2000, 10), untidy)})["anomalies"]["sample"]
    assert [(anomaly["kind"], anomaly["suggestion"]) for anomaly in sample] == [("format", plain)]


def test_a_number_is_not_tidied_at_the_price_of_its_digits() -> None:
    assert found(column(*range(0, 2000, 10), "1,234.12345678901234567")) == []


def test_beside_decimal_commas_a_comma_does_not_separate_thousands() -> None:
    cells = [*map(str, range(100)), "3,5", "1,234"]
    assert found(column(*cells), "format") == []


def test_white_space_at_the_ends_of_a_text_is_a_format_error() -> None:
    assert found(column(*NAMES, " padded"), "format") == [(100, " padded")]
    assert found(column(*(f"{name} " for name in NAMES))) == [], "if all have it, it is the column's way"


def test_a_rare_shape_among_codes_is_a_format_error() -> None:
    codes = [f"AB-{row:03}" for row in range(100)]
    assert found(column(*codes, "AB/123"), "format") == [(100, "AB/123")]
    assert found(column(*codes, "AB-12"), "format") == [(100, "AB-12")], "padded numbers have a fixed width"


def test_counts_of_digits_are_no_format() -> None:
    assert found(column(*(f"AA-{row}" for row in range(1000, 1100)), "AA-204")) == []
    assert found(column(*map(str, range(50_000, 99_000, 490)), "104000", "9000")) == []


def test_a_frequent_word_is_no_misshapen_one() -> None:
    assert found(column(*["yes"] * 97, *["no"] * 3)) == []
    states = [first + second for first in "ACDFGHIKLM" for second in "AEILO"] * 20
    assert found(column(*states, *["AK"] * 20)) == [], "a rare state is a state"


def test_a_frequent_value_of_another_shape_is_a_fact() -> None:
    states = [first + second for first in "ACDFGHIKLM" for second in "AEILO"] * 20
    assert found(column(*states, *["USA"] * 30)) == []
    assert found(column(*states, *["USA"] * 3)) == [(row, "USA") for row in (1000, 1001, 1002)]


def test_a_text_is_no_code() -> None:
    assert found(column(*NAMES, "Tom Hooper", "PSA AIRLINES", "737-7H4")) == []


def test_a_number_far_outside_is_an_outlier() -> None:
    random = Random(1)
    ages = [random.gauss(40, 10) for _ in range(200)]
    assert found(column(*ages, 400.0, -300.0)) == [(200, 400.0), (201, -300.0)]


def test_fewer_than_eight_numbers_have_no_outlier() -> None:
    assert found([1, 2, 3, 4, 5, 6, 1000]) == []
    assert found([1, 2, 3, 4, 5, 6, 7, 1000]) == [(7, 1000)]


def test_where_more_than_half_are_one_value_the_others_are_judged_by_themselves() -> None:
    assert found(column(*[0] * 100, 1, 2)) == []
    assert found(column(*[0] * 100, *range(1, 40), 5000)) == [(139, 5000)]


@pytest.mark.parametrize(
    "draw",
    [lambda random: random.expovariate(1), lambda random: random.lognormvariate(0, 2), lambda random: random.random()],
    ids=["exponential", "lognormal", "uniform"],
)
def test_a_long_tail_is_no_row_of_outliers(draw: Any) -> None:
    assert len(found(column(*(draw(Random(seed)) for seed in range(2000))))) <= 2


def test_small_skewed_samples_raise_few_false_alarms() -> None:
    """Fences of equal width on both sides would raise some fifty among these ten thousand numbers."""
    randoms = [Random(seed) for seed in range(100)]
    samples = [[random.expovariate(1) for _ in range(100)] for random in randoms]
    assert sum(len(found(column(*sample))) for sample in samples) <= 5


@pytest.mark.parametrize(
    ("cells", "semantic"),
    [
        ([str(row) for row in range(40)], "integer"),
        ([f"{row}.5" for row in range(40)], "decimal"),
        ([f"2024-01-{row % 28 + 1:02}" for row in range(40)], "date"),
        ([f"{row:05}" for row in range(40)], "code"),
        ([str(10_000 + row) for row in range(40)], "code"),
        ([f"ID{row}" for row in range(40)], "code"),
        (["red", "green"] * 20, "category"),
        (NAMES, "text"),
        (["yes", "No"] * 20, "boolean"),
        ([None] * 5, "empty"),
    ],
)
def test_a_profile_names_what_a_column_holds(cells: list[object], semantic: str) -> None:
    assert described(*cells)["type"] == semantic


def test_a_profile_sums_up_a_column() -> None:
    profile = described(*range(1, 10), 9, None, "n/a")
    assert {key: profile[key] for key in ("missing", "placeholders", "distinct")} == {
        "missing": 1,
        "placeholders": 1,
        "distinct": 10,
    }
    assert profile["top"][:2] == [{"value": 9, "count": 2}, {"value": 1, "count": 1}]
    numbers = profile["numbers"]
    assert [numbers[key] for key in ("min", "q1", "median", "q3", "max", "mad")] == [1, 3.25, 5.5, 7.75, 9, 2.5]


def test_later_copies_of_a_row_are_duplicates() -> None:
    rows = [{"id": row, "name": "x"} for row in range(20)]
    dataset = [*rows, rows[3], rows[3], {"id": 3.0, "name": "x"}]
    assert found(dataset) == [(20, None), (21, None)], "3.0 is not 3"
    assert found([1, 1, 1, 1, 1, 1, 1, 1]) == [], "equal numbers in a list are no rows"


def test_a_table_made_of_repetitions_has_no_duplicates() -> None:
    profile = profile_data({"dataset": {"a": [1, 2] * 20, "b": [1, 2] * 20}})["profile"]
    assert profile["duplicate_rows"] == 38
    assert found({"a": [1, 2] * 20, "b": [1, 2] * 20}) == []


def test_the_sample_is_bounded_and_shows_every_kind() -> None:
    verdict = identify_anomalies({"dataset": [*range(1000), "word", "n/a", 10**6, *[None] * 200, "x" * 1000]})
    sample = verdict["anomalies"]["sample"]
    assert verdict["anomaly_count"] == verdict["anomalies"]["total"] == 204
    assert len(sample) == 50
    assert {anomaly["kind"] for anomaly in sample} == {"missing", "placeholder", "wrong_type", "outlier"}
    assert [anomaly["row"] for anomaly in sample] == sorted(anomaly["row"] for anomaly in sample)
    assert all(len(str(anomaly["value"])) <= 120 for anomaly in sample)


def test_the_quality_score_is_the_share_of_sound_cells() -> None:
    assert identify_anomalies({"dataset": []})["quality_score"] == 100.0
    assert identify_anomalies({"dataset": [*range(9), None]})["quality_score"] == 90.0
    rows = [{"a": row, "b": row} for row in range(9)]
    assert identify_anomalies({"dataset": [*rows, rows[0]]})["quality_score"] == 90.0
