"""The parts of an activation that its records tell: the join, attempts, items, the loop's test, and what came of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from msgspec import UnsetType
from msgspec.structs import replace

from runtime.run.explain import reasons
from runtime.run.explain.clauses import value
from runtime.run.explain.explanation import Attempt, Edge, Items, Join, LoopTest
from runtime.run.explain.reasons import operands
from runtime.run.explain.surroundings import graph_at
from runtime.run.explain.trace import OVER, Decided, Story, Trace, is_taken, last
from runtime.run.records import (
    ApprovalAnswered,
    EdgeDead,
    EdgeTaken,
    EndReached,
    ItemFailed,
    LoopEnding,
    LoopExhausted,
    MapStopping,
    Record,
    SignalDelivered,
    StepCancelled,
    StepCancelRequested,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepStarted,
    StepWaiting,
)


def join(trace: Trace, decided: Sequence[Decided | None]) -> Join | None:
    """Return what has to be decided for the node to run; None if no edge leads to it."""
    if not decided:
        return None
    needs, total = trace.node.needs, len(decided)
    known = sum(how is not None for how in decided)
    taken = sum(map(is_taken, decided))
    if total == 1:
        text = "needs its edge to be taken"
    elif needs:
        text = f"needs {needs} of {total} taken edges, {taken} so far"
    else:
        text = f"needs all {total} edges decided and at least 1 taken; {known} decided and {taken} taken so far"
    return Join(needs, total, known, taken, text)


def attempts(story: Story) -> Iterator[Attempt]:
    """Yield the attempts of a step."""
    current: Attempt | None = None
    for record in story.records:
        if isinstance(record, StepStarted):
            if current is not None:
                yield replace(current, outcome="lost") if current.outcome == "running" else current
            tool = None if isinstance(record.tool, UnsetType) else record.tool
            current = Attempt(record.attempt, "running", tool, _time(record))
        elif current is None or (isinstance(record, StepCancelled) and current.outcome == "failed"):
            continue
        elif isinstance(record, StepCompleted):
            current = replace(_over(current, "completed", record), error=None)
        elif isinstance(record, StepRetrying | StepFailed):
            current = replace(_over(current, "failed", record), error=record.error)
        elif isinstance(record, StepCancelled):
            current = _over(current, "cancelled", record)
    if current is None:
        return
    if current.outcome == "running" and story.status in OVER:
        current = replace(current, outcome="lost")
    elif story.status not in OVER and story.status != "retry_wait":
        current = replace(current, outcome="running", ended=None, duration_ms=None, error=None)
    yield current


def _over(
    attempt: Attempt,
    outcome: Literal["completed", "failed", "cancelled"],
    record: StepCompleted | StepRetrying | StepFailed | StepCancelled,
) -> Attempt:
    return replace(attempt, outcome=outcome, ended=_time(record), duration_ms=record.duration_ms)


def _time(record: Record) -> datetime | None:
    return None if isinstance(record.timestamp, UnsetType) else record.timestamp


def items(story: Story) -> Items | None:
    """Return how far a map is; None for other steps."""
    started, stopping, failed = last(story, StepStarted), last(story, MapStopping), last(story, ItemFailed)
    if started is None or isinstance(started.items, UnsetType):
        return None
    counts = Counter(story.items.values())
    return Items(
        total=started.items,
        running=counts["item_started"],
        completed=counts["item_completed"],
        failed=counts["item_failed"],
        cancelled=counts["item_cancelled"],
        stopping=None if stopping is None else stopping.reason,
        operands=() if stopping is None else operands(stopping.operands),
        first_failed=None if failed is None else failed.item,
        error=None if failed is None else failed.error,
    )


def loop_test(trace: Trace, story: Story) -> LoopTest | None:
    """Return how the loop definition of the node was tested; None if it has none, or was not tested."""
    loop = trace.node.loop
    if loop is None or story.status in ("skipped", "cancelled"):
        return None
    for record in story.records:
        if isinstance(record, LoopExhausted):
            return LoopTest("exhausted", loop.max_iterations, tuple(record.operands))
        if isinstance(record, LoopEnding):
            return LoopTest("over", loop.max_iterations, tuple(record.operands))
        if isinstance(record, EdgeTaken) and record.edge == loop.back_edge:
            return LoopTest("goes_on", loop.max_iterations, operands(record.operands))
    return None


def out_edges(trace: Trace, story: Story) -> tuple[Edge, ...]:
    """Return what the node decided about the edges that leave it."""
    instead: EdgeTaken | None = None
    decided: dict[int, Decided] = {}
    for record in story.records:
        if isinstance(record, EdgeTaken):
            instead = instead or record
            decided[record.edge] = Decided("late" if record.late is True else "taken", record, record.seq)
        elif isinstance(record, EdgeDead):
            decided[record.edge] = Decided("dead", record, record.seq, instead)
    held = {index for index, how in decided.items() if trace.carried.get(index) is how.by}
    edges = reasons.edges(trace, list(decided.items()))
    return tuple(replace(edge, state="held") if edge.index in held else edge for edge in edges)


def outcome(trace: Trace, story: Story) -> str | None:
    """Return what ended a wait, or the step."""
    asked, answer, signal = (
        last(story, StepCancelRequested),
        last(story, ApprovalAnswered),
        last(story, SignalDelivered),
    )
    if asked is not None and story.status not in OVER:
        return f"it is being cancelled, because {_why_cancelled(trace, asked)}"
    if story.status == "cancelled":
        return f"that was because {story.stopped_by if asked is None else _why_cancelled(trace, asked)}"
    if answer is not None and answer.timed_out is True:
        return f"nobody answered in time, so {value(answer.answer)} was taken for the answer"
    if answer is not None:
        by = "the answer was" if isinstance(answer.by, UnsetType) else f"{answer.by!r} answered"
        return f"{by} {value(answer.answer)}"
    if signal is not None:
        return f"it took the signal with id {signal.id!r}"
    waited = last(story, StepWaiting)
    if waited is not None and isinstance(waited.signal, str) and story.status == "completed":
        return f"no signal {waited.signal!r} came in time, so its timeout_data was taken"
    return f"it ended {graph_at(trace.run.path)}" if last(story, EndReached) is not None else None


def _why_cancelled(trace: Trace, asked: StepCancelRequested) -> str:
    if asked.reason == "timeout":
        return "its time was up"
    if asked.reason == "map":
        return "the map around it needs no more"
    joins = [trace.plan.nodes[join].name for join in trace.node.loses_to if trace.nodes[join].status is not None]
    return f"join {joins[0]!r} has what it needs" if joins else "the join it leads to has what it needs"
