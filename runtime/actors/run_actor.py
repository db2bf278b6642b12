"""The actor of one run: the only task that changes it.

It reads its mailbox, lets the pure machine decide, appends the records to the journal and acts on them. Acting never outruns
the promises: records are shown only once they are committed, and a tool with effects is called only once everything before its
call is (the output-commit rule). Chains of `pure` tools go on at memory speed meanwhile.

This module holds no logic of graphs, no SQL and no policy: those are the machine's, the journal's and the supervisor's.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeAlias

from anyio.lowlevel import checkpoint
from msgspec import UnsetType
from msgspec.structs import replace

from runtime.actors.binding import DEFAULT_TIMEOUT_S, BoundPlan
from runtime.actors.calls import NodeCall, Outcome, Stop
from runtime.actors.mailbox import Mailbox, Request
from runtime.actors.memory_limit import MemoryLimit
from runtime.actors.node_workers import NodeWorkers
from runtime.actors.timers import Timer, Timers
from runtime.actors.tool_host import ToolHost
from runtime.actors.tool_log import Home, LogBudget, StepLog
from runtime.clock import Clock
from runtime.journal.base import RunRow
from runtime.journal.writer import JournalWriter, RunAppender
from runtime.log.channel import LogChannel
from runtime.log.pipeline import RunLogger
from runtime.run.decision import MAX_RECORDS, Decision, Refused
from runtime.run.machine import decide
from runtime.run.messages import (
    AttemptEnded,
    DeadlinePassed,
    Failed,
    Fork,
    GoOn,
    Message,
    Recover,
    Start,
    Stopped,
    Succeeded,
    TimerDue,
)
from runtime.run.model import Frame, Run, Step
from runtime.run.records import (
    ApprovalRequested,
    EndReached,
    Failure,
    MapStopping,
    Record,
    RecoveryCause,
    RunCancelRequested,
    RunDeadlinePassed,
    RunFailed,
    RunForked,
    RunRecovered,
    RunRetried,
    RunStarted,
    RunStatus,
    StepCancelRequested,
    StepRecord,
    StepRetrying,
    StepStarted,
    StepWaiting,
    encode_json,
    encode_records,
)
from runtime.settings import Settings
from tools.artifact_store import ArtifactStore
from tools.contract import ToolContext

_Place: TypeAlias = tuple[str, int]
"""A step of the run: its frame's path and its node."""

PARKED: Final = (RunStatus.WAITING, RunStatus.PAUSED)
"""Statuses of runs that take no place among the active ones."""

MESSAGES_PER_TURN: Final = 64
"""Messages handled before other tasks get a turn: without it a busy run makes them wait for seconds."""


@dataclass(frozen=True, slots=True)
class ActorServices:
    """What every run actor of an engine works with."""

    settings: Settings
    clock: Clock
    writer: JournalWriter
    timers: Timers
    host: ToolHost
    chance: random.Random
    home: Home
    memory: MemoryLimit | None = None
    artifacts: ArtifactStore | None = None


class Watcher(Protocol):
    """Whom an actor tells about itself."""

    def ended(self, row: RunRow) -> None:
        """Hear that the run's terminal record is committed."""
        ...

    def quiet(self) -> None:
        """Hear that an actor on hold has nothing left to do."""
        ...

    def parked(self, run_id: str, *, is_parked: bool) -> None:
        """Hear that a run only waits now, for a time, a signal or a person, or is paused, or that this is over."""
        ...


@dataclass(slots=True, eq=False)
class _LiveCall:
    call: NodeCall
    workers: NodeWorkers
    timer: Timer


class RunActor:
    """The actor of one run. Made at submission or recovery, started by the supervisor, over at the terminal record.

    Attributes:
        row: The run's line in the index, as of the newest record.
        appended_seq: Newest record handed to the journal.
        hold: Finish what is running and start nothing: the engine is closing.
    """

    def __init__(
        self,
        run: Run,
        bound: BoundPlan,
        row: RunRow,
        channel: LogChannel,
        logger: RunLogger,
        services: ActorServices,
        watcher: Watcher,
    ) -> None:
        self.run = run
        self.row = row
        self.channel = channel
        self.hold = False
        self.mailbox = Mailbox()
        self.appended_seq = run.seq
        self._bound = bound
        self._logger = logger
        self._services = services
        self._watcher = watcher
        self._appender = RunAppender(services.writer, row.number, row.run_id)
        self._calls: dict[_Place, _LiveCall] = {}
        self._held: list[tuple[int, StepStarted]] = []
        self._log_budget = LogBudget(services.clock, lambda: run.seq)
        self._deadline: Timer | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a tool is being called for the run, or has just answered."""
        return bool(self._calls or self._held) or not self.mailbox.is_empty

    @property
    def held_calls(self) -> int:
        """Calls that wait until the records before them are durable."""
        return len(self._held)

    def resume(self, head: bytes) -> None:
        """Go on behind the journal entry with that hash, setting the timers that the run's records ask for; none if it ended."""
        self._appender.resume(head)
        if not self.run.status.is_final:
            self._set_timers()

    def handle(self, *messages: Message) -> bool:
        """Decide on messages and append what follows, as one entry; return whether anything does.

        Raises:
            Refused: A command cannot be carried out; nothing has changed.
        """
        records = self._decide(*messages)
        self._append(records)
        return bool(records)

    def _decide(self, *messages: Message) -> list[Record]:
        at = self._services.clock.now()
        records: list[Record] = []
        for message in messages:
            chance = self._services.chance.random()
            decided = decide(self.run, message, at=at, chance=chance, hold=self.hold)
            if len(decided) >= MAX_RECORDS:
                self.mailbox.send(GoOn())
            records += decided
        return records

    def _answer(self, request: Request) -> None:
        """Carry out a command, or refuse it, and tell whoever waits for that."""
        try:
            has_changed = self.handle(request.message)
        except Refused as refused:
            request.end(self.run.seq, refused=refused)
        except Exception as fault:
            request.end(fault=fault)  # not asked again: that could put the run aside
            raise
        else:
            request.end(self.run.seq, has_changed=has_changed)

    def adopt(self, records: Sequence[Record], message: Fork) -> None:
        """Take over the records of another run, which are applied already, and begin where they stop."""
        decided = decide(self.run, message, at=self._services.clock.now(), hold=self.hold)
        if len(decided) >= MAX_RECORDS:
            self.mailbox.send(GoOn())
        self._append(decided, adopted=records)

    def rebind(self, bound: BoundPlan) -> None:
        """Go on with tools that were missing."""
        self._bound = bound
        self.run.policies = bound.policies
        for frame in self.run.inside():
            if frame.parent is not None:
                frame.policies = frame.parent.policies[frame.step].inside
        self.hold = False
        self.recover("tools_back")

    def recover(self, cause: RecoveryCause) -> None:
        """Say that the run was rebuilt, and go on with it: one entry, so that it does not say so if it cannot go on."""
        said = self._said(RunRecovered(cause=cause))
        self._append(said if self.hold else [*said, *self._decide(self._first_message)])

    def release(self) -> None:
        """Start what could not start so far."""
        self.hold = False
        self.handle(self._first_message)

    @property
    def _first_message(self) -> Start | Recover:
        return Recover() if self.run.started_at else Start()

    def announce(self, record: Record) -> None:
        """Append a record that no message led to."""
        self._append(self._said(record))

    def _said(self, record: Record) -> list[Record]:
        decision = Decision(self.run, self._services.clock.now(), chance=0.0)
        decision.turn(self.run).emit(record)
        return decision.records

    def _append(self, records: Sequence[Record], adopted: Sequence[Record] = ()) -> None:
        """Append records that are already applied, and act on them as far as the promises allow; not on those adopted."""
        if not records:
            return
        entry = [*adopted, *records] if adopted else records
        lines = encode_records(entry)
        self.appended_seq = entry[-1].seq
        row = self._new_row(entry)
        self._appender.append(entry[0].seq, lines, row, lambda: self._committed(entry, lines))
        for record in records:
            self._act(record)

    async def main(self) -> None:
        """Handle messages until the run has ended."""
        handled = 0
        while not self.run.status.is_final:
            message = self.mailbox.take()
            if message is None:
                if self.hold and not self.is_busy:
                    self._watcher.quiet()
                await self.mailbox.wait()
                handled = 0
                continue
            if isinstance(message, Request):
                self._answer(message)
            else:
                self.handle(message)
            handled += 1
            if handled % MESSAGES_PER_TURN == 0:
                await checkpoint()
            if self._services.writer.is_full:
                await self._services.writer.room()
        self.mailbox.close()

    def calls(self) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """Return the steps whose tool is being called, and those that wait for a worker, as path and node name."""
        running: set[tuple[str, str]] = set()
        queued: set[tuple[str, str]] = set()
        for (path, node), live in self._calls.items():
            frame = self.run.frames.get(path)
            if frame is not None:
                place = (path, frame.plan.nodes[node].name)
                (queued if live.workers.is_waiting(live.call) else running).add(place)
        return running, queued

    def cancel_calls(self, stop: Stop) -> None:
        """End all running calls."""
        for live in list(self._calls.values()):
            self._cancel_call(live, stop)

    def dispose(self) -> None:
        """Forget timers and calls, for an actor that failed; its calls' results will find nobody."""
        self.cancel_calls(Stopped())
        for live in self._calls.values():
            live.timer.cancel()
        self._calls.clear()
        self._held.clear()
        if self._deadline is not None:
            self._deadline.cancel()
        self.mailbox.close()

    # --- records become actions ---------------------------------------------------------------------------------------

    def _act(self, record: Record) -> None:
        match record:
            case StepStarted(tool=str()):
                frame = self.run.frames.get(_path(record))
                if frame is not None and frame.policies[frame.plan.index_of[record.node]].waits:
                    self._held.append((record.seq, record))
                else:
                    self._call(record)
            case StepStarted() | StepRetrying() | ApprovalRequested():
                self._set_timer(record, record.due)
            case StepWaiting():
                self._set_timer(record, record.until)
            case RunStarted():
                self._set_deadline(record.deadline)
            case RunRetried() | RunForked():
                self._set_timers()
            case RunCancelRequested() | RunDeadlinePassed():
                self._stop("")
            case EndReached():
                self._stop(_path(record))
            case StepCancelRequested() | MapStopping():
                self._stop(_path(record), record.node, record.iteration)
            case Record() if record.terminal is not None and self._deadline is not None:
                self._deadline.cancel()

    def _stop(self, path: str, name: str | None = None, iteration: int | None = None) -> None:
        """End what runs in a frame and inside it, but for its `finally` nodes; with a node's name, only in that step of it.

        The decision that led here may have begun the next iteration already.
        """
        frame = self.run.frames.get(path)
        if frame is None:
            return
        for node, step in list(frame.active.items()):
            if name is not None and (frame.plan.nodes[node].name, step.iteration) != (name, iteration):
                continue
            if frame.is_final(node):
                continue
            for inside in step.frames:
                self._stop(inside.path)
            if not (step.is_idle or step.frame or step.map):
                self._stop_attempt(path, step)

    def _stop_attempt(self, path: str, step: Step) -> None:
        """End one attempt. If its tool is not being called, because the call waits for the disk or was lost, it is over now."""
        live = self._calls.get((path, step.node))
        if live is not None:
            self._cancel_call(live, Stopped())
        else:
            name = self.run.frames[path].plan.nodes[step.node].name
            self._held = [one for one in self._held if (_path(one[1]), one[1].node) != (path, name)]
            self.mailbox.send(AttemptEnded(step.node, step.iteration, step.attempt, Stopped(), 0.0, path))

    def _committed(self, records: Sequence[Record], lines: Sequence[bytes]) -> None:
        self._logger.committed(records, lines)
        last = records[-1]
        while self._held and self._held[0][0] <= last.seq:
            self._call(self._held.pop(0)[1])
        if last.terminal is None:
            self.channel.notify()
        else:
            self.channel.close()
            self._watcher.ended(self.row)

    def _new_row(self, records: Sequence[Record]) -> RunRow | None:
        """Return the run's row if the records changed what it says."""
        run, row, last = self.run, self.row, records[-1]
        status = run.word.value
        is_same = row.status == status and row.started_at == run.started_at
        if row.last_seq and is_same and last.terminal is None:  # a retry may end at once as the run had ended before
            return None
        self.row = replace(row, status=status, started_at=run.started_at, last_seq=run.seq)
        if status in PARKED or row.status in PARKED:
            self._watcher.parked(row.run_id, is_parked=status in PARKED)
        if last.terminal is None:
            self.row = replace(self.row, completed_at=None, error=None, final_state=None)
        else:
            error = f"{last.error.code}: {last.error.message}" if isinstance(last, RunFailed) else None
            state = self.encoded_state()
            self.row = replace(self.row, completed_at=run.completed_at, error=error, final_state=state)
        return self.row

    def encoded_state(self) -> bytes:
        """Return the state as the run has it now, encoded."""
        return encode_json(self.run.state.newest(self.run.plan.index_of))

    # --- calls --------------------------------------------------------------------------------------------------------

    def _call(self, started: StepStarted) -> None:
        path = _path(started)
        frame = self.run.frames.get(path)
        if frame is None:
            return
        bound = self._bound_of(frame)
        node = bound.plan.index_of[started.node]
        step, tool, timeout_s = frame.active.get(node), bound.tools[node], bound.policies[node].timeout_s
        if step is None or tool is None or (step.iteration, step.attempt) != (started.iteration, started.attempt):
            return
        call = NodeCall(
            node=node,
            iteration=started.iteration,
            attempt=started.attempt,
            tool=tool,
            arguments=bound.arguments[node],
            context=self._context(started, path, node) if tool.takes_context else None,
            view=step.view,
            report=self._call_ended,
            path=path,
            config=bound.plan.nodes[node].config,
            run_id=self.run.run_id,
            name=started.node,
        )
        limit = timeout_s or DEFAULT_TIMEOUT_S
        workers = self._services.host.workers_of(bound, node)
        live = _LiveCall(call, workers, self._time_limit(call, math.inf if tool.cpu_bound else limit))
        if tool.cpu_bound:  # it may have to wait for others to compute, which is no fault of its own
            call.on_place = lambda: self._begin_time(live, limit)
        self._calls[path, node] = live
        workers.send(call)

    def _time_limit(self, call: NodeCall, limit_s: float) -> Timer:
        return self._services.timers.schedule(
            self._services.clock.monotonic() + limit_s, lambda: self._call_timed_out(call, limit_s)
        )

    def _begin_time(self, live: _LiveCall, limit_s: float) -> None:
        """Let a call's time limit begin now."""
        if live.call.stop is None:
            live.timer.cancel()
            live.timer = self._time_limit(live.call, limit_s)

    def _bound_of(self, frame: Frame) -> BoundPlan:
        """Return the graph that a frame runs, with its tools."""
        return self._bound if frame.parent is None else self._bound_of(frame.parent).inside[frame.step]

    def _context(self, started: StepStarted, path: str, node: int) -> ToolContext:
        step = (node, started.iteration, started.attempt, path)
        place = f"{path}/{started.node}" if path else started.node
        store = self._services.artifacts
        return ToolContext(
            run_id=self.run.run_id,
            node=started.node,
            iteration=started.iteration,
            attempt=started.attempt,
            idempotency_key=f"{self.run.run_id}/{place}/{started.iteration}",
            log=StepLog(self.mailbox.send, self._log_budget, self._services.home, step),
            datasets_dir=self._services.settings.datasets_dir,
            artifacts=None if store is None else store.of_run(self.run.run_id),
        )

    def _call_ended(self, call: NodeCall, outcome: Outcome, duration_ms: float) -> None:
        live = self._calls.get((call.path, call.node))
        if live is None or live.call is not call:
            return
        live.timer.cancel()
        del self._calls[call.path, call.node]
        if not isinstance(outcome, Succeeded) and outcome.abandoned:
            self._services.host.note_abandoned()
        if (dropped := self._log_budget.take_dropped()) is not None:
            self.mailbox.send(dropped)
        self.mailbox.send(AttemptEnded(call.node, call.iteration, call.attempt, outcome, duration_ms, call.path))

    def _call_timed_out(self, call: NodeCall, timeout_s: float) -> None:
        live = self._calls.get((call.path, call.node))
        if live is not None and live.call is call:
            message = f"Tool {call.tool.reference!r} did not end within {timeout_s:g} s."
            self._cancel_call(live, Failed(Failure("TIMEOUT", message)))

    def _cancel_call(self, live: _LiveCall, stop: Stop) -> None:
        if live.call.stop is not None:
            return
        live.timer.cancel()
        if live.workers.withdraw(live.call):
            self._call_ended(live.call, stop, 0.0)
            return
        grace = self._services.settings.cancel_grace_s
        live.timer = self._services.timers.schedule(
            self._services.clock.monotonic() + grace, lambda: self._abandon(live, stop)
        )
        live.call.cancel(stop)

    def _abandon(self, live: _LiveCall, stop: Stop) -> None:
        """Give up on a call that ignores its cancellation; what it may still return is rejected."""
        if self._calls.get((live.call.path, live.call.node)) is live:
            live.workers.abandon(live.call)
            self._call_ended(live.call, replace(stop, abandoned=True), 0.0)

    # --- timers -------------------------------------------------------------------------------------------------------

    def _seconds_until(self, due: datetime) -> float:
        return max(0.0, (due - self._services.clock.now()).total_seconds())

    def _set_timers(self) -> None:
        """Set the timers that the run's records ask for."""
        for frame in (self.run, *self.run.inside()):
            for step in frame.active.values():
                due = step.retry_due or step.due
                if due is not None:
                    self._schedule(due, TimerDue(step.node, step.iteration, frame.path))
        if self.run.deadline is not None:
            self._set_deadline(self.run.deadline)

    def _set_timer(self, record: StepRecord, due: datetime | UnsetType) -> None:
        frame = self.run.frames.get(_path(record))
        if frame is not None and isinstance(due, datetime):
            self._schedule(due, TimerDue(frame.plan.index_of[record.node], record.iteration, frame.path))

    def _schedule(self, due: datetime, message: TimerDue | DeadlinePassed) -> Timer:
        at = self._services.clock.monotonic() + self._seconds_until(due)
        return self._services.timers.schedule(at, lambda: self._ring(due, message))

    def _ring(self, due: datetime, message: TimerDue | DeadlinePassed) -> None:
        """Send what a timer is for, unless the wall clock, which deadlines follow, says that it is too early."""
        if self._services.clock.now() >= due:
            self.mailbox.send(message)
        elif isinstance(message, DeadlinePassed):
            self._set_deadline(due)
        else:
            self._schedule(due, message)

    def _set_deadline(self, deadline: datetime) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._schedule(deadline, DeadlinePassed())


def _path(record: Record) -> str:
    return record.path if isinstance(record.path, str) else ""


def first_row(number: int, run_id: str, graph_id: str, submitted_at: datetime) -> RunRow:
    """Return the row of a run that is just being submitted."""
    return RunRow(number, run_id, graph_id, RunStatus.PENDING.value, submitted_at)
