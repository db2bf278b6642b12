"""A run that has not ended, as the supervisor and those who rebuild it know it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import anyio

from runtime.actors.binding import BoundPlan
from runtime.actors.run_actor import RunActor
from runtime.journal.base import Journal, RunRow
from runtime.journal.writer import JournalReader
from runtime.log.channel import LogChannel

Bind = Callable[[str, Mapping[str, str]], Awaitable[tuple[BoundPlan, tuple[str, ...]]]]
"""Returns the plan of a graph id with the pinned tools, and the references of those that are missing."""


@dataclass(slots=True, eq=False)
class LiveRun:
    """A run that has not ended. Without an actor it waits for one, and the journal tells all about it."""

    row: RunRow
    channel: LogChannel
    actor: RunActor | None = None
    ready: anyio.Event = field(default_factory=anyio.Event)
    has_place: bool = False
    is_parked: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """Where runs are read from."""

    journal: Journal
    reader: JournalReader
