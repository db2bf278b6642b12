"""Changes in the bytes of a CSV file: what changes is replaced where it stands, and every other byte stays as it is.

A table that is read and written again loses more than anybody asked for: quotes that were not needed, line ends, the mark
at its beginning, its encoding. So a file is cut into records and fields by the same rules by which `files.py` reads it, and
put together from the old pieces. What the old pieces were is kept as *edits*, exactly as they stood in the file.

- Every line feed outside quotes ends a record, also of a blank line; a carriage return before it belongs to the line end.
- A field that begins with a quote ends at the quote that is followed by no other; any other field ends at the separator.
- An empty field is null, `""` is the empty text; a record may have fewer fields than the header, and the rest is null.

Two things cannot be written into a field, so an edit speaks of more than that. A value for a field that its record is too
short for first needs the missing separators; so does the last value of a file without a last line end, if it is the only
one of its record and becomes null. That edit speaks of the whole record. A text that Latin-1 cannot hold, or no longer any
byte that tells Latin-1 from UTF-8, makes the file one of UTF-8; that edit speaks of the whole file.

Invariant: `restored(spliced(data, ...).data, edits)` is `data`, byte for byte, for every file that `files.py` reads.
"""

import codecs
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

_FIELD: Final = re.compile(rb'(?:\A|,)("(?:[^"]|"")*"(?=,|\Z)|[^,]*)')
_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]')
UTF_8: Final = "utf-8"
LATIN_1: Final = "latin-1"


class NotThisFile(ValueError):
    """The bytes are not those that the edits speak about; the message says where, and what was expected."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What was replaced by what, as it stands in the file: quotes are part of it.

    Attributes:
        row: Data row of the file as it was, from 0; None for the whole file: `old` and `new` are its encodings.
        column: None for the whole record with its line end: `new` is empty where it was removed.
    """

    row: int | None
    column: str | None
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Spliced:
    """A patched file, and its edits in the order of rows; those of whole records come before those of their fields."""

    data: bytes
    edits: list[Edit]


def spliced(
    data: bytes,
    header: Sequence[str],
    changes: Mapping[int, Mapping[str, str | None]],
    removed: Collection[int] = (),
) -> Spliced:
    """Put new values into a CSV file, and leave rows out.

    Args:
        data: The whole file, in UTF-8 (with or without a mark at its beginning) or else Latin-1.
        header: Names of the columns, in their order.
        changes: Row -> column -> new value; rows are counted from 0 below the header, None makes the field null. A new
            value is quoted where it has to be, and where the old one was quoted without need.
        removed: Rows to leave out; their changes are listed among the edits and have no effect.

    Raises:
        NotThisFile: It has no such row, or a record cannot be cut into fields.
    """
    encoding = encoding_of(data)
    if encoding == LATIN_1:
        try:
            result = _spliced(data, LATIN_1, header, changes, removed)
        except UnicodeEncodeError:
            pass
        else:
            if encoding_of(result.data) == LATIN_1:
                return result
        result = _spliced(data.decode(LATIN_1).encode(), UTF_8, header, changes, removed)
        return Spliced(result.data, [Edit(None, None, LATIN_1, UTF_8), *result.edits])
    return _spliced(data, UTF_8, header, changes, removed)


def restored(data: bytes, header: Sequence[str], edits: Iterable[Edit]) -> bytes:
    """Return the file as it was before it was patched.

    Args:
        data: What `spliced` made.
        header: Names of the columns, in their order.
        edits: All of them, in any order.

    Raises:
        NotThisFile: Some field or record is not what the edits have put there.
    """
    encoding = encoding_of(data)
    recoded = False
    gone: dict[int, bytes] = {}
    records_of_rows: dict[int, Edit] = {}
    fields_of_rows: dict[int, list[Edit]] = {}
    for edit in edits:
        if edit.row is None:
            recoded = True
        elif edit.column is not None:
            fields_of_rows.setdefault(edit.row, []).append(edit)
        elif edit.new:
            records_of_rows[edit.row] = edit
        else:
            gone[edit.row] = edit.old.encode(encoding)
    records = _with_rows(records_of(data), gone)
    places = {name: place for place, name in enumerate(header)}
    for row, of_fields in fields_of_rows.items():
        if row not in gone:
            index = _index(records, row)
            records[index] = _with_old_fields(records[index], of_fields, places, encoding)
    for row, edit in records_of_rows.items():
        if row not in gone:
            index = _index(records, row)
            if records[index] != edit.new.encode(encoding):
                raise NotThisFile(f"row {row} is not as the patch has left it")
            records[index] = edit.old.encode(encoding)
    old = b"".join(records)
    return old.decode(UTF_8).encode(LATIN_1) if recoded else old


def header_of(data: bytes) -> list[str]:
    """The names of the columns of a file.

    Raises:
        NotThisFile: It has no first line, or that cannot be cut into fields.
    """
    records = records_of(data.removeprefix(codecs.BOM_UTF8))
    if not records:
        raise NotThisFile("the file is empty")
    encoding = encoding_of(data)
    return [value_of(field.decode(encoding)) or "" for field in fields_of(records[0])[0]]


def encoding_of(data: bytes) -> str:
    """How a file is read: as UTF-8 wherever that is possible, else as Latin-1, in which any byte is a character."""
    try:
        data.decode(UTF_8)
    except UnicodeDecodeError:
        return LATIN_1
    return UTF_8


def records_of(data: bytes) -> list[bytes]:
    """Cut a file into its records, the header first; each has its line end, and together they are the file."""
    lines = io.BytesIO(data).readlines()
    if b'"' not in data:
        return lines
    records: list[bytes] = []
    held: list[bytes] = []  # lines of a record that goes on, for a quote is still open
    for line in lines:
        closes = line.count(b'"') % 2 == 1
        if held:
            held.append(line)
            if closes:
                records.append(b"".join(held))
                held = []
        elif closes:
            held.append(line)
        else:
            records.append(line)
    return [*records, b"".join(held)] if held else records


def fields_of(record: bytes) -> tuple[list[bytes], bytes]:
    """Cut a record into its fields as they stand there, and its line end.

    Raises:
        NotThisFile: A quote is not closed, or something follows behind it.
    """
    end = 2 if record.endswith(b"\r\n") else 1 if record.endswith((b"\n", b"\r")) else 0
    body, ending = (record[:-end], record[-end:]) if end else (record, b"")
    if b'"' not in body:
        return body.split(b","), ending
    fields = _FIELD.findall(body)
    if b",".join(fields) != body or any(field[:1] == b'"' and not _is_quoted(field) for field in fields):
        raise NotThisFile(f"a record cannot be cut into fields: {record[:60]!r}")
    return fields, ending


def raw(value: str | None, *, quoted: bool = False) -> str:
    """A value as a field of a file, in quotes where it must be, and on demand."""
    if value is None:
        return ""
    if quoted or not value or _NEEDS_QUOTES.search(value):
        return '"' + value.replace('"', '""') + '"'
    return value


def value_of(field: str) -> str | None:
    """What a field as it stands in a file says."""
    if not field:
        return None
    return field[1:-1].replace('""', '"') if field[0] == '"' else field


def _spliced(
    data: bytes,
    encoding: str,
    header: Sequence[str],
    changes: Mapping[int, Mapping[str, str | None]],
    removed: Collection[int],
) -> Spliced:
    records = records_of(data)
    places = {name: place for place, name in enumerate(header)}
    line_end = b"\r\n" if records and records[0].endswith(b"\r\n") else b"\n"
    gone = set(removed)
    edits: list[Edit] = []
    for row in sorted({*changes, *gone}):
        index = _index(records, row)
        record = records[index]
        if row in gone:
            edits.append(Edit(row, None, record.decode(encoding), ""))
        cells = changes.get(row)
        if cells:
            record, of_cells = _patched(record, row, cells, places, encoding, line_end)
            edits += [edit for edit in of_cells if edit.column is not None or row not in gone]
        records[index] = b"" if row in gone else record
    return Spliced(b"".join(records), edits)


def _patched(
    record: bytes,
    row: int,
    cells: Mapping[str, str | None],
    places: Mapping[str, int],
    encoding: str,
    line_end: bytes,
) -> tuple[bytes, list[Edit]]:
    """The record with its new values; it is first made to have room for them."""
    fields, ending = fields_of(record)
    edits = []
    is_short = len(fields) <= max([places[column] for column in cells])
    if is_short or (len(fields) == 1 and not ending.endswith(b"\n") and None in cells.values()):
        fields += [b""] * (len(places) - len(fields))
        ending = ending if is_short else line_end
        edits.append(Edit(row, None, record.decode(encoding), (b",".join(fields) + ending).decode(encoding)))
    for column, value in cells.items():
        place = places[column]
        old = fields[place].decode(encoding)
        is_quoted_without_need = old[:1] == '"' and raw(value_of(old)) != old
        new = raw(value, quoted=is_quoted_without_need)
        fields[place] = new.encode(encoding)
        edits.append(Edit(row, column, old, new))
    return b",".join(fields) + ending, edits


def _with_old_fields(record: bytes, edits: Iterable[Edit], places: Mapping[str, int], encoding: str) -> bytes:
    fields, ending = fields_of(record)
    for edit in edits:
        place = places.get(edit.column or "")
        if place is None:
            raise NotThisFile(f"there is no column {edit.column!r}")
        found = fields[place].decode(encoding) if place < len(fields) else ""
        if place >= len(fields) or found != edit.new:
            raise NotThisFile(
                f"row {edit.row}, column {edit.column!r} holds {found!r}; the patch has put {edit.new!r} there"
            )
        fields[place] = edit.old.encode(encoding)
    return b",".join(fields) + ending


def _with_rows(records: list[bytes], gone: Mapping[int, bytes]) -> list[bytes]:
    """Put removed records back where they were."""
    if not gone:
        return records
    kept = iter(records)
    result = list(islice(kept, 1))
    for row in sorted(gone):
        result += islice(kept, max(0, row + 1 - len(result)))
        if len(result) != row + 1:
            raise NotThisFile(f"there is no place for row {row}: the file ends after {len(result) - 1:,} rows")
        result.append(gone[row])
    return [*result, *kept]


def _index(records: Sequence[bytes], row: int) -> int:
    if not 0 <= row < len(records) - 1:
        raise NotThisFile(f"there is no row {row}: the file has {max(0, len(records) - 1):,} rows")
    return row + 1


def _is_quoted(field: bytes) -> bool:
    return len(field) >= 2 and field.endswith(b'"')
