"""Who may open the file: one process at a time, on a disk of this machine.

The write-ahead log needs memory that all connections share, and locks that hold. A network file system offers neither.
"""

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from runtime.errors import InvalidInput, JournalInUse

_MOUNTS: Final = Path("/proc/self/mountinfo")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

NETWORK_FILESYSTEMS: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "coda", "glusterfs", "gpfs", "lustre", "ocfs2"),
        *("gfs2", "beegfs", "orangefs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"),
        *("fuse.gcsfuse", "fuse.juicefs", "fuse.davfs", "davfs"),
    }
)


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a file system is attached, and its type, such as `ext4`."""

    point: str
    filesystem: str


def mount_of(path: PurePosixPath, mounts: str) -> Mount | None:
    """Return the mount that an absolute path lies on.

    Args:
        path: Without symbolic links.
        mounts: Text in the format of `/proc/self/mountinfo`. Of two mounts on one place, the later one covers the earlier.
    """
    found: Mount | None = None
    for line in mounts.splitlines():
        fields, separator, described = line.partition(" - ")
        columns = fields.split()
        if not separator or len(columns) < 5 or not described.split():
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), columns[4])
        if path.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            found = Mount(point, described.split()[0])
    return found


def require_local_disk(path: Path) -> None:
    """Refuse a file on a network file system, where the machine says what its mounts are.

    Raises:
        InvalidInput: It is on one.
    """
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return  # not Linux
    mount = mount_of(PurePosixPath(path.resolve()), mounts)
    if mount is not None and mount.filesystem in NETWORK_FILESYSTEMS:
        raise InvalidInput(
            f"The journal {str(path)!r} is on a network file system ({mount.filesystem} at {mount.point!r}), where locks and "
            "flushes cannot be relied on. Put it on a local disk; --allow-network-filesystem takes the risk."
        )


def lock(path: Path) -> IO[str]:
    """Return the open lock file; the system frees the lock when this process ends, however it ends.

    Raises:
        JournalInUse: Another process has it.
    """
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        message = f"The journal beside {str(path)!r} is in use by {owner}. One process owns a data directory at a time."
        raise JournalInUse(message) from error
    file.seek(0)
    file.truncate()
    file.write(f"process {os.getpid()} (boot {_boot_id()})")
    file.flush()
    return file


def _boot_id() -> str:
    """Return what tells this start of the machine from all others: process numbers are used again after the next one."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
