"""Random histories of writes and joins come to what sets of writes say, under every reducer and in every order of time."""

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given

from runtime.json_values import encoded_size
from runtime.run.state import ReducerError, StateError, View, WorkflowState, Writer
from tests.support.compare import plain
from tests.support.naive_state import Conflict, Histories, Mismatch, exactly
from tests.support.naive_state import View as NaiveView
from tests.support.random_graphs import SEEDS
from tests.support.settings import thorough

REDUCERS: Final = {
    "log": "append",
    "rows": "extend",
    "sum": "add",
    "high": "max",
    "low": "min",
    "tags": "union",
    "doc": "deep_merge",
    "origin": "first",
    "last": "replace",
}
KEYS: Final = [*REDUCERS, "plain"]
"""`plain` has no reducer."""
PLACES: Final = Random(0).sample(range(20), 20)
"""Place of each node in the graph; nodes do not run in this order."""
ORDER: Final = {f"n{index}": place for index, place in enumerate(PLACES)}


@dataclass(frozen=True)
class Node:
    """One writer: `parents` lead to it, in edge order; `patch` overwrites its input before it writes `update`."""

    parents: tuple[int, ...]
    update: dict[str, Any]
    patch: dict[str, Any]


@dataclass
class History:
    """Plays nodes in an order of time. What a node could not do is left out, as with `on_error: continue`."""

    nodes: list[Node]
    state: WorkflowState = field(default_factory=lambda: WorkflowState(REDUCERS))
    naive: Histories = field(default_factory=lambda: Histories(REDUCERS))
    outputs: dict[int, View] = field(default_factory=dict)
    naive_outputs: dict[int, NaiveView] = field(default_factory=dict)
    active: dict[int, tuple[View, NaiveView]] = field(default_factory=dict)
    faults: set[int] = field(default_factory=set)
    seq: int = 1
    comes_back: bool = False
    """Whether what ended may go on again, so that nothing is ever alone."""

    def play(self, initial: dict[str, Any], random: Random) -> None:
        """Play all nodes from the initial state."""
        self.outputs[-1] = self.state.initial(initial)
        self.naive_outputs[-1] = self.naive.initial(initial)
        self.go_on(random)

    def go_on(self, random: Random) -> None:
        """Play the nodes that have not run: any that may start starts, any that runs ends, whenever chance says so."""
        while len(self.outputs) <= len(self.nodes):
            ready = [
                index
                for index, node in enumerate(self.nodes)
                if index not in self.outputs and index not in self.active and self.outputs.keys() >= set(node.parents)
            ]
            index = random.choice([*ready, *self.active])
            self.end(index) if index in self.active else self.start(index)

    def is_alone(self, index: int) -> bool:
        """Whether the node is all that runs or waits."""
        if self.comes_back:
            return False
        waiting = [i for i in range(len(self.nodes)) if i not in self.outputs and i not in self.active]
        return not (self.active.keys() - {index}) and not any(
            parent in self.outputs for i in waiting if i != index for parent in self.nodes[i].parents
        )

    def start(self, index: int) -> None:
        self.seq += 1
        views = [self.outputs[parent] for parent in self.nodes[index].parents]
        theirs = [self.naive_outputs[parent] for parent in self.nodes[index].parents]
        try:
            self.state.check_join(views, self.seq)
        except StateError as error:
            with pytest.raises(Conflict, match=error.code):
                self.naive.merge(theirs)
            self.faults.add(index)
            naive_view = self.naive.merge(theirs, resolve=True)
        else:
            naive_view = self.naive.merge(theirs)
        resolve = index in self.faults
        view = self.state.merge(views, self.seq, resolve=resolve, commit=True)
        if len(views) > 1 and self.is_alone(index):
            self.state.cut_lineages(view)
        self.begin(index, view, naive_view)

    def begin(self, index: int, view: View, naive_view: NaiveView) -> None:
        """Let a node run on its input, overwritten if it says so."""
        if patch := self.nodes[index].patch:
            self.seq += 1
            view = self.state.update(view, patch, self.writer(index), alone=self.is_alone(index), overwrite=True)
            naive_view = self.naive.update(naive_view, patch, (PLACES[index], 1), overwrite=True)
        assert_same(view, self.naive.values(naive_view))
        self.active[index] = view, naive_view

    def end(self, index: int) -> None:
        alone = self.is_alone(index)
        view, naive_view = self.active.pop(index)
        self.seq += 1
        update = self.nodes[index].update
        try:
            self.state.check(view, update)
        except ReducerError:
            self.faults.add(index)
            with pytest.raises(Mismatch):
                self.naive.update(naive_view, update, (PLACES[index], 1))
        else:
            view = self.state.update(view, update, self.writer(index), alone=alone)
            naive_view = self.naive.update(naive_view, update, (PLACES[index], 1))
        assert_same(view, self.naive.values(naive_view))
        self.outputs[index], self.naive_outputs[index] = view, naive_view

    def writer(self, index: int) -> Writer:
        return Writer(self.seq, f"n{index}", 1)

    def assert_end(self) -> None:
        """Compare everything written, and who wrote it, with what the sets of writes say."""
        naive_view = self.naive.current()
        assert exactly(self.state.newest(ORDER)) == exactly(self.naive.values(naive_view))
        latest = {key: value.latest[1][0] for key, value in naive_view.items()}
        writers = self.state.writers(ORDER)
        assert {key: ORDER.get(writer.node or "", -1) for key, writer in writers.items()} == latest


def assert_same(view: View, values: dict[str, Any]) -> None:
    assert exactly(plain(view)) == exactly(values)
    for key, write in view.items():
        exact = len(key) + (24 if isinstance(write.value, (int, float, type(None))) else 4 + encoded_size(write.value))
        assert exact <= write.size <= exact + 1


def value_of(random: Random, key: str, depth: int = 0) -> Any:
    """Return an update for the key; once in a while one that its reducer does not take."""
    if depth == 0 and random.random() < 0.02:
        return random.choice([None, "text", 3, {"k": 1}, [1], True])
    number = random.choice([random.randrange(-2, 4), random.randrange(-2, 4), 0.1, 1.0, 2.5, 2**62])
    match REDUCERS.get(key):
        case "add":
            return number
        case "max" | "min":
            return "abc"[number % 3 :] if isinstance(number, int) and random.random() < 0.05 else number
        case "extend" | "union":
            return [random.choice([1, 1.0, True, "a", [1], [1.0], {"k": 1}, None]) for _ in range(random.randrange(3))]
        case "deep_merge":
            return document(random, 2)
    return random.choice([random.randrange(3), random.randrange(3), [], [0], 1.0])


def document(random: Random, depth: int) -> dict[str, Any]:
    return {
        key: document(random, depth - 1) if depth and random.random() < 0.5 else random.randrange(2)
        for key in "abc"
        if random.random() < 0.5
    }


def nodes_of(seed: int, *, patches: float) -> tuple[list[Node], dict[str, Any]]:
    """Return a random history: writers of a few keys, and what they follow upon."""
    random = Random(seed)
    keys = random.sample(KEYS, random.randrange(1, 4))
    initial = {key: value_of(random, key) for key in keys if random.random() < 0.4}

    def update(chance: float) -> dict[str, Any]:
        return {key: value_of(random, key) for key in keys if random.random() < chance}

    nodes: list[Node] = []
    for index in range(random.randrange(1, 12)):
        recent = range(max(-1, index - random.choice([1, 3, 12])), index)
        parents = random.sample(recent, min(len(recent), random.choice([1, 1, 1, 2, 2, 3, 4])))
        nodes.append(Node(tuple(parents), update(0.6), update(0.7) if random.random() < patches else {}))
    return nodes, initial


@thorough
@given(SEEDS)
def test_every_view_is_what_the_sets_of_writes_say(seed: int) -> None:
    nodes, initial = nodes_of(seed, patches=0)
    history = History(nodes)
    history.play(initial, Random(seed))
    history.assert_end()


@thorough
@given(SEEDS)
def test_overwritten_views_are_what_the_sets_of_writes_say(seed: int) -> None:
    nodes, initial = nodes_of(seed, patches=0.3)
    history = History(nodes)
    history.play(initial, Random(seed))
    history.assert_end()


@thorough
@given(SEEDS)
def test_no_view_depends_on_timing(seed: int) -> None:
    nodes, initial = nodes_of(seed, patches=0.1)
    first, *others = [History(nodes) for _ in range(4)]
    first.play(initial, Random(0))
    for schedule, other in enumerate(others):
        other.play(initial, Random(schedule + 1))
        for index, view in first.outputs.items():
            assert_same(other.outputs[index], plain(view))
        assert other.faults == first.faults
        assert exactly(other.state.newest(ORDER)) == exactly(first.state.newest(ORDER))


@thorough
@given(SEEDS)
def test_a_node_on_top_of_everything_written_comes_after_all_of_it(seed: int) -> None:
    nodes, initial = nodes_of(seed, patches=0.1)
    on_top, _ = nodes_of(seed + 1, patches=0)
    random = Random(seed)
    end = random.randrange(1, len(nodes) + 1)
    history = History(nodes[:end], comes_back=True)
    history.play(initial, random)
    for index, node in enumerate(on_top[:2], end):
        history.nodes.append(node)
        history.seq += 1
        view = history.state.current(ORDER, history.seq)
        assert exactly(plain(view)) == exactly(history.state.newest(ORDER))
        history.begin(index, view, history.naive.current())
        history.end(index)
        history.assert_end()
        assert exactly(plain(history.outputs[index])) == exactly(history.state.newest(ORDER))
    history.nodes += nodes[end:]
    history.go_on(random)
    history.assert_end()
