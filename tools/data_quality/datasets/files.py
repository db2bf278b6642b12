"""Dataset files: which may be opened, how they are read, and how results are written beside them.

A reference names a file below one folder and nothing else. Invariant: the name is checked, resolved and found inside the
folder before anything is opened, and Polars gets bytes, never the name: given a name, it would expand globs and fetch
URLs. Files are never changed: results get names made of their own content, so that writing them twice is writing once.
"""

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

import polars as pl

from tools.data_quality.datasets import limits
from tools.data_quality.datasets.csv_faults import fault_of, has_open_quote
from tools.data_quality.datasets.limits import invalid, refused
from tools.data_quality.datasets.parquet_footer import BadFooter, read_footer
from tools.objects import open_regular

Content = pl.DataFrame | list[dict[str, Any]]
"""What a file holds: a table, or the row objects of a `.jsonl` file as they are."""

JSON_SUFFIXES: Final = (".ndjson", ".jsonl")
SUFFIXES: Final = (".csv", ".parquet", *JSON_SUFFIXES)
_COMPRESSED: Final = re.compile(rb"\x1f\x8b|PK\x03\x04|\x28\xb5\x2f\xfd|BZh[1-9]1AY&SY|\xfd7zXZ\x00")
"""How gzip, zip, zstd, bzip2 and xz begin: a small file may unpack to very much."""

_MARK: Final = "\ufeff".encode()
"""Put before a CSV text for Polars, which skips it. Without it, a first column named `x^` would be unpacked with zlib."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HEADER_CHARACTERS: Final = 1_000_000
_STEM_CHARACTERS: Final = 120


def read(path: object, datasets_dir: Path | None) -> tuple[Content, list[str]]:
    """Return the content of a `.csv`, `.parquet`, `.ndjson` or `.jsonl` file, and notes about how it had to be read.

    Raises:
        ToolError: `DATASET_REFUSED`, `DATASET_INVALID` or `DATASET_TOO_LARGE`.
    """
    file = locate(path, datasets_dir)
    return parse(bytes_of(file), file.name)


def parse(data: bytes, name: str) -> tuple[Content, list[str]]:
    """Return what the bytes of a file hold, and notes about how they had to be read; the ending of `name` says what it is.

    Raises:
        ToolError: `DATASET_INVALID` or `DATASET_TOO_LARGE`.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in JSON_SUFFIXES:
        rows, notes = json_rows(data, name)
        return list(rows), notes
    _check_plain(data, name)
    try:
        if suffix == ".parquet":
            return _parquet(data), []
        text, notes = _text(data)
        head, data = text[:_HEADER_CHARACTERS], text.encode() if notes else data
        del text  # as large as the file
        return _csv(data, head), notes
    except BadFooter as error:
        raise invalid(f"{name!r} is no Parquet file: {error}") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, csv.Error) as error:
        # A damaged Parquet file lets Polars panic, which is no `Exception`; it costs a traceback on standard error.
        raise invalid(f"cannot read {name!r}: {str(error).splitlines()[0]}") from error


def json_rows(data: bytes, name: str) -> tuple[Iterator[dict[str, Any]], list[str]]:
    """Return the rows of a file with one JSON value on each line, which nobody has checked, and notes about reading it.

    Raises:
        ToolError: `DATASET_INVALID` or `DATASET_TOO_LARGE`; the iterator raises them, too.
    """
    _check_plain(data, name)
    text, notes = _text(data)
    return _json_lines(text), notes


def _check_plain(data: bytes, name: str) -> None:
    if _COMPRESSED.match(data):
        raise invalid(f"{name!r} is compressed; unpack it first")


def _root(datasets_dir: Path | None) -> Path:
    if datasets_dir is None:
        raise refused("this server has no folder for datasets; give the data inline, or ask the operator to set one")
    try:
        return datasets_dir.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise refused("this server's folder for datasets does not exist") from error


def locate(path: object, datasets_dir: Path | None) -> Path:
    """Return the file below the folder that `path` names, resolved.

    Raises:
        ToolError: `DATASET_REFUSED`: it leads elsewhere, or nowhere.
    """
    root = _root(datasets_dir)
    if not isinstance(path, str) or not path or "\0" in path:
        raise refused("'path' must be the name of a file")
    if _SCHEME.match(path) or any(mark in path for mark in "*?[]\\"):
        raise refused(f"{path!r} must name one file: no URL, no pattern, no backslash")
    name = PurePosixPath(path)
    if name.is_absolute() or ".." in name.parts:
        raise refused(f"{path!r} must be relative to the datasets folder and stay inside it")
    if any(part.startswith(".") for part in name.parts):
        raise refused(f"{path!r} is hidden: no part of it may begin with a dot")
    if name.suffix.lower() not in SUFFIXES:
        raise refused(f"{path!r} must end in one of {', '.join(SUFFIXES)}")
    try:
        resolved = (root / name).resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of symlinks
        raise refused(f"there is no file {path!r} in the datasets folder") from error
    if not resolved.is_relative_to(root) or resolved.suffix.lower() not in SUFFIXES:
        raise refused(f"{path!r} leads outside the datasets folder, or to a file of another kind")
    return resolved


def bytes_of(file: Path) -> bytes:
    """Return the content of a located file, which must be a regular one.

    Raises:
        ToolError: `DATASET_REFUSED` or `DATASET_TOO_LARGE`.
    """
    # The last part was no symlink when resolved, and may not have become one.
    try:
        with open_regular(file) as stream:
            limits.check("bytes", os.fstat(stream.fileno()).st_size, limits.FILE_BYTES)
            data = stream.read(limits.FILE_BYTES + 1)  # it may have grown since
    except OSError as error:
        raise refused(f"cannot open {file.name!r}: {error.strerror}") from error
    limits.check("bytes", len(data), limits.FILE_BYTES)
    return data


def _text(data: bytes) -> tuple[str, list[str]]:
    if b"\0" in data:
        raise invalid("it has NUL bytes, so it is no text in UTF-8; save it as UTF-8 (UTF-16 is not read)")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("latin-1"), ["not UTF-8; read as Latin-1"]


def _csv(data: bytes, head: str) -> pl.DataFrame:
    # The header is read apart: Polars renames repeated names, and a header of a million columns should stop here.
    header = next(csv.reader(io.StringIO(head, newline="")), [])
    limits.check("columns", len(header), limits.COLUMNS)
    if not header or "" in header or len(set(header)) != len(header):
        raise invalid("the first line must name every column, each by a name of its own")
    if has_open_quote(data):  # Polars would lose rows without a word
        raise csv.Error(fault_of(data, len(header)))
    try:
        frame = pl.read_csv(
            data if data.startswith(_MARK) else _MARK + data, infer_schema=False, n_rows=limits.ROWS + 1
        )
    except pl.exceptions.PolarsError:
        fault = fault_of(data, len(header))
        if fault is None:
            raise
        raise csv.Error(fault) from None
    if frame.columns != header:
        raise invalid("the first line cannot be read as column names")
    _check_size(frame.height, frame.width)
    return frame


def _json_lines(text: str) -> Iterator[dict[str, Any]]:
    rows = 0
    for number, line in enumerate(io.StringIO(text), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise invalid(f"line {number} is not JSON") from error
            rows += 1
            limits.check("rows", rows, limits.ROWS)
            yield row


def _parquet(data: bytes) -> pl.DataFrame:
    footer = read_footer(data)  # nothing is unpacked yet
    limits.check("bytes without compression", footer.uncompressed_bytes, limits.UNPACKED_BYTES)
    schema = pl.read_parquet_schema(io.BytesIO(data))
    _check_size(footer.rows, len(schema))
    for name, dtype in schema.items():
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
            raise invalid(f"column {name!r} holds {dtype}; only single values can be judged")
    return pl.read_parquet(io.BytesIO(data))


def _check_size(rows: int, columns: int) -> None:
    limits.check("columns", columns, limits.COLUMNS)
    limits.check("rows", rows, limits.ROWS)
    limits.check("cells", rows * columns, limits.CELLS)


def content_bytes(content: Content, suffix: str) -> bytes:
    """Return the content as a file whose name ends in `suffix`."""
    if not isinstance(content, pl.DataFrame):
        return "".join(json.dumps(row) + "\n" for row in content).encode()
    buffer = io.BytesIO()
    if suffix == ".parquet":
        content.write_parquet(buffer)
    else:
        content.write_csv(buffer)
    return buffer.getvalue()
