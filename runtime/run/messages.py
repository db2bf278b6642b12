"""What can happen to a run from outside: the messages that its actor's mailbox holds and the machine decides on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.run.records import Failure, Level


@dataclass(frozen=True, slots=True)
class Submit:
    """Accept the run. `tools` maps each node to the exact tool version it is pinned to."""

    initial_state: Mapping[str, Any]
    tools: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Start:
    """Begin the accepted run."""


@dataclass(frozen=True, slots=True)
class Recover:
    """Go on with a run that was rebuilt from its records: its running attempts are lost."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The tool returned `update`, a JSON object that has been checked."""

    update: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed. `abandoned`: it may still be running, and nobody listens to it any more."""

    error: Failure
    retryable: bool = True
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """The attempt ended because the run is ending."""

    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt of a step ended, one way or the other."""

    node: int
    iteration: int
    attempt: int
    outcome: Succeeded | Failed | Stopped
    duration_ms: float


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The wait before the step's next attempt is over."""

    node: int
    iteration: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the run without starting anything further."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The run's time is up."""


@dataclass(frozen=True, slots=True)
class WriteLog:
    """A tool wrote a line."""

    node: int
    iteration: int
    attempt: int
    level: Level
    message: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DropLogs:
    """Tools of the run wrote `count` lines more than they may."""

    count: int


Message = Submit | Start | Recover | AttemptEnded | RetryDue | Cancel | DeadlinePassed | WriteLog | DropLogs
