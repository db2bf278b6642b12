"""Drives a run of any graph by hand, sub-graphs and items included, and checks after every message what must always hold.

A `Hand` reads what is open off the run itself: attempts are the steps that call a tool, timers are their dues. Beside the run
it keeps a shadow, folded from the records after a journey through JSON, and compares the two after every message.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from runtime.actors.binding import bind
from runtime.graph.checks import judge
from runtime.graph.plan import ROOT, Plan, compile_plan
from runtime.run.apply import apply
from runtime.run.decision import MAX_RECORDS, Refused
from runtime.run.machine import decide
from runtime.run.messages import (
    Answer,
    AttemptEnded,
    Cancel,
    DeadlinePassed,
    Failed,
    Fork,
    GoOn,
    Message,
    Pause,
    Recover,
    Resume,
    Retry,
    SendSignal,
    Start,
    Stopped,
    Submit,
    Succeeded,
    TimerDue,
)
from runtime.run.model import Frame, Run, Step, StepPolicy, new_run
from runtime.run.records import LoopIteration, Record, StepFailed, StepStarted, decode_record, encode_records
from runtime.run.tokens import waiting_view
from tests.support.compare import assert_same_run
from tests.support.driver import NOON
from tests.support.graphs import Source, node
from tests.support.tools import FakeTools
from tools.contract import tool

Outcome = Succeeded | Failed | Stopped


@tool(name="work")
def once_tried(state: dict[str, object]) -> None:
    """Be tried once unless a node says otherwise, and again after a crash."""


@tool(effect="once")
def fragile(state: dict[str, object]) -> None:
    """Never be called twice."""


def tools() -> FakeTools:
    return FakeTools(once_tried, fragile)


def planned(source: Source) -> Plan:
    """Return the plan of a graph that the verdict has to accept."""
    verdict = judge(source, tools())
    assert verdict.errors == []
    assert verdict.definition is not None
    return compile_plan(verdict.definition, "graph-1")


# --- graphs -----------------------------------------------------------------------------------------------------------


def bare(name: str, kind: str, **keys: Any) -> Source:
    """Return a node of that type, without a tool."""
    return node(name, tool=None, type=kind, **keys)


def wait(name: str, *, node_keys: Mapping[str, Any] | None = None, **keys: Any) -> Source:
    return bare(name, "wait", wait=keys, **(node_keys or {}))


def approval(name: str, *, node_keys: Mapping[str, Any] | None = None, **keys: Any) -> Source:
    return bare(name, "approval", approval={"prompt": f"{name}?", **keys}, **(node_keys or {}))


def sub(name: str, inner: Source, **keys: Any) -> Source:
    return bare(name, "graph", graph=inner, **keys)


def each(name: str, items: Any = "items", *, inner: Source | None = None, **keys: Any) -> Source:
    """Return a map over a tool, or over `inner`; `node_*` keys are those of the node, the others those of the map."""
    own = {key.removeprefix("node_"): value for key, value in keys.items() if key.startswith("node_")}
    over = {key: value for key, value in keys.items() if not key.startswith("node_")}
    over = {"as" if key == "as_" else key: value for key, value in over.items()}
    if inner is not None:
        return bare(name, "map", map={"items": items, **over}, graph=inner, **own)
    return node(name, type="map", map={"items": items, **over}, **own)


# --- the hand ---------------------------------------------------------------------------------------------------------


class Hand:
    """One run, driven by hand.

    Attributes:
        crashes_at: Numbers of messages after which the run is thrown away and rebuilt from its records.
    """

    def __init__(self, source: Source | Plan, *, crashes_at: Sequence[int] = ()) -> None:
        self.plan = source if isinstance(source, Plan) else planned(source)
        bound, missing = bind(self.plan, tools())
        assert missing == ()
        self.policies: Sequence[StepPolicy] = bound.policies
        self.run = new_run(self.plan, "run-1", self.policies)
        self.records: list[Record] = []
        self.now: datetime = NOON
        self.messages = 0
        self.lost: list[tuple[str, str, int]] = []
        self._crashes_at = frozenset(crashes_at)
        self._shadow = new_run(self.plan, "run-1", self.policies)

    # --- messages

    def send(self, message: Message, *, hold: bool = False) -> list[Record]:
        """Let the machine decide on a message, and check what must hold."""
        try:
            records = decide(self.run, message, at=self.now, chance=0.5, hold=hold)
            more = records
            while len(more) >= MAX_RECORDS:
                more = decide(self.run, GoOn(), at=self.now, hold=hold)
                records += more
        except Refused:
            assert_same_run(self._shadow, self.run)
            raise
        self._take(records)
        self.messages += 1
        if not hold:
            self.check()
        if self.messages in self._crashes_at:
            self.crash()
        return records

    def _take(self, records: Sequence[Record]) -> None:
        self.records += records
        for line in encode_records(records):
            apply(self._shadow, decode_record(line))
        assert_same_run(self._shadow, self.run)

    def crash(self) -> None:
        """Forget the run, go on with what its records tell, and recover it."""
        self.run = fold(self.plan, self.policies, self.records)
        self._take(decide(self.run, Recover(), at=self.now))
        self.check()

    def begin(self, **state: Any) -> "Hand":
        self.send(Submit(state, {}))
        self.send(Start())
        return self

    def end(self, name: str, outcome: Outcome | None = None, **update: Any) -> list[Record]:
        """End the attempt of a node, named `node`, or `node` behind its path: `sub#1/node`, `each#1[0]/node`."""
        path, place = self.where(name)
        frame = self.run.frames[path]
        step = frame.active[place]
        assert is_call(frame, step), f"{name} runs no attempt"
        message = AttemptEnded(place, step.iteration, step.attempt, outcome or Succeeded(update), 1.0, path)
        return self.send(message)

    def where(self, name: str) -> tuple[str, int]:
        path, _, own = name.rpartition("/")
        return path, self.run.frames[path].plan.index_of[own]

    def ring(self, name: str) -> list[Record]:
        """Send a step's timer at its time, or now if that is over."""
        path, place = self.where(name)
        step = self.run.frames[path].active[place]
        due = step.retry_due or step.due
        assert due is not None, f"{name} has no timer"
        self.now = max(self.now, due)
        return self.send(TimerDue(place, step.iteration, path))

    def later(self, seconds: float) -> None:
        """Let time pass; every timer that is due then fires, in order."""
        until = self.now + timedelta(seconds=seconds)
        while timers := sorted((due, path, place) for due, path, place, _ in self.timers() if due <= until):
            due, path, place = timers[0]
            self.now = max(self.now, due)
            step = self.run.frames[path].active[place]
            if not self.send(TimerDue(place, step.iteration, path)):
                break
        self.now = until

    def signal(self, name: str, data: Any = None, identity: str | None = None) -> list[Record]:
        return self.send(SendSignal(identity or f"s{self.messages}", name, data))

    def answer(self, approval: str, answer: Any, by: str | None = None) -> list[Record]:
        return self.send(Answer(approval, answer, by))

    def pause(self) -> list[Record]:
        return self.send(Pause())

    def resume(self) -> list[Record]:
        return self.send(Resume())

    def retry(self) -> list[Record]:
        return self.send(Retry())

    def cancel(self) -> list[Record]:
        return self.send(Cancel())

    def deadline(self) -> list[Record]:
        return self.send(DeadlinePassed())

    def fork(
        self, name: str, iteration: int | None = None, path: str = "", state: Mapping[str, Any] | None = None
    ) -> "Hand":
        """Return a new run that begins before the step."""
        cut: tuple[list[Record], int] | None = None
        for place, record in enumerate(self.records):
            begins = isinstance(record, StepStarted) and record.attempt == 1
            if not begins and not (isinstance(record, StepFailed) and record.attempt == 0):
                continue
            assert isinstance(record, StepStarted | StepFailed)
            where = record.path if isinstance(record.path, str) else ""
            if (record.node, where) == (name, path) and iteration in (None, record.iteration):
                before = self.records[:place]
                while isinstance(before[-1], LoopIteration):
                    before.pop()
                cut = before, record.iteration
        assert cut is not None
        new = Hand(self.plan)
        new.policies = self.policies
        new.now = self.now
        new.run = new_run(self.plan, "run-1", self.policies)
        new._shadow = new_run(self.plan, "run-1", self.policies)
        copied = [decode_record(line) for line in encode_records(cut[0])]
        for record in copied:
            apply(new.run, record)
        new._take(copied)
        new.send(Fork("run-0", copied[-1].seq, path, name, cut[1], state))
        return new

    def finish(self, **by_node: Mapping[str, Any] | Outcome) -> "Hand":
        """End everything that runs, and let every timer fire, until the run has ended; nodes succeed unless told otherwise."""
        for _ in range(100_000):
            if self.run.status.is_final:
                return self
            calls = self.calls()
            if calls:
                name = calls[0]
                told = by_node.get(name.rpartition("/")[2], {})
                self.end(name, Succeeded(dict(told)) if isinstance(told, Mapping) else told)
                continue
            timers = sorted((due, path, place) for due, path, place, _ in self.timers())
            assert timers, f"the run waits for something else: {self.events[-10:]}"
            due, path, place = timers[0]
            self.now = max(self.now, due)
            self.send(TimerDue(place, self.run.frames[path].active[place].iteration, path))
        raise AssertionError("the run does not end")

    # --- what there is

    def frames(self) -> list[Frame]:
        return [self.run, *self.run.inside()]

    def calls(self) -> list[str]:
        """Return the names of the attempts that run, those that began first first."""
        found = [
            (step.order, join(frame.path, frame.plan.nodes[step.node].name))
            for frame in self.frames()
            for step in frame.active.values()
            if is_call(frame, step)
        ]
        return [name for _, name in sorted(found)]

    def timers(self) -> list[tuple[datetime, str, int, Step]]:
        found = []
        for frame in self.frames():
            for step in frame.active.values():
                due = step.retry_due or step.due
                if due is not None and step.cancelling is None:
                    found.append((due, frame.path, step.node, step))
        return found

    @property
    def events(self) -> list[str]:
        return [record.event for record in self.records]

    def of(self, event: str, node: str | None = None) -> list[Any]:
        return [r for r in self.records if r.event == event and (node is None or getattr(r, "node", "") == node)]

    def started(self) -> list[tuple[str, int]]:
        """Return the name, with its path, and the iteration of every step, in the order they started."""
        return [(name_of(record), record.iteration) for record in self.of("step_started") if record.attempt == 1]

    def names(self) -> list[str]:
        return [name for name, _ in self.started()]

    @property
    def status(self) -> str:
        return self.run.word.value

    @property
    def state(self) -> dict[str, Any]:
        return self.run.state.newest(self.plan.index_of)

    @property
    def error(self) -> str | None:
        return None if self.run.failing is None else self.run.failing.code

    def view(self, name: str) -> dict[str, Any]:
        """Return what an active step sees."""
        path, place = self.where(name)
        return {key: write.value for key, write in self.run.frames[path].active[place].view.items()}

    # --- what must hold

    def check(self) -> None:
        """Assert what holds for every run after every message."""
        run, frames = self.run, self.frames()
        assert [record.seq for record in self.records] == list(range(1, len(self.records) + 1))
        assert {id(frame) for frame in frames} == {id(frame) for frame in run.frames.values()}
        assert all(run.frames[frame.path] is frame for frame in frames)
        steps = [(frame, step) for frame in frames for step in frame.active.values()]
        leaves = [(frame, step) for frame, step in steps if frame.plan.nodes[step.node].child is None]
        assert run.waiting == sum(step.is_parked for _, step in leaves)
        assert run.working == sum(not step.is_parked for _, step in leaves)
        for frame in frames:
            on_edges = sum(
                edge.back_to is None and waiting_view(frame, edge.index) is not None for edge in frame.plan.edges
            )
            begins = frame.initial is not None and run.started_at is not None
            assert frame.scopes[ROOT].tokens == len(frame.active) + on_edges + begins, "tokens are lost or left"
        for frame, step in steps:
            if step.is_parked:
                wakes = step.due is not None or step.signal is not None or step.approval is not None
                assert wakes, f"{frame.path} {frame.plan.nodes[step.node].name} waits for nothing"
        first = Counter(self.started())
        assert not first or max(first.values()) == 1, "a step was started twice"
        self._check_pauses()
        if run.status.is_final:
            assert not run.active
            assert len(run.frames) == 1
            assert (run.waiting, run.working) == (0, 0)
            if run.status == "completed" and not self.of("end_reached"):
                assert [scope.tokens for scope in run.scopes] == [0] * len(run.scopes)
                assert [scope.entered for scope in run.scopes] == [0] * len(run.scopes)
                assert run.held == 0
        elif run.started_at is not None and not run.paused:
            assert leaves, f"the run is stuck: {self.events[-10:]}"

    def _check_pauses(self) -> None:
        paused = False
        for record in self.records:
            if record.event == "run_paused":
                paused = True
            elif record.event in (
                "run_resumed",
                "run_cancel_requested",
                "run_deadline_passed",
                "run_retried",
                "run_forked",
            ):
                paused = False
            assert not (paused and record.event == "step_started" and not is_recovery(record)), "started while paused"


def is_recovery(record: Record) -> bool:
    return isinstance(record, StepStarted) and record.recovered is True


def is_call(frame: Frame, step: Step) -> bool:
    return frame.plan.nodes[step.node].kind in ("tool", "route") and step.retry_due is None


def join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def name_of(record: Any) -> str:
    return join(record.path if isinstance(record.path, str) else "", record.node)


def fold(plan: Plan, policies: Sequence[StepPolicy], records: Sequence[Record]) -> Run:
    """Return the run that the records tell of, after a journey through JSON."""
    run = new_run(plan, "run-1", policies)
    for line in encode_records(records):
        apply(run, decode_record(line))
    return run
