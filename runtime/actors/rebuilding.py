"""Gives runs that have none an actor again: reads them, journals that this is tried, folds them, and goes on.

What may go wrong here, and how often it may, is told in `recovery.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import Final, Protocol

from msgspec import UNSET, structs

from runtime.actors.binding import BoundPlan
from runtime.actors.live import Bind, LiveRun, Memory
from runtime.actors.recovery import MAX_RECOVERIES, History, read_histories, read_history
from runtime.actors.run_actor import ActorServices, RunActor
from runtime.errors import Closing, EngineError, JournalDamaged
from runtime.journal.base import RunRow
from runtime.journal.writer import RunAppender
from runtime.log.pipeline import LogPipeline
from runtime.run.messages import Start
from runtime.run.records import (
    Failure,
    RecoveryCause,
    RunBlocked,
    RunDeadLettered,
    RunRecovering,
    RunStatus,
    encode_json,
)

RECORDS_AT_ONCE: Final = 20_000
"""Records after which no further run is read together with others: all of them are in memory at the same time."""


class Keeper(Protocol):
    """Whose runs are rebuilt."""

    def make_actor(self, live: LiveRun, bound: BoundPlan, history: History | None) -> RunActor:
        """Return the actor that a history tells of."""
        ...

    def begin(self, live: LiveRun, actor: RunActor) -> None:
        """Let an actor work."""
        ...

    def blocked(self, live: LiveRun) -> None:
        """Let a run wait for missing tools."""
        ...

    def ended(self, row: RunRow) -> None:
        """Let go of a run that was put aside."""
        ...


class Rebuilder:
    """Rebuilds the runs of one keeper."""

    def __init__(
        self, services: ActorServices, memory: Memory, pipeline: LogPipeline, bind: Bind, keeper: Keeper
    ) -> None:
        self._services = services
        self._memory = memory
        self._pipeline = pipeline
        self._bind = bind
        self._keeper = keeper
        self._log = pipeline.for_engine()
        self._suspects: list[tuple[int, LiveRun]] = []

    @property
    def has_suspects(self) -> bool:
        """Whether a run was noted as a suspect and not rebuilt yet."""
        return bool(self._suspects)

    def next_suspect(self) -> LiveRun | None:
        """Return one of the runs that were noted as suspects: that which was there least often when the process died."""
        if not self._suspects:
            return None
        suspect = min(self._suspects, key=itemgetter(0))
        self._suspects.remove(suspect)
        return suspect[1]

    async def rebuild(
        self,
        live: LiveRun,
        cause: RecoveryCause,
        detail: str | None = None,
        *,
        starts: bool = True,
        is_alone: bool = False,
    ) -> None:
        """Rebuild a run from the journal and go on with it, or put it aside if that keeps failing.

        A suspect is only noted, unless it is rebuilt alone; see `recovery.py`.
        """
        row = await self._memory.reader.call(self._memory.journal.run, live.row.run_id)
        if row is None:
            raise JournalDamaged(f"The journal lost run {live.row.run_id}.", run_id=live.row.run_id)
        live.row = row
        found = await read_history(self._memory.reader, self._memory.journal, row)
        history = self._announce(live, found, cause, detail, is_alone=is_alone)
        if history is not None:
            await self._go_on(live, history, cause, starts=starts)

    async def rebuild_all(self, lives: Sequence[LiveRun], cause: RecoveryCause) -> None:
        """Do what `rebuild` does for runs whose rows are those of the journal, with few reads and commits for all."""
        left = list(lives)
        while left:
            rows = [live.row for live in left]
            found = await self._memory.reader.call(read_histories, self._memory.journal, rows, RECORDS_AT_ONCE)
            announced = [
                (live, self._announce(live, history, cause)) for live, history in zip(left, found, strict=False)
            ]
            left = left[len(found) :]
            for live, history in announced:
                if history is not None:
                    await self._go_on(live, history, cause)

    def _announce(
        self,
        live: LiveRun,
        history: History,
        cause: RecoveryCause,
        detail: str | None = None,
        *,
        is_alone: bool = False,
    ) -> History | None:
        """Journal the attempt to rebuild a run before anything can fail; return None if it is not to be rebuilt now."""
        live.channel.last_seq = history.records[-1].seq
        if history.records[-1].terminal is not None:
            return None  # it failed at its very end
        if isinstance(last := history.records[-1].timestamp, datetime):
            self._services.clock.not_before(last)
        if history.suspicion and cause == "killed" and not is_alone:
            self._suspects.append((history.suspicion, live))
            return None
        if live.row.started_at is None and cause == "restart":
            return history
        if history.is_poisoned(cause, self._services.clock.now()):
            failure = Failure(
                "POISONED",
                f"Rebuilding the run failed {MAX_RECOVERIES} times ({_why(history)}). The records run_recovering have each "
                "attempt. Once the cause is mended, a retry goes on with the run.",
            )
            self._append(live, history, RunDeadLettered(error=failure))
            return None
        return self._append(live, history, RunRecovering(cause=cause, detail=detail or UNSET))

    async def _go_on(self, live: LiveRun, history: History, cause: RecoveryCause, *, starts: bool = True) -> None:
        """Rebuild a run once it is durable that this is tried."""
        await live.channel.wait_beyond(history.records[-1].seq - 1)
        try:
            actor = await self._rebuild(live, history, cause, starts=starts)
        except EngineError:
            raise
        except Exception as error:
            self._log.error("run_rebuild_failed", run_id=live.row.run_id, error=repr(error), exc_info=error)
            await self.rebuild(live, "crash", repr(error)[:500], starts=starts)
        else:
            try:
                self._keeper.begin(live, actor)
            except Closing:
                actor.dispose()  # the next start rebuilds it again

    async def _rebuild(self, live: LiveRun, history: History, cause: RecoveryCause, *, starts: bool) -> RunActor:
        bound, missing = await self._bind(live.row.graph_id, history.pins)
        actor = self._keeper.make_actor(live, bound, history)
        if missing:
            actor.hold = True
            actor.announce(
                RunBlocked(reason=f"Not there now: {', '.join(missing)} (tools to register, or extras to install).")
            )
            self._keeper.blocked(live)
        elif isinstance(history.records[-1], RunRecovering):
            actor.hold = actor.hold or not starts
            actor.recover(cause)
        elif starts:
            actor.handle(Start())
        else:
            actor.hold = True
        return actor

    def _append(self, live: LiveRun, history: History, record: RunRecovering | RunDeadLettered) -> History:
        """Append a record to a run that has no actor."""
        record.seq = history.records[-1].seq + 1
        record.timestamp = now = self._services.clock.now()
        record.run_id = live.row.run_id
        row = None
        if isinstance(record, RunDeadLettered):
            error = f"{record.error.code}: {record.error.message}"
            status = RunStatus.DEAD_LETTERED.value
            row = structs.replace(
                live.row, status=status, completed_at=now, last_seq=record.seq, error=error, final_state=b"{}"
            )
        line = encode_json(record)
        logger = self._pipeline.for_run(live.channel)

        def committed() -> None:
            logger.committed([record], [line])
            live.channel.notify()
            if row is not None:
                live.channel.close()
                self._keeper.ended(row)

        appender = RunAppender(self._services.writer, live.row.number, live.row.run_id)
        appender.resume(history.head)
        appender.append(record.seq, [line], row, committed)
        return replace(history, records=(*history.records, record), head=appender.head)


def _why(history: History) -> str:
    """Return what the last attempt failed of."""
    last = next((record for record in reversed(history.records) if isinstance(record, RunRecovering)), None)
    if last is not None and isinstance(last.detail, str):
        return last.detail
    return "each time the process was killed"
