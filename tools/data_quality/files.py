"""Dataset files: which may be opened, how they are read, and how results are written beside them.

A reference names a file below one folder and nothing else. Invariant: the name is checked, resolved and found inside the
folder before anything is opened, and Polars gets bytes, never the name: given a name, it would expand globs and fetch
URLs. Files are never changed: results get names made of their own content, so that writing them twice is writing once.
"""

import csv
import hashlib
import io
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import polars as pl

from tools.contract import ToolError
from tools.data_quality import limits
from tools.data_quality.limits import invalid, refused

Content = pl.DataFrame | list[dict[str, Any]]
"""What a file holds: a table, or the row objects of a `.jsonl` file as they are."""

_SUFFIXES: Final = (".csv", ".parquet", ".jsonl")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HEADER_CHARACTERS: Final = 1_000_000
_STEM_CHARACTERS: Final = 120


def read(path: object, datasets_dir: Path | None) -> tuple[Content, list[str]]:
    """Return the content of a `.csv`, `.parquet` or `.jsonl` file, and notes about how it had to be read.

    Raises:
        ToolError: `DATASET_REFUSED`, `DATASET_INVALID` or `DATASET_TOO_LARGE`.
    """
    file = _locate(path, datasets_dir)
    data = _bytes_of(file)
    try:
        if file.suffix.lower() == ".parquet":
            return _parquet(data), []
        text, notes = _text(data)
        return (_csv(text) if file.suffix.lower() == ".csv" else _jsonl(text)), notes
    except (pl.exceptions.PolarsError, OSError, csv.Error) as error:
        raise invalid(f"cannot read {file.name!r}: {str(error).splitlines()[0]}") from error


def write_beside(
    source: str,
    datasets_dir: Path | None,
    content: Content,
    suffix: str,
    *,
    rules: Sequence[Mapping[str, Any]],
    patch: str,
) -> tuple[str, str, str]:
    """Write cleaned data, its rules and its patch log into the folder of `source`; return the three references.

    All three are named after `source` and their own content (`airports.cleaned-<hash>.csv`, `....rules.json`,
    `....patch.csv`), so equal results share their files, different ones never meet, and a repetition changes nothing.
    """
    original = _locate(source, datasets_dir)
    files = {
        suffix: _content_bytes(content, suffix),
        ".rules.json": (json.dumps(rules, indent=2, ensure_ascii=False) + "\n").encode(),
        ".patch.csv": patch.encode("utf-8", "surrogatepass"),
    }
    digest = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in files.values())).hexdigest()[:12]
    root = _root(datasets_dir)
    references = []
    for ending, data in files.items():
        target = original.with_name(f"{original.stem[:_STEM_CHARACTERS]}.cleaned-{digest}{ending}")
        _write(target, data)
        references.append(target.relative_to(root).as_posix())
    return references[0], references[1], references[2]


def _root(datasets_dir: Path | None) -> Path:
    if datasets_dir is None:
        raise refused("this server has no folder for datasets; give the data inline, or ask the operator to set one")
    try:
        return datasets_dir.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise refused("this server's folder for datasets does not exist") from error


def _locate(path: object, datasets_dir: Path | None) -> Path:
    root = _root(datasets_dir)
    if not isinstance(path, str) or not path or "\0" in path:
        raise refused("'path' must be the name of a file")
    if _SCHEME.match(path) or any(mark in path for mark in "*?[]\\"):
        raise refused(f"{path!r} must name one file: no URL, no pattern, no backslash")
    name = PurePosixPath(path)
    if name.is_absolute() or ".." in name.parts:
        raise refused(f"{path!r} must be relative to the datasets folder and stay inside it")
    if name.suffix.lower() not in _SUFFIXES:
        raise refused(f"{path!r} must end in one of {', '.join(_SUFFIXES)}")
    try:
        resolved = (root / name).resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of symlinks
        raise refused(f"there is no file {path!r} in the datasets folder") from error
    if not resolved.is_relative_to(root) or resolved.suffix.lower() not in _SUFFIXES:
        raise refused(f"{path!r} leads outside the datasets folder, or to a file of another kind")
    return resolved


def _bytes_of(file: Path) -> bytes:
    # O_NOFOLLOW: the last part was no symlink when resolved, and may not have become one. O_NONBLOCK: a FIFO must not hang.
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise refused(f"cannot open {file.name!r}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise refused(f"{file.name!r} is not a regular file")
        limits.check("bytes", status.st_size, limits.FILE_BYTES)
        with open(descriptor, "rb", closefd=False) as stream:
            data = stream.read(limits.FILE_BYTES + 1)  # it may have grown since
    finally:
        os.close(descriptor)
    limits.check("bytes", len(data), limits.FILE_BYTES)
    return data


def _text(data: bytes) -> tuple[str, list[str]]:
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("latin-1"), ["not UTF-8; read as Latin-1"]


def _csv(text: str) -> pl.DataFrame:
    # The header is read apart: Polars renames repeated names, and a header of a million columns should stop here.
    header = next(csv.reader(io.StringIO(text[:_HEADER_CHARACTERS], newline="")), [])
    limits.check("columns", len(header), limits.COLUMNS)
    if not header or "" in header or len(set(header)) != len(header):
        raise invalid("the first line must name every column, each by a name of its own")
    frame = pl.read_csv(text.encode(), infer_schema=False, n_rows=limits.ROWS + 1)
    if frame.columns != header:
        raise invalid("the first line cannot be read as column names")
    _check_size(frame.height, frame.width)
    return frame


def _jsonl(text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(io.StringIO(text), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise invalid(f"line {number} is not JSON") from error
            limits.check("rows", len(rows), limits.ROWS)
    return rows


def _parquet(data: bytes) -> pl.DataFrame:
    schema = pl.read_parquet_schema(io.BytesIO(data))
    rows = (
        pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item()
    )  # from the footer: nothing is unpacked yet
    _check_size(rows, len(schema))
    for name, dtype in schema.items():
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
            raise invalid(f"column {name!r} holds {dtype}; only single values can be judged")
    return pl.read_parquet(io.BytesIO(data))


def _check_size(rows: int, columns: int) -> None:
    limits.check("columns", columns, limits.COLUMNS)
    limits.check("rows", rows, limits.ROWS)
    limits.check("cells", rows * columns, limits.CELLS)


def _content_bytes(content: Content, suffix: str) -> bytes:
    if not isinstance(content, pl.DataFrame):
        return "".join(json.dumps(row) + "\n" for row in content).encode()
    buffer = io.BytesIO()
    if suffix == ".parquet":
        content.write_parquet(buffer)
    else:
        content.write_csv(buffer)
    return buffer.getvalue()


def _write(target: Path, data: bytes) -> None:
    """Put the whole file in place at once: a reader sees all of it or none."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        with open(part, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ToolError(f"cannot write {target.name!r}: {error.strerror}", code="DATASET_NOT_WRITTEN") from error
