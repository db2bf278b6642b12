"""The folder that a run's files go into: all of them or none, and nobody else's are lost.

The files are written into a hidden folder first and put in place together. `SHA256SUMS`, which `sha256sum -c` reads, lists
them; by it a later run knows what it may replace: files that are still as they were written. Invariant: without `force`, no
file is replaced or removed that the folder's list does not name with its present content; with it, only files of the same
name are.
"""

import hashlib
import os
import secrets
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SUMS: Final = "SHA256SUMS"


class FolderRefused(Exception):
    """The files cannot go there; the message says why, and what to do."""


def check(folder: Path, *, force: bool) -> None:
    """Make sure that files may be written into a folder, which need not exist.

    Raises:
        FolderRefused: It is no folder, may not be written to, or holds what this command has not written.
    """
    place = _existing(folder)
    if not place.is_dir():
        raise FolderRefused(f"{str(place)!r} is a file; name a folder by --out")
    if not os.access(place, os.W_OK | os.X_OK):
        raise FolderRefused(f"may not write into {str(place)!r}; name another folder by --out")
    if place != folder or force:
        return
    own = _own(folder)
    foreign = sorted(set(os.listdir(folder)) - {*own, SUMS})
    if foreign:
        raise FolderRefused(
            f"{str(folder)!r} holds files that this command did not write, or that have changed since, such as "
            f"{foreign[0]!r}; name another folder by --out, or add --force to replace files of the same name and leave the rest"
        )


def deliver(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder that was checked, and remove those of its last run that are not written any more.

    Returns:
        The files written, in order, `SHA256SUMS` last.

    Raises:
        OSError: They could not be written; what had been there still is, unless moving the last of them failed.
    """
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    everything = {**files, SUMS: sums.encode()}
    is_new = not folder.exists()
    part = (_existing(folder) if is_new else folder) / f".{folder.name[:100]}.{secrets.token_hex(6)}.part"
    try:
        part.mkdir()
        for name, data in everything.items():
            (part / name).write_bytes(data)
        with _undisturbed():
            if is_new:
                folder.parent.mkdir(parents=True, exist_ok=True)
                part.rename(folder)
            else:
                stale = set(_own(folder)) - set(everything)
                for name in everything:
                    os.replace(part / name, folder / name)
                for name in sorted(stale):
                    (folder / name).unlink()
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [folder / name for name in everything]


def write_file(file: Path, data: bytes) -> None:
    """Put one file in place, whole.

    Raises:
        OSError: It could not be written; what had been there still is.
    """
    part = file.with_name(f".{file.name[:100]}.{secrets.token_hex(6)}.part")
    try:
        part.write_bytes(data)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def _own(folder: Path) -> list[str]:
    """The files in a folder that are as its list says they were written."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    listed = [(line[:64], line[66:]) for line in lines if "/" not in line]
    return [name for digest, name in listed if name and _digest(folder / name) == digest]


def _digest(file: Path) -> str | None:
    if file.is_symlink() or not file.is_file():
        return None
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold off Ctrl-C for the moment in which files are moved."""
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
