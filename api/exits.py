"""How the process ends when it has to refuse: codes of sysexits.h, and one line on standard error."""

import os
from typing import Final, NoReturn

import typer

from runtime.errors import (
    EngineError,
    InvalidInput,
    JournalDamaged,
    JournalInUse,
    JournalNewer,
    JournalUnavailable,
    StorageBusy,
    StorageError,
    StorageFull,
)

_CODES: Final = {
    InvalidInput.code: os.EX_CONFIG,
    JournalDamaged.code: os.EX_DATAERR,
    JournalInUse.code: os.EX_TEMPFAIL,
    JournalNewer.code: os.EX_CONFIG,
    JournalUnavailable.code: os.EX_NOPERM,
    StorageBusy.code: os.EX_TEMPFAIL,
    StorageError.code: os.EX_IOERR,
    StorageFull.code: os.EX_IOERR,
}


def exit_code(error: EngineError, *, serving: bool = False) -> int:
    """Return the code for an error; once the server has served, a journal that fails is one that was lost."""
    if serving and isinstance(error, JournalUnavailable):
        return os.EX_IOERR
    return _CODES.get(error.code, os.EX_SOFTWARE)


def refuse(code: int, message: str) -> NoReturn:
    """End the process with that code, after saying why."""
    typer.echo(f"workflow-engine: {message}", err=True)
    raise typer.Exit(code)
