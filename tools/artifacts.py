"""Artifacts: files that the tools of a run leave behind, kept as long as the run is.

Below the folder, `runs/<run id>/` has everything of one run: `names/` says which artifact has which content, and is what is
shown; `held/` holds every content that the run ever wrote, so that a reference to a former version can still be read;
`inputs/` what it read and must be able to read again. Contents are shared between runs as `objects.py` says.

Invariant: an artifact is shown once its content and its entry are durable; a reference yields the bytes it was made for, or an
error.
"""

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from tools.contract import ToolError
from tools.objects import (
    CHUNK_BYTES,
    NAME,
    SHA256,
    Incoming,
    ObjectStore,
    TooLong,
    digest_of,
    files_in,
    make_folder,
    open_regular,
    write_whole,
)

MAX_ARTIFACTS: Final = 1_000
"""Names that one run may give."""

_MEDIA_TYPE: Final = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}(; charset=utf-8)?")


class Artifact(msgspec.Struct, frozen=True):
    """An artifact as its run lists it. `created_at` is when the name got this content, in UTC."""

    name: str
    media_type: str
    bytes: int
    sha256: str
    created_at: datetime


_decode: Final = msgspec.json.Decoder(Artifact).decode


@dataclass(frozen=True, slots=True)
class RunArtifacts:
    """What `ToolContext.artifacts` is: the artifacts of one run. Every method blocks; async tools call them in threads.

    Attributes:
        folder: Where the artifacts of all runs are.
        run_id: Whose they are.
        limit_bytes: How much the contents of this run may have together.
    """

    folder: Path
    run_id: str
    limit_bytes: int

    def write(self, name: str, data: bytes | Path, media_type: str) -> dict[str, Any]:
        """Give the run an artifact, durably; see `tools.contract.Artifacts`."""
        _check(name, media_type)
        store = ObjectStore(self.folder)
        try:
            with store.receiving(self.limit_bytes) as incoming:
                _fill(incoming, data)
                incoming.seal()
                self._keep(store, incoming, name, media_type)
                return {"artifact": name, "sha256": incoming.sha256, "bytes": incoming.size_bytes}
        except TooLong as error:
            raise self._too_large(error.observed) from None
        except OSError as error:
            raise _not_written(name, error) from error

    def read(self, reference: Mapping[str, Any]) -> bytes:
        """Return what a reference stands for, also one of another run; see `tools.contract.Artifacts`."""
        sha256 = reference.get("sha256")
        if not isinstance(sha256, str) or SHA256.fullmatch(sha256) is None:
            raise ToolError(
                "a reference to an artifact has a 'sha256' of 64 lower-case hex digits; use what write() returned",
                code="ARTIFACT_INVALID",
                retryable=False,
            )
        shown = f"artifact {str(reference.get('artifact', ''))[:120]!r} with SHA-256 {sha256}"
        for path in (
            self._run / "held" / sha256,
            self._run / "inputs" / sha256,
            ObjectStore(self.folder).path_of(sha256),
        ):
            with suppress(FileNotFoundError), open_regular(path) as stream:
                size = os.fstat(stream.fileno()).st_size
                if size > self.limit_bytes:
                    raise self._too_large(size)
                data = stream.read()
                if hashlib.sha256(data).hexdigest() != sha256:
                    raise ToolError(f"{shown} is damaged on disk", code="ARTIFACT_MISSING", retryable=False)
                return data
        raise ToolError(f"there is no {shown} any more", code="ARTIFACT_MISSING", retryable=False)

    def keep(self, sha256: str, data: bytes, objects: ObjectStore | None = None) -> None:
        """Hold what the run has read, so that it can read it again whatever becomes of where it came from.

        Args:
            sha256: Digest of `data`.
            data: What was read.
            objects: Where it may be linked from instead of being copied.

        Raises:
            ToolError: `ARTIFACT_NOT_WRITTEN`.
        """
        hold = self._run / "inputs" / sha256
        try:
            store = ObjectStore(self.folder)
            if hold.exists() or any(one.link(sha256, hold) for one in (objects, store) if one is not None):
                return
            with store.receiving(len(data)) as incoming:
                incoming.write(data)
                store.hold(incoming, hold)
        except OSError as error:
            raise _not_written(sha256, error) from error

    @property
    def _run(self) -> Path:
        return run_folder(self.folder, self.run_id)

    def _keep(self, store: ObjectStore, incoming: Incoming, name: str, media_type: str) -> None:
        names, held = self._run / "names", self._run / "held"
        make_folder(names)
        make_folder(held)
        entry = names / f"{name}.json"
        with _locked(self._run):  # so that two that write at once cannot both be the last one to fit
            known = read_entry(entry)
            sizes = {path.name: path.lstat().st_size for path in files_in(held, depth=1)}
            total = sum(sizes.values()) + (0 if incoming.sha256 in sizes else incoming.size_bytes)
            if total > self.limit_bytes:
                raise self._too_large(total)
            if known is None and len(os.listdir(names)) >= MAX_ARTIFACTS:
                message = (
                    f"the run has {MAX_ARTIFACTS:,} artifacts already, which is the limit; put several into one file"
                )
                raise ToolError(message, code="ARTIFACT_TOO_LARGE", retryable=False)
            if (
                sizes.get(incoming.sha256) != incoming.size_bytes
                or digest_of(held / incoming.sha256) != incoming.sha256
            ):
                store.hold(incoming, held / incoming.sha256)
            if known is None or (known.sha256, known.media_type) != (incoming.sha256, media_type):
                now = datetime.now(UTC)
                artifact = Artifact(name, media_type, incoming.size_bytes, incoming.sha256, now)
                write_whole(entry, msgspec.json.encode(artifact))

    def _too_large(self, observed: int) -> ToolError:
        message = f"the artifacts of this run would have {observed:,} bytes, the limit is {self.limit_bytes:,}"
        return ToolError(message, code="ARTIFACT_TOO_LARGE", retryable=False)


def run_folder(folder: Path, run_id: str) -> Path:
    """Return where everything of a run is.

    Raises:
        ValueError: The id could lead elsewhere.
    """
    if NAME.fullmatch(run_id) is None:
        raise ValueError(f"{run_id[:128]!r} cannot be the id of a run")
    return folder / "runs" / run_id


def _check(name: str, media_type: str) -> None:
    if NAME.fullmatch(name) is None:
        raise ToolError(
            f"{name[:128]!r} cannot be the name of an artifact: use 1 to 120 of the characters A-Z a-z 0-9 . _ - "
            "and do not begin with a dot",
            code="ARTIFACT_INVALID",
            retryable=False,
        )
    if _MEDIA_TYPE.fullmatch(media_type) is None:
        raise ToolError(
            f"{media_type[:128]!r} is no media type; use one like 'text/csv' or 'text/html; charset=utf-8'",
            code="ARTIFACT_INVALID",
            retryable=False,
        )


def _fill(incoming: Incoming, data: bytes | Path) -> None:
    if not isinstance(data, Path):
        incoming.write(data)
        return
    with open_regular(data) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            incoming.write(chunk)


def read_entry(path: Path) -> Artifact | None:
    """Return what a file in `names/` says; None if it is not there, or says nothing."""
    try:
        with open_regular(path) as stream:
            return _decode(stream.read())
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other threads and processes from changing a run's folder; a process that dies lets go."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _not_written(name: str, error: OSError) -> ToolError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    retryable = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)
    return ToolError(f"cannot keep {name!r}: {reason}", code="ARTIFACT_NOT_WRITTEN", retryable=retryable)
