"""`python -m bench.data_quality.gate`: how well the data quality tools find and repair errors of known truth.

Each right table of the gate is made wrong by each mix of errors, with each seed, and goes through the tools once; the right
table itself goes through them as well, and whatever is flagged in it is a false alarm. The shares of a table are means over
its scenarios, so that a mix with many errors does not drown the others; those of a kind are made of all cells.
Invariant: the same tables, seeds and tools print the same bytes; no time is measured here.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bench.data_quality.injector import Table, inject
from bench.data_quality.running import Tools, by_command, by_function
from bench.data_quality.scenarios import Scenario, scenarios
from bench.data_quality.scoring import Score, false_alarms, scored, total


@dataclass(frozen=True, slots=True)
class Marks:
    """How the tools did on one table, or on all: shares from 0 to 1, `broken` in percent of the right cells.

    Attributes:
        alarms: False alarms per 1,000 cells of the right table.
    """

    detection_precision: float
    detection_recall: float
    detection_f1: float
    repair_precision: float
    repair_recall: float
    repair_f1: float
    auto_precision: float
    broken: float
    alarms: float

    def row(self) -> str:
        shares = (self.detection_precision, self.detection_recall, self.detection_f1, self.repair_precision,
                  self.repair_recall, self.repair_f1, self.auto_precision)  # fmt: skip
        return "".join(f"{share:7.3f}" for share in shares) + f"{self.broken:8.3f}{self.alarms:8.2f}"


HEADER = "".join(f"{name:>7}" for name in ("det P", "R", "F1", "rep P", "R", "F1", "auto P")) + "  broke %  alarms"


def marks(scores: Sequence[Score], alarms: float) -> Marks:
    """Return the means over `scores`; the precision of automatic repairs and what they broke are made of all cells."""
    everything = total(scores)
    return Marks(
        detection_precision=fmean(score.detection.precision for score in scores),
        detection_recall=fmean(score.detection.recall for score in scores),
        detection_f1=fmean(score.detection.f1 for score in scores),
        repair_precision=fmean(score.repair.precision for score in scores),
        repair_recall=fmean(score.repair.recall for score in scores),
        repair_f1=fmean(score.repair.f1 for score in scores),
        auto_precision=everything.auto.precision,
        broken=everything.broken_percent,
        alarms=alarms,
    )


def thinned(table: Table, most_cells: int | None) -> Table:
    """Return every n-th row, with the lowest n that leaves at most `most_cells` cells; all rows if None."""
    cells = sum(map(len, table.values()))
    step = 1 if most_cells is None else max(1, math.ceil(cells / most_cells))
    return {name: values[::step] for name, values in table.items()}


def alarms_per_thousand(table: Table, tools: Tools) -> float:
    """Return how many cells of 1,000 the tools flag in the right table."""
    return 1000 * false_alarms(table, tools(table)) / sum(map(len, table.values()))


def run_scenario(scenario: Scenario, table: Table, seed: int, tools: Tools) -> Score:
    """Return how right the tools are about `table` made wrong."""
    injected = inject(table, seed, scenario.errors(len(table)))
    return scored(injected, tools(injected.dirty))


def run_gate(
    chosen: Iterable[Scenario],
    seeds: range,
    tools: Tools,
    show: Callable[[str], None] = print,
    most_cells: int | None = None,
) -> tuple[dict[str, Marks], Score]:
    """Run the scenarios; return the marks of each table, and the counts of all together.

    Args:
        chosen: Grouped by table, in order of first appearance.
        seeds: Each scenario is run with each.
        tools: What is measured.
        show: Gets a line about each scenario and each table as soon as it is known.
        most_cells: Larger tables are thinned to so many cells.
    """
    by_subject: dict[str, list[Scenario]] = {}
    for scenario in chosen:
        by_subject.setdefault(scenario.subject.name, []).append(scenario)
    tables: dict[str, Marks] = {}
    everything: list[Score] = []
    show(f"{'':40}{HEADER}")
    for name, of_subject in by_subject.items():
        table = thinned(of_subject[0].subject.read(), most_cells)
        alarms = alarms_per_thousand(table, tools)
        scores: list[Score] = []
        for scenario in of_subject:
            runs = [run_scenario(scenario, table, seed, tools) for seed in seeds]
            scores += runs
            show(f"  {scenario.name:38}{marks(runs, alarms).row()}")
        tables[name] = marks(scores, alarms)
        show(f"{name:40}{tables[name].row()}\n")
        everything += scores
    return tables, total(everything)


def summary(tables: dict[str, Marks], counts: Score) -> str:
    """Return one line about all tables: means, and the worst of them."""
    worst = min(tables, key=lambda name: (tables[name].detection_f1, name))
    return (
        f"{len(tables)} tables: detection F1 {fmean(m.detection_f1 for m in tables.values()):.3f} "
        f"(worst {worst} {tables[worst].detection_f1:.3f}), "
        f"repair F1 {fmean(m.repair_f1 for m in tables.values()):.3f}, "
        f"auto precision {counts.auto.precision:.4f} ({counts.auto_precision_of_values:.4f} of those that wrote a value), "
        f"broken {counts.broken_percent:.4f} %, "
        f"false alarms {fmean(m.alarms for m in tables.values()):.2f} per 1,000 cells"
    )


def kinds(counts: Score) -> list[str]:
    """Return a table of what was injected and how much of it was found, and one of what was reported."""
    lines = [f"{'injected':16}{'cells':>8}{'found':>8}{'repaired':>10}"]
    for kind in sorted({kind for kind, _ in counts.of_kind}):
        cells = counts.of_kind[kind, "wrong"]
        found, repaired = (counts.of_kind[kind, what] / cells for what in ("found", "repaired"))
        lines.append(f"{kind:16}{cells:8}{found:8.3f}{repaired:10.3f}")
    lines += ["", f"{'reported':16}{'flags':>8}{'right':>8}"]
    for kind in sorted({kind for kind, _ in counts.by_kind}):
        flags = counts.by_kind[kind, "flags"]
        lines.append(f"{kind:16}{flags:8}{counts.by_kind[kind, 'right'] / flags:8.3f}")
    rows = counts.rows
    return [*lines, "", f"repeated rows    P {rows.precision:.3f} R {rows.recall:.3f} F1 {rows.f1:.3f}; "
            f"{counts.rows_removed_wrongly} rows removed wrongly"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--holdout", action="store_true", help="the tables held out, in place of the gate")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 1 to N")
    parser.add_argument("--table", action="append", metavar="NAME", help="only this table; may be repeated")
    parser.add_argument("--mix", action="append", metavar="NAME", help="only this mix; may be repeated")
    parser.add_argument("--command", action="store_true", help="run the command instead of the function")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the marks of each table there")
    arguments = parser.parse_args()
    chosen = [
        scenario
        for scenario in scenarios(held_out=arguments.holdout)
        if scenario.subject.name in (arguments.table or (scenario.subject.name,))
        and scenario.mix in (arguments.mix or (scenario.mix,))
    ]
    if not chosen or arguments.seeds < 1:
        names = dict.fromkeys(scenario.subject.name for scenario in scenarios(held_out=arguments.holdout))
        mixes = dict.fromkeys(scenario.mix for scenario in scenarios(held_out=arguments.holdout))
        parser.error(f"nothing to run: tables are {', '.join(names)}; mixes are {', '.join(mixes)}; N is at least 1")
    tools = by_command if arguments.command else by_function
    tables, counts = run_gate(chosen, range(1, arguments.seeds + 1), tools, lambda line: print(line, flush=True))
    print("\n".join(kinds(counts)))
    print(summary(tables, counts))
    if arguments.json:
        document = {name: {key: getattr(mark, key) for key in Marks.__slots__} for name, mark in tables.items()}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
