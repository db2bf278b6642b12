"""How a tool's result or exception is read: nothing is coerced, and the sentence names the place."""

import sys
from collections import OrderedDict
from typing import Any

import pytest

from runtime.actors.calls import read_exception, read_result
from runtime.run.messages import Failed, Succeeded
from runtime.run.state import MAX_UPDATE_BYTES
from runtime.testing import ScriptedTools
from runtime.testing.scripted import output_named
from tools.contract import Tool, ToolError
from tools.results import MAX_ERROR_TEXT


@pytest.fixture
def tool() -> Tool:
    found = ScriptedTools().find("pure")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("output", "place"),
    [
        ("object", "/a/0"),
        ("bytes", "/a/b"),
        ("set", "/a"),
        ("tuple", "/a"),
        ("nan", "/a/1"),
        ("infinity", "/a"),
        ("surrogate", "/a"),
        ("integer_key", "/a"),
        ("big_integer", "/a"),
        ("cycle", "/self/self"),
        ("deep", "/a/0/0"),
    ],
)
def test_output_that_is_no_json_fails_the_step_and_names_the_place(tool: Tool, output: str, place: str) -> None:
    outcome = read_result(output_named(output), tool)
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "INVALID_OUTPUT"
    assert f" at {place}" in outcome.error.message
    assert "'pure@1'" in outcome.error.message
    assert not outcome.retryable


class Lies(dict[str, Any]):
    """A dict that could answer differently each time it is asked."""


@pytest.mark.parametrize("output", [[1], "text", 1, True, b"{}", OrderedDict(a=1), Lies(a=1), object()])
def test_output_that_is_no_plain_object_fails_the_step(tool: Tool, output: object) -> None:
    outcome = read_result(output, tool)
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "INVALID_OUTPUT"
    assert type(output).__name__ in outcome.error.message
    assert not outcome.retryable


@pytest.mark.parametrize(
    ("output", "update"), [(None, {}), ({}, {}), ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]})]
)
def test_none_or_an_object_is_an_update(tool: Tool, output: Any, update: dict[str, Any]) -> None:
    assert read_result(output, tool) == Succeeded(update)


def test_an_update_shares_nothing_with_what_the_tool_keeps(tool: Tool) -> None:
    kept = {"a": [1]}
    outcome = read_result(kept, tool)
    kept["a"].append(2)
    assert outcome == Succeeded({"a": [1]})


def test_an_update_over_its_limit_fails_the_step_for_good(tool: Tool) -> None:
    room = MAX_UPDATE_BYTES - len('{"a":""}')
    assert isinstance(read_result({"a": "x" * room}, tool), Succeeded)
    outcome = read_result({"a": "x" * (room + 1)}, tool)
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "UPDATE_TOO_LARGE"
    assert not outcome.retryable


@pytest.mark.parametrize(
    "error",
    [
        ValueError("why"),
        SystemExit("why"),
        KeyboardInterrupt("why"),
        GeneratorExit("why"),
        ExceptionGroup("why", [ValueError()]),
    ],
)
def test_an_exception_is_told_by_its_type_and_text_and_may_be_retried(error: BaseException) -> None:
    failed = read_exception(error)
    assert failed.error.code == "TOOL_EXCEPTION"
    assert failed.error.message.startswith(f"{type(error).__name__}: why")
    assert failed.retryable


def test_a_tool_error_has_its_own_code_and_says_whether_to_retry() -> None:
    failed = read_exception(ToolError("why", code="MINE", retryable=False))
    assert (failed.error.code, failed.error.message, failed.retryable) == ("MINE", "why", False)
    assert read_exception(ToolError("why")).retryable


def test_a_long_text_is_cut() -> None:
    message = read_exception(ValueError("x" * 1_000_000)).error.message
    assert len(message) <= MAX_ERROR_TEXT + len("ValueError: …")
    assert message.endswith("…")


def test_half_a_surrogate_pair_in_a_text_is_written_out() -> None:
    assert read_exception(ValueError("a\ud800b")).error.message == "ValueError: a\\ud800b"


class Speechless(Exception):
    def __str__(self) -> str:
        raise OSError("no text")


class Leaving(Exception):
    def __str__(self) -> str:
        raise SystemExit


class Unfinished(ToolError):
    def __init__(self) -> None: ...


class Unsure:
    def __bool__(self) -> bool:
        raise ValueError("neither")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Speechless(), "OSError"),
        (Leaving(), "SystemExit"),
        (Unfinished(), "AttributeError"),
        (ToolError("x", retryable=Unsure()), "ValueError"),  # type: ignore[arg-type]
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_that_cannot_be_read_is_told_all_the_same(error: Exception, why: str) -> None:
    failed = read_exception(error).error
    assert (failed.code, failed.message) == (
        "TOOL_EXCEPTION",
        f"{type(error).__name__}, which could not be read itself: {why}",
    )


def test_a_recursion_that_never_ends_is_an_ordinary_failure() -> None:
    def down() -> None:
        down()

    with pytest.raises(RecursionError) as caught:
        down()
    assert "RecursionError" in read_exception(caught.value).error.message
    assert sys.getrecursionlimit() > 100
