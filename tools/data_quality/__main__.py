"""`python -m tools.data_quality TABLE`: the four steps on a file, without a server; and `undo`, which takes repairs back.

Exit codes: 0 done, 1 the files could not be written, 2 the command line or the table is of no use, 130 stopped by Ctrl-C.
Every refusal is one line on standard error. Invariant: whatever happens, the folder has all files of a run or none.
"""

import stat
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from tools.contract import ToolError
from tools.data_quality.command import folder, shown
from tools.data_quality.datasets import limits
from tools.data_quality.datasets.dataset import of_file
from tools.data_quality.datasets.files import SUFFIXES
from tools.data_quality.datasets.splice import NotThisFile
from tools.data_quality.pipeline import MIN_CONFIDENCE, PASSES, clean
from tools.data_quality.publish import files_of, undone

NOT_WRITTEN: Final = 1
OF_NO_USE: Final = 2
STOPPED: Final = 130  # 128 + SIGINT, as shells say it
_MOST_PASSES: Final = 20
_WRITTEN_BYTES: Final = 8 * limits.FILE_BYTES  # repairs may make a table larger, and a patch holds every change twice
_HINTS: Final = {
    "DATASET_INVALID": "a table is a CSV file whose first line names the columns, a Parquet file of single values, "
    "or one JSON object on each line",
    "DATASET_TOO_LARGE": "take a part of its rows or columns",
}

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
undo_cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class Refused(Exception):
    """The command cannot be carried out; the message says why, and what to do."""

    def __init__(self, message: str, code: int = OF_NO_USE) -> None:
        super().__init__(message)
        self.code = code


@cli.command(epilog="To take repairs back: python -m tools.data_quality undo REPAIRED PATCH --out FILE")
def run(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=f"File that ends in {', '.join(SUFFIXES)}.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the files.  [default: <name of TABLE>-quality]")
    ] = None,
    passes: Annotated[
        int, typer.Option(min=1, max=_MOST_PASSES, help="How often the repaired table is looked at again, at most.")
    ] = PASSES,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="What is less likely to be wrong is neither shown nor repaired.")
    ] = MIN_CONFIDENCE,
    force: Annotated[
        bool, typer.Option("--force", help="Write into DIR although it holds files that this command did not write.")
    ] = False,
) -> None:
    """Find what is wrong in a table, repair what can be repaired, and write the report and the files of the run."""
    begun = time.perf_counter()
    try:
        path = Path(table)
        target = (out or Path(f"{path.stem}-quality")).resolve()
        data = _content(table)
        folder.check(target, force=force)
        told = Console(stderr=True)
        dataset = of_file(data, path.name)
        size = f"{dataset.rows:,} rows, {len(dataset.columns):,} columns"
        told.print(f"{shown.plain(path.name)}: {size}", markup=False, highlight=False, soft_wrap=True)
        with shown.progress(told) as visit:
            outcome = clean(dataset, name=path.name, passes=passes, min_confidence=min_confidence, visit=visit)
            files = files_of(outcome, data, path.suffix.lower())
        written = folder.deliver(target, files)
    except ToolError as error:
        hint = _HINTS.get(error.code)
        _refuse(OF_NO_USE, f"{error}; {hint}" if hint else str(error))
    except (Refused, folder.FolderRefused) as error:
        _refuse(OF_NO_USE, str(error))
    except OSError as error:
        _refuse(NOT_WRITTEN, f"cannot write the files: {error.strerror} ({error.filename})")
    except KeyboardInterrupt:
        _refuse(STOPPED, "stopped; nothing was written")
    console = Console()
    shown.print_outcome(console, outcome)
    shown.print_files(console, written, time.perf_counter() - begun)


@undo_cli.command()
def undo(
    repaired: Annotated[Path, typer.Argument(metavar="REPAIRED", help="repaired.csv or repaired_all.csv of a run.")],
    patch: Annotated[Path, typer.Argument(metavar="PATCH", help="The patch.csv or patch_all.csv beside it.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the table as it was.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
) -> None:
    """Take all repairs of a patch back: byte for byte, the CSV file as it was before."""
    try:
        if out.exists() and not (force and out.is_file()):
            _refuse(OF_NO_USE, f"{str(out)!r} exists; name another file by --out, or add --force to replace a file")
        folder.write_file(out, undone(_read(repaired, _WRITTEN_BYTES), _read(patch, _WRITTEN_BYTES)))
    except NotThisFile as error:
        _refuse(OF_NO_USE, f"{str(patch)!r} cannot be undone on {str(repaired)!r}: {error}")
    except (Refused, ToolError) as error:
        _refuse(OF_NO_USE, str(error))
    except OSError as error:
        _refuse(NOT_WRITTEN, f"cannot write {str(out)!r}: {error.strerror}")
    except KeyboardInterrupt:
        _refuse(STOPPED, "stopped; nothing was written")
    typer.echo(f"wrote {shown.plain(out)}")


def _content(table: str) -> bytes:
    if "://" in table:
        raise Refused(f"{table!r} is a URL; download the file first")
    path = Path(table)
    if path.suffix.lower() not in SUFFIXES and not path.is_dir():
        raise Refused(f"{table!r} must end in one of {', '.join(SUFFIXES)}")
    return _read(path, limits.FILE_BYTES)


def _read(path: Path, most: int) -> bytes:
    """Return the content of a file, which must be a regular one and have at most so many bytes."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise Refused(f"{str(path)!r} is {what}; name a file")
        limits.check("bytes", found.st_size, most)
        with path.open("rb") as stream:
            return stream.read(most + 1)  # it may have grown since; whoever parses it checks again
    except ValueError as error:  # a NUL in the name
        raise Refused(f"{str(path)!r} cannot be the name of a file") from error
    except OSError as error:
        raise Refused(f"cannot open {str(path)!r}: {error.strerror}") from error


def _refuse(code: int, message: str) -> NoReturn:
    typer.echo(f"data-quality: {shown.plain(message)}", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Carry out the command line. A table cannot be called `undo`, since its name has an ending."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 shows what it can
    name = "python -m tools.data_quality"
    if sys.argv[1:2] == ["undo"]:
        undo_cli(sys.argv[2:], prog_name=f"{name} undo")
    else:
        cli(sys.argv[1:], prog_name=name)


if __name__ == "__main__":
    main()
