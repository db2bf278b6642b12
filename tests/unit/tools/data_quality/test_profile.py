"""What a profile says about a table and its columns, and that it stays small whatever the table holds."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.support.quality_tables import Columns, changed, judged, scattered, sites, studied, table_of, words
from tools.data_quality.columns.cells import Cell
from tools.data_quality.columns.column import encode, encode_series
from tools.data_quality.columns.spread import fences, quantile
from tools.data_quality.profile.profile import profile
from tools.data_quality.reporting import verdict

SITES = sites()
NAMES = words(100)


def profiled(content: Any, *notes: str) -> dict[str, Any]:
    made = profile(judged(content), notes)
    assert json.loads(json.dumps(made, allow_nan=False)) == made, "strictly JSON"
    return made


def described(*cells: Cell) -> dict[str, Any]:
    column: dict[str, Any] = profiled({"column": list(cells)})["column_profiles"][0]
    return column


@pytest.mark.parametrize(
    ("cells", "semantic"),
    [
        ([str(row) for row in range(40)], "integer"),
        ([row * 7 for row in range(40)], "integer"),
        ([f"{row}.5" for row in range(40)], "decimal"),
        ([f"{row} kg" for row in range(40)], "unit_number"),
        ([f"2024-01-{row % 28 + 1:02}" for row in range(40)], "date"),
        ([f"{row % 24:02}:{row:02}" for row in range(40)], "time"),
        ([f"2024-01-{row % 28 + 1:02}T10:{row:02}:00" for row in range(40)], "datetime"),
        ([f"{row:05}" for row in range(40)], "code"),
        ([str(10_000 + row) for row in range(40)], "code"),
        ([f"ID{row}" for row in range(40)], "code"),
        (["red", "green"] * 20, "category"),
        (NAMES, "name"),
        ([f"{name} " * 8 for name in NAMES], "text"),
        ([f"{name}; {name}x; {row}" for row, name in enumerate(NAMES)], "list"),
        (["yes", "No"] * 20, "boolean"),
        ([None] * 5, "empty"),
        (["N/A"] * 5, "empty"),
    ],
)
def test_a_profile_names_what_a_column_holds(cells: list[Cell], semantic: str) -> None:
    assert described(*cells)["type"] == semantic


def test_a_profile_sums_up_a_column() -> None:
    made = described(*range(1, 10), 9, None, "n/a", "unknown")
    counts = ("missing", "placeholders", "unknowns", "distinct")
    assert [made[key] for key in counts] == [1, 1, 1, 11]
    assert made["top"][:2] == [{"value": 9, "count": 2}, {"value": 1, "count": 1}]
    numbers = made["numbers"]
    assert [numbers[key] for key in ("count", "min", "q1", "median", "q3", "max", "mad")] == [
        10,
        1,
        3.25,
        5.5,
        7.75,
        9,
        2.5,
    ]
    assert described(*(f"KX-{row}" for row in range(100, 140)))["shapes"] == [{"shape": "AA-999", "count": 40}]
    assert described(*NAMES)["lengths"] == {"min": min(map(len, NAMES)), "max": max(map(len, NAMES))}
    assert described(*(f"2024-01-{row % 28 + 1:02}" for row in range(40)))["format"] == "%Y-%m-%d"


def test_a_profile_says_how_columns_hang_together() -> None:
    made = profiled(SITES, "read as Latin-1")
    assert (made["rows"], made["columns"], made["duplicate_rows"], made["notes"]) == (400, 8, 0, ["read as Latin-1"])
    assert made["candidate_keys"] == [["visit"]]
    told = {(entry["dependent"], *entry["determinant"]): entry for entry in made["dependencies"]}
    assert told["town", "site"] == {
        "determinant": ["site"],
        "dependent": "town",
        "share": 1.0,
        "lift": 1.0,
        "offset": 0,
        "noisy": False,
    }
    assert ("score", "site") not in told


def test_a_profile_names_the_entity_and_the_source_of_a_panel() -> None:
    columns: Columns = {"told by": [], "thing": [], "fact": []}
    for source in range(10):
        for entity in range(40):
            columns["told by"].append(f"source {source}")
            columns["thing"].append(f"thing {entity}")
            columns["fact"].append(f"{entity * 31 % 977}:{(source * entity) % 7 if source * entity % 3 == 0 else 0}")
    assert profiled(columns)["panels"] == [{"entity": "thing", "source": "told by"}]


def test_repeated_rows_and_findings_are_in_the_profile() -> None:
    names = words(30)
    padded = {"name": [*(f"{name} " for name in names[:15]), *names], "id": [f"x{row}" for row in range(45)]}
    column = profiled(padded)["column_profiles"][0]
    assert [finding["kind"] for finding in column["findings"]] == ["format"]
    assert profiled({"a": [1, 2] * 20, "b": [1, 2] * 20})["duplicate_rows"] == 38
    assert judged({"a": [1, 2] * 20, "b": [1, 2] * 20}).by_kind == {}, "a table made of repetitions has no duplicates"


def test_a_profile_of_a_wide_and_wordy_table_is_bounded() -> None:
    wide: Columns = {
        f"column {place} " + "x" * 500: ["y" * 5_000 + str(row) for row in range(30)] for place in range(300)
    }
    made = profiled(wide)
    assert (len(made["column_profiles"]), made["columns"], made["columns_left_out"]) == (200, 300, 100)
    assert len(made["dependencies"]) <= 200
    assert len(made["candidate_keys"]) <= 20
    for column in made["column_profiles"]:
        assert len(column["top"]) == 20
        assert len(column["name"]) <= 120
        assert all(len(entry["value"]) <= 120 for entry in column["top"])


def test_the_sample_of_a_verdict_is_bounded_and_shows_every_kind() -> None:
    judgement = judged([*range(1000), "word", "n/a", 10**6, *[None] * 300, "x" * 1000])
    said = verdict(judgement, 0.5)
    sample = said["anomalies"]["sample"]
    json.dumps(said, allow_nan=False)
    assert said["anomaly_count"] == said["anomalies"]["total"] == 304
    assert said["anomalies"]["by_kind"] == {"missing": 300, "outlier": 1, "placeholder": 1, "type": 2}
    assert sum(said["anomalies"]["by_tier"].values()) == 304
    assert len(sample) == 100
    assert {anomaly["kind"] for anomaly in sample} == {"missing", "placeholder", "type", "outlier"}
    assert [anomaly["row"] for anomaly in sample] == sorted(anomaly["row"] for anomaly in sample)
    assert all(len(str(anomaly["value"])) <= 120 for anomaly in sample)
    assert verdict(judgement, 0.99)["anomaly_count"] < 304


def test_a_verdict_names_a_suggestion_only_where_there_is_one() -> None:
    dirty = changed(SITES, town=scattered(SITES, "town", 3, lambda cell: "N/A"), score={7: "9000"})
    sample = verdict(judged(dirty), 0.5)["anomalies"]["sample"]
    assert {anomaly["kind"]: "suggestion" in anomaly for anomaly in sample} == {"missing": True, "outlier": False}


def test_values_are_distinct_by_type_and_in_order_of_first_appearance() -> None:
    column = encode("x", ["1", 1, 1.0, True, None, "", 1, "1", -0.0, 0.0])
    assert list(map(repr, column.values)) == ["'1'", "1", "1.0", "True", "None", "''", "-0.0", "0.0"]
    assert column.counts == [2, 2, 1, 1, 1, 1, 1, 1]
    assert column.rows_of([0, 4]) == [0, 4, 7]
    assert column.rows_of([]) == []


def test_columns_of_a_file_hold_what_a_reader_sees() -> None:
    days = pl.Series("day", [date(2024, 1, 2), None, date(2024, 1, 2)])
    assert encode_series(days).values == ["2024-01-02", None]
    assert encode_series(pl.Series("price", [Decimal("1.50"), Decimal("2.00")])).values == [1.5, 2.0]
    assert encode_series(pl.Series("flag", [True, None, True])).counts == [2, 1]


def test_quartiles_are_interpolated_and_fences_follow_a_tail() -> None:
    assert quantile([0, 10], 0.25) == 2.5
    assert fences([5.0] * 7) is None
    assert fences([5.0] * 50) is None
    limits = fences([float(number) for number in range(101)])
    assert limits is not None
    assert limits[0] < -100
    assert limits[1] > 200
    tail = fences([float(number) for number in [*range(101), *range(130, 400, 30)]])
    assert tail is not None
    assert tail[1] >= 370, "numbers that follow each other are a tail"
    assert fences([-1e308, -1e307, 0, 1, 2, 3, 1e307, 1e308, 1.7e308]) is None, "a spread no float can hold"
    assert fences([-1.7e308, 0, 0, 0, 0, 1, 1.79765e308, 1.79765e308]) is None, (
        "a fence that no float can be rounded to"
    )


def test_numbers_stored_as_texts_make_a_column_of_texts() -> None:
    assert table_of(a=["1", "2", 3]).columns[0].stores_text
    assert not table_of(a=["1", 2, 3]).columns[0].stores_text
    assert studied("1", "2", "x").column.text(2) == "x"
