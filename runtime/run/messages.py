"""What can happen to a run from outside: the messages that its actor's mailbox holds and the machine decides on.

msgspec structs, because several are made for each step: a frozen dataclass costs ten times as much to make.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from runtime.run.records import Failure, Level


class Submit(Struct, frozen=True):
    """Accept the run. `tools` maps each node to the exact tool version it is pinned to."""

    initial_state: Mapping[str, Any]
    tools: Mapping[str, str]


class Start(Struct, frozen=True):
    """Begin the accepted run."""


class Recover(Struct, frozen=True):
    """Go on with a run that was rebuilt from its records: its running attempts are lost."""


class Succeeded(Struct, frozen=True):
    """The tool returned `update`, a JSON object that has been checked."""

    update: Mapping[str, Any]


class Failed(Struct, frozen=True):
    """The attempt failed. `abandoned`: it may still be running, and nobody listens to it any more."""

    error: Failure
    retryable: bool = True
    abandoned: bool = False


class Stopped(Struct, frozen=True):
    """The attempt ended because the run is ending."""

    abandoned: bool = False


class AttemptEnded(Struct, frozen=True):
    """An attempt of a step ended, one way or the other."""

    node: int
    iteration: int
    attempt: int
    outcome: Succeeded | Failed | Stopped
    duration_ms: float


class RetryDue(Struct, frozen=True):
    """The wait before the step's next attempt is over."""

    node: int
    iteration: int


class Cancel(Struct, frozen=True):
    """End the run without starting anything further."""


class DeadlinePassed(Struct, frozen=True):
    """The run's time is up."""


class WriteLog(Struct, frozen=True):
    """A tool wrote a line."""

    node: int
    iteration: int
    attempt: int
    level: Level
    message: str
    fields: Mapping[str, Any]


class DropLogs(Struct, frozen=True):
    """Tools of the run wrote `count` lines more than they may."""

    count: int


Message = Submit | Start | Recover | AttemptEnded | RetryDue | Cancel | DeadlinePassed | WriteLog | DropLogs
