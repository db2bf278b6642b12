"""`python -m api`: reads the command line and the environment, starts the server, and ends with a code that says why.

Exit codes are those of sysexits.h: 65 damaged journal, 69 port not available, 74 journal lost while serving, 75 journal in
use, 77 no access to the data, 78 wrong configuration. Every refusal is one line on standard error.
"""

import os
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from api import server
from api.settings import VERSION, ServerSettings
from runtime.errors import EngineError, InvalidInput, JournalDamaged, JournalInUse, JournalUnavailable
from runtime.settings import LogFormat, LogLevel, Settings

_EXIT_CODES: Final = {
    JournalDamaged.code: os.EX_DATAERR,
    JournalInUse.code: os.EX_TEMPFAIL,
    JournalUnavailable.code: os.EX_NOPERM,
    InvalidInput.code: os.EX_CONFIG,
}

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@cli.command()
def main(
    host: Annotated[str, typer.Option(envvar="WFE_HOST", help="Name or address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="WFE_PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    data_dir: Annotated[
        Path, typer.Option(envvar="WFE_DATA_DIR", help="Folder for everything the server keeps; created if missing.")
    ] = Path("data"),
    datasets_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="WFE_DATASETS_DIR", help="Folder of the datasets tools may use  [default: DATA_DIR/datasets]"
        ),
    ] = None,
    journal: Annotated[
        str | None,
        typer.Option(
            envvar="WFE_JOURNAL",
            help="Where runs are kept: sqlite:///PATH, or memory: to forget them at exit  "
            "[default: workflow.db in DATA_DIR]",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(envvar="WFE_LOG_LEVEL", help="Lowest level of run records shown on the console.")
    ] = "info",
    log_format: Annotated[
        LogFormat,
        typer.Option(envvar="WFE_LOG_FORMAT", help="auto is colour on a terminal and JSON lines otherwise."),
    ] = "auto",
    close_grace: Annotated[
        float,
        typer.Option(
            envvar="WFE_CLOSE_GRACE",
            min=0,
            help="Seconds that running attempts may go on when the server stops; what is left resumes at the next start.",
        ),
    ] = 20.0,
    tools: Annotated[
        list[Path] | None,
        typer.Option(envvar="WFE_TOOLS", help="Python file with more tools; may be repeated (in the variable: a:b)."),
    ] = None,
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote",
            envvar="WFE_ALLOW_REMOTE",
            help="Let --host be more than this machine. There is no authentication: whoever connects can do everything.",
        ),
    ] = False,
) -> None:
    """Serve workflows over HTTP and WebSockets. Each option can also be set by the variable shown beside it."""
    datasets = datasets_dir or data_dir / "datasets"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        datasets.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refuse(os.EX_NOPERM, f"Cannot use {error.filename} as a folder: {error.strerror}.")
    settings = ServerSettings(
        engine=Settings(
            journal=journal or f"sqlite:///{data_dir.resolve() / 'workflow.db'}",
            datasets_dir=datasets.resolve(),
            log_level=log_level,
            log_format=log_format,
            close_grace_s=close_grace,
        ),
        tool_files=tuple(tools or ()),
        host=host,
        port=port,
    )
    if not settings.is_local and not allow_remote:
        _refuse(
            os.EX_CONFIG,
            f"Host {host} can be reached from other machines, and there is no authentication. "
            "Use a loopback address, or add --allow-remote if whoever can connect may do everything.",
        )

    serving = False

    def greet(url: str) -> None:
        nonlocal serving
        serving = True
        typer.echo(f"Workflow Engine {VERSION} listens on {url} (API: {url}/openapi.json, data: {data_dir.resolve()})")

    try:
        server.run(settings, greet=greet)
    except EngineError as error:
        lost = serving and error.code == JournalUnavailable.code
        _refuse(os.EX_IOERR if lost else _EXIT_CODES.get(error.code, os.EX_SOFTWARE), error.message)
    except server.PortUnavailable as error:
        _refuse(os.EX_UNAVAILABLE, str(error))


def _refuse(code: int, message: str) -> NoReturn:
    typer.echo(f"workflow-engine: {message}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    cli(prog_name="python -m api")
