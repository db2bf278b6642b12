"""Places that lost a minus sign, have latitude and longitude exchanged, or are nowhere on the Earth.

A place is suspected when it lies far from all others of the table, or far from the rows of its own group (country, time
zone), while the same two numbers with a sign or their order changed lie among them. Distances are angles, so the date line
divides nothing. Places that lie far out without such a reason show that the table has far places, and clear the others.

The rule: columns [latitude, longitude, by...], where the groups of each of `by` lie close together; no params.
Invariant: a suggestion consists of the numbers that were there, with signs or their order changed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from tools.data_quality.columns.cells import Cell
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors import signs
from tools.data_quality.detectors.flags import Flag, Suggestion
from tools.data_quality.detectors.places import (
    FEWEST,
    Place,
    World,
    angle,
    far_from_group,
    frame_of,
    goes_with_place,
    homes_of,
    pairs,
    place_of,
)
from tools.data_quality.rules.model import Rule, RuleType, make_rule

TYPES: Final[tuple[RuleType, ...]] = ("location", "sign")

_FAR: Final = 10.0  # degrees from every other place, or from the centre of the group
_TIMES: Final = 3.0  # radii of its group
_FEW: Final = 0.01  # share of rows that can be wrong; more are how the table is
_NOWHERE: Final = "no place on the Earth: latitude ends at 90 degrees, longitude at 180"
_MOST_PLACES: Final = 200
_SMALL: Final = 0.1  # share of the map that the table covers; in a table of the world any change may lead to some place
_EXPLAINED: Final = 0.75  # share of the far places that a changed sign or order has to explain


@dataclass(frozen=True, slots=True)
class _Change:
    """How the two numbers of a place are to be changed: exchanged first, then the signs."""

    swapped: bool
    latitude: int
    longitude: int

    def of(self, place: Place) -> Place:
        latitude, longitude = reversed(place) if self.swapped else place
        return self.latitude * latitude, self.longitude * longitude


_CHANGES: Final = (
    (_Change(False, 1, -1), _Change(False, -1, 1)),
    (_Change(True, 1, 1),),
    (_Change(True, 1, -1), _Change(True, -1, 1), _Change(True, -1, -1), _Change(False, -1, -1)),
)
"""The simpler first: of those that are equally simple, only one may lead to a likely place."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    change: _Change | None
    confidence: float
    reason: str
    degrees: float = 0.0


def discover(table: Table) -> Iterator[Rule]:
    """Pairs of latitude and longitude with the columns that go with place, and other columns of one sign."""
    yield from signs.discover(table)
    for latitude, longitude in pairs(table):
        by = goes_with_place(table, latitude, longitude)
        names = [table.columns[place].name for place in (latitude, longitude, *by)]
        yield make_rule("location", names, tier="suggest", repair="changes signs or order of the two numbers")


def check(rule: Rule, table: Table) -> Iterator[Flag]:
    """Every place or sign that is likely to be wrong."""
    if rule.type == "sign":
        yield from signs.check(rule, table)
        return
    latitude, longitude = (table.place(name) for name in rule.columns[:2])
    if latitude is None or longitude is None:
        return
    by = [place for name in rule.columns[2:] if (place := table.place(name)) is not None]
    frame = frame_of(table, latitude, longitude, by)
    if frame.height < FEWEST:
        return
    valid, nowhere = _split(frame)
    world = World(valid)
    verdicts = {row: _Verdict(_only_change(place, world.is_home), 0.95, _NOWHERE) for row, place in _places(nowhere)}
    far = _far_from_all(valid, world, len(by))
    for row, verdict in _far_from_groups(valid, len(by)).items():
        agrees = row in far and far[row].change == verdict.change
        far[row] = replace(verdict, confidence=0.95) if agrees else verdict
    yield from _flags(rule, table, (latitude, longitude), verdicts | far)


def _split(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that are somewhere on the Earth, and those that are not; none of the latter where they are too many."""
    few = max(1, _FEW * frame.height)
    # Some count degrees eastwards only.
    east = 360 if frame.filter(pl.col("longitude").is_between(180, 360, closed="right")).height > few else 180
    is_place = pl.col("latitude").is_between(-90, 90) & pl.col("longitude").is_between(-180, east)
    nowhere = frame.filter(~is_place)
    return frame.filter(is_place), nowhere if nowhere.height <= few else nowhere.clear()


def _places(frame: pl.DataFrame) -> list[tuple[int, Place]]:
    rows = frame.select("row", "latitude", "longitude").iter_rows()
    return [(row, (latitude, longitude)) for row, latitude, longitude in rows]


def _only_change(place: Place, is_likely: Callable[[Place], bool]) -> _Change | None:
    """The simplest change that makes a place likely, if no other that is as simple does."""
    for changes in _CHANGES:
        likely = [change for change in changes if abs(change.of(place)[0]) <= 90 and is_likely(change.of(place))]
        if likely:
            return likely[0] if len(likely) == 1 else None
    return None


def _far_from_all(frame: pl.DataFrame, world: World, groupings: int) -> dict[int, _Verdict]:
    cells = pl.DataFrame(world.lonely, schema={"lat": pl.Int32, "lon": pl.Int32}, orient="row")
    lat = pl.col("latitude").floor().cast(pl.Int32)
    lon = (pl.col("longitude").floor().cast(pl.Int32) + 180) % 360 - 180
    rows = frame.join(cells, left_on=[lat, lon], right_on=["lat", "lon"], how="semi").sort("row")
    if not 0 < rows.height <= min(_MOST_PLACES, max(1, _FEW * frame.height)):
        return {}
    verdicts: dict[int, _Verdict] = {}
    unexplained = 0
    homes = [homes_of(frame, f"by{number}") for number in range(groupings)]
    groups = {
        row[0]: row[1:] for row in rows.select("row", *(f"by{number}" for number in range(groupings))).iter_rows()
    }
    for row, place in _places(rows):
        degrees = world.distance(place)
        if degrees < _FAR:
            continue
        if place == (0, 0):
            verdicts[row] = _Verdict(None, 0.9, "latitude and longitude are both 0, far from all others", degrees)
            continue
        change = _only_change(place, world.is_home) if world.share <= _SMALL else None
        if change and _agrees(
            change.of(place), [home.get(code) for home, code in zip(homes, groups[row], strict=True)]
        ):
            verdicts[row] = _Verdict(change, 0.85, _reason(change, "the others"), degrees)
        else:
            unexplained += 1
    explained = sum(verdict.change is not None for verdict in verdicts.values())
    if explained < _EXPLAINED * (explained + unexplained):
        return {row: verdict for row, verdict in verdicts.items() if verdict.change is None}
    elsewhere = frame.filter(~pl.col("row").is_in(rows["row"].implode()))
    changed = [row for row, verdict in verdicts.items() if verdict.change]
    for found in rows.filter(pl.col("row").is_in(changed)).to_dicts():
        # Where each grouping has a group of its own for the far place, the far place may be meant.
        known = [not elsewhere.filter(pl.col(f"by{n}") == found[f"by{n}"]).is_empty() for n in range(groupings)]
        if known and not any(known):
            verdicts[found["row"]] = replace(verdicts[found["row"]], confidence=0.75)
    return verdicts


def _agrees(place: Place, homes: Sequence[tuple[Place, float] | None]) -> bool:
    """True where a place is not far from any of its groups of which is known where they lie."""
    return all(angle(place, home[0]) <= max(_FAR, _TIMES * home[1]) for home in homes if home)


def _far_from_groups(frame: pl.DataFrame, groupings: int) -> dict[int, _Verdict]:
    verdicts: dict[int, _Verdict] = {}
    for number in range(groupings):
        far = far_from_group(frame, f"by{number}", _FAR, _TIMES)
        if far.height > min(_MOST_PLACES, max(1, _FEW * frame.height)):
            continue
        for row in far.to_dicts():
            centre, radius = place_of(row["x0"], row["y0"], row["z0"]), max(1.0, row["radius"])

            def is_in_group(place: Place, centre: Place = centre, radius: float = radius) -> bool:
                return angle(place, centre) <= radius

            change = _only_change((row["latitude"], row["longitude"]), is_in_group)
            if change:
                verdicts[row["row"]] = _Verdict(change, 0.85, _reason(change, "its group"), row["apart"])
    return verdicts


def _reason(change: _Change, others: str) -> str:
    signs = [name for name, sign in (("latitude", change.latitude), ("longitude", change.longitude)) if sign < 0]
    fault = "latitude and longitude exchanged" if change.swapped else ""
    if signs:
        fault += f"{', and ' if fault else ''}the sign of {' and '.join(signs)} wrong"
    return f"far from {others}, and among them if it has {fault}"


def _flags(rule: Rule, table: Table, position: tuple[int, int], verdicts: dict[int, _Verdict]) -> Iterator[Flag]:
    """Flags on the cells that a change alters, or on both where none is known."""
    columns = [table.columns[place] for place in position]
    for row, verdict in sorted(verdicts.items()):
        codes = [int(column.codes[row]) for column in columns]
        cells = [column.values[code] for column, code in zip(columns, codes, strict=True)]
        change = verdict.change
        evidence = {"latitude": cells[0], "longitude": cells[1], "degrees_apart": round(verdict.degrees, 1)}
        new = _changed(change, cells) if change else cells
        for side, place in enumerate(position):
            if change and new[side] == cells[side]:
                continue
            yield Flag(
                place,
                codes[side],
                (row,),
                "geography",
                verdict.confidence,
                verdict.reason,
                rule.rule_id,
                "suggest" if change else "report",
                Suggestion(new[side]) if change else None,
                evidence,
            )


def _changed(change: _Change, cells: list[Cell]) -> list[Cell]:
    latitude, longitude = reversed(cells) if change.swapped else cells
    return [
        signs.negated(latitude) if change.latitude < 0 else latitude,
        signs.negated(longitude) if change.longitude < 0 else longitude,
    ]
