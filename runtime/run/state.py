"""`WorkflowState`: one JSON object whose content never depends on timing.

Every token of a run carries a *view*: the keys as seen from its causal past. A view is a dict that is never changed once made,
so branches share it for free. Each key's value is a `Write`, and writes remember which writes they replaced; therefore where
branches meet, it is known for each key whether one write came after the other (it wins), whether they are concurrent (the
key's reducer decides, in edge-list order), or whether they contradict each other (`StateConflict`). What the reducers do with
values is in `reducers.py`; here is what came before what.

How a write is known to come after another: by walking its *lineage* back, which only goes on while numbers are larger than the
other's (a write is always numbered higher than what it replaced). As long as a run has a single token, nothing concurrent can
exist, so lineages are cut there and a chain or loop of any length keeps none.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from runtime.graph.conditions import json_equal
from runtime.graph.paths import MISSING
from runtime.json_values import canonical
from runtime.run.reducers import REDUCERS, News, Reducer, Refused, same

MAX_UPDATE_BYTES: Final = 1 << 20
MAX_STATE_BYTES: Final = 4 << 20
UNWRITTEN: Final = 1 << 62
"""Number of merges that are only looked at: larger than that of any record."""

_encode = msgspec.json.Encoder().encode


class Writer(msgspec.Struct, frozen=True):
    """Who wrote: a node in an iteration, by the record `seq`; the initial state, and what a fork changed in it, have no node."""

    seq: int
    node: str | None
    iteration: int

    def __str__(self) -> str:
        if self.node is None:
            return "the initial state" if self.seq == 1 else f"the fork (record {self.seq})"
        return f"node {self.node!r} (iteration {self.iteration}, record {self.seq})"


class Lineage:
    """A write's place in the history of its key.

    Attributes:
        contribution: What the write contributed in the eyes of the key's reducer, kept for later merges.
        overwrites: Whether the value was set as a whole, so that no reducer may look behind it.
    """

    __slots__ = ("contribution", "has_contribution", "number", "overwrites", "parents")

    def __init__(
        self,
        number: int,
        parents: tuple["Lineage", ...],
        contribution: Any = None,
        *,
        reduced: bool = False,
        overwrites: bool = False,
    ) -> None:
        self.number = number
        self.parents = parents
        self.contribution = contribution
        self.has_contribution = reduced
        self.overwrites = overwrites


class Write:
    """The value of a key, who wrote it, and what it replaced. Never changed once made.

    Attributes:
        writer: Who stands for the value where it meets others; of a merged value that is always the same one.
        latest: Who wrote it last, in time; another one than `writer` only if several made the value.
    """

    __slots__ = ("latest", "lineage", "size", "value", "writer")

    def __init__(self, value: Any, writer: Writer, lineage: Lineage, size: int, latest: Writer | None = None) -> None:
        self.value = value
        self.writer = writer
        self.lineage = lineage
        self.size = size
        self.latest = latest or writer


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


class ReducerError(StateError):
    """The reducer of a key cannot work with what was written."""

    def __init__(self, key: str, reducer: str, problem: object, *values: Write) -> None:
        message = f"Key {key!r} has the reducer {reducer!r}, which {problem}."
        if len(values) > 1:
            writers = " and from ".join(str(value.writer) for value in values)
            message += f" The values are from {writers}, neither of which came after the other."
        elif values:
            message += f" The value is from {values[0].writer}."
        super().__init__("REDUCER_ERROR", message)


class WorkflowState:
    """The state of one run: makes views, and knows the newest write of every key.

    Only the machine's `apply` changes it, so two folds of the same records give the same state.
    """

    __slots__ = ("_folding", "_newest", "_reducers")

    def __init__(self, reducers: Mapping[str, str]) -> None:
        self._reducers = reducers
        self._folding = {key: REDUCERS[word] for key, word in reducers.items() if word in REDUCERS}
        self._newest: dict[str, list[Write]] = {}

    def initial(self, values: Mapping[str, Any], known: View | None = None) -> View:
        """Return the view that a run starts with; `known` spares measuring values that it has too."""
        writer = Writer(seq=1, node=None, iteration=1)
        view: dict[str, Write] = {}
        for key, value in values.items():
            old = None if known is None else known.get(key)
            size = old.size if old is not None and old.value is value else _size(key, value)
            view[key] = Write(value, writer, Lineage(1, ()), size)
        self._newest = {key: [write] for key, write in view.items()}
        return view

    def check(self, view: View, update: Mapping[str, Any]) -> None:
        """Raise `StateError` if `update` cannot be merged into `view`."""
        size = sum(write.size for write in view.values())
        for key, value in update.items():
            old = view.get(key)
            reducer = self._folding.get(key)
            if reducer is None:
                size += _size(key, value) - (old.size if old is not None else 0)
            elif (reduced := self._reduce(key, reducer, old, value)) is not None:
                size += reduced.size - (old.size if old is not None else 0)
        _check_size(size)

    def check_join(self, views: Sequence[View], number: int) -> None:
        """Raise `StateError` if `views` cannot be merged."""
        merged = self.merge(views, number)
        _check_size(sum(write.size for write in merged.values()))

    def update(
        self, view: View, update: Mapping[str, Any], writer: Writer, *, alone: bool, overwrite: bool = False
    ) -> View:
        """Return `view` with `update` merged in key by key.

        Args:
            view: What the writer saw.
            update: What it wrote; `check` has nothing against it.
            writer: Who wrote; its record comes after all that `view` knows.
            alone: The run has no other token now.
            overwrite: Put the values in place of whatever is there, past all reducers.
        """
        changed: dict[str, Write] = {}
        for key, value in update.items():
            old = view.get(key)
            reducer = self._folding.get(key)
            parents = () if old is None or (alone and self._is_only(key, old)) else (old.lineage,)
            if reducer is None or overwrite:
                if old is not None and same(value, old.value):
                    continue
                write = Write(value, writer, Lineage(writer.seq, parents, overwrites=overwrite), _size(key, value))
            else:
                reduced = self._reduce(key, reducer, old, value)
                if reduced is None:
                    continue
                lineage = Lineage(writer.seq, parents, reduced.contribution, reduced=True)
                write = Write(reduced.value, writer, lineage, reduced.size)
            changed[key] = write
            self._renew(key, write, old)
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
            ReducerError: The reducer of a key cannot work with what was written concurrently.
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
        for key, write in merged.items() if commit and merged else ():
            if write.lineage.number == number:
                self._renew(key, write, None)
        return result

    def cut_lineages(self, view: View) -> None:
        """Forget what the writes of a view replaced: it belongs to the run's only token, so nothing older is in use."""
        for key, write in view.items():
            if self._is_only(key, write):
                write.lineage.parents = ()

    def current(self, order: Mapping[str, int], number: int) -> View:
        """Return the view of everything written so far. A node may have it as its input; what it writes comes after all of it.

        Concurrent writes that no node has joined are merged as a join would, in the `order` of their nodes in the graph; the
        later node wins where they contradict each other.

        Args:
            order: Place of each node, by name.
            number: Number of the record that merges them; larger than that of any write.
        """
        return {key: self._settled(key, writes, order, number) for key, writes in self._newest.items()}

    def newest(self, order: Mapping[str, int]) -> dict[str, Any]:
        """Return the values of `current`: the state as the run has it now."""
        return {key: write.value for key, write in self.current(order, UNWRITTEN).items()}

    def writers(self, order: Mapping[str, int] | None = None) -> dict[str, Writer]:
        """Return who wrote each key last: of several that made a value together, the one with the latest record.

        Of concurrent writes that no node has joined, the one that counts in `newest(order)`; without an `order` the latest.
        """
        if order is not None:
            return {key: write.latest for key, write in self.current(order, UNWRITTEN).items()}
        return {key: _later(*(write.latest for write in writes)) for key, writes in self._newest.items()}

    def _is_only(self, key: str, write: Write) -> bool:
        """Whether nothing else of the key can ever be compared with the write, given that the run has a single token."""
        newest = self._newest[key]
        return len(newest) == 1 and newest[0] is write

    def _renew(self, key: str, write: Write, old: Write | None) -> None:
        """Put a write in place of the `old` one it was made from, and of all others that it came after."""
        newest = self._newest.get(key)
        if not newest or (len(newest) == 1 and newest[0] is old):
            self._newest[key] = [write]
            return
        past = _ancestors(write.lineage, min(other.lineage.number for other in newest))
        self._newest[key] = [*(other for other in newest if id(other.lineage) not in past), write]

    def _reduce(self, key: str, reducer: Reducer, old: Write | None, given: Any) -> "_Reduced | None":
        """Return what a write under a reducer makes of a key, or None if it changes nothing."""
        value = MISSING if old is None else old.value
        try:
            contribution = reducer.contribution(value, given)
            if contribution is MISSING:
                return None
            value = reducer.fold(value, (contribution,))
        except Refused as problem:
            raise ReducerError(key, self._reducers[key], problem, *(() if old is None else (old,))) from problem
        return _Reduced(contribution, value, _size_after(key, value, old))

    def _settled(self, key: str, writes: Sequence[Write], order: Mapping[str, int], number: int) -> Write:
        """Return the one write that concurrent ones come to."""
        if len(writes) == 1:
            return writes[0]
        first, *others = sorted(_standing(writes), key=lambda write: _rank(write, order))
        for write in others:
            first = self._join(key, first, write, number, resolve=True)
        return first

    def _join(self, key: str, left: Write, right: Write, number: int, *, resolve: bool) -> Write:
        if _came_after(right.lineage, left.lineage):
            return right
        if _came_after(left.lineage, right.lineage):
            return left
        covers = _covers(right.lineage, left.lineage)
        if covers is not _covers(left.lineage, right.lineage):
            return right if covers else left
        merging = left.lineage.number == number and not left.lineage.overwrites
        # With the third view and on, one merge has all writes as its parents.
        lineage = Lineage(number, (*left.lineage.parents, right.lineage) if merging else (left.lineage, right.lineage))
        reducer = self._folding.get(key)
        if reducer is not None:
            try:
                return _fold(key, reducer, left, right, lineage)
            except Refused as problem:
                if not resolve:
                    raise ReducerError(key, self._reducers[key], problem, left, right) from problem
                lineage.overwrites = True
        latest = right.latest
        if key not in self._reducers:
            if json_equal(left.value, right.value):
                latest = _later(left.latest, right.latest)
            elif not resolve:
                raise StateConflict(key, left.writer, right.writer)
        return Write(right.value, right.writer, lineage, right.size, latest)


class _Reduced(NamedTuple):
    contribution: Any
    value: Any
    size: int


def _fold(key: str, reducer: Reducer, left: Write, right: Write, lineage: Lineage) -> Write:
    """Return the write of two concurrent ones that go through a reducer."""
    theirs = _news(right.lineage, left.lineage)
    value = reducer.join(left.value, right.value, lambda: _news(left.lineage, right.lineage), theirs)
    base, other = (right, left) if theirs.overwrote else (left, right)
    size = _size_after(key, value, base)
    if value is base.value:
        return Write(value, base.writer, lineage, size, base.latest)
    if reducer.picks:
        return Write(value, other.writer, lineage, size, other.latest)
    return Write(value, right.writer, lineage, size, _later(left.latest, right.latest))


def _later(*writers: Writer) -> Writer:
    return max(writers, key=lambda writer: writer.seq)


def _standing(writes: Sequence[Write]) -> list[Write]:
    """Leave out merges of which another write knows everything, and they not of it."""

    def is_past(merge: Lineage) -> bool:
        others = (write.lineage for write in writes if write.lineage is not merge)
        return any(_covers(other, merge) and not _covers(merge, other) for other in others)

    return [write for write in writes if len(write.lineage.parents) < 2 or not is_past(write.lineage)]


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
    return order.get(write.writer.node or "", -1), write.writer.iteration, canonical(write.value)


def _ancestors(lineage: Lineage, floor: int = 0) -> set[int]:
    """Return the identities of a lineage and all before it whose number is not below `floor`."""
    seen = {id(lineage)}
    pending = [lineage]
    while pending:
        for parent in pending.pop().parents:
            if parent.number >= floor and id(parent) not in seen:
                seen.add(id(parent))
                pending.append(parent)
    return seen


def _news(lineage: Lineage, known: Lineage) -> News:
    """Return what was contributed on the way to `lineage` and not on the way to `known`: oldest first, left before right."""
    skip = _ancestors(known)
    ordered: list[Lineage] = []
    pending: list[tuple[Lineage, bool]] = [(lineage, False)]
    while pending:
        current, finished = pending.pop()
        if finished:
            ordered.append(current)
            continue
        if id(current) in skip:
            continue
        skip.add(id(current))
        pending.append((current, True))
        pending.extend((parent, False) for parent in reversed(current.parents))
    overwritten = [_ancestors(current) for current in ordered if current.overwrites]
    if overwritten:
        gone = set().union(*overwritten)
        ordered = [current for current in ordered if id(current) not in gone]
    return News([current.contribution for current in ordered if current.has_contribution], bool(overwritten))


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


def _size_after(key: str, value: Any, old: Write | None) -> int:
    """Return the size of a key whose old value a reducer changed; of a list that grew, without encoding all of it again."""
    if old is None or not isinstance(value, list):
        return _size(key, value)
    return old.size + (len(_encode(value[len(old.value) :])) - 1 if len(value) > len(old.value) else 0)
