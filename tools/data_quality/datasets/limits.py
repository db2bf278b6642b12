"""What a dataset may be at most, and the errors that say so.

Invariant: every refusal is a `ToolError` that no retry can change, with one of three codes: `DATASET_REFUSED` (a file that
may not be read), `DATASET_INVALID` (not a table), `DATASET_TOO_LARGE` (naming the limit and what was found).
"""

from typing import Final

from tools.contract import ToolError

FILE_BYTES: Final = 64 * 1024 * 1024
ROWS: Final = 1_000_000
COLUMNS: Final = 500
CELLS: Final = 20_000_000  # a small compressed file can hold very many
INLINE_ROWS: Final = 10_000
INLINE_NUMBERS: Final = 50_000
CELL_BYTES: Final = 64 * 1024
UNPACKED_BYTES: Final = 1024 * 1024 * 1024  # what the pages of a Parquet file may have without compression


def refused(message: str) -> ToolError:
    """The file may not be read."""
    return ToolError(message, code="DATASET_REFUSED", retryable=False)


def invalid(message: str) -> ToolError:
    """The dataset is not a table of values."""
    return ToolError(message, code="DATASET_INVALID", retryable=False)


def check(what: str, observed: int, limit: int) -> None:
    """Raise `DATASET_TOO_LARGE` if `observed` is above `limit`."""
    if observed > limit:
        message = f"dataset has {observed:,} {what}, the limit is {limit:,}"
        raise ToolError(message, code="DATASET_TOO_LARGE", retryable=False)
