"""Files kept by their content: equal contents are stored once, and none that anybody holds can be lost.

An *object* is a file named after the SHA-256 of its content. Whoever needs it has a hard link of its own to the same file, its
*hold*, and reads that; the name among the objects only serves to find equal content again. So removing an object that looks
unused never takes the content away from a hold that appears at the same moment, without any lock, also between processes; and
after a crash the file system's own count of links still says what is in use.

Invariant: a file appears under a hold or among the objects whole and flushed, or not at all.
"""

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Final

NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}")
"""Names of datasets and artifacts: one part of a path on every system, never hidden, never more than it looks like."""

SHA256: Final = re.compile(r"[0-9a-f]{64}")

CHUNK_BYTES: Final = 1 << 20
INCOMING_S: Final = 3_600.0
"""A file that nobody has written to for so long was left behind by a process that ended."""

_NO_LINK: Final = (errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOENT)
"""Why a file cannot be linked although its content can be copied: 65,000 links on ext4, another disk, no links at all, gone."""


class TooLong(Exception):
    """More was written than may be; the file is of no use any more."""

    def __init__(self, observed: int, limit: int) -> None:
        super().__init__(f"{observed:,} bytes, the limit is {limit:,}")
        self.observed = observed
        self.limit = limit


class Incoming:
    """A file on its way in: written piece by piece, then sealed, then held or discarded.

    Attributes:
        size_bytes: How much was written.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self.size_bytes = 0
        self._limit = limit_bytes
        self._digest = hashlib.sha256()
        self._stream = open(path, "xb", buffering=0)  # noqa: SIM115 - closed by `seal` or `discard`

    @property
    def sha256(self) -> str:
        """Digest of what was written, in hex."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            TooLong: It would be more than the limit; nothing was written.
            OSError: The disk is full, or failed.
        """
        if self.size_bytes + len(data) > self._limit:
            raise TooLong(self.size_bytes + len(data), self._limit)
        rest = memoryview(data)
        while rest:
            rest = rest[self._stream.write(rest) :]
        self.size_bytes += len(data)
        self._digest.update(data)

    def seal(self) -> None:
        """Flush the file, and let nobody write to it any more. Idempotent."""
        if not self._stream.closed:
            os.fchmod(self._stream.fileno(), 0o444)
            os.fsync(self._stream.fileno())
            self._stream.close()

    def discard(self) -> None:
        """Remove the file, unless it is held: then only this name of it. Idempotent."""
        self._stream.close()
        self.path.unlink(missing_ok=True)


class ObjectStore:
    """The objects below one folder, which is made when the first one comes. Every method blocks."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._incoming = folder / "incoming"

    def receive(self, limit_bytes: int) -> Incoming:
        """Begin a new file of at most `limit_bytes`; whoever calls this discards it in the end."""
        make_folder(self._incoming)
        return Incoming(self._incoming / secrets.token_hex(16), limit_bytes)

    @contextmanager
    def receiving(self, limit_bytes: int) -> Iterator[Incoming]:
        """Begin a new file, and discard it on the way out."""
        incoming = self.receive(limit_bytes)
        try:
            yield incoming
        finally:
            incoming.discard()

    def path_of(self, sha256: str) -> Path:
        """Return where the object of that digest is, if it is there."""
        return self._objects / sha256[:2] / sha256

    def hold(self, incoming: Incoming, hold: Path) -> None:
        """Put the content of `incoming` at `hold`, in place of what is there, and among the objects. Durable on return.

        Content that is among the objects already is shared, if it still has its digest; otherwise it is mended.
        """
        incoming.seal()
        known = self.path_of(incoming.sha256)
        is_known = digest_of(known) == incoming.sha256
        if not (is_known and self._place(known, hold)):
            self._place(incoming.path, hold, must=True)
            make_folder(known.parent)
            with suppress(OSError):  # it is only lost for sharing
                self._place(hold, known)
        sync_folder(hold.parent)

    def link(self, sha256: str, hold: Path) -> bool:
        """Hold an object that is there; return False if it is not, or cannot be linked."""
        is_held = self._place(self.path_of(sha256), hold)
        if is_held:
            sync_folder(hold.parent)
        return is_held

    def share(self, hold: Path, other: Path) -> None:
        """Let `other` hold what `hold` does; it gets a copy where files cannot be linked. Durable on return."""
        if self._place(hold, other):
            sync_folder(other.parent)
            return
        with open_regular(hold) as stream, self.receiving(os.fstat(stream.fileno()).st_size) as incoming:
            while chunk := stream.read(CHUNK_BYTES):
                incoming.write(chunk)
            self.hold(incoming, other)

    def _place(self, source: Path, target: Path, *, must: bool = False) -> bool:
        """Give a file another name, in place of what has it."""
        make_folder(self._incoming)
        make_folder(target.parent)
        part = self._incoming / secrets.token_hex(16)
        try:
            os.link(source, part, follow_symlinks=False)
            os.replace(part, target)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            if not must:
                return False
            os.replace(source, target)  # it has one name then, and is not shared
        finally:
            part.unlink(missing_ok=True)  # renaming a file to another name of itself does nothing
        return True

    def release(self, sha256: str) -> bool:
        """Remove the object if nobody holds it; return whether it was removed."""
        path = self.path_of(sha256)
        with suppress(OSError):
            if path.lstat().st_nlink == 1:
                path.unlink()
                return True
        return False

    def sweep(self, unheld_s: float) -> int:
        """Remove objects that nobody has held for `unheld_s` seconds, and files that never came whole; return how many.

        The change time of a file is also that of its last link, so it says since when nobody holds it.
        """
        now, removed = time.time(), 0
        for path in files_in(self._objects, depth=2):
            with suppress(OSError):
                status = path.lstat()
                if status.st_nlink == 1 and now - status.st_ctime >= unheld_s:
                    path.unlink()
                    removed += 1
        for path in files_in(self._incoming, depth=1):
            with suppress(OSError):
                if now - path.lstat().st_mtime >= INCOMING_S:
                    path.unlink()
                    removed += 1
        return removed


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading that is a file: no link, no folder, no pipe that would wait for somebody to write.

    Raises:
        OSError: It cannot be opened, or is something else (`ELOOP`, `EINVAL`).
    """
    # O_NOFOLLOW: a link is not what the name says. O_NONBLOCK: a FIFO must not hang.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return open(descriptor, "rb")


def digest_of(path: Path) -> str | None:
    """Return the SHA-256 of a file in hex, or None if there is no such file."""
    try:
        with open_regular(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def write_whole(path: Path, data: bytes) -> None:
    """Put a small file in place at once and durably: a reader sees all of it, or what was there before."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and those around it, durably."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Flush the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def files_in(folder: Path, *, depth: int) -> Iterator[Path]:
    """Yield what stands `depth` levels below a folder, sorted by name; nothing if there is no folder."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if depth == 1:
            yield folder / name
        else:
            yield from files_in(folder / name, depth=depth - 1)
