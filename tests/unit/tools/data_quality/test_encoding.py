from collections.abc import Sequence

import pytest

from tools.data_quality.columns.column import encode
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors import encoding
from tools.data_quality.detectors.encoding import decoded_again
from tools.data_quality.detectors.flags import Flag, Suggestion

NAMES = [f"Café Müller {number}" for number in range(100)]


def found(cells: Sequence[str]) -> dict[str, Flag]:
    table = Table([encode("name", cells)])
    flags = [flag for rule in encoding.discover(table) for flag in encoding.check(rule, table)]
    return {str(table.columns[0].values[flag.code]): flag for flag in flags}


@pytest.mark.parametrize(
    "text", ["Café", "naïve", "Müller", "it\u2019s", "Привет", "São Paulo", "Señor", "à la carte", "£5", "20 °C"]
)
@pytest.mark.parametrize("charset", ["cp1252", "latin-1"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_wrong_reading_is_undone(text: str, charset: str, times: int) -> None:
    wrong = text
    for _ in range(times):
        try:
            wrong = wrong.encode().decode(charset)
        except UnicodeDecodeError:  # a byte that Windows-1252 leaves open is read as in Latin-1
            wrong = wrong.encode().decode("latin-1")
    assert decoded_again(wrong) == text


@pytest.mark.parametrize(
    "text",
    [
        "Café",
        "CAFÉ\u2019S",
        "MARQUÉ…",
        "SÃO",
        "IRMÃ",
        "Ü\u2013",
        "Ångström",
        "ÊTRE «",
        "Ñandú",
        "À\u00a0la carte",
        "東京",
        "£5",
        "Łódź",
        "plain",
    ],
)
def test_a_text_that_is_right_is_left_alone(text: str) -> None:
    assert decoded_again(text) == text


def test_mojibake_is_repaired_at_once() -> None:
    flag = found([*NAMES, "CafÃ© du Nord"])["CafÃ© du Nord"]
    assert (flag.kind, flag.tier, flag.suggestion) == ("encoding", "auto", Suggestion("Café du Nord"))
    assert flag.confidence >= 0.9


def test_what_a_no_break_space_left_behind_is_taken_away() -> None:
    flag = found([*NAMES, "Harvard\u00c2 State", "Gate 12\u00c2"])["Harvard\u00c2 State"]
    assert (flag.kind, flag.tier, flag.suggestion) == ("encoding", "auto", Suggestion("Harvard State"))


@pytest.mark.parametrize("text", ["ROM\u00c2NIA", "\u00c2 Deriva", "TAM\u00c2", "L \u00c2 M"])
def test_a_letter_that_may_be_meant_is_left_alone(text: str) -> None:
    assert text not in found([*NAMES, text])


def test_a_lost_character_is_reported_without_a_repair() -> None:
    flag = found([*NAMES, "Caf\ufffd"])["Caf\ufffd"]
    assert (flag.tier, flag.suggestion) == ("report", None)


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("O&#39;Neill", "O'Neill"),
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("it\x92s", "it\u2019s"),
        ("Nor\u200bway", "Norway"),
        ("\ufeffNorway", "Norway"),
        ("New\u00a0York", "New York"),
        ("Nor\x07way", "Norway"),
    ],
)
def test_escapes_and_characters_that_nobody_sees_are_repaired(bad: str, good: str) -> None:
    assert found([*NAMES, bad])[bad].suggestion == Suggestion(good)


def test_what_many_values_have_is_how_the_column_is() -> None:
    assert found([*NAMES, *(f"New\u00a0York {number}" for number in range(20))]) == {}
    assert found([*NAMES, *(f"a &amp; b {number}" for number in range(20))]) == {}


def test_html_joined_letters_and_loose_ampersands_are_left_alone() -> None:
    assert (
        found(
            [*NAMES, "<b>Tom &amp; Jerry</b>", "\u0645\u06cc\u200c\u062e", "R&D; sales", "AT&T", "two\nlines\tand tabs"]
        )
        == {}
    )


def test_white_space_at_the_ends_is_no_matter_of_encoding() -> None:
    assert found([*NAMES, " Norway\u00a0"]) == {}


def test_a_stored_rule_judges_another_table_and_one_without_the_column() -> None:
    rule = next(encoding.discover(Table([encode("name", [*NAMES, "CafÃ© du Nord"])])))
    assert rule.params == {"map": [["CafÃ© du Nord", "Café du Nord"]]}
    other = Table([encode("name", ["CafÃ© du Nord", "MÃ¼ller", "Müller"])])
    assert [str(other.columns[0].values[flag.code]) for flag in encoding.check(rule, other)] == [
        "CafÃ© du Nord",
        "MÃ¼ller",
    ]
    assert list(encoding.check(rule, Table([encode("n", [1, 2])]))) == []


def test_a_column_without_faults_has_no_rule() -> None:
    assert list(encoding.discover(Table([encode("name", NAMES), encode("n", list(range(100)))]))) == []
