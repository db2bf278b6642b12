"""The artifacts of all runs, for who runs the engine: listing, downloading, handing over to a fork, and removing.

Invariant: a run's artifacts are removed all at once, by one rename; what is left to do then can be cut off at any moment and is
done by the next sweep.
"""

import os
import secrets
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Final

import msgspec

from tools.artifacts import Artifact, RunArtifacts, read_entry, run_folder
from tools.objects import NAME, ObjectStore, files_in, make_folder, open_regular, write_whole

ORPHAN_S: Final = 7 * 86_400.0
"""A folder of a run that nobody knows may be removed when nothing was put into it for so long: a week to notice that a journal
was restored from an old copy, or salvaged."""


class ArtifactStore:
    """The artifacts of all runs below one folder, for the engine and the server. Every method blocks."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._objects = ObjectStore(folder)

    def of_run(self, run_id: str) -> RunArtifacts:
        """Return what the tools of a run get."""
        return RunArtifacts(self._folder, run_id, self._limit)

    def listing(self, run_id: str) -> list[Artifact]:
        """Return the artifacts of a run by name; none if there is no such run."""
        names = run_folder(self._folder, run_id) / "names"
        entries = (read_entry(path) for path in files_in(names, depth=1) if path.suffix == ".json")
        return sorted((entry for entry in entries if entry is not None), key=lambda entry: entry.name)

    def open(self, run_id: str, name: str) -> tuple[Artifact, BufferedReader] | None:
        """Open an artifact for reading; whoever calls this closes it. None if there is no such artifact."""
        if NAME.fullmatch(name) is None:
            return None
        run = run_folder(self._folder, run_id)
        entry = read_entry(run / "names" / f"{name}.json")
        if entry is None:
            return None
        with suppress(FileNotFoundError):
            return entry, open_regular(run / "held" / entry.sha256)
        return None

    def adopt(self, source: str, run_id: str) -> None:
        """Let a new run hold, and show, what another one does."""
        old, new = run_folder(self._folder, source), run_folder(self._folder, run_id)
        for kind in ("inputs", "held"):
            for hold in files_in(old / kind, depth=1):
                with suppress(FileNotFoundError):
                    self._objects.share(hold, new / kind / hold.name)
        for artifact in self.listing(source):  # behind the contents, so that none is shown without
            make_folder(new / "names")
            write_whole(new / "names" / f"{artifact.name}.json", msgspec.json.encode(artifact))

    def remove(self, run_ids: Collection[str]) -> None:
        """Remove everything that only these runs hold."""
        for run_id in run_ids:
            folder = run_folder(self._folder, run_id)
            gone = self._folder / "removed" / f"{run_id}.{secrets.token_hex(8)}"
            try:
                if folder.is_dir():
                    make_folder(gone.parent)
                    os.replace(folder, gone)  # from here on, the run has none; the rest may be cut off and done later
                    self._clear(gone)
            except FileNotFoundError:
                continue

    def idle_runs(self) -> list[str]:
        """Return the runs that have something here, and have put nothing here for a week, by id."""
        folders = files_in(self._folder / "runs", depth=1)
        return [folder.name for folder in folders if time.time() - _last_written(folder) >= ORPHAN_S]

    def sweep(self) -> None:
        """Finish removals that were cut off, and remove objects that nobody holds."""
        for folder in files_in(self._folder / "removed", depth=1):
            self._clear(folder)
        self._objects.sweep(0.0)

    def _clear(self, folder: Path) -> None:
        digests = [path.name for kind in ("held", "inputs") for path in files_in(folder / kind, depth=1)]
        shutil.rmtree(folder, ignore_errors=True)
        for digest in digests:
            self._objects.release(digest)


def _last_written(folder: Path) -> float:
    """Return when something was last put into a run's folder, in seconds of the wall clock; now if it is gone."""
    times = [time.time()]
    with suppress(OSError):
        times = [
            path.stat().st_mtime
            for path in (folder, folder / "names", folder / "held", folder / "inputs")
            if path.exists()
        ]
    return max(times, default=time.time())
