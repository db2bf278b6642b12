"""What clients may rely on, and nothing else: which runs there are, in which state, and how each request is answered.

Four kinds of runs, each with a last step that a pause holds back:

- `quick` has nothing to wait for,
- `signals` waits for two signals, one after the other,
- `asks` waits for an answer,
- `timer` waits for `WAIT_S` seconds.

A request is answered with a word: `ok`, `again` if it had been carried out before, or the code of a refusal.
"""

from dataclasses import dataclass, field
from typing import Any, Final

WAIT_S: Final = 60
FINISHED: Final = ("completed", "cancelled")


@dataclass
class ModelRun:
    """One run.

    Attributes:
        due: When the wait of a `timer` is over.
        given: What the waits before the last step got so far.
        buffered: Data of signals that nobody took yet.
        signals: Ids of the signals that it received.
    """

    kind: str
    key: str | None
    due: float = 0.0
    given: list[int] = field(default_factory=list)
    buffered: list[int] = field(default_factory=list)
    signals: set[str] = field(default_factory=set)
    is_paused: bool = False
    was_answered: bool = False
    ended: str | None = None

    @property
    def status(self) -> str:
        """The word for its state."""
        return self.ended or ("paused" if self.is_paused else "waiting")

    @property
    def state(self) -> dict[str, Any]:
        """Its state once it has completed."""
        names = ("first", "second") if self.kind == "signals" else ("answer",)
        return {**dict(zip(names, self.given, strict=False)), "done": True}

    def go_on(self, now: float) -> None:
        """Get as far as possible without anybody's help."""
        if self.ended or self.is_paused:
            if self.kind == "signals" and not self.ended and not self.given and self.buffered:
                self.given.append(self.buffered.pop(0))  # the wait that runs ends; the next one may not begin
            return
        while self.kind == "signals" and self.buffered and len(self.given) < 2:
            self.given.append(self.buffered.pop(0))
        is_over = {
            "quick": True,
            "signals": len(self.given) == 2,
            "asks": self.was_answered,
            "timer": now >= self.due,
        }
        if is_over[self.kind]:
            self.ended = "completed"


@dataclass
class Model:
    """All runs, the oldest first, and the time."""

    runs: list[ModelRun] = field(default_factory=list)
    now: float = 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        for run in self.runs:
            run.go_on(self.now)

    def submit(self, kind: str, key: str | None) -> tuple[str, int]:
        """Return how a submission is answered, and the index of the run that it is about."""
        for index, run in enumerate(self.runs):
            if key is not None and run.key == key:
                return ("again" if run.kind == kind else "IDEMPOTENCY_MISMATCH"), index
        run = ModelRun(kind, key, due=self.now + WAIT_S)
        run.go_on(self.now)
        self.runs.append(run)
        return "ok", len(self.runs) - 1

    def cancel(self, index: int) -> str:
        run = self.runs[index]
        if run.ended == "completed":
            return "RUN_FINISHED"
        run.ended = "cancelled"
        return "ok"

    def pause(self, index: int) -> str:
        run = self.runs[index]
        if run.ended:
            return "RUN_FINISHED"
        run.is_paused = True
        return "ok"

    def resume(self, index: int) -> str:
        run = self.runs[index]
        if run.ended:
            return "RUN_FINISHED"
        run.is_paused = False
        run.go_on(self.now)
        return "ok"

    def signal(self, index: int, signal_id: str, data: int) -> str:
        run = self.runs[index]
        if signal_id in run.signals:
            return "again"
        if run.ended:
            return "RUN_FINISHED"
        run.signals.add(signal_id)
        run.buffered.append(data)
        run.go_on(self.now)
        return "ok"

    def answer(self, index: int, data: int) -> str:
        run = self.runs[index]
        if run.was_answered:
            return "ALREADY_ANSWERED"
        if run.ended:
            return "RUN_FINISHED"
        if run.kind != "asks":
            return "UNKNOWN_APPROVAL"
        run.was_answered = True
        run.given.append(data)
        run.go_on(self.now)
        return "ok"
