"""`WorkflowState`: one JSON object whose content never depends on timing.

Every token of a run carries a *view*: the keys as seen from its causal past. A view is a dict that is never changed once made,
so branches share it for free. Each key's value is a `Write`, and writes remember which writes they replaced; therefore where
branches meet, it is known for each key whether one write came after the other (it wins), whether they are concurrent (the
key's reducer decides, in edge-list order), or whether they contradict each other (`StateConflict`).

How a write is known to come after another: by walking its *lineage* back, which only goes on while numbers are larger than the
other's (a write is always numbered higher than what it replaced). As long as a run has a single token, nothing concurrent can
exist, so lineages are cut there and a chain or loop of any length keeps none.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from runtime.graph.conditions import json_equal

MAX_UPDATE_BYTES: Final = 1 << 20
MAX_STATE_BYTES: Final = 4 << 20

_encode = msgspec.json.Encoder().encode


class Writer(msgspec.Struct, frozen=True):
    """Who wrote: a node in an iteration, by the record `seq`; the initial state has no node."""

    seq: int
    node: str | None
    iteration: int

    def __str__(self) -> str:
        if self.node is None:
            return "the initial state"
        return f"node {self.node!r} (iteration {self.iteration}, record {self.seq})"


class Lineage:
    """A write's place in the history of its key. `contribution` is what a reducer was given, kept for later merges."""

    __slots__ = ("contribution", "has_contribution", "number", "parents")

    def __init__(self, number: int, parents: tuple["Lineage", ...], contribution: Any = None, *, reduced: bool = False):
        self.number = number
        self.parents = parents
        self.contribution = contribution
        self.has_contribution = reduced


class Write:
    """The value of a key, who wrote it, and what it replaced. Never changed once made."""

    __slots__ = ("lineage", "size", "value", "writer")

    def __init__(self, value: Any, writer: Writer, lineage: Lineage, size: int) -> None:
        self.value = value
        self.writer = writer
        self.lineage = lineage
        self.size = size


View = Mapping[str, Write]


class StateError(Exception):
    """A rule of the state was broken; the step that would have done it fails with `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StateConflict(StateError):
    """Concurrent writes of one key contradict each other."""

    def __init__(self, key: str, left: Writer, right: Writer) -> None:
        message = (
            f"Key {key!r} was written with different values by {left} and by {right}, neither of which came after the other. "
            f"Give the key a reducer, or let one branch write it."
        )
        super().__init__("STATE_CONFLICT", message)


class WorkflowState:
    """The state of one run: makes views, and knows the newest write of every key.

    Only the machine's `apply` changes it, so two folds of the same records give the same state.
    """

    __slots__ = ("_newest", "_reducers")

    def __init__(self, reducers: Mapping[str, str]) -> None:
        self._reducers = reducers
        self._newest: dict[str, list[Write]] = {}

    def initial(self, values: Mapping[str, Any]) -> View:
        """Return the view that a run starts with."""
        writer = Writer(seq=1, node=None, iteration=1)
        view = {key: Write(value, writer, Lineage(1, ()), _size(key, value)) for key, value in values.items()}
        self._newest = {key: [write] for key, write in view.items()}
        return view

    def check(self, view: View, update: Mapping[str, Any]) -> None:
        """Raise `StateError` if `update` cannot be merged into `view`."""
        size = sum(write.size for write in view.values())
        for key, value in update.items():
            old = view.get(key)
            if self._reducers.get(key) == "append" and old is not None and not isinstance(old.value, list):
                raise StateError("REDUCER_ERROR", f"Key {key!r} has the reducer 'append', but its value is not a list.")
            replaced = old is not None and self._reducers.get(key) != "append"
            size += _size(key, value) - (old.size if old is not None and replaced else 0)
        _check_size(size)

    def check_join(self, views: Sequence[View], number: int) -> None:
        """Raise `StateError` if `views` cannot be merged."""
        merged = self.merge(views, number)
        _check_size(sum(write.size for write in merged.values()))

    def update(self, view: View, update: Mapping[str, Any], writer: Writer, *, alone: bool) -> View:
        """Return `view` with `update` merged in key by key. `alone`: the run has no other token now."""
        changed: dict[str, Write] = {}
        for key, value in update.items():
            old = view.get(key)
            if (
                old is not None
                and (value is old.value or json_equal(value, old.value))
                and _same_types(value, old.value)
            ):
                continue
            parents = () if old is None or (alone and self._is_only(key, old)) else (old.lineage,)
            if self._reducers.get(key) == "append":
                lineage = Lineage(writer.seq, parents, value, reduced=True)
                value = [*(old.value if old is not None else ()), value]
            else:
                lineage = Lineage(writer.seq, parents)
            changed[key] = write = Write(value, writer, lineage, _size(key, value))
            self._replace(key, write, (old,) if old is not None else ())
        return {**view, **changed} if changed else view

    def merge(self, views: Sequence[View], number: int, *, resolve: bool = False, commit: bool = False) -> View:
        """Return the view of a node whose taken in-edges carry `views`, in edge-list order.

        Args:
            views: At least one.
            number: Number of the record that joins them; larger than that of any write in the views.
            resolve: Let the later edge win where the writes contradict each other.
            commit: Remember merged writes as the newest; only `apply` does that.

        Raises:
            StateConflict: Concurrent writes of a key without a reducer differ.
        """
        merged: dict[str, Write] | None = None
        result = views[0]
        for view in views[1:]:
            if view is result:
                continue
            for key, right in view.items():
                left = result.get(key)
                if left is right:
                    continue
                write = right if left is None else self._join(key, left, right, number, resolve=resolve)
                if write is left:
                    continue
                if merged is None:
                    result = merged = dict(result)
                merged[key] = write
                if commit and left is not None and write is not right:
                    self._replace(key, write, (left, right))
        return result

    def cut_lineages(self, view: View) -> None:
        """Forget what the writes of a view replaced: it belongs to the run's only token, so nothing older is in use."""
        for key, write in view.items():
            if self._is_only(key, write):
                write.lineage.parents = ()

    def newest(self, order: Mapping[str, int]) -> dict[str, Any]:
        """Return the state as the run has it now: for each key the newest write.

        Concurrent writes that no node has joined are merged as a join would, in the `order` of their nodes in the graph; the
        later node wins where they contradict each other.
        """
        values: dict[str, Any] = {}
        for key, writes in self._newest.items():
            ranked = writes if len(writes) == 1 else sorted(writes, key=lambda write: _rank(write, order))
            result = ranked[0]
            for write in ranked[1:]:
                result = self._join(key, result, write, 1 << 62, resolve=True)
            values[key] = result.value
        return values

    def writers(self) -> dict[str, Writer]:
        """Return who wrote each key last; of concurrent writers, the one with the latest record."""
        return {key: max(writes, key=lambda write: write.writer.seq).writer for key, writes in self._newest.items()}

    def _is_only(self, key: str, write: Write) -> bool:
        """Whether nothing else of the key can ever be compared with the write, given that the run has a single token."""
        newest = self._newest[key]
        return len(newest) == 1 and newest[0] is write

    def _replace(self, key: str, write: Write, replaced: Iterable[Write]) -> None:
        gone = {id(old) for old in replaced}
        self._newest[key] = [*(old for old in self._newest.get(key, ()) if id(old) not in gone), write]

    def _join(self, key: str, left: Write, right: Write, number: int, *, resolve: bool) -> Write:
        if _came_after(right.lineage, left.lineage):
            return right
        if _came_after(left.lineage, right.lineage):
            return left
        covers = _covers(right.lineage, left.lineage)
        if covers is not _covers(left.lineage, right.lineage):
            return right if covers else left
        merging = left.lineage.number == number  # with the third view and on: one merge has all writes as its parents
        lineage = Lineage(number, (*left.lineage.parents, right.lineage) if merging else (left.lineage, right.lineage))
        reducer = self._reducers.get(key)
        if reducer == "append":
            value = [*left.value, *_contributions(right.lineage, left.lineage)]
            return Write(value, right.writer, lineage, _size(key, value))
        if reducer is None and not resolve and not json_equal(left.value, right.value):
            raise StateConflict(key, left.writer, right.writer)
        return Write(right.value, right.writer, lineage, right.size)


def _came_after(late: Lineage, early: Lineage) -> bool:
    if late is early:
        return True
    seen: set[int] = set()
    pending = [late]
    while pending:
        lineage = pending.pop()
        for parent in lineage.parents:
            if parent is early:
                return True
            if parent.number > early.number and id(parent) not in seen:
                seen.add(id(parent))
                pending.append(parent)
    return False


def _covers(late: Lineage, early: Lineage) -> bool:
    """Return whether `late` takes in all that `early` does. A merge says no more than its parents do."""
    seen: set[int] = set()
    pending = [early]
    while pending:
        lineage = pending.pop()
        if id(lineage) in seen or _came_after(late, lineage):
            continue
        if len(lineage.parents) < 2:
            return False
        seen.add(id(lineage))
        pending.extend(lineage.parents)
    return True


def _rank(write: Write, order: Mapping[str, int]) -> tuple[int, int, bytes]:
    """Return where a write stands among concurrent ones: by node, iteration and, for merges of the same write, by value."""
    return order.get(write.writer.node or "", -1), write.writer.iteration, _encode(write.value)


def _ancestors(lineage: Lineage) -> set[int]:
    seen = {id(lineage)}
    pending = [lineage]
    while pending:
        for parent in pending.pop().parents:
            if id(parent) not in seen:
                seen.add(id(parent))
                pending.append(parent)
    return seen


def _contributions(lineage: Lineage, known: Lineage) -> list[Any]:
    """Return what reducers were given on the way to `lineage` and not on the way to `known`: oldest first, left before right."""
    skip = _ancestors(known)
    ordered: list[Any] = []
    pending: list[tuple[Lineage, bool]] = [(lineage, False)]
    while pending:
        current, finished = pending.pop()
        if finished:
            if current.has_contribution:
                ordered.append(current.contribution)
            continue
        if id(current) in skip:
            continue
        skip.add(id(current))
        pending.append((current, True))
        pending.extend((parent, False) for parent in reversed(current.parents))
    return ordered


def _same_types(left: Any, right: Any) -> bool:
    """Tell `1` from `1.0`, which are equal in JSON and yet not the same text."""
    if isinstance(left, dict):
        return all(_same_types(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return all(map(_same_types, left, right))
    return type(left) is type(right)


def _check_size(size: int) -> None:
    if size > MAX_STATE_BYTES:
        message = (
            f"The state would have {size:,} bytes; at most {MAX_STATE_BYTES:,} are allowed. Keep large data in files."
        )
        raise StateError("STATE_TOO_LARGE", message)


def _size(key: str, value: Any) -> int:
    """Return how many bytes the key adds to the encoded state."""
    if value is None or isinstance(value, (bool, int, float)):
        return len(key) + 24
    return len(key) + 4 + len(_encode(value))
