"""The made-up registers keep the rules they state, and are those that are committed."""

import csv
import io
from collections.abc import Callable

import pytest

from bench.data_quality import made_up
from bench.data_quality.injector import Table
from bench.data_quality.made_up import Rows
from bench.data_quality.make_tables import SEED
from bench.data_quality.subjects import GATE, HOLDOUT

MADE_UP = (*made_up.GATE, *made_up.HOLDOUT)
DECIDES = [
    ("register", "zip", "city"),
    ("register", "city", "state"),
    ("register", "area_code", "state"),
    ("register", "department", "head"),
    ("register", "grade", "high"),
    ("orders", "product", "description"),
    ("orders", "product", "price"),
    ("orders", "customer", "firm"),
    ("orders", "order_id", "ordered"),
    ("clinic_visits", "patient", "name"),
    ("clinic_visits", "ward", "doctor"),
    ("clinic_visits", "diagnosis", "title"),
    ("library_loans", "book", "author"),
    ("library_loans", "publisher", "city"),
    ("library_loans", "branch", "street"),
    ("flights_joined", "carrier", "carrier_name"),
    ("flights_joined", "tailnum", "model"),
    ("flights_joined", "dest", "dest_zone"),
    ("weather_hours", "station", "altitude"),
    ("airport_measures", "airport", "city"),
    ("airport_measures", "measure_id", "measure"),
    ("routes", "dest", "dest_airport"),
    ("us_employment", "sector", "branch"),
]


def committed(name: str) -> Table:
    return next(subject for subject in (*GATE, *HOLDOUT) if subject.name == name).read()


@pytest.mark.parametrize("of_seed", MADE_UP, ids=lambda of_seed: of_seed.__name__)
def test_the_committed_table_is_the_one_that_the_seed_makes(of_seed: Callable[[int], Rows]) -> None:
    header, rows = of_seed(SEED)
    assert committed(of_seed.__name__) == {name: [row[place] for row in rows] for place, name in enumerate(header)}
    assert of_seed(SEED + 1) != (header, rows)


@pytest.mark.parametrize(("name", "key", "fact"), DECIDES)
def test_one_column_decides_another(name: str, key: str, fact: str) -> None:
    table = committed(name)
    pairs = set(zip(table[key], table[fact], strict=True))
    assert len(pairs) == len(set(table[key]))
    assert len(table[key]) > len(pairs)


@pytest.mark.parametrize(
    ("name", "entity", "facts"),
    [
        ("departures_by_source", ("flight",), ("sched_dep", "act_dep", "sched_arr", "act_arr")),
        ("weather_by_source", ("station", "hour"), ("temp", "humid", "wind", "pressure")),
    ],
)
def test_all_sources_agree_in_the_right_table(name: str, entity: tuple[str, ...], facts: tuple[str, ...]) -> None:
    table = committed(name)
    entities = list(zip(*(table[column] for column in entity), strict=True))
    told = set(zip(entities, *(table[column] for column in facts), strict=True))
    assert len(told) == len(set(entities)) == 120
    assert len(set(zip(entities, table["source"], strict=True))) == len(entities)


def test_a_code_of_two_columns_is_made_of_them() -> None:
    table = committed("airport_measures")
    parts = zip(table["state_measure"], table["state"], table["measure_id"], strict=True)
    assert all(code == f"{state}_{measure}" for code, state, measure in parts)


@pytest.mark.parametrize("subject", [*GATE, *HOLDOUT], ids=lambda subject: subject.name)
def test_a_committed_table_is_tidy(subject: object) -> None:
    file = next(known.file for known in (*GATE, *HOLDOUT) if known is subject)
    data = file.read_bytes()
    assert b"\r" not in data
    assert data.endswith(b"\n")
    cells = [cell for row in csv.reader(io.StringIO(data.decode(), newline="")) for cell in row]
    assert all(cell == " ".join(cell.split()) for cell in cells)
    assert "NA" not in cells
