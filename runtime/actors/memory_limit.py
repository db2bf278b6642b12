"""Watches the memory of the process, because tools that run inside it may take any amount.

Beyond 70 % of the limit the engine takes no new runs, beyond 90 % it is exhausted and whoever runs the process should end it: a
process that the system kills for its memory ends in the middle of a sentence, and this one can still finish what it says.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from runtime.errors import Overloaded

HIGH: Final = 0.7
EXHAUSTED: Final = 0.9
DEFAULT_SHARE: Final = 0.9
"""Share of what the machine or the container has that the process may take unless told otherwise."""

_MIB: Final = 1 << 20
_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")


class MemoryLimit:
    """Compares what the process uses with what it may use; a thread has to call `look` again and again.

    Attributes:
        limit_bytes: What the process may use.
        is_high: More than 70 % of it was in use at the last look.
        is_exhausted: More than 90 % of it was in use once; stays so.
    """

    def __init__(self, limit_bytes: int, log: FilteringBoundLogger, measure: Callable[[], int] | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.is_high = False
        self.is_exhausted = False
        self._act: Callable[[], None] | None = None
        self._log = log
        self._measure = measure or used_bytes

    def look(self) -> None:
        """Measure, and tell the log what has changed."""
        used = self._measure()
        is_high = used > HIGH * self.limit_bytes
        if is_high and not self.is_high:
            self._log.warning("memory_high", used_mb=used // _MIB, limit_mb=self.limit_bytes // _MIB)
        self.is_high = is_high
        if used > EXHAUSTED * self.limit_bytes and not self.is_exhausted:
            self.is_exhausted = True
            self._log.error("memory_exhausted", used_mb=used // _MIB, limit_mb=self.limit_bytes // _MIB)
            if self._act is not None:
                self._act()

    def call_when_exhausted(self, act: Callable[[], None]) -> None:
        """Have `act` called when the limit is all but reached, by the thread that looks; at once if it is already."""
        self._act = act
        if self.is_exhausted:
            act()

    @property
    def is_short(self) -> bool:
        """Whether new runs are refused."""
        return self.is_high or self.is_exhausted

    def check(self) -> None:
        """Refuse a further run if memory is short.

        Raises:
            Overloaded: More than 70 % of the limit is in use.
        """
        if self.is_short:
            limit = self.limit_bytes // _MIB
            message = (
                f"The server uses more than {HIGH:.0%} of the {limit:,} MiB of memory it may use; submit again later."
            )
            raise Overloaded(message, retry_after_s=5)


def limit_of(max_memory_mb: int | None) -> int | None:
    """Return the limit in bytes that a setting means; None if there is none."""
    if max_memory_mb is not None:
        return max_memory_mb * _MIB or None
    available = available_bytes()
    return None if available is None else int(available * DEFAULT_SHARE)


def used_bytes() -> int:
    """Return the memory that the process holds now; where the system does not tell, the most it ever held."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as statm:
            return int(statm.read(100).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource  # there is none on Windows, and Linux does not need it

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def available_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Return what the machine has, or the container if it may use less; None if the system does not tell."""
    limits = list(_cgroup_limits(proc, cgroups))
    with suppress(OSError, ValueError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(limits, default=None)


def _cgroup_limits(proc: Path, cgroups: Path) -> list[int]:
    """Return the limits of the control groups that the process is in, of either version; "max" is none."""
    limits = []
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, file = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, file = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        # Every group on the way counts. In a container the path may be the host's, and the root is the container's own.
        group = root
        for name in ("", *path.strip("/").split("/")):
            group /= name
            if (text := _read(group / file).strip()).isdigit():
                limits.append(int(text))
    return limits


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
