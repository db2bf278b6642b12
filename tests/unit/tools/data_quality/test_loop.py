"""The loop: when it ends, what it leaves as it was, and what its outcome promises."""

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from tests.support.quality_tables import (
    Columns,
    changed,
    cleaned,
    dataset_of,
    judged,
    scattered,
    sites,
    slips,
    swapped,
    table_of,
    words,
)
from tools.data_quality import pipeline
from tools.data_quality.columns.cells import Cell, is_empty, read_number, word
from tools.data_quality.datasets.dataset import Dataset
from tools.data_quality.judging import Judgement
from tools.data_quality.outcome import Change, Outcome
from tools.data_quality.pipeline import clean, examine
from tools.data_quality.repair.patch import FIELDS, applied, as_csv, repairs, summary, undone
from tools.data_quality.rules.model import Rule, make_rule, parse
from tools.data_quality.rules.policies import Policies

SITES = sites()
DIRTY = changed(
    SITES,
    town=scattered(SITES, "town", 14, swapped, 1),
    name=scattered(SITES, "name", 6, lambda cell: "N/A", 2),
    postcode=scattered(SITES, "postcode", 8, lambda cell: None, 3),
    score=scattered(SITES, "score", 3, lambda cell: "9,000", 4),
)
NUMBERS: list[Cell] = [
    *(20 + (row * 37) % 61 + row % 10 / 10 for row in range(94)),
    *[None] * 5,
    *(900, -700, 1200, 850, "N/A", "x", "unknown"),
]


def mixed(seed: int) -> Columns:
    """Another table with errors of many kinds."""
    chance = random.Random(seed)
    columns = sites(30, 8, seed)
    columns["weight"] = [f"{chance.randint(5, 40)} {chance.choice(['kg', 'kg', 'KG', 'kg.'])}" for _ in columns["site"]]
    columns["opened"] = [
        f"20{chance.randint(10, 24)}-0{chance.randint(1, 9)}-{chance.randint(10, 28)}" for _ in columns["site"]
    ]
    return changed(
        columns,
        town=scattered(columns, "town", 9, slips(seed), seed),
        region=scattered(columns, "region", 6, lambda cell: chance.choice([None, "?", "Nowhere"]), seed + 1),
        inspector=scattered(columns, "inspector", 6, lambda cell: f" {cell}", seed + 2),
        opened=scattered(
            columns, "opened", 4, lambda cell: chance.choice(["2012-02-31", "9999-01-01", "3/4/2012"]), seed + 3
        ),
        score=scattered(columns, "score", 4, lambda cell: chance.choice(["x", "-400", "77 %"]), seed + 4),
    )


TABLES: dict[str, Any] = {"sites": DIRTY, "numbers": NUMBERS, **{f"mixed {seed}": mixed(seed) for seed in (1, 2, 3)}}


@cache
def outcome_of(name: str) -> Outcome:
    return cleaned(TABLES[name])


def cells(dataset: Dataset) -> dict[tuple[int, str | None], str]:
    """(row, column) -> the cell as Python writes it, so that 1 and 1.0 and True differ."""
    content = dataset.content
    if isinstance(content, list):
        return {(row, "value"): repr(cell) for row, cell in enumerate(content)}
    assert isinstance(content, dict)
    return {(row, name): repr(cell) for name, column in content.items() for row, cell in enumerate(column)}


def differing(one: Dataset, other: Dataset) -> set[tuple[int, str | None]]:
    before, after = cells(one), cells(other)
    return {cell for cell in before if before[cell] != after[cell]}


def told(outcome: Outcome) -> list[tuple[int, str, int, bool]]:
    return [(entry.number, entry.tier, entry.anomalies, entry.rolled_back) for entry in outcome.passes]


# When it ends


def test_it_ends_when_nothing_is_left() -> None:
    outcome = cleaned(changed(SITES, town=scattered(SITES, "town", 14, swapped, 1)))
    assert outcome.stopped == "target"
    assert outcome.repaired.content == SITES
    assert told(outcome) == [(1, "auto", 14, False)]
    assert cleaned(SITES).stopped == "target"
    assert cleaned(SITES).passes == []


def test_it_ends_at_the_target_it_is_given() -> None:
    outcome = cleaned(DIRTY, target=100)
    assert (outcome.stopped, outcome.patch, outcome.passes) == ("target", [], [])
    assert outcome.repaired.content == DIRTY


def test_it_ends_when_nothing_more_can_be_repaired() -> None:
    outcome = cleaned(changed(SITES, score={5: "9000", 9: "8000"}))
    assert outcome.stopped == "unchanged"
    assert outcome.passes == []
    assert [anomaly.kind for anomaly in outcome.anomalies] == ["outlier", "outlier"]


def test_a_pass_that_helps_nothing_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    content = changed(SITES, score={5: "9000"})

    def harmful(judgement: Judgement, tiers: Sequence[str], **options: Any) -> list[Change]:
        return [Change(6, "score", content["score"][6], "8000", "id", 0.9, "auto", options["number"])]

    monkeypatch.setattr(pipeline, "repairs", harmful)
    outcome = cleaned(content)
    assert outcome.stopped == "not_fewer"
    assert outcome.repaired.content == outcome.proposed.content == content
    assert outcome.patch == []
    assert told(outcome) == [(1, "auto", 1, True), (2, "suggest", 1, True)]


def test_it_ends_after_so_many_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One repair in a pass, so that each of them helps and none is the last."""
    real = repairs
    monkeypatch.setattr(pipeline, "repairs", lambda *args, **options: real(*args, **options)[:1])
    outcome = cleaned(DIRTY, passes=2)
    assert outcome.stopped == "cap"
    assert [entry.tier for entry in outcome.passes] == ["auto", "auto", "suggest", "suggest"]
    assert len(outcome.patch) == 4


def test_the_last_pass_may_reach_the_target() -> None:
    outcome = cleaned(changed(SITES, town=scattered(SITES, "town", 14, swapped, 1)), passes=1)
    assert outcome.stopped == "target"


def test_what_is_safe_comes_first_and_what_waits_for_a_person_after_it() -> None:
    outcome = cleaned(DIRTY)
    tiers = [entry.tier for entry in outcome.passes]
    assert tiers == sorted(tiers, key=("auto", "suggest").index)
    assert set(tiers) == {"auto", "suggest"}
    number_of = {entry.number: entry.tier for entry in outcome.passes}
    for change in outcome.patch:
        assert number_of[change.number] == change.tier
    counts = [entry.anomalies for entry in outcome.passes]
    assert all(after < before for before, after in pairwise(counts))


def test_little_confidence_is_neither_shown_nor_repaired() -> None:
    outcome = cleaned(DIRTY, min_confidence=0.99)
    assert outcome.patch
    assert all(change.confidence >= 0.99 for change in outcome.patch)
    assert all(anomaly.confidence >= 0.99 for anomaly in outcome.anomalies)
    assert len(outcome.anomalies) < len(cleaned(DIRTY).anomalies)


# What its outcome promises


@pytest.mark.parametrize("name", TABLES)
def test_the_patch_is_exactly_what_differs(name: str) -> None:
    outcome = outcome_of(name)
    assert outcome.patch
    assert differing(outcome.before, outcome.proposed) == {(change.row, change.column) for change in outcome.patch}
    auto = [change for change in outcome.patch if change.tier == "auto"]
    assert differing(outcome.before, outcome.repaired) == {(change.row, change.column) for change in auto}
    before, after = cells(outcome.before), cells(outcome.proposed)
    for change in outcome.patch:
        assert before[change.row, change.column] == repr(change.old)
        assert after[change.row, change.column] == repr(change.new)
        assert change.tier != "report"


@pytest.mark.parametrize("name", TABLES)
def test_undoing_the_patch_gives_the_table_back(name: str) -> None:
    outcome = outcome_of(name)
    assert repr(undone(outcome.proposed, outcome.patch).content) == repr(TABLES[name])
    assert repr(outcome.before.content) == repr(TABLES[name])
    auto = [change for change in outcome.patch if change.tier == "auto"]
    assert repr(applied(outcome.before, auto).content) == repr(outcome.repaired.content)


@pytest.mark.parametrize("name", TABLES)
def test_no_cell_changes_twice_and_every_change_has_its_rule(name: str) -> None:
    outcome = outcome_of(name)
    assert max(Counter((change.row, change.column) for change in outcome.patch).values()) == 1
    rules = {rule.rule_id: rule for rule in outcome.rules}
    assert len(rules) == len(outcome.rules)
    for change in outcome.patch:
        assert rules[change.rule_id].repair is not None
    for anomaly in outcome.anomalies:
        assert anomaly.rule_id in rules


@pytest.mark.parametrize("name", TABLES)
def test_what_is_told_is_in_order_of_rows_and_columns(name: str) -> None:
    outcome = outcome_of(name)
    places = {column.name: place for place, column in enumerate(outcome.before.columns)}
    for found in (outcome.anomalies, outcome.patch):
        positions = [(entry.row, -1 if entry.column is None else places[entry.column]) for entry in found]
        assert positions == sorted(set(positions))


@pytest.mark.parametrize("name", TABLES)
def test_a_second_run_over_what_was_repaired_has_nothing_safe_to_do(name: str) -> None:
    once = outcome_of(name).repaired
    assert [change for change in clean(once).patch if change.tier == "auto"] == []


def test_a_number_far_out_is_clipped_however_it_is_written() -> None:
    content: Any = cleaned([*range(100), "9,000"]).repaired.content
    assert content[:100] == list(range(100))
    assert 150 < content[100] < 400


def test_a_cell_that_was_repaired_is_left_as_it_is_then() -> None:
    dirty = judged(DIRTY)
    changes = repairs(dirty, ("auto",), min_confidence=0.5)
    done = {(change.row, change.column) for change in changes[:5]}
    assert repairs(dirty, ("auto",), min_confidence=0.5, changed=done) == changes[5:]


def test_equal_tables_have_equal_outcomes() -> None:
    one, other = cleaned(mixed(1)), cleaned(mixed(1))
    for field in ("profile", "profile_after", "anomalies", "rules", "patch", "passes", "stopped"):
        assert getattr(one, field) == getattr(other, field)


def test_a_visitor_may_end_it() -> None:
    def end(what: str, done: int, total: int) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        clean(dataset_of(SITES), visit=end)


# A bare list of numbers


def test_a_bare_list_is_filled_with_its_median_and_clipped() -> None:
    content: Any = cleaned([*range(1, 101), None, 5000, None]).repaired.content
    assert isinstance(content, list)
    assert content[:100] == list(range(1, 101))
    assert content[100] == content[102] == 51
    assert 150 < content[101] < 400


def test_a_list_of_106_numbers_ends_clean_in_one_pass() -> None:
    outcome = cleaned(NUMBERS)
    assert outcome.stopped == "target"
    assert told(outcome) == [(1, "auto", 12, False)]
    content: Any = outcome.repaired.content
    assert isinstance(content, list)
    assert content[:94] == NUMBERS[:94]
    gaps = [cell for old, cell in zip(NUMBERS, content, strict=True) if not isinstance(old, int | float)]
    assert gaps == [outcome.profile["column_profiles"][0]["numbers"]["median"]] * 8
    assert judged(content).total == 0


def test_clipping_does_not_reorder_numbers() -> None:
    numbers: list[Any] = [*range(100), 700, 900, -800]
    content: Any = cleaned(numbers).repaired.content
    assert isinstance(content, list)
    ranked = [new for _, new in sorted(zip(numbers, content, strict=True))]
    assert all(low <= high for low, high in pairwise(ranked))


@pytest.mark.parametrize("seed", range(20))
def test_numbers_moved_to_a_bound_stay_within_bounds(seed: int) -> None:
    chance = random.Random(seed)
    numbers: list[Cell] = [round(chance.lognormvariate(3, 0.6), 2) for _ in range(chance.randint(20, 120))]
    numbers += [chance.choice([-1, 1]) * chance.uniform(1e3, 1e6) for _ in range(chance.randint(1, 6))]
    numbers += [None] * chance.randint(0, 20)
    chance.shuffle(numbers)
    assert judged(cleaned(numbers).repaired.content).total == 0


def test_a_list_can_be_left_alone_or_shortened() -> None:
    numbers: list[Cell] = [*range(1, 101), None, 5000]
    assert cleaned(numbers, policies=Policies("keep", "keep")).repaired.content == numbers
    assert cleaned(numbers, policies=Policies("drop", "keep")).repaired.content == [*range(1, 101), 5000]
    assert cleaned([*range(50), "N/A", 7], policies=Policies("drop")).repaired.content == [*range(50), 7]


def test_a_list_without_numbers_has_nothing_to_be_filled_with() -> None:
    for content in ([None, None], ["x", "y"], [True, False], []):
        assert cleaned(content).repaired.content == content


# Policies for tables


def gaps() -> Columns:
    return {"id": [f"{name} {row}" for row, name in enumerate(words(102))], "size": [*range(1, 101), None, 5000]}


def test_a_table_keeps_gaps_and_outliers_unless_told_otherwise() -> None:
    assert cleaned(gaps()).proposed.content == gaps()
    content: Any = cleaned(gaps(), policies=Policies("median", "clip")).repaired.content
    assert isinstance(content, dict)
    assert content["size"][:100] == list(range(1, 101))
    assert content["size"][100] == 51
    assert 150 < content["size"][101] < 400


def test_rows_are_removed_where_their_owner_wants_it() -> None:
    outcome = cleaned(gaps(), policies=Policies("drop"))
    assert outcome.repaired.rows == 101
    [change] = outcome.patch
    assert (change.row, change.column, change.old, change.new) == (100, None, None, None)
    rows = [{"id": f"{name}", "size": f"{name} {row}"} for row, name in enumerate(words(60))]
    double = [*rows, rows[3], rows[9]]
    assert cleaned(double).repaired.content == double
    assert cleaned(double, policies=Policies(duplicates="drop")).repaired.content == rows


def test_a_column_of_gaps_is_not_made_up() -> None:
    content: Columns = {"id": words(100), "size": [*range(75), *[None] * 25]}
    assert cleaned(content, policies=Policies("median")).repaired.content == content


def test_a_mark_for_no_value_is_filled_like_any_gap() -> None:
    content: Columns = {"id": words(101), "size": [*map(str, range(100)), "N/A"]}
    outcome = cleaned(content, policies=Policies("median"))
    assert outcome.repaired.content == {"id": words(101), "size": [*map(str, range(100)), "49"]}
    texts: Columns = {"id": words(101), "name": [*words(100, 5), "N/A"]}
    outcome = cleaned(texts, policies=Policies("median"))
    assert (outcome.repaired.content, outcome.proposed.content) == (texts, texts | {"name": [*words(100, 5), None]})


# Rules


@pytest.mark.parametrize("name", TABLES)
def test_every_rule_holds_on_its_own_share_of_the_data(name: str) -> None:
    judgement = judged(TABLES[name])
    assert len({rule.rule_id for rule in judgement.rules}) == len(judgement.rules)
    for rule in judgement.rules:
        assert 0 <= rule.violations <= rule.support
        assert rule.support > 0
        assert rule.mostly <= 1 - rule.violations / rule.support < rule.mostly + 0.001 + 1e-9
        assert rule.confidence == round((rule.support - rule.violations + 1) / (rule.support + 2), 4)
        wrong = counted_by_hand(rule, judgement)
        assert wrong is None or rule.violations == wrong, rule
        assert rule.repair is not None or rule.tier == "report"
    assert parse([rule.model_dump() for rule in judgement.rules]) == judgement.rules


def counted_by_hand(rule: Rule, judgement: Judgement) -> int | None:
    """How many cells break a rule, counted without its detector; None for types that cannot be counted at sight."""
    column = judgement.table.columns[judgement.table.place(rule.columns[0]) or 0]
    filled = [column.values[code] for code in column.codes if not is_empty(column.values[code])]
    params = rule.params
    if rule.type == "not_null":
        return column.rows - len(filled)
    if rule.type == "placeholder":
        return sum(word(cell) in params["words"] for cell in filled)
    if rule.type == "range":
        study = judgement.table.study(rule.columns[0])
        assert study is not None
        left_out = {column.values[code] for code in study.missing}
        numbers = [read_number(cell) for cell in filled if cell not in left_out]
        return sum(number is not None and not params["min"] <= number <= params["max"] for number in numbers)
    if rule.type in ("unique", "key"):
        return 0
    return None


def test_ids_of_rules_do_not_change() -> None:
    """They are in patches and decisions of earlier runs: a change of this number is a change of the format."""
    rule = make_rule("range", ["size"], {"min": 0, "max": 9.5})
    assert rule.rule_id == make_rule("range", ["size"], {"max": 9.5, "min": 0}, tier="auto", repair="x").rule_id
    assert len(rule.rule_id) == 12
    others = [
        make_rule("range", ["size"], {"min": 0, "max": 9}),
        make_rule("range", ["sizes"], {"min": 0, "max": 9.5}),
        make_rule("sign", ["size"], {"min": 0, "max": 9.5}),
    ]
    assert len({rule.rule_id, *(other.rule_id for other in others)}) == 4
    names = ["determinants", "offset", "foreign_only", "source"]
    one = {**dict.fromkeys(names), "agreement": [0.97], "lift": [0.9]}
    assert (
        make_rule("dependency", ["a"], one).rule_id
        == make_rule("dependency", ["a"], one | {"agreement": [0.96]}).rule_id
    )


def test_a_dependency_that_was_found_with_all_errors_in_place_stays() -> None:
    """When most errors are mended, those are left that look most like exceptions, and the rule must not forget them."""
    first = judged(DIRTY)
    later = examine(dataset_of(SITES), known=first.rules)
    assert {rule.rule_id for rule in first.rules if rule.type == "dependency"} <= {rule.rule_id for rule in later.rules}


# Patches


def test_a_patch_is_summed_up_and_written_out() -> None:
    outcome = cleaned(mixed(2))
    short = summary(outcome.patch)
    assert short["total"] == len(outcome.patch)
    assert len(short["sample"]) == min(50, len(outcome.patch))
    lines = as_csv(outcome.patch).splitlines()
    assert lines[0] == ",".join(FIELDS)
    assert len(lines) == len(outcome.patch) + 1
    assert as_csv([Change(3, None, None, None, "id", 0.9, "auto", 1)]).splitlines()[1] == "3,,,,id,0.9"


def test_a_row_that_is_removed_is_not_repaired_as_well() -> None:
    rows: Columns = {"id": words(62), "size": [*range(60), None, 60], "name": [*words(60, 8), "N/A", "N/A"]}
    outcome = cleaned(rows, policies=Policies("drop"))
    assert Counter(change.column for change in outcome.patch if change.row == 60) == {None: 1}
    assert table_of(a=["x"]).rows == 1
