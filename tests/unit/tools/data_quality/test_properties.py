"""What holds for any small table of any cells: nothing raises, what is told is small strict JSON, what is done can be undone."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.quality_tables import cleaned, dataset_of, judged
from tools.data_quality.judging import judge
from tools.data_quality.outcome import Outcome
from tools.data_quality.pipeline import clean, examine, find_rules
from tools.data_quality.profile.profile import profile
from tools.data_quality.repair.patch import applied, as_csv, repairs, undone
from tools.data_quality.reporting import verdict
from tools.data_quality.rules.model import parse
from tools.data_quality.rules.policies import Policies

WORDS = (
    *(
        "",
        " ",
        "x",
        " x",
        "x ",
        "X",
        "N/A",
        "unknown",
        "-",
        "?",
        "yes",
        "No",
        "true",
        "AK",
        "AL",
        "NA",
        "Portland",
        "Portlnad",
    ),
    *(
        "Portland OR",
        "OR",
        "a|b|c",
        "1",
        "01",
        "1.0",
        "+1",
        "1e5",
        "1e999",
        "9" * 400,
        "1,234",
        "1 234",
        "3,5",
        "12 oz",
        "5%",
    ),
    *(
        "$ 3",
        "12A",
        "٣",
        "²",
        "½",
        "inf",
        "NaN",
        "9999",
        "-999",
        "2020-01-01",
        "2020-02-30",
        "1/2/03",
        "9999-12-31",
        "24:00",
    ),
    *(
        "0001-01-01T00:00:00+14:00",
        "7:5 p.m.",
        "\x00",
        "\x1b[31m",
        "\u202e",
        "\ud800",
        "CafÃ©",
        "&amp;",
        "\ufeff",
        "İ",
        "ß",
        "ﬁ",
    ),
)
NUMBERS = (
    0,
    -0.0,
    1,
    1.0,
    -1,
    9999,
    -999,
    5e-324,
    1.7e308,
    -1.7e308,
    2**53 + 1,
    2**64,
    10**30,
    10**400,
    -(10**400),
    True,
    False,
)
CELL = st.one_of(
    st.none(),
    st.sampled_from(WORDS),
    st.sampled_from(NUMBERS),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.characters(),
)
NAME = st.sampled_from(["a", "lat", "lon", "start", "end", "id", "", " ", "x\ny", "é", "min", "max"])
POLICY = st.builds(
    Policies,
    st.sampled_from(["auto", "keep", "median", "drop"]),
    st.sampled_from(["auto", "keep", "clip"]),
    st.sampled_from(["keep", "drop"]),
)


@st.composite
def columns(draw: st.DrawFn) -> dict[str, list[Any]]:
    """A table whose columns repeat a few cells over and over, as those of real tables do."""
    names = draw(st.lists(NAME, min_size=1, max_size=5, unique=True))
    rows = draw(st.sampled_from([0, 1, 2, 3, 9, 21, 40, 120]))
    chance = draw(st.randoms(use_true_random=False))
    table = {}
    for name in names:
        usual = draw(st.lists(CELL, min_size=1, max_size=10))
        odd = draw(st.lists(CELL, max_size=3))
        shape = draw(
            st.sampled_from(["{cell}", "{row}", "{row} kg", "K-{row:03}", "20{row:02}-01-0{low}", "name {low}"])
        )
        table[name] = [
            chance.choice(odd)
            if odd and chance.random() < 0.05
            else chance.choice(usual)
            if shape == "{cell}"
            else shape.format(row=row, low=row % 9 + 1)
            for row in range(rows)
        ]
    return table


ROWS = st.lists(st.dictionaries(NAME, CELL, max_size=5), max_size=30)
CONTENT = st.one_of(columns(), ROWS, st.lists(CELL, max_size=60))


def all_of(outcome: Outcome) -> str:
    """Everything that is told of a table, as text."""
    rules = [rule.model_dump() for rule in outcome.rules]
    told = [outcome.profile, outcome.profile_after, rules]
    return json.dumps(told, allow_nan=False) + repr([outcome.anomalies, outcome.patch, outcome.passes, outcome.stopped])


@settings(deadline=None, max_examples=150)
@given(content=CONTENT, policies=POLICY)
@example(content=[], policies=Policies())
@example(content=[{}], policies=Policies())
@example(content={"a": []}, policies=Policies())
@example(content=[10**400, -(10**400), None, 1.7e308, -1.7e308] * 4, policies=Policies())
def test_any_table_is_judged_cleaned_and_given_back(content: Any, policies: Policies) -> None:
    before = repr(content)
    outcome = clean(dataset_of(content), policies=policies)
    assert repr(content) == before, "the table as it came is never changed"
    assert all_of(clean(dataset_of(content), policies=policies)) == all_of(outcome)
    assert len({(change.row, change.column) for change in outcome.patch}) == len(outcome.patch)
    as_csv(outcome.patch)
    if all(change.column is not None for change in outcome.patch):
        assert repr(undone(outcome.proposed, outcome.patch).content) == _with_gaps(content, outcome)
    for entry in outcome.passes:
        assert entry.changes > 0
    rules = outcome.rules
    assert parse(json.loads(json.dumps([rule.model_dump() for rule in rules]))) == rules


def _with_gaps(content: Any, outcome: Outcome) -> str:
    """The table with null for keys that its rows left out, where they were filled and emptied again."""
    if not isinstance(content, list):
        return repr(content)
    filled = [(change.row, change.column) for change in outcome.patch]
    rows = [dict(row) if isinstance(row, dict) else row for row in content]
    for row, name in filled:
        if isinstance(rows[row], dict):
            rows[row].setdefault(name, None)
    return repr(rows)


@settings(deadline=None, max_examples=150)
@given(content=CONTENT, policies=POLICY)
def test_what_is_told_of_any_table_is_small_strict_json(content: Any, policies: Policies) -> None:
    judgement = examine(dataset_of(content), policies)
    said = verdict(judgement, 0.0)
    for told in (profile(judgement), said):
        assert json.loads(json.dumps(told, allow_nan=False)) == told
        assert len(json.dumps(told)) < 400_000
    assert 0 <= said["quality_score"] <= 100
    assert len(said["anomalies"]["sample"]) <= 100
    for rule in judgement.rules:
        assert 0 <= rule.violations <= rule.support
    cells = [(anomaly.row, anomaly.column) for anomaly in judgement.anomalies(judgement.flags)]
    assert len(set(cells)) == len(cells)


@settings(deadline=None, max_examples=100)
@given(content=CONTENT, later=CONTENT, policies=POLICY)
def test_rules_of_any_table_can_be_checked_on_any_other(content: Any, later: Any, policies: Policies) -> None:
    _, rules = find_rules(dataset_of(content), policies)
    table, _ = find_rules(dataset_of(later))
    judgement = judge(table, rules)
    changes = repairs(judgement, ("auto", "suggest"), min_confidence=0.0)
    other = applied(dataset_of(later), changes)
    removed = {change.row for change in changes if change.column is None}
    assert other.rows == dataset_of(later).rows - len(removed)


@pytest.mark.parametrize("width", [1, 500])
def test_the_widest_and_the_narrowest_table_are_judged(width: int) -> None:
    content = {f"c{place}": [f"v{place * row % 7}" for row in range(30)] for place in range(width)}
    judgement = judged(content)
    assert len(profile(judgement)["column_profiles"]) == min(width, 200)


@pytest.mark.parametrize("content", [[{"a": "x"}], {"a": ["x"], "b": [None]}, [None], [5], {"a": [], "b": []}])
def test_a_single_row_is_right_as_it_is(content: Any) -> None:
    assert repr(cleaned(content).proposed.content) == repr(content)
