"""One decision in the making: the records emitted so far, each applied as it is emitted, and what is still to be looked at."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from runtime.graph.plan import PlanNode
from runtime.run.apply import apply
from runtime.run.model import Run
from runtime.run.records import Failure, Record, RunFailing


@dataclass(slots=True)
class Decision:
    """What the deciding modules pass along.

    Attributes:
        at: The time of every record of this decision.
        chance: Number in [0, 1) for jitter, drawn outside.
        hold: Nothing may start now.
        pending: Nodes whose in-edges changed.
        touched: Scopes in which a token ended.
    """

    run: Run
    at: datetime
    chance: float
    hold: bool = False
    records: list[Record] = field(default_factory=list)
    pending: deque[int] = field(default_factory=deque)
    touched: set[int] = field(default_factory=set)

    def emit(self, record: Record) -> None:
        """Number, stamp and apply a record."""
        record.seq = self.run.seq + 1
        record.timestamp = self.at
        record.run_id = self.run.run_id
        apply(self.run, record)
        self.records.append(record)

    def node(self, index: int) -> PlanNode:
        """Return the plan's node with that index."""
        return self.run.plan.nodes[index]

    def fail_run(self, code: str, message: str, node: PlanNode) -> None:
        """Record a failure that nothing handles; the first one is the run's."""
        if not self.run.is_stopping:
            error = Failure(code, message)
            self.emit(RunFailing(error=error, node=node.name, iteration=self.run.iteration(node.index)))
