"""What a tool is, and what it may ask of the engine that calls it.

A leaf module: the engine, the registry and every tool depend on it, and it depends on none of them. A tool is a plain
function `fn(state, **config)`; the decorator reads its signature once, so that a wrong `config` is found when a graph is
created and never while it runs.
"""

import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, create_model

from tools.progress import Pace

Effect = Literal["pure", "idempotent", "once"]
"""What repeating a call may do to the world outside; `None` (undeclared) promises nothing."""

Isolation = Literal["process"]
"""Where a tool runs instead of the engine's own process."""

MIN_MEMORY_MB: Final = 64
"""Least memory that a process for tools can begin with."""

_CONTEXT: Final = "context"
_NAMED: Final = inspect.Parameter.POSITIONAL_OR_KEYWORD


class ToolError(Exception):
    """Raised by a tool to fail its step with a code of its own.

    Args:
        message: What happened and what to do, for the person who wrote the graph.
        code: Stable upper-case word that clients can branch on.
        retryable: False ends the step at once, whatever attempts are left.
    """

    def __init__(self, message: str, *, code: str = "TOOL_ERROR", retryable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class CallCancelled(BaseException):
    """Ends a call that nobody waits for any more, without counting as its failure; see `ToolContext.check_cancelled`.

    Let it pass. It is no `Exception`, like the cancellations of event loops, so that `except Exception` does not stop it.
    """


class ToolLog(Protocol):
    """Lines written here join the run's log as `tool_log` records, in order, at the moment they are written.

    Field values must be JSON; anything else is shown by its `repr`.
    """

    def debug(self, message: str, **fields: Any) -> None: ...
    def info(self, message: str, **fields: Any) -> None: ...
    def warning(self, message: str, **fields: Any) -> None: ...
    def error(self, message: str, **fields: Any) -> None: ...


class Artifacts(Protocol):
    """The files that a run leaves behind for people, and what it must be able to read again; see docs/datasets.md.

    Safe to call from a tool's thread, and in a process of its own. Methods wait for the disk.
    """

    def write(self, name: str, data: bytes | Path, media_type: str) -> dict[str, Any]:
        """Give the run an artifact: bytes, or a copy of a file. The same again changes nothing; other content replaces it.

        Args:
            name: 1 to 120 of the characters `A-Z a-z 0-9 . _ -`, not beginning with a dot.
            data: The content, as bytes or as the path of a file.
            media_type: What it is, such as `text/csv`.

        Returns:
            A reference for the state: `{"artifact": name, "sha256": <hex>, "bytes": <size>}`. It stands for this very
            content, also when the name gets another one.

        Raises:
            ToolError: `ARTIFACT_INVALID`, `ARTIFACT_TOO_LARGE` (naming limit and observed) or `ARTIFACT_NOT_WRITTEN`.
        """
        ...

    def read(self, reference: Mapping[str, Any]) -> bytes:
        """Return the content that a reference stands for.

        Raises:
            ToolError: `ARTIFACT_INVALID`, `ARTIFACT_MISSING` or `ARTIFACT_TOO_LARGE`.
        """
        ...

    def keep(self, sha256: str, data: bytes, objects: Any = None) -> None:
        """Hold input that was read, so that `read` finds it by its digest as long as the run is kept.

        Args:
            sha256: Digest of `data`, in hex.
            data: What was read.
            objects: An `ObjectStore` that has it, to share the file instead of copying it.

        Raises:
            ToolError: `ARTIFACT_NOT_WRITTEN`.
        """
        ...


@dataclass(slots=True)
class CallControl:
    """What engine and context of one call share.

    Attributes:
        is_cancelled: Nobody waits for the call any more. The engine sets it in its event loop; any thread may read it.
        pace: Which reports of progress are told.
    """

    is_cancelled: bool = False
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Who is calling: handed to tools that have a parameter named `context`.

    Attributes:
        iteration: Number of the innermost loop iteration the step runs in, from 1.
        attempt: Number of this try of the step, from 1.
        idempotency_key: `run_id/node/iteration`, in a sub-graph or map item with its path before the node; the same
            for every attempt of one step, also after a crash.
        log: The run's log; safe to call from a tool's thread.
        datasets_dir: Folder that dataset files are read from and written to; None when the operator set none.
        artifacts: Where the tool leaves files for people; None when the operator set no folder.
        control: The engine's side of the call; tools leave it alone.
    """

    run_id: str
    node: str
    iteration: int
    attempt: int
    idempotency_key: str
    log: ToolLog
    datasets_dir: Path | None = None
    artifacts: Artifacts | None = field(default=None, kw_only=True)
    control: CallControl = field(default_factory=CallControl, kw_only=True, repr=False, compare=False)

    def progress(self, done: int, total: int, unit: str = "items", message: str = "progress") -> None:
        """Tell the run's log that so much of the work is done; those who watch the run see a bar move.

        Call it as often as you like, from one thread at a time: of each stage of the work the first report, the last, and one
        for each twentieth between them become `tool_log` records, with the fields `done`, `total` and `unit`. A stage ends
        with all of its work done, or when `done` falls. `message` names the stage.

        Raises:
            CallCancelled: As `check_cancelled` does.
            ValueError: Not 0 <= `done` <= `total`.
        """
        self.check_cancelled()
        if self.control.pace.is_due(done, total, unit, message):
            self.log.info(message, done=done, total=total, unit=unit)

    def check_cancelled(self) -> None:
        """Do nothing, unless the run was cancelled or the step is out of time; for plain tools, between pieces of work.

        A tool in a process of its own need not ask, for its process is killed; this does nothing there. An async tool is
        cancelled where it awaits, and asks only in threads that it started itself.

        Raises:
            CallCancelled: Nobody waits for this call any more. Let it pass, and the call's thread is free again.
        """
        if self.control.is_cancelled:
            raise CallCancelled(f"nobody waits for attempt {self.attempt} of node {self.node!r} any more")


@dataclass(frozen=True, slots=True)
class Tool:
    """One version of a registered function. Calling the object calls the function, so that tests need no engine.

    Attributes:
        effect: See `Effect`; decides whether a step may run again after a crash and how often it is tried.
        parameters: Model of the parameters after `state`; refuses unknown keys and does not coerce types.
        writes: State keys the tool is known to write, for the verdict's warning about parallel writers.
        is_async: False for a plain function; the engine then calls it in a thread.
        isolation: `process` lets every call run in another process, one call at a time.
        memory_mb: Address space that this process may have, in MiB; None is the engine's own limit.
        origin: Where that process loads the tool from: `module:NAME`, `file:PATH` or `entry_point:NAME`.
        cpu_bound: Calls of such plain functions run in threads of their own kind, as many as there are cores.
    """

    name: str
    version: str
    description: str
    effect: Effect | None
    function: Callable[..., Any]
    parameters: type[BaseModel]
    writes: tuple[str, ...]
    is_async: bool
    takes_context: bool
    isolation: Isolation | None = None
    memory_mb: int | None = None
    origin: str | None = None
    cpu_bound: bool = False

    @property
    def reference(self) -> str:
        """`name@version`: names exactly this tool for ever."""
        return f"{self.name}@{self.version}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def arguments(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments that `config` (a JSON object) stands for, defaults filled in.

        Raises:
            pydantic.ValidationError: A key is unknown, missing or of the wrong type.
        """
        model = self.parameters.model_validate_json(json.dumps(dict(config)), strict=True)
        return {name: getattr(model, name) for name in type(model).model_fields}


class ToolSource(Protocol):
    """Where the engine finds tools: a registry, or whatever an embedding program has instead."""

    def find(self, reference: str) -> Tool | None:
        """Return the tool of that `name` (its latest version) or `name@version`, or None."""
        ...

    def names(self) -> Collection[str]:
        """Every name that `find` knows, for suggesting the nearest one to a typo."""
        ...


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    version: str = "1",
    effect: Effect | None = None,
    description: str | None = None,
    writes: Collection[str] = (),
    isolation: Isolation | None = None,
    memory_mb: int | None = None,
    cpu_bound: bool = False,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str = "1",
    effect: Effect | None = None,
    description: str | None = None,
    writes: Collection[str] = (),
    isolation: Isolation | None = None,
    memory_mb: int | None = None,
    cpu_bound: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Turn `fn(state, **config)` into a tool; use as `@tool` or `@tool(name=..., effect=...)`.

    The function gets the state as a dict of its own and returns the keys to change as a dict, or None. The parameters after
    `state` are the node's `config`; a parameter named `context` is filled with a `ToolContext` instead.

    Args:
        function: The function, where the decorator is used without arguments.
        name: Defaults to the function's name.
        version: Dotted numbers (`1`, `1.4.2`); a graph may ask for one as `name@version`.
        effect: What repeating a call may do; see `Effect`.
        description: Defaults to the first paragraph of the docstring.
        writes: State keys the tool writes, where they do not depend on its config.
        isolation: `process` for what may crash, hang in native code or take too much memory: each call runs in another
            process, which is killed when the call's time is up. The tool must be at the top level of a module or file.
        memory_mb: Address space that this process may have, in MiB; by default what the engine's settings say.
        cpu_bound: True for a plain function that computes for long, rather than waits: at most one call for each core runs
            at the same time, further ones queue, and no other tool waits for them.

    Raises:
        TypeError: The function has no `state` parameter, or takes positional-only, `*args` or `**kwargs` parameters.
        ValueError: `version` is not dotted numbers; `isolation` is unknown; `memory_mb` is no whole number of MiB from 64
            on, or is given to a tool that shares the engine's process; `cpu_bound` is given to an async function, or
            together with `isolation`.
    """

    def make(function: Callable[..., Any]) -> Tool:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", version):
            raise ValueError(
                f"version of tool {function.__name__!r} is {version!r}; use dotted numbers such as '1' or '1.4.2'"
            )
        _check_isolation(function.__name__, isolation, memory_mb)
        if cpu_bound:
            _check_cpu_bound(function, isolation)
        parameters = list(inspect.signature(function).parameters.values())
        if not parameters or parameters[0].name != "state" or parameters[0].kind is not _NAMED:
            raise TypeError(f"tool {function.__name__!r} must take 'state' as its first parameter")
        doc = (inspect.getdoc(function) or "").split("\n\n")[0]
        return Tool(
            name=name or function.__name__,
            version=version,
            description=" ".join((description or doc).split()),
            effect=effect,
            function=function,
            parameters=_parameters_model(function, parameters[1:]),
            writes=tuple(writes),
            is_async=inspect.iscoroutinefunction(function),
            takes_context=any(parameter.name == _CONTEXT for parameter in parameters[1:]),
            isolation=isolation,
            memory_mb=memory_mb,
            origin=None if isolation is None else _origin(function),
            cpu_bound=cpu_bound,
        )

    return make if function is None else make(function)


def _check_isolation(name: str, isolation: object, memory_mb: object) -> None:
    if isolation not in (None, "process"):
        raise ValueError(f"isolation of tool {name!r} is {isolation!r}; use 'process', or leave it out")
    if memory_mb is None:
        return
    if isolation is None:
        raise ValueError(f"tool {name!r} has memory_mb but shares the engine's memory; add isolation='process'")
    if type(memory_mb) is not int or memory_mb < MIN_MEMORY_MB:
        raise ValueError(
            f"memory_mb of tool {name!r} is {memory_mb!r}; use a whole number of MiB from {MIN_MEMORY_MB} on"
        )


def _check_cpu_bound(function: Callable[..., Any], isolation: object) -> None:
    if inspect.iscoroutinefunction(function):
        raise ValueError(f"tool {function.__name__!r} is cpu_bound and async; make it a plain function, with 'def'")
    if isolation is not None:
        raise ValueError(
            f"tool {function.__name__!r} is cpu_bound and has a process of its own, which counts by itself; "
            "leave out either cpu_bound or isolation"
        )


def _origin(function: Callable[..., Any]) -> str:
    """Return where another process finds the module of a function; a registry that knows better says so itself."""
    if function.__module__ != "__main__":
        return f"module:{function.__module__}"
    spec, file = function.__globals__.get("__spec__"), function.__globals__.get("__file__")
    return f"file:{Path(file).resolve()}" if spec is None and file is not None else f"module:{spec and spec.name}"


def _parameters_model(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> type[BaseModel]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(
                f"tool {function.__name__!r} may not take {parameter}: its config must have named parameters"
            )
        if parameter.name != _CONTEXT:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints.get(parameter.name, Any), default)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    return create_model(f"{function.__name__}_parameters", __config__=config, **fields)
