"""The tools one server offers, found by `name` (its latest version) or `name@version`.

Filled once at start by whoever composes the process, then only read by the engine: from the built-in modules, from
installed packages (entry points of the group `workflow_engine.tools`), and from the operator's own files. Plug-ins are
trusted code: they run in this process. Invariant: a plug-in adds all of its tools or none of them, and one that fails
is listed in `Registry.broken` instead of stopping the server.
"""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Final

from tools.contract import Tool

_BUILT_IN: Final = ("tools.examples", "tools.http_get", "tools.data_quality")
_GROUP: Final = "workflow_engine.tools"


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plug-in that added nothing.

    Attributes:
        name: Module name, entry point name or resolved file path.
        error: Type and message of what went wrong.
    """

    name: str
    error: str


class Registry:
    """A `ToolSource`. Iterating gives every version of every tool, sorted by name and then from oldest to latest."""

    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}  # by reference, in the order of `_order`
        self._latest: dict[str, Tool] = {}  # by name
        self._origins: dict[str, str] = {}  # by reference
        self._broken: list[BrokenPlugin] = []

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    @property
    def broken(self) -> tuple[BrokenPlugin, ...]:
        """The plug-ins that could not be loaded, in the order they were tried."""
        return tuple(self._broken)

    def find(self, reference: str) -> Tool | None:
        """Return the tool of that `name` (its latest version) or `name@version`, or None."""
        return self._tools.get(reference) or self._latest.get(reference)

    def names(self) -> tuple[str, ...]:
        """Every tool name, sorted, without versions."""
        return tuple(self._latest)

    def add(self, tool: Tool, *, origin: str | None = None) -> None:
        """Add one version of a tool.

        Args:
            tool: The tool; other versions of it may be there already.
            origin: Where the tool comes from, for error messages; defaults to the module of its function.

        Raises:
            ValueError: The registry has that `name@version` already, the name is empty or contains `@`, or a tool for
                another process is inside a function, where that process cannot find it.
        """
        if tool.isolation is not None and "<locals>" in tool.function.__qualname__:
            raise ValueError(
                f"tool {tool.reference} has isolation={tool.isolation!r} and is defined inside a function, where another "
                "process cannot find it; move it to the top level of its module"
            )
        self._add_all([tool], origin or tool.function.__module__)

    def load_module(self, name: str) -> None:
        """Import the module `name` and add the tools it defines; a failure goes to `broken`."""
        with self._reporting(name):
            self._add_all(_tools_of(importlib.import_module(name)), name, f"module:{name}")

    def load_entry_points(self) -> None:
        """Add the tools of every installed entry point of the group `workflow_engine.tools`; failures go to `broken`.

        An entry point names a module, a `Tool`, a list of them, or a callable without parameters that returns either.
        """
        found: list[EntryPoint] = []
        with self._reporting(_GROUP):
            found = sorted(entry_points(group=_GROUP), key=lambda point: (point.name, point.value))
        for point in found:
            self._load_entry_point(point)

    def _load_entry_point(self, point: EntryPoint) -> None:
        with self._reporting(point.name):
            self._add_all(_tools_in(point.load()), point.name, f"entry_point:{point.name}")

    def load_file(self, path: Path) -> None:
        """Import the Python file at `path` and add the tools it defines; a failure goes to `broken`.

        The file gets a private module name of its own. Its folder does not join the import path.
        """
        path = path.resolve()
        with self._reporting(str(path)):
            self._add_all(_tools_of(_import_file(path)), str(path), f"file:{path}")

    def load_origin(self, origin: str) -> None:
        """Load again, in another process, what a registry gave tools as their `origin`; a failure goes to `broken`."""
        kind, _, place = origin.partition(":")
        match kind:
            case "module":
                self.load_module(place)
            case "file":
                self.load_file(Path(place))
            case _:
                for point in entry_points(group=_GROUP, name=place):
                    self._load_entry_point(point)

    def _add_all(self, added: Iterable[Tool], origin: str, loadable: str | None = None) -> None:
        tools, origins = dict(self._tools), dict(self._origins)
        for tool in added:
            if tool.isolation is not None and loadable is not None:
                tool = replace(tool, origin=loadable)
            if not tool.name or "@" in tool.name:
                raise ValueError(f"tool name {tool.name!r} of {origin} must not be empty or contain '@'")
            if tool.reference in tools:
                first = origins[tool.reference]
                raise ValueError(f"tool {tool.reference} is defined twice: by {first} and by {origin}")
            tools[tool.reference] = tool
            origins[tool.reference] = origin
        ordered = sorted(tools.values(), key=_order)
        self._tools = {tool.reference: tool for tool in ordered}
        self._latest = {tool.name: tool for tool in ordered}  # later versions replace earlier ones
        self._origins = origins

    @contextmanager
    def _reporting(self, name: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            self._broken.append(BrokenPlugin(name, f"{type(error).__name__}: {error}"))


def default_registry(files: Sequence[Path] = ()) -> Registry:
    """Return a registry of the built-in tools, then those of installed packages, then those in `files`.

    Never raises because of a plug-in: see `Registry.broken`. The built-in modules are imported here and by name, so
    that importing `tools` alone stays cheap.
    """
    registry = Registry()
    for name in _BUILT_IN:
        registry.load_module(name)
    registry.load_entry_points()
    for path in files:
        registry.load_file(path)
    return registry


def _order(tool: Tool) -> tuple[str, tuple[int, ...], str]:
    return tool.name, tuple(int(part) for part in tool.version.split(".")), tool.version


def _import_file(path: Path) -> ModuleType:
    name = f"_workflow_engine_file_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # type hints and dataclasses of the file are resolved through this entry
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _tools_in(found: object) -> list[Tool]:
    """Return the tools that an entry point's object stands for."""
    if isinstance(found, ModuleType):
        return _tools_of(found)
    if callable(found) and not isinstance(found, Tool):
        found = found()
    tools: list[Tool] = []
    for tool in found if isinstance(found, Iterable) else [found]:
        if not isinstance(tool, Tool):
            raise TypeError(f"expected a Tool, got {tool!r}; decorate the function with @tool")
        tools.append(tool)
    return _some(tools)


def _tools_of(module: ModuleType) -> list[Tool]:
    """Return the tools in the namespace of `module`, without those that it merely imports from somewhere else."""
    found = {id(value): value for value in vars(module).values() if isinstance(value, Tool)}
    return _some([tool for tool in found.values() if _belongs_to(module, tool)])


def _belongs_to(module: ModuleType, tool: Tool) -> bool:
    home = tool.function.__module__
    if home == module.__name__ or home.startswith(f"{module.__name__}."):
        return True
    # The function is from elsewhere. The tool was still made here, unless that other module has this very object.
    return home not in sys.modules or not any(value is tool for value in vars(sys.modules[home]).values())


def _some(tools: list[Tool]) -> list[Tool]:
    if not tools:
        raise LookupError("no tools inside; decorate a function with @tool")
    return tools
