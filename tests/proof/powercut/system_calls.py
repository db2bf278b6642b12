"""Lets files that are not SQLite's be on a simulated disk, too: those that the process opens in one folder with `os.open`."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.proof.powercut.disk import Content, PowerCut, SimulatedDisk


class _Calls:
    """Stand-ins for functions of `os`: they do what those do, and tell the disk about it first. No sync is real."""

    def __init__(self, disk: SimulatedDisk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._files: dict[int, Content | None] = {}
        self._real_open, self._real_close = os.open, os.close
        self._real_pwrite, self._real_fsync, self._real_replace = os.pwrite, os.fsync, os.replace

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        content: Content | None = None
        if (place := _place(path)) is not None and place.parent == self._folder:
            content = self._opened(place.name, flags)
        descriptor = self._real_open(path, flags, mode, dir_fd=dir_fd)
        if content is not None or place == self._folder:
            self._files[descriptor] = content
        return descriptor

    def _opened(self, name: str, flags: int) -> Content | None:
        content = self._disk.content(name)
        with _as_system_error():
            if content is None and flags & os.O_CREAT:
                return self._disk.create(name)
            if content is not None and flags & os.O_TRUNC:
                self._disk.truncate(content, 0)
        return content

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        if (content := self._files.get(descriptor)) is not None:
            with _as_system_error():
                self._disk.write(content, offset, data)
        return self._real_pwrite(descriptor, data, offset)

    def fsync(self, descriptor: int) -> None:
        if descriptor not in self._files:
            self._real_fsync(descriptor)
            return
        content = self._files[descriptor]
        with _as_system_error():
            if content is None:
                self._disk.sync_names()
            else:
                self._disk.sync(content)

    def close(self, descriptor: int) -> None:
        self._files.pop(descriptor, None)
        self._real_close(descriptor)

    def replace(self, source: Any, target: Any) -> None:
        if (place := _place(source)) is not None and self._disk.content(place.name) is not None:
            with _as_system_error():
                self._disk.move(place.name, Path(target).name)
        self._real_replace(source, target)


def _place(path: Any) -> Path | None:
    return Path(path) if isinstance(path, (str, Path)) else None


@contextmanager
def _as_system_error() -> Iterator[None]:
    try:
        yield
    except PowerCut as cut:
        raise OSError(errno.EIO, str(cut)) from cut


@contextmanager
def files_on(disk: SimulatedDisk, folder: Path) -> Iterator[None]:
    """Let what this process does in that folder with file descriptors be on the disk."""
    calls = _Calls(disk, folder)
    with patch.multiple(
        os, open=calls.open, pwrite=calls.pwrite, fsync=calls.fsync, close=calls.close, replace=calls.replace
    ):
        yield
