"""A disk that knows what would be left of it if the power failed now.

A file is its durable bytes and the writes since its last sync. Names are durable only once their folder was synced. When the
power fails, of every unsynced write each sector survives or not, independently of all others, so writes are lost, reordered
and torn; of a name's changes any may be missing. The disk keeps what it promises and nothing else:

- what was synced is there;
- with `POWERSAFE_OVERWRITE`, a sector that was being written keeps its other bytes; without it, any of its bytes may be garbage;
- nothing else, not even that a file is as long as it was.
"""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, TypeAlias

import apsw


class PowerCut(apsw.IOError):
    """The power is off: nothing reaches the disk any more."""


@dataclass(frozen=True, slots=True)
class Device:
    """What the disk tells SQLite about itself, and keeps. Sizes are in bytes."""

    sector_size: int
    characteristics: int


DEVICES: Final = (
    Device(4096, apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE),  # what SQLite takes a local disk on Linux for
    Device(512, apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE),
    Device(4096, 0),
    Device(512, 0),
)


@dataclass(frozen=True, slots=True)
class _Write:
    offset: int
    data: bytes


_Change: TypeAlias = "_Write | int"
"""A write, or the size that the file was cut to."""


@dataclass(slots=True)
class Content:
    """A file, whatever its name: what is safe of it, and what happened since it was synced."""

    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[_Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Odds:
    """How much of what was not synced survives a cut; each a probability."""

    sector: float
    torn: float
    name: float


class SimulatedDisk:
    """A folder of files. The power fails at the change or sync numbered `cut_at`, before it is done or amid it.

    Every method that changes something raises `PowerCut` from then on. Changes may come from any thread.

    Attributes:
        device: What this disk promises.
        left: What the cut left behind, by name; None while the power is on.
    """

    def __init__(
        self, device: Device, chance: random.Random, *, cut_at: int, files: Mapping[str, bytes] | None = None
    ) -> None:
        self.device = device
        self.left: dict[str, bytes] | None = None
        self._chance = chance
        self._until_cut = cut_at
        self._lock = threading.Lock()
        self._durable_names = {name: Content(bytearray(data)) for name, data in (files or {}).items()}
        self._names = dict(self._durable_names)
        self._renamings: list[dict[str, Content | None]] = []

    @property
    def is_on(self) -> bool:
        """Whether the power has not failed yet."""
        return self.left is None

    def content(self, name: str) -> Content | None:
        """Return the file of that name."""
        return self._names.get(name)

    def create(self, name: str) -> Content:
        """Make an empty file, whose name is not durable yet."""
        content = Content()
        self._rename({name: content})
        return content

    def delete(self, name: str) -> None:
        """Take a name away, which is not durable yet."""
        self._rename({name: None})

    def move(self, source: str, target: str) -> None:
        """Give a file another name, in one step that is not durable yet."""
        self._rename({source: None, target: self._names[source]})

    def write(self, content: Content, offset: int, data: bytes) -> None:
        """Change bytes of a file."""
        with self._lock:
            self._require_power()
            content.unsynced.append(_Write(offset, data))
            self._count()

    def truncate(self, content: Content, size: int) -> None:
        """Cut a file off, or make it longer with zeros."""
        with self._lock:
            self._require_power()
            content.unsynced.append(size)
            self._count()

    def sync(self, content: Content) -> None:
        """Make the bytes of a file durable, not its name."""
        with self._lock:
            self._require_power()
            self._count()
            for change in content.unsynced:
                if isinstance(change, _Write):
                    _put(content.durable, change.offset, change.data)
                else:
                    _resize(content.durable, change)
            content.unsynced.clear()

    def sync_names(self) -> None:
        """Make the folder durable: which names there are."""
        with self._lock:
            self._require_power()
            self._count()
            self._durable_names = dict(self._names)
            self._renamings.clear()

    def _rename(self, change: dict[str, Content | None]) -> None:
        with self._lock:
            self._require_power()
            self._renamings.append(change)
            _apply_names(self._names, change)
            self._count()

    def _require_power(self) -> None:
        if self.left is not None:
            raise PowerCut("The power is off.")

    def _count(self) -> None:
        self._until_cut -= 1
        if self._until_cut <= 0:
            self.left = self._survivors()
            raise PowerCut("The power fails.")

    # --- what a cut leaves --------------------------------------------------------------------------------------------

    def _survivors(self) -> dict[str, bytes]:
        chance = self._chance
        odds = _Odds(
            sector=chance.choice([0.0, 1.0, 0.5, chance.random()]),
            torn=chance.choice([0.0, 0.0, 0.02, 0.3]),
            name=chance.choice([0.0, 1.0, 0.5]),
        )
        names = dict(self._durable_names)
        for change in self._renamings:
            if chance.random() < odds.name:
                _apply_names(names, change)
        return {name: self._survivor(content, odds) for name, content in names.items()}

    def _survivor(self, content: Content, odds: _Odds) -> bytes:
        data = bytearray(content.durable)
        for change in content.unsynced:
            if not isinstance(change, _Write):
                if self._chance.random() < odds.sector:
                    _resize(data, change)
                continue
            if self._chance.random() < odds.sector / 4:  # the new length is there, whatever becomes of the bytes
                _grow(data, change.offset + len(change.data))
            for start, end in _sectors(change, self.device.sector_size):
                fate = self._chance.random()
                if fate < odds.torn:
                    self._tear(data, change, start, end)
                elif self._chance.random() < odds.sector:
                    _put(data, start, change.data[start - change.offset : end - change.offset])
        return bytes(data)

    def _tear(self, data: bytearray, write: _Write, start: int, end: int) -> None:
        """Write the part of one sector badly: only its beginning, or garbage where the disk promises no better."""
        if self.device.characteristics & apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE or self._chance.random() < 0.5:
            end = self._chance.randint(start, end)
            _put(data, start, write.data[start - write.offset : end - write.offset])
            return
        size = self.device.sector_size
        sector = start // size * size
        _put(data, sector, self._chance.randbytes(min(size, max(end, len(data)) - sector)))


def _apply_names(names: dict[str, Content], change: Mapping[str, Content | None]) -> None:
    for name, content in change.items():
        if content is None:
            names.pop(name, None)
        else:
            names[name] = content


def _sectors(write: _Write, size: int) -> list[tuple[int, int]]:
    """Return where the write begins and ends in each sector that it touches, as offsets in the file."""
    start, end = write.offset, write.offset + len(write.data)
    borders = [start, *range((start // size + 1) * size, end, size), end]
    return list(pairwise(borders))


def _put(data: bytearray, offset: int, new: bytes) -> None:
    _grow(data, offset)
    data[offset : offset + len(new)] = new


def _grow(data: bytearray, size: int) -> None:
    if len(data) < size:
        data.extend(bytes(size - len(data)))


def _resize(data: bytearray, size: int) -> None:
    _grow(data, size)
    del data[size:]
