"""Plays a run with everything that can happen to it from outside; whatever could vary in time is drawn from one seed.

A `Player` knows from the records alone what is open outside: attempts, timers, waits and questions, each at a *place*: the
path of its frame and the name of its node. `play` draws what happens next until the run has ended.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final

from msgspec import UNSET

from runtime.graph.plan import Plan
from runtime.run import decision
from runtime.run.apply import apply
from runtime.run.decision import Refused
from runtime.run.forks import before_step
from runtime.run.machine import decide
from runtime.run.messages import (
    Answer,
    AttemptEnded,
    Cancel,
    DeadlinePassed,
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
    TimerDue,
)
from runtime.run.model import Run, StepPolicy, new_run
from runtime.run.records import (
    ApprovalRequested,
    EndReached,
    MapStopping,
    Record,
    RunCancelRequested,
    RunDeadlinePassed,
    SignalReceived,
    StepCancelled,
    StepCancelRequested,
    StepCompleted,
    StepFailed,
    StepRecord,
    StepRetrying,
    StepStarted,
    StepWaiting,
    decode_record,
    encode_records,
)
from tests.support.compare import assert_same_run
from tests.support.driver import BOUND, NOON, Call, Outcome, Script
from tests.support.replies import SILENCE, answer_of, data_of

Place = tuple[str, str]
_OPEN: Final = ("attempts", "told", "iterations", "retrying", "bounds", "waits", "questions")
ENDS: Final = (StepCompleted, StepFailed, StepCancelled)


def path_of(record: Record) -> str:
    return "" if record.path is UNSET else record.path


def unescape(name: str) -> str:
    return name.replace("~1", "/").replace("~0", "~")


def plan_at(plan: Plan, path: str) -> Plan:
    """Return the plan of the graph that runs at a path."""
    for part in path.split("/") if path else ():
        name = re.fullmatch(r"(.*)#\d+(?:\[\d+\])?", part)
        assert name is not None
        child = plan.nodes[plan.index_of[unescape(name[1])]].child
        assert child is not None
        plan = child.plan
    return plan


def nested_policies(plan: Plan, **keys: Any) -> list[StepPolicy]:
    """Return a policy for each node, those of sub-graphs included."""
    policies = []
    for node in plan.nodes:
        tool = None if node.tool is None or node.child else f"{node.tool}@1"
        inside = () if node.child is None else nested_policies(node.child.plan, **keys)
        timeout_s = 60.0 if node.child is None else node.timeout_s
        policies.append(StepPolicy(tool=tool, inside=inside, timeout_s=timeout_s, **keys))
    return policies


def fold_run(plan: Plan, policies: Sequence[StepPolicy], records: Sequence[Record], *, run_id: str = "run-1") -> Run:
    """Return the run that the records tell of, after a journey through JSON."""
    run = new_run(plan, run_id, policies)
    for line in encode_records(records):
        apply(run, decode_record(line))
    return run


@dataclass(frozen=True)
class Storm:
    """What happens to a run beside its own work: chances per turn, or numbers of times.

    Attributes:
        strays: Chance of a signal that nobody may wait for, and of one that came before.
        timeouts: Chance that a graph or map step runs out of time.
        retries: How often a run that ended is retried.
    """

    crash: float = 0.0
    cancel: float = 0.0
    deadline: float = 0.0
    pause: float = 0.0
    strays: float = 0.05
    timeouts: float = 0.0
    retries: int = 0


CALM: Final = Storm()


@dataclass
class Player:
    """One run, its records, and what is open outside of it.

    Attributes:
        attempts: Attempts that run now.
        told: Attempts that were told to stop.
        retrying: When the next attempt of a step is due.
        bounds: When a graph, a map, a wait or a question is out of time, or a time has come.
        waits: Waits for signals.
        questions: Approvals that nobody answered yet.
        owes: Whether a decision may have left something undone.
    """

    plan: Plan
    policies: Sequence[StepPolicy]
    script: Script
    random: Random = field(default_factory=Random)
    run_id: str = "run-1"
    run: Run = field(init=False)
    records: list[Record] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    attempts: dict[Place, Call] = field(default_factory=dict)
    told: set[Place] = field(default_factory=set)
    iterations: dict[Place, int] = field(default_factory=dict)
    retrying: dict[Place, datetime] = field(default_factory=dict)
    bounds: dict[Place, datetime] = field(default_factory=dict)
    waits: dict[Place, StepWaiting] = field(default_factory=dict)
    questions: dict[Place, ApprovalRequested] = field(default_factory=dict)
    is_paused: bool = False
    owes: bool = False
    now: datetime = NOON

    def __post_init__(self) -> None:
        self.run = fold_run(self.plan, self.policies, self.records, run_id=self.run_id)
        for record in self.records:
            self.follow(record)
        self.attempts.clear()
        self.calls.clear()
        self.names = sorted(set(_signals(self.plan)))

    # --- what the machine says ----------------------------------------------------------------------------------------

    def send(self, message: Message) -> list[Record]:
        """Let the machine decide on a message, and follow what its records ask for.

        What a decision that became too long leaves undone is done at some later turn, or after a crash.
        """
        records = decide(self.run, message, at=self.now, chance=self.random.random())
        if len(records) >= decision.MAX_RECORDS or isinstance(message, GoOn):
            self.owes = len(records) >= decision.MAX_RECORDS
        self.records += records
        for record in records:
            self.follow(record)
        return records

    def follow(self, record: Record) -> None:
        if isinstance(record, StepRecord):
            self._follow_step(record, (path_of(record), record.node))
        elif isinstance(record, (RunCancelRequested, RunDeadlinePassed)):
            self._tell("")
            self.is_paused = False
        elif record.event in ("run_paused", "run_resumed", "run_retried"):
            self.is_paused = record.event == "run_paused"

    def _follow_step(self, record: StepRecord, place: Place) -> None:
        if isinstance(record, StepStarted):
            self.iterations[place] = record.iteration
            self.retrying.pop(place, None)
            if isinstance(record.due, datetime):
                self.bounds[place] = record.due
            if isinstance(record.tool, str):
                self._open(record, place)
        elif isinstance(record, StepRetrying):
            self.attempts.pop(place)
            self.retrying[place] = record.due
        elif isinstance(record, StepWaiting):
            if isinstance(record.until, datetime):
                self.bounds[place] = record.until
            if isinstance(record.signal, str):
                self.waits[place] = record
        elif isinstance(record, ApprovalRequested):
            self.questions[place] = record
            if isinstance(record.due, datetime):
                self.bounds[place] = record.due
        elif isinstance(record, ENDS):
            for opened in (self.attempts, self.retrying, self.bounds, self.waits, self.questions):
                opened.pop(place, None)
            self.told.discard(place)
        elif isinstance(record, (StepCancelRequested, MapStopping)):
            self._tell(f"{place[0]}/{record.node}#{record.iteration}".removeprefix("/"))
            if place in self.attempts:
                self.told.add(place)
        elif isinstance(record, EndReached):
            self._tell(place[0])

    def _tell(self, within: str) -> None:
        """Tell the attempts in a frame, or in a step, to stop, but for those of `finally` nodes in there."""
        for place in self.attempts:
            inside = not within or place[0] == within or place[0].startswith((f"{within}/", f"{within}["))
            if inside and not self._is_final(place, depth=len(within.split("/")) if within else 0):
                self.told.add(place)

    def _is_final(self, place: Place, depth: int) -> bool:
        """Return whether an attempt is one of a `finally` node, or inside one, that deep in the run or deeper."""
        steps = [*(place[0].split("/") if place[0] else ()), f"{place[1]}#1"]
        for deep in range(depth, len(steps)):
            plan = plan_at(self.plan, "/".join(steps[:deep]))
            if plan.index_of[unescape(steps[deep].rpartition("#")[0])] in plan.final:
                return True
        return False

    def _open(self, record: StepStarted, place: Place) -> None:
        frame = self.run.frames.get(place[0])
        step = None if frame is None else frame.active.get(frame.plan.index_of[record.node])
        view = {} if step is None else step.view
        state = {key: write.value for key, write in view.items()}
        call = Call(record.node, record.iteration, record.attempt, state, place[0])
        self.calls.append(call)
        self.attempts[place] = call

    # --- what can happen to it ----------------------------------------------------------------------------------------

    def begin(self, initial: Mapping[str, Any]) -> None:
        self.send(Submit(initial, {}))
        self.send(Start())

    def crash(self) -> None:
        """Forget the run, rebuild it from its records, check that it is the same, and recover it."""
        rebuilt = fold_run(self.plan, self.policies, self.records, run_id=self.run_id)
        assert_same_run(rebuilt, self.run)
        self.run = rebuilt
        self.attempts.clear()
        self.told.clear()
        self.owes = False
        self.send(Recover())

    def end(self, place: Place, outcome: Outcome | Stopped) -> None:
        """End a running attempt."""
        call = self.attempts[place]
        self.send(AttemptEnded(self._index(place), call.iteration, call.attempt, outcome, 1.0, place[0]))

    def ring(self, place: Place, due: datetime) -> None:
        """Let the timer of a step ring."""
        self.now = max(self.now, due)
        self.send(TimerDue(self._index(place), self.iterations[place], place[0]))

    def signal(self, name: str, data: Any) -> None:
        number = sum(isinstance(record, SignalReceived) for record in self.records)
        self.send(SendSignal(f"s{number}", name, data))

    def answer(self, place: Place, answer: Any) -> None:
        self.send(Answer(self.questions[place].approval, answer, None))

    def fork(self, started: StepStarted, update: Mapping[str, Any] | None = None) -> "Player":
        """Return a new run that begins where a step of this one did, just before it; nothing of this one changes."""
        begun = before_step(self.records, started.node, started.iteration, path_of(started))
        assert begun is not None
        taken: list[Record] = list(begun[0])
        fork = replace(
            self, records=taken, calls=[], run_id="run-2", **{name: type(getattr(self, name))() for name in _OPEN}
        )
        path, node = path_of(started), started.node
        fork.send(Fork(self.run_id, len(taken), path, node, started.iteration, update))
        return fork

    def retry(self) -> bool:
        """Go on with a run that has ended, and return whether there is anything to go on with."""
        try:
            self.send(Retry())
        except Refused:
            return False
        for frame in self.run.frames.values():
            for step in frame.active.values():
                if step.frames and step.due is not None:
                    place = (frame.path, frame.plan.nodes[step.node].name)
                    self.bounds[place], self.iterations[place] = step.due, step.iteration
        return True

    def _index(self, place: Place) -> int:
        return plan_at(self.plan, place[0]).index_of[place[1]]

    def choices(self, storm: Storm) -> list[Callable[[], object]]:
        """Return what can happen next, but for commands. Whether a wait is answered or times out is up to the script."""
        found: list[Callable[[], object]] = [partial(self.send, GoOn())] if self.owes else []
        for place, call in self.attempts.items():
            is_stopped = place in self.told and self.random.random() < 0.6
            found.append(partial(self.end, place, Stopped() if is_stopped else self.script(call)))
        found += [partial(self.ring, place, due) for place, due in self.retrying.items()]
        answered = [due for place, due in self.bounds.items() if self._is_answered(place)]
        for place, due in self.bounds.items():
            is_step = self._has_child(place) and self.random.random() >= storm.timeouts
            if not is_step and due <= min(answered, default=due) and not self._is_answered(place):
                found.append(partial(self.ring, place, due))
        for wait in self.waits.values():
            data = self._data(wait)
            if data is not SILENCE:
                found.append(partial(self.signal, str(wait.signal), data))
        for place in self.questions:
            answer = self._answer(place)
            if answer is not SILENCE:
                found.append(partial(self.answer, place, answer))
        return found

    def _is_answered(self, place: Place) -> bool:
        """Return whether a wait or a question is answered before its time is up, which therefore never comes."""
        if place in self.waits:
            return self._data(self.waits[place]) is not SILENCE
        return place in self.questions and self._answer(place) is not SILENCE

    def _has_child(self, place: Place) -> bool:
        return plan_at(self.plan, place[0]).nodes[self._index(place)].child is not None

    def _data(self, wait: StepWaiting) -> Any:
        return data_of(self.script, {"signal": wait.signal, **({"timeout_s": 1} if wait.until is not UNSET else {})})

    def _answer(self, place: Place) -> Any:
        question = self.questions[place]
        keys = {"timeout_s": 1} if question.due is not UNSET else {}
        return answer_of(self.script, keys, place[0], place[1], question.iteration)

    def check_word(self) -> None:
        """Assert that the status which others see says what the run does: it works, or only waits, or is paused."""
        works = self.attempts or self.retrying
        waits = self.waits or self.questions or any(not self._has_child(place) for place in self.bounds)
        expected = "paused" if self.is_paused else "waiting" if waits and not works else "running"
        assert self.owes or self.run.word == expected, f"{self.run.word} is not {expected}"

    def stray(self) -> None:
        """Send a signal that nobody may wait for, or send one again, or answer a question again."""
        draw = self.random.random()
        received = [record for record in self.records if isinstance(record, SignalReceived)]
        if draw < 0.6 and self.names:
            name, timed = self.random.choice(self.names)
            data = data_of(self.script, {"signal": name, **({"timeout_s": 1} if timed else {})})
            if data is not SILENCE:
                self.signal(name, data)
        elif received:
            again = self.random.choice(received)
            records = self.send(SendSignal(again.id, again.name, "again"))
            assert not [record for record in records if isinstance(record, SignalReceived)]

    # --- what came of it ----------------------------------------------------------------------------------------------

    @property
    def events(self) -> list[str]:
        return [record.event for record in self.records]

    def of(self, event: str) -> list[Any]:
        """Return the records with that event name."""
        return [record for record in self.records if record.event == event]

    @property
    def state(self) -> dict[str, Any]:
        return self.run.state.newest(self.plan.index_of)

    def started(self) -> list[tuple[str, str, int]]:
        """Return `(path, node, iteration)` of every step, in the order they started."""
        return [(path_of(r), r.node, r.iteration) for r in self.of("step_started") if r.attempt == 1]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open outside."""
        return not (self.attempts or self.retrying or self.bounds or self.waits or self.questions)


def _signals(plan: Plan) -> Iterator[tuple[str, bool]]:
    for node in plan.nodes:
        if node.wait is not None and node.wait.signal is not None:
            yield node.wait.signal, node.wait.timeout_s is not None
        if node.map is not None and node.map.finish_on is not None:
            yield node.map.finish_on, False
        if node.child is not None:
            yield from _signals(node.child.plan)


class Stuck(AssertionError):
    """A run that neither ended nor waits for anything; `player` has it."""

    def __init__(self, player: Player) -> None:
        super().__init__(f"the run does not end: {player.events[-20:]}")
        self.player = player


def play(
    plan: Plan,
    script: Script,
    *,
    initial: Mapping[str, Any] | None = None,
    seed: int = 0,
    policies: Sequence[StepPolicy] | None = None,
    storm: Storm = CALM,
) -> Player:
    """Play a run to its end."""
    player = Player(plan, policies or nested_policies(plan), script, Random(seed))
    player.begin(initial or {})
    go_on(player, storm)
    return player


def go_on(player: Player, storm: Storm = CALM, *, meanwhile: Callable[[Player], None] | None = None) -> None:
    """Play a run that has begun to its end; `meanwhile` is called before each turn."""
    retries = storm.retries
    for _ in range(BOUND):
        if meanwhile is not None:
            meanwhile(player)
        if player.run.status.is_final:
            if not retries or player.run.status.value not in ("failed", "timed_out"):
                return
            retries = retries - 1 if player.retry() else 0
            continue
        player.check_word()
        player.now += timedelta(milliseconds=1)
        command = _command(player, storm)
        if command is not None:
            command()
            continue
        choices = player.choices(storm)
        if not choices and player.is_paused:
            player.send(Resume())
        elif not choices:
            raise Stuck(player)
        else:
            player.random.choice(choices)()
    raise Stuck(player)


def _command(player: Player, storm: Storm) -> Callable[[], object] | None:
    draw = player.random.random()
    for share, command in (
        (storm.crash, player.crash),
        (storm.cancel, lambda: player.send(Cancel())),
        (storm.deadline, lambda: player.send(DeadlinePassed())),
        (storm.pause, lambda: player.send(Resume() if player.is_paused else Pause())),
        (storm.strays, player.stray),
    ):
        if draw < share:
            return command
        draw -= share
    return None
