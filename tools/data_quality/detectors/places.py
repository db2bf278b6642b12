"""Places on the Earth: which columns hold them, how far they are from each other, and which columns go with place.

Places are degrees of latitude and longitude. Distances are angles between directions from the centre of the Earth, in
degrees (1 degree is some 111 km), so that neither the date line nor a pole is an edge.

Invariant: nothing here says that a place is wrong; a place is what the numbers in the table say.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from tools.data_quality.columns.study import Study
from tools.data_quality.columns.table import Table

Place = tuple[float, float]
"""Latitude and longitude in degrees."""

FEWEST: Final = 30  # rows with a place, below which nothing can be said
SMALL_GROUP: Final = 8  # rows below which a group does not show where it lies
COMPACT: Final = 20.0  # degrees within which nine tenths of a group lie, where it goes with place

_LATITUDE: Final = frozenset({"lat", "latitude"})
_LONGITUDE: Final = frozenset({"lon", "lng", "long", "longitude"})
_IN_RANGE: Final = 0.98  # share of the numbers that must be degrees
NEAR: Final = 2  # degrees around a place that is at home in the table
NEIGHBOURS: Final = 3  # rows in that surrounding, at least
_BLOCK: Final = 10  # degrees; blocks of a map on which lonely places are looked for
_LONELY: Final = 0.005  # share of rows that may lie in such a block and those around it
_SCREENED: Final = 20_000  # rows that decide whether a column goes with place
_MOST_BY: Final = 3
_GROUPED_SHARE: Final = 0.9  # share of rows in large groups that must be in compact ones
_CLOSER: Final = 0.5  # a group lies at least so much closer together than the table
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+", re.ASCII)


def position_word(name: str) -> tuple[str | None, tuple[str, ...]]:
    """`("latitude" | "longitude" | None, the other words)` of the name of a column: `pickup_lat` has `("pickup",)`."""
    words = tuple(word.casefold() for word in _WORD.findall(name))
    for kind, known in (("latitude", _LATITUDE), ("longitude", _LONGITUDE)):
        hits = [word for word in words if word in known]
        if len(hits) == 1:
            return kind, tuple(word for word in words if word not in known)
    return None, words


def pairs(table: Table) -> Iterator[tuple[int, int]]:
    """Columns of latitude and longitude, by their names and by what they hold."""
    found: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for place, column in enumerate(table.columns):
        kind, rest = position_word(column.name)
        if kind:
            found.setdefault((kind, rest), []).append(place)
    for (kind, rest), latitudes in found.items():
        longitudes = found.get(("longitude", rest), [])
        if kind != "latitude" or len(latitudes) != 1 or len(longitudes) != 1:
            continue
        if _are_degrees(table.study_at(latitudes[0]), 90) and _are_degrees(table.study_at(longitudes[0]), 180):
            yield latitudes[0], longitudes[0]


def _are_degrees(study: Study, limit: float) -> bool:
    rows = study.column.rows_with(study.numbers)
    within = study.column.rows_with(code for code, number in study.numbers.items() if abs(number) <= limit)
    is_fine = any(not number.is_integer() for number in study.numbers.values())
    return study.is_numeric and is_fine and rows >= FEWEST and within >= _IN_RANGE * rows


def frame_of(table: Table, latitude: int, longitude: int, by: Sequence[int]) -> pl.DataFrame:
    """Rows with both numbers: `row`, `latitude`, `longitude`, and for each of `by` its codes as `by0`, `by1`, …."""
    columns = [
        _numbers(table.study_at(latitude)).alias("latitude"),
        _numbers(table.study_at(longitude)).alias("longitude"),
        *(table.columns[place].codes.alias(f"by{number}") for number, place in enumerate(by)),
    ]
    return pl.DataFrame(columns).with_row_index("row").drop_nulls()


def _numbers(study: Study) -> pl.Series:
    values = [study.numbers.get(code) for code in range(len(study.column.values))]
    return pl.Series(values, dtype=pl.Float64).gather(study.column.codes)


def angle(a: Place, b: Place) -> float:
    """The angle between two places, in degrees (haversine formula)."""
    latitude, longitude, other, further = map(math.radians, (*a, *b))
    half = math.sin((latitude - other) / 2) ** 2
    half += math.cos(latitude) * math.cos(other) * math.sin((longitude - further) / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(half))))


def groups(frame: pl.DataFrame, by: str) -> pl.DataFrame:
    """Centre and radius of every group that is large enough, in order of its code.

    The centre is the median of the directions in each of three dimensions, which a few wrong places do not move; the
    radius holds nine tenths of the group. Columns `by`, `x`, `y`, `z`, `radius` (degrees), `rows`.
    """
    with_direction = frame.with_columns(_direction())
    centres = with_direction.group_by(by).agg(pl.col("x", "y", "z").median(), pl.len().alias("rows"))
    centres = centres.filter(pl.col("rows") >= SMALL_GROUP)
    length = (pl.col("x") ** 2 + pl.col("y") ** 2 + pl.col("z") ** 2).sqrt()
    centres = centres.with_columns(pl.col("x", "y", "z") / length).filter(length > 0)
    apart = with_direction.join(centres, on=by, suffix="0").select(by, _apart().alias("apart"))
    radii = apart.group_by(by).agg(pl.col("apart").quantile(0.9, "nearest").alias("radius"))
    return centres.join(radii, on=by).sort(by)


def _direction() -> list[pl.Expr]:
    latitude, longitude = pl.col("latitude").radians(), pl.col("longitude").radians()
    flat = latitude.cos()
    return [
        (flat * longitude.cos()).alias("x"),
        (flat * longitude.sin()).alias("y"),
        latitude.sin().alias("z"),
    ]


def _apart() -> pl.Expr:
    product = pl.col("x") * pl.col("x0") + pl.col("y") * pl.col("y0") + pl.col("z") * pl.col("z0")
    return product.clip(-1, 1).arccos().degrees()


def far_from_group(frame: pl.DataFrame, by: str, least: float, times: float) -> pl.DataFrame:
    """Rows further from the centre of their compact group than `least` degrees and `times` its radius.

    Returns `row`, `latitude`, `longitude`, the centre `x0`, `y0`, `z0`, `radius` and `apart`, in order of rows.
    """
    compact = groups(frame, by).filter(pl.col("radius") <= COMPACT)
    joined = frame.with_columns(_direction()).join(compact, on=by, suffix="0").with_columns(_apart().alias("apart"))
    is_far = (pl.col("apart") > least) & (pl.col("apart") > times * pl.col("radius"))
    return joined.filter(is_far).sort("row")


def homes_of(frame: pl.DataFrame, by: str) -> dict[int, tuple[Place, float]]:
    """Centre and radius in degrees of every compact group, by its code."""
    compact = groups(frame, by).filter(pl.col("radius") <= COMPACT)
    rows = compact.select(by, "x", "y", "z", "radius").iter_rows()
    return {code: (place_of(x, y, z), radius) for code, x, y, z, radius in rows}


def place_of(x: float, y: float, z: float) -> Place:
    """The place in a direction."""
    return math.degrees(math.asin(max(-1.0, min(1.0, z)))), math.degrees(math.atan2(y, x))


def goes_with_place(table: Table, latitude: int, longitude: int) -> list[int]:
    """Columns whose groups lie close together, compared with the table; the closest first, at most three."""
    candidates = [
        place
        for place, column in enumerate(table.columns)
        if place not in (latitude, longitude) and 2 <= len(column.values) <= table.rows / SMALL_GROUP
    ]
    if not candidates:
        return []
    frame = frame_of(table, latitude, longitude, candidates)
    frame = frame.gather_every(max(1, frame.height // _SCREENED)).with_columns(pl.lit(0).alias("all"))
    whole = groups(frame, "all")["radius"].to_list()
    if not whole:
        return []
    closeness: list[tuple[float, int]] = []
    for number, place in enumerate(candidates):
        found = groups(frame, f"by{number}")
        rows: Counter[bool] = Counter()
        weighted = 0.0
        for radius, count in zip(found["radius"].to_list(), found["rows"].to_list(), strict=True):
            rows[radius <= COMPACT] += count
            weighted += radius * count
        grouped = rows.total()
        if grouped < frame.height / 2 or rows[True] < _GROUPED_SHARE * grouped:
            continue
        if weighted / grouped <= _CLOSER * whole[0]:
            closeness.append((weighted / grouped, place))
    return [place for _, place in sorted(closeness)[:_MOST_BY]]


class World:
    """Where the rows of a table lie, on a grid of degrees.

    Attributes:
        share: How much of the map they cover.
        lonely: South-western corners of the square degrees around which hardly any row lies.
        home: Rows in each of the other square degrees.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        """Count the rows of `frame_of` in every square degree, and tell the lonely ones from those at home."""
        cell = [pl.col(name).floor().cast(pl.Int32) for name in ("latitude", "longitude")]
        found = frame.select(cell).group_by("latitude", "longitude").len().sort("latitude", "longitude")
        cells: dict[tuple[int, int], int] = {(lat, _round(lon)): 0 for lat, lon, _ in found.iter_rows()}
        blocks: Counter[tuple[int, int]] = Counter()
        for lat, lon, rows in found.iter_rows():
            cells[lat, _round(lon)] += rows
            blocks[lat // _BLOCK, _round(lon) // _BLOCK] += rows
        limit = max(NEIGHBOURS, _LONELY * frame.height)
        lonely = {block for block in blocks if _around(blocks, block) <= limit}
        self.share = len(blocks) / (180 * 360 / _BLOCK**2)
        self.lonely = [cell for cell in cells if (cell[0] // _BLOCK, cell[1] // _BLOCK) in lonely]
        far = set(self.lonely)
        self.home = {cell: rows for cell, rows in cells.items() if cell not in far}

    def is_home(self, place: Place) -> bool:
        """True when several rows lie around a place."""
        lat, lon = math.floor(place[0]), math.floor(place[1])
        # Degrees of longitude become narrower towards the poles.
        reach = min(90, math.ceil(NEAR / max(0.05, math.cos(math.radians(place[0])))))
        rows = 0
        for north in range(-NEAR, NEAR + 1):
            for east in range(-reach, reach + 1):
                rows += self.home.get((lat + north, _round(lon + east)), 0)
        return rows >= NEIGHBOURS

    def distance(self, place: Place) -> float:
        """The angle to the next place that is at home in the table."""
        return min((angle(place, (lat + 0.5, lon + 0.5)) for lat, lon in self.home), default=0.0)


def _round(longitude: int) -> int:
    return (longitude + 180) % 360 - 180


def _around(blocks: Counter[tuple[int, int]], block: tuple[int, int]) -> int:
    width = 360 // _BLOCK
    east = {(block[1] + step + width // 2) % width - width // 2 for step in (-1, 0, 1)}
    return sum(blocks[block[0] + north, step] for north in (-1, 0, 1) for step in sorted(east))
