"""The data quality tools run over a table of texts, by their function or by their command.

Invariant: the table goes in as a CSV file would come in, with nothing for an empty cell, and what comes out has the rows of
the table that went in, whatever the tools removed.
"""

import csv
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.data_quality.injector import Table
from bench.data_quality.make_tables import write
from bench.data_quality.scoring import Result
from tools.data_quality.datasets.dataset import Dataset, load
from tools.data_quality.pipeline import clean

Tools = Callable[[Table], Result]
PASSES: Final = 3


def by_function(table: Table) -> Result:
    """Return what `tools.data_quality.pipeline.clean` makes of the table."""
    content = {name: [value or None for value in values] for name, values in table.items()}
    outcome = clean(load(content, None), passes=PASSES)
    removed = {change.row for change in outcome.patch if change.column is None}
    removed_at_once = {change.row for change in outcome.patch if change.column is None and change.tier == "auto"}
    return Result(
        flags={(found.row, found.column): found.kind for found in outcome.anomalies if found.column is not None},
        flagged_rows=frozenset(found.row for found in outcome.anomalies if found.column is None),
        repaired=_aligned(table, _texts(outcome.repaired), removed_at_once),
        proposed=_aligned(table, _texts(outcome.proposed), removed),
        removed=frozenset(removed),
    )


def by_command(table: Table) -> Result:
    """Return what `python -m tools.data_quality` makes of the table, from the files that it writes."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "table.csv"), Path(folder, "out")
        write(file, list(table), zip(*table.values(), strict=True))
        subprocess.run(
            [sys.executable, "-m", "tools.data_quality", file, "--out", out], check=True, capture_output=True
        )
        return read_result(out, table)


def read_result(out: Path, table: Table) -> Result:
    """Return what stands in `flags.csv`, `repaired.csv` and `repaired_all.csv` of the folder `out`.

    A flag without a column is of a row. The files do not say which rows were removed; if some are, those must be the
    flagged rows.
    """
    with (out / "flags.csv").open(encoding="utf-8", newline="") as stream:
        flags = list(csv.DictReader(stream))
    rows = frozenset(int(flag["row"]) for flag in flags if not flag["column"])
    repaired, proposed = _read(out / "repaired.csv"), _read(out / "repaired_all.csv")
    return Result(
        flags={(int(flag["row"]), flag["column"]): flag["kind"] for flag in flags if flag["column"]},
        flagged_rows=rows,
        repaired=_aligned(table, repaired, _removed(table, repaired, rows)),
        proposed=_aligned(table, proposed, _removed(table, proposed, rows)),
        removed=frozenset(_removed(table, proposed, rows)),
    )


def _read(file: Path) -> Table:
    with file.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def _removed(table: Table, result: Table, flagged: frozenset[int]) -> set[int]:
    return set() if _length(table) == _length(result) else set(flagged)


def _texts(dataset: Dataset) -> Table:
    return {
        column.name: ["" if (value := column.values[code]) is None else str(value) for code in column.codes]
        for column in dataset.columns
    }


def _aligned(table: Table, result: Table, removed: set[int]) -> Table:
    """Return `result` with the rows that were removed put back as they were."""
    if list(result) != list(table) or _length(result) + len(removed) != _length(table):
        raise ValueError(
            f"the tools returned {_length(result)} rows of columns {list(result)} and removed {len(removed)}; "
            f"they got {_length(table)} rows of columns {list(table)}"
        )
    aligned: Table = {}
    for name, values in table.items():
        left = iter(result[name])
        aligned[name] = [value if row in removed else next(left) for row, value in enumerate(values)]
    return aligned


def _length(table: Table) -> int:
    return len(next(iter(table.values()), []))
