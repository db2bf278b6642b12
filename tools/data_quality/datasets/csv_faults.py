"""Which line of a CSV file cannot be read, and why, in words for the person who made the file.

Lines are counted from 1, as editors do. Invariant: None only for a file whose every record can be cut into at most as many
fields as the first line names; it is asked only about files that cannot be read, so it may take its time.
"""

from tools.data_quality.datasets.splice import NotThisFile, fields_of, records_of

_SPELLING = 'write the field in quotation marks, and each mark that belongs to it twice: "5"" pipe"'


def has_open_quote(data: bytes) -> bool:
    """Whether some field is opened by a quotation mark that nothing closes: in a CSV file their number is even."""
    return data.count(b'"') % 2 == 1


def fault_of(data: bytes, width: int) -> str | None:
    """Return where the file stops being a table of `width` columns and how, as a sentence; None if it does not."""
    line = 1
    for record in records_of(data):
        if has_open_quote(record):
            return f"the quotation mark on line {line} has no partner in the rest of the file; {_SPELLING}"
        try:
            fields, _ = fields_of(record)
        except NotThisFile:
            fields = []
        if not fields or any(b'"' in field and not field.startswith(b'"') for field in fields):
            return f"line {line} has a quotation mark in the middle of a field; {_SPELLING}"
        if len(fields) > width:
            return (
                f"line {line} has {len(fields):,} fields, and the first line names {width:,} columns; "
                "a value with a comma in it has to be in quotation marks"
            )
        line += record.count(b"\n")
    return None
