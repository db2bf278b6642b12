"""References: how a state names a table instead of holding it, and how the bytes it means are found.

| reference | means |
|---|---|
| `{"path": "airports.csv"}` | what the file is when it is read |
| `{"path": "airports.csv", "sha256": "..."}` | exactly this content, whatever the name stands for by now |
| `{"artifact": "cleaned.csv", "sha256": "..."}` | an artifact of a run, as `ToolContext.artifacts.write` returned it |

Invariant: a reference with a digest yields bytes of that digest, or an error; and once a run has read them, it can read them again
as long as it is kept.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.contract import Artifacts, ToolError
from tools.data_quality.datasets import files, limits
from tools.data_quality.datasets.limits import invalid, refused
from tools.objects import SHA256, ObjectStore

STORE: Final = ".store"
"""Folder below that of the datasets with the contents of uploads, also former ones; hidden, so no path leads into it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a reference stands for.

    Attributes:
        name: Name of the file; its ending says how to read `data`.
        data: The whole content.
        pinned: A reference to exactly this content, for the state.
    """

    name: str
    data: bytes
    pinned: dict[str, Any]


def is_reference(dataset: object) -> bool:
    """Tell whether a state's dataset is a reference, right or wrong, and not the table itself."""
    return isinstance(dataset, Mapping) and any(isinstance(dataset.get(key), str) for key in ("path", "artifact"))


def fetch(reference: Mapping[str, Any], datasets_dir: Path | None, artifacts: Artifacts | None = None) -> Fetched:
    """Return the bytes that a reference stands for.

    Args:
        reference: See the module.
        datasets_dir: Where files are.
        artifacts: The run's; without them, nothing is held for the run.

    Raises:
        ToolError: `DATASET_REFUSED`, `DATASET_INVALID`, `DATASET_TOO_LARGE`, `DATASET_CHANGED`, or one of an artifact.
    """
    sha256 = reference.get("sha256")
    if sha256 is not None and not (isinstance(sha256, str) and SHA256.fullmatch(sha256)):
        raise invalid("'sha256' of a reference must be 64 lower-case hex digits")
    if "artifact" in reference:
        return _artifact(reference, artifacts)
    if set(reference) - {"path", "sha256"}:
        raise invalid("a file reference has the keys 'path' and 'sha256' and no other")
    path = reference["path"]
    if sha256 is None:
        data = files.bytes_of(files.locate(path, datasets_dir))
        sha256 = hashlib.sha256(data).hexdigest()
        if artifacts is not None:
            artifacts.keep(sha256, data, _store(datasets_dir))
    else:
        data = _pinned(path, sha256, datasets_dir, artifacts)
    return Fetched(path, data, {"path": path, "sha256": sha256})


def read(
    reference: Mapping[str, Any], datasets_dir: Path | None, artifacts: Artifacts | None = None
) -> tuple[files.Content, list[str], dict[str, Any]]:
    """Return the table that a reference stands for, notes about how it had to be read, and the pinned reference.

    Raises:
        ToolError: As `fetch` and `files.parse` do.
    """
    fetched = fetch(reference, datasets_dir, artifacts)
    content, notes = files.parse(fetched.data, fetched.name)
    return content, notes, fetched.pinned


def _pinned(path: str, sha256: str, datasets_dir: Path | None, artifacts: Artifacts | None) -> bytes:
    """Return the content of that digest: as the run has held it, as the file still is, or as it was uploaded."""
    if artifacts is not None:
        try:
            return artifacts.read({"artifact": path, "sha256": sha256})
        except ToolError as error:
            if error.code != "ARTIFACT_MISSING":
                raise
    store, data = _store(datasets_dir), None
    try:
        file = files.locate(path, datasets_dir)
        data = _if_digest(files.bytes_of(file), sha256)
    except ToolError as error:
        if error.code != "DATASET_REFUSED" or not store.path_of(sha256).exists():
            raise
    if data is None and store.path_of(sha256).exists():
        data = _if_digest(files.bytes_of(store.path_of(sha256)), sha256)
    if data is None:
        raise ToolError(
            f"{path!r} is no longer the content with SHA-256 {sha256} that the reference asks for, and that is not kept; "
            "upload it again, or start a run with the file as it is now",
            code="DATASET_CHANGED",
            retryable=False,
        )
    if artifacts is not None:
        artifacts.keep(sha256, data, store)
    return data


def _artifact(reference: Mapping[str, Any], artifacts: Artifacts | None) -> Fetched:
    name = reference["artifact"]
    if set(reference) - {"artifact", "sha256", "bytes"} or not isinstance(name, str) or "sha256" not in reference:
        raise invalid("a reference to an artifact has the keys 'artifact', 'sha256' and 'bytes'")
    if artifacts is None:
        raise refused("this server has no folder for artifacts; ask the operator to set one")
    data = artifacts.read(reference)
    limits.check("bytes", len(data), limits.FILE_BYTES)
    return Fetched(name, data, dict(reference))


def _store(datasets_dir: Path | None) -> ObjectStore:
    if datasets_dir is None:
        raise refused("this server has no folder for datasets; give the data inline, or ask the operator to set one")
    return ObjectStore(datasets_dir / STORE)


def _if_digest(data: bytes, sha256: str) -> bytes | None:
    return data if hashlib.sha256(data).hexdigest() == sha256 else None
