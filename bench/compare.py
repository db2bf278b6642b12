"""`python -m bench.compare BEFORE AFTER`: two JSON files of one bench, figure by figure, as ratios.

Measures nothing itself. A ratio above 1 always means better, for rates and for times alike. The verdict is careful: `better` or
`worse` only where the ranges of the repetitions do not touch; anything else is `noise`, and so is a figure that was taken once
and changed by less than `ONE_SHOT_NOISE`. The control cases are compared too and should come out near 1: where they do not,
the machine changed and not the code, and the note below the table says so.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from bench.report import STDOUT, Figure, shown

ONE_SHOT_NOISE: Final = 0.3
CONTROL_DRIFT: Final = 0.1
_CONTROL: Final = "control"
_MACHINE: Final = ("python", "machine", "cpus")
_COLOURS: Final = {"better": "green", "worse": "red", "noise": "dim"}


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both files. `ratio` is above 1 where `after` is better."""

    before: Figure
    after: Figure
    ratio: float
    verdict: str


def load(path: Path) -> tuple[dict[str, Any], dict[tuple[str, str], Figure]]:
    """Return a bench's document, and its figures by name and unit."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    figures = [Figure(**one) for one in document["figures"]]
    return document, {(one.name, one.unit): one for one in figures}


def change(before: Figure, after: Figure) -> Change:
    """Return how a figure changed."""
    quotient = after.median / before.median if before.median else float("nan")
    ratio = quotient if before.more_is_better else 1 / quotient if quotient else float("nan")
    apart = after.low > before.high or after.high < before.low
    if before.low == before.high and after.low == after.high:
        apart = abs(ratio - 1) > ONE_SHOT_NOISE
    verdict = "noise" if not apart else "better" if ratio > 1 else "worse"
    return Change(before, after, ratio, verdict)


def show(changes: list[Change]) -> Table:
    """Return the table."""
    table = Table(title="After against before; above 1 is better")
    for column in ("figure", "unit", "before", "after", "ratio", ""):
        table.add_column(column, justify="right" if column in ("before", "after", "ratio") else "left")
    for one in changes:
        colour = _COLOURS[one.verdict]
        values = shown(one.before.median), shown(one.after.median), f"{one.ratio:.2f}"
        table.add_row(one.before.name, one.before.unit, *values, f"[{colour}]{one.verdict}[/]")
    return table


def cautions(before: dict[str, Any], after: dict[str, Any], changes: list[Change]) -> list[str]:
    """Return why the ratios may say less than they seem to."""
    found = []
    if before["settings"] != after["settings"]:
        found.append(f"The settings differ: {before['settings']} and {after['settings']}.")
    old, new = before["environment"], after["environment"]
    found += [f"Not the same {key}: {old[key]} and {new[key]}." for key in _MACHINE if old[key] != new[key]]
    drifts = [one.ratio for one in changes if _CONTROL in one.before.name and abs(one.ratio - 1) > CONTROL_DRIFT]
    if drifts:
        worst = max(drifts, key=lambda ratio: abs(ratio - 1))
        found.append(
            f"A control case moved by {worst:.2f}: the machine was not the same. Repeat both, one after the other."
        )
    return found


def main(
    before: Annotated[Path, typer.Argument(help="JSON of a bench.", exists=True)],
    after: Annotated[Path, typer.Argument(help="JSON of the same bench.", exists=True)],
    json_to: Annotated[Path | None, typer.Option("--json", help="File for the ratios; - prints them.")] = None,
) -> None:
    """Compare two JSON files of one bench."""
    old, old_figures = load(before)
    new, new_figures = load(after)
    if old["bench"] != new["bench"]:
        Console(stderr=True).print(f"{before} is of {old['bench']}, {after} of {new['bench']}.")
        raise typer.Exit(1)
    changes = [change(figure, new_figures[key]) for key, figure in old_figures.items() if key in new_figures]
    if not changes:
        Console(stderr=True).print("The files have no figure in common.")
        raise typer.Exit(1)
    console = Console(stderr=json_to == STDOUT, width=None if sys.stdout.isatty() else 140)
    console.print(show(changes))
    for caution in cautions(old, new, changes):
        console.print(f"[yellow]Caution:[/] {caution}")
    ratios = [
        {"name": one.before.name, "unit": one.before.unit, "ratio": one.ratio, "verdict": one.verdict}
        for one in changes
    ]
    text = json.dumps(ratios, indent=2) + "\n"
    if json_to == STDOUT:
        sys.stdout.write(text)
    elif json_to is not None:
        json_to.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
