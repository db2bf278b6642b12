"""`python -m api`: reads the command line and the environment, starts the server, and ends with a code that says why.

Exit codes are those of sysexits.h: 65 damaged journal, 69 port not available, 74 journal lost while serving, 75 journal in
use, 77 no access to the data, 78 wrong configuration or a newer journal. Every refusal is one line on standard error.
The commands `verify` and `backup` look at a journal instead.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from api import journal_commands, server
from api.exits import exit_code, refuse
from api.settings import VERSION, ServerSettings
from runtime.errors import EngineError
from runtime.settings import JournalCheck, LogFormat, LogLevel, Settings

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


cli.command("verify")(journal_commands.verify)
cli.command("backup")(journal_commands.backup)


@cli.callback(invoke_without_command=True)
def main(
    context: typer.Context,
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
    max_artifacts_mb: Annotated[
        int,
        typer.Option(envvar="WFE_MAX_ARTIFACTS_MB", min=0, help="MiB that the artifacts of one run may have together."),
    ] = 256,
    journal: Annotated[
        str | None,
        typer.Option(
            envvar="WFE_JOURNAL",
            help="Where runs are kept: sqlite:///PATH, or memory: to forget them at exit  "
            "[default: workflow.db in DATA_DIR]",
        ),
    ] = None,
    journal_check: Annotated[
        JournalCheck,
        typer.Option(
            envvar="WFE_JOURNAL_CHECK",
            help="How much of the journal is checked at the start: everything, or the newest commit and unfinished runs.",
        ),
    ] = "full",
    accept_data_loss: Annotated[
        bool,
        typer.Option(
            "--accept-data-loss",
            envvar="WFE_ACCEPT_DATA_LOSS",
            help="Copy a damaged journal away and go on with what is whole, once, instead of refusing it.",
        ),
    ] = False,
    allow_network_filesystem: Annotated[
        bool,
        typer.Option(
            "--allow-network-filesystem",
            envvar="WFE_ALLOW_NETWORK_FILESYSTEM",
            help="Let the journal be on a network file system, where locks and flushes cannot be relied on.",
        ),
    ] = False,
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
    keep_days: Annotated[
        float | None,
        typer.Option(envvar="WFE_KEEP_DAYS", min=0, help="Days that a run is kept after its end  [default: for ever]"),
    ] = None,
    keep_runs: Annotated[
        int | None,
        typer.Option(envvar="WFE_KEEP_RUNS", min=0, help="How many ended runs are kept, the newest  [default: all]"),
    ] = None,
    max_memory_mb: Annotated[
        int | None,
        typer.Option(
            envvar="WFE_MAX_MEMORY_MB",
            min=0,
            help="MiB of memory the server may use: beyond 70 % it takes no new runs, beyond 90 % it ends. 0 is no limit  "
            "[default: 90 % of what there is]",
        ),
    ] = None,
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
    if context.invoked_subcommand is not None:
        return
    datasets, artifacts = datasets_dir or data_dir / "datasets", data_dir / "artifacts"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        datasets.mkdir(parents=True, exist_ok=True)
        artifacts.mkdir(exist_ok=True)
    except OSError as error:
        refuse(os.EX_NOPERM, f"Cannot use {error.filename} as a folder: {error.strerror}.")
    settings = ServerSettings(
        engine=Settings(
            journal=journal or f"sqlite:///{data_dir.resolve() / 'workflow.db'}",
            journal_check=journal_check,
            accept_data_loss=accept_data_loss,
            allow_network_filesystem=allow_network_filesystem,
            datasets_dir=datasets.resolve(),
            artifacts_dir=artifacts.resolve(),
            max_artifact_bytes=max_artifacts_mb * 1_048_576,
            log_level=log_level,
            log_format=log_format,
            close_grace_s=close_grace,
            keep_ended_s=None if keep_days is None else keep_days * 86_400,
            keep_ended_runs=keep_runs,
            max_memory_mb=max_memory_mb,
        ),
        tool_files=tuple(tools or ()),
        host=host,
        port=port,
    )
    if not settings.is_local and not allow_remote:
        refuse(
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
        refuse(exit_code(error, serving=serving), error.message)
    except server.MemoryExhausted as error:
        refuse(os.EX_SOFTWARE, str(error))
    except server.PortUnavailable as error:
        refuse(os.EX_UNAVAILABLE, str(error))


if __name__ == "__main__":
    cli(prog_name="python -m api")
