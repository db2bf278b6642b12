"""`python -m api.demo`: one command from nothing to a repaired table, its report, and how that compares with the truth.

Each demo has a folder of its own, so earlier ones are kept; nothing is written outside it. Exit codes: 0, 1 for a demo that
failed (with the last lines of the server's log), 130 and 143 for one that was stopped; the server never stays behind.
"""

import io
import os
import signal
import sys
from datetime import datetime
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import typer

from api.demo import marks, report
from api.demo.client import Client
from api.demo.marks import Truth
from api.demo.render import Screen
from api.demo.server import DemoFailed, last_lines, serving
from api.demo.story import Line, Progress, Question, Story
from tools.data_quality import get_data_quality_graph_definition
from tools.data_quality.datasets.splice import NotThisFile
from tools.data_quality.publish import undone

_TABLE: Final = "flights.csv"
_TRUTH: Final = "flights.truth.csv"
_REPAIRED: Final = "repaired.csv"
_DEFAULT_PARENT: Final = Path("demo-output")
_LOG_LINE: Final = 300


class Approve(StrEnum):
    """What the demo answers to the run's question."""

    ALL = "all"
    NONE = "none"


cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@cli.command()
def main(
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for everything the demo writes, new or empty  [default: demo-output/<date>-<time>]"),
    ] = None,
    approve: Annotated[
        Approve, typer.Option(help="Which of the repairs that wait for a person the demo approves.")
    ] = Approve.ALL,
) -> None:
    """Repair a table with a real server on a free port of this machine, and compare what was done with the truth."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))  # leaves through every `finally`
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a narrow encoding cannot show is no reason to fail
        sys.stdout.reconfigure(errors="replace")
    folder: Path | None = None
    try:
        folder = _new_folder(output)
        with Screen() as screen:
            _run(folder, screen, approve)
    except KeyboardInterrupt:
        typer.echo("\nStopped.", err=True)
        raise typer.Exit(130) from None
    except DemoFailed as failure:
        typer.echo(f"\nThe demo failed: {failure}", err=True)
        log = folder / "server.log" if folder else None
        if log and (lines := last_lines(log)):
            typer.echo(f"The server's last words (all of them: {log}):", err=True)
            for line in lines:
                typer.echo(f"  {line[:_LOG_LINE]}", err=True)
        raise typer.Exit(1) from None


def _run(folder: Path, screen: Screen, approve: Approve) -> None:
    given, truth = _shipped(_TABLE), Truth.read(_shipped(_TRUTH))
    (folder / _TABLE).write_bytes(given)
    log, story = folder / "server.log", Story()
    graph = get_data_quality_graph_definition(review=True)
    screen.title("Workflow Engine demo: find and repair what is wrong with a table of flights")
    with serving(folder / "data", log) as url, Client(url) as client:
        stored = client.upload(_TABLE, given)
        run_id = client.submit(client.create_graph(graph), {"dataset": stored["dataset"]})
        size = f"{stored['rows']:,} rows, {stored['columns']:,} columns, {stored['bytes']:,} bytes"
        screen.facts({"server": url, "dataset": f"{_TABLE}: {size}", "graph": graph["name"], "run": run_id})
        screen.blank()
        screen.line_header()
        repaired = given
        for message in client.follow(run_id):
            match story.hear(message):
                case Line() as line:
                    screen.line(line)
                case Progress() as progress:
                    screen.progress(progress)
                case Question() as question:
                    repaired = _repaired(client, run_id, given)
                    _ask(screen, story, question, approve)
                    client.answer(run_id, question.approval, {"approve": approve.value})
        story.check_ended_well()
        files = {name: client.artifact(run_id, name) for name in client.artifacts(run_id)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    _report(screen, story, truth, given, repaired, files)
    screen.section(report.Section("Files"))
    first = ["report.html"]  # for people, so it comes first
    screen.facts({name: str(folder / name) for name in first + [name for name in files if name not in first]})
    others = {"the table as it came": _TABLE, "journal": "data/workflow.db", "server's log": "server.log"}
    screen.facts({name: str(folder / path) for name, path in others.items()})


def _repaired(client: Client, run_id: str, given: bytes) -> bytes:
    """The table as the loop has left it, before anything was approved."""
    return client.artifact(run_id, _REPAIRED) if _REPAIRED in client.artifacts(run_id) else given


def _ask(screen: Screen, story: Story, question: Question, approve: Approve) -> None:
    screen.section(report.waiting(story.proposals, story.rules))
    screen.paragraph(f"The run asks: {question.prompt}")
    screen.paragraph(
        f"The demo answers for you and approves {approve.value}. You would choose: all, none, or some rules."
    )
    screen.blank()


def _report(screen: Screen, story: Story, truth: Truth, given: bytes, repaired: bytes, files: dict[str, bytes]) -> None:
    flags, repeated_rows = marks.flags(files["flags.csv"]), story.repeated_rows or []
    loop = marks.differences(given, repaired)
    all_of_them = marks.differences(given, files[_REPAIRED])
    at_once = marks.judged({cell: change for cell, change in all_of_them.items() if cell in loop}, truth)
    approved = marks.judged({cell: change for cell, change in all_of_them.items() if cell not in loop}, truth)
    screen.section(report.found(flags, len(repeated_rows), at_once, approved))
    screen.section(report.examples(at_once, flags))
    screen.section(report.compared(truth, flags, repeated_rows, at_once, approved))
    try:
        before = undone(files[_REPAIRED], files["patch.csv"])
    except NotThisFile as error:
        raise DemoFailed(f"The patch cannot be undone: {error}.") from error
    if before != given:
        raise DemoFailed("Undoing the patch does not give back the table that came in.")
    text = f"patch.csv taken back from repaired.csv gives the {len(before):,} bytes of {_TABLE} that came in, each of them."
    screen.section(report.Section("Undo", after=text))


def _shipped(name: str) -> bytes:
    return (resources.files("tools.data_quality") / "demo" / name).read_bytes()


def _new_folder(output: Path | None) -> Path:
    """Return an empty folder, shown below the current one where it is."""
    try:
        if output is None:
            _DEFAULT_PARENT.mkdir(exist_ok=True)
            name = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
            output = _DEFAULT_PARENT / name
            if output.exists():
                output = _DEFAULT_PARENT / f"{name}-{os.getpid()}"
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            raise DemoFailed(f"{output} is not empty: give a folder that is, or none.")
    except OSError as error:
        raise DemoFailed(f"Cannot use {output} as a folder: {error.strerror}.") from error
    return output


if __name__ == "__main__":
    cli(prog_name="python -m api.demo")
