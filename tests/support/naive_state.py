"""The state as sets of writes: slow, and close to the words "came after", "concurrent" and "causal past".

Every write and every merge of concurrent writes is an event. A value remembers the events before it (`past`) and the writes
that no other write in its past has replaced (`tops`). One value came after another if it knows all of the other's `tops`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Where = tuple[int, int]
"""Node and iteration of a writer; the node -1 stands for the initial state."""


@dataclass(frozen=True)
class Value:
    """What a key holds; `given` are the updates that a reducer got, by event."""

    event: int
    value: Any
    writer: Where
    tops: frozenset[int]
    past: frozenset[int]
    given: tuple[tuple[int, Any], ...] = ()


View = dict[str, Value]


class Conflict(Exception):
    """Concurrent writes of a key without a reducer differ."""


@dataclass
class Histories:
    """Makes and merges views, and remembers all values there ever were."""

    reducers: dict[str, str]
    made: dict[str, list[Value]] = field(default_factory=dict)
    events: int = 0

    def _make(
        self, key: str, value: Any, writer: Where, olds: Sequence[Value], *, write: bool, given: Any = ()
    ) -> Value:
        self.events += 1
        past = frozenset({self.events}).union(*(old.past for old in olds))
        tops = frozenset({self.events}) if write else frozenset().union(*(old.tops for old in olds))
        made = Value(self.events, value, writer, tops, past, given)
        self.made.setdefault(key, []).append(made)
        return made

    def initial(self, values: dict[str, Any]) -> View:
        return {key: self._make(key, value, (-1, 1), (), write=True) for key, value in values.items()}

    def values(self, view: View) -> dict[str, Any]:
        return {key: value.value for key, value in view.items()}

    def update(self, view: View, update: Any, writer: Where) -> View:
        result = dict(view)
        for key, value in update.items():
            old = view.get(key)
            olds = [] if old is None else [old]
            if old is not None and repr(old.value) == repr(value):
                continue
            if self.reducers.get(key) == "append":
                given = (*(old.given if old else ()), (self.events + 1, value))
                longer = [*(old.value if old else []), value]
                result[key] = self._make(key, longer, writer, olds, write=True, given=given)
            else:
                result[key] = self._make(key, value, writer, olds, write=True)
        return result

    def merge(self, views: Sequence[View], *, resolve: bool = False) -> View:
        """Return the input of a node whose taken in-edges carry `views`, in edge-list order."""
        result = dict(views[0])
        for view in views[1:]:
            for key, right in view.items():
                result[key] = self._join(key, result[key], right, resolve=resolve) if key in result else right
        return result

    def _join(self, key: str, left: Value, right: Value, *, resolve: bool) -> Value:
        if left.event in right.past:
            return right
        if right.event in left.past:
            return left
        later, earlier = left.tops <= right.past, right.tops <= left.past
        if later != earlier:
            return right if later else left
        reducer = self.reducers.get(key)
        if reducer == "append":
            news = tuple((event, item) for event, item in right.given if event not in left.past)
            value = left.value + [item for _, item in news]
            return self._make(key, value, right.writer, [left, right], write=False, given=left.given + news)
        if reducer is None and not resolve and left.value != right.value:
            raise Conflict
        return self._make(key, right.value, right.writer, [left, right], write=False)

    def final(self) -> dict[str, Any]:
        """Return the state at the end: what no other value came after, later nodes winning; appended items unordered."""
        result = {}
        for key, made in self.made.items():
            last = [value for value in made if not any(self._is_after(other, value) for other in made)]
            if self.reducers.get(key) == "append":
                items = {event: item for value in last for event, item in value.given}
                base: list[Any] = next((value.value for value in made if value.writer[0] == -1), [])
                result[key] = sorted([*base, *items.values()])
            else:
                result[key] = max(last, key=lambda value: value.writer).value
        return result

    @staticmethod
    def _is_after(other: Value, value: Value) -> bool:
        if other is value or other.event in value.past:
            return False
        return value.event in other.past or (value.tops <= other.past and not other.tops <= value.past)
