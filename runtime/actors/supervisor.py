"""Starts, watches, rebuilds and stops the run actors, and decides how many there are.

Restart rules, after Erlang/OTP: an attempt of a step is temporary (its retries are the journal's business); a run actor is
transient: one that fails by an engine fault is rebuilt from the journal, the attempt to do so journaled first, and put aside as
`dead_lettered` after three failures in ten minutes; the journal writer and the timers are permanent, and without them the
engine ends. Runs beyond `max_active_runs` wait without an actor: only their id is kept, the journal has the rest.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

import anyio
from anyio.abc import TaskGroup
from msgspec import UNSET, structs

from runtime.actors.binding import BoundPlan
from runtime.actors.mailbox import Request
from runtime.actors.recovery import MAX_RECOVERIES, History, read_history
from runtime.actors.run_actor import PARKED, ActorServices, RunActor
from runtime.errors import EngineError, JournalDamaged, Overloaded, ToolMissing
from runtime.journal.base import Journal, RunRow
from runtime.journal.writer import JournalReader, RunAppender
from runtime.log.channel import LogChannel
from runtime.log.pipeline import LogPipeline
from runtime.run.apply import apply
from runtime.run.messages import Command, Fork, Recover, Retry, Start, Submit
from runtime.run.model import new_run
from runtime.run.records import (
    AnyRecord,
    Failure,
    RunBlocked,
    RunDeadLettered,
    RunRecovered,
    RunStatus,
    encode_json,
)

RECOVERIES_AT_ONCE: Final = 64
LOOK_AGAIN_S: Final = 5.0
"""How often missing tools are looked for while runs wait for them."""

Cause: TypeAlias = Literal["restart", "crash"]

Bind = Callable[[str, Mapping[str, str]], Awaitable[tuple[BoundPlan, tuple[str, ...]]]]
"""Returns the plan of a graph id with the pinned tools, and the references of those that are missing."""


@dataclass(slots=True, eq=False)
class LiveRun:
    """A run that has not ended. Without an actor it waits for one, and the journal tells all about it."""

    row: RunRow
    channel: LogChannel
    actor: RunActor | None = None
    ready: anyio.Event = field(default_factory=anyio.Event)
    has_place: bool = False
    is_parked: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """Where runs are read from."""

    journal: Journal
    reader: JournalReader


class Supervisor:
    """The parent of all run actors; `tasks` is the group they run in."""

    def __init__(
        self,
        tasks: TaskGroup,
        services: ActorServices,
        memory: Memory,
        pipeline: LogPipeline,
        bind: Bind,
    ) -> None:
        self.live: dict[str, LiveRun] = {}
        self.finished = 0
        self._tasks = tasks
        self._services = services
        self._memory = memory
        self._pipeline = pipeline
        self._bind = bind
        self._log = pipeline.for_engine()
        self._pending: deque[str] = deque()
        self._active = 0
        self._parked = 0
        self._draining = False
        self._is_looking = False
        self._quiet = anyio.Event()

    @property
    def active(self) -> int:
        """Runs that hold a place: they have work to do, or are about to."""
        return self._active

    @property
    def pending(self) -> int:
        """Runs that wait for an actor."""
        return len(self._pending)

    @property
    def abandoned_attempts(self) -> int:
        """Attempts that ignored their cancellation and were given up."""
        return self._services.host.abandoned

    @property
    def rejected_results(self) -> int:
        """Results of such attempts that came after all, and were not taken."""
        return self._services.host.rejected

    def forget_graph(self, graph_id: str) -> None:
        """Let go of the workers of a graph that was deleted."""
        self._services.host.forget(graph_id)

    def check_room(self) -> None:
        """Refuse a further run if too many wait already.

        Raises:
            Overloaded: The bound `max_pending_runs` or `max_waiting_runs` is reached.
        """
        settings = self._services.settings
        is_full = not self._has_place and len(self._pending) >= settings.max_pending_runs
        if is_full or self._parked >= settings.max_waiting_runs:
            waiting = len(self._pending) + self._parked
            message = f"{self._active} runs are active and {waiting:,} wait; submit again later."
            raise Overloaded(message, retry_after_s=5)

    def submit(self, row: RunRow, bound: BoundPlan, initial_state: Mapping[str, Any]) -> LiveRun:
        """Journal the run and start it, or let it wait for its turn. It is accepted once its first record is committed."""
        live = self._enroll(row)
        actor = self._actor(live, bound, None)
        starts = self._has_place and not self._pending  # nobody overtakes those who wait
        accept = Submit(initial_state, bound.pins)
        try:
            actor.handle(*((accept, Start()) if starts else (accept,)))
        except BaseException:
            del self.live[row.run_id]
            raise
        if starts:
            self._take_place(live)
            self._begin(live, actor)
        else:
            self._pending.append(row.run_id)
            if self._has_place:
                self._tasks.start_soon(self._take_waiting)
        return live

    def enroll(self, rows: Sequence[RunRow]) -> None:
        """Know the runs that an earlier process left behind, oldest first; `recover` takes them up."""
        for row in rows:
            self._enroll(row)
            self._pending.append(row.run_id)

    async def recover(self) -> None:
        """Give an actor to as many waiting runs as may be active, several at a time: each waits for the disk."""
        async with anyio.create_task_group() as tasks:
            for _ in range(min(RECOVERIES_AT_ONCE, len(self._pending))):
                tasks.start_soon(self._take_waiting)

    async def ask(self, live: LiveRun, command: Command) -> Request:
        """Hand a command to the run's actor, and wait until it has decided; the request has no answer if the run is over.

        A run that waits for its turn gets an actor now, which starts nothing until it is the run's turn.
        """
        request = Request(command)
        run_id = live.row.run_id
        if live.actor is None and run_id in self._pending:
            self._pending.remove(run_id)
            await self._activate(live, "restart", starts=False)
            if self.live.get(run_id) is live:
                self._pending.appendleft(run_id)
        while live.actor is None and not live.channel.closed:
            await live.ready.wait()
        if live.actor is None:
            request.end()
            return request
        live.actor.mailbox.send(request)
        await request.wait()
        if self._pending and self._has_place:
            self._tasks.start_soon(self._take_waiting)
        return request

    async def reopen(self, row: RunRow) -> LiveRun:
        """Go on with a run that has ended.

        Raises:
            Refused: Nothing in it can be run again.
            ToolMissing: A tool that it is pinned to is not registered now.
        """
        live = self._enroll(row)
        self._take_place(live)
        try:
            history = await read_history(self._memory.reader, self._memory.journal, row)
            live.channel.last_seq = history.records[-1].seq
            actor = self._actor(live, await self._bound(row.graph_id, history.pins), history)
            actor.handle(Retry())
        except BaseException:
            del self.live[row.run_id]
            live.channel.close()
            live.ready.set()
            self._leave_place(live)
            raise
        self._begin(live, actor)
        return live

    async def fork(self, row: RunRow, pins: Mapping[str, str], records: Sequence[AnyRecord], message: Fork) -> LiveRun:
        """Start a new run that begins with the records of another one.

        Raises:
            ToolMissing: A tool that the other run is pinned to is not registered now.
        """
        bound = await self._bound(row.graph_id, pins)
        live = self._enroll(row)
        actor = self._actor(live, bound, None)
        try:
            for record in records:
                apply(actor.run, record)
            actor.adopt(records, message)
        except BaseException:
            del self.live[row.run_id]
            raise
        self._take_place(live)
        self._begin(live, actor)
        return live

    async def _bound(self, graph_id: str, pins: Mapping[str, str]) -> BoundPlan:
        bound, missing = await self._bind(graph_id, pins)
        if missing:
            raise ToolMissing(
                f"The run needs what is not there now: {', '.join(missing)} (tools to register, or extras to install).",
                graph_id=graph_id,
            )
        return bound

    async def look_again(self, live: LiveRun) -> None:
        """Let a run that waits for missing tools go on if they are back."""
        actor = self._blocked(live)
        if actor is None:
            return
        bound, missing = await self._bind(live.row.graph_id, actor.run.tools)
        still = self._blocked(live)
        if not missing and still is actor and not self._draining:
            actor.rebind(bound)
            self._take_place(live)

    def _blocked(self, live: LiveRun) -> RunActor | None:
        return live.actor if live.actor is not None and live.actor.run.blocked is not None else None

    async def _look_again_at_all(self) -> None:
        for live in list(self.live.values()):
            await self.look_again(live)
        self._watch_blocked()

    def _watch_blocked(self) -> None:
        """Look for missing tools again after a while, as long as a run waits for some."""
        if self._is_looking or self._draining:
            return
        if any(map(self._blocked, self.live.values())):
            self._is_looking = True
            at = self._services.clock.monotonic() + LOOK_AGAIN_S
            self._services.timers.schedule(at, self._start_looking)

    def _start_looking(self) -> None:
        self._is_looking = False
        if not self._draining:
            self._tasks.start_soon(self._look_again_at_all)

    async def drain(self) -> None:
        """Let running attempts end, start nothing, and return when all is quiet."""
        self._draining = True
        for live in self.live.values():
            if live.actor is not None:
                live.actor.hold = True
        while any(live.actor is not None and live.actor.is_busy for live in self.live.values()):
            self._quiet = anyio.Event()
            await self._quiet.wait()

    def close(self) -> None:
        """Let go of everybody who waits for a run that this engine will not see the end of."""
        for live in self.live.values():
            live.channel.close()
            live.ready.set()

    def ended(self, row: RunRow) -> None:
        """Let go of a run whose terminal record is committed, and give its place to the next one."""
        self.finished += 1
        live = self.live.pop(row.run_id)
        if row.run_id in self._pending:
            self._pending.remove(row.run_id)
        live.row = row
        self._parked -= live.is_parked
        live.ready.set()
        self._leave_place(live)

    def parked(self, run_id: str, *, is_parked: bool) -> None:
        """Let a run that waits or is paused keep its actor and give up its place; it gets one back when it goes on."""
        live = self.live.get(run_id)
        if live is None or live.is_parked is is_parked:
            return
        live.is_parked = is_parked
        if is_parked:
            self._parked += 1
            self._leave_place(live)
        else:
            self._parked -= 1
            if live.actor is not None and not live.actor.hold:  # on hold it goes on when it is its turn
                self._take_place(live)

    def quiet(self) -> None:
        """Hear from an actor on hold that it has nothing left to do."""
        self._quiet.set()

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _has_place(self) -> bool:
        return self._active < self._services.settings.max_active_runs

    def _take_place(self, live: LiveRun) -> None:
        if not live.has_place and not live.is_parked:
            live.has_place = True
            self._active += 1

    def _leave_place(self, live: LiveRun) -> None:
        if live.has_place:
            live.has_place = False
            self._active -= 1
            if self._pending and not self._draining:
                self._tasks.start_soon(self._take_waiting)

    async def _take_waiting(self) -> None:
        while self._pending and self._has_place and not self._draining:
            live = self.live[self._pending.popleft()]
            self._take_place(live)
            if live.actor is None:
                await self._activate(live, "restart")
            elif live.actor.hold and live.actor.run.blocked is None:
                live.actor.release()

    def _enroll(self, row: RunRow) -> LiveRun:
        channel = LogChannel(self._services.settings.recent_records)
        live = self.live[row.run_id] = LiveRun(row, channel)
        return live

    def _actor(self, live: LiveRun, bound: BoundPlan, history: History | None) -> RunActor:
        run = new_run(bound.plan, live.row.run_id, bound.policies) if history is None else history.fold(bound)
        logger = self._pipeline.for_run(live.channel)
        actor = RunActor(run, bound, live.row, live.channel, logger, self._services, self)
        actor.hold = self._draining
        if history is not None:
            actor.resume(history.head)
        return actor

    def _begin(self, live: LiveRun, actor: RunActor) -> None:
        live.actor = actor
        live.ready.set()
        self.parked(live.row.run_id, is_parked=actor.run.word in PARKED)
        self._tasks.start_soon(self._watch, live, actor, name="run actor")

    async def _watch(self, live: LiveRun, actor: RunActor) -> None:
        try:
            await actor.main()
        except Exception as error:
            self._log.error("run_actor_failed", run_id=live.row.run_id, error=repr(error), exc_info=error)
            actor.dispose()
            live.actor, live.ready = None, anyio.Event()
            await live.channel.wait_beyond(actor.appended_seq - 1)
            await self._activate(live, "crash", detail=repr(error)[:500])
        except BaseException:
            live.actor = None  # the engine ends: what is committed from now on must not lead to calls
            actor.dispose()
            raise
        finally:
            self._quiet.set()

    async def _activate(self, live: LiveRun, cause: Cause, detail: str | None = None, *, starts: bool = True) -> None:
        """Rebuild a run from the journal and go on with it, or put it aside if that keeps failing."""
        if live.row.last_seq == 0:
            await live.channel.wait_beyond(0)  # submitted to this process, and perhaps not committed yet
        while (history := await self._announce_rebuild(live, cause, detail)) is not None:
            try:
                actor = await self._rebuild(live, history, starts=starts)
            except EngineError:
                raise
            except Exception as error:
                self._log.error("run_rebuild_failed", run_id=live.row.run_id, error=repr(error), exc_info=error)
                cause, detail = "crash", repr(error)[:500]
            else:
                self._begin(live, actor)
                return

    async def _announce_rebuild(self, live: LiveRun, cause: Cause, detail: str | None) -> History | None:
        """Journal the attempt to rebuild a run before anything can fail, and return what to rebuild it from."""
        row = await self._memory.reader.call(self._memory.journal.run, live.row.run_id)
        if row is None:
            raise JournalDamaged(f"The journal lost run {live.row.run_id}.", run_id=live.row.run_id)
        live.row = row
        history = await read_history(self._memory.reader, self._memory.journal, row)
        live.channel.last_seq = history.records[-1].seq
        if row.started_at is None and cause == "restart":
            return history
        if history.is_poisoned(cause, self._services.clock.now()):
            failure = Failure(
                "POISONED", f"Rebuilding the run failed {MAX_RECOVERIES} times; run_recovered records say why."
            )
            await self._append(live, history, RunDeadLettered(error=failure))
            return None
        return await self._append(live, history, RunRecovered(cause=cause, detail=detail or UNSET))

    async def _rebuild(self, live: LiveRun, history: History, *, starts: bool) -> RunActor:
        bound, missing = await self._bind(live.row.graph_id, history.pins)
        actor = self._actor(live, bound, history)
        if missing:
            actor.hold = True
            actor.announce(
                RunBlocked(reason=f"Not there now: {', '.join(missing)} (tools to register, or extras to install).")
            )
            self._leave_place(live)
            self._tasks.start_soon(self._look_again_at_all)
        elif starts:
            actor.handle(Start() if live.row.started_at is None else Recover())
        else:
            actor.hold = True
        return actor

    async def _append(self, live: LiveRun, history: History, record: RunRecovered | RunDeadLettered) -> History:
        """Append a record to a run that has no actor, and wait until it is committed."""
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
                self.ended(row)

        appender = RunAppender(self._services.writer, live.row.number, live.row.run_id)
        appender.resume(history.head)
        appender.append(record.seq, [line], row, committed)
        await live.channel.wait_beyond(record.seq - 1)
        return replace(history, records=(*history.records, record), head=appender.head)
