"""`python -m bench.data_quality.make_demo`: write the demo's table and its truth anew, into `tools/data_quality/demo/`.

The table is a part of `tables/flights_joined.csv`, made wrong by the injector of the gate; `flights.truth.csv` lists every
error with what was right. Invariant: the same code gives the same bytes, on every machine; the right values are real.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from bench.data_quality.injector import Error, Injected, Table, inject
from bench.data_quality.subject import TABLES

SEED: Final = 1
ROWS: Final = 1_000
DEMO: Final = Path(__file__).parents[2] / "tools" / "data_quality" / "demo"
COLUMNS: Final = (
    "date", "carrier", "carrier_name", "tailnum", "built", "manufacturer", "model", "seats", "origin", "dest", "dest_name",
    "dest_lat", "dest_lon", "distance",
)  # fmt: skip
ERRORS: Final = (
    Error("merged", 0.008, ("manufacturer", "model", "carrier", "carrier_name")),
    Error("coordinates", 0.003, ("dest_lat", "dest_lon")),
    Error("typo", 0.012, ("carrier_name", "manufacturer", "dest_name")),
    Error("other_row", 0.012, ("carrier_name", "model", "dest_name", "built")),
    Error("missing", 0.012, ("carrier_name", "built", "manufacturer", "model", "seats", "dest_name")),
    Error("placeholder", 0.008, ("built", "dest_name")),
    Error("unit", 0.08, ("distance",), ("mi", "miles", "Miles", "mi.")),
    Error("outlier", 0.002, ("seats", "distance")),
    Error("encoding", 0.01, ("dest_name", "carrier_name")),
    Error("case", 0.008, ("manufacturer", "dest_name")),
    Error("date_format", 0.02, ("date",)),
    Error("duplicate", 0.006),
)


def made() -> Injected:
    """Return the table made wrong, with its truth."""
    with (TABLES / "flights_joined.csv").open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        # A plane that flew one way twice on a day would repeat itself, since the number of the flight is left out.
        rows = list(dict.fromkeys(tuple(line[name] for name in COLUMNS) for line in lines))[:ROWS]
    right: Table = {name: list(values) for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)}
    return inject(right, SEED, ERRORS)


def files() -> dict[str, bytes]:
    """Return the two files by name."""
    table = made()
    place = {name: number for number, name in enumerate(COLUMNS)}
    truth = [
        (str(row), column, right, table.kinds[row, column])
        for (row, column), right in sorted(table.truth.items(), key=lambda cell: (cell[0][0], place[cell[0][1]]))
    ]
    # Of two equal rows the later one is the repetition, whichever was copied.
    truth += [(str(max(pair)), "", "", "duplicate") for pair in sorted(table.duplicates.items(), key=max)]
    return {
        "flights.csv": _written(COLUMNS, zip(*(table.dirty[name] for name in COLUMNS), strict=True)),
        "flights.truth.csv": _written(("row", "column", "right", "kind"), truth),
    }


def _written(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


if __name__ == "__main__":
    for name, data in files().items():
        (DEMO / name).write_bytes(data)
        print(f"{DEMO / name}: {len(data):,} bytes")
