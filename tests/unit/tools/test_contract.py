"""The contract: what the decorator reads from a signature, what it refuses, and how a config becomes arguments."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from tools import Tool, ToolContext, ToolError, tool

State = dict[str, Any]


class Limits(BaseModel):
    low: float
    high: float = 1.0


@tool(version="1.4.2", effect="idempotent", writes=["report"])
async def sample(
    state: State,
    path: str,
    *,
    limits: Limits,
    mode: Literal["fast", "full"] = "fast",
    size: Annotated[int, Field(ge=1, le=9, description="How many.")] = 3,
    context: ToolContext,
) -> State:
    """Take a sample of a file,
    and report it.

    This paragraph is for readers of the code.
    """
    return {"report": [path, limits.high, mode, size, context.node]}


@tool
def plain(state: State) -> State:
    return {"seen": len(state)}


def test_decorator_takes_name_description_and_context_from_the_function() -> None:
    assert (sample.name, sample.version, sample.reference) == ("sample", "1.4.2", "sample@1.4.2")
    assert sample.description == "Take a sample of a file, and report it."
    assert (sample.effect, sample.writes, sample.takes_context, sample.is_async) == (
        "idempotent",
        ("report",),
        True,
        True,
    )


def test_decorator_without_parentheses_promises_nothing() -> None:
    assert isinstance(plain, Tool)
    assert (plain.reference, plain.description, plain.effect, plain.writes) == ("plain@1", "", None, ())
    assert (plain.takes_context, plain.is_async) == (False, False)


def test_decorator_takes_name_and_description_when_given() -> None:
    made = tool(name="other", description="Do  it.")(lambda state: None)
    assert (made.name, made.description) == ("other", "Do it.")


def test_schema_has_the_config_but_neither_state_nor_context() -> None:
    schema = sample.parameters.model_json_schema()
    assert list(schema["properties"]) == ["path", "limits", "mode", "size"]
    assert schema["required"] == ["path", "limits"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["mode"]["enum"] == ["fast", "full"]
    assert schema["properties"]["size"] == {
        "default": 3,
        "description": "How many.",
        "maximum": 9,
        "minimum": 1,
        "title": "Size",
        "type": "integer",
    }


def test_parameter_without_annotation_takes_any_json() -> None:
    made: Tool = tool(lambda state, anything: None)
    assert made.arguments({"anything": [1, None, {"a": "b"}]}) == {"anything": [1, None, {"a": "b"}]}


def test_calling_a_tool_calls_its_function() -> None:
    assert plain({"a": 1, "b": 2}) == {"seen": 2}


async def test_calling_an_async_tool_returns_its_coroutine(make_context: Callable[..., ToolContext]) -> None:
    arguments = sample.arguments({"path": "x.csv", "limits": {"low": 0}})
    assert await sample({}, **arguments, context=make_context()) == {"report": ["x.csv", 1.0, "fast", 3, "node"]}


def test_arguments_fill_defaults_and_build_models() -> None:
    assert sample.arguments({"path": "x.csv", "limits": {"low": 0.5}, "size": 9}) == {
        "path": "x.csv",
        "limits": Limits(low=0.5),
        "mode": "fast",
        "size": 9,
    }


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"path": "x", "limits": {"low": 0}, "pth": "y"}, "pth"),
        ({"path": "x", "limits": {"low": 0}, "context": None}, "context"),
        ({"path": "x", "limits": {"low": 0}, "state": {}}, "state"),
        ({"limits": {"low": 0}}, "path"),
        ({"path": 1, "limits": {"low": 0}}, "path"),
        ({"path": "x", "limits": {"low": "0"}}, "limits"),
        ({"path": "x", "limits": {"low": 0}, "size": "3"}, "size"),
        ({"path": "x", "limits": {"low": 0}, "size": True}, "size"),
        ({"path": "x", "limits": {"low": 0}, "size": 10}, "size"),
        ({"path": "x", "limits": {"low": 0}, "mode": "slow"}, "mode"),
    ],
    ids=[
        "unknown",
        "context",
        "state",
        "missing",
        "type",
        "nested",
        "no coercion",
        "bool is no int",
        "bound",
        "choice",
    ],
)
def test_arguments_refuse_a_config_that_does_not_fit_and_name_the_place(config: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        sample.arguments(config)
    assert [error["loc"][0] for error in caught.value.errors()] == [place]


def test_mutable_default_is_not_shared_between_calls() -> None:
    def collect(state: State, into: list[int] = []) -> None:  # noqa: B006  the mistake this test is about
        into.append(1)

    made = tool(collect)
    made({}, **made.arguments({}))
    assert made.arguments({}) == {"into": []}


@pytest.mark.parametrize("version", ["", "1.", ".1", "v1", "1.0-beta", "1 ", "1\n", "²"])
def test_version_that_is_not_dotted_numbers_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="dotted numbers"):
        tool(version=version)(lambda state: None)


def _nothing() -> None: ...
def _other(data: State) -> None: ...
def _starred(*state: State) -> None: ...
def _keywords(**state: State) -> None: ...
def _keyword_only(*, state: State) -> None: ...
def _positional_only(state: State, /) -> None: ...


@pytest.mark.parametrize(
    "function", [_nothing, _other, _starred, _keywords, _keyword_only, _positional_only], ids=lambda f: f.__name__
)
def test_function_without_a_plain_state_parameter_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="'state' as its first parameter"):
        tool(function)


def _varargs(state: State, *rest: int) -> None: ...
def _varkeys(state: State, **rest: int) -> None: ...


@pytest.mark.parametrize("function", [_varargs, _varkeys], ids=lambda f: f.__name__)
def test_function_with_parameters_that_have_no_name_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="named parameters"):
        tool(function)


def test_tool_error_carries_code_and_retryable() -> None:
    usual, final = ToolError("m"), ToolError("m", code="GONE", retryable=False)
    assert (str(usual), usual.code, usual.retryable) == ("m", "TOOL_ERROR", True)
    assert (final.code, final.retryable) == ("GONE", False)


def test_a_tool_shares_the_engines_process_unless_it_says_otherwise() -> None:
    assert (plain.isolation, plain.memory_mb, plain.origin) == (None, None, None)


def test_an_isolated_tool_says_where_another_process_finds_it() -> None:
    made = tool(isolation="process", memory_mb=512)(plain.function)
    assert (made.isolation, made.memory_mb, made.origin) == ("process", 512, f"module:{__name__}")


@pytest.mark.parametrize("memory_mb", [0, 63, 100.0, "512", True])
def test_a_memory_limit_that_no_process_can_have_is_refused(memory_mb: Any) -> None:
    with pytest.raises(ValueError, match="whole number of MiB from 64 on"):
        tool(isolation="process", memory_mb=memory_mb)(plain.function)


def test_a_memory_limit_without_a_process_is_refused() -> None:
    with pytest.raises(ValueError, match="add isolation='process'"):
        tool(memory_mb=512)(plain.function)


def test_an_unknown_isolation_is_refused() -> None:
    isolation: Any = "thread"
    with pytest.raises(ValueError, match="use 'process'"):
        tool(isolation=isolation)(plain.function)


def test_a_tool_is_cpu_bound_only_if_it_says_so() -> None:
    assert not plain.cpu_bound
    assert tool(cpu_bound=True)(plain.function).cpu_bound


def test_a_cpu_bound_tool_that_would_run_in_no_thread_is_refused() -> None:
    with pytest.raises(ValueError, match="make it a plain function"):
        tool(cpu_bound=True)(sample.function)
    with pytest.raises(ValueError, match="leave out either cpu_bound or isolation"):
        tool(cpu_bound=True, isolation="process")(plain.function)
