"""What a tool is, and what it may ask of the engine that calls it.

A leaf module: the engine, the registry and every tool depend on it, and it depends on none of them. A tool is a plain
function `fn(state, **config)`; the decorator reads its signature once, so that a wrong `config` is found when a graph is
created and never while it runs.
"""

import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, create_model

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


class ToolLog(Protocol):
    """Lines written here join the run's log as `tool_log` records, in order, at the moment they are written.

    Field values must be JSON; anything else is shown by its `repr`.
    """

    def debug(self, message: str, **fields: Any) -> None: ...
    def info(self, message: str, **fields: Any) -> None: ...
    def warning(self, message: str, **fields: Any) -> None: ...
    def error(self, message: str, **fields: Any) -> None: ...


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
    """

    run_id: str
    node: str
    iteration: int
    attempt: int
    idempotency_key: str
    log: ToolLog
    datasets_dir: Path | None = None


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

    Raises:
        TypeError: The function has no `state` parameter, or takes positional-only, `*args` or `**kwargs` parameters.
        ValueError: `version` is not dotted numbers; `isolation` is unknown; `memory_mb` is no whole number of MiB from 64
            on, or is given to a tool that shares the engine's process.
    """

    def make(function: Callable[..., Any]) -> Tool:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", version):
            raise ValueError(
                f"version of tool {function.__name__!r} is {version!r}; use dotted numbers such as '1' or '1.4.2'"
            )
        _check_isolation(function.__name__, isolation, memory_mb)
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
