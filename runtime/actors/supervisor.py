"""Starts, watches, rebuilds and stops the run actors, and decides how many there are.

Restart rules, after Erlang/OTP: an attempt of a step is temporary (its retries are the journal's business); a run actor is
transient: one that fails by an engine fault is rebuilt from the journal, the attempt to do so journaled first, and put aside as
`dead_lettered` after three failures in ten minutes; the journal writer and the timers are permanent, and without them the
engine ends. Runs beyond `max_active_runs` wait without an actor: only their id is kept, the journal has the rest.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from runtime.actors.binding import BoundPlan
from runtime.actors.live import Bind, LiveRun, Memory
from runtime.actors.mailbox import Request
from runtime.actors.rebuilding import Rebuilder
from runtime.actors.recovery import History, read_history
from runtime.actors.run_actor import PARKED, ActorServices, RunActor
from runtime.errors import Closing, Overloaded, ToolMissing, UnknownRun
from runtime.journal.base import RunRow
from runtime.log.channel import LogChannel
from runtime.log.pipeline import LogPipeline
from runtime.run.apply import apply
from runtime.run.messages import Command, Fork, Retry, Start, Submit
from runtime.run.model import new_run
from runtime.run.records import (
    AnyRecord,
    RecoveryCause,
)

RECOVERIES_AT_ONCE: Final = 2
RUNS_AT_ONCE: Final = 64
"""How many tasks take up runs after a start, and how many runs each reads and announces together at most."""

LOOK_AGAIN_S: Final = 5.0
"""How often missing tools are looked for while runs wait for them."""


class Supervisor:
    """The parent of all run actors; `tasks` is the group they run in.

    Attributes:
        live: The runs that have not ended, by id.
        keyed: Those of them that were submitted with an idempotency key, by that key.
        retiring: Ended runs, by id, that are being deleted and so cannot go on again.
        finished: Runs that ended since the start.
        deleted: Ended runs that were deleted since the start, because their time was up or there were too many.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        services: ActorServices,
        memory: Memory,
        pipeline: LogPipeline,
        bind: Bind,
    ) -> None:
        self.live: dict[str, LiveRun] = {}
        self.keyed: dict[str, LiveRun] = {}
        self.retiring: set[str] = set()
        self.finished = 0
        self.deleted = 0
        self._tasks = tasks
        self._services = services
        self._memory = memory
        self._pipeline = pipeline
        self._bind = bind
        self._log = pipeline.for_engine()
        self._pending: OrderedDict[str, None] = OrderedDict()  # a queue, of which any run can be taken out at once
        self._active = 0
        self._parked = 0
        self._draining = False
        self._closed = False
        self._is_looking = False
        self._cause: RecoveryCause = "restart"
        self._suspects_wait = False
        self._rebuilder = Rebuilder(services, memory, pipeline, bind, self)
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
    def waiting(self) -> int:
        """Runs that only wait for a time, a signal or a person, or are paused."""
        return self._parked

    @property
    def abandoned_attempts(self) -> int:
        """Attempts that ignored their cancellation and were given up."""
        return self._services.host.abandoned

    @property
    def abandoned_now(self) -> int:
        """Those of them whose tools still run."""
        return self._services.host.abandoned_now

    @property
    def rejected_results(self) -> int:
        """Results of such attempts that came after all, and were not taken."""
        return self._services.host.rejected

    def forget_graph(self, graph_id: str) -> None:
        """Let go of the workers of a graph that was deleted."""
        self._services.host.forget(graph_id)

    def check_room(self) -> None:
        """Refuse a further run if too many wait already, or nothing can be written now.

        Raises:
            Overloaded: The bound `max_pending_runs` or `max_waiting_runs` is reached, or memory is short.
            JournalUnavailable: The disk is full, locked by somebody else, or slow.
        """
        if (trouble := self._services.writer.trouble) is not None:
            raise trouble
        if self._services.memory is not None:
            self._services.memory.check()
        settings = self._services.settings
        is_full = not self._has_place and len(self._pending) >= settings.max_pending_runs
        if is_full or self._parked >= settings.max_waiting_runs:
            waiting = len(self._pending) + self._parked
            message = f"{self._active} runs are active and {waiting:,} wait; submit again later."
            raise Overloaded(message, retry_after_s=5)

    def submit(self, row: RunRow, bound: BoundPlan, initial_state: Mapping[str, Any]) -> LiveRun:
        """Journal the run and start it, or let it wait for its turn. It is accepted once its first record is committed."""
        live = self._enroll(row)
        actor = self.make_actor(live, bound, None)
        starts = self._has_place and not self._pending  # nobody overtakes those who wait
        accept = Submit(initial_state, bound.pins)
        try:
            actor.handle(*((accept, Start()) if starts else (accept,)))
        except BaseException:
            self._forget(live)
            raise
        if starts:
            self._take_place(live)
            self.begin(live, actor)
        else:
            self._pending[row.run_id] = None
            if self._has_place:
                self._tasks.start_soon(self._take_waiting)
        return live

    def enroll(self, rows: Sequence[RunRow], *, was_killed: bool) -> None:
        """Know the runs that an earlier process left behind, oldest first; `recover` takes them up."""
        self._cause = "killed" if was_killed else "restart"
        for row in rows:
            self._enroll(row)
            self._pending[row.run_id] = None

    async def recover(self) -> None:
        """Give an actor to as many waiting runs as may be active, several at a time: each waits for the disk."""
        self._suspects_wait = True
        async with anyio.create_task_group() as tasks:
            for _ in range(RECOVERIES_AT_ONCE):
                tasks.start_soon(self._take_waiting)
        self._suspects_wait = False
        await self._rebuild_suspects()

    async def _rebuild_suspects(self) -> None:
        """Rebuild the suspects that there are, one at a time."""
        if self._suspects_wait:
            return
        self._suspects_wait = True
        while not self._draining and (suspect := self._rebuilder.next_suspect()) is not None:
            self._take_place(suspect)
            await self._rebuilder.rebuild(suspect, self._cause, is_alone=True)
            if suspect.actor is not None:  # the next one not before this one is known to have survived
                await suspect.channel.wait_beyond(suspect.actor.appended_seq - 1)
        self._suspects_wait = False

    async def ask(self, live: LiveRun, command: Command) -> Request:
        """Hand a command to the run's actor, and wait until it has decided; the request has no answer if the run is over.

        A run that waits for its turn gets an actor now, which starts nothing until it is the run's turn.

        Raises:
            JournalUnavailable: The run is over, and it takes too long until that is durable.
            Closing: The engine is closing, and the run has no actor.
        """
        request = Request(command)
        run_id = live.row.run_id
        if live.actor is None and run_id in self._pending:
            if self._draining:
                raise Closing
            del self._pending[run_id]
            self._tasks.start_soon(self._rebuild_waiting, live)  # whoever asks may lose patience
        while live.actor is None and not live.channel.closed:
            await live.ready.wait()
        if live.actor is None:
            request.end()
            return request
        actor = live.actor
        actor.mailbox.send(request)
        await request.wait()
        if request.fault is not None:
            raise request.fault
        if request.seq is None:  # the run is over, or the actor; soon that is durable
            await self.confirm(live, actor.appended_seq)
        if self._is_next():
            self._tasks.start_soon(self._take_waiting)
        return request

    async def _rebuild_waiting(self, live: LiveRun) -> None:
        """Give a run that waits for its turn an actor already; it goes on waiting."""
        await self._rebuilder.rebuild(live, self._cause_of(live), starts=False)
        if self._rebuilder.has_suspects:  # perhaps this one: who asks for it waits until it is its turn
            self._tasks.start_soon(self._rebuild_suspects)
        run_id = live.row.run_id
        if live.actor is not None:  # otherwise it is a suspect, or is being put aside
            self._pending[run_id] = None
            self._pending.move_to_end(run_id, last=False)
            if self._has_place:
                self._tasks.start_soon(self._take_waiting)

    async def confirm(self, live: LiveRun, seq: int) -> None:
        """Wait until a record of a run is durable, or it becomes clear that this takes too long.

        Raises:
            JournalUnavailable: It is not durable yet; whether it will be is not known.
            Closing: The engine ended first.
        """
        if live.channel.last_seq < seq:
            writer = self._services.writer
            with anyio.move_on_after(writer.slow_s) as patience:
                await live.channel.wait_beyond(seq - 1)
            if patience.cancelled_caught:
                raise writer.trouble or writer.slowness
            if live.channel.last_seq < seq:
                raise Closing

    async def reopen(self, row: RunRow) -> LiveRun:
        """Go on with a run that has ended.

        Raises:
            UnknownRun: It has just been deleted, or is about to be.
            Refused: Nothing in it can be run again.
            ToolMissing: A tool that it is pinned to is not registered now.
        """
        if row.run_id in self.retiring:
            raise UnknownRun(row.run_id)
        live = self._enroll(row)
        self._take_place(live)
        try:
            history = await read_history(self._memory.reader, self._memory.journal, row)
            live.channel.last_seq = history.records[-1].seq
            actor = self.make_actor(live, await self._bound(row.graph_id, history.pins), history)
            actor.handle(Retry())
            live.row = actor.row  # whoever waits for the run must not take its former end for the new one
        except BaseException:
            self._forget(live)
            live.channel.close()
            live.ready.set()
            self._leave_place(live)
            raise
        self.begin(live, actor)
        return live

    def retire(self, run_id: str) -> bool:
        """Return whether a run may be deleted, because it has ended; it cannot go on again while it is in `retiring`."""
        if run_id in self.live:
            return False
        self.retiring.add(run_id)
        return True

    async def fork(self, row: RunRow, pins: Mapping[str, str], records: Sequence[AnyRecord], message: Fork) -> LiveRun:
        """Start a new run that begins with the records of another one.

        Raises:
            ToolMissing: A tool that the other run is pinned to is not registered now.
        """
        bound = await self._bound(row.graph_id, pins)
        live = self._enroll(row)
        actor = self.make_actor(live, bound, None)
        try:
            for record in records:
                apply(actor.run, record)
            actor.adopt(records, message)
        except BaseException:
            self._forget(live)
            raise
        self._take_place(live)
        self.begin(live, actor)
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
        self._closed = True
        for live in self.live.values():
            live.channel.close()
            live.ready.set()

    def ended(self, row: RunRow) -> None:
        """Let go of a run whose terminal record is committed, and give its place to the next one."""
        self.finished += 1
        live = self.live[row.run_id]
        self._forget(live)
        self._pending.pop(row.run_id, None)
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

    def blocked(self, live: LiveRun) -> None:
        """Let a run wait for missing tools without a place, and look for them now and then."""
        self._leave_place(live)
        self._tasks.start_soon(self._look_again_at_all)

    def quiet(self) -> None:
        """Hear from an actor on hold that it has nothing left to do."""
        self._quiet.set()

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _has_place(self) -> bool:
        return self._active < self._services.settings.max_active_runs

    def _is_next(self) -> bool:
        """Whether it is the turn of a run that waits for it."""
        return bool(self._pending) and self._has_place and not self._draining

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
        while self._is_next():
            stored: list[LiveRun] = []
            while self._is_next() and len(stored) < RUNS_AT_ONCE:
                live = self.live[self._pending.popitem(last=False)[0]]
                self._take_place(live)
                if live.actor is not None:
                    if live.actor.hold and live.actor.run.blocked is None:
                        live.actor.release()
                elif live.row.last_seq:
                    stored.append(live)
                else:  # submitted to this process, and perhaps not committed yet
                    await live.channel.wait_beyond(0)
                    await self._rebuilder.rebuild(live, self._cause_of(live))
            await self._rebuilder.rebuild_all(stored, self._cause)
            if self._rebuilder.has_suspects and not self._suspects_wait:
                self._tasks.start_soon(self._rebuild_suspects)

    def _cause_of(self, live: LiveRun) -> RecoveryCause:
        """Return why a run that waits has to be rebuilt; one that was submitted to this process was killed in none."""
        return self._cause if live.row.last_seq else "restart"

    def _enroll(self, row: RunRow) -> LiveRun:
        channel = LogChannel(self._services.settings.recent_records)
        live = self.live[row.run_id] = LiveRun(row, channel)
        if row.key is not None:
            self.keyed[row.key] = live
        return live

    def _forget(self, live: LiveRun) -> None:
        del self.live[live.row.run_id]
        if live.row.key is not None:
            del self.keyed[live.row.key]

    def make_actor(self, live: LiveRun, bound: BoundPlan, history: History | None) -> RunActor:
        """Return an actor for a run that is submitted now, or as its history tells it."""
        run = new_run(bound.plan, live.row.run_id, bound.policies) if history is None else history.fold(bound)
        logger = self._pipeline.for_run(live.channel)
        actor = RunActor(run, bound, live.row, live.channel, logger, self._services, self)
        actor.hold = self._draining
        if history is not None:
            actor.resume(history.head)
        return actor

    def begin(self, live: LiveRun, actor: RunActor) -> None:
        """Let an actor work.

        Raises:
            Closing: No actor works any more.
        """
        if self._closed:
            raise Closing
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
            await self._rebuilder.rebuild(live, "crash", repr(error)[:500])
        except BaseException:
            # The engine ends: what is committed from now on must not lead to calls, and who asks waits for `close`.
            live.actor, live.ready = None, anyio.Event()
            actor.dispose()
            raise
        finally:
            self._quiet.set()
