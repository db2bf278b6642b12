"""Runs exported rules with the tools they were exported for: datacontract-cli, Great Expectations, Pandera.

    python scripts/check_exports.py TABLE.csv [--contract ODCS.yaml] [--suite GX.json] [--schema PANDERA.yaml]

The tools are large and the project needs none of them, so they are looked for in the Python that runs this script; see
docs/rule_exports.md for how to make such an environment. The table is read as texts, with empty cells as null. Prints what
each tool found broken; the exit code is 0 if all rules hold, 1 if some are broken, 2 if a tool or a file is missing.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

INSTALL = "pip install 'datacontract-cli[duckdb]' great_expectations 'pandera[io,polars]' pandas polars"
SHOWN = 20


class Missing(Exception):
    """A tool or a file is not there; the message says what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("table", type=Path, help="a CSV file whose first line names the columns")
    parser.add_argument("--contract", type=Path, help="a contract to lint and test with datacontract-cli")
    parser.add_argument("--suite", type=Path, help="a suite to validate with Great Expectations")
    parser.add_argument("--schema", type=Path, help="a schema to validate with Pandera")
    given = parser.parse_args()
    runs: list[tuple[str, Callable[[Path, Path], Iterator[str]], Path | None]] = [
        ("datacontract-cli", broken_in_contract, given.contract),
        ("Great Expectations", broken_in_suite, given.suite),
        ("Pandera", broken_in_schema, given.schema),
    ]
    if not any(path for _, _, path in runs):
        parser.error("name at least one of --contract, --suite, --schema")
    broken = 0
    for tool, check, path in runs:
        if path is None:
            continue
        try:
            found = list(check(given.table, path))
        except Missing as missing:
            say(f"{tool}: {missing}")
            return 2
        say(f"{tool}: {len(found)} broken" if found else f"{tool}: all rules hold")
        for line in found[:SHOWN]:
            say(f"  {line}")
        broken += len(found)
    return 1 if broken else 0


def broken_in_contract(table: Path, contract: Path) -> Iterator[str]:
    """Lint a contract, then test it against the table as a Parquet file of texts.

    DuckDB guesses types when it reads a CSV file, before it looks at the contract: `3/4/2020` becomes a date of April and
    `yes` becomes true, and rules about how a value is written would judge the guess.
    """
    need("datacontract", "duckdb", "polars", "yaml")
    import polars as pl
    import yaml

    document = yaml.safe_load(read(contract))
    with tempfile.TemporaryDirectory() as folder:
        data, copy = Path(folder) / "table.parquet", Path(folder) / "contract.odcs.yaml"
        pl.read_csv(existing(table), infer_schema=False).write_parquet(data)
        document["servers"] = [{"server": "local", "type": "local", "path": str(data), "format": "parquet"}]
        copy.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
        for command in ("lint", "test"):
            yield from _failed_checks(command, copy, Path(folder) / f"{command}.json")


def _failed_checks(command: str, contract: Path, output: Path) -> Iterator[str]:
    python = "import sys; from datacontract.cli import app; sys.exit(app())"
    options = ["--output-format", "json", "--output", str(output)]
    done = subprocess.run(  # noqa: S603  # only what stands in this file is run
        [sys.executable, "-c", python, command, str(contract), *options], capture_output=True, text=True, check=False
    )
    if not output.exists():
        raise Missing(f"`datacontract {command}` wrote no result:\n{done.stdout}{done.stderr}")
    for check in json.loads(output.read_text(encoding="utf-8"))["checks"]:
        if check["result"] in ("failed", "error"):
            yield f"{check['name']}: {check['reason']}"


def broken_in_suite(table: Path, suite: Path) -> Iterator[str]:
    """Validate the table with a suite; numbers are converted first, which fails where a cell is no number."""
    need("great_expectations", "pandas")
    warnings.simplefilter("ignore")  # of libraries, about libraries
    import great_expectations as gx
    import pandas as pd

    document = json.loads(read(suite))
    frame = pd.read_csv(existing(table), dtype=str, keep_default_na=False, na_values=[""])
    for name in document["meta"]["number_columns"]:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        wrong = frame.index[numbers.isna() & frame[name].notna()].tolist()
        if wrong:
            yield f"{name} holds numbers: not in rows {wrong[:SHOWN]}"
        frame[name] = numbers
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_pandas("files")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("all")
    )
    results = batch.get_batch({"dataframe": frame}).validate(gx.ExpectationSuite(**document), result_format="COMPLETE")
    for result in results.results:
        if not result.success:
            rows = result.result.get("unexpected_index_list")
            where = f"rows {rows[:SHOWN]}" if rows else result.exception_info
            yield f"{result.expectation_config.meta['notes']}: {where}"


def broken_in_schema(table: Path, schema: Path) -> Iterator[str]:
    """Validate the table with a schema."""
    need("pandera", "polars")
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaErrors

    frame = pl.read_csv(existing(table), infer_schema=False)
    try:
        pa.DataFrameSchema.from_yaml(read(schema)).validate(frame, lazy=True)
    except SchemaErrors as errors:
        for case in errors.failure_cases.iter_rows(named=True):
            check, value = (" ".join(str(case[key]).split())[:60] for key in ("check", "failure_case"))
            yield f"{case['column']} {check}: {value} in row {case['index']}"


def need(*modules: str) -> None:
    """Raise unless every module can be imported."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise Missing(
            f"{', '.join(missing)} cannot be imported by {sys.executable}.\n"
            f"  Make an environment of its own for these tools, and run this script with its Python:\n"
            f"  python3 -m venv /tmp/exports && /tmp/exports/bin/{INSTALL}\n"
            f"  /tmp/exports/bin/python scripts/check_exports.py ..."
        )


def existing(path: Path) -> Path:
    """The path, if there is a file."""
    if not path.is_file():
        raise Missing(f"there is no file {path}")
    return path


def read(path: Path) -> str:
    """The text of a file."""
    return existing(path).read_text(encoding="utf-8")


def say(text: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
