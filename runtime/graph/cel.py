"""Expressions in CEL, the Common Expression Language: the only module that imports the optional package `cel-expr-python`.

An expression is evaluated on the event loop, and the package holds the interpreter lock meanwhile. So it is bounded before it
begins: by what it may contain, by the size of what it is given, and by the work that both together can mean.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from runtime.json_values import MAX_DEPTH

MAX_LENGTH: Final = 2_048
MAX_NAMES: Final = 64
MAX_ITEMS: Final = 5_000
"""Items of any list, and keys of any object, that an expression is given."""

MAX_TEXT: Final = 64 << 10
"""Bytes of any text that an expression is given, in UTF-8."""

MAX_SIZE: Final = 40_000
"""Values that an expression is given; an object counts twice, and eight bytes of text as one more value."""

MAX_WORK: Final = 500_000
"""Parts of an expression, times the values that each may look at: 10 to 80 ns each, so that it ends within about 50 ms."""

EXTRA: Final = "the extra 'cel' (pip install 'workflow-engine[cel]')"


class ExtraMissing(Exception):
    """The package is not installed."""

    def __init__(self) -> None:
        super().__init__(f"Expressions need {EXTRA}, which is not installed.")


class InvalidExpression(Exception):
    """The text is no expression that could be true or false, or uses what is not allowed."""


class NoAnswer(Exception):
    """The expression is neither true nor false with these operands, or they are too large for it."""


class Expression:
    """A compiled expression. `names` are the top-level keys of the state that it needs, sorted."""

    __slots__ = ("_kinds", "_program", "_shape", "names")

    def __init__(self, text: str) -> None:
        """Compile and type-check.

        Raises:
            ExtraMissing: The package is not installed.
            InvalidExpression: The text breaks a rule; the message says which.
        """
        if len(text) > MAX_LENGTH:
            raise InvalidExpression(f"An expression has at most {MAX_LENGTH:,} characters, got {len(text):,}.")
        self._kinds = kinds = _package().Type
        try:
            text.encode()
            self._program = _environment().compile(text, disable_check=True)
            self._shape = _shape_of(self._program.serialize())
            self.names = tuple(sorted(self._shape.names))
            gives = _environment(self.names).compile(text).return_type()
        except (RuntimeError, ValueError) as error:
            raise InvalidExpression(_faults(str(error))) from None
        if gives not in (kinds.BOOL, kinds.DYN):
            raise InvalidExpression(f"The expression gives {gives}, and a condition is true or false.")
        if len(self.names) > MAX_NAMES:
            raise InvalidExpression(f"An expression names at most {MAX_NAMES} keys, got {len(self.names)}.")

    def holds(self, operands: Mapping[str, Any]) -> bool:
        """Return whether the expression is true; `operands` has a value for each of `names`.

        Raises:
            NoAnswer: The evaluation failed or gave something else, or was not begun because the operands are too large.
        """
        self._shape.check_work(operands)
        try:
            result = self._program.eval(data=operands)
        except Exception as error:  # whatever the package raises is what it has to say about these operands
            raise NoAnswer(_shortened(str(error))) from None
        if result.type() == self._kinds.ERROR:  # errors are values, and as plain ones they are texts
            raise NoAnswer(_shortened(str(result.plain_value())))
        if result.type() != self._kinds.BOOL:
            raise NoAnswer(f"it gives {result.type()}, and a condition is true or false")
        return result.plain_value() is True


def _package() -> Any:
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped]
    except ImportError:
        raise ExtraMissing from None
    return cel


@lru_cache(maxsize=64)
def _environment(names: tuple[str, ...] = ()) -> Any:
    """Return where expressions with these names are compiled; a new one costs a millisecond and 100 KB."""
    cel = _package()
    return cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN))


def _faults(message: str) -> str:
    """Return the first faults that the package found, without its drawings of the source."""
    found = dict.fromkeys(re.findall(r"ERROR: <input>:\d+:(\d+): (.*)", message))
    listed = (f"{what.removesuffix(_CONTAINER)} (column {column})" for column, what in list(found)[:3])
    return _shortened(f"The expression is not valid: {'; '.join(listed) or message}.")


def _shortened(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:300]}…"


_CONTAINER: Final = " (in container '')"


# --- what an expression consists of -----------------------------------------------------------------------------------


class _Shape(NamedTuple):
    """What an expression consists of.

    Attributes:
        names: Keys of the state.
        repeated: Those of them that a predicate names, which is evaluated once for each item.
        parts: Number of operations and operands. Those of a sum count again for each sum around them, because it copies;
            those of a search in a text, and of a list or an object that the expression makes, count several times.
    """

    names: frozenset[str]
    repeated: frozenset[str]
    parts: int

    def check_work(self, operands: Mapping[str, Any]) -> None:
        """Raise `NoAnswer` if the operands are too large, each, together, or for this expression."""
        total = longest = again = 0
        for name, value in operands.items():
            size, length = _measure(name, value, MAX_SIZE - total)
            total += size
            longest = max(longest, length)
            if name in self.repeated:
                again += size
        work = self.parts * (total + longest * again)
        if work > MAX_WORK:
            looks = f"{total:,}" + (f" + {longest:,} * {again:,}" if again else "")
            raise NoAnswer(
                f"it could take too long: {self.parts} parts * operands of size {looks} is {work:,}, above {MAX_WORK:,}"
            )


def _measure(name: str, value: Any, room: int) -> tuple[int, int]:
    """Return the size of a value, at most `room`, and the number of items of the longest list or object in it."""
    size = longest = 0
    level = [value]
    for _ in range(MAX_DEPTH):
        size += len(level)
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                size += _text_size(name, item)
            elif kind is list or kind is dict:
                longest = max(longest, len(item))
                if len(item) > MAX_ITEMS:
                    what = "items in a list" if kind is list else "keys in an object"
                    raise NoAnswer(f"{name!r} has {len(item):,} {what}, and at most {MAX_ITEMS:,} are allowed")
                if kind is dict:
                    size += 1
                    for key in item:
                        size += _text_size(name, key)
                    item = item.values()
                below += item
                if size + len(below) > room:
                    break
        if size + len(below) > room:
            raise NoAnswer(f"with {name!r}, its operands are larger than {MAX_SIZE:,} values and texts together")
        if not below:
            return size, longest
        level = below
    raise NoAnswer(f"{name!r} is nested more than {MAX_DEPTH} deep")


def _text_size(name: str, text: str) -> int:
    length = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    if "\0" in text:
        raise NoAnswer(f"{name!r} has a text with a null character, behind which the package would not read on")
    if length > MAX_TEXT:
        raise NoAnswer(f"{name!r} has a text of {length:,} bytes, and at most {MAX_TEXT:,} are allowed")
    return length >> 3


_TYPES: Final = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"})
"""What these words name in CEL, so that no key can be named by them."""

# Fields of the messages `Any`, `ParsedExpr` and `Expr` (cel/expr/syntax.proto) that are read here.
_VALUE = _ROOT = 2
_CONST, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = range(3, 10)


def _shape_of(serialized: bytes) -> _Shape:
    """Read the syntax tree of an expression, in which macros are expanded."""
    names: set[str] = set()
    repeated: set[str] = set()
    parts = 0
    root = _field(_field(serialized, _VALUE), _ROOT)
    stack: list[tuple[bytes, frozenset[str], int]] = [(root, frozenset(), 1)]
    while stack:
        node, bound, weight = stack.pop()
        parts += weight
        for kind, content in _fields(node):
            if kind == _CONST:
                parts += weight * (len(content) >> 4)
            elif kind == _IDENT:
                ident = _text(content, 1)
                name = ident.removeprefix(".")  # which makes it a key of the state, whatever else has this name
                if ident not in bound and name not in _TYPES:
                    names.add(name)
                    if bound:
                        repeated.add(name)
            elif kind == _CALL:
                function = _text(content, 2)
                if function == "matches":
                    raise InvalidExpression("Regular expressions ('matches') are not allowed in conditions.")
                inner = weight + (function == "_+_")
                if function == "contains":
                    inner *= 4 if _field(_field(content, 3), _CONST) else 24
                stack += [(part, bound, inner) for number, part in _fields(content) if number in (1, 3)]
            elif kind == _STRUCT:
                entries = [entry for number, entry in _fields(content) if number == 2]
                stack += [(part, bound, 3 * weight) for entry in entries for n, part in _fields(entry) if n in (3, 4)]
            elif kind == _COMPREHENSION:
                _check_comprehension(content, bound)
                inside = frozenset({_text(content, 1), _text(content, 3)})
                for number, part in _fields(content):
                    if number in (2, 4):
                        stack.append((part, bound, weight))
                    elif number in (5, 6, 7):
                        stack.append((part, inside, weight))
            elif kind == _LIST:
                stack += [(part, bound, 3 * weight) for number, part in _fields(content) if number == 1]
            elif kind == _SELECT:
                stack.append((_field(content, 1), bound, weight))
    return _Shape(frozenset(names), frozenset(repeated), parts)


def _check_comprehension(content: bytes, bound: frozenset[str]) -> None:
    """Refuse what takes time, or makes values, by a power of the length of a list."""
    if bound:
        raise InvalidExpression("'all', 'exists' and 'exists_one' cannot stand inside one another.")
    if not _field(_field(content, 4), _CONST):  # those begin with a constant, 'map' and 'filter' with a list
        raise InvalidExpression("Of the macros for lists, only 'all', 'exists', 'exists_one' and 'has' are allowed.")
    source = _field(content, 2)
    while not _field(source, _IDENT):
        selected, called = _field(source, _SELECT), _field(source, _CALL)
        if not selected and _text(called, 2) not in ("_[_]", "dyn"):
            raise InvalidExpression("'all', 'exists' and 'exists_one' go over a value of the state, such as 'a.b[0]'.")
        source = _field(selected or called, 1 if selected else 3)


def _text(message: bytes, number: int) -> str:
    return _field(message, number).decode()


def _field(message: bytes, wanted: int) -> bytes:
    """Return the first field with this number; empty if there is none."""
    return next((content for number, content in _fields(message) if number == wanted), b"")


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the fields of a protocol buffer that are texts, bytes or messages."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind == 2:
            length, at = _varint(message, at)
            yield key >> 3, message[at : at + length]
            at += length
        else:
            at += 8 if kind == 1 else 4


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
