"""Where a fork of a run begins: which records of the other run it takes over."""

from collections.abc import Sequence
from typing import TypeVar

from runtime.run.records import LoopIteration, Record, StepFailed, StepStarted

R = TypeVar("R", bound=Record)


def before_step(
    records: Sequence[R], node: str, iteration: int | None, path: str
) -> tuple[Sequence[R], StepStarted | StepFailed] | None:
    """Return the records before a step began, and the one that began it; without an iteration, the last one there is."""
    found: tuple[Sequence[R], StepStarted | StepFailed] | None = None
    for place, record in enumerate(records):
        begins = (isinstance(record, StepStarted) and record.attempt == 1) or (
            isinstance(record, StepFailed) and record.attempt == 0
        )
        if not begins or not isinstance(record, StepStarted | StepFailed):
            continue
        where = record.path if isinstance(record.path, str) else ""
        if record.node == node and where == path and iteration in (None, record.iteration):
            before = records[:place]
            while before and isinstance(before[-1], LoopIteration):
                before = before[:-1]  # the next iteration is begun anew
            found = (before, record)
    return found
