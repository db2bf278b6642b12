"""What several detectors say about one cell, and what becomes a finding about a column instead."""

import random
from collections import Counter
from datetime import date, timedelta

import pytest

from tests.support.quality_tables import (
    Columns,
    changed,
    flags_of,
    found,
    judged,
    scattered,
    sites,
    slips,
    swapped,
    table_of,
    words,
)
from tools.data_quality.detectors import dependency, formats, order, outliers, typos, units
from tools.data_quality.judging import DETECTORS, discover, judge
from tools.data_quality.outcome import Anomaly
from tools.data_quality.rules.model import RULE_TYPES, Rule

SITES = sites()
SEEDS = range(4)


def anomalies(content: Columns, least: float = 0.0) -> dict[tuple[int, str | None], Anomaly]:
    judgement = judged(content)
    flags = [flag for flag in judgement.flags if flag.confidence >= least]
    return {(anomaly.row, anomaly.column): anomaly for anomaly in judgement.anomalies(flags)}


def spoiled(seed: int) -> Columns:
    """Visits with errors of many kinds, some of them in the same cells."""
    chance = random.Random(seed)
    dirty = changed(
        SITES,
        town=scattered(SITES, "town", 14, slips(seed), seed),
        name=scattered(SITES, "name", 9, lambda cell: str(cell).upper() + "x" * chance.randint(0, 1), seed + 1),
        postcode=scattered(SITES, "postcode", 9, lambda cell: chance.choice([None, "N/A", "99", "?"]), seed + 2),
        score=scattered(SITES, "score", 9, lambda cell: chance.choice(["1,000", "-5000", "x", None, " 70"]), seed + 3),
        site=scattered(SITES, "site", 5, lambda cell: chance.choice(["S_1", "S-99", None]), seed + 4),
    )
    return {name: [*cells, cells[7]] for name, cells in dirty.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cell_has_one_anomaly_at_most(seed: int) -> None:
    judgement = judged(spoiled(seed))
    cells = Counter((anomaly.row, anomaly.column) for anomaly in judgement.anomalies(judgement.flags))
    assert set(cells.values()) == {1}
    assert cells.total() == sum(judgement.count(flag) for flag in judgement.flags)
    for flag in judgement.flags:
        assert len(judgement.rows_of(flag)) == judgement.count(flag)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_found_comes_in_order_and_within_bounds(seed: int) -> None:
    judgement = judged(spoiled(seed))
    places = [flag.column for flag in judgement.flags if flag.column is not None]
    assert places == sorted(places)
    told = judgement.anomalies(judgement.flags)
    names = {name: place for place, name in enumerate(SITES)}
    assert told == sorted(
        told, key=lambda anomaly: (anomaly.row, -1 if anomaly.column is None else names[anomaly.column])
    )
    ids = {rule.rule_id for rule in judgement.rules}
    for anomaly in told:
        assert 0 < anomaly.confidence <= 1
        assert anomaly.rule_id in ids
        assert (anomaly.tier == "report") or anomaly.suggestion
        assert anomaly.reason


def test_what_two_detectors_say_together_is_surer_than_what_each_says() -> None:
    row = 12
    dirty = changed(SITES, town={row: swapped(SITES["town"][row])})
    table = table_of(**dirty)
    [by_looks] = flags_of(typos, table)
    [by_votes] = dependency.check_all(list(dependency.discover(table)), table)
    joint = anomalies(dirty)[row, "town"]
    together = 1 - (1 - by_looks.confidence) * (1 - by_votes.confidence)
    assert joint.confidence >= together - 0.001, "no other town has a single row, which speaks against it as well"
    assert joint.suggestion == by_looks.suggestion
    assert (joint.kind, joint.tier) == ("typo", "auto")
    assert "determined_by" in joint.evidence, "and rests on what is the stronger evidence"


def test_what_the_other_rows_say_goes_before_what_it_looks_like() -> None:
    """A slip that makes one town look like another one: the entity of the row knows better."""
    names = words(40)
    towns = [names[number // 2] for number in range(40)]
    columns = sites()
    columns["town"] = [towns[int(str(site)[2:]) - 10] for site in columns["site"]]
    row = columns["site"].index("S-10")
    other = str(towns[-1])
    dirty = changed(columns, town={row: swapped(other)})
    assert anomalies(dirty)[row, "town"].suggestion
    assert anomalies(dirty)[row, "town"].suggestion.value == towns[0]  # type: ignore[union-attr]


def beds(sizes: list[int]) -> Columns:
    columns = sites()
    columns["beds"] = [str(sizes[int(str(site)[2:]) - 10]) for site in columns["site"]]
    return columns


def test_a_repair_that_weak_votes_agree_with_is_made_as_without_them() -> None:
    columns = beds([1_000 + 37 * number for number in range(40)])
    columns = {"site": [*columns["site"], *["S-99"] * 4], "beds": [*columns["beds"], *["2011"] * 3, "2,011"]}
    row = len(columns["beds"]) - 1
    table = table_of(**columns)
    votes = next(flag for flag in dependency.check_all(list(dependency.discover(table)), table) if flag.rows == (row,))
    assert (votes.tier, votes.confidence >= 0.5) == ("report", True), "three other rows are a weak vote"
    found = anomalies(columns)[row, "beds"]
    assert (found.tier, found.suggestion and found.suggestion.value) == ("auto", "2011")


def test_what_other_rows_agree_on_is_half_as_suspicious() -> None:
    """One site is far larger than the others, and every visit to it says so."""
    chance = random.Random(1)
    columns = beds([chance.randint(20, 60) for _ in range(39)] + [5000])
    [alone] = {flag.confidence for flag in flags_of(outliers, table_of(**columns))}
    told = [anomaly for anomaly in anomalies(columns).values() if anomaly.column == "beds"]
    assert len(told) == 10
    assert {anomaly.confidence for anomaly in told} == {alone / 2}
    assert {anomaly.tier for anomaly in told} == {"report"}
    assert judged(columns).by_kind == {}
    wrong = next(row for row, site in enumerate(columns["site"]) if site != "S-49")
    assert found(changed(columns, beds={wrong: "5000"})) == [(wrong, "beds")], "elsewhere it is as suspicious as ever"


def test_what_is_out_of_order_with_a_value_that_others_speak_against_is_right() -> None:
    """A site opened on one day, whoever tells it; one row says it opened after a visit."""
    chance = random.Random(7)
    opened = {f"S-{number}": 4 * number for number in range(10, 50)}
    columns = sites()
    columns["opened"] = [day(opened[site]) for site in columns["site"]]
    columns["visited"] = [day(opened[site] + chance.randint(1, 30)) for site in columns["site"]]
    row = columns["site"].index("S-15")  # early, so that a later day is no unusual one
    dirty = changed(columns, opened={row: day(opened["S-15"] + 60)})
    assert {flag.column for flag in flags_of(order, table_of(**dirty))} == {8, 9}, "in itself nothing tells which"
    assert (found(columns), found(dirty)) == ([], [(row, "opened")])


def day(number: int) -> str:
    return (date(2020, 1, 1) + timedelta(days=number)).isoformat()


def test_another_spelling_is_one_however_many_rows_agree_on_the_value() -> None:
    columns = sites()
    row = 20
    dirty = changed(columns, town={row: str(columns["town"][row]).upper()})
    [flag] = flags_of(typos, table_of(**dirty))
    assert anomalies(dirty)[row, "town"].confidence >= flag.confidence
    assert anomalies(dirty)[row, "town"].tier == "auto"


def test_what_hits_a_fifth_of_a_column_is_how_it_is() -> None:
    """Yesterday's rule on a table in which other numbers have become usual."""
    yesterday = table_of(size=[str(row % 50) for row in range(200)], note=[f"n{row}" for row in range(200)])
    rules = [rule for rule in discover(yesterday) if rule.type == "range"]

    def today(large: int) -> tuple[int, list[dict[str, object]]]:
        sizes = [str(row % 50) if row >= large else "900" for row in range(200)]
        judgement = judge(table_of(size=sizes), rules)
        return judgement.total, [finding for _, finding in judgement.findings]

    assert today(40) == (40, [])
    reason = "too often in this column to be an error"
    assert today(41) == (0, [{"kind": "outlier", "rows": 41, "reason": reason}])


def test_padding_of_a_fifth_of_a_column_is_a_finding_and_repeated_at_once_in_the_measure() -> None:
    names = words(20)
    cells = [f"{names[row % 20]} " if row % 10 < 3 else names[row % 20] for row in range(200)]
    assert len({cell.strip() for cell in cells}) == 20
    table = table_of(name=[*cells, *(f"{name}" for name in names)])
    judgement = judge(table, list(discover(table)))
    [(place, finding)] = [entry for entry in judgement.findings if entry[1]["kind"] == "format"]
    assert (place, finding["rows"]) == (0, 60)
    [rule] = [rule for rule in judgement.rules if rule.type == "trimmed"]
    assert rule.violations == 60, "a rule is measured by what breaks it, be it an error or not"


def test_a_unit_is_an_error_however_many_rows_have_it() -> None:
    """Bringing all to the plain number loses nothing."""
    cells = [f"{row % 30} oz" if row % 10 else str(row % 30) for row in range(200)]
    assert judged({"size": [*cells, "3 oz."] * 2}).by_kind["unit"] > 0.8 * len(cells)
    assert len(flags_of(units, table_of(size=cells)))


def test_of_a_bare_list_nothing_is_how_it_is() -> None:
    assert judged([1, None, None, 2, None, "x", "x"]).by_kind == {"missing": 3, "type": 2}


def lossy(gaps: int) -> Columns:
    """Visits that lost values all over: in columns that others determine, and in one that nothing determines."""
    return changed(
        SITES,
        town=scattered(SITES, "town", gaps, lambda cell: None, 1),
        region=scattered(SITES, "region", gaps, lambda cell: None, 2),
        postcode=scattered(SITES, "postcode", gaps, lambda cell: None, 3),
        inspector=scattered(SITES, "inspector", 6, lambda cell: None, 4),
    )


def test_gaps_that_others_fill_show_that_a_table_has_lost_values() -> None:
    few, many = anomalies(lossy(2)), anomalies(lossy(6))
    gaps = [anomaly.confidence for (_, column), anomaly in few.items() if column == "inspector"]
    assert gaps == [0.4] * 6, "a plain gap is no error"
    gaps = [anomaly.confidence for (_, column), anomaly in many.items() if column == "inspector"]
    assert gaps == [0.6] * 6, "unless this table is known to lose values"


def test_a_column_with_many_more_gaps_than_were_lost_has_them_for_reasons_of_its_own() -> None:
    dirty = changed(lossy(6), inspector=scattered(SITES, "inspector", 30, lambda cell: None, 9))
    assert {anomaly.confidence for (_, column), anomaly in anomalies(dirty).items() if column == "inspector"} == {0.4}


def test_a_repeated_row_counts_with_all_its_cells_in_the_score() -> None:
    names = words(9)
    rows = [{"a": f"{name} {row}", "b": f"x{row}{name}"} for row, name in enumerate(names)]
    assert judged(rows).quality_score == 100.0
    assert judged([*rows, rows[0]]).quality_score == 90.0
    assert judged([*range(9), None]).quality_score == 90.0
    assert judged([]).quality_score == 100.0


def test_counts_are_of_what_is_more_likely_wrong_than_not() -> None:
    judgement = judged(spoiled(0))
    flags = [flag for flag in judgement.flags if flag.confidence >= 0.5]
    counted = Counter(anomaly.kind for anomaly in judgement.anomalies(flags))
    assert judgement.by_kind == dict(counted)
    assert judgement.total == counted.total()
    assert any(flag.confidence < 0.5 for flag in judgement.flags)


def test_every_type_of_rule_has_one_detector() -> None:
    types = Counter(type_ for module in DETECTORS for type_ in module.TYPES)
    assert set(types) <= set(RULE_TYPES)
    assert set(types.values()) == {1}
    assert set(RULE_TYPES) - set(types) <= {"sign"}, "signs are judged with places on the map"


def test_rules_of_unknown_columns_say_nothing_and_hold_on_nothing() -> None:
    rules: list[Rule] = discover(table_of(**spoiled(1)))
    judgement = judge(table_of(other=["x", "y"]), rules)
    assert judgement.flags == []
    assert all(rule.violations == 0 for rule in judgement.rules)


def test_a_visitor_sees_all_stages_and_may_end_them() -> None:
    seen: list[tuple[str, int, int]] = []
    table = table_of(**SITES)
    judge(table, discover(table, lambda *step: seen.append(step)), lambda *step: seen.append(step))
    assert list(dict.fromkeys(what for what, _, _ in seen)) == ["profile", "rules", "dependencies", "anomalies"]
    assert all(0 <= done <= total == 8 for _, done, total in seen)

    def end(what: str, done: int, total: int) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        discover(table, end)
    with pytest.raises(TimeoutError):
        judge(table, discover(table), end)


def test_formats_that_a_rule_knows_are_judged_on_a_later_table() -> None:
    rules = list(formats.discover(table_of(code=[f"AB-{row:03}" for row in range(60)])))
    later = table_of(code=[*(f"CD-{row:03}" for row in range(60)), "CD/999"])
    judgement = judge(later, rules)
    assert [anomaly.value for anomaly in judgement.anomalies(judgement.flags)] == ["CD/999"]
