import re
from typing import Any

import pytest

from tests.support.quality_outcomes import PARAMS, rule
from tools.data_quality.columns.visible import glyphs, visible
from tools.data_quality.rules.model import RULE_TYPES, RuleType, make_rule
from tools.data_quality.rules.words import column_in_words, rule_in_words, share_in_words

SENTENCES: dict[RuleType, str] = {
    "placeholder": "phone is free of “n/a” and “?”, which stand for “no value”",
    "trimmed": "customer has no white space at either end",
    "encoding": "customer was decoded correctly: “ZoÃ« Klein” should read “Zoë Klein”",
    "plain_number": "price has its numbers written plainly, without separators or white space",
    "unit": "weight is a plain number of “kg”, without “kg”, “␣kg” or “g” behind it",
    "variant_map": "product has one spelling for each value: “City-Bike” is usually “City Bike”, and 1 more",
    "typo_map": "city is free of typos: “Springfeild” is meant to be “Springfield”",
    "type": "price holds numbers",
    "not_null": "order is never empty",
    "range": "price lies between 5 and 2400",
    "date_range": "ordered lies between 2023-01-01 and 2024-12-31",
    "regex": "order has the shape “AA-9999” (A: capital letter, a: small letter, 9: digit)",
    "set": "state is one of 5 values: “AK”, “CO”, “IL”, “NY” and 1 more",
    "unique": "order holds no value twice",
    "key": "customer and ordered together identify a row",
    "dependency": "zip is determined by city in 98.2 % of rows",
    "merged": "city does not hold at its end what belongs into state",
    "swapped": "city and state do not hold each other's value",
    "compare": "ordered is not after delivered",
    "location": "lat and lon lie near the other rows of the same state",
    "sign": "lon is never positive",
    "duplicate_rows": "no row repeats another",
}


@pytest.mark.parametrize("type_", RULE_TYPES)
def test_every_type_of_rule_has_its_sentence(type_: RuleType) -> None:
    assert rule_in_words(rule(type_, violations=0)) == SENTENCES[type_]


def test_a_rule_that_is_broken_somewhere_says_on_how_much_it_holds() -> None:
    assert rule_in_words(rule("not_null", support=1000, violations=3)) == "order is never empty, in 99.7 % of values"
    assert rule_in_words(rule("key", support=1000, violations=1)).endswith(", in 99.9 % of rows")
    assert rule_in_words(rule("not_null", violations=3), with_share=False) == "order is never empty"
    assert rule_in_words(make_rule("not_null", ["a"])) == "a is never empty"


@pytest.mark.parametrize(
    ("type_", "columns", "params", "sentence"),
    [
        (
            "dependency",
            ["zip", "city"],
            {"determinants": [["city"]], "agreement": [1.0], "offset": [0], "source": None},
            "zip is determined by city in every row",
        ),
        (
            "dependency",
            ["zip", "city", "street", "phone"],
            {
                "determinants": [["city", "street"], ["phone"]],
                "agreement": [0.98, 0.9],
                "offset": [0, 0],
                "source": "told by",
            },
            "zip is determined by city and street together in 98 % of rows and by phone in 90 % of rows; "
            "sources (“told by”) disagree, and what most of them say counts",
        ),
        (
            "dependency",
            ["next", "now"],
            {"determinants": [["now"], ["now"]], "offset": [-1, 1]},
            "next is determined by now of the row before and by now of the row after",
        ),
        ("dependency", ["zip", "city"], {}, "zip is determined by city"),
        ("unit", ["n"], {"unit": None, "spellings": {"%": 1.0}}, "n has plain numbers, without “%” behind them"),
        ("type", ["d"], {"type": "date", "format": "%d.%m.%Y"}, "d holds dates, written as %d.%m.%Y"),
        ("type", ["d"], {"type": "complex"}, "d holds values of type “complex”"),
        ("compare", ["a", "b"], {"operator": "<=", "type": "number"}, "a is at most b"),
        ("regex", ["a"], {"pattern": "[a-z]+"}, "a matches “[a-z]+”"),
        ("sign", ["a"], {"sign": 1}, "a is never negative"),
        ("key", ["id"], {}, "id identifies a row"),
        ("location", ["lat", "lon"], {}, "lat and lon lie on the map where the other rows do"),
        ("placeholder", ["a b"], {"words": ["?"]}, "“a b” is free of “?”, which stands for “no value”"),
    ],
)
def test_params_change_the_sentence(type_: RuleType, columns: list[str], params: dict[str, Any], sentence: str) -> None:
    assert rule_in_words(make_rule(type_, columns, params)) == sentence


@pytest.mark.parametrize("type_", RULE_TYPES)
@pytest.mark.parametrize(
    "params",
    [
        {},
        dict.fromkeys(("words", "map", "spellings", "values", "min", "operator", "determinants", "sign", "unit"), 7),
        {"map": [], "words": [], "values": [], "spellings": {}, "unit": None},
        {"map": [[]], "determinants": "ab", "source": 7},
    ],
)
@pytest.mark.parametrize("columns", [[], ["a"], ["a", "b", "c", "d"]])
def test_a_rule_with_any_params_has_a_sentence(type_: RuleType, params: dict[str, Any], columns: list[str]) -> None:
    assert rule_in_words(make_rule(type_, columns, params))


@pytest.mark.parametrize("type_", RULE_TYPES)
def test_sentences_are_printable_and_short_whatever_the_table_holds(type_: RuleType) -> None:
    hostile = "a\x1b[31m\n\u202e" + "x" * 65_536
    columns, params = PARAMS[type_]

    def replaced(item: Any) -> Any:
        if isinstance(item, str) and item not in ("<=", "date", "decimal"):
            return hostile
        if isinstance(item, list):
            return [replaced(entry) for entry in item]
        return {replaced(key): value for key, value in item.items()} if isinstance(item, dict) else item

    params = {key: replaced(value) for key, value in params.items()}
    sentence = rule_in_words(make_rule(type_, [hostile for _ in columns], params))
    assert sentence.isprintable()
    assert len(sentence) < 700


def test_a_name_that_would_not_be_taken_for_one_is_quoted() -> None:
    assert column_in_words("zip_code") == "zip_code"
    assert column_in_words("Größe") == "Größe"
    assert column_in_words("zip code") == "“zip code”"
    assert column_in_words("is") == "is"
    assert column_in_words("") == "“”"
    assert column_in_words("1st") == "“1st”"


def test_shares_are_never_rounded_up_to_a_whole() -> None:
    assert [share_in_words(share) for share in (1.0, 0.9999, 0.98, 0.0)] == ["100 %", "99.9 %", "98 %", "0 %"]


def test_what_cannot_be_seen_is_written_out() -> None:
    assert visible("a\tb\r\n") == "a⇥b[U+000D]↵"
    assert visible("a\u00a0b\u200bc\ufeff") == "a[U+00A0]b[U+200B]c[U+FEFF]"
    assert visible(" a b ") == "␣a b␣"
    assert visible("   ") == "␣␣␣"
    assert visible(None) == ""
    assert visible(True) == "true"
    assert visible(-1.5) == "-1.5"
    assert len(glyphs(" a ")) == 3


def test_long_values_are_cut_and_say_how_long_they_are() -> None:
    assert visible("abcdef", 3) == "abc… (6 characters)"
    assert re.fullmatch(r"x{120}… \(65,536 characters\)", visible("x" * 65_536))
    assert visible(10**5000) == "a number of thousands of digits"
