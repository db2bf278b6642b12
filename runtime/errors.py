"""Every error the engine raises on purpose: a stable code, a sentence for the person, the ids it is about.

Grouped by who can mend it: the caller, the environment, us. Nothing here knows HTTP; `api/errors.py` maps codes to statuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tools.json_values import escape as escape


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


class UnknownApproval(EngineError):
    """The run has not asked for this approval, or the step that asked has ended without an answer."""

    code = "UNKNOWN_APPROVAL"

    def __init__(self, run_id: str, approval: str) -> None:
        super().__init__(
            f"Run {run_id!r} does not wait for an approval {approval!r}. "
            f"GET /api/runs/{run_id}/approvals lists those that are open.",
            run_id=run_id,
            approval=approval,
        )


class AlreadyAnswered(EngineError):
    """The approval has its answer; there is only one."""

    code = "ALREADY_ANSWERED"

    def __init__(self, run_id: str, approval: str) -> None:
        super().__init__(
            f"Approval {approval!r} of run {run_id!r} has been answered already, and the first answer counts; "
            f"nothing was changed. GET /api/runs/{run_id}/events has it: `approval_answered`.",
            run_id=run_id,
            approval=approval,
        )


class UnknownStep(EngineError):
    """The run has no such step, or its graph no such node."""

    code = "UNKNOWN_STEP"

    def __init__(self, run_id: str, node: str, *, iteration: int | None = None, path: str = "") -> None:
        which = "" if iteration is None else f" in iteration {iteration}"
        where = f" of {path!r}" if path else ""
        super().__init__(
            f"Run {run_id!r} has no step of node {node!r}{which}{where}. GET /api/runs/{run_id}/events has the steps there "
            "are, with their node, iteration and path: `step_started`.",
            run_id=run_id,
            node=node,
        )


class NothingToRetry(EngineError):
    """The run has not failed, or has no step that a retry could begin with."""

    code = "NOTHING_TO_RETRY"

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(
            f"Run {run_id!r} cannot go on: {why} Nothing was changed. POST /api/runs/{run_id}/fork begins a new run at one "
            "of its steps, with another state if need be.",
            run_id=run_id,
        )


class TooManySignals(EngineError):
    """The run has been sent as many signals as one run may get."""

    code = "TOO_MANY_SIGNALS"

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(
            f"Run {run_id!r} {why}; this one was not stored. "
            "Send what comes often to a system made for it, and the run one signal about it.",
            run_id=run_id,
        )


class IdempotencyMismatch(EngineError):
    """An idempotency key was used before, for another request."""

    code = "IDEMPOTENCY_MISMATCH"

    def __init__(self, key: str, run_id: str) -> None:
        super().__init__(
            f"Idempotency key {key!r} belongs to run {run_id!r}, which was submitted with another graph or state. "
            "Nothing was changed; take a new key for a new run.",
            run_id=run_id,
        )


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


class StorageFull(JournalUnavailable):
    """There is no space left for the journal. Nothing is lost: what was accepted is written once there is space again."""

    code = "STORAGE_FULL"


class StorageBusy(JournalUnavailable):
    """Another program holds the journal's file locked; it is written once that one lets go."""

    code = "STORAGE_BUSY"


class StorageSlow(JournalUnavailable):
    """The disk did not confirm in time; whether the request took effect will be seen later."""

    code = "STORAGE_SLOW"


class StorageError(JournalUnavailable):
    """The journal could not be read."""

    code = "STORAGE_ERROR"


class JournalNewer(EngineError):
    """A newer version wrote the journal, with a schema that this one does not know."""

    code = "JOURNAL_NEWER"


class JournalInUse(EngineError):
    """Another process owns the data directory."""

    code = "JOURNAL_IN_USE"


class JournalDamaged(EngineError):
    """The stored history contradicts itself; the engine refuses to go on with it."""

    code = "JOURNAL_DAMAGED"


class ToolMissing(EngineError):
    """A graph names a tool version that is not registered now."""

    code = "TOOL_MISSING"
