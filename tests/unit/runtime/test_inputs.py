"""What a run may begin with: every problem at once, each with its place."""

from typing import Any

import pytest

from runtime.errors import InvalidInput
from runtime.graph.definition import GraphDefinition
from runtime.inputs import MAX_PROBLEMS, check_initial_state
from runtime.run.state import MAX_STATE_BYTES


def definition(**keys: Any) -> GraphDefinition:
    return GraphDefinition.model_validate(
        {"name": "g", "nodes": [{"name": "a", "tool": "x"}], "entry_point": "a", **keys}
    )


def problems(state: Any, **keys: Any) -> list[tuple[str, str]]:
    """Return the pointer and type of every problem."""
    with pytest.raises(InvalidInput) as caught:
        check_initial_state(definition(**keys), state)
    return [(problem.pointer, problem.type) for problem in caught.value.problems]


def test_a_state_that_fits_is_copied() -> None:
    state = {"a": [1, {"b": None}]}
    checked = check_initial_state(definition(), state)
    assert checked == state
    state["a"].append(2)
    assert checked == {"a": [1, {"b": None}]}


@pytest.mark.parametrize(
    ("state", "pointer"),
    [({"a": {1}}, "/initial_state/a"), ({"a": [float("inf")]}, "/initial_state/a/0"), ({1: 1}, "/initial_state")],
)
def test_a_state_that_is_no_json_is_refused_with_the_place(state: Any, pointer: str) -> None:
    assert problems(state) == [(pointer, "not_json")]


def test_a_state_over_its_limit_is_refused() -> None:
    assert problems({"a": "x" * MAX_STATE_BYTES}) == [("/initial_state", "too_large")]
    assert check_initial_state(definition(), {"a": "x" * (MAX_STATE_BYTES - 8)})


def test_a_key_that_collects_must_begin_as_a_list() -> None:
    assert problems({"a": 1}, reducers={"a": "append"}) == [("/initial_state/a", "reducer_type")]
    assert check_initial_state(definition(reducers={"a": "append"}), {"a": []}) == {"a": []}
    assert check_initial_state(definition(reducers={"a": "append"}), {}) == {}


SCHEMA = {
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"type": "integer"}, "list/of": {"items": {"minimum": 3}}},
}


def test_every_breach_of_the_schema_is_told_with_its_place() -> None:
    found = problems({"n": "x", "list/of": [5, 1]}, input_schema=SCHEMA)
    assert sorted(found) == [("/initial_state/list~1of/1", "input_schema"), ("/initial_state/n", "input_schema")]
    assert problems({}, input_schema=SCHEMA) == [("/initial_state", "input_schema")]
    assert check_initial_state(definition(input_schema=SCHEMA), {"n": 1}) == {"n": 1}


def test_a_schema_that_is_false_refuses_and_one_that_is_true_accepts() -> None:
    assert problems({}, input_schema=False) == [("/initial_state", "input_schema")]
    assert check_initial_state(definition(input_schema=True), {"a": 1}) == {"a": 1}


def test_the_number_of_problems_is_bounded() -> None:
    schema = {"additionalProperties": {"type": "string"}}
    assert len(problems({f"k{number}": number for number in range(500)}, input_schema=schema)) == MAX_PROBLEMS


def test_a_reference_to_elsewhere_is_refused_and_not_fetched() -> None:
    assert problems({}, input_schema={"$ref": "http://127.0.0.1:9/schema"}) == [("/initial_state", "input_schema")]


def test_problems_of_several_kinds_are_told_together() -> None:
    found = problems({"a": 1, "n": "x"}, reducers={"a": "append"}, input_schema=SCHEMA)
    assert sorted(kind for _, kind in found) == ["input_schema", "reducer_type"]
