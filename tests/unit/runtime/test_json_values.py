"""What is accepted as JSON comes back from JSON exactly as it was; everything else is refused with its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.json_values import MAX_DEPTH, NotJson, canonical, checked_copy, copy_json, encoded_size
from runtime.run.records import encode_json
from tests.support.settings import thorough

TEXT = st.text(st.characters(codec="utf-8"))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)
ODD = (
    SCALARS | st.binary() | st.floats() | st.integers() | st.text() | st.tuples(st.integers()) | st.sets(st.integers())
)
ANYTHING = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=10,
)


def exactly(value: Any) -> str:
    """Return a text that differs for values that differ in any way, types included."""
    return repr(value)


@thorough
@given(JSON)
def test_json_is_accepted_and_comes_back_from_its_encoding(value: Any) -> None:
    assert exactly(checked_copy(value)) == exactly(value)
    assert exactly(copy_json(value)) == exactly(value)
    assert exactly(json.loads(encode_json(value))) == exactly(value)
    assert json.loads(canonical(value)) == value
    assert encoded_size(value) == len(encode_json(value))


@thorough
@given(ANYTHING)
def test_anything_else_is_refused_or_comes_back_from_its_encoding(value: Any) -> None:
    try:
        copied = checked_copy(value)
    except NotJson:
        return
    assert exactly(json.loads(encode_json(copied))) == exactly(value)


def spoiled(value: Any) -> None:
    """Change every container inside."""
    if isinstance(value, dict):
        for item in value.values():
            spoiled(item)
        value["spoiled"] = True
    elif isinstance(value, list):
        for item in value:
            spoiled(item)
        value.append("spoiled")


@thorough
@given(JSON)
def test_a_copy_shares_nothing_that_can_change(value: Any) -> None:
    before = exactly(value)
    for copied in (checked_copy(value), copy_json(value)):
        spoiled(copied)
        assert exactly(value) == before


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [0, {"b": {1}}]}, "/a/1/b"),
        ([float("nan")], "/0"),
        ({"a": {2: 1}}, "/a"),
        ({"a": 1 << 63}, "/a"),
        ([[b""]], "/0/0"),
        ("\ud800", "the top"),
        (object(), "the top"),
    ],
)
def test_a_refusal_names_the_place(value: Any, place: str) -> None:
    with pytest.raises(NotJson) as caught:
        checked_copy(value)
    assert str(caught.value).endswith(f" at {place}")


def nested(levels: int) -> Any:
    value: Any = {}
    for level in range(levels - 1):
        value = [value] if level % 2 else {"a": value}
    return value


def test_nesting_is_accepted_up_to_its_limit() -> None:
    assert checked_copy(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    with pytest.raises(NotJson, match="levels of nesting"):
        checked_copy(nested(MAX_DEPTH + 1))


def test_a_value_that_contains_itself_is_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(NotJson):
        checked_copy(cycle)


class Number(int): ...


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize("value", [Number(1), Text("x"), (1,), {1}, b"x", bytearray(), range(3)])
def test_nothing_is_coerced(value: Any) -> None:
    with pytest.raises(NotJson):
        checked_copy([value])


def test_the_canonical_form_does_not_depend_on_the_order_of_keys() -> None:
    assert (
        canonical({"b": 1, "a": {"d": 2, "c": 3}})
        == canonical({"a": {"c": 3, "d": 2}, "b": 1})
        == b'{"a":{"c":3,"d":2},"b":1}'
    )
