"""A live run's committed records, encoded, for any number of watchers.

A watcher holds a cursor, not a queue: it takes what it has not seen from the recent records here, or from the journal if it is
further behind than they reach. So a slow watcher costs nothing but its own time, and a missing record is impossible: numbers
are compared, not deliveries counted. Bound: the `recent` newest records; overflow: older ones are forgotten here.
"""

from collections import deque

import anyio

from runtime.views import LogRecord


class LogChannel:
    """The records of one run. `publish` and `close` are called by the run's logger and actor, the rest by anyone."""

    __slots__ = ("_changed", "_ended", "_recent", "closed", "last_seq")

    def __init__(self, recent: int, last_seq: int = 0) -> None:
        self.last_seq = last_seq
        self.closed = False
        self._recent: deque[LogRecord] = deque(maxlen=recent)
        self._changed: anyio.Event | None = None
        self._ended: anyio.Event | None = None

    def __len__(self) -> int:
        return len(self._recent)

    def publish(self, record: LogRecord) -> None:
        """Append the next record."""
        self.last_seq = record.seq
        self._recent.append(record)

    def notify(self) -> None:
        """Wake whoever waits; called once for all records of a commit."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def close(self) -> None:
        """Say that no record will follow."""
        self.closed = True
        self.notify()
        if self._ended is not None:
            self._ended.set()

    def after(self, seq: int) -> list[LogRecord] | None:
        """Return the records behind `seq`, or None if they are not all here any more."""
        if seq >= self.last_seq:
            return []
        first = self.last_seq - len(self._recent) + 1
        if seq + 1 < first:
            return None
        return [record for record in self._recent if record.seq > seq]

    async def wait_beyond(self, seq: int) -> None:
        """Wait until there is a record behind `seq`, or there will be none."""
        while self.last_seq <= seq and not self.closed:
            if self._changed is None:
                self._changed = anyio.Event()
            await self._changed.wait()

    async def wait_closed(self) -> None:
        """Wait until no record will follow, without being woken by each of them."""
        if not self.closed:
            if self._ended is None:
                self._ended = anyio.Event()
            await self._ended.wait()
