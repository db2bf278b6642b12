"""The report of a run: what it says, as sections that the terminal and the Markdown file show alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from api.demo import words
from api.demo.server import DemoFailed
from api.demo.sheet import Sheet
from api.demo.story import Story

_TRAP: Final = (
    "Why are these not repaired? Most are wrong: DVT and MYF lost the minus sign of their longitude, and EEN has latitude "
    "and longitude swapped. But one is right: SYA lies in the Aleutians, at longitude +174. The numbers alone do not tell "
    "which, so the tools report them and leave them as they are."
)
"""Known about the demo's table (see tools/data_quality/demo/README.md), not found by the run."""


@dataclass(frozen=True, slots=True)
class Table:
    """Texts in columns; those named in `numeric` are aligned to the right."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numeric: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Section:
    """A title, and what stands below it in this order."""

    title: str
    before: str = ""
    table: Table | None = None
    after: str = ""
    files: dict[str, str] = field(default_factory=dict)


def compose(story: Story, original: Sheet, cleaned: Sheet, files: Mapping[str, str]) -> list[Section]:
    """Return the report.

    Raises:
        DemoFailed: The cleaned file does not differ from the original in exactly what the run says it has changed.
    """
    return [
        _numbers(story, original, cleaned),
        _changed(story, original, _check(story, original, cleaned)),
        _left(story, cleaned),
        _ending(story),
        _rules(story),
        Section("Files", files=dict(files)),
    ]


def summary(story: Story) -> str:
    """Return the whole report in a sentence or two."""
    found = story.iterations[0].found
    left = words.count(story.left["total"], "value needs", "values need")
    return (
        f"{words.count(found['total'], 'anomaly', 'anomalies')} found ({words.kinds(found['by_kind'])}); "
        f"{words.count(story.change_count, 'cell')} changed; {left} a person ({words.kinds(story.left['by_kind'])})."
    )


def _numbers(story: Story, original: Sheet, cleaned: Sheet) -> Section:
    iterations = story.iterations
    first = iterations[0]
    names = sorted({kind for one in iterations for report in (one.found, one.left) for kind in report["by_kind"]})
    rows = [
        ("rows", f"{len(original.rows):,}", *_last_only(f"{len(cleaned.rows):,}", len(iterations))),
        ("columns", f"{len(original.header):,}", *_last_only(f"{len(cleaned.header):,}", len(iterations))),
        ("quality score", f"{first.found_score:g}", *(f"{one.left_score:g}" for one in iterations)),
        ("cells changed", "", *(str(one.patch["total"]) for one in iterations)),
        ("anomalies", str(first.found["total"]), *(str(one.left["total"]) for one in iterations)),
    ]
    rows += [
        (
            f"  {words.kind(name, 2)}",
            str(first.found["by_kind"].get(name, 0)),
            *(str(one.left["by_kind"].get(name, 0)) for one in iterations),
        )
        for name in names
    ]
    header = ("", "before", *(f"after {one.number}" for one in iterations))
    emptied = sum(1 for change in story.changes if change["new"] is None and change["column"] is not None)
    note = "The score is 100 times the share of cells without an anomaly."
    if emptied and story.left["total"] == first.found["total"]:
        note += (
            f" It is what it was: {words.count(emptied, 'word')} that only stood for a missing value became "
            f"{words.count(emptied, 'empty cell')}, which is more honest, and still a gap."
        )
    return Section("Before and after", table=Table(header, rows, numeric=frozenset(header[1:])), after=note)


def _last_only(text: str, length: int) -> list[str]:
    return [""] * (length - 1) + [text]


def _check(story: Story, original: Sheet, cleaned: Sheet) -> str:
    """Compare the run's word with the two files; return what can be said about it."""
    if len(story.changes) < story.change_count:
        return f"These are the first {len(story.changes)} of {story.change_count:,} changes; the patch has all."
    differing = original.differences(cleaned)
    if differing is None:
        return "Rows were removed; the patch says which."
    if set(differing) != {(change["row"], change["column"]) for change in story.changes}:
        raise DemoFailed(f"{cleaned.path} differs from {original.path} in other cells than the patch says.")
    if not differing:
        return "The data was left as it is."
    return "Checked: the cleaned file differs from the original in exactly these cells, and the original is untouched."


def _changed(story: Story, original: Sheet, checked: str) -> Section:
    rows_are_the_original = all(change["column"] is not None for change in story.changes)
    rows = []
    for change in story.changes:
        rule = change["rule"]
        why = f"{words.rule(rule)}: {words.repair(rule)}" if rule else change["rule_id"]
        label = original.label(change["row"]) if rows_are_the_original else ""
        old, new = words.shown(change["old"]), words.shown(change["new"])
        rows.append((str(change["row"]), label, change["column"] or "(row)", old, new, why))
    table = Table(("row", "airport", "column", "old", "new", "why"), rows, numeric=frozenset({"row"}))
    title = words.count(story.change_count, "cell was", "cells were") + " changed"
    return Section(title, table=table if rows else None, after=checked)


def _left(story: Story, cleaned: Sheet) -> Section:
    title = words.count(story.left["total"], "value needs", "values need") + " a person"
    rows = [
        (
            str(one["row"]),
            cleaned.label(one["row"]),
            one["column"] or "(row)",
            words.shown(one["value"]),
            one["reason"],
        )
        for one in sorted(story.left["sample"], key=lambda one: (one["kind"] != "outlier", one["row"]))
    ]
    if not rows:
        return Section(title)
    example = rows[0]
    note = f"Rows count from 0 below the header: row {example[0]} is line {int(example[0]) + 2} of the file. "
    trap = _TRAP if any(label.startswith("SYA ") for _, label, *_ in rows) else ""
    table = Table(("row", "airport", "column", "value", "why it is suspicious"), rows, numeric=frozenset({"row"}))
    return Section(title, table=table, after=note + trap)


def _ending(story: Story) -> Section:
    last = story.iterations[-1]
    if story.exhausted is None:
        return Section("Why it stopped", f"After iteration {last.number} few enough anomalies were left.")
    wanted = " and ".join(
        f"{one['field']} {one['operator']} {one['value']} (it was {one['actual']})"
        for one in story.exhausted["operands"]
    )
    text = (
        f'The server warned "loop_exhausted": iteration {last.number} of at most {story.exhausted["max_iterations"]} was '
        f"over, and the loop should have ended with {wanted}."
    )
    idle = [str(one.number) for one in story.iterations if not one.patch["total"]]
    if idle:
        text += (
            f" {'Iterations' if len(idle) > 1 else 'Iteration'} {' and '.join(idle)} changed nothing, so more of them would "
            f"not help: no rule can repair what is left without guessing."
        )
    left = words.count(story.left["total"], "value needs", "values need")
    return Section("Why it stopped", f"{text} {left} a person.")


def _rules(story: Story) -> Section:
    rows = []
    previous = ""
    place = {column["name"]: index for index, column in enumerate(story.iterations[0].profile["column_profiles"])}
    by_column = sorted(  # in the order of the table, rules about whole rows last
        story.rules, key=lambda rule: len(place) if rule["type"] == "unique_rows" else place[rule["columns"][0]]
    )
    for rule in by_column:
        column = rule["columns"][0] if rule["type"] != "unique_rows" else "(row)"
        broken = f"{rule['violations']:,}" if rule["violations"] else "-"
        rows.append((column if column != previous else "", words.rule(rule), broken, words.repair(rule)))
        previous = column
    table = Table(("column", "rule", "broken by", "then"), rows, numeric=frozenset({"broken by"}))
    before = "Found by iteration 1 in the data as it came; each holds for all or nearly all of its column."
    return Section(words.count(len(rows), "rule"), before, table)
