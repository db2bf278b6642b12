"""The actor of one run: the only task that changes it.

It reads its mailbox, lets the pure machine decide, appends the records to the journal and acts on them. Acting never outruns
the promises: records are shown only once they are committed, and a tool with effects is called only once everything before its
call is (the output-commit rule). Chains of `pure` tools go on at memory speed meanwhile.

This module holds no logic of graphs, no SQL and no policy: those are the machine's, the journal's and the supervisor's.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from runtime.actors.binding import BoundPlan
from runtime.actors.calls import NodeCall, Outcome, Stop
from runtime.actors.mailbox import Mailbox
from runtime.actors.node_workers import NodeWorkers
from runtime.actors.timers import Timer, Timers
from runtime.actors.tool_host import ToolHost
from runtime.actors.tool_log import Home, LogBudget, StepLog
from runtime.clock import Clock
from runtime.journal.base import RunRow
from runtime.journal.writer import JournalWriter, RunAppender
from runtime.log.channel import LogChannel
from runtime.log.pipeline import RunLogger
from runtime.run.decision import Decision
from runtime.run.machine import decide
from runtime.run.messages import (
    AttemptEnded,
    Cancel,
    DeadlinePassed,
    DropLogs,
    Failed,
    Message,
    RetryDue,
    Stopped,
    Succeeded,
)
from runtime.run.model import Run
from runtime.run.records import (
    Failure,
    Record,
    RunCancelRequested,
    RunDeadlinePassed,
    RunFailed,
    RunStarted,
    RunStatus,
    StepRetrying,
    StepStarted,
    encode_json,
    encode_records,
)
from runtime.settings import Settings
from tools.contract import ToolContext

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


class Watcher(Protocol):
    """Whom an actor tells about itself."""

    def ended(self, row: RunRow) -> None:
        """Hear that the run's terminal record is committed."""
        ...

    def quiet(self) -> None:
        """Hear that an actor on hold has nothing left to do."""
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
        ending_seq: The record that asked the run to end, once there is one.
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
        self.ending_seq: int | None = None
        self._bound = bound
        self._logger = logger
        self._services = services
        self._watcher = watcher
        self._appender = RunAppender(services.writer, row.number, row.run_id)
        self._calls: dict[int, _LiveCall] = {}
        self._held: list[tuple[int, StepStarted]] = []
        self._log_budget = LogBudget(services.clock)
        self._deadline: Timer | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a tool is being called for the run, or has just answered."""
        return bool(self._calls or self._held) or not self.mailbox.is_empty

    def resume(self, head: bytes) -> None:
        """Go on behind the journal entry with that hash, setting the timers that the run's records ask for."""
        self._appender.resume(head)
        for step in self.run.active.values():
            if step.retry_due is not None:
                self._set_retry(step.node, step.iteration, step.retry_due)
        if self.run.deadline is not None:
            self._set_deadline(self.run.deadline)

    def handle(self, *messages: Message) -> None:
        """Decide on messages and append what follows, as one entry."""
        at = self._services.clock.now()
        records: list[Record] = []
        for message in messages:
            chance = self._services.chance.random()
            records += decide(self.run, message, at=at, chance=chance, hold=self.hold)
        self._append(records)

    def announce(self, record: Record) -> None:
        """Append a record that no message led to."""
        decision = Decision(self.run, self._services.clock.now(), chance=0.0)
        decision.emit(record)
        self._append(decision.records)

    def _append(self, records: Sequence[Record]) -> None:
        """Append records that are already applied, and act on them as far as the promises allow."""
        if not records:
            return
        lines = encode_records(records)
        self.appended_seq = records[-1].seq
        row = self._new_row(records)
        self._appender.append(records[0].seq, lines, row, lambda: self._committed(records, lines))
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
            self.handle(message)
            handled += 1
            if handled % MESSAGES_PER_TURN == 0:
                await checkpoint()
            if self._services.writer.is_full:
                await self._services.writer.room()

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

    # --- records become actions ---------------------------------------------------------------------------------------

    def _act(self, record: Record) -> None:
        match record:
            case StepStarted(tool=str()):
                if self._bound.policies[self._bound.plan.index_of[record.node]].waits:
                    self._held.append((record.seq, record))
                else:
                    self._call(record)
            case StepRetrying():
                self._set_retry(self._bound.plan.index_of[record.node], record.iteration, record.due)
            case RunStarted():
                self._set_deadline(record.deadline)
            case RunCancelRequested() | RunDeadlinePassed():
                self.ending_seq = record.seq
                self._held.clear()
                self.cancel_calls(Stopped())
                self._stop_uncalled()
            case Record() if record.terminal is not None and self._deadline is not None:
                self._deadline.cancel()

    def _stop_uncalled(self) -> None:
        """End the attempts whose tools are not being called: they wait for the disk, or were lost while the run is blocked."""
        for step in self.run.active.values():
            if step.retry_due is None and step.node not in self._calls:
                self.mailbox.send(AttemptEnded(step.node, step.iteration, step.attempt, Stopped(), 0.0))

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
        if row.last_seq and row.status == run.status.value and row.started_at == run.started_at:
            return None
        self.row = replace(row, status=run.status.value, started_at=run.started_at, last_seq=run.seq)
        if last.terminal is not None:
            error = f"{last.error.code}: {last.error.message}" if isinstance(last, RunFailed) else None
            state = self.encoded_state()
            self.row = replace(self.row, completed_at=run.completed_at, error=error, final_state=state)
        return self.row

    def encoded_state(self) -> bytes:
        """Return the state as the run has it now, encoded."""
        return encode_json(self.run.state.newest(self.run.plan.index_of))

    # --- calls --------------------------------------------------------------------------------------------------------

    def _call(self, started: StepStarted) -> None:
        node = self._bound.plan.index_of[started.node]
        step = self.run.active.get(node)
        tool = self._bound.tools[node]
        if step is None or tool is None or (step.iteration, step.attempt) != (started.iteration, started.attempt):
            return
        call = NodeCall(
            node=node,
            iteration=started.iteration,
            attempt=started.attempt,
            tool=tool,
            arguments=self._bound.arguments[node],
            context=self._context(started, node) if tool.takes_context else None,
            view=step.view,
            report=self._call_ended,
        )
        timeout_s = self._bound.policies[node].timeout_s
        timer = self._services.timers.schedule(
            self._services.clock.monotonic() + timeout_s, lambda: self._call_timed_out(call, timeout_s)
        )
        workers = self._services.host.workers_of(self._bound, node)
        self._calls[node] = _LiveCall(call, workers, timer)
        workers.send(call)

    def _context(self, started: StepStarted, node: int) -> ToolContext:
        step = (node, started.iteration, started.attempt)
        return ToolContext(
            run_id=self.run.run_id,
            node=started.node,
            iteration=started.iteration,
            attempt=started.attempt,
            idempotency_key=f"{self.run.run_id}/{started.node}/{started.iteration}",
            log=StepLog(self.mailbox.send, self._log_budget, self._services.home, step),
            datasets_dir=self._services.settings.datasets_dir,
        )

    def _call_ended(self, call: NodeCall, outcome: Outcome, duration_ms: float) -> None:
        live = self._calls.get(call.node)
        if live is None or live.call is not call:
            return
        live.timer.cancel()
        del self._calls[call.node]
        self._services.host.abandoned += not isinstance(outcome, Succeeded) and outcome.abandoned
        if dropped := self._log_budget.take_dropped():
            self.mailbox.send(DropLogs(dropped))
        self.mailbox.send(AttemptEnded(call.node, call.iteration, call.attempt, outcome, duration_ms))

    def _call_timed_out(self, call: NodeCall, timeout_s: float) -> None:
        live = self._calls.get(call.node)
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
        if self._calls.get(live.call.node) is live:
            live.workers.abandon(live.call)
            self._call_ended(live.call, replace(stop, abandoned=True), 0.0)

    # --- timers -------------------------------------------------------------------------------------------------------

    def _seconds_until(self, due: datetime) -> float:
        return max(0.0, (due - self._services.clock.now()).total_seconds())

    def _set_retry(self, node: int, iteration: int, due: datetime) -> None:
        at = self._services.clock.monotonic() + self._seconds_until(due)
        self._services.timers.schedule(at, lambda: self.mailbox.send(RetryDue(node, iteration)))

    def _set_deadline(self, deadline: datetime) -> None:
        at = self._services.clock.monotonic() + self._seconds_until(deadline)
        self._deadline = self._services.timers.schedule(at, lambda: self.mailbox.send(DeadlinePassed()))

    def cancel(self) -> None:
        """Ask the run to end."""
        self.mailbox.send(Cancel())


def first_row(number: int, run_id: str, graph_id: str, submitted_at: datetime) -> RunRow:
    """Return the row of a run that is just being submitted."""
    return RunRow(number, run_id, graph_id, RunStatus.PENDING.value, submitted_at)
