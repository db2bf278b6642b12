"""The tables of the gate, and the errors that are made in them."""

from collections import Counter

import pytest

from bench.data_quality.cell_errors import SINGLE
from bench.data_quality.injector import inject
from bench.data_quality.scenarios import HOLDOUT_MIXES, MOST, Scenario, scenarios
from bench.data_quality.subject import TABLES, Subject
from bench.data_quality.subjects import GATE, HOLDOUT

ALL = (*scenarios(held_out=False), *scenarios(held_out=True))
PAIRS_OF_DATES = [
    (subject, pair) for subject in (*GATE, *HOLDOUT) for pair in zip(*[iter(subject.periods)] * 2, strict=True)
]
PAIRS_OF_NUMBERS = [
    (subject, pair) for subject in (*GATE, *HOLDOUT) for pair in zip(*[iter(subject.ordered)] * 2, strict=True)
]


def named(subject: Subject) -> str:
    return subject.name


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_a_scenario_makes_as_many_cells_wrong_as_it_says(scenario: Scenario) -> None:
    table = scenario.subject.read()
    rows = len(next(iter(table.values())))
    # A whole column and copies of wrong rows come on top.
    errors = [e for e in scenario.errors(len(table)) if e.rate < 1 and e.kind not in ("duplicate", "near_duplicate")]
    share = len(inject(table, 1, errors).truth) / rows / len(table)
    assert 0 < share <= scenario.rate * 1.02
    assert share >= scenario.rate * 0.4
    assert all(error.rate <= MOST or error.where for error in errors)


@pytest.mark.parametrize("scenario", scenarios(held_out=False), ids=lambda scenario: scenario.name)
def test_every_kind_of_the_mix_that_has_a_place_happens(scenario: Scenario) -> None:
    table = scenario.subject.read()
    injected = inject(table, 1, scenario.errors(len(table)))
    made = Counter(injected.kinds.values())
    expected = set(scenario.kinds) & set(SINGLE)
    # No text of theirs has a sign that could be misread.
    expected -= {"encoding"} if scenario.subject.name == "seattle_weather" else set()
    assert expected <= made.keys()


@pytest.mark.parametrize("subject", [*GATE, *HOLDOUT], ids=named)
def test_the_columns_of_a_subject_are_those_of_its_table(subject: Subject) -> None:
    table = subject.read()
    named_columns = {
        column
        for key in Subject.__slots__
        if isinstance(columns := getattr(subject, key), tuple) and key != "sources"
        for column in columns
    }
    assert named_columns | set(subject.units) <= table.keys()
    assert len({len(values) for values in table.values()}) == 1
    if subject.sources:
        column, weights = subject.sources
        assert set(table[column]) == set(weights)


@pytest.mark.parametrize(("subject", "pair"), PAIRS_OF_DATES)
def test_periods_end_after_they_begin(subject: Subject, pair: tuple[str, str]) -> None:
    table = subject.read()
    assert all(start <= end for start, end in zip(*(table[name] for name in pair), strict=True) if start and end)


@pytest.mark.parametrize(("subject", "pair"), PAIRS_OF_NUMBERS)
def test_ordered_numbers_are_in_order(subject: Subject, pair: tuple[str, str]) -> None:
    table = subject.read()
    both = [
        (float(low), float(high)) for low, high in zip(*(table[name] for name in pair), strict=True) if low and high
    ]
    assert sum(low <= high for low, high in both) == len(both)


def test_the_gate_and_what_is_held_out_share_no_table_and_no_mix() -> None:
    gate, holdout = scenarios(held_out=False), scenarios(held_out=True)
    assert len({scenario.subject.name for scenario in gate}) >= 8
    assert len({scenario.subject.name for scenario in holdout}) >= 5
    assert not {scenario.subject.name for scenario in gate} & {scenario.subject.name for scenario in holdout}
    assert not {scenario.mix for scenario in gate} & {scenario.mix for scenario in holdout}
    assert {rate for _, rate in HOLDOUT_MIXES} == {0.01, 0.05, 0.15}


def test_every_committed_table_is_used_and_all_are_small() -> None:
    files = sorted(TABLES.rglob("*.csv"))
    assert files == sorted(subject.file for subject in (*GATE, *HOLDOUT))
    assert sum(file.stat().st_size for file in files) < 2_000_000
