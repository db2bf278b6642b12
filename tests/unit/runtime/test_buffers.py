"""Nothing piles up without a bound: every buffer in the code is in the inventory, and does at its bound what that says."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

import anyio
import pytest

from api.buffers import BUFFERS as SERVER_BUFFERS
from api.buffers import Intake
from api.settings import MAX_BODIES_BYTES, MAX_REQUESTS, MAX_SOCKETS
from runtime import Settings
from runtime.actors import tool_host
from runtime.actors.mailbox import Mailbox, Request
from runtime.buffers import BUFFERS, Buffer, WhenFull
from runtime.errors import Overloaded
from runtime.run.messages import Cancel, GoOn
from runtime.simulation.simulate import AT_ONCE, MAX_WAITING
from runtime.testing import ScriptedTools, scripted
from tests.conftest import Open
from tests.integration.flow import named, stored

ROOT: Final = Path(__file__).parents[3]
INVENTORY: Final = (*BUFFERS, *SERVER_BUFFERS)
MAKERS: Final = {
    "deque",
    "Queue",
    "SimpleQueue",
    "LifoQueue",
    "PriorityQueue",
    "create_memory_object_stream",
    "CapacityLimiter",
}
COLLECTIONS: Final = {"list", "dict", "set", "deque", "defaultdict", "OrderedDict"}
LIKE_A_QUEUE: Final = re.compile(
    r"queue|pending|waiting|held|backlog|idle|retired|seats|live$|pools|compiled|heap|scopes|messages|recent|in_progress|suspects"
)

NO_BUFFERS: Final = {
    "runtime.actors.watchdog:Watchdog._late": "the last few measurements, of a fixed number",
    "runtime.run.apply_steps:step_started.step": "the items of one map, of which there are at most MAX_ITEMS",
    "runtime.run.explain.trace:Trace.stories": "what one explanation has still to tell, no longer than the log it tells of",
    "runtime.actors.rebuilding:Rebuilder._suspects": "runs that are pending as well, until they were looked at",
    "runtime.submissions:Submissions._in_progress": "an entry for each request that submits with a key now",
}
"""What looks like one, and why it is none."""

FILLED: Final = {
    "runtime.journal.sqlite.journal:SqliteJournal._readers": "a pool: exactly the connections that were put in first",
    "runtime.actors.tool_threads:ToolThreads._unlimited": "whoever uses it has one of `_places`",
}
"""Queues and limiters without a bound of their own, and what bounds them."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in ("runtime", "api"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if not name.startswith(("runtime.testing", "api.demo")):  # no part of a server
                yield name, ast.parse(path.read_text())


def called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else node
    if isinstance(function, ast.Subscript):
        function = function.value
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def is_collection(value: ast.expr | None) -> bool:
    empty = (isinstance(value, ast.List | ast.Set) and not value.elts) or (
        isinstance(value, ast.Dict) and not value.keys
    )
    return empty or (isinstance(value, ast.Call) and called(value) in COLLECTIONS and not value.args)


class Finder(ast.NodeVisitor):
    """Finds the places in a module where something may pile up, and the calls that make something without a bound."""

    def __init__(self, module: str) -> None:
        self.places: set[str] = set()
        self.unbounded: set[str] = set()
        self._module = module
        self._around: list[str] = []

    def _enter(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._around.append(node.name)
        self.generic_visit(node)
        self._around.pop()

    visit_ClassDef = _enter  # noqa: N815
    visit_FunctionDef = _enter  # noqa: N815
    visit_AsyncFunctionDef = _enter  # noqa: N815

    def visit_Assign(self, node: ast.Assign) -> None:
        self._assigned(node.targets[0], node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._assigned(node.target, node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if called(node) == "heappush":
            self.places.add(self._place(node.args[0]))
        self.generic_visit(node)

    def _assigned(self, target: ast.expr, value: ast.expr | None) -> None:
        place = self._place(target)
        made = [] if value is None else [one for one in ast.walk(value) if isinstance(one, ast.Call)]
        makers = [one for one in made if called(one) in MAKERS]
        if makers:
            self.places.add(place)
        if any(is_unbounded(one) for one in makers):
            self.unbounded.add(place)
        is_attribute = isinstance(target, ast.Attribute) and self._around[-1:] == ["__init__"]
        if is_attribute and LIKE_A_QUEUE.search(place.rpartition(".")[2]) and is_collection(value):
            self.places.add(place)

    def _place(self, target: ast.expr) -> str:
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
            return f"{self._module}:{self._around[0]}.{target.attr}"
        name = ast.unparse(target).partition(".")[0]
        return f"{self._module}:{'.'.join([*self._around[:1], name])}"


def is_unbounded(call: ast.Call) -> bool:
    if called(call) == "deque":
        return False  # the inventory says what bounds it
    size = call.args[0] if call.args else next((one.value for one in call.keywords), None)
    return size is None or (isinstance(size, ast.Constant) and size.value == 0) or ast.unparse(size).endswith("inf")


@pytest.fixture(scope="module")
def found() -> Finder:
    everything = Finder("")
    for name, tree in modules():
        finder = Finder(name)
        finder.visit(tree)
        everything.places |= finder.places
        everything.unbounded |= finder.unbounded
    return everything


def known() -> set[str]:
    return {place for buffer in INVENTORY for place in buffer.places}


def test_every_place_where_something_can_pile_up_is_in_the_inventory(found: Finder) -> None:
    assert found.places - known() - set(NO_BUFFERS) == set()


def test_the_inventory_names_no_place_that_is_gone(found: Finder) -> None:
    for place in known():
        module, _, path = place.partition(":")
        owner, _, attribute = path.partition(".")
        text = Path(importlib.import_module(module).__file__ or "").read_text()
        assert re.search(rf"(class|def) {owner}\b", text), place
        assert re.search(rf"\b{attribute}\b", text), place
    assert set(NO_BUFFERS) <= found.places
    assert set(FILLED) <= found.unbounded


def test_no_queue_is_without_a_bound(found: Finder) -> None:
    assert found.unbounded - set(FILLED) == set()


@pytest.mark.parametrize(
    "line",
    [
        "self._x = deque()",
        "self._x: deque[int] = collections.deque()",
        "self._x = asyncio.Queue()",
        "self._x, y = anyio.create_memory_object_stream(math.inf)",
        "self._x = anyio.create_memory_object_stream[int](5)",
        "self._waiting = []",
        "self._held_back: dict[str, int] = {}",
        "heapq.heappush(self._x, 1)",
    ],
)
def test_whatever_a_queue_is_made_of_it_is_found(line: str) -> None:
    finder = Finder("m")
    finder.visit(ast.parse(f"class C:\n    def __init__(self):\n        {line}\n"))
    assert len(finder.places) == 1


@pytest.mark.parametrize(
    "made", ["Queue()", "Queue(0)", "SimpleQueue()", "create_memory_object_stream(inf)", "CapacityLimiter(math.inf)"]
)
def test_a_queue_without_a_bound_is_found(made: str) -> None:
    finder = Finder("m")
    finder.visit(ast.parse(f"x = {made}"))
    assert finder.unbounded == {"m:x"}


def test_every_bound_is_a_number_or_follows_from_one() -> None:
    names = [buffer.name for buffer in INVENTORY]
    assert len(names) == len(set(names))
    for buffer in INVENTORY:
        bound = buffer.bound_under(Settings())
        implied = isinstance(buffer.bound, str) and buffer.bound not in {field.name for field in fields(Settings)}
        assert (bound is None) is implied is (buffer.when_full == WhenFull.CANNOT), buffer.name
        assert bound is None or bound > 0
    assert {buffer.name: buffer.bound for buffer in BUFFERS}["simulations"] == AT_ONCE + MAX_WAITING


def documented(buffer: Buffer) -> str:
    """The line of the table in docs/operations.md."""
    bound = buffer.bound_under(Settings())
    most = buffer.by_machine or (buffer.bound if bound is None else f"{bound:,} {buffer.unit}")
    return f"| `{buffer.name}` | {buffer.holds} | {most} | {buffer.when_full} |"


def test_the_documentation_has_the_whole_inventory() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    _, _, section = text.partition("### Buffers\n")
    rows = re.findall(r"^\| `.*\|$", section.partition("\n## ")[0], re.MULTILINE)
    assert rows == [documented(buffer) for buffer in INVENTORY]


# ---- At their bounds. Those that other tests fill: pending_runs, waiting_runs, active_runs (tests/integration), signals
# (tests/unit/runtime/run), recent_records (tests/unit/runtime/log), log_lines (test_tool_log), idle_workers and queued_calls
# (test_node_workers), timers (test_timers), journal_entries and journal_bytes (tests/unit/runtime/journal), tool_threads and
# tool_processes (tests/unit/runtime/actors), cpu_threads (test_long_work), simulations (test_simulate).


async def test_commands_beyond_the_bound_are_refused_and_other_messages_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.actors.mailbox.MAX_REQUESTS", 2)
    mailbox = Mailbox()
    for _ in range(2):
        mailbox.send(Request(Cancel()))
    with pytest.raises(Overloaded) as refused:
        mailbox.send(Request(Cancel()))
    assert refused.value.retry_after_s
    mailbox.send(GoOn())
    assert isinstance(mailbox.take(), Request)
    mailbox.send(Request(Cancel()))
    assert mailbox.requests == 2


async def test_workers_of_graphs_that_nothing_runs_of_are_forgotten_beyond_the_bound(
    opened: Open, tools: ScriptedTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_host, "MAX_GRAPHS", 3)
    async with opened() as engine:
        busy = await engine.submit(await stored(engine, [named("a", scripted("wait"))]))
        await tools.gate("gate").wait_reached()
        for number in range(8):
            run = await engine.submit(await stored(engine, [named(f"n{number}", scripted())]))
            assert (await engine.wait(run.run_id)).status == "completed"
            await anyio.wait_all_tasks_blocked()
        used = {use.name: use for use in await engine.buffers()}
        assert used["worker_pools"].in_use == 3
        tools.gate("gate").open()
        assert (await engine.wait(busy.run_id)).status == "completed"


async def test_the_gauges_tell_how_full_the_buffers_are(opened: Open, tools: ScriptedTools) -> None:
    async with opened(max_active_runs=1, max_pending_runs=2, max_workers_per_node=7) as engine:
        graph_id = await stored(engine, [named("a", scripted("wait"))])
        for _ in range(3):
            await engine.submit(graph_id)
        await tools.gate("gate").wait_reached()
        used = {use.name: (use.in_use, use.bound) for use in await engine.buffers()}
        assert used["active_runs"] == (1, 1)
        assert used["pending_runs"] == (2, 2)
        assert used["worker_pools"][0] == 1
        assert used["timers"][0] >= 1
        assert used["timers"][1] is None
        assert set(used) <= {buffer.name for buffer in BUFFERS}
        with pytest.raises(Overloaded):
            await engine.submit(graph_id)


@pytest.mark.parametrize(("kind", "bound"), [("http", MAX_REQUESTS), ("websocket", MAX_SOCKETS)])
def test_requests_and_sockets_beyond_their_bounds_are_refused(kind: str, bound: int) -> None:
    intake = Intake()
    visits = [intake.visit(kind) for _ in range(bound)]
    for visit in visits:
        visit.__enter__()
    with pytest.raises(Overloaded):
        intake.check_room(kind)
    intake.check_room("websocket" if kind == "http" else "http")
    visits[0].__exit__(None, None, None)
    intake.check_room(kind)


def test_bodies_beyond_the_bound_are_refused() -> None:
    intake = Intake()
    intake.take(MAX_BODIES_BYTES)
    with pytest.raises(Overloaded):
        intake.take(1)
    intake.give_back(1)
    intake.take(1)
