"""Drives a run by hand: no actors, no clock, no threads. Whatever could vary in time is drawn from one seed.

A `Driver` plays the part of the run's actor: it sends messages to `decide`, keeps the records, and knows which attempts and
timers are open. `drive` plays a whole run: which open attempt ends next, when commands come and when the process crashes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from runtime.graph.plan import Plan
from runtime.run.apply import apply
from runtime.run.decision import MAX_RECORDS
from runtime.run.machine import decide
from runtime.run.messages import (
    AttemptEnded,
    Cancel,
    DeadlinePassed,
    Failed,
    GoOn,
    Message,
    Recover,
    Start,
    Stopped,
    Submit,
    Succeeded,
    TimerDue,
)
from runtime.run.model import Run, StepPolicy, new_run
from runtime.run.records import (
    Failure,
    Record,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepStarted,
    decode_record,
    encode_records,
)
from tests.support.compare import assert_same_run

NOON: Final = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
BOUND: Final = 5_000
"""Messages after which a run counts as stuck."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a tool would be called with."""

    node: str
    iteration: int
    attempt: int
    state: dict[str, Any]
    path: str = ""


Outcome = Succeeded | Failed
Script = Callable[[Call], Outcome]


def ok(**update: Any) -> Succeeded:
    return Succeeded(update)


def fail(code: str = "BROKEN", *, retryable: bool = True) -> Failed:
    return Failed(Failure(code, "the script says so"), retryable=retryable)


def updates(by_node: Mapping[str, Mapping[str, Any]]) -> Script:
    """Return a script in which each node named succeeds with its update, and every other one with none."""
    return lambda call: Succeeded(by_node.get(call.node, {}))


def nothing(_call: Call) -> Succeeded:
    return Succeeded({})


def default_policies(plan: Plan, **keys: Any) -> list[StepPolicy]:
    return [StepPolicy(tool=None if node.tool is None else f"{node.tool}@1", **keys) for node in plan.nodes]


def fold(plan: Plan, policies: Sequence[StepPolicy], records: Sequence[Record], *, coded: bool = True) -> Run:
    """Return the run that the records tell of, after a journey through JSON."""
    run = new_run(plan, "run-1", policies)
    for record in [decode_record(line) for line in encode_records(records)] if coded else records:
        apply(run, record)
    return run


@dataclass
class Driver:
    """One run, its records, and what is open outside of it.

    Attributes:
        open: Attempts that run now, by node index.
        timers: Retries that wait, by node index.
        calls: Every attempt ever started, in order.
    """

    plan: Plan
    policies: Sequence[StepPolicy]
    run: Run = field(init=False)
    records: list[Record] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    open: dict[int, Call] = field(default_factory=dict)
    timers: dict[int, StepRetrying] = field(default_factory=dict)
    now: datetime = NOON

    def __post_init__(self) -> None:
        self.run = new_run(self.plan, "run-1", self.policies)

    def send(self, message: Message, *, chance: float = 0.5) -> list[Record]:
        """Let the machine decide on a message, and follow what its records ask for."""
        records = decide(self.run, message, at=self.now, chance=chance)
        more = records
        while len(more) >= MAX_RECORDS:
            more = decide(self.run, GoOn(), at=self.now)
            records += more
        self.records += records
        for record in records:
            self._follow(record)
        return records

    def _follow(self, record: Record) -> None:
        if isinstance(record, StepStarted) and isinstance(record.tool, str):
            index = self.plan.index_of[record.node]
            self.timers.pop(index, None)
            state = {key: write.value for key, write in self.run.active[index].view.items()}
            call = Call(record.node, record.iteration, record.attempt, state)
            self.calls.append(call)
            self.open[index] = call
        elif isinstance(record, StepRetrying):
            self.open.pop(self.plan.index_of[record.node])
            self.timers[self.plan.index_of[record.node]] = record
        elif isinstance(record, (StepCompleted, StepFailed, StepCancelled)):
            self.open.pop(self.plan.index_of[record.node], None)
            self.timers.pop(self.plan.index_of[record.node], None)

    def begin(self, initial: Mapping[str, Any] | None = None) -> None:
        """Submit the run and start it."""
        self.send(Submit(initial or {}, {}))
        self.send(Start())

    def end(self, name: str, outcome: Succeeded | Failed | Stopped, *, chance: float = 0.5) -> list[Record]:
        """End the running attempt of a node."""
        index = self.plan.index_of[name]
        call = self.open[index]
        message = AttemptEnded(index, call.iteration, call.attempt, outcome, 1.0)
        return self.send(message, chance=chance)

    def ring(self, name: str) -> list[Record]:
        """Let the timer of a waiting retry fire, at its time."""
        index = self.plan.index_of[name]
        timer = self.timers[index]
        self.now = max(self.now, timer.due)
        return self.send(TimerDue(index, timer.iteration))

    def crash(self) -> None:
        """Forget the run, rebuild it from its records, check that it is the same, and recover it."""
        rebuilt = fold(self.plan, self.policies, self.records)
        assert_same_run(rebuilt, self.run)
        self.run = rebuilt
        self.open.clear()
        self.send(Recover())

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open outside."""
        return not (self.open or self.timers)

    @property
    def events(self) -> list[str]:
        return [record.event for record in self.records]

    def of(self, event: str) -> list[Any]:
        """Return the records with that event name."""
        return [record for record in self.records if record.event == event]

    @property
    def state(self) -> dict[str, Any]:
        return self.run.state.newest(self.plan.index_of)

    def started(self) -> list[tuple[str, int]]:
        """Return `(node, iteration)` of every step, in the order they started."""
        return [(record.node, record.iteration) for record in self.of("step_started") if record.attempt == 1]

    def input_of(self, name: str, iteration: int = 1) -> dict[str, Any]:
        """Return the state that the node was called with."""
        return next(c.state for c in self.calls if (c.node, c.iteration) == (name, iteration))


class Stuck(AssertionError):
    """A run that neither ended nor waits for anything; `driver` has it."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(f"the run does not end: {driver.events[-20:]}")
        self.driver = driver


def drive(
    plan: Plan,
    script: Script = nothing,
    *,
    initial: Mapping[str, Any] | None = None,
    seed: int | None = None,
    policies: Sequence[StepPolicy] | None = None,
    crash_chance: float = 0.0,
    cancel_chance: float = 0.0,
    deadline_chance: float = 0.0,
) -> Driver:
    """Play a run to its end. Without a seed attempts end in the order they started; chances are per message."""
    driver = Driver(plan, policies or default_policies(plan))
    random = Random(0 if seed is None else seed)
    driver.begin(initial)
    for _ in range(BOUND):
        if driver.run.status.is_final:
            return driver
        driver.now += timedelta(milliseconds=1)
        if crash_chance and random.random() < crash_chance:
            driver.crash()
        elif cancel_chance and random.random() < cancel_chance:
            driver.send(Cancel())
        elif deadline_chance and random.random() < deadline_chance:
            driver.send(DeadlinePassed())
        else:
            _advance(driver, script, random, ordered=seed is None)
    raise Stuck(driver)


def _advance(driver: Driver, script: Script, random: Random, *, ordered: bool) -> None:
    waiting = [*driver.open, *driver.timers]
    if not waiting:
        raise Stuck(driver)
    index = waiting[0] if ordered else random.choice(waiting)
    name = driver.plan.nodes[index].name
    if index in driver.timers:
        driver.ring(name)
        return
    outcome: Succeeded | Failed | Stopped = script(driver.open[index])
    if driver.run.ending is not None and random.random() < 0.5:
        outcome = Stopped()
    driver.end(name, outcome, chance=random.random())
