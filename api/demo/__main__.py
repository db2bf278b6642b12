"""`python -m api.demo`: one command from nothing to a cleaned table and a report about it.

Each demo has a folder of its own, so earlier ones are kept; nothing is written outside it. Exit codes: 0, 1 for a demo that
failed (with the last lines of the server's log), 130 and 143 for one that was stopped; the server never stays behind.
"""

import io
import os
import signal
import sys
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from api.demo.client import Client
from api.demo.render import Screen, markdown
from api.demo.report import compose, summary
from api.demo.server import DemoFailed, last_lines, serving
from api.demo.sheet import Sheet
from api.demo.story import Story
from tools.data_quality import get_data_quality_graph_definition

_TABLE: Final = "airports.csv"
_DEFAULT_PARENT: Final = Path("demo-output")
_LOG_LINE: Final = 300

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@cli.command()
def main(
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for everything the demo writes, new or empty  [default: demo-output/<date>-<time>]"),
    ] = None,
    threshold: Annotated[int, typer.Option(min=0, help="The loop ends once fewer anomalies than this are left.")] = 5,
    max_iterations: Annotated[int, typer.Option(min=1, max=100, help="The loop ends after this many at most.")] = 3,
) -> None:
    """Clean a real table with a real server on a free port of this machine, and report what was done and what was not."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))  # leaves through every `finally`
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a narrow encoding cannot show is no reason to fail
        sys.stdout.reconfigure(errors="replace")
    folder: Path | None = None
    try:
        folder = _new_folder(output)
        _run(folder, get_data_quality_graph_definition(threshold=threshold, max_iterations=max_iterations))
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


def _run(folder: Path, graph: dict[str, Any]) -> None:
    datasets, log = folder / "datasets", folder / "server.log"
    datasets.mkdir()
    original = datasets / _TABLE
    with resources.as_file(resources.files("tools.data_quality") / "demo" / _TABLE) as source:
        given = source.read_bytes()
    original.write_bytes(given)
    screen, story = Screen(), Story()
    (rule,) = graph["loops"]
    until = rule["condition"]
    loop = f"until {until['field']} {until['operator']} {until['value']}, at most {rule['max_iterations']} iterations"
    screen.title("Workflow Engine demo: find and repair what is wrong with a table of airports")
    with serving(folder / "data", datasets, log) as url, Client(url) as client:
        run_id = client.submit(client.create_graph(graph), {"dataset": {"path": _TABLE}})
        facts = {
            "server": url,
            "journal": str(folder / "data" / "workflow.db"),
            "graph": str(graph["name"]),
            "loop": loop,
            "run": run_id,
        }
        screen.facts(facts)
        screen.blank()
        screen.line_header()
        for message in client.follow(run_id):
            if line := story.hear(message):
                screen.line(line)
    story.check_ended_well()
    if original.read_bytes() != given:
        raise DemoFailed(f"{original} was changed: tools must leave the original as it is.")
    report = folder / "report.md"
    state = story.final_state
    cleaned = datasets / state["dataset"]["path"]
    files = {
        "cleaned table": str(cleaned),
        "rules": str(datasets / state["rules_path"]) if "rules_path" in state else "none",
        "patch": str(datasets / state["patch_path"]) if "patch_path" in state else "none",
        "this report": str(report),
        "original": str(original),
        "journal": str(folder / "data" / "workflow.db"),
        "server's log": str(log),
    }
    sections = compose(story, Sheet.read(original), Sheet.read(cleaned), files)
    report.write_text(markdown(f"Data quality of {_TABLE}", facts, summary(story), sections), encoding="utf-8")
    screen.blank()
    screen.paragraph(summary(story))
    screen.sections(sections)


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
