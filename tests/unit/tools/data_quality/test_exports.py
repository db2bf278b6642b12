"""What the exports carry, how they write it, and that nothing gets lost without being listed.

That the tools run what is exported is checked by `scripts/check_exports.py`, since they are no part of the project.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from tools.data_quality.columns.study import Semantic
from tools.data_quality.exports.coverage import Export
from tools.data_quality.exports.great_expectations import to_great_expectations
from tools.data_quality.exports.odcs import to_odcs
from tools.data_quality.exports.pandera import to_pandera
from tools.data_quality.exports.queries import identifier, literal
from tools.data_quality.rules.model import RULE_TYPES, Rule, RuleType, make_rule

Document = dict[str, Any]

COLUMNS: Mapping[str, Semantic] = {"id": "code", "city": "name", "price": "decimal", "start": "date", "end": "date"}
ONE_OF_EACH: Mapping[RuleType, tuple[list[str], Document]] = {
    "placeholder": (["city"], {"words": ["n/a"]}),
    "trimmed": (["city"], {}),
    "encoding": (["city"], {"map": [["MalmÃ¶", "Malmö"]]}),
    "plain_number": (["price"], {"as_text": True, "grouping_is_safe": True}),
    "unit": (["price"], {"unit": "kg", "spellings": {"kg": 1.0}}),
    "variant_map": (["city"], {"map": [["OSLO", "Oslo", 0.9]]}),
    "typo_map": (["city"], {"map": [["Olso", "Oslo", 0.9]]}),
    "type": (["start"], {"type": "date", "format": "%Y-%m-%d"}),
    "not_null": (["city"], {}),
    "range": (["price"], {"min": 0, "max": 9.5}),
    "date_range": (["start"], {"min": "2020-01-01", "max": "2020-12-31", "format": "%Y-%m-%d"}),
    "regex": (["id"], {"pattern": "^[A-Z]{2}$", "shape": "AA"}),
    "set": (["city"], {"values": ["Oslo", "Rome"]}),
    "unique": (["id"], {}),
    "key": (["id", "city"], {}),
    "dependency": (["city", "id"], {"determinants": [["id"]], "agreement": [1.0], "source": None}),
    "merged": (["city", "id"], {}),
    "swapped": (["city", "id"], {}),
    "compare": (["start", "end"], {"operator": "<=", "type": "date"}),
    "location": (["price", "id"], {}),
    "sign": (["price"], {"sign": 1}),
    "duplicate_rows": (list(COLUMNS), {}),
}
DATES = [make_rule("type", [name], {"type": "date", "format": "%Y-%m-%d"}) for name in ("start", "end")]
NUMBERS = make_rule("type", ["price"], {"type": "decimal"})
EXPORTS: Mapping[str, Callable[..., Export]] = {
    "odcs": to_odcs,
    "great_expectations": to_great_expectations,
    "pandera": to_pandera,
}


def one(type_: RuleType, support: int = 200, violations: int = 0) -> Rule:
    columns, params = ONE_OF_EACH[type_]
    return make_rule(type_, columns, params).measured(support, violations)


def contract(*rules: Rule, columns: Mapping[str, Semantic] = COLUMNS, **options: Any) -> Document:
    loaded: Document = yaml.safe_load(to_odcs(rules, columns, "towns", **options).text)
    return loaded


def checks(document: Document) -> list[Document]:
    (schema,) = document["schema"]
    of_columns: list[Document] = [check for entry in schema["properties"] for check in entry.get("quality", [])]
    return [*of_columns, *schema.get("quality", [])]


def only_check(*rules: Rule, **options: Any) -> Document:
    """The quality check of the last rule; the others say how columns are read."""
    wanted = f"rule-{rules[-1].rule_id}"
    (check,) = [check for check in checks(contract(*rules, **options)) if check["id"] == wanted]
    return check


def suite(*rules: Rule, columns: Mapping[str, Semantic] = COLUMNS) -> Document:
    loaded: Document = json.loads(to_great_expectations(rules, columns, "towns").text)
    return loaded


def expectation(*rules: Rule) -> Document:
    (found,) = [e for e in suite(*rules)["expectations"] if e["meta"]["rule_id"] == rules[-1].rule_id]
    kwargs: Document = {"type": found["type"]} | found["kwargs"]
    return kwargs


def schema(*rules: Rule, columns: Mapping[str, Semantic] = COLUMNS) -> Document:
    loaded: Document = yaml.safe_load(to_pandera(rules, columns, "towns").text)
    return loaded


@pytest.mark.parametrize("export", EXPORTS)
@pytest.mark.parametrize("type_", RULE_TYPES)
def test_a_rule_of_every_type_is_carried_or_listed_with_a_reason(export: str, type_: RuleType) -> None:
    rule = one(type_)
    written = EXPORTS[export]([rule], COLUMNS, "towns")
    without = EXPORTS[export]([], COLUMNS, "towns")
    if written.left_out:
        (entry,) = written.left_out
        assert (entry.rule_id, entry.type, entry.columns) == (rule.rule_id, rule.type, tuple(rule.columns))
        assert "which" in entry.reason or len(entry.reason.split()) >= 5
    else:
        assert written.text != without.text


def test_the_contract_carries_all_but_places_and_exchanged_values() -> None:
    rules = [*DATES, *(one(type_) for type_ in RULE_TYPES)]
    written = to_odcs(rules, COLUMNS, "towns")
    assert [entry.type for entry in written.left_out] == ["swapped", "location"]
    left_out = [one("swapped").rule_id, one("location").rule_id]
    listed = {entry["property"]: entry["value"] for entry in yaml.safe_load(written.text)["customProperties"]}
    assert [entry["ruleId"] for entry in listed["rulesLeftOut"]] == left_out
    carried = {entry["id"].removeprefix("rule-") for entry in checks(yaml.safe_load(written.text))}
    assert carried == {rule.rule_id for rule in rules} - set(left_out)


def test_a_contract_has_all_that_the_standard_requires() -> None:
    document = contract(one("not_null"), one("regex"))
    assert document["apiVersion"] == "v3.1.0"
    assert document["kind"] == "DataContract"
    assert document["status"] == "draft"
    assert re.fullmatch(r"[0-9a-f]{32}", document["id"])
    properties = document["schema"][0]["properties"]
    assert [entry["name"] for entry in properties] == list(COLUMNS)
    assert {entry["physicalType"] for entry in properties} == {"VARCHAR"}
    assert [entry.get("required") for entry in properties] == [None, True, None, None, None]


def test_a_contract_keeps_its_id_wherever_the_data_lies_and_changes_it_with_a_rule() -> None:
    here = contract(one("not_null"), data_path="a.csv")
    there = contract(one("not_null"), data_path="b/c.parquet")
    assert here["servers"] == [{"server": "local", "type": "local", "path": "a.csv", "format": "csv"}]
    assert there["servers"][0]["format"] == "parquet"
    assert here["id"] == there["id"] == contract(one("not_null"))["id"]
    assert here["id"] != contract(one("not_null", 200, 3))["id"]


def test_data_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must end with one of \.csv, \.parquet, \.jsonl"):
        to_odcs([], COLUMNS, "towns", data_path="towns.xlsx")


@pytest.mark.parametrize(
    ("type_", "metric", "arguments"),
    [
        ("not_null", "missingValues", {"missingValues": [""]}),
        ("unique", "duplicateValues", None),
        ("key", "duplicateValues", {"properties": ["id", "city"]}),
        ("set", "invalidValues", {"validValues": ["Oslo", "Rome"]}),
        ("regex", "invalidValues", {"pattern": "^(?:[A-Z]{2})$"}),
    ],
)
def test_a_rule_without_exceptions_is_a_library_metric_where_one_says_the_same(
    type_: RuleType, metric: str, arguments: Document | None
) -> None:
    check = only_check(one(type_))
    assert (check["type"], check["metric"], check.get("arguments")) == ("library", metric, arguments)
    assert (check["mustBe"], check["unit"]) == (0, "rows")


def test_a_rule_with_exceptions_allows_the_share_that_it_was_broken_by() -> None:
    assert only_check(one("not_null", 200, 3))["mustBeLessOrEqualTo"] == 1.5
    check = only_check(one("set", 1000, 3))
    assert (check["type"], check["mustBeLessOrEqualTo"], check["unit"]) == ("sql", 0.3, "percent")
    assert "100.0 * count(*) FILTER (WHERE NOT value IN ('Oslo', 'Rome')) / nullif(count(*), 0), 6" in check["query"]


def test_a_share_that_is_no_round_number_of_percent_is_rounded_up() -> None:
    rule = one("set", 200, 1).model_copy(update={"mostly": 0.99999996})
    assert only_check(rule)["mustBeLessOrEqualTo"] == 0.0001


@pytest.mark.parametrize("support", [7, 31, 200, 999, 1000, 1001, 123_457])
@pytest.mark.parametrize("violations", [1, 2, 3])
def test_no_rule_forbids_what_its_own_data_has(support: int, violations: int) -> None:
    rule = one("set", support, violations)
    measured = round(100 * violations / support, 6)
    assert measured <= only_check(rule)["mustBeLessOrEqualTo"] <= measured + 0.1 + 1e-9
    assert expectation(rule)["mostly"] <= 1 - violations / support
    repeated = expectation(one("unique", support, violations))["mostly"]
    assert repeated <= 1 - 2 * violations / support  # the first of equal values is counted, too


def test_a_rule_that_holds_nowhere_or_speaks_of_no_column_of_the_table_is_left_out_everywhere() -> None:
    rules = [one("set", 5, 5), make_rule("not_null", ["gone"]), make_rule("not_null", [])]
    for export in EXPORTS.values():
        reasons = [entry.reason for entry in export(rules, COLUMNS, "towns").left_out]
        assert reasons == [
            "it holds on no cell of its own data",
            "the table has no column 'gone'",
            "it names no column",
        ]


@pytest.mark.parametrize(
    ("type_", "columns", "params"),
    [
        ("set", ["city"], {}),
        ("set", ["city"], {"values": 7}),
        ("range", ["price"], {"min": "low", "max": 1}),
        ("type", ["price"], {"type": "colour"}),
        ("compare", ["start", "end"], {"operator": "; DROP TABLE towns", "type": "number"}),
        ("compare", ["start"], {"operator": "<=", "type": "number"}),
        ("dependency", ["city", "id"], {"determinants": [["gone"]]}),
        ("date_range", ["start"], {"min": "2020-01-01", "max": "2020-01-02"}),
        ("date_range", ["start"], {"min": "1'; --", "max": "2020-01-02", "format": "%Y-%m-%d"}),
        ("date_range", ["start"], {"min": "00:00", "max": "23:59", "format": "%H:%M"}),
    ],
)
def test_a_rule_with_wrong_params_is_left_out_and_breaks_nothing(
    type_: RuleType, columns: list[str], params: Document
) -> None:
    rule = make_rule(type_, columns, params)
    for export in EXPORTS.values():
        assert [entry.rule_id for entry in export([rule], COLUMNS, "towns").left_out] == [rule.rule_id]


HOSTILE = ['say "hi"', "x; DROP TABLE t; --", "it's", "new\nline", "ünï 漢", "a: #", "yes", "1e5", "\\", "\x07", ""]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_and_any_value_comes_through_unchanged(name: str) -> None:
    rules = [
        make_rule("set", [name], {"values": [name, "x"]}).measured(10, 1),
        make_rule("set", [name], {"values": [name, "y"]}).measured(10, 0),
    ]
    document = contract(*rules, columns={name: "text"})
    assert document["schema"][0]["properties"][0]["name"] == name
    query, metric = (check for check in checks(document) if check.get("description"))
    assert '"' + name.replace('"', '""') + '"' in query["query"]
    assert f"value IN ('{name.replace(chr(39), chr(39) * 2)}', 'x')" in query["query"]
    assert metric["arguments"]["validValues"] == [name, "y"]
    found = suite(*rules, columns={name: "text"})["expectations"]
    assert [e["kwargs"]["value_set"] for e in found] == [[name, "x"], [name, "y"]]
    (column,) = schema(*rules, columns={name: "text"})["columns"].items()
    assert column[0] == name
    assert column[1]["checks"][0]["allowed_values"] == [name, "y"]


def test_no_name_or_value_ends_its_quotes() -> None:
    assert identifier('a" FROM secrets; --') == '"a"" FROM secrets; --"'
    assert literal("a' OR 1=1; --") == "'a'' OR 1=1; --'"


def test_what_a_runner_would_replace_is_taken_apart_or_left_out() -> None:
    assert literal("${HOME}, {model}") == "'${' || 'HOME}, {' || 'model}'"
    assert literal("[0-9]{3}") == "'[0-9]{3}'"
    left = to_odcs([make_rule("trimmed", ["${HOME}"])], {"${HOME}": "text"}, "towns").left_out
    assert "would replace" in left[0].reason


def test_what_sql_or_utf_8_cannot_hold_is_left_out_and_the_files_can_still_be_written() -> None:
    name = "half \ud800"
    rule = make_rule("typo_map", [name], {"map": [["\ud800", "x", 0.9]]})
    for export in EXPORTS.values():
        export([rule], {name: "text"}, "towns").text.encode("utf-8")
    assert len(to_odcs([rule], {name: "text"}, "towns").left_out) == 1
    assert len(to_odcs([make_rule("trimmed", ["\0"])], {"\0": "text"}, "towns").left_out) == 1


def test_what_readers_of_other_versions_of_yaml_take_for_numbers_is_quoted() -> None:
    text = to_odcs(
        [make_rule("set", ["id"], {"values": ["1e5", "0o17", "0x1F", "007", "no", "1.0"]})], COLUMNS, "t"
    ).text
    for value in ("1e5", "0o17", "0x1F", "007", "no", "1.0"):
        assert f"- '{value}'\n" in text


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_equal_rules_make_equal_bytes_and_every_text_ends_a_line(export: Callable[..., Export]) -> None:
    rules = [one(type_) for type_ in RULE_TYPES]
    first = export(rules, COLUMNS, "towns")
    again = export([Rule.model_validate_json(rule.model_dump_json()) for rule in rules], dict(COLUMNS), "towns")
    assert first == again
    assert first.text.endswith("\n")


def test_a_value_is_judged_after_placeholders_and_white_space_are_taken_away() -> None:
    tidying = [one("placeholder", 200, 4), one("trimmed", 200, 2)]
    query = only_check(*tidying, one("set"))["query"]
    assert "IN ('n/a') THEN NULL" in query
    assert "regexp_replace(nullif(CAST(\"city\" AS VARCHAR), ''), '^[\\s\\xa0]+|[\\s\\xa0]+$', '', 'g')" in query
    pattern = re.compile(expectation(*tidying, one("set"))["regex"])
    assert [bool(pattern.search(text)) for text in ("Oslo", " Rome\t", "N/A", "Bern", "oslo")] == [
        *(True, True, True),
        *(False, False),
    ]


def test_words_for_no_value_that_a_caller_knows_of_are_not_judged() -> None:
    check = only_check(one("regex"), missing_words={"id": ["unknown"]})
    pattern = re.compile(check["arguments"]["pattern"])
    assert pattern.search("Unknown")
    assert pattern.search("AB")
    assert not pattern.search("ABC")


def test_a_rule_about_writing_is_told_by_the_values_as_they_are() -> None:
    def is_broken(rule: Rule, text: str) -> bool:
        return re.search(expectation(rule)["regex"], text) is not None

    assert [is_broken(one("placeholder"), text) for text in ("n/a", " N/A ", "n/ab")] == [True, True, False]
    assert [is_broken(one("trimmed"), text) for text in (" a", "a\n", "a b")] == [True, True, False]
    written = ("1234.5", "-1e5", "1,234", "1 234 567.5", " 7", "12,34", "1,2345")
    broken = [is_broken(one("plain_number"), text) for text in written]
    assert broken == [False, False, True, True, True, False, False]
    assert [is_broken(one("unit"), text) for text in ("7", "7 kg", "7.5kg", "7 lb")] == [False, True, True, False]


def test_a_column_with_one_unit_asks_for_it_and_is_silent_about_what_is_no_measure() -> None:
    rule = make_rule("unit", ["price"], {"unit": "kg", "gap": " ", "spellings": {}})
    pattern = re.compile(expectation(rule)["regex"])
    assert [bool(pattern.search(text)) for text in ("7 kg", "7kg", "heavy", "7", "7 lb")] == [True] * 3 + [False] * 2


def test_numbers_with_separators_count_as_numbers_where_a_rule_says_that_they_occur() -> None:
    assert "(?:," not in only_check(NUMBERS)["query"]
    grouped = only_check(one("plain_number", 200, 1), NUMBERS)["query"]
    assert "(?:,[0-9]{3})+" in grouped
    assert "CASE WHEN regexp_matches" in only_check(one("plain_number", 200, 1), one("range"))["query"]


def test_dates_are_read_in_their_own_format() -> None:
    rule = make_rule("type", ["start"], {"type": "date", "format": "%-m/%-d/%Y %-I:%M %.p"})
    assert "'%-m/%-d/%Y %-I:%M %p'" in only_check(rule)["query"]
    assert to_great_expectations([rule], COLUMNS, "towns").left_out
    rule = make_rule("type", ["start"], {"type": "date", "format": "%-m/%-d/%Y"})
    assert expectation(rule)["strftime_format"] == "%m/%d/%Y"
    assert "TRY_STRPTIME" in only_check(*DATES, one("compare"))["query"]


def test_a_dependency_is_held_to_what_the_columns_agree_by() -> None:
    params = {"determinants": [["id", "start"], ["price"]], "agreement": [0.98, 0.9], "source": None}
    rule = make_rule("dependency", ["city", "id", "start", "price"], params).measured(200, 1)
    check = only_check(rule)
    assert check["mustBeLessOrEqualTo"] == 10.0
    assert (
        "count(c0) OVER (PARTITION BY c1, c2, c0) AS n0, count(c0) OVER (PARTITION BY c3, c0) AS n1" in check["query"]
    )
    noisy = make_rule("dependency", ["city", "id"], {"determinants": [["id"]], "agreement": [1.0], "source": "price"})
    assert "contradict" in to_odcs([noisy], COLUMNS, "towns").left_out[0].reason


def test_a_dependency_on_the_row_before_is_left_out() -> None:
    params = {"determinants": [["city"]], "agreement": [1.0], "offset": [-1], "source": None}
    left = to_odcs([make_rule("dependency", ["city", "city"], params)], COLUMNS, "towns").left_out
    assert "no order" in left[0].reason


def test_a_sign_is_wrong_only_for_numbers_of_the_usual_size() -> None:
    usual = make_rule("sign", ["price"], {"sign": 1, "from": 2.5, "to": 9.0})
    assert "NOT (number < -9.0 OR number > -2.5)" in only_check(usual)["query"]
    assert "(number < 0)" in only_check(one("sign"))["query"]
    left = to_great_expectations([NUMBERS, usual], COLUMNS, "towns").left_out
    assert [entry.type for entry in left] == ["type", "sign"]


def test_times_of_day_may_pass_midnight() -> None:
    times = [make_rule("type", [name], {"type": "time", "format": "%H:%M"}) for name in ("start", "end")]
    rule = make_rule("compare", ["start", "end"], {"operator": "<=", "type": "time"})
    assert "abs(epoch(left_side) - epoch(right_side)) >= 43200" in only_check(*times, rule)["query"]


def test_rows_are_equal_with_their_empty_cells_and_keys_are_not() -> None:
    assert "WHERE TRUE AND nth > 1" in only_check(one("duplicate_rows"))["query"]
    assert "WHERE c0 IS NOT NULL AND c1 IS NOT NULL" in only_check(one("key", 200, 1))["query"]
    assert expectation(one("duplicate_rows"))["ignore_row_if"] == "never"
    assert expectation(one("key"))["ignore_row_if"] == "any_value_is_missing"


def test_great_expectations_compares_numbers_only_where_every_cell_is_one() -> None:
    assert suite(one("range"))["meta"]["rules_left_out"][0]["ruleId"] == one("range").rule_id
    between = expectation(NUMBERS, one("range", 200, 2))
    assert between == {
        "type": "expect_column_values_to_be_between",
        "column": "price",
        "mostly": 0.99,
        "min_value": 0.0,
        "max_value": 9.5,
    }
    assert suite(NUMBERS, one("range"))["meta"]["number_columns"] == ["price"]
    assert suite(NUMBERS, one("plain_number", 200, 1), one("range"))["meta"]["number_columns"] == []
    with_words = to_great_expectations([NUMBERS], COLUMNS, "towns", missing_words={"price": ["n/a"]})
    assert json.loads(with_words.text)["meta"]["number_columns"] == []


def test_the_larger_side_of_a_comparison_is_named_first_as_great_expectations_wants_it() -> None:
    found = expectation(*DATES, one("compare"))
    assert (found["column_A"], found["column_B"], found["or_equal"]) == ("end", "start", True)
    strictly = make_rule("compare", ["start", "end"], {"operator": ">", "type": "date"})
    found = expectation(*DATES, strictly)
    assert (found["column_A"], found["column_B"], found["or_equal"]) == ("start", "end", False)


def test_pandera_gets_only_rules_without_exceptions() -> None:
    left = to_pandera([one("regex", 200, 1), one("set", 200, 0)], COLUMNS, "towns").left_out
    assert [(entry.type, entry.reason) for entry in left] == [
        ("regex", "its checks know no exceptions, and the rule has some")
    ]


def test_a_schema_of_pandera_converts_numbers_and_says_which_rule_a_check_is() -> None:
    rules = [
        NUMBERS,
        one("range"),
        one("not_null"),
        one("regex"),
        make_rule("not_null", ["id"]),
        one("unique"),
        one("key"),
    ]
    written = schema(*rules)
    assert (written["schema_type"], written["unique"]) == ("polars_dataframe", ["id", "city"])
    columns = written["columns"]
    assert columns["city"] == {"dtype": "String", "nullable": False}
    assert columns["price"]["dtype"] == "Float64"
    assert columns["price"]["coerce"] is True
    assert [check["options"]["check_name"] for check in columns["price"]["checks"]] == ["ge", "le"]
    (check,) = columns["id"]["checks"]
    assert check["options"] == {"check_name": "str_matches", "name": f"regex {one('regex').rule_id}"}
    assert columns["id"]["unique"] is True


def test_pandera_takes_no_key_that_may_have_empty_parts_and_no_second_key() -> None:
    filled = [make_rule("not_null", [name]) for name in ("id", "city")]
    assert [entry.type for entry in to_pandera([one("unique"), one("key")], COLUMNS, "towns").left_out] == [
        "unique",
        "key",
    ]
    left = to_pandera([*filled, one("key"), one("duplicate_rows")], COLUMNS, "towns").left_out
    assert [entry.type for entry in left] == ["duplicate_rows"]
