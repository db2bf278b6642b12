"""Figures, their table and their JSON: what every bench prints, and what `bench.compare` reads.

Invariant: a figure is named by what was measured and under which settings, so that only like is compared with like.
"""

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, NoReturn

from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).parents[1]
STDOUT: Final = Path("-")
_WIDTH: Final = 120
"""Columns of a table that no terminal shows."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One result.

    Attributes:
        name: What was measured, such as `W1 chain of 4, sqlite`.
        unit: Such as `runs/s` or `ms`; with the name it identifies the figure.
        median, low, high: Of the repetitions; all the same where there was one only.
        more_is_better: False for times.
    """

    name: str
    unit: str
    median: float
    low: float
    high: float
    more_is_better: bool


def figure(name: str, unit: str, values: Sequence[float], *, more_is_better: bool) -> Figure:
    """Return the figure of at least one repetition."""
    return Figure(name, unit, median(values), min(values), max(values), more_is_better)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of `values` that `percent` of them do not exceed (nearest rank); NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def shown(value: float) -> str:
    """Return a number with as many digits as a bench can vouch for."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def publish(
    bench: str, settings: dict[str, Any], figures: Sequence[Figure], tables: Sequence[Table], to: Path | None
) -> None:
    """Print the tables; write everything as JSON to the file `to`, or print it there for `-` (the tables then go to stderr)."""
    console = Console(stderr=to == STDOUT, width=None if sys.stdout.isatty() else _WIDTH)
    for table in tables:
        console.print(table)
    console.print(f"[dim]{_summary(settings)}; Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}[/dim]")
    document = {
        "bench": bench,
        "settings": settings,
        "environment": _environment(),
        "figures": [asdict(one) for one in figures],
    }
    text = json.dumps(document, indent=2) + "\n"
    if to == STDOUT:
        sys.stdout.write(text)
    elif to is not None:
        to.write_text(text, encoding="utf-8")
        console.print(f"[dim]Written to {to}[/dim]")


def fail(message: str) -> NoReturn:
    """End with 1: what was measured was not right, so its figures mean nothing."""
    Console(stderr=True).print(f"[bold red]Wrong result:[/] {message}")
    sys.exit(1)


def _summary(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _environment() -> dict[str, Any]:
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "commit": git.stdout.strip() or None,
    }
