"""One decision in the making: the records emitted so far, each applied as it is emitted, and what is still to be looked at."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from runtime.errors import Problem
from runtime.graph.plan import PlanNode
from runtime.run.apply import apply
from runtime.run.model import Frame, Run
from runtime.run.records import Failure, Record, RunFailing, RunStatus

MAX_RECORDS: Final = 2_000
"""Records after which a decision stops, so that a run that goes on by itself for long leaves others their turn: some 20 ms."""


class Refused(Exception):
    """A command cannot be carried out; nothing was changed. `code` is a stable word of the API."""

    def __init__(self, code: str, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.problems = tuple(problems)


@dataclass(slots=True)
class Decision:
    """What the deciding modules share.

    Attributes:
        at: The time of every record of this decision.
        chance: Number in [0, 1) for jitter, drawn outside.
        hold: Nothing may start now, because the process is closing.
        turns: Frames that are still to be looked at, by path.
    """

    run: Run
    at: datetime
    chance: float
    hold: bool = False
    records: list[Record] = field(default_factory=list)
    turns: "dict[str, Turn]" = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether it has so many records that the rest is left to another decision."""
        return len(self.records) >= MAX_RECORDS

    @property
    def holds(self) -> bool:
        """Whether nothing may start now, for whatever reason."""
        return self.hold or self.run.paused

    def turn(self, frame: Frame) -> "Turn":
        """Have a frame looked at."""
        turn = self.turns.get(frame.path)
        if turn is None or turn.frame is not frame:
            turn = self.turns[frame.path] = Turn(self, self.run, frame, self.at)
        return turn

    def turn_all(self) -> None:
        """Have every frame looked at."""
        for frame in list(self.run.frames.values()):
            self.turn(frame)


@dataclass(slots=True)
class Turn:
    """One frame's part of a decision.

    Attributes:
        pending: Nodes whose in-edges changed.
        touched: Scopes in which a token ended.
    """

    decision: Decision
    run: Run
    frame: Frame
    at: datetime
    pending: deque[int] = field(default_factory=deque)
    touched: set[int] = field(default_factory=set)

    def emit(self, record: Record) -> None:
        """Number, stamp and apply a record."""
        run = self.run
        record.seq = run.seq + 1
        record.timestamp = self.at
        record.run_id = run.run_id
        if self.frame is not run:
            record.path = self.frame.path
        apply(run, record)
        self.decision.records.append(record)

    def node(self, index: int) -> PlanNode:
        """Return the plan's node with that index."""
        return self.frame.plan.nodes[index]

    def fail(self, code: str, message: str, node: PlanNode) -> None:
        """Record a failure that nothing in the frame handles; the first one is the frame's."""
        frame = self.frame
        has_ended = frame.ending is RunStatus.COMPLETED and frame.failing is None and frame.is_final(node.index)
        if has_ended or not frame.is_stopping:
            self.emit(
                RunFailing(error=Failure(code, message), node=node.name, iteration=self.frame.iteration(node.index))
            )
            self.stop_inside()

    def stop_inside(self) -> None:
        """Have the frame, and those inside it, notice that it is stopping."""
        for frame in (self.frame, *self.frame.inside()):
            self.decision.turn(frame)
