"""`python -m api verify` and `python -m api backup`: a look at the journal of a data folder, and a copy of it.

Both only read, so they work while a server uses the journal.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from api.exits import exit_code, refuse
from runtime.errors import EngineError
from runtime.journal import JournalReport, backup_journal, verify_journal
from runtime.opening import SQLITE

DataDir = Annotated[
    Path | None, typer.Option(envvar="WFE_DATA_DIR", help="Folder that the server keeps everything in  [default: data]")
]
JournalUrl = Annotated[
    str | None, typer.Option(envvar="WFE_JOURNAL", help="sqlite:///PATH  [default: workflow.db in DATA_DIR]")
]
Target = Annotated[Path, typer.Argument(help="File to make; never one that is there already.")]

_LISTED: Final = 100


def verify(context: typer.Context, data_dir: DataDir = None, journal: JournalUrl = None) -> None:
    """Read the whole journal, say what it holds and what is wrong with it; ends with 0, or 65 if something is."""
    try:
        report = verify_journal(_existing(context, data_dir, journal))
    except EngineError as error:
        refuse(exit_code(error), error.message)
    _print(report)
    if not report.is_whole:
        raise typer.Exit(os.EX_DATAERR)


def backup(context: typer.Context, target: Target, data_dir: DataDir = None, journal: JournalUrl = None) -> None:
    """Copy the journal, also while a server uses it, into TARGET and TARGET.watermark, and check the copy."""
    try:
        report = backup_journal(_existing(context, data_dir, journal), target)
    except EngineError as error:
        refuse(exit_code(error), error.message)
    _print(report)


def _existing(context: typer.Context, data_dir: Path | None, journal: str | None) -> Path:
    """Return the database that the options name; those before the command count, too."""
    before: dict[str, Any] = context.parent.params if context.parent is not None else {}
    url = journal or before.get("journal")
    if url is None:
        path = (data_dir or before.get("data_dir") or Path("data")) / "workflow.db"
    elif url.startswith(SQLITE) and len(url) > len(SQLITE):
        path = Path(url.removeprefix(SQLITE))
    else:
        refuse(os.EX_CONFIG, f"The journal {url!r} is no file; use 'sqlite:///PATH'.")
    if not path.parent.is_dir():
        refuse(
            os.EX_NOPERM, f"There is no folder {str(path.parent)!r}; name the right one with --data-dir or --journal."
        )
    return path


def _print(report: JournalReport) -> None:
    mark = report.watermark
    lines = {
        "journal": report.path,
        "size": f"{report.size_bytes:,} bytes",
        "schema": report.schema or "none: there is no journal yet",
        "id": report.journal_id or "none",
        "commits": f"{report.commits:,}",
        "watermark": "none"
        if mark is None
        else f"{mark.commits:,} commits, {mark.written_at:%Y-%m-%d %H:%M:%S} UTC, {mark.state}",
        "graphs": f"{report.graphs:,}",
        "runs": ", ".join(f"{count:,} {status}" for status, count in sorted(report.runs.items())) or "none",
        "unfinished": f"{report.unfinished:,}",
        "records": f"{report.records:,} in {report.entries:,} entries",
    }
    for name, value in lines.items():
        typer.echo(f"{name + ':':12}{value}")
    faults = ([report.shortfall] if report.shortfall else []) + [fault.what for fault in report.faults]
    typer.echo(f"{'wrong:':12}{'nothing' if not faults else ''}".rstrip())
    for fault in faults[:_LISTED]:
        typer.echo(f"  {fault}")
    if len(faults) > _LISTED:
        typer.echo(f"  and {len(faults) - _LISTED} more")
