"""Reads the records of a run in order, like somebody who has nothing else, and asserts what each of them promises."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from msgspec import UNSET

from runtime.graph.plan import Plan, PlanNode
from runtime.run.records import (
    ApprovalAnswered,
    ApprovalRequested,
    EdgeTaken,
    ItemRecord,
    MapStopping,
    Record,
    RunFinishing,
    SignalDelivered,
    SignalReceived,
    StepCancelled,
    StepCancelRequested,
    StepCompleted,
    StepFailed,
    StepRecord,
    StepRetrying,
    StepStarted,
    StepWaiting,
)
from tests.support.player import Place, path_of, plan_at

STOPS = ("run_failing", "run_cancel_requested", "run_deadline_passed", "end_reached")
CLOSED = ("step_skipped", "edge_dead", "route_unmatched", "end_reached")
"""Records about a step that has ended, or never began; those about loops are such as well."""
TOLD = ("run_cancel_requested", "run_deadline_passed")
ENDS = (StepCompleted, StepFailed, StepCancelled)


@dataclass
class Open:
    """A step that has started and not ended.

    Attributes:
        began: Number of the record with which it began; a retry of the run lets it wait anew, but not begin anew.
        waits: Name of the signal that it waits for, and the number of the record since which it does.
        items: Which items run.
        begun: How many items have begun.
        halted: Items that ended without a result.
    """

    node: PlanNode
    iteration: int
    began: int = 0
    waits: tuple[str, int] | None = None
    approval: str | None = None
    items: set[int] = field(default_factory=set)
    begun: int = 0
    halted: set[int] = field(default_factory=set)
    is_stopping: bool = False


@dataclass
class Ledger:
    """What the records so far have said.

    Attributes:
        attempts: The last attempt of each step.
        again: Steps whose next attempt may begin.
        halted: Steps with a graph inside that ended without a result: a retry of the run may go on inside them.
        stopped: Paths of frames in which nothing more starts but finally nodes; with `[` at the end, all items of a map.
        finishing: For each frame that has come to its end, the finally nodes that have begun.
        buffer: Signals that nobody took: id, name and number.
    """

    plan: Plan
    open: dict[Place, Open] = field(default_factory=dict)
    attempts: dict[tuple[str, str, int], int] = field(default_factory=dict)
    began: dict[tuple[str, str, int], int] = field(default_factory=dict)
    again: set[tuple[str, str, int]] = field(default_factory=set)
    halted: dict[Place, Open] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    finishing: dict[str, list[str]] = field(default_factory=dict)
    endings: Counter[str] = field(default_factory=Counter)
    buffer: list[tuple[str, str, int]] = field(default_factory=list)
    signals: set[str] = field(default_factory=set)
    steps: int = 0
    paused: bool = False
    is_told: bool = False
    was_retried: bool = False

    def read(self, records: Sequence[Record]) -> None:
        for record in records:
            path = path_of(record)
            assert self._is_open(path), f"record {record.seq} is about a frame that is not open: {path}"
            if isinstance(record, StepRecord):
                self._read_step(record, path, (path, record.node))
            else:
                self._read_run(record, path)
            if record.event in STOPS:
                self.stopped.add(path)
            self.is_told = self.is_told or record.event in TOLD
            if record.terminal is not None:
                self._frame_ends("")
                assert getattr(record, "steps", self.steps) == self.steps, "the steps are counted wrong"

    def _is_open(self, path: str) -> bool:
        """Return whether the step that a frame runs in is open, and if it is an item, whether that runs."""
        if not path:
            return True
        upper, _, last = path.rpartition("/")
        name, _, number = last.rpartition("#")
        number, _, item = number.rstrip("]").partition("[")
        self._revive((upper, name), int(number))
        step = self.open.get((upper, name))
        if item and step is not None and int(item) in step.halted:
            step.halted.discard(int(item))
            step.items.add(int(item))
        return step is not None and step.iteration == int(number) and (not item or int(item) in step.items)

    def _revive(self, place: Place, iteration: int) -> None:
        """Open a step again that a retry of the run goes on with; no record says so but those inside it."""
        if self.was_retried and place not in self.open and place in self.halted and self._is_open(place[0]):
            halted = self.halted[place]
            if halted.iteration == iteration:
                del self.halted[place]
                self.open[place] = replace(halted, approval=None, items=set(), is_stopping=False)

    # --- the run ------------------------------------------------------------------------------------------------------

    def _read_run(self, record: Record, path: str) -> None:
        if record.event == "run_paused":
            assert not self.paused
            self.paused = True
        elif record.event == "run_resumed":
            assert self.paused
            self.paused = False
        elif record.event == "run_retried":
            self.was_retried = True
            self.paused = self.is_told = False
            self.stopped.clear()
            self.finishing.clear()
        elif record.event == "run_forked":
            self.again |= {(place[0], place[1], step.iteration) for place, step in self.open.items()}
        elif isinstance(record, RunFinishing):
            assert not [place for place in self.open if place[0] == path], "a frame finishes while steps run in it"
            assert path not in self.finishing
            assert plan_at(self.plan, path).final
            self.endings[path] += 1
            self.finishing[path] = []
        elif isinstance(record, SignalReceived):
            assert record.id not in self.signals
            self.signals.add(record.id)
            self.buffer.append((record.id, record.name, record.seq))

    def _frame_ends(self, path: str) -> None:
        """Assert that a frame that ends has nothing open, and ran all its finally nodes."""
        plan = plan_at(self.plan, path)
        inside = [place for place in self.open if place[0] == path or place[0].startswith(f"{path}/") or not path]
        assert not inside, f"{path!r} ended while steps run in it: {inside}"
        names = [plan.nodes[index].name for index in plan.final]
        if self.steps or path:
            assert self.finishing.pop(path, []) == names, f"not all finally nodes of {path!r} ran"
        self.stopped = {stop for stop in self.stopped if stop != path and not stop.startswith(f"{path}/")}

    def _is_final(self, path: str) -> bool:
        """Return whether the frame is one that ends, or inside what such a one runs, because the run was told to end."""
        steps = path.split("/") if path else []
        return self.is_told and any("/".join(steps[:depth]) in self.finishing for depth in range(len(steps) + 1))

    def _may_start(self, path: str, name: str) -> bool:
        """Return whether a step may start there: not in a frame that has been stopped, but for what its end asks for."""
        steps = path.split("/") if path else []
        is_stopped = False
        for depth in range(len(steps) + 1):
            within = "/".join(steps[:depth])
            items = f"{within.rpartition('[')[0]}[" if within.endswith("]") else within
            is_stopped = is_stopped or within in self.stopped or items in self.stopped
            if within in self.finishing:
                step = steps[depth].rpartition("#")[0] if depth < len(steps) else name
                if step not in self.finishing[within]:
                    return False
                is_stopped = False
        return not is_stopped

    # --- steps --------------------------------------------------------------------------------------------------------

    def _read_step(self, record: StepRecord, path: str, place: Place) -> None:
        key = (path, record.node, record.iteration)
        if isinstance(record, StepStarted):
            self._start(record, key, place)
        elif isinstance(record, StepRetrying):
            assert place in self.open
            self.again.add(key)
        elif isinstance(record, StepFailed) and record.attempt == 0:
            assert place not in self.open
            self._note_final(path, record.node)
        elif isinstance(record, ENDS):
            self._end(record, place)
        elif isinstance(record, EdgeTaken):
            assert place not in self.open
        elif record.event not in CLOSED and not record.event.startswith("loop_"):
            self._revive(place, record.iteration)
            self._read_open(record, path, self.open[place])

    def _note_final(self, path: str, name: str) -> None:
        if path in self.finishing:
            self.finishing[path].append(name)

    def _start(self, record: StepStarted, key: tuple[str, str, int], place: Place) -> None:
        path, name, iteration = key
        plan = plan_at(self.plan, path)
        node = plan.nodes[plan.index_of[name]]
        assert record.attempt == self.attempts.get(key, 0) + 1, f"{key} has attempt {record.attempt}"
        assert not self.paused or record.recovered is True or self._is_final(path), "a step started in a paused run"
        if record.attempt > 1:
            assert key in self.again or record.recovered is True or self.was_retried, f"{key} was tried again"
            self.again.discard(key)
        else:
            self.steps += 1
            assert place not in self.open
        if node.index in plan.final:
            assert path in self.finishing, "a finally node ran before the end"
            assert iteration == self.endings[path]
            assert not [p for p in self.open if p[0] == path and p != place], "finally nodes ran side by side"
            if place not in self.open:
                self._note_final(path, name)
        assert self._may_start(path, name), f"{key} started in a frame that is stopping"
        for index in plan.mutexes.get(node.mutex, ()) if node.mutex else ():
            other = (path, plan.nodes[index].name)
            assert other == place or other not in self.open, f"{name} and {other[1]} ran at the same time"
        self.attempts[key] = record.attempt
        began = self.began.setdefault(key, record.seq)
        step = self.open.setdefault(place, Open(node, iteration, began))
        step.waits = step.approval = None
        if node.map is not None and node.map.finish_on is not None and record.items is not UNSET:
            step.waits = (node.map.finish_on, record.seq)

    def _end(self, record: StepRecord, place: Place) -> None:
        self._revive(place, record.iteration)
        step = self.open[place]
        assert step.iteration == record.iteration
        assert not step.items, f"a map ended while items run: {step.items}"
        below = f"{place[0]}/{record.node}#{record.iteration}".removeprefix("/")
        if step.node.kind == "graph":
            self._frame_ends(below)
        self.stopped = {
            stop for stop in self.stopped if stop != below and not stop.startswith((f"{below}/", f"{below}["))
        }
        del self.open[place]
        if step.node.child is not None and not isinstance(record, StepCompleted):
            self.halted[place] = step

    def _read_open(self, record: StepRecord, path: str, step: Open) -> None:
        below = f"{path}/{record.node}#{record.iteration}".removeprefix("/")
        assert step.iteration == record.iteration
        if isinstance(record, ItemRecord):
            self._read_item(record, step, below)
        elif isinstance(record, MapStopping):
            assert not step.is_stopping
            step.is_stopping = True
            self.stopped.add(f"{below}[")
        elif isinstance(record, StepCancelRequested):
            step.is_stopping = True
            self.stopped |= {below} if step.node.kind == "graph" else {f"{below}["} if step.node.map else set()
        elif isinstance(record, StepWaiting):
            step.waits = None if record.signal is UNSET else (str(record.signal), record.seq)
        elif isinstance(record, SignalDelivered):
            self._deliver(record, step)
        elif isinstance(record, ApprovalRequested):
            name = record.node.replace("~", "~0").replace("/", "~1")
            assert record.approval == f"{path}/{name}#{record.iteration}".removeprefix("/")
            assert step.approval is None
            step.approval = record.approval
        elif isinstance(record, ApprovalAnswered):
            assert step.approval is not None
            step.approval = None

    def _read_item(self, record: ItemRecord, step: Open, below: str) -> None:
        assert step.node.map is not None
        if record.event == "item_started":
            assert not step.is_stopping, "an item started in a map that is stopping"
            assert record.item == step.begun or self.was_retried
            assert not self.paused or self._is_final(below), "an item started in a paused run"
            step.begun += 1
            step.items.add(record.item)
            assert len(step.items) <= step.node.map.concurrency
        else:
            if record.item in step.items | step.halted:
                self._frame_ends(f"{below}[{record.item}]")
            else:
                assert record.event in ("item_failed", "item_cancelled"), "an item ended that never began"
            step.items.discard(record.item)
            step.halted |= set() if record.event == "item_completed" else {record.item}

    def _deliver(self, record: SignalDelivered, step: Open) -> None:
        """Assert that a signal goes to whoever has waited longest, who takes the oldest that it may."""
        assert step.waits is not None
        name, since = step.waits
        (number,) = [seq for known, known_name, seq in self.buffer if (known, known_name) == (record.id, name)]
        waiting = [(one.began, one.waits[1]) for one in self.open.values() if one.waits and one.waits[0] == name]
        is_first = step.began == min(began for began, _ in waiting) or since == min(begun for _, begun in waiting)
        is_fresh = step.node.wait is not None and step.node.wait.fresh
        older = [seq for _, known, seq in self.buffer if known == name and seq < number]
        assert not [seq for seq in older if not is_fresh or seq > since], "a newer signal was taken before an older one"
        is_newest = since == max(begun for _, begun in waiting)
        assert is_first or (is_newest and number < since), "a signal went to the wrong wait"
        assert not is_fresh or number > since
        self.buffer = [one for one in self.buffer if one[0] != record.id]
        step.waits = None
