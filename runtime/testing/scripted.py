"""One tool that does whatever its config says: succeed, fail, hang, ignore its cancellation, return what is no JSON.

    tools = ScriptedTools()
    async with open_engine(Settings(), tools) as engine:
        created = await engine.create_graph(
            {
                "name": "g",
                "nodes": [{"name": "a", **scripted("fail_times", times=2, retry={"max_attempts": 3})}],
                "entry_point": "a",
            }
        )

The tool is registered under a name for each effect: `pure`, `idempotent`, `once`, `undeclared`; and as `threaded`, a plain
function that runs in a thread. `tools.calls` lists every call, in the order they began.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import anyio

from runtime.testing.gates import Gate, ThreadGate
from tools.contract import Effect, Tool, ToolContext, ToolError, tool

Deed = Literal[
    "ok",
    "count",
    "echo",
    "fail",
    "fail_times",
    "raise",
    "hang",
    "wait",
    "ignore_cancel",
    "fail_when_cancelled",
    "return",
    "log",
]
"""What a scripted tool can do.

`ok` returns `update`; `count` adds one to the state key `key`; `echo` returns what its context says; `fail` raises a
`ToolError` (`code`, `retryable`); `fail_times` does so in its first `times` attempts; `raise` raises what `error` names (see
`raise_named`); `hang` never ends; `wait` returns `update` once the gate `gate` is open; `ignore_cancel` waits for it and
swallows every cancellation meanwhile; `fail_when_cancelled` hangs and raises when it is cancelled; `return` returns what
`output` names (see `output_named`); `log` writes `times` lines.
"""

_EFFECTS: Final[Mapping[str, Effect | None]] = {
    "pure": "pure",
    "idempotent": "idempotent",
    "once": "once",
    "undeclared": None,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a scripted tool. `state` is a copy of what it was called with."""

    run_id: str
    node: str
    iteration: int
    attempt: int
    idempotency_key: str
    state: dict[str, Any]


class ScriptedTools:
    """A `ToolSource` of scripted tools.

    Attributes:
        calls: Every call so far.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._gates: dict[str, Gate] = {}
        self._thread_gates: dict[str, ThreadGate] = {}
        self._tools: dict[str, Tool] = {name: self._asynchronous(name, effect) for name, effect in _EFFECTS.items()}
        self._tools["threaded"] = self._threaded()
        self._hidden: set[str] = set()

    def find(self, reference: str) -> Tool | None:
        """Return the tool of that name, with or without `@1`, unless it is hidden."""
        name, _, version = reference.partition("@")
        return self._tools.get(name) if name not in self._hidden and version in ("", "1") else None

    def names(self) -> Collection[str]:
        """Every name there is."""
        return self._tools.keys() - self._hidden

    def add(self, tool: Tool) -> None:
        """Add a tool of the test's own."""
        self._tools[tool.name] = tool

    def hide(self, name: str) -> None:
        """Let `find` miss a tool, as if it were not registered any more."""
        self._hidden.add(name)

    def show(self, name: str) -> None:
        """Let `find` find a hidden tool again."""
        self._hidden.discard(name)

    def gate(self, name: str) -> Gate:
        """Return the gate of that name, made when first asked for."""
        return self._gates.setdefault(name, Gate())

    def thread_gate(self, name: str) -> ThreadGate:
        """Return the gate of that name for calls of `threaded`."""
        return self._thread_gates.setdefault(name, ThreadGate())

    def called(self, node: str) -> list[Call]:
        """Return the calls of one node."""
        return [call for call in self.calls if call.node == node]

    def _note(self, state: dict[str, Any], context: ToolContext) -> None:
        key = context.idempotency_key
        self.calls.append(Call(context.run_id, context.node, context.iteration, context.attempt, key, dict(state)))

    def _asynchronous(self, name: str, effect: Effect | None) -> Tool:
        @tool(name=name, effect=effect)
        async def call(
            state: dict[str, Any],
            context: ToolContext,
            do: Deed = "ok",
            update: dict[str, Any] | None = None,
            times: int = 1,
            key: str = "count",
            code: str = "SCRIPTED",
            retryable: bool = True,
            error: str = "ValueError",
            output: str = "object",
            gate: str = "gate",
        ) -> object:
            """Do what the config says."""
            self._note(state, context)
            if do in ("hang", "fail_when_cancelled"):
                await _hang(fails=do == "fail_when_cancelled")
            elif do == "wait":
                await self.gate(gate).passage()
            elif do == "ignore_cancel":
                await _stay_until_open(self.gate(gate))
            elif do == "raise" and error == "cancellation":
                await raise_stray_cancellation()
            return _simple(state, context, do, update, times, key, code, retryable, error, output)

        return call

    def _threaded(self) -> Tool:
        @tool(name="threaded")
        def call(
            state: dict[str, Any],
            context: ToolContext,
            do: Deed = "ok",
            update: dict[str, Any] | None = None,
            times: int = 1,
            key: str = "count",
            error: str = "ValueError",
            output: str = "object",
            gate: str = "gate",
        ) -> object:
            """Do what the config says, in a thread."""
            self._note(state, context)
            if do == "wait":
                self.thread_gate(gate).passage()
            return _simple(state, context, do, update, times, key, "SCRIPTED", True, error, output)

        return call


def scripted(
    do: Deed = "ok", *, tool: str = "pure", node: Mapping[str, Any] | None = None, **config: Any
) -> dict[str, Any]:
    """Return the keys of a node whose tool does `do`: `tool` and `config`, and what `node` adds (`retry`, `timeout_s`, …)."""
    return {"tool": tool, "config": {"do": do, **config}, **(node or {})}


def _simple(
    state: dict[str, Any],
    context: ToolContext,
    do: Deed,
    update: dict[str, Any] | None,
    times: int,
    key: str,
    code: str,
    retryable: bool,
    error: str,
    output: str,
) -> object:
    """Do the deeds that need no waiting."""
    match do:
        case "count":
            return {key: state.get(key, 0) + 1}
        case "echo":
            return {
                "context": [context.run_id, context.node, context.iteration, context.attempt, context.idempotency_key]
            }
        case "fail":
            raise ToolError("the script says so", code=code, retryable=retryable)
        case "fail_times" if context.attempt <= times:
            raise ToolError(f"attempt {context.attempt} fails", code=code, retryable=retryable)
        case "raise":
            raise_named(error)
        case "return":
            return output_named(output)
        case "log":
            for number in range(times):
                context.log.info("line", number=number)
    return update


def raise_named(name: str) -> None:
    """Raise what a tool should not: `ExceptionGroup`, or the built-in exception of that name."""
    if name == "ExceptionGroup":
        raise ExceptionGroup("two at once", [ValueError("one"), KeyError("two")])
    errors: dict[str, type[BaseException]] = {
        kind.__name__: kind
        for kind in (
            ValueError,
            RecursionError,
            MemoryError,
            StopIteration,
            SystemExit,
            KeyboardInterrupt,
            GeneratorExit,
        )
    }
    raise errors[name](f"a scripted {name}")


def output_named(name: str) -> object:
    """Return what is no JSON object that a state can take in: a value by its name."""
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    outputs: dict[str, object] = {
        "object": {"a": [object()]},
        "bytes": {"a": {"b": b"x"}},
        "set": {"a": {1}},
        "tuple": {"a": (1,)},
        "nan": {"a": [0, float("nan")]},
        "infinity": {"a": float("inf")},
        "surrogate": {"a": "\ud800"},
        "integer_key": {"a": {1: 2}},
        "big_integer": {"a": 1 << 63},
        "cycle": cycle,
        "deep": {"a": deep},
        "list": [1],
        "text": "text",
    }
    return {"a": "x" * (1 << 21)} if name == "huge" else outputs[name]


async def raise_stray_cancellation() -> None:
    """Raise the event loop's cancellation, although nobody asked for it."""
    stray: BaseException | None = None
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class() as error:
            stray = error
    if stray is not None:
        raise stray


async def _hang(*, fails: bool) -> None:
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        if fails:
            raise ValueError("the clean-up failed") from None
        raise


async def _stay_until_open(gate: Gate) -> None:
    with anyio.CancelScope(shield=True):
        await gate.passage()
