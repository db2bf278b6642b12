"""Checks what a caller wants a run to begin with, before anything is stored."""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from runtime.errors import InvalidInput, Problem, escape
from runtime.graph.definition import GraphDefinition
from runtime.json_values import NotJson, checked_copy, encoded_size
from runtime.run.reducers import REDUCERS, kind
from runtime.run.state import MAX_STATE_BYTES

MAX_PROBLEMS = 50


def check_initial_state(definition: GraphDefinition, initial_state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the initial state that a run of the graph may begin with.

    Raises:
        InvalidInput: It is no JSON object, is too large, breaks the graph's `input_schema`, or has a value that its reducer
            cannot work with; pointers begin with `/initial_state`.
    """
    problems: list[Problem] = []
    try:
        state = checked_copy(dict(initial_state))
    except NotJson as error:
        problem = Problem(f"/initial_state{error.pointer}", f"The state has {error}.", "not_json")
        raise InvalidInput("The initial state is not JSON.", problems=[problem]) from error
    size = encoded_size(state)
    if size > MAX_STATE_BYTES:
        detail = f"The state has {size:,} bytes; at most {MAX_STATE_BYTES:,} are allowed. Keep large data in files."
        problems.append(Problem("/initial_state", detail, "too_large"))
    problems += misfits(definition, state, "/initial_state")
    if problems:
        raise InvalidInput("The initial state does not fit the graph.", problems=problems)
    return dict(state)


def misfits(definition: GraphDefinition, state: Mapping[str, Any], pointer: str) -> list[Problem]:
    """Return why a graph cannot begin with `state`, JSON that stands at `pointer`: its reducers, its `input_schema`."""
    return [
        *reducer_problems(definition.reducers, state, pointer),
        *schema_problems(definition.input_schema, state, pointer),
    ]


def reducer_problems(reducers: Mapping[str, str], values: Mapping[str, Any], pointer: str) -> list[Problem]:
    """Return which of the `values`, an object that stands at `pointer`, their keys' reducers cannot work with."""
    problems: list[Problem] = []
    for key, word in reducers.items():
        reducer = REDUCERS.get(word)
        if reducer is not None and key in values and not reducer.holds.has(values[key]):
            got = kind(values[key])
            detail = f"Key {key!r} has the reducer {word!r}, so it must be {reducer.holds.words}, got {got}."
            problems.append(Problem(f"{pointer}/{escape(key)}", detail, "reducer_type"))
    return problems


def schema_problems(schema: Mapping[str, Any] | bool | None, value: Any, pointer: str) -> list[Problem]:
    """Return why `value`, which stands at `pointer`, does not fit a JSON Schema."""
    if schema is None:
        return []
    validator = Draft202012Validator(schema, registry=Registry())  # an empty registry: nothing is fetched from anywhere
    try:
        errors = sorted(validator.iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path])
    except (Unresolvable, SchemaError) as error:
        return [Problem(pointer, f"The graph's schema cannot be used: {error}.", "input_schema")]
    return [_problem(error, pointer) for error in errors[:MAX_PROBLEMS]]


def _problem(error: ValidationError, pointer: str) -> Problem:
    place = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
    return Problem(f"{pointer}{place}", f"{error.message[:500]}.", "input_schema")
