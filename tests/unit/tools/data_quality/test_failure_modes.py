"""True values that look wrong, each a mistake that cleaning tools are known to make, and what must hold for every table.

The tables are invented look-alikes: rare codes, neighbours, measures, small groups, mostly empty columns, several sources.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tools.data_quality
from tests.support.quality_tables import Columns, changed, cleaned, found, judged, scattered, sites, swapped, words
from tools.data_quality.columns.cells import Cell

ROOT = Path(tools.data_quality.__file__).parents[2]

LETTERS = "CDFGHJKLMNPRSTVW"
REGIONS = ["QA", "QB", *(first + second for first in LETTERS[:8] for second in "EIOU")]


def clinics(seed: int = 2) -> Columns:
    """1,000 rows about 50 clinics; 15 of them lie in region QA, a single one in QB, and codes are made of region and measure."""
    chance = random.Random(seed)
    names, towns = words(50, seed), words(50, seed + 1)
    regions = ["QA"] * 15 + ["QB"] + [chance.choice(REGIONS[2:]) for _ in range(34)]
    columns: Columns = {"clinic": [], "name": [], "town": [], "region": [], "measure": [], "average": []}
    for clinic in range(50):
        for measure in range(20):
            columns["clinic"].append(f"{10_001 + clinic * 7}")
            columns["name"].append(f"{names[clinic]} clinic")
            columns["town"].append(towns[clinic])
            columns["region"].append(regions[clinic])
            columns["measure"].append(f"hx-{measure + 1}")
            columns["average"].append(f"{regions[clinic].lower()}_hx-{measure + 1}")
    order = list(range(1000))
    chance.shuffle(order)
    return {name: [cells[row] for row in order] for name, cells in columns.items()}


# (1) Rare codes


def test_a_rare_region_that_its_clinic_backs_is_neither_changed_nor_shown() -> None:
    columns = clinics()
    assert columns["region"].count("QB") == 20
    assert judged(columns).by_kind == {}
    dirty = changed(
        columns, name=scattered(columns, "name", 30, swapped, 1), town=scattered(columns, "town", 30, swapped, 2)
    )
    outcome = cleaned(dirty)
    assert {change.column for change in outcome.patch} == {"name", "town"}
    assert outcome.proposed.content == columns


@pytest.mark.parametrize(
    ("usual", "rare"),
    [("QA", "QB"), ("hx-10", "hx-11"), ("qa_hx-1", "qb_hx-1"), ("KMX", "KNX"), ("Mary", "Mara"), ("A-12", "A-13")],
)
def test_short_words_and_codes_are_never_repaired_by_their_looks(usual: str, rare: str) -> None:
    assert found({"value": [*[usual] * 300, *["Something else"] * 60, *[rare] * 3]}, "typo", least=0.0) == []
    assert cleaned({"value": [*[usual] * 300, *["Other"] * 60, *[rare] * 3], "n": list(range(363))}).patch == []


def test_a_rare_region_with_errors_around_it_stays() -> None:
    columns = clinics(3)
    dirty = changed(columns, region=scattered(columns, "region", 25, lambda cell: f"x{cell}", 4))
    outcome = cleaned(dirty)
    content: Any = outcome.proposed.content
    assert isinstance(content, dict)
    for row, region in enumerate(columns["region"]):
        assert content["region"][row] in (region, dirty["region"][row]), "right or as it was, never another region"
        if dirty["region"][row] == region:
            assert content["region"][row] == region


# (2) Neighbours


def test_model_codes_that_differ_in_a_sign_are_all_models() -> None:
    chance = random.Random(5)
    models = [
        f"{family}-{number}{suffix}"
        for family in (717, 727, 737)
        for number in (2, 3, 7)
        for suffix in ("24", "H4", "3A", "A4")
    ]
    weights = [chance.choice([1, 2, 5, 60, 200]) for _ in models]
    cells: list[Cell] = list(chance.choices(models, weights, k=2000))
    assert found({"model": cells, "tail": [f"N{row}X" for row in range(2000)]}) == []


def test_carriers_of_nearly_the_same_name_are_all_carriers() -> None:
    carriers = [
        "PQA AIRLINES",
        "UPQ AIRLINES",
        "NORDIC AIR",
        "NORDIA AIRWAYS",
        "SKYWAY",
        "SKYWAYS",
        "AIR LINE 4",
        "AIR LINE 7",
    ]
    cells: list[Cell] = [carrier for number, carrier in enumerate(carriers) for _ in range(3 if number % 2 else 400)]
    random.Random(1).shuffle(cells)
    assert found({"carrier": cells}) == []


def test_persons_whose_names_differ_by_a_letter_or_two_are_all_persons() -> None:
    first = ["Tom", "Tim", "Tobe", "Tobi", "Jon", "Joan", "Anna", "Anne", "Maria", "Marie", "Eric", "Erik"]
    last = ["Hooper", "Hopper", "Keller", "Kellar", "Brandt", "Brand"]
    chance = random.Random(7)
    cells: list[Cell] = [f"{one} {other}" for one in first for other in last for _ in range(chance.randint(1, 14))]
    chance.shuffle(cells)
    assert found({"director": cells, "title": words(len(cells), 3)}) == []


# (3) Measures and words


def test_how_many_digits_a_measure_has_is_no_format() -> None:
    chance = random.Random(3)
    costs: list[Cell] = ["0" if chance.random() < 0.7 else str(round(10 ** chance.uniform(2, 5))) for _ in range(1000)]
    assert found({"cost": costs}, "format", least=0.0) == []
    whole: list[Cell] = [f"{round(10 ** chance.uniform(2.9, 4.05)):,}" for _ in range(1000)]
    content = {"cost": whole, "id": [f"r{row}" for row in range(1000)]}
    changes = cleaned(content).patch
    assert all(str(change.old).replace(",", "") == change.new for change in changes), "separators may go, digits stay"


def test_a_word_that_says_unknown_is_missing_and_no_error() -> None:
    species: list[Cell] = [*words(40) * 5, *["UNKNOWN"] * 30, *["Unknown"] * 3]
    random.Random(1).shuffle(species)
    content = {"species": species, "size": ["Small", "Medium", "Large", "unknown"] * 58 + ["Small"]}
    assert judged(content).by_kind == {}
    assert cleaned(content).proposed.content == content


# (4) Small groups and columns that are nearly constant


@pytest.mark.parametrize("seed", range(6))
def test_rare_true_rows_of_small_groups_are_no_errors(seed: int) -> None:
    """A fleet: engines nearly decide the kind, seats nearly decide the engines, and a few craft are unlike all others."""
    chance = random.Random(seed)
    models = {
        f"M{number}-{chance.randint(100, 999)}": (chance.choice([50, 110, 140, 180, 200, 340]), 2)
        for number in range(60)
    }
    columns: Columns = {"model": [], "seats": [], "engines": [], "kind": [], "year": []}
    for _ in range(1500):
        model = chance.choice(list(models))
        seats, engines = models[model]
        kind = "fixed wing, several engines"
        if chance.random() < 0.008:
            model, seats, engines, kind = chance.choice(
                [("R-22", 2, 1, "rotorcraft"), ("R-44", 4, 2, "rotorcraft"), ("C-172", 4, 1, "fixed wing, one engine")]
            )
        for name, cell in zip(columns, (model, seats, engines, kind, chance.randint(1985, 2013)), strict=True):
            columns[name].append(str(cell))
    outcome = cleaned(columns)
    assert [
        anomaly for anomaly in outcome.anomalies if anomaly.kind not in ("outlier", "rare_category", "duplicate_row")
    ] == []
    assert outcome.patch == []


def test_two_groups_decide_nothing_however_large_they_are() -> None:
    chance = random.Random(4)
    sides = [chance.choice("ab") for _ in range(600)]
    content: Columns = {
        "side": [f"side {side}" for side in sides],
        "lamp": ["off" if side == "a" or chance.random() < 0.01 else "on" for side in sides],
    }
    assert judged(content).by_kind == {}


def test_a_nearly_constant_column_has_rare_true_values() -> None:
    columns = sites(60, 10)
    columns["country"] = ["Ostland"] * 600
    rare = dict(zip((5, 71, 200, 344, 345), ("Westmark", "Nordgau", "Sudheim", "Westmark", "Uferland"), strict=True))
    content = changed(columns, country=rare)
    told = [anomaly for anomaly in cleaned(content).anomalies if anomaly.column == "country"]
    assert [anomaly for anomaly in told if anomaly.suggestion] == []


# (5) Structure


@pytest.mark.parametrize("mark", ["N/A", "-", "?", "NULL"])
def test_a_mark_in_a_mostly_missing_column_is_how_it_is(mark: str) -> None:
    chance = random.Random(6)
    speeds: list[Cell] = [
        str(chance.randint(90, 130)) if row % 3 == 0 else mark if row % 3 == 1 else None for row in range(300)
    ]
    content = {"speed": speeds, "tail": [f"N{row}X" for row in range(300)]}
    assert judged(content).by_kind == {}
    assert cleaned(content).proposed.content == content


# (6) Several sources


def test_several_sources_of_one_fact_are_weighed_and_nothing_is_changed_unasked() -> None:
    chance = random.Random(11)
    columns: Columns = {"told by": [], "train": [], "leaves": [], "platform": []}
    right = []
    for source in range(15):
        for train in range(60):
            truth = (f"{train % 24}:{train * 13 % 60:02} p.m.", f"P{train * 7 % 40}")
            good = chance.random() < (0.95 if source < 9 else 0.45)
            said = (
                truth
                if good
                else (f"{chance.randint(1, 11)}:{chance.randint(0, 59):02} p.m.", f"P{chance.randint(41, 90)}")
            )
            for name, cell in zip(
                columns, (f"site {source}", f"TR-{100 + train}-{LETTERS[train % 16] * 3}", *said), strict=True
            ):
                columns[name].append(cell)
            right.append(truth)
    outcome = cleaned(columns)
    assert outcome.repaired.content == columns
    wrong = {
        (row, name)
        for row, truth in enumerate(right)
        for name, cell in zip(("leaves", "platform"), truth, strict=True)
        if columns[name][row] != cell
    }
    shown = {(anomaly.row, anomaly.column) for anomaly in outcome.anomalies if anomaly.column in ("leaves", "platform")}
    assert len(shown & wrong) >= 0.9 * len(wrong)
    assert len(shown - wrong) <= 0.02 * len(shown)


# (7) The same in every process

SCRIPT = """
import json, sys
from tests.unit.tools.data_quality.test_failure_modes import spoiled
from tests.support.quality_tables import cleaned, judged
from tools.data_quality.repair.patch import as_csv
from tools.data_quality.reporting import verdict
for seed in (1, 2):
    outcome = cleaned(spoiled(seed))
    told = [outcome.profile, outcome.profile_after, verdict(judged(spoiled(seed)), 0.3), outcome.proposed.content]
    print(json.dumps(told), [rule.model_dump_json() for rule in outcome.rules], outcome.anomalies, outcome.passes)
    print(as_csv(outcome.patch), outcome.stopped)
"""


def spoiled(seed: int) -> Columns:
    """A table of some thousand rows in which much is equally frequent, so that ties have to be broken all over."""
    columns = sites(150, 16, seed)
    chance = random.Random(seed)
    columns["size"] = [f"{chance.randint(1, 9)}{chance.choice([' kg', ' KG', '', ' g'])}" for _ in columns["site"]]
    columns["told by"] = [f"source {row % 16}" for row in range(len(columns["site"]))]
    return changed(
        columns,
        town=scattered(columns, "town", 150, lambda cell: chance.choice([swapped(cell), None, "N/A"]), seed),
        region=scattered(columns, "region", 150, lambda cell: chance.choice(["North", "South", "?"]), seed + 1),
        site=scattered(columns, "site", 60, lambda cell: chance.choice(columns["site"]), seed + 2),
        name=scattered(columns, "name", 60, lambda cell: str(cell).lower(), seed + 3),
    )


def test_other_processes_hash_seeds_and_threads_come_to_the_same_bytes() -> None:
    outputs = []
    for seed, threads in (("0", "1"), ("1", "4"), ("77", "2")):
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": seed}
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, cwd=ROOT, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    assert len(outputs[0]) > 10_000
    assert outputs[0] == outputs[1] == outputs[2]


# More traps


def test_two_frequent_forms_of_a_makers_name_are_no_typos() -> None:
    chance = random.Random(9)
    makers = {
        "NORDBUS": 330,
        "NORDBUS INDUSTRIE": 400,
        "MACDUFF HARLAN": 120,
        "MACDUFF HARLAN AIRCRAFT CO": 100,
        "MACDUFF HARLAN CORPORATION": 14,
        "HOEBING": 1600,
    }
    cells: list[Cell] = [maker for maker, count in makers.items() for _ in range(count)]
    chance.shuffle(cells)
    content = {"maker": cells, "tail": [f"N{row}X" for row in range(len(cells))]}
    assert judged(content).by_kind == {}
    assert cleaned(content).proposed.content == content


def test_a_single_number_far_out_is_shown_and_left_to_its_owner() -> None:
    chance = random.Random(2)
    wind: list[Cell] = [str(round(max(0.0, chance.gauss(10, 5)), 5)) for _ in range(3000)]
    content = changed({"wind": wind}, wind={1234: "1048.36058"})
    outcome = cleaned(content)
    assert [(anomaly.row, anomaly.kind, anomaly.tier) for anomaly in outcome.anomalies] == [(1234, "outlier", "report")]
    assert outcome.patch == []


def test_cells_that_are_missing_together_are_how_a_table_is() -> None:
    """Cancelled departures have neither times nor delays."""
    chance = random.Random(3)
    gone = {row for row in range(2000) if chance.random() < 0.03}
    columns: Columns = {
        name: [None if row in gone else str(chance.randint(0, 2359)) for row in range(2000)]
        for name in ("left", "came", "delay")
    }
    columns["tail"] = [f"N{row % 400}X" for row in range(2000)]
    assert judged(columns).by_kind.get("missing", 0) == 0
    assert json.dumps(cleaned(columns).proposed.content) == json.dumps(columns)
