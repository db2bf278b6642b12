"""What can happen to a run from outside: the messages that its actor's mailbox holds and the machine decides on.

msgspec structs, because several are made for each step: a frozen dataclass costs ten times as much to make.
"""

from collections.abc import Mapping
from typing import Any, Literal

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


class GoOn(Struct, frozen=True):
    """Do what an earlier decision left undone, because it had become too long."""


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
    """An attempt of a step ended, one way or the other. `path` is that of the step's frame, here and below."""

    node: int
    iteration: int
    attempt: int
    outcome: Succeeded | Failed | Stopped
    duration_ms: float
    path: str = ""


class TimerDue(Struct, frozen=True):
    """What the step waits for has come: its next attempt, the end of its wait, or its time-out."""

    node: int
    iteration: int
    path: str = ""


class Cancel(Struct, frozen=True):
    """End the run without starting anything further."""


class Pause(Struct, frozen=True):
    """Start nothing until `Resume`."""


class Resume(Struct, frozen=True):
    """Go on after a `Pause`."""


class Retry(Struct, frozen=True):
    """Go on with a run that failed, or was out of time."""


class Fork(Struct, frozen=True):
    """Begin a new run with the records of another one: next comes the step of `node`, with `update` over its input."""

    source_run_id: str
    source_seq: int
    path: str
    node: str
    iteration: int
    update: Mapping[str, Any] | None


class SendSignal(Struct, frozen=True):
    """Hand a signal to whoever waits for one of that name, or will."""

    id: str
    name: str
    data: Any


class Answer(Struct, frozen=True):
    """Answer the question with that id."""

    approval: str
    answer: Any
    by: str | None


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
    path: str = ""


class DropLogs(Struct, frozen=True):
    """Tools of the run wrote `count` lines more than they may: too fast, or more than one run may in all."""

    count: int
    reason: Literal["run_limit"] | None = None


Command = Cancel | Pause | Resume | Retry | Fork | SendSignal | Answer
Message = Submit | Start | Recover | GoOn | AttemptEnded | TimerDue | DeadlinePassed | WriteLog | DropLogs | Command
