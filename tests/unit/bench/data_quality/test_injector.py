"""A right table made wrong, and its truth."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.data_quality.cell_errors import PAIRS, SINGLE
from bench.data_quality.injector import KINDS, Error, Injected, Table, inject

ROWS = 200
CITIES = ("Portland", "San José", "Salem-East", "Long Beach", "Denver")
DIGEST = """
import hashlib, json
from tests.unit.bench.data_quality.test_injector import everything
print(hashlib.sha256(json.dumps(everything(5).dirty).encode()).hexdigest())
"""


def table() -> Table:
    return {
        "id": [f"A{row:04}" for row in range(ROWS)],
        "city": [CITIES[row % 5] for row in range(ROWS)],
        "state": [f"S{row % 5}" for row in range(ROWS)],
        "low": [str(1000 + row) for row in range(ROWS)],
        "high": [str(5000 + row * 7) for row in range(ROWS)],
        "start": [f"2013-01-{row % 28 + 1:02}" for row in range(ROWS)],
        "end": [f"2013-02-{row % 28 + 1:02}" for row in range(ROWS)],
        "often empty": ["" if row % 4 else "x12" for row in range(ROWS)],
    }


COLUMNS_OF = {
    **dict.fromkeys(("typo", "odd_letter", "case", "spaces", "encoding", "other_row", "near_duplicate"), ("city",)),
    **dict.fromkeys(("thousands", "percent", "sign", "outlier", "unit", "shifted"), ("low", "high")),
    **dict.fromkeys(("date_format", "far_future"), ("start", "end")),
    **dict.fromkeys(("missing", "placeholder"), ("id", "city", "low")),
    **dict.fromkeys(("swap", "merged"), ("city", "state")),
    **dict.fromkeys(("order", "coordinates"), ("low", "high")),
    "end_before_start": ("start", "end"),
    "duplicate": (),
}  # fmt: skip


def error(kind: str, rate: float) -> Error:
    return Error(kind, rate, COLUMNS_OF[kind], ("kg", "kgs") if kind == "unit" else ())


def everything(seed: int) -> Injected:
    return inject(table(), seed, [error(kind, 0.02) for kind in KINDS])


def put_right(injected: Injected) -> Table:
    restored = {name: list(values) for name, values in injected.dirty.items()}
    for (row, column), value in injected.truth.items():
        restored[column][row] = value
    return restored


@pytest.mark.parametrize("seed", range(5))
def test_the_truth_put_back_gives_the_clean_table(seed: int) -> None:
    injected = everything(seed)
    assert put_right(injected) == injected.clean
    assert injected.truth.keys() == injected.kinds.keys()
    assert all(injected.dirty[column][row] != right for (row, column), right in injected.truth.items())


def test_without_its_duplicates_the_clean_table_is_the_one_given() -> None:
    injected = everything(1)
    assert len(injected.duplicates) == 8
    for name, values in injected.clean.items():
        assert [value for row, value in enumerate(values) if row not in injected.duplicates] == table()[name]


def test_the_table_given_is_not_changed() -> None:
    given = table()
    inject(given, 1, [error(kind, 0.1) for kind in KINDS])
    assert given == table()


def test_no_errors_change_nothing() -> None:
    assert inject(table(), 1, []) == Injected(table(), table(), {}, {}, {})


def test_each_kind_is_found_in_the_result_and_makes_what_it_says() -> None:
    counts = Counter(everything(3).kinds.values())
    assert set(KINDS) - counts.keys() == {"duplicate"}
    for kind in (*SINGLE, *PAIRS, "unit", "other_row"):
        assert set(inject(table(), 1, [error(kind, 0.1)]).kinds.values()) == {kind}


@pytest.mark.parametrize("kind", [*SINGLE, "unit", "other_row"])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.15])
def test_the_rate_is_the_share_of_the_columns_cells(kind: str, rate: float) -> None:
    injected = inject(table(), 1, [error(kind, rate)])
    assert len(injected.truth) == round(rate * ROWS * len(COLUMNS_OF[kind]))
    assert {column for _, column in injected.truth} <= set(COLUMNS_OF[kind])


def test_a_whole_column_can_get_a_unit() -> None:
    injected = inject(table(), 1, [Error("unit", 1, ("low",), ("kg", "kgs"))])
    assert all(value.endswith(("kg", "kgs")) for value in injected.dirty["low"])
    assert len({value[4:] for value in injected.dirty["low"]}) == 4


def test_pairs_take_the_rate_of_rows_and_two_cells_each() -> None:
    injected = inject(table(), 1, [Error("swap", 0.1, ("city", "state", "low", "high"))])
    assert Counter(column for _, column in injected.truth) == dict.fromkeys(("city", "state", "low", "high"), 20)


def test_cells_without_a_value_are_left_alone() -> None:
    injected = inject(table(), 1, [Error("missing", 1, ("often empty",)), Error("placeholder", 1, ("often empty",))])
    assert len(injected.truth) == ROWS // 4
    assert set(injected.kinds.values()) == {"missing"}


def test_no_cell_gets_two_errors() -> None:
    errors = [Error("missing", 0.5, ("city",)), Error("typo", 1, ("city",)), Error("swap", 0.5, ("city", "state"))]
    assert Counter(inject(table(), 1, errors).kinds.values()) == {"missing": 100, "typo": 100}


def test_a_value_of_another_row_is_one_of_the_column() -> None:
    injected = inject(table(), 1, [Error("other_row", 0.2, ("city",))])
    assert {injected.dirty["city"][row] for row, _ in injected.truth} <= set(CITIES)


def test_an_error_can_be_kept_to_some_rows() -> None:
    injected = inject(table(), 1, [Error("shifted", 0.5, ("low", "high"), where=("state", "S2"))])
    assert len(injected.truth) == 40
    assert {injected.clean["state"][row] for row, _ in injected.truth} == {"S2"}


def test_duplicates_repeat_the_row_with_its_errors() -> None:
    injected = inject(table(), 1, [Error("missing", 0.3, ("city",)), Error("duplicate", 0.1)])
    assert len(injected.duplicates) == 20
    assert len(injected.dirty["id"]) == 220
    for copy, first in injected.duplicates.items():
        assert all(values[copy] == values[first] for values in injected.dirty.values())
        assert ((copy, "city") in injected.truth) == ((first, "city") in injected.truth)


def test_near_duplicates_have_one_typo_of_their_own() -> None:
    injected = inject(table(), 1, [Error("near_duplicate", 0.1, ("city", "id"))])
    assert len(injected.duplicates) == 20
    for copy, first in injected.duplicates.items():
        other = [name for name, values in injected.dirty.items() if values[copy] != values[first]]
        assert len(other) == 1
        assert injected.kinds[copy, other[0]] == "near_duplicate"
        assert (first, other[0]) not in injected.kinds


def test_another_rate_of_one_error_leaves_the_others_choices_alone() -> None:
    first = inject(table(), 1, [Error("typo", 0.1, ("city",)), Error("sign", 0.1, ("low",))])
    second = inject(table(), 1, [Error("typo", 0.3, ("city",)), Error("sign", 0.1, ("low",))])
    assert first.dirty["low"] == second.dirty["low"]
    assert first.dirty["city"] != second.dirty["city"]


def test_another_seed_makes_other_errors() -> None:
    assert everything(1).dirty != everything(2).dirty


def test_every_process_makes_the_same_errors() -> None:
    here = hashlib.sha256(json.dumps(everything(5).dirty).encode()).hexdigest()
    root = Path(__file__).parents[4]
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        there = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        assert there.stdout.strip() == here


@pytest.mark.parametrize(
    ("kind", "rate", "columns", "spellings", "message"),
    [
        ("tpyo", 0.1, ("city",), (), "there is no error of kind 'tpyo'"),
        ("typo", 1.5, ("city",), (), "must be from 0 to 1, not 1.5"),
        ("swap", 0.1, ("city",), (), "1 is no even number"),
        ("unit", 0.1, ("low",), (), "spellings are needed"),
        ("typo", 0.1, ("city",), ("kg",), "for it alone"),
    ],
)
def test_an_error_that_makes_no_sense_is_refused(
    kind: str, rate: float, columns: tuple[str, ...], spellings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Error(kind, rate, columns, spellings)


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="column 'town', which the table does not have"):
        inject(table(), 1, [Error("typo", 0.1, ("town",))])
