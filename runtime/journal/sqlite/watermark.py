"""The watermark: a small file beside the database that says how much of it there must at least be.

SQLite takes a write-ahead log whose tail is missing or altered for one that ends there, so the database cannot notice by
itself that it became shorter. The watermark is written after each commit and flushed at most once a second: after a killed
process it is exact, after a power cut it may know less than the database, never more.

There are two slots, each with a checksum. Which one is written changes with each flush, so that a torn write leaves what was
flushed before it.
"""

import errno
import os
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal

from runtime.errors import JournalDamaged, JournalUnavailable
from runtime.journal.sqlite.connections import beside

State = Literal["prepared", "open", "closed"]

FLUSH_S: Final = 1.0
"""How long a commit may be in the watermark without being flushed there, while commits go on."""

_STATES: Final[tuple[State, ...]] = ("prepared", "open", "closed")
_MAGIC: Final = b"wfwm0001"
_FORMAT: Final = struct.Struct(">8sQQdB16s16s")
_CHECKSUM: Final = 16
_SLOT: Final = 4096  # one block of the disk each
_SIZE: Final = _FORMAT.size + _CHECKSUM
_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What the database must at least hold.

    Attributes:
        journal_id: Which journal it belongs to.
        commits: How many commits were confirmed.
        head: The journal-wide hash after the last of them.
        state: `prepared` before the database is made, `open` while a process owns it, `closed` once that one ended well.
        written_at: When, by the clock on the wall.
    """

    journal_id: str
    commits: int
    head: bytes
    state: State
    written_at: datetime


def mark_now(journal_id: str, commits: int, head: bytes, state: State) -> Mark:
    """Return a mark written now."""
    return Mark(journal_id=journal_id, commits=commits, head=head, state=state, written_at=datetime.now(UTC))


def watermark_path(journal: Path) -> Path:
    """Return where the watermark of a journal is."""
    return beside(journal, ".watermark")


def read_mark(journal: Path) -> Mark | None:
    """Return the newest mark of a journal, None if it has no watermark.

    Raises:
        JournalDamaged: Neither slot is whole.
    """
    path = watermark_path(journal)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    marks = [mark for place in (0, _SLOT) if (mark := _decoded(content[place : place + _SIZE])) is not None]
    if not marks:
        raise JournalDamaged(f"The watermark {str(path)!r} is damaged: neither of its two slots fits its checksum.")
    return max(marks, key=lambda found: found[0])[1]


def create_watermark(journal: Path, mark: Mark) -> None:
    """Make the file, or put it in the place of the one there is; it is on the disk when this returns."""
    path = watermark_path(journal)
    fresh = beside(path, ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, _encoded(1, mark), 0)
        os.pwrite(descriptor, bytes(_SLOT), _SLOT)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Let the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Watermark:
    """The watermark of an open journal; `note` is called by the writer's thread alone."""

    def __init__(self, journal: Path, mark: Mark) -> None:
        self._path = watermark_path(journal)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        slots = [_decoded(os.pread(self._descriptor, _SIZE, place)) for place in (0, _SLOT)]
        turns = [0 if slot is None else slot[0] for slot in slots]
        self._turn = max(turns)
        self._slot = turns.index(min(turns))
        self._mark = mark
        self._flushed = 0.0
        self._write(mark)
        self.flush()

    def note(self, commits: int, head: bytes) -> None:
        """Remember a commit that the database has confirmed.

        Raises:
            JournalUnavailable: The disk failed; a disk that is full only makes the watermark late.
        """
        self._mark = Mark(
            journal_id=self._mark.journal_id,
            commits=commits,
            head=head,
            state="open",
            written_at=datetime.now(UTC),
        )
        self._write(self._mark)
        if time.monotonic() - self._flushed >= FLUSH_S:
            self.flush()

    def close(self, *, clean: bool) -> None:
        """Give up the file; with `clean`, say in it that its owner ended well."""
        try:
            if clean:
                with suppress(JournalUnavailable):  # then the next owner checks as after a crash
                    self._write(replace(self._mark, state="closed", written_at=datetime.now(UTC)))
                    self.flush()
        finally:
            os.close(self._descriptor)

    def _write(self, mark: Mark) -> None:
        self._turn += 1
        try:
            os.pwrite(self._descriptor, _encoded(self._turn, mark), _SLOT * self._slot)
        except OSError as error:
            self._require_only_full(error)

    def flush(self) -> None:
        """Let what was noted survive a power cut."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._require_only_full(error)
        else:
            self._flushed = time.monotonic()
            self._slot = 1 - self._slot  # a power cut can tear what was written since a flush, so not both slots

    def _require_only_full(self, error: OSError) -> None:
        if error.errno not in _NO_SPACE:
            raise JournalUnavailable(f"The watermark {str(self._path)!r} could not be written: {error}.") from error


def _encoded(turn: int, mark: Mark) -> bytes:
    content = _FORMAT.pack(
        _MAGIC,
        turn,
        mark.commits,
        mark.written_at.timestamp(),
        _STATES.index(mark.state),
        bytes.fromhex(mark.journal_id),
        mark.head,
    )
    return content + blake2b(content, digest_size=_CHECKSUM).digest()


def _decoded(slot: bytes) -> tuple[int, Mark] | None:
    content, checksum = slot[: _FORMAT.size], slot[_FORMAT.size :]
    if blake2b(content, digest_size=_CHECKSUM).digest() != checksum:
        return None
    magic, turn, commits, written_at, state, journal_id, head = _FORMAT.unpack(content)
    if magic != _MAGIC:
        return None
    mark = Mark(
        journal_id=journal_id.hex(),
        commits=commits,
        head=head,
        state=_STATES[state],
        written_at=datetime.fromtimestamp(written_at, UTC),
    )
    return turn, mark
