"""Every error the engine raises on purpose: a stable code, a sentence for the person, the ids it is about.

Grouped by who can mend it: the caller, the environment, us. Nothing here knows HTTP; `api/errors.py` maps codes to statuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input, and where.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the input, such as `/nodes/2/tool`.
        detail: What is wrong, expected versus got, what to do.
        type: Stable word for the kind of problem, such as `unknown_tool`.
    """

    pointer: str
    detail: str
    type: str


def escape(part: str) -> str:
    """Return a key as a part of a JSON pointer."""
    return part.replace("~", "~0").replace("/", "~1")


class EngineError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        code: Stable upper-case word.
        message: Sentence for the person who made the mistake.
        ids: What it is about, such as `{"run_id": "..."}`.
        problems: Single problems with their places, where the input was wrong.
        retry_after_s: Seconds after which the same call may succeed; None when repeating it is no help.
    """

    code = "ENGINE_ERROR"

    def __init__(
        self, message: str, *, problems: Sequence[Problem] = (), retry_after_s: float | None = None, **ids: str
    ) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)
        self.retry_after_s = retry_after_s
        self.ids = ids


class InvalidInput(EngineError):
    """The caller's data breaks a rule; `problems` has every breach."""

    code = "INVALID_INPUT"


class InvalidJson(InvalidInput):
    """The bytes are not the strict JSON that the engine accepts."""

    code = "INVALID_JSON"


class TooLarge(InvalidInput):
    """The input is larger than its limit."""

    code = "TOO_LARGE"


class InvalidGraph(InvalidInput):
    """The verdict refused the graph; `problems` has every reason."""

    code = "INVALID_GRAPH"


class UnknownGraph(EngineError):
    """No graph has this id."""

    code = "UNKNOWN_GRAPH"

    def __init__(self, graph_id: str) -> None:
        super().__init__(f"There is no graph {graph_id!r}. GET /api/graphs lists those there are.", graph_id=graph_id)


class UnknownRun(EngineError):
    """No run has this id."""

    code = "UNKNOWN_RUN"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"There is no run {run_id!r}. GET /api/runs lists those there are.", run_id=run_id)


class GraphInUse(EngineError):
    """The graph cannot be deleted while runs of it are unfinished."""

    code = "GRAPH_IN_USE"

    def __init__(self, graph_id: str, unfinished: int) -> None:
        super().__init__(
            f"Graph {graph_id!r} has {unfinished} unfinished run(s). Wait for them or cancel them, then delete it.",
            graph_id=graph_id,
        )


class RunFinished(EngineError):
    """The command came after the run had ended."""

    code = "RUN_FINISHED"

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(f"Run {run_id!r} has already ended ({status}); nothing was changed.", run_id=run_id)


class Overloaded(EngineError):
    """A bound of the engine is reached; nothing was stored."""

    code = "OVERLOADED"


class Closing(EngineError):
    """The engine is shutting down and takes no new work."""

    code = "CLOSING"

    def __init__(self) -> None:
        super().__init__("The engine is shutting down; submit again when it is back.", retry_after_s=5)


class JournalUnavailable(EngineError):
    """The journal could not be written or read; nothing that was not acknowledged is promised."""

    code = "JOURNAL_UNAVAILABLE"


class JournalInUse(EngineError):
    """Another process owns the data directory."""

    code = "JOURNAL_IN_USE"


class JournalDamaged(EngineError):
    """The stored history contradicts itself; the engine refuses to go on with it."""

    code = "JOURNAL_DAMAGED"


class ToolMissing(EngineError):
    """A graph names a tool version that is not registered now."""

    code = "TOOL_MISSING"
