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
    for key, reducer in definition.reducers.items():
        if reducer == "append" and key in state and not isinstance(state[key], list):
            detail = f"Key {key!r} has the reducer 'append', so it must be a list, got {type(state[key]).__name__}."
            problems.append(Problem(f"/initial_state/{escape(key)}", detail, "reducer_type"))
    problems += _schema_problems(definition.input_schema, state)
    if problems:
        raise InvalidInput("The initial state does not fit the graph.", problems=problems)
    return dict(state)


def _schema_problems(schema: Mapping[str, Any] | bool | None, state: Mapping[str, Any]) -> list[Problem]:
    if schema is None:
        return []
    validator = Draft202012Validator(schema, registry=Registry())  # an empty registry: nothing is fetched from anywhere
    try:
        errors = sorted(validator.iter_errors(state), key=lambda error: [str(part) for part in error.absolute_path])
    except (Unresolvable, SchemaError) as error:
        return [Problem("/initial_state", f"The graph's input_schema cannot be used: {error}.", "input_schema")]
    return [_problem(error) for error in errors[:MAX_PROBLEMS]]


def _problem(error: ValidationError) -> Problem:
    place = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
    return Problem(f"/initial_state{place}", f"{error.message[:500]}.", "input_schema")
