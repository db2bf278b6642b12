import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tools.data_quality.columns.column import encode, encode_series
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors import geography
from tools.data_quality.detectors.flags import Flag
from tools.data_quality.detectors.places import angle, goes_with_place, pairs
from tools.data_quality.rules.model import Rule

DEMO = Path(geography.__file__).parents[1] / "demo" / "airports.csv"

Places = list[tuple[float, float]]


def around(latitude: float, longitude: float, count: int, reach: float = 3.0) -> Places:
    chance = random.Random(count)
    return [
        (
            round(latitude + chance.uniform(-reach, reach), 4),
            round((longitude + chance.uniform(-reach, reach) + 180) % 360 - 180, 4),
        )
        for _ in range(count)
    ]


def table_of(places: Places, **more: Sequence[Any]) -> Table:
    latitudes, longitudes = (encode(name, [str(place[i]) for place in places]) for i, name in enumerate(("lat", "lon")))
    return Table([latitudes, longitudes, *(encode(name, cells) for name, cells in more.items())])


def found(table: Table) -> list[Flag]:
    return [flag for rule in geography.discover(table) for flag in geography.check(rule, table)]


def suggested(table: Table) -> dict[tuple[int, str], str]:
    return {
        ((flag.rows or (-1,))[0], table.columns[flag.column or 0].name): str(flag.suggestion.value)
        for flag in found(table)
        if flag.suggestion
    }


CHILE, CANADA, POLAND = around(-33, -71, 120), around(51, -114, 120), around(52, 20, 120)


def test_a_lost_minus_sign_is_found_by_where_all_others_lie() -> None:
    table = table_of([*CANADA, (51.0447, 114.0719)])
    assert suggested(table) == {(120, "lon"): "-114.0719"}
    assert all(flag.kind == "geography" and flag.tier == "suggest" for flag in found(table))


def test_a_latitude_on_the_wrong_half_of_the_earth_is_found() -> None:
    assert suggested(table_of([*CHILE, (33.45, -70.67)])) == {(120, "lat"): "-33.45"}


def test_exchanged_numbers_are_found_also_where_a_sign_is_lost() -> None:
    assert suggested(table_of([*POLAND, (21.01, 52.23)])) == {(120, "lat"): "52.23", (120, "lon"): "21.01"}
    assert suggested(table_of([*CHILE, (70.67, -33.45)])) == {(120, "lat"): "-33.45", (120, "lon"): "-70.67"}


def test_a_latitude_beyond_the_poles_is_found_and_exchanged_if_that_helps() -> None:
    assert suggested(table_of([*CANADA, (-114.07, 51.04)])) == {(120, "lat"): "51.04", (120, "lon"): "-114.07"}
    flags = found(table_of([*POLAND, (152.0, 20.0)]))
    assert {flag.tier for flag in flags} == {"report"}
    assert len(flags) == 2


def test_zero_and_zero_is_no_place_of_this_table() -> None:
    flags = found(table_of([*POLAND, (0.0, 0.0)]))
    assert [(flag.rows, flag.suggestion) for flag in flags] == [((120,), None)] * 2


def test_places_across_the_date_line_are_neighbours() -> None:
    assert found(table_of([*around(52, -176, 60, 6), *around(61, -150, 60, 8), (52.7, 174.1)])) == []


def test_a_far_place_that_no_change_explains_clears_the_others() -> None:
    places = [*around(51, -114, 400), (51.0447, 114.0719)]
    assert suggested(table_of(places))
    assert found(table_of([*places, (-8.0, 115.0)])) == []


def test_a_place_that_can_be_reached_in_short_steps_is_left_alone() -> None:
    assert found(table_of([*around(33, 17, 120), (25.5, 25.5), (25.4, 25.6), (19.0, 31.0)])) == []


def test_a_place_far_from_its_group_is_found_in_a_table_of_the_world() -> None:
    places = [*CHILE, *CANADA, *POLAND, (51.0447, 114.0719)]
    table = table_of(places, country=[*["CL"] * 120, *["CA"] * 120, *["PL"] * 120, "CA"])
    assert suggested(table) == {(360, "lon"): "-114.0719"}


def test_a_far_part_of_a_country_is_left_alone() -> None:
    places = [*around(46, 2, 200, 4), *POLAND, *CHILE, (-21.1, 55.5)]
    assert found(table_of(places, country=[*["FR"] * 200, *["PL"] * 120, *["CL"] * 120, "FR"])) == []


def test_an_island_in_a_table_of_the_world_is_left_alone() -> None:
    world = [(float(lat) + 0.5, float(lon) + 0.5) for lat in range(-34, 70, 4) for lon in range(-180, 180, 4)]
    places = [place for place in world if angle(place, (-27.1, -109.4)) > 28 and place[1] < 100]
    assert found(table_of([*places, *places, (-27.1, -109.4)])) == []


def test_columns_go_with_place_only_if_their_groups_lie_together() -> None:
    places = [*CHILE, *CANADA, *POLAND]
    table = table_of(places, country=[*["CL"] * 120, *["CA"] * 120, *["PL"] * 120], grade=["a", "b", "c"] * 120)
    assert goes_with_place(table, 0, 1) == [2]
    assert goes_with_place(table_of(CANADA, grade=["a", "b", "c"] * 40), 0, 1) == []


@pytest.mark.parametrize(
    ("names", "is_pair"),
    [
        (("Latitude", "Longitude"), True),
        (("pickup_lat", "pickup_lng"), True),
        (("startLat", "startLon"), True),
        (("lat", "long"), True),
        (("pickup_lat", "dropoff_lon"), False),
        (("flat", "salon"), False),
    ],
)
def test_pairs_are_known_by_their_names(names: tuple[str, str], is_pair: bool) -> None:
    table = Table([encode(name, [place[i] for place in POLAND]) for i, name in enumerate(names)])
    assert list(pairs(table)) == ([(0, 1)] if is_pair else [])


def test_angles_are_those_of_a_sphere() -> None:
    assert angle((0, 179), (0, -179)) == pytest.approx(2)
    assert angle((90, 10), (0, 77)) == pytest.approx(90)
    assert angle((10, 20), (-10, -160)) == pytest.approx(180)


def test_the_faults_of_the_demo_are_found_and_its_trap_is_spared() -> None:
    frame = pl.read_csv(DEMO, infer_schema=False)
    table = Table([encode_series(frame[name]) for name in frame.columns])
    flags = [flag for flag in found(table) if flag.kind == "geography"]
    seen = {(frame["faa"][flag.rows[0]], frame.columns[flag.column or 0]) for flag in flags if flag.rows}
    assert seen == {("DVT", "lon"), ("MYF", "lon"), ("EEN", "lat"), ("EEN", "lon")}
    values = {flag.suggestion.value for flag in flags if flag.suggestion}
    assert values == {"-112.457", "-117.759", "42.898333", "-72.270833"}


def spread(make: Callable[[random.Random], float], count: int = 400) -> list[float]:
    chance = random.Random(7)
    return [round(make(chance), 2) for _ in range(count)]


def signs(values: Sequence[float]) -> list[Flag]:
    return found(Table([encode("height", values), encode("id", [f"i{number}" for number in range(len(values))])]))


def test_a_single_number_of_the_wrong_sign_is_found() -> None:
    [flag] = signs([*spread(lambda chance: chance.gauss(170, 10)), -171.5])
    assert (flag.kind, flag.tier) == ("sign", "suggest")
    assert flag.suggestion
    assert flag.suggestion.value == 171.5


def test_a_negative_number_unlike_the_others_is_no_matter_of_its_sign() -> None:
    assert signs([*spread(lambda chance: chance.gauss(170, 10)), -5.0]) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda chance: chance.gauss(0, 10),
        lambda chance: chance.gauss(30, 10),
        lambda chance: chance.expovariate(0.05),
        lambda chance: chance.choice([0, 0, 5, 9]),
    ],
    ids=["both signs", "near zero", "skewed", "with zeros"],
)
def test_columns_that_reach_zero_have_no_wrong_sign(make: Callable[[random.Random], float]) -> None:
    assert signs([*spread(make), -21.5]) == []


def test_a_grade_of_the_other_sign_is_reported_without_a_suggestion() -> None:
    [flag] = signs([*([5, 6, 7, 8] * 100), -7])
    assert (flag.tier, flag.suggestion) == ("report", None)


def rule_of(table: Table, type_: str) -> Rule:
    return next(rule for rule in geography.discover(table) if rule.type == type_)


def test_a_stored_rule_judges_another_table_and_one_without_the_column() -> None:
    rule = rule_of(table_of(CANADA, country=["CA"] * 120), "location")
    other = table_of([*CANADA, (51.0447, 114.0719)])
    assert [flag.rows for flag in geography.check(rule, other)] == [(120,)]
    assert list(geography.check(rule, Table([encode("lat", [1.5] * 50)]))) == []
    sign = rule_of(Table([encode("height", spread(lambda chance: chance.gauss(170, 10)))]), "sign")
    assert len(list(geography.check(sign, Table([encode("height", [*([160, 170] * 200), -165])])))) == 1
    assert list(geography.check(sign, other)) == []
