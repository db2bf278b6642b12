"""Named moments in the life of a request and of a run, and what a test lets happen there: the process dies, an error is raised.

    with injected(Fault("after_commit", passage=7, action=kill)):
        ...

A point names a function and whether it is before or after its body. Injecting wraps the function for that long, so the engine has
no hook in it and pays nothing when no fault is injected. The table is the one place that knows where the points are.
"""

import functools
import importlib
import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

When = Literal["before", "after", "leaving"]
"""Before a function's body, after it has returned, or before the block of a context manager that it returns is left."""

Subject = Callable[..., str | None]
"""Takes what the function takes, and returns what the passage is about (a run's id, or ""), or None if it is no passage."""


def _any(*_arguments: Any, **_named: Any) -> str:
    return ""


def _entry_run(_writer: Any, entry: Any, *_arguments: Any, **_named: Any) -> str | None:
    """Pass at every entry; its subject is the text of its records."""
    return str(entry.body, errors="replace")


def _terminal_entry(_writer: Any, entry: Any, *_arguments: Any, **_named: Any) -> str | None:
    row = entry.row
    return row.run_id if row is not None and row.completed_at is not None else None


def _completes_a_step(actor: Any, records: Iterable[Any], *_arguments: Any) -> str | None:
    return actor.run.run_id if any(record.event == "step_completed" for record in records) else None


def _storing(_journal: Any, what: bytes, *, entries: int = 0) -> str | None:
    return "" if entries else None


def _deleting_runs(_journal: Any, what: bytes, *, entries: int = 0) -> str | None:
    return "" if what.startswith(b"delete [") else None


def _called_node(_workers: Any, call: Any) -> str:
    return f"{call.tool.name} {call.node}"


def _ended_call(_actor: Any, call: Any, *_arguments: Any) -> str:
    return f"{call.tool.name} {call.node}"


def _announced_run(_logger: Any, records: Iterable[Any], *_arguments: Any) -> str | None:
    return next((record.run_id for record in records if record.event == "run_recovering"), None)


def _live_run(_supervisor: Any, live: Any, *_arguments: Any, **_named: Any) -> str:
    return str(live.row.run_id)


def _folded_run(history: Any, *_arguments: Any) -> str:
    return str(history.row.run_id)


@dataclass(frozen=True, slots=True)
class FaultPoint:
    """Where a point is.

    Attributes:
        target: `module:attribute` of a function, or of a method of a class in that module.
        when: Where in it a passage is.
        subject: What a passage is about, and whether a call of the function is one.
    """

    target: str
    when: When
    subject: Subject = _any


POINTS: Final[Mapping[str, FaultPoint]] = {
    "request_parsed": FaultPoint("runtime.engine:Engine.submit", "before"),
    "before_append": FaultPoint("runtime.journal:JournalWriter.append", "before", _entry_run),
    "after_append": FaultPoint("runtime.journal:JournalWriter.append", "after", _entry_run),
    "before_commit": FaultPoint("runtime.journal:SqliteJournal.commit", "before"),
    "within_commit": FaultPoint("runtime.journal:SqliteJournal._change", "leaving", _storing),
    "before_watermark": FaultPoint("runtime.journal.sqlite.watermark:Watermark.note", "before"),
    "after_commit": FaultPoint("runtime.journal:SqliteJournal.commit", "after"),
    "before_publish": FaultPoint("runtime.log.pipeline:RunLogger.committed", "before"),
    "after_publish": FaultPoint("runtime.log.pipeline:RunLogger.committed", "after"),
    "before_answer": FaultPoint("runtime.engine:Engine.submit", "after"),
    "before_call": FaultPoint("runtime.actors.node_workers:NodeWorkers.send", "before", _called_node),
    "after_call": FaultPoint("runtime.actors.run_actor:RunActor._call_ended", "before", _ended_call),
    "before_route": FaultPoint("runtime.actors.run_actor:RunActor._committed", "before", _completes_a_step),
    "before_terminal": FaultPoint("runtime.journal:JournalWriter.append", "before", _terminal_entry),
    "recovery_announced": FaultPoint("runtime.log.pipeline:RunLogger.committed", "after", _announced_run),
    "run_folding": FaultPoint("runtime.actors.recovery:History.fold", "before", _folded_run),
    "recovery_rebuilt": FaultPoint("runtime.actors.rebuilding:Rebuilder._rebuild", "after", _live_run),
    "before_migration_commit": FaultPoint("runtime.journal.sqlite.schema:transaction", "leaving"),
    "before_retention_commit": FaultPoint("runtime.journal:SqliteJournal._change", "leaving", _deleting_runs),
}
"""The points by name.

Accepting a run: `request_parsed` and `before_answer` stand around it. The way of a decision to the disk, and to those who watch:
`before_append`, `after_append`, `before_commit`, `within_commit` (written, not yet committed), `before_watermark` (committed, not
yet noted beside the database), `after_commit`, `before_publish`, `after_publish`. A step: `before_call` (its attempt is journaled
and about to be made), `after_call` (its tool has returned, nothing is decided on that), `before_route` (its completion is
committed, nothing that follows has begun); `before_terminal` comes before the record that ends a run. Rebuilding a run:
`recovery_announced`, `run_folding`, `recovery_rebuilt`. The last two: a step of a migration, or the deletion of old runs, is made
and not yet committed.
"""


def kill() -> None:
    """End this process at once, as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def raising(error: BaseException) -> Callable[[], None]:
    """Return an action that raises `error`."""

    def action() -> None:
        raise error

    return action


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a point.

    Attributes:
        point: Its name.
        action: Called there, in the thread of the passage; what it raises is raised there.
        passage: At which passage, from 1; 0 is every one.
        about: Only passages count whose subject contains this text.
    """

    point: str
    action: Callable[[], None]
    passage: int = 1
    about: str = ""

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Return the fault that `POINT:PASSAGE:kill` or `POINT:PASSAGE:raise` means, with `:ABOUT` behind it or not.

        Raises:
            ValueError: It means none.
        """
        name, passage, action, *about = text.split(":", 3)
        actions = {"kill": kill, "raise": raising(RuntimeError(f"injected at {name}"))}
        if name not in POINTS or action not in actions:
            raise ValueError(f"No fault {text!r}; points: {', '.join(POINTS)}; actions: {', '.join(actions)}.")
        return cls(name, actions[action], int(passage), about[0] if about else "")


@contextmanager
def injected(*faults: Fault) -> Iterator[None]:
    """Let faults happen inside the block. A name that is not in `POINTS` is a `KeyError`."""
    undo: list[tuple[Any, str, Any]] = []
    try:
        for fault in faults:
            owner, name = _resolve(POINTS[fault.point].target)
            original = vars(owner)[name]
            undo.append((owner, name, original))
            setattr(owner, name, _wrapped(original, fault))
        yield
    finally:
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)


def function_at(point: str) -> Callable[..., Any]:
    """Return the function that a point is at.

    Raises:
        LookupError: There is none any more: the table is out of date.
    """
    target = POINTS[point].target
    try:
        owner, name = _resolve(target)
        function = vars(owner)[name]
    except (ImportError, AttributeError, KeyError) as error:
        raise LookupError(f"Fault point {point!r}: there is no {target}.") from error
    if not inspect.isfunction(function):
        raise LookupError(f"Fault point {point!r}: {target} is no function but {function!r}.")
    return function


def _resolve(target: str) -> tuple[Any, str]:
    """Return what holds the function, and its name there."""
    module, _, path = target.partition(":")
    *holders, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for holder in holders:
        owner = getattr(owner, holder)
    return owner, name


def _wrapped(original: Callable[..., Any], fault: Fault) -> Callable[..., Any]:
    point, turn = POINTS[fault.point], _Turn(fault)

    def passed(when: When, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if point.when == when:
            turn.pass_by(point.subject(*arguments, **named))

    @functools.wraps(original)
    def around(*arguments: Any, **named: Any) -> Any:
        passed("before", arguments, named)
        result = original(*arguments, **named)
        passed("after", arguments, named)
        return result

    @functools.wraps(original)
    async def around_async(*arguments: Any, **named: Any) -> Any:
        passed("before", arguments, named)
        result = await original(*arguments, **named)
        passed("after", arguments, named)
        return result

    @functools.wraps(original)
    @contextmanager
    def around_block(*arguments: Any, **named: Any) -> Iterator[Any]:
        with original(*arguments, **named) as value:
            yield value
            passed("leaving", arguments, named)

    if point.when == "leaving":
        return around_block
    return around_async if inspect.iscoroutinefunction(original) else around


class _Turn:
    """Counts passages, of any thread, and acts at the right one."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._lock = threading.Lock()
        self._passed = 0

    def pass_by(self, subject: str | None) -> None:
        if subject is None or self._fault.about not in subject:
            return
        with self._lock:
            self._passed += 1
            is_due = self._fault.passage in (0, self._passed)
        if is_due:
            self._fault.action()
