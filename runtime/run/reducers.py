"""Reducers: what a write does to the value of its key, and how what branches wrote side by side becomes one value. All pure.

A write is asked first what it *contributes* to the value there is; only that is kept of it for later merges, and one that
contributes nothing is no write. Where branches meet, a reducer gets both values and the *news* of each side: what it contributed
that the other side does not know. So what both have in common never counts twice, however often branches part and meet.

`replace`, and a key without a reducer, need nothing of this: there a value counts as a whole.
"""

import math
import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from runtime.graph.paths import MISSING
from runtime.json_values import MAX_INTEGER, MIN_INTEGER


class Refused(Exception):
    """A reducer cannot work with what it was given; the text goes on after the reducer's name."""


class Kind(NamedTuple):
    """A set of JSON types, and the words for it."""

    words: str
    types: tuple[type, ...]

    def has(self, value: Any) -> bool:
        """Return whether the value is of one of the types; `true` is no number."""
        return isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool))


ANYTHING: Final = Kind("anything", (object, bool))
LIST: Final = Kind("a list", (list,))
TEXT: Final = Kind("a text", (str,))
NUMBER: Final = Kind("a number", (int, float))
ORDERED: Final = Kind("a number or a text", (int, float, str))
OBJECT: Final = Kind("an object", (dict,))


class News(NamedTuple):
    """What one side of a merge contributed that the other does not know, oldest first.

    `overwrote`: its value was replaced as a whole meanwhile; what came before that is left out.
    """

    contributions: list[Any]
    overwrote: bool


class Reducer:
    """What all reducers have in common. A value that is not there yet is `MISSING`.

    Attributes:
        takes: What an update of the key must be.
        holds: What a value of the key must be.
        picks: Whether a value is always what one of the writers wrote, never made of several.
    """

    def __init__(self, takes: Kind, holds: Kind, *, picks: bool = False) -> None:
        self.takes = takes
        self.holds = holds
        self.picks = picks

    def contribution(self, value: Any, given: Any) -> Any:
        """Return what an update contributes to the value it is written on; `MISSING` if it changes nothing.

        Raises:
            Refused: One of the two is of a wrong type.
        """
        if not self.takes.has(given):
            raise Refused(f"takes {self.takes.words}, got {kind(given)}")
        self._check(value)
        return self._contribution(value, given)

    def fold(self, value: Any, contributions: Iterable[Any]) -> Any:
        """Return the value with the contributions worked in, one after the other; itself if they change nothing.

        Raises:
            Refused: They do not go together, or make what is no JSON.
        """
        raise NotImplementedError

    def join(self, left: Any, right: Any, ours: Callable[[], News], theirs: News) -> Any:
        """Return the value of two sides that met, the right one over the later edge; `ours` are the left one's news.

        Raises:
            Refused: The two do not go together.
        """
        self._check(left)
        self._check(right)
        return self.fold(right, ours().contributions) if theirs.overwrote else self.fold(left, theirs.contributions)

    def _contribution(self, value: Any, given: Any) -> Any:
        raise NotImplementedError

    def _check(self, value: Any) -> None:
        if value is not MISSING and not self.holds.has(value):
            raise Refused(f"works on {self.holds.words}, and the value is {kind(value)}")


class _Collect(Reducer):
    """A list that grows. A contribution is the list of the elements that are new."""

    def __init__(self, takes: Kind, items: Callable[[Any, Any], list[Any]], *, distinct: bool = False) -> None:
        super().__init__(takes, LIST)
        self._items = items
        self._distinct = distinct

    def _contribution(self, value: Any, given: Any) -> Any:
        return self._items(value, given) or (given if value is MISSING else MISSING)

    def fold(self, value: Any, contributions: Iterable[Any]) -> Any:
        items = [item for contribution in contributions for item in contribution]
        if self._distinct:
            items = _unseen(value, items)
        if value is MISSING:
            return items
        return [*value, *items] if items else value


class _Sum(Reducer):
    def __init__(self) -> None:
        super().__init__(NUMBER, NUMBER)

    def _contribution(self, value: Any, given: Any) -> Any:
        return MISSING if given == 0 and value is not MISSING and type(value + given) is type(value) else given

    def fold(self, value: Any, contributions: Iterable[Any]) -> Any:
        total = 0 if value is MISSING else value
        for contribution in contributions:  # not sum(), which rounds differently from one version of Python to the next
            total += contribution
        if isinstance(total, float):
            if not math.isfinite(total):
                raise Refused(f"cannot hold {total}, which JSON cannot express")
        elif not MIN_INTEGER <= total <= MAX_INTEGER:
            raise Refused(f"cannot hold {total}, which is beyond 64 bits")
        return value if same(total, value) else total


class _Pick(Reducer):
    """Keeps one of the values written: a later one only if it `beats` the one there is."""

    def __init__(self, kinds: Kind, beats: Callable[[Any, Any], bool]) -> None:
        super().__init__(kinds, kinds, picks=True)
        self._beats = beats

    def _contribution(self, value: Any, given: Any) -> Any:
        return given if value is MISSING or self._beats(given, value) else MISSING

    def fold(self, value: Any, contributions: Iterable[Any]) -> Any:
        for contribution in contributions:
            if self._contribution(value, contribution) is not MISSING:
                value = contribution
        return value


class _DeepMerge(Reducer):
    """Objects entry by entry, at any depth. A contribution is an object of the entries that change."""

    def __init__(self) -> None:
        super().__init__(OBJECT, OBJECT)

    def _contribution(self, value: Any, given: Any) -> Any:
        return given if value is MISSING else _changes(value, given) or MISSING

    def fold(self, value: Any, contributions: Iterable[Any]) -> Any:
        for contribution in contributions:
            value = _merged({} if value is MISSING else value, contribution)
        return value

    def join(self, left: Any, right: Any, ours: Callable[[], News], theirs: News) -> Any:
        self._check(left)
        self._check(right)
        return _woven(left, right, _written(ours()), _written(theirs))


def same(left: Any, right: Any) -> bool:
    """Return whether two JSON values are the same text but for the order of keys: `1` is not `1.0`."""
    return left is right or (left == right and _same_types(left, right))


def kind(value: Any) -> str:
    """Return the type of a JSON value, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    return next(known.words for known in (NUMBER, TEXT, LIST, OBJECT) if known.has(value))


def _same_types(left: Any, right: Any) -> bool:
    """Tell apart what Python calls equal: `1`, `1.0` and `true`."""
    if isinstance(left, dict):
        return isinstance(right, dict) and all(_same_types(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return isinstance(right, list) and all(map(_same_types, left, right))
    return type(left) is type(right)


def _element(value: Any, given: Any) -> list[Any]:
    """Return an update as one element; one that equals the whole list is an echo of it and adds nothing."""
    return [] if same(given, value) else [given]


def _elements(_value: Any, given: list[Any]) -> list[Any]:
    return given


def _unseen(value: Any, given: list[Any]) -> list[Any]:
    """Return the elements that neither the value has nor an earlier one equals, as JSON."""
    seen = set() if value is MISSING else set(map(_hashable, value))
    unseen: list[Any] = []
    for item in given:
        key = _hashable(item)
        if key not in seen:
            seen.add(key)
            unseen.append(item)
    return unseen


def _hashable(value: Any) -> Hashable:
    """Return what is equal for values that are equal as JSON: for `1` and `1.0`, but not for `1` and `true`."""
    if isinstance(value, bool):
        return (value,)
    if isinstance(value, dict):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, list):
        return ("list", *map(_hashable, value))
    return value  # type: ignore[no-any-return]


def _comparing(beats: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(given: Any, value: Any) -> bool:
        if isinstance(given, str) is not isinstance(value, str):
            raise Refused(f"compares numbers with numbers and texts with texts, got {kind(given)} beside {kind(value)}")
        return beats(given, value)

    return test


def _never(_given: Any, _value: Any) -> bool:
    return False


# --- deep_merge -------------------------------------------------------------------------------------------------------


def _changes(value: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of `given` that are not in `value` already."""
    changes: dict[str, Any] = {}
    for key, item in given.items():
        old = value.get(key, MISSING)
        if isinstance(old, dict) and isinstance(item, dict):
            if inner := _changes(old, item):
                changes[key] = inner
        elif not same(item, old):
            changes[key] = item
    return changes


def _merged(value: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(value)
    for key, item in changes.items():
        old = merged.get(key)
        merged[key] = _merged(old, item) if isinstance(old, dict) and isinstance(item, dict) else item
    return merged


Marks = Mapping[str, Any] | bool
"""Which entries of an object were written: True for all that there are, False for none, or the marks of each entry."""


def _written(news: News) -> Marks:
    marks: Marks = news.overwrote
    for contribution in news.contributions:
        marks = _either(marks, _marks(contribution))
    return marks


def _marks(changes: Any) -> Marks:
    if isinstance(changes, dict) and changes:
        return {key: _marks(item) for key, item in changes.items()}
    return True


def _either(left: Marks, right: Marks) -> Marks:
    if isinstance(left, bool) or isinstance(right, bool):
        return True if left is True or right is True else left or right
    return {key: _either(left.get(key, False), right.get(key, False)) for key in {**left, **right}}


def _woven(left: Any, right: Any, ours: Marks, theirs: Marks) -> Any:
    """Return each entry as the side has it that wrote it; of an entry that both wrote, the right side's."""
    if ours is False or theirs is False:
        return right if ours is False else left
    if isinstance(left, dict) and isinstance(right, dict):
        woven = {key: _woven_entry(key, left, right, ours, theirs) for key in {**left, **right}}
        return {key: item for key, item in woven.items() if item is not MISSING}
    return left if right is MISSING else right


def _woven_entry(key: str, left: Mapping[str, Any], right: Mapping[str, Any], ours: Marks, theirs: Marks) -> Any:
    our = ours if isinstance(ours, bool) else ours.get(key, False)
    their = theirs if isinstance(theirs, bool) else theirs.get(key, False)
    return _woven(left.get(key, MISSING), right.get(key, MISSING), our, their)


REDUCERS: Final[Mapping[str, Reducer]] = {
    "append": _Collect(ANYTHING, _element),
    "extend": _Collect(LIST, _elements),
    "union": _Collect(LIST, _unseen, distinct=True),
    "add": _Sum(),
    "max": _Pick(ORDERED, _comparing(operator.gt)),
    "min": _Pick(ORDERED, _comparing(operator.lt)),
    "first": _Pick(ANYTHING, _never),
    "deep_merge": _DeepMerge(),
}
