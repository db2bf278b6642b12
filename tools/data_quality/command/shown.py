"""What a person sees: how far the work is, on standard error; what came of it, on standard output.

On a terminal a bar moves; anywhere else there is a line for each round, so that a log stays readable. Invariant: nothing of
the table is printed but its size, and no character that could steer a terminal.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tools.data_quality.columns.visible import visible
from tools.data_quality.detectors.flags import KINDS, Tier
from tools.data_quality.judging import Visit
from tools.data_quality.outcome import Anomaly, Outcome
from tools.data_quality.report.summary import score

_STEPS: Final = {
    "profile": "looking at columns",
    "rules": "deriving rules",
    "dependencies": "looking for dependencies",
    "anomalies": "checking rules",
}
_TIERS: Final[tuple[Tier, ...]] = ("auto", "suggest", "report")
_PATH_CHARACTERS: Final = 4_096


def plain(text: object) -> str:
    """A text that is safe to print on a terminal, on one line."""
    return visible(str(text), _PATH_CHARACTERS)


@contextmanager
def progress(console: Console) -> Iterator[Visit]:
    """Show how far the work is; each round looks at the whole table anew."""
    rounds = 0
    if not console.is_terminal:

        def tell(what: str, done: int, total: int) -> None:
            nonlocal rounds
            if what == "profile" and done == 0:
                rounds += 1
                console.print(f"round {rounds}: looking at {total:,} columns", markup=False, highlight=False)

        yield tell
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def move(what: str, done: int, total: int) -> None:
            nonlocal rounds
            rounds += what == "profile" and done == 0
            bar.update(task, description=f"round {rounds}: {_STEPS.get(what, what)}", completed=done, total=total)

        yield move


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Print what was found, of which kind, and what became of it."""
    fate: dict[tuple[int, str | None], Tier] = {(change.row, change.column): change.tier for change in outcome.patch}
    counted: Counter[tuple[str, Tier]] = Counter()
    left: dict[Tier, list[Anomaly]] = {tier: [] for tier in _TIERS}
    for anomaly in outcome.anomalies:
        tier = fate.get((anomaly.row, anomaly.column), "report")
        counted[anomaly.kind, tier] += 1
        left[tier].append(anomaly)
    table = _table(console)
    table.add_column("kind")
    for title in ("found", "repaired (auto)", "waiting (suggest)", "only reported"):
        table.add_column(title, justify="right")
    for kind in KINDS:
        row = [counted[kind, tier] for tier in _TIERS]
        if sum(row):
            table.add_row(kind, *(f"{count:,}" for count in (sum(row), *row)))
    if table.row_count > 1:
        row = [len(left[tier]) for tier in _TIERS]
        table.add_section()
        table.add_row("all", *(f"{count:,}" for count in (sum(row), *row)))
    if table.row_count:
        console.print(table)
    else:
        console.print("Nothing suspicious was found.")
    rows, width = outcome.before.rows, len(outcome.before.columns)
    before, after, best = (
        score(anomalies, rows, width)
        for anomalies in (outcome.anomalies, left["suggest"] + left["report"], left["report"])
    )
    console.print(
        f"quality score: {before:.2f} before, {after:.2f} repaired, {best:.2f} with all repairs "
        "(share of cells that are not suspicious, in percent)",
        highlight=False,
        soft_wrap=True,
    )


def print_files(console: Console, files: Sequence[Path], seconds: float) -> None:
    """Print what was written where, and how long everything took."""
    table = _table(console)
    table.add_column("file")
    table.add_column("bytes", justify="right")
    for file in files:
        table.add_row(Text(plain(file.name)), f"{file.stat().st_size:,}")
    console.print(table)
    folder = plain(files[0].parent)
    console.print(
        f"{len(files)} files in {folder} after {seconds:.1f} s", markup=False, highlight=False, soft_wrap=True
    )


def _table(console: Console) -> Table:
    return Table(box=box.ROUNDED if console.is_terminal else None, pad_edge=console.is_terminal)
