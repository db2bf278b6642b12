"""Everything that a run leaves: what was found, the repaired table, how to undo the repairs, the rules, and the report.

| file | holds |
|---|---|
| `report.html` | the report, for people |
| `flags.csv` | every suspicious cell: `row,column,confidence,kind` |
| `repaired.csv`, `patch.csv` | the table with the repairs of tier `auto`, and what they changed |
| `repaired_all.csv`, `patch_all.csv` | the same with those that wait for a person, whose `tier` is `suggest` |
| `repaired.parquet`, `repaired_all.parquet` | the same tables as the input was written, where that was not CSV |
| `rules.json`, `contract.odcs.yaml`, `great_expectations.json`, `pandera.yaml` | the rules, also for other tools |

A patch holds the old and new fields as they stand in the two files, quotes included, so undoing it gives back every byte. A
line without a column is about a whole record, one without a row about the whole file: see `datasets/splice.py`.

Invariant: equal outcomes give equal bytes; undoing a patch on its repaired table gives back the CSV file that came in, or
for another format (also for a CSV file whose quotes are so broken that its fields cannot be told) the table as CSV.
"""

import codecs
import hashlib
import io
import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any, Final

import polars as pl

from tools.contract import ToolError
from tools.data_quality.columns.cells import Cell, is_placeholder, is_unknown, word
from tools.data_quality.columns.column import Column
from tools.data_quality.columns.study import Semantic, study
from tools.data_quality.datasets import files
from tools.data_quality.datasets.dataset import Dataset
from tools.data_quality.datasets.splice import (
    LATIN_1,
    Edit,
    NotThisFile,
    Spliced,
    encoding_of,
    fields_of,
    header_of,
    raw,
    records_of,
    restored,
    spliced,
    value_of,
)
from tools.data_quality.exports import to_great_expectations, to_odcs, to_pandera
from tools.data_quality.outcome import Change, Outcome
from tools.data_quality.repair.patch import FIELDS
from tools.data_quality.report import render

_ALL_FIELDS: Final = (*FIELDS, "tier")


def files_of(outcome: Outcome, original: bytes | None = None, suffix: str = "") -> dict[str, bytes]:
    """Return the files of a run by their names.

    Args:
        outcome: What came of the table.
        original: The file that the table was read from; None for a table that came inline.
        suffix: How its name ends: `.csv`, `.parquet`, `.ndjson` or `.jsonl`; empty for a table that came inline.
    """
    suffix = suffix.lower()
    auto = [change for change in outcome.patch if change.tier == "auto"]
    done, everything = _pair(outcome, auto, original if suffix == ".csv" else None)
    made: dict[str, bytes | str] = {
        "report.html": render(outcome, sha256=hashlib.sha256(original).hexdigest() if original is not None else None),
        "flags.csv": _flags(outcome),
        "repaired.csv": done.data,
        "patch.csv": _patch(done.edits, auto, FIELDS),
        "repaired_all.csv": everything.data,
        "patch_all.csv": _patch(everything.edits, outcome.patch, _ALL_FIELDS),
        "rules.json": json.dumps([rule.model_dump() for rule in outcome.rules], indent=2, ensure_ascii=False) + "\n",
        **_exports(outcome, suffix),
    }
    if suffix and suffix != ".csv":
        for stem, after, changes in (
            ("repaired", outcome.repaired, auto),
            ("repaired_all", outcome.proposed, outcome.patch),
        ):
            made[stem + suffix] = _in_own_format(outcome.before, after, changes, original, suffix)
    # Only JSON can bring lone halves of surrogate pairs, and `\udc80` is also how JSON and Python write them.
    return {
        name: content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
        for name, content in made.items()
    }


def undone(repaired: bytes, patch: bytes) -> bytes:
    """Return the CSV file as it was before a patch.

    Args:
        repaired: `repaired.csv` or `repaired_all.csv`, unchanged.
        patch: The `patch.csv` or `patch_all.csv` beside it.

    Raises:
        NotThisFile: `patch` is no patch, or belongs to another file.
    """
    lines = records_of(patch)
    if not lines or not lines[0].startswith(",".join(FIELDS).encode()):
        raise NotThisFile(f"a patch begins with the line {','.join(FIELDS)!r}")
    edits = [_edit(number, line) for number, line in enumerate(lines[1:], start=1)]
    return restored(repaired, header_of(repaired), edits)


def as_csv(dataset: Dataset) -> bytes:
    """A table as CSV: null is an empty field, the empty text is `""`, true and false are written as in JSON."""
    columns = {column.name: _texts(column).gather(column.codes) for column in dataset.columns}
    data = pl.DataFrame({_writable(name): texts for name, texts in columns.items()}).write_csv().encode()
    return codecs.BOM_UTF8 + data if data.startswith(codecs.BOM_UTF8) else data  # the first name begins like a mark


def _pair(outcome: Outcome, auto: Sequence[Change], original: bytes | None) -> tuple[Spliced, Spliced]:
    """The repaired file and the one with all repairs; made of the file that came in, or else of the table as CSV."""
    tables = [(outcome.repaired, auto)]
    if len(auto) < len(outcome.patch):
        tables.append((outcome.proposed, outcome.patch))
    patched = [_patched(outcome.before, original, *table) for table in tables] if original is not None else []
    made = [each for each in patched if each is not None]
    if len(made) < len(tables):
        base = as_csv(outcome.before)
        made = [_spliced(outcome.before, base, *table) for table in tables]
    return made[0], made[-1]


def _patched(before: Dataset, original: bytes, after: Dataset, changes: Sequence[Change]) -> Spliced | None:
    """The patched file; None unless it reads as what the table has become."""
    if not changes:
        return Spliced(original, [])
    try:
        result = _spliced(before, original, after, changes)
        content, _ = files.parse(result.data, "table.csv")
    except (NotThisFile, ToolError):
        return None
    is_as_meant = isinstance(content, pl.DataFrame) and content.equals(after.content)  # type: ignore[arg-type]
    return result if is_as_meant else None


def _spliced(before: Dataset, base: bytes, after: Dataset, changes: Sequence[Change]) -> Spliced:
    removed = sorted({change.row for change in changes if change.column is None})
    rows_of: dict[str, list[int]] = {}
    for change in changes:
        if change.column is not None:
            rows_of.setdefault(change.column, []).append(change.row)
    cells: dict[int, dict[str, str | None]] = {}
    gone = set(removed)
    for column in after.columns:
        rows = rows_of.get(column.name, [])
        # What stands in the repaired table, and not in the change: a column of whole numbers writes 3.0 as 3.
        kept = [row for row in rows if row not in gone]
        codes = column.codes.gather([row - bisect_left(removed, row) for row in kept])
        for row, text in zip(kept, _texts(column).gather(codes).to_list(), strict=True):
            cells.setdefault(row, {})[_writable(column.name)] = text
    for change in changes:
        if change.column is not None and change.row in gone:
            cells.setdefault(change.row, {})[_writable(change.column)] = _text(change.new)
    return spliced(base, [_writable(column.name) for column in before.columns], cells, removed)


def _texts(column: Column) -> pl.Series:
    return pl.Series([_text(value) for value in column.values], dtype=pl.String)


def _text(cell: Cell) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell if cell is None else _writable(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return str(cell) if isinstance(cell, float) else json.dumps(cell)


def _writable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _flags(outcome: Outcome) -> bytes:
    found = [anomaly for anomaly in outcome.anomalies if anomaly.column is not None]
    return (
        pl.DataFrame(
            {
                "row": pl.Series([anomaly.row for anomaly in found], dtype=pl.UInt32),
                "column": pl.Series([_writable(anomaly.column or "") for anomaly in found], dtype=pl.String),
                "confidence": pl.Series([str(anomaly.confidence) for anomaly in found], dtype=pl.String),
                "kind": pl.Series([anomaly.kind for anomaly in found], dtype=pl.String),
            }
        )
        .write_csv()
        .encode()
    )


def _patch(edits: Iterable[Edit], changes: Iterable[Change], fields: Sequence[str]) -> str:
    told = {
        (change.row, None if change.column is None else _writable(change.column)): (
            f"{change.rule_id},{change.confidence}" + (f",{change.tier}" if len(fields) > len(FIELDS) else "")
        )
        for change in changes
    }
    nothing = "," * (len(fields) - len(FIELDS) + 1)
    lines = [",".join(fields)]
    for edit in edits:
        why = told.get((edit.row, edit.column), nothing) if edit.row is not None else nothing
        row = "" if edit.row is None else edit.row
        # Fields stand as they are in the table, so that also their quotes come back; a record is a text in quotes.
        old, new = (edit.old, edit.new) if edit.column is not None else (raw(edit.old), raw(edit.new or None))
        lines.append(f"{row},{raw(edit.column)},{old},{new},{why}")
    return "\n".join([*lines, ""])


def _edit(number: int, line: bytes) -> Edit:
    try:
        fields = [field.decode() for field in fields_of(line)[0]]
        row, column, old, new, *_ = fields
        if not column:
            old, new = value_of(old) or "", value_of(new) or ""
        return Edit(int(row) if row else None, value_of(column), old, new)
    except ValueError as error:
        raise NotThisFile(f"line {number + 1} of the patch is not one that a run has written") from error


def _exports(outcome: Outcome, suffix: str) -> dict[str, str]:
    profiled: Sequence[dict[str, Semantic]] = outcome.profile_after["column_profiles"]
    semantics = {
        column.name: profiled[place]["type"] if place < len(profiled) else study(column).semantic
        for place, column in enumerate(outcome.proposed.columns)
    }
    words = {
        column.name: sorted({word(value) for value in column.values if is_placeholder(value) or is_unknown(value)})
        for column in outcome.proposed.columns
    }
    words = {name: found for name, found in words.items() if found}
    table = PurePath(outcome.name).name.removesuffix(suffix) or "table"
    path = f"{table}{suffix}" if suffix in (".csv", ".parquet", ".jsonl") else None
    contract = to_odcs(outcome.contract, semantics, table, missing_words=words, data_path=path)
    return {
        "contract.odcs.yaml": contract.text,
        "great_expectations.json": to_great_expectations(outcome.contract, semantics, table, missing_words=words).text,
        "pandera.yaml": to_pandera(outcome.contract, semantics, table, missing_words=words).text,
    }


def _in_own_format(
    before: Dataset, after: Dataset, changes: Sequence[Change], original: bytes | None, suffix: str
) -> bytes:
    content: Any = after.content
    if suffix == ".parquet":
        buffer = io.BytesIO()
        content.write_parquet(buffer)
        return buffer.getvalue()
    # Lines that no change has touched stay as they are.
    lines: list[bytes] = []
    if original is not None:
        text = original.decode(LATIN_1).encode() if encoding_of(original) == LATIN_1 else original
        lines = [line.rstrip(b"\r\n") for line in io.BytesIO(text).readlines() if line.strip()]
    is_whole = len(lines) == before.rows
    gone = {change.row for change in changes if change.column is None}
    touched = {change.row for change in changes if change.column is not None}
    kept = [row for row in range(before.rows) if row not in gone]
    return b"".join(
        (lines[row] if is_whole and row not in touched else _as_json(content[place])) + b"\n"
        for place, row in enumerate(kept)
    )


def _as_json(record: object) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")
