"""What each of the small detectors finds, and the traps in which it must find nothing."""

import random
import re

import pytest

from tests.support.quality_tables import (
    Columns,
    cleaned,
    flags_of,
    found,
    judged,
    studied,
    table_of,
    words,
)
from tools.data_quality.columns.cells import Cell
from tools.data_quality.detectors import categories, formats, merged, missing, outliers, types, uniqueness
from tools.data_quality.detectors.formats import pattern_of
from tools.data_quality.rules.model import make_rule

NAMES = words(100)
PLACES = words(12, 4)


def column(*cells: Cell) -> dict[str, list[Cell]]:
    """A table of one column, which is not a bare list."""
    return {"column": list(cells)}


def values(content: dict[str, list[Cell]], kind: str | None = None) -> list[tuple[int, Cell]]:
    return [(row, content["column"][row]) for row, _ in found(content, kind)]


# Missing values and placeholders


def test_every_null_in_a_bare_list_is_missing() -> None:
    assert [row for row, _ in found([1, None, 2, None, None, None], "missing")] == [1, 3, 4, 5]


def test_an_empty_cell_is_shown_with_little_confidence_where_the_column_is_otherwise_filled() -> None:
    cells = column(*NAMES[:95], None, None, None, "", "")
    assert found(cells) == []
    assert [row for row, _ in found(cells, "missing", least=0.3)] == [95, 96, 97, 98, 99]
    assert found(column(*NAMES[:80], *[None] * 20), least=0.0) == [], "a column with many gaps has gaps"


@pytest.mark.parametrize("word", ["NA", "n/a", " N/A ", "null", "-", "?", "nan", "  ", "#N/A", "NULL", "(null)"])
def test_marks_for_no_value_are_placeholders_and_are_emptied_once_a_person_agrees(word: str) -> None:
    assert values(column(*NAMES, word)) == [(100, word)]
    outcome = cleaned(column(*NAMES, word))
    assert outcome.repaired.content == column(*NAMES, word), "it may have said something"
    assert outcome.proposed.content == column(*NAMES, None)
    assert found([*range(50), word], "placeholder") == [(50, "value")]


@pytest.mark.parametrize("word", ["UNKNOWN", "unknown", "None", "Not available", "TBD"])
def test_words_for_no_value_are_missing_and_no_error_but_in_a_bare_list(word: str) -> None:
    assert found(column(*NAMES, word)) == []
    assert studied(*NAMES, word).missing_rows == 1
    assert found([*range(50), word], "placeholder") == [(50, "value")]


def test_a_word_for_no_value_is_one_more_mark_where_the_column_has_several() -> None:
    assert values(column(*NAMES, "N/A", "?", "unknown")) == [(100, "N/A"), (101, "?"), (102, "unknown")]
    assert values(column(*NAMES, "N/A", "n/a", "unknown")) == [(100, "N/A"), (101, "n/a")], "one mark, in two spellings"
    assert len(found(column(*NAMES, "N/A", "?", *["unknown"] * 5))) == 2, "here the word is the usual way to say so"


def test_a_placeholder_is_an_error_up_to_three_fifths_of_missing_cells() -> None:
    assert len(found(column(*NAMES[:45], *["NA"] * 30, *[None] * 25), "placeholder")) == 30
    assert found(column(*NAMES[:35], *["NA"] * 30, *[None] * 35)) == []


def test_na_is_a_code_among_two_letter_codes() -> None:
    chance = random.Random(1)
    codes = [chr(65 + row) + chr(66 + row) for row in range(24)]
    cells = [chance.choice(codes) for _ in range(200)] + codes
    chance.shuffle(cells)
    assert found(column(*cells, "NA")) == []
    assert values(column(*cells, "N/A")) == [(224, "N/A")]


def test_a_repeated_9999_far_outside_stands_for_no_value() -> None:
    assert values(column(*range(100), 9999, 9999), "placeholder") == [(100, 9999), (101, 9999)]
    assert values(column(*range(100), 9999), "outlier") == [(100, 9999)], "a single one is an outlier"
    assert values(column(*range(9950, 10050), 9999, 9999)) == [], "among its like it is a number"
    texts = column(*map(str, range(100)), "-999", "-999", "-999")
    assert values(texts, "placeholder") == [(100, "-999"), (101, "-999"), (102, "-999")]


# Types and formats of numbers


def test_text_in_a_column_of_numbers_is_of_the_wrong_type() -> None:
    assert values(column(*range(100), "twelve"), "type") == [(100, "twelve")]
    assert values(column(*map(str, range(100)), "1O1"), "type") == [(100, "1O1")]
    assert found([*range(100), True], "type") == [(100, "value")]
    assert values(column(*(f"{row % 20} oz" for row in range(100)), "many"), "type") == [(100, "many")]


def test_a_column_of_mixed_content_is_no_column_of_numbers() -> None:
    assert list(types.discover(table_of(**column(*map(str, range(80)), *NAMES[:20])))) == []


@pytest.mark.parametrize(
    ("untidy", "plain"), [(" 12", 12), ("1,234", 1234), ("1 234.5", 1234.5), ("12", 12), ("1'250", 1250)]
)
def test_numbers_not_written_as_numbers_are_format_errors(untidy: str, plain: float) -> None:
    cells = column(*range(0, 2000, 10), untidy)
    judgement = judged(cells)
    [anomaly] = judgement.anomalies(judgement.flags)
    assert (anomaly.kind, anomaly.tier, anomaly.suggestion and anomaly.suggestion.value) == ("format", "auto", plain)


def test_where_numbers_are_written_as_texts_a_repair_writes_texts() -> None:
    assert cleaned(column(*map(str, range(0, 2000, 10)), "1,234", " 12")).repaired.content == column(
        *map(str, range(0, 2000, 10)), "1234", "12"
    )


def test_a_number_is_not_tidied_at_the_price_of_its_digits() -> None:
    assert found(column(*range(0, 2000, 10), "1,234.12345678901234567")) == []


def test_beside_decimal_commas_a_comma_does_not_separate_thousands() -> None:
    content = column(*map(str, range(0, 3000, 10)), "3,5", "1,234")
    assert values(content, "format") == []
    assert cleaned(content).proposed.content == content


def test_white_space_at_the_ends_makes_one_value_two() -> None:
    content = column(*NAMES, f" {NAMES[4]}", f"{NAMES[5]}  ")
    assert values(content, "format") == [(100, f" {NAMES[4]}"), (101, f"{NAMES[5]}  ")]
    assert cleaned(content).repaired.content == column(*NAMES, NAMES[4], NAMES[5])
    assert found(column(*(f"{name} " for name in NAMES))) == [], "if all have it, it is the column's way"
    assert found(column(*NAMES, " padded")) == [], "alone, it is no second spelling of anything"


# Shapes


def test_a_rare_shape_among_codes_is_a_format_error() -> None:
    codes = [f"AB-{row:03}" for row in range(100)]
    assert values(column(*codes, "AB/123"), "format") == [(100, "AB/123")]
    assert values(column(*codes, "AB-12"), "format") == [(100, "AB-12")], "padded numbers have a fixed width"
    judgement = judged(column(*codes, "AB/123", "AB-12"))
    sure = {anomaly.value: anomaly.confidence for anomaly in judgement.anomalies(judgement.flags)}
    assert sure["AB/123"] > sure["AB-12"], "a length alone is weaker evidence than a foreign character"


def test_a_shape_is_recognised_where_many_cells_are_mistyped() -> None:
    numbers = [f"{n:03}-{n * 37 % 10_000:04}" for n in range(80)]
    slips = ["12-3456", "123-456", "1234-5678", "123-45678", "123 4567", "1233456"]
    study = studied(*numbers, *slips)
    assert study.format
    assert [text for text in (*numbers, *slips) if not study.format.fits(text)] == slips
    assert studied(*numbers[:17], *slips).format is None, "the shape of too few"
    assert studied(*numbers, *(f"{n:02}-{n:04}" for n in range(10))).format is None, "another form that is in use"
    assert studied(*numbers, "12-3456", "123-456", "123 4567", "123_4567", "123.4567").format is None, "none is longer"
    assert studied(*numbers[:24], *slips * 3).format is None, "no shape dominates"
    assert studied(*numbers, *slips, *(f"{n} ext." for n in range(8))).format is None, "something else"
    plain = [f"A{n}" for n in range(100, 180)]
    assert studied(*plain, "A12", "A1234", "B-123", "A-123", "123", "AA123").format is None, "lengths are free there"


def test_counts_of_digits_are_no_format() -> None:
    assert found(column(*(f"AA-{row}" for row in range(1000, 1100)), "AA-204")) == []
    assert found(column(*map(str, range(50_000, 99_000, 490)), "104000", "9000")) == []


def test_a_frequent_word_is_no_misshapen_one() -> None:
    assert found(column(*["yes"] * 97, *["no"] * 3)) == []


def test_a_frequent_value_of_another_shape_is_a_fact() -> None:
    chance = random.Random(2)
    states = [first + second for first in "ACDFGHIKLM" for second in "AEILO"] * 20
    chance.shuffle(states)
    assert found(column(*states, *["AKE"] * 30)) == []
    rare = found(column(*states, *["AKE"] * 2))
    assert [row for row, _ in rare] == [1000, 1001]


@pytest.mark.parametrize("text", ["AB-104", "a.b*c 9", "ÄÖ-7", "x+(y)"])
def test_a_pattern_matches_its_own_shape_and_no_other(text: str) -> None:
    cells: list[Cell] = [re.sub(r"\d", str(row % 10), text) + f"{row:03}" for row in range(60)]
    form = studied(*cells).format
    assert form is not None
    matches = re.compile(pattern_of(form)).fullmatch
    if text.isascii():
        assert all(matches(str(cell)) for cell in cells)
    assert not matches("other")


# Numbers


def test_a_number_far_outside_is_an_outlier_and_only_reported() -> None:
    chance = random.Random(1)
    ages: list[Cell] = [chance.gauss(40, 10) for _ in range(200)]
    content = column(*ages, 400.0, -300.0)
    assert values(content, "outlier") == [(200, 400.0), (201, -300.0)]
    assert cleaned(content).proposed.content == content


def test_fewer_than_eight_numbers_have_no_outlier() -> None:
    assert found([1, 2, 3, 4, 5, 6, 1000]) == []
    assert found([1, 2, 3, 4, 5, 6, 7, 1000]) == [(7, "value")]


def test_where_more_than_half_are_one_value_the_others_are_judged_by_themselves() -> None:
    assert found(column(*[0] * 100, 1, 2)) == []
    assert values(column(*[0] * 100, *range(1, 40), 5000)) == [(139, 5000)]


@pytest.mark.parametrize("kind", ["exponential", "lognormal", "uniform"])
def test_a_long_tail_is_no_row_of_outliers(kind: str) -> None:
    chances = [random.Random(seed) for seed in range(2000)]
    drawn = {
        "exponential": [chance.expovariate(1) for chance in chances],
        "lognormal": [chance.lognormvariate(0, 2) for chance in chances],
        "uniform": [chance.random() for chance in chances],
    }
    assert len(found(column(*drawn[kind]), least=0.0)) <= 2


def test_small_skewed_samples_raise_few_false_alarms() -> None:
    """Fences of equal width on both sides would raise some fifty among these ten thousand numbers."""
    chances = [random.Random(seed) for seed in range(100)]
    tables = (table_of(**column(*(chance.expovariate(1) for _ in range(100)))) for chance in chances)
    assert sum(len(flags_of(outliers, table)) for table in tables) <= 5


def test_a_bound_of_whole_numbers_is_whole() -> None:
    [rule] = outliers.discover(table_of(**column(*range(100))))
    assert isinstance(rule.params["min"], int)
    assert isinstance(rule.params["max"], int)


# Categories


def test_a_value_that_stands_alone_among_a_few_frequent_ones_is_rare() -> None:
    colours = ["red", "green", "blue"] * 100
    table = table_of(**column(*colours, "purple"))
    [flag] = flags_of(categories, table)
    assert (table.columns[0].values[flag.code], flag.kind, flag.suggestion) == ("purple", "rare_category", None)
    assert found(column(*colours, "purple", "purple")) == [], "twice is no slip"
    assert found(column(*colours[:150], "purple")) == [], "too few rows to say"


def test_one_value_and_slips_of_it_are_no_code() -> None:
    text = "fixed wing multi engine"
    slips = {text[:place] + "x" + text[place + 1 :] for place in range(24) if text[place : place + 1].isalpha()}
    study = studied(*[text] * 900, *sorted(slips))
    assert (study.semantic, study.format) == ("category", None)


def test_digits_of_one_width_are_numbers_where_some_have_separators() -> None:
    wages = [f"{33_000 + 1_500 * (row % 20)}" for row in range(300)]
    assert studied(*wages).semantic != "integer", "they could name something"
    assert studied(*wages[:-5], *["78,000"] * 5).semantic == "integer"
    assert studied(*wages[:-1], "78,000").semantic != "integer", "one is a slip"


# Merged values


def merged_table() -> Columns:
    states = ["OR", "WA", "ID"]
    return {
        "city": [PLACES[row % 10] for row in range(300)],
        "state": [states[row % 10 % 3] for row in range(300)],
        "visit": [f"V{row}" for row in range(300)],
    }


def test_two_values_in_one_cell_are_taken_apart() -> None:
    columns = merged_table()
    dirty = {name: list(cells) for name, cells in columns.items()}
    for row, form in ((3, "{} {}"), (50, "{}, {}"), (101, "{} ({})"), (200, "{}/ {}")):
        dirty["city"][row] = form.format(columns["city"][row], columns["state"][row])
        dirty["state"][row] = None
    outcome = cleaned(dirty)
    assert outcome.repaired.content == columns
    assert {anomaly.kind for anomaly in outcome.anomalies} == {"merged"}
    assert len(outcome.patch) == 8


def test_a_value_that_ends_in_one_of_another_column_is_merged_only_where_that_is_empty() -> None:
    columns = merged_table()
    for row in (3, 50, 101, 200):
        columns["city"][row] = f"{columns['city'][row]} {columns['state'][row]}"
    assert list(merged.discover(table_of(**columns))) == []


def test_a_full_name_does_not_hold_the_last_name_by_mistake() -> None:
    last = [name.capitalize() for name in words(10, 9)]
    columns: Columns = {
        "full": [f"{NAMES[row]} {last[row % 10]}" for row in range(90)],
        "last": [last[row % 10] if row % 9 else None for row in range(90)],
    }
    assert list(merged.discover(table_of(**columns))) == []


def test_names_that_end_as_those_of_others_do_hold_nothing_by_mistake() -> None:
    """The head of a department has a last name, too, and it is not the one that is missing in the row."""
    first, last = words(40, 3), [name.capitalize() for name in words(10, 9)]
    columns: Columns = {
        "last": [last[row % 10] if row % 9 else None for row in range(90)],
        "head": [f"{first[row % 7]} {last[row // 7 % 10]}" for row in range(90)],
    }
    assert list(merged.discover(table_of(**columns))) == []


def test_a_value_that_stands_nowhere_else_is_taken_apart_by_its_shape() -> None:
    columns: Columns = {
        "area": [("212", "415", "617")[row % 3] for row in range(60)],
        "phone": [f"{100 + row}-{5000 + 7 * row}" for row in range(60)],
        "visit": [f"V{row}" for row in range(60)],
    }
    dirty = {name: list(cells) for name, cells in columns.items()}
    for row in (3, 20, 41, 50):
        dirty["area"][row] = f"{columns['area'][row]} {columns['phone'][row]}"
        dirty["phone"][row] = None
    assert cleaned(dirty).repaired.content == columns


def test_a_rule_about_merged_values_needs_both_columns() -> None:
    rule = make_rule("merged", ["city", "state"])
    assert list(merged.check(rule, table_of(city=["a"]))) == []


# Uniqueness


def test_a_column_without_repetition_names_its_rows_and_what_is_measured_does_not() -> None:
    chance = random.Random(1)
    columns: Columns = {
        "code": [f"C-{row}" for row in range(50)],
        "size": [chance.random() for _ in range(50)],
        "area": [PLACES[row % 5] for row in range(50)],
    }
    assert [(rule.type, rule.columns) for rule in uniqueness.discover(table_of(**columns))] == [("unique", ["code"])]


def test_two_columns_together_name_a_row_where_none_does_alone() -> None:
    columns: Columns = {"area": [PLACES[row % 10] for row in range(60)], "year": [f"y{row // 10}" for row in range(60)]}
    [rule] = uniqueness.discover(table_of(**columns))
    assert (rule.type, rule.columns) == ("key", ["area", "year"])
    later = table_of(area=[*columns["area"], PLACES[0]], year=[*columns["year"], "y0"])
    [flag] = uniqueness.check(rule, later)
    assert (flag.kind, flag.rows, flag.tier) == ("duplicate_row", (60,), "report")
    assert list(uniqueness.check(rule, table_of(area=["x"]))) == []


@pytest.mark.parametrize("module", [missing, types, formats, outliers, categories])
def test_rules_say_nothing_about_a_table_without_their_column(module: object) -> None:
    content = table_of(
        a=[*range(250), 9_000, " 7"], b=["red", "green", "blue"] * 84, c=[f"AB-{row:03}" for row in range(252)]
    )
    rules = list(module.discover(content))  # type: ignore[attr-defined]
    assert rules
    assert [flag for rule in rules for flag in module.check(rule, table_of(other=["x"]))] == []  # type: ignore[attr-defined]
