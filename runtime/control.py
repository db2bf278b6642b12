"""What people ask of runs: commands, and questions about why. Everything answered is committed before it is answered.

A command is a message in the mailbox of the run's actor, like any other, so there are no half-carried-out ones. A run that has
ended has no actor: `retry` gives it one again, and `fork` makes a new run out of its records.
"""

import re
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from anyio import to_thread
from msgspec import structs

from runtime.actors.live import LiveRun, Memory
from runtime.actors.recovery import History, read_history
from runtime.actors.run_actor import first_row
from runtime.actors.supervisor import Supervisor
from runtime.artifact_keeping import ArtifactKeeper
from runtime.catalog import Catalog
from runtime.clock import Clock
from runtime.errors import (
    AlreadyAnswered,
    Closing,
    EngineError,
    InvalidInput,
    NothingToRetry,
    Problem,
    RunFinished,
    TooManySignals,
    UnknownApproval,
    UnknownStep,
)
from runtime.graph.plan import Plan
from runtime.ids import new_run_id
from runtime.inputs import reducer_problems
from runtime.journal import RunRow
from runtime.json_values import NotJson, checked_copy
from runtime.reading import RunReader
from runtime.run.decision import Refused
from runtime.run.explain import Explanation, Live, explain
from runtime.run.forks import before_step
from runtime.run.messages import Answer, Cancel, Command, Fork, Pause, Resume, SendSignal
from runtime.run.model import Run
from runtime.run.records import (
    AnyRecord,
    ApprovalAnswered,
    ApprovalRequested,
    RunStatus,
    RunSubmitted,
    SignalReceived,
)
from runtime.run.state import Writer
from runtime.run.waits import open_approvals
from runtime.views import Approval, SignalReceipt

MAX_INLINE: Final = 5_000
"""Records that are explained at once; more are in a thread, so that others do not wait (some 2.5 us each)."""

_PLACE: Final = re.compile(r"(?P<name>.+)#[1-9][0-9]*(?:\[(?P<item>0|[1-9][0-9]*)\])?")
"""A part of a path: a node, its iteration, and for a map the item."""


class RunControl:
    """Carries out commands, and answers questions, about one run each."""

    def __init__(
        self,
        catalog: Catalog,
        supervisor: Supervisor,
        memory: Memory,
        clock: Clock,
        runs: RunReader,
        artifacts: ArtifactKeeper,
    ) -> None:
        self._artifacts = artifacts
        self._runs = runs
        self._catalog = catalog
        self._supervisor = supervisor
        self._memory = memory
        self._clock = clock

    # --- commands -----------------------------------------------------------------------------------------------------

    async def cancel(self, run_id: str) -> None:
        """End a run; one that was cancelled already is left as it is."""
        try:
            await self._command(run_id, Cancel())
        except RunFinished:
            if (await self._runs.row(run_id)).status != RunStatus.CANCELLED.value:
                raise

    async def pause(self, run_id: str) -> None:
        """Start nothing in a run until it is resumed."""
        await self._command(run_id, Pause())

    async def resume(self, run_id: str) -> None:
        """Go on after a pause, or with tools that are back."""
        live = self._supervisor.live.get(run_id)
        if live is not None:
            await self._supervisor.look_again(live)
        await self._command(run_id, Resume())

    async def signal(self, run_id: str, name: str, data: Any, signal_id: str | None) -> SignalReceipt:
        """Hand a signal to a run, once for each id."""
        identity = signal_id or f"signal-{uuid.uuid4().hex}"
        try:
            is_new = await self._command(run_id, SendSignal(identity, name, _json(data, "/data")))
        except RunFinished:
            if signal_id is None or not await self._has_received(run_id, signal_id):
                raise
            is_new = False
        return SignalReceipt(identity, duplicate=not is_new)

    async def answer(self, run_id: str, approval: str, given: Any, by: str | None) -> None:
        """Answer a question; the first answer counts."""
        try:
            await self._command(run_id, Answer(approval, _json(given, "/answer"), by))
        except (UnknownApproval, RunFinished):
            if await self._was_answered(run_id, approval):
                raise AlreadyAnswered(run_id, approval) from None
            raise

    async def retry(self, run_id: str) -> None:
        """Go on with a run that failed or was out of time."""
        live = self._supervisor.live.get(run_id)
        row = await self._runs.row(run_id)
        if live is not None or run_id in self._supervisor.live:
            raise NothingToRetry(
                run_id, f"it is {row.status}, and only one that failed, timed out or was put aside can."
            )
        self._supervisor.check_room()
        try:
            live = await self._supervisor.reopen(row)
        except Refused as refused:
            raise _error(refused, run_id, "") from None
        await self._supervisor.confirm(live, live.channel.last_seq + 1)

    async def fork(
        self, run_id: str, node: str, *, number: int, iteration: int | None, path: str, state: Mapping[str, Any] | None
    ) -> RunRow:
        """Start a new run with what another one had done before a step."""
        row = await self._runs.row(run_id)
        history = await read_history(self._memory.reader, self._memory.journal, row)
        begun = before_step(history.records, node, iteration, path)
        if begun is None:
            raise UnknownStep(run_id, node, iteration=iteration, path=path)
        update = None if state is None else await self._fitting(history, path, state)
        self._supervisor.check_room()
        copied, step = begun
        new_row = first_row(number, new_run_id(), row.graph_id, self._clock.now())
        records = [_taken_over(record, new_row.run_id) for record in copied]
        await self._artifacts.hand_over(run_id, new_row.run_id)
        self._supervisor.check_room()  # others may have come meanwhile
        fork = Fork(run_id, copied[-1].seq, path, step.node, step.iteration, update)
        live = await self._supervisor.fork(new_row, history.pins, records, fork)
        accepted = new_row if live.actor is None else live.actor.row
        await self._supervisor.confirm(live, len(records) + 1)
        return accepted

    async def _fitting(self, history: History, path: str, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the change of a state, if the reducers of the graph at that path can work with it."""
        update: dict[str, Any] = _json(dict(state), "/state")
        plan = plan_at((await self._catalog.compiled(history.row.graph_id, deleted=True)).plan, path)
        problems = reducer_problems(plan.reducers if plan is not None else {}, update, "/state")
        if problems:
            raise InvalidInput("The change of the state does not fit the graph.", problems=problems)
        return update

    async def _command(self, run_id: str, command: Command) -> bool:
        """Carry out a command; once that is durable, return whether it changed anything."""
        while (live := self._supervisor.live.get(run_id)) is not None:
            request = await self._supervisor.ask(live, command)
            if request.refused is not None:
                await self._supervisor.confirm(live, request.seq or 0)  # what it was refused for may not be durable yet
                raise _error(request.refused, run_id, command.approval if isinstance(command, Answer) else "")
            if request.seq is not None:
                await self._supervisor.confirm(live, request.seq)
                return request.has_changed
            if self._supervisor.live.get(run_id) is live and live.channel.closed:
                raise Closing
        raise RunFinished(run_id, (await self._runs.row(run_id)).status)

    async def _has_received(self, run_id: str, signal_id: str) -> bool:
        records = (await self._history(run_id)).records
        return any(isinstance(record, SignalReceived) and record.id == signal_id for record in records)

    async def _was_answered(self, run_id: str, approval: str) -> bool:
        records = (await self._history(run_id)).records
        asked = [
            (record.path, record.node, record.iteration)
            for record in records
            if isinstance(record, ApprovalRequested) and record.approval == approval
        ]
        return any(
            isinstance(record, ApprovalAnswered) and (record.path, record.node, record.iteration) in asked
            for record in records
        )

    # --- questions ----------------------------------------------------------------------------------------------------

    async def approvals(self, run_id: str) -> tuple[Approval, ...]:
        """Return the questions that a run waits for the answers to, the oldest first."""
        run = await self._run(run_id)
        return tuple(
            Approval(
                approval=asked.approval,
                node=asked.node,
                iteration=asked.iteration,
                path=frame.path,
                prompt=asked.prompt,
                answer_schema=asked.answer_schema if isinstance(asked.answer_schema, (dict, bool)) else None,
                requested_at=step.first_started,
                due=step.due,
            )
            for frame, step in open_approvals(run)
            if (asked := step.approval) is not None
        )

    async def blame(self, run_id: str) -> dict[str, Writer]:
        """Return who wrote each key of the state last."""
        run = await self._run(run_id)
        return run.state.writers(run.plan.index_of)

    async def explain(self, run_id: str, node: str, path: str) -> Explanation:
        """Return why a node ran, was skipped, or waits."""
        history = await self._history(run_id)
        compiled = await self._catalog.compiled(history.row.graph_id, deleted=True)
        plan = plan_at(compiled.plan, path)
        if plan is None or node not in plan.index_of:
            raise UnknownStep(run_id, node, path=path)
        live = self._supervisor.live.get(run_id)
        seen = None if live is None else _seen(live)
        answer = partial(explain, plan, history.records, node, path=path, now=self._clock.now(), live=seen)
        return await to_thread.run_sync(answer) if len(history.records) > MAX_INLINE else answer()

    async def _run(self, run_id: str) -> Run:
        """Return the run as its committed records tell it."""
        history = await self._history(run_id)
        live = self._supervisor.live.get(run_id)
        if live is not None and live.actor is None:
            history.require_unsuspected()
        bound, _ = await self._catalog.bind(history.row.graph_id, history.pins)
        return history.fold(bound)

    async def _history(self, run_id: str) -> History:
        return await read_history(self._memory.reader, self._memory.journal, await self._runs.row(run_id))


def plan_at(plan: Plan, path: str) -> Plan | None:
    """Return the plan of the graph that runs at a path of records, or None if the path leads nowhere."""
    for part in path.split("/") if path else ():
        found = _PLACE.fullmatch(part)
        index = None if found is None else plan.index_of.get(found["name"].replace("~1", "/").replace("~0", "~"))
        if found is None or index is None:
            return None
        node = plan.nodes[index]
        if node.child is None or (node.map is None) is not (found["item"] is None):
            return None
        plan = node.child.plan
    return plan


def _seen(live: LiveRun) -> Live:
    actor = live.actor
    if actor is None:
        return Live(waits_for_place=True)
    calls, queued = actor.calls()
    return Live(calls=calls, queued=queued)


def _taken_over(record: AnyRecord, run_id: str) -> AnyRecord:
    if isinstance(record, RunSubmitted):
        return structs.replace(record, run_id=run_id)
    record.run_id = run_id
    return record


def _json(value: Any, pointer: str) -> Any:
    try:
        return checked_copy({"value": value})["value"]
    except NotJson as error:
        problem = Problem(f"{pointer}{error.pointer.removeprefix('/value')}", f"There is {error}.", "not_json")
        raise InvalidInput("What was sent is not JSON.", problems=[problem]) from error


def _error(refused: Refused, run_id: str, approval: str) -> EngineError:
    match refused.code:
        case "UNKNOWN_APPROVAL":
            return UnknownApproval(run_id, approval)
        case "TOO_MANY_SIGNALS":
            return TooManySignals(run_id, refused.message)
        case "NOTHING_TO_RETRY":
            return NothingToRetry(run_id, refused.message)
        case _:
            return InvalidInput(refused.message, problems=refused.problems, run_id=run_id)
