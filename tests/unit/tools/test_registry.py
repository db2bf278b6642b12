"""The registry: finding by name and version, and loading plug-ins all or none without ever raising because of one."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tools import Registry, Tool, ToolSource, default_registry, tool
from tools.registry import BrokenPlugin

WriteFile = Callable[..., Path]
Install = Callable[[str, str], None]


def make_tool(name: str, version: str = "1") -> Tool:
    return tool(name=name, version=version)(lambda state: None)


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    """Write a tool module with the contract's names imported; return its path."""

    def write(source: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from tools import Tool, ToolError, tool\n" + dedent(source))
        return path

    return write


@pytest.fixture
def install(tmp_path: Path, write_file: WriteFile, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lay out a package `wfe_plugin` as an installer does: its module, and a dist-info with the entry points."""
    before = set(sys.modules)

    def put(entry_points: str, source: str) -> None:
        write_file(source, "wfe_plugin.py")
        info = tmp_path / "wfe_plugin-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wfe-plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[workflow_engine.tools]\n{entry_points}\n")
        monkeypatch.syspath_prepend(tmp_path)

    yield put
    for name in set(sys.modules) - before:
        if name.startswith("wfe_plugin"):
            del sys.modules[name]


def references(registry: Registry) -> list[str]:
    return [found.reference for found in registry]


def only_broken(registry: Registry) -> BrokenPlugin:
    """Return the one broken plug-in of a registry without tools."""
    assert len(registry) == 0
    (broken,) = registry.broken
    return broken


# --- finding ---------------------------------------------------------------------------------------------------------


def test_name_finds_the_latest_version_in_numeric_order() -> None:
    registry = Registry()
    for version in ("1.10", "2", "1.9", "10.0.1", "10"):
        registry.add(make_tool("a", version))
    source: ToolSource = registry
    latest, old = source.find("a"), source.find("a@1.9")
    assert latest is not None
    assert old is not None
    assert (latest.version, old.version) == ("10.0.1", "1.9")
    assert references(registry) == ["a@1.9", "a@1.10", "a@2", "a@10", "a@10.0.1"]


@pytest.mark.parametrize("reference", ["", "b", "a@", "a@2", "@1", "a@1@1", "A"])
def test_unknown_reference_finds_nothing(reference: str) -> None:
    registry = Registry()
    registry.add(make_tool("a"))
    assert registry.find(reference) is None


def test_names_are_sorted_and_each_listed_once() -> None:
    registry = Registry()
    for name, version in (("b", "1"), ("a", "2"), ("a", "1")):
        registry.add(make_tool(name, version))
    assert list(registry.names()) == ["a", "b"]
    assert len(registry) == 3


def test_duplicate_version_is_refused_and_names_both_origins() -> None:
    registry = Registry()
    registry.add(make_tool("a"), origin="here.py")
    with pytest.raises(ValueError, match=r"a@1 is defined twice: by here\.py and by tests\.unit\.tools\.test_registry"):
        registry.add(make_tool("a"))
    assert len(registry) == 1


@pytest.mark.parametrize("name", ["a@1", "@", "b@"])
def test_name_that_reads_like_a_reference_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must not be empty or contain '@'"):
        Registry().add(make_tool(name))


# --- the operator's own files ----------------------------------------------------------------------------------------


def test_file_adds_the_tools_it_defines_and_none_it_imports(write_file: WriteFile) -> None:
    path = write_file(
        """
        from os.path import join
        from tools.examples import echo, sleep

        @tool
        def shout(state, text: str): return {"text": text.upper()}

        alias = shout
        borrowed = tool(name="borrowed")(lambda state: None)
        wrapped = tool(name="again", version="2")(echo.function)
        """
    )
    registry = Registry()
    registry.load_file(path)
    assert registry.broken == ()
    assert references(registry) == ["again@2", "borrowed@1", "shout@1"]
    shout = registry.find("shout")
    assert shout is not None
    assert shout({}, **shout.arguments({"text": "hi"})) == {"text": "HI"}


def test_file_may_use_annotations_as_text_and_its_own_types(write_file: WriteFile) -> None:
    path = write_file(
        """
        from pydantic import BaseModel
        class Point(BaseModel):
            x: int
        @tool
        def move(state, to: "Point"): return {"x": to.x}
        """
    )
    registry = Registry()
    registry.load_file(path)
    move = registry.find("move")
    assert move is not None
    assert move({}, **move.arguments({"to": {"x": 3}})) == {"x": 3}


def test_relative_path_is_resolved(write_file: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file("@tool\ndef mine(state): ...\n")
    monkeypatch.chdir(tmp_path)
    registry = Registry()
    registry.load_file(Path("mine.py"))
    registry.load_file(Path("missing.py"))
    assert references(registry) == ["mine@1"]
    assert [broken.name for broken in registry.broken] == [str(tmp_path / "missing.py")]


def test_files_of_the_same_name_in_two_folders_are_two_modules(write_file: WriteFile) -> None:
    registry = Registry()
    for folder in ("one", "two"):
        source = f"def value(): return '{folder}'\n@tool(name='{folder}')\ndef mine(state): return value()\n"
        registry.load_file(write_file(source, f"{folder}/mine.py"))
    assert registry.broken == ()
    assert [found({}) for found in registry] == ["one", "two"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import wfe_no_such_module", "ModuleNotFoundError: No module named 'wfe_no_such_module'"),
        ("def broken(:", "SyntaxError: invalid syntax"),
        ("@tool\ndef first(data): ...", "TypeError: tool 'first' must take 'state'"),
        ("@tool(version='x')\ndef first(state): ...", "ValueError: version of tool 'first'"),
        ("def first(state): ...", "LookupError: no tools inside"),
        ("from tools.examples import echo", "LookupError: no tools inside"),
        ("@tool\ndef good(state): ...\nraise OSError('late')", "OSError: late"),
    ],
)
def test_file_that_fails_is_reported_and_adds_nothing(write_file: WriteFile, source: str, error: str) -> None:
    before, path = set(sys.modules), write_file(source)
    registry = Registry()
    registry.load_file(path)
    broken = only_broken(registry)
    assert broken.name == str(path)
    assert broken.error.startswith(error)
    if not error.startswith("LookupError"):
        assert not {name for name in set(sys.modules) - before if name.startswith("_workflow_engine_file")}


def test_missing_folder_and_wrong_ending_are_reported(write_file: WriteFile, tmp_path: Path) -> None:
    registry = Registry()
    for path in (tmp_path / "none.py", tmp_path, write_file("@tool\ndef mine(state): ...", "mine.txt")):
        registry.load_file(path)
    errors = [broken.error.partition(":")[0] for broken in registry.broken]
    assert errors == ["FileNotFoundError", "ImportError", "ImportError"]
    assert len(registry) == 0


def test_file_with_one_duplicate_adds_none_of_its_tools(write_file: WriteFile) -> None:
    registry = Registry()
    registry.add(make_tool("b"), origin="first")
    path = write_file("@tool\ndef a(state): ...\n@tool\ndef b(state): ...\n@tool\ndef c(state): ...\n")
    registry.load_file(path)
    assert references(registry) == ["b@1"]
    (broken,) = registry.broken
    assert broken.error == f"ValueError: tool b@1 is defined twice: by first and by {path}"


def test_interrupt_while_loading_is_not_swallowed(write_file: WriteFile) -> None:
    with pytest.raises(KeyboardInterrupt):
        Registry().load_file(write_file("raise KeyboardInterrupt"))


# --- entry points ----------------------------------------------------------------------------------------------------

PLUGIN = """
@tool
def one(state): ...
@tool(name="two")
def second(state): ...
pair = [one, second]
def give_one(): return one
def give_pair(): yield from pair
def give_nothing(): return []
def give_text(): return "one"
def needs(argument): return one
def leave(): raise SystemExit(2)
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("wfe_plugin", ["one@1", "two@1"]),
        ("wfe_plugin:one", ["one@1"]),
        ("wfe_plugin:pair", ["one@1", "two@1"]),
        ("wfe_plugin:give_one", ["one@1"]),
        ("wfe_plugin:give_pair", ["one@1", "two@1"]),
    ],
    ids=["module", "tool", "list", "callable", "generator"],
)
def test_entry_point_adds_what_it_names(install: Install, value: str, expected: list[str]) -> None:
    install(f"mine = {value}", PLUGIN)
    registry = Registry()
    registry.load_entry_points()
    assert registry.broken == ()
    assert references(registry) == expected


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("wfe_plugin:missing", "AttributeError"),
        ("wfe_plugin_missing", "ModuleNotFoundError"),
        ("wfe_plugin:give_nothing", "LookupError"),
        ("wfe_plugin:give_text", "TypeError: expected a Tool, got 'o'"),
        ("wfe_plugin:needs", "TypeError"),
        ("wfe_plugin:leave", "SystemExit: 2"),
    ],
)
def test_broken_entry_point_is_reported_by_its_name(install: Install, value: str, error: str) -> None:
    install(f"mine = {value}", PLUGIN)
    registry = Registry()
    registry.load_entry_points()
    broken = only_broken(registry)
    assert broken.name == "mine"
    assert broken.error.startswith(error)


def test_broken_entry_point_does_not_stop_the_next_one(install: Install) -> None:
    install("a = wfe_plugin:leave\nb = wfe_plugin:one\nc = wfe_plugin:pair", PLUGIN)
    registry = Registry()
    registry.load_entry_points()
    assert references(registry) == ["one@1"]
    assert [broken.name for broken in registry.broken] == ["a", "c"]
    assert registry.broken[1].error == "ValueError: tool one@1 is defined twice: by b and by c"


def test_unreadable_entry_point_table_is_reported(install: Install) -> None:
    install("this line names nothing", PLUGIN)
    registry = Registry()
    registry.load_entry_points()
    assert only_broken(registry).name == "workflow_engine.tools"


# --- modules and defaults --------------------------------------------------------------------------------------------


def test_package_adds_the_tools_of_its_own_submodules(
    write_file: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file("from tools.examples import echo\nfrom wfe_package.inner import mine\n", "wfe_package/__init__.py")
    write_file("@tool\ndef mine(state): ...\n@tool\ndef hidden(state): ...\n", "wfe_package/inner.py")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry()
    registry.load_module("wfe_package")
    assert references(registry) == ["mine@1"]


def test_default_registry_has_the_examples_with_their_effects() -> None:
    found = {
        entry.name: entry for entry in default_registry() if not entry.function.__module__.startswith("tools.data")
    }
    assert set(found) == {
        "append_value",
        "block",
        "calculate",
        "copy_value",
        "echo",
        "fail",
        "fail_times",
        "http_get",
        "increment",
        "random_choice",
        "set_values",
        "sleep",
        "wait_forever",
    }
    assert {name for name, entry in found.items() if entry.effect != "pure"} == {"http_get"}
    assert {name for name, entry in found.items() if not entry.is_async} == {"block"}
    assert all(entry.description for entry in found.values())


def test_default_registry_loads_entry_points_and_then_files(install: Install, write_file: WriteFile) -> None:
    install("mine = wfe_plugin:one", PLUGIN)
    path = write_file("@tool\ndef one(state): ...\n", "mine.py")
    registry = default_registry([path])
    assert registry.find("one") is not None
    (broken,) = [broken for broken in registry.broken if broken.name == str(path)]
    assert broken.error == f"ValueError: tool one@1 is defined twice: by mine and by {path}"


def test_importing_tools_alone_imports_neither_polars_nor_an_http_client() -> None:
    code = "import sys, tools; print(sorted({'polars', 'httpx2', 'tools.examples'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_broken_plugin_is_frozen() -> None:
    broken: Any = BrokenPlugin("a", "b")
    with pytest.raises(AttributeError):
        broken.name = "c"


# --- tools for processes of their own --------------------------------------------------------------------------------

ISOLATED = """
@tool(isolation="process")
def apart(state): ...
@tool
def shared(state): ...
"""


def again(registry: Registry, reference: str) -> Registry:
    """Return what another process finds where a tool says that it comes from."""
    found = registry.find(reference)
    assert found is not None
    assert found.origin is not None
    other = Registry()
    other.load_origin(found.origin)
    assert other.find(reference) is not None
    return other


def test_an_isolated_tool_of_a_file_is_found_again_in_it(write_file: WriteFile) -> None:
    registry, path = Registry(), write_file(ISOLATED)
    registry.load_file(path)
    assert references(again(registry, "apart@1")) == ["apart@1", "shared@1"]
    assert [found.origin for found in registry] == [f"file:{path}", None]


def test_an_isolated_tool_of_a_module_is_found_again_in_it(
    write_file: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(ISOLATED, "wfe_isolated.py")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry()
    registry.load_module("wfe_isolated")
    again(registry, "apart@1")
    sys.modules.pop("wfe_isolated")


def test_an_isolated_tool_that_an_entry_point_makes_is_found_again_through_it(install: Install) -> None:
    install(
        "mine = wfe_plugin:make", "def make():\n    return tool(isolation='process', name='made')(lambda state: None)\n"
    )
    registry = Registry()
    registry.load_entry_points()
    again(registry, "made@1")


def test_an_origin_where_nothing_is_any_more_is_reported(tmp_path: Path) -> None:
    registry = Registry()
    registry.load_origin(f"file:{tmp_path / 'gone.py'}")
    assert only_broken(registry).error.startswith("FileNotFoundError")


def test_an_isolated_tool_inside_a_function_is_refused() -> None:
    @tool(isolation="process")
    def hidden(state: dict[str, Any]) -> None: ...

    with pytest.raises(ValueError, match="move it to the top level"):
        Registry().add(hidden)
