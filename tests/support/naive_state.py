"""The state as sets of writes: slow, and close to the words "came after", "concurrent" and "causal past".

Every write and every merge of concurrent writes is an event. A value remembers the events before it (`past`) and the writes
that no other write in its past has replaced (`tops`). One value came after another if it knows all of the other's `tops`.

A reducer is told what a write *gave*, and a merge what either side gave that the other does not know. Objects that are merged
deeply are taken apart into paths and leaves.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Where = tuple[int, int]
"""Node and iteration of a writer; the node -1 stands for the initial state."""

Path = tuple[str, ...]
NONE: Final = object()
"""A value or entry that is not there."""


@dataclass(frozen=True)
class Value:
    """What a key holds.

    Attributes:
        writer: Who stands for the value.
        given: What a reducer was given, by event.
        resets: Events that a reducer may not look behind, with what came before them.
        latest: Event and writer of the last write that made the value.
    """

    event: int
    value: Any
    writer: Where
    tops: frozenset[int]
    past: frozenset[int]
    given: tuple[tuple[int, Any], ...] = ()
    resets: tuple[tuple[int, frozenset[int]], ...] = ()
    latest: tuple[int, Where] = (0, (-1, 1))


View = dict[str, Value]


class Conflict(Exception):
    """Concurrent writes of a key contradict each other; the argument is the code."""


class Mismatch(Exception):
    """A reducer was given what it cannot take."""


@dataclass
class Histories:
    """Makes and merges views, and remembers all values there ever were."""

    reducers: dict[str, str]
    made: dict[str, list[Value]] = field(default_factory=dict)
    events: int = 0

    def initial(self, values: dict[str, Any]) -> View:
        return {key: self._keep(key, self._written(value, (-1, 1), ())) for key, value in values.items()}

    def values(self, view: View) -> dict[str, Any]:
        return {key: value.value for key, value in view.items()}

    def update(self, view: View, update: Any, writer: Where, *, overwrite: bool = False) -> View:
        """Return the view with the update written on it.

        Raises:
            Mismatch: A reducer cannot take it; nothing has happened then.
        """
        made = {key: self._updated(key, view, value, writer, overwrite=overwrite) for key, value in update.items()}
        return {**view, **{key: self._keep(key, value) for key, value in made.items() if value is not None}}

    def _updated(self, key: str, view: View, value: Any, writer: Where, *, overwrite: bool) -> Value | None:
        olds = [view[key]] if key in view else []
        old = olds[0].value if olds else NONE
        reducer = self.reducers.get(key, "replace")
        if overwrite or reducer == "replace":
            return None if exactly(old) == exactly(value) else self._written(value, writer, olds, reset=overwrite)
        gift = gave(reducer, old, value)
        if gift is NONE:
            return None
        return self._written(given(reducer, old, [gift]), writer, olds, gift=(gift,))

    def _written(
        self, value: Any, writer: Where, olds: Sequence[Value], *, gift: tuple[Any, ...] = (), reset: bool = False
    ) -> Value:
        self.events += 1
        event = self.events
        past = frozenset({event}).union(*(old.past for old in olds))
        before = tuple(pair for old in olds for pair in old.given)
        resets = tuple(pair for old in olds for pair in old.resets)
        return Value(
            event,
            value,
            writer,
            frozenset({event}),
            past,
            (*before, *((event, item) for item in gift)),
            (*resets, (event, past)) if reset else resets,
            (event, writer),
        )

    def _keep(self, key: str, value: Value) -> Value:
        self.made.setdefault(key, []).append(value)
        return value

    def merge(self, views: Sequence[View], *, resolve: bool = False) -> View:
        """Return the input of a node whose taken in-edges carry `views`, in edge-list order.

        Raises:
            Conflict: They cannot be merged; nothing has happened then.
        """
        result = dict(views[0])
        for view in views[1:]:
            for key, right in view.items():
                result[key] = self._join(key, result[key], right, resolve=resolve) if key in result else right
        for key, value in result.items():
            if not any(view.get(key) is value for view in views):
                self._keep(key, value)
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
        if reducer is None:
            equal = exactly(left.value, typed=False) == exactly(right.value, typed=False)
            if not equal and not resolve:
                raise Conflict("STATE_CONFLICT")
            return self._merged(
                left, right, right.value, right, max(left.latest, right.latest) if equal else right.latest
            )
        if reducer == "replace":
            return self._merged(left, right, right.value, right, right.latest)
        try:
            value, base = reduced(reducer, left, right)
        except Mismatch:
            if not resolve:
                raise Conflict("REDUCER_ERROR") from None
            return self._merged(left, right, right.value, right, right.latest, reset=True)
        if exactly(value) == exactly(base.value) and reducer != "deep_merge":
            return self._merged(left, right, value, base, base.latest)
        if reducer in ("max", "min", "first"):
            other = left if base is right else right
            return self._merged(left, right, value, other, other.latest)
        return self._merged(left, right, value, right, max(left.latest, right.latest))

    def _merged(
        self, left: Value, right: Value, value: Any, stands: Value, latest: tuple[int, Where], *, reset: bool = False
    ) -> Value:
        self.events += 1
        past = frozenset({self.events}) | left.past | right.past
        resets = (*left.resets, *(pair for pair in right.resets if pair not in left.resets))
        return Value(
            self.events,
            value,
            stands.writer,
            left.tops | right.tops,
            past,
            (*left.given, *(pair for pair in right.given if pair[0] not in left.past)),
            (*resets, (self.events, past)) if reset else resets,
            latest,
        )

    def current(self) -> View:
        """Return what everything written comes to: all that nothing came after, later nodes winning."""
        view: View = {}
        for key, made in self.made.items():
            last = [value for value in made if not any(self._is_after(other, value) for other in made)]
            first, *others = sorted(last, key=lambda value: (value.writer, exactly(value.value)))
            for value in others:
                first = self._join(key, first, value, resolve=True)
            view[key] = first
        return view

    def final(self) -> dict[str, Any]:
        """Return the state at the end, with lists that grow sorted: in what order they grow is not said by the rules."""
        grow = {key for key, reducer in self.reducers.items() if reducer in ("append", "extend", "union")}
        values = self.values(self.current())
        return {key: sorted(value, key=exactly) if key in grow else value for key, value in values.items()}

    @staticmethod
    def _is_after(other: Value, value: Value) -> bool:
        if other is value or other.event in value.past:
            return False
        return value.event in other.past or (value.tops <= other.past and not other.tops <= value.past)


# --- reducers ---------------------------------------------------------------------------------------------------------


def exactly(value: Any, *, typed: bool = True) -> str:
    """Return a text that is the same for the same JSON; without `typed`, `1` is the same as `1.0`."""
    if value is NONE:
        return "nothing"
    if isinstance(value, list):
        return f"[{','.join(exactly(item, typed=typed) for item in value)}]"
    if isinstance(value, dict):
        entries = sorted(value.items())
        return f"{{{','.join(f'{json.dumps(key)}:{exactly(item, typed=typed)}' for key, item in entries)}}}"
    if isinstance(value, float) and not typed and value == int(value):
        return str(int(value))
    return json.dumps(value)


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def gave(reducer: str, old: Any, update: Any) -> Any:
    """Return what an update gives on top of the old value, `NONE` if it changes nothing."""
    there = old is not NONE
    if reducer == "first":
        return NONE if there else update
    if reducer in ("append", "extend", "union"):
        if there and type(old) is not list:
            raise Mismatch
        if reducer == "append":
            return NONE if exactly(old) == exactly(update) else update
        if type(update) is not list:
            raise Mismatch
        news = given(reducer, old, [update])[len(old) if there else 0 :]
        return NONE if there and not news else news
    if reducer == "deep_merge":
        if type(update) is not dict or (there and type(old) is not dict):
            raise Mismatch
        if not there:
            return update
        paths = [(path, leaf) for path, leaf in leaves(update) if not has(old, path, leaf)]
        return paths or NONE
    result = given(reducer, old, [update])
    if reducer == "add":
        return NONE if there and update == 0 and type(result) is type(old) else update
    return NONE if there and exactly(result) == exactly(old) else update


def given(reducer: str, value: Any, gifts: Iterable[Any]) -> Any:
    """Return the value with everything given worked in."""
    for gift in gifts:
        value = one_given(reducer, value, gift)
    if reducer == "add" and not (abs(value) < float("inf") and (type(value) is float or -(2**63) <= value < 2**63)):
        raise Mismatch
    return value


def one_given(reducer: str, value: Any, gift: Any) -> Any:
    if reducer == "deep_merge":
        if type(gift) is dict:
            gift = list(leaves(gift))
        value = {} if value is NONE else value
        for path, leaf in gift:
            value = assigned(value, path, leaf)
        return value
    if reducer == "append":
        return [*([] if value is NONE else value), gift]
    if reducer == "extend":
        return [*([] if value is NONE else value), *gift]
    if reducer == "union":
        value = [] if value is NONE else value
        for item in gift:
            if exactly(item, typed=False) not in [exactly(known, typed=False) for known in value]:
                value = [*value, item]
        return value
    if reducer == "first":
        return gift if value is NONE else value
    if value is not NONE and not is_number(value) and (reducer == "add" or type(value) is not str):
        raise Mismatch
    if not is_number(gift) and (reducer == "add" or type(gift) is not str):
        raise Mismatch
    if value is NONE:
        return gift
    if reducer == "add":
        return value + gift
    if is_number(value) != is_number(gift):
        raise Mismatch
    return {"max": max, "min": min}[reducer](value, gift)


def reduced(reducer: str, left: Value, right: Value) -> tuple[Any, Value]:
    """Return the value of two that met, the right one over the later edge, and the one of them that it builds on."""
    if not holds(reducer, left.value) or not holds(reducer, right.value):
        raise Mismatch
    (ours, our_resets), (theirs, their_resets) = news(left, right), news(right, left)
    if reducer == "deep_merge":
        return woven(left.value, right.value, (), touched(ours, our_resets), touched(theirs, their_resets)), right
    if their_resets:
        return given(reducer, right.value, ours), right
    return given(reducer, left.value, theirs), left


def holds(reducer: str, value: Any) -> bool:
    if reducer in ("append", "extend", "union"):
        return isinstance(value, list)
    if reducer in ("max", "min"):
        return is_number(value) or isinstance(value, str)
    return {"deep_merge": isinstance(value, dict), "add": is_number(value)}.get(reducer, True)


def news(value: Value, other: Value) -> tuple[list[Any], bool]:
    """Return what a value was given that the other does not know, and whether it was overwritten meanwhile."""
    resets = [past for event, past in value.resets if event not in other.past]
    hidden = frozenset[int]().union(*resets)
    return [gift for event, gift in value.given if event not in other.past and event not in hidden], bool(resets)


# --- objects as paths and leaves --------------------------------------------------------------------------------------


def leaves(value: Any, path: Path = ()) -> Iterable[tuple[Path, Any]]:
    """Return the places of an object where it ends, empty objects included."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield path, value


def has(value: Any, path: Path, leaf: Any) -> bool:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return (leaf == {} and isinstance(value, dict)) or exactly(value) == exactly(leaf)


def assigned(value: Any, path: Path, leaf: Any) -> Any:
    if not path:
        return value if leaf == {} and isinstance(value, dict) else leaf
    key, *rest = path
    base = value if isinstance(value, dict) else {}
    return {**base, key: assigned(base.get(key, NONE), tuple(rest), leaf)}


def touched(gifts: list[Any], everything: bool) -> set[Path]:
    """Return the paths that were written; the empty one for all of them."""
    if everything:
        return {()}
    return {path for gift in gifts for path, _ in (leaves(gift) if isinstance(gift, dict) else gift)}


def woven(left: Any, right: Any, at: Path, ours: set[Path], theirs: set[Path]) -> Any:
    """Return what both sides come to at a path: as the side has it that wrote there; if both did, the right one's."""
    if not is_touched(at, ours) or not is_touched(at, theirs):
        return left if is_touched(at, ours) else right
    if isinstance(left, dict) and isinstance(right, dict):
        keys = [*left, *(key for key in right if key not in left)]
        entries = {key: woven(left.get(key, NONE), right.get(key, NONE), (*at, key), ours, theirs) for key in keys}
        return {key: item for key, item in entries.items() if item is not NONE}
    return left if right is NONE else right


def is_touched(at: Path, paths: set[Path]) -> bool:
    """Return whether something was written there, above or below."""
    return any(path[: len(at)] == at[: len(path)] for path in paths)
