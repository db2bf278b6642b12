"""The strict JSON gate: what it lets through means what was sent, and everything else is refused with a reason."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.errors import InvalidInput, InvalidJson, TooLarge
from runtime.json_gate import parse

LIMIT = 1 << 20


def gate(data: bytes, **limits: int) -> Any:
    return parse(data, **{"max_bytes": LIMIT, **limits})


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"{}", {}),
        (b' [1, -2.5, "x", null, true] \n', [1, -2.5, "x", None, True]),
        (b'"\\ud83d\\ude00 \\u0000 \\\\\\" \xc3\xa9"', '\U0001f600 \0 \\" é'),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"[0.1, 1e308, 1E-5, -0.0]", [0.1, 1e308, 1e-5, -0.0]),
        (b'{"a:b": "c:d,[{\\"", "e": {"a:b": ":"}}', {"a:b": 'c:d,[{"', "e": {"a:b": ":"}}),
        (b'{"": 0}', {"": 0}),
    ],
)
def test_json_passes_unchanged(data: bytes, value: Any) -> None:
    assert gate(data) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "UTF-16"),
        ("{}".encode("utf-16-le"), "NUL byte at byte 1"),
        (b"\0{}", "NUL byte at byte 0"),
        (b'"a\xff"', "at byte 2"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"{} {}", "trailing characters at byte"),
        (b"[1,\n2,]", "trailing comma in array at byte 6 (line 2, column 3)"),
        (b'{"a": 1', "ends too early, at byte 7"),
        (b"{'a': 1}", "at byte 1"),
        (b'"a\nb"', "at byte 2"),
        (b'"\\x"', "escape"),
        (b"01", "at byte 1"),
        (b"+1", "at byte 0"),
        (b"[NaN]", "NaN is not a number"),
        (b"[1, Infinity]", "Infinity is not a number"),
        (b'{"a": -Infinity}', "-Infinity is not a number"),
        (b"1e400", "1e400 is not a number"),
        (b"[-1e400]", "-1e400 is not a number"),
        (b"1" * 5_000, "is not a number"),
        (b"9223372036854775808", "does not fit into 64 bits"),
        (b"[-9223372036854775809]", "does not fit into 64 bits"),
        (b"1" * 4_000, "does not fit into 64 bits"),
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', "The key 'c' occurs twice"),
        (b'{"a": 1, "\\u0061": 2}', "The key 'a' occurs twice"),
        (b'"\\ud800"', "surrogate"),
        (b'["x\\udc00"]', "surrogate"),
        (b'"\\ud800\\ud800"', "surrogate"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b'{"a\\u0000b": 1}', "NUL character"),
        (b'[{"k": [{"\\u0000": 1}]}]', "NUL character"),
    ],
)
def test_anything_else_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidJson) as refused:
        gate(data)
    assert reason in refused.value.message


def test_depth_is_counted_outside_strings() -> None:
    assert gate(b"[" * 64 + b"]" * 64) is not None
    assert gate(json.dumps("[{" * 100).encode()) == "[{" * 100
    assert gate(b"[" + b"[],{}," * 100 + b"[]]") is not None


@pytest.mark.parametrize("depth", [65, 500, 100_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_too_deep_is_refused_before_anything_recurses(depth: int, opening: bytes) -> None:
    with pytest.raises(InvalidJson, match="nested"):
        gate(opening * depth)


def test_limits_hold_to_the_unit() -> None:
    assert gate(b"[1]", max_bytes=3) == [1]
    with pytest.raises(TooLarge):
        gate(b"[1] ", max_bytes=3)
    assert gate(b'{"a":1,"b":2}', max_keys=2) == {"a": 1, "b": 2}
    with pytest.raises(InvalidJson, match="3 keys"):
        gate(b'[{"a":1,"b":2,"c":3}]', max_keys=2)
    assert gate(b'{"aaa":"bbb"}', max_string=3) == {"aaa": "bbb"}
    assert gate(b'"\\u00e9\\u00e9\\""', max_string=3) == 'éé"'
    for data in (b'["bbbb"]', b'{"a":{"aaaa":1}}', b'"\\"\\"\\"\\""'):
        with pytest.raises(InvalidJson, match="4 characters"):
            gate(data, max_string=3)


def test_long_values_are_shortened_in_messages() -> None:
    for data in (b"[1" + b"0" * 900 + b"]", b'{"%b":1,"%b":2}' % (b"k" * 9_999, b"k" * 9_999)):
        with pytest.raises(InvalidJson) as refused:
            gate(data)
        assert len(refused.value.message) < 200


def same(left: Any, right: Any) -> bool:
    """Equality that tells 1 from true and 1.0, and 0.0 from -0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return bool(left == right)


text = st.text(alphabet=st.characters(codec="utf-8"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner) | st.dictionaries(text.filter(lambda key: "\0" not in key), inner),
    max_leaves=30,
)


@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_every_json_value_comes_out_as_it_was_sent(value: Any, ascii_only: bool, indent: int | None) -> None:
    sent = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert same(gate(sent), value)


fragments = r'{ } [ ] , : " "" "a" \ \" \u0000 \ud800 \udc00 0 - 1e400 1.5 null NaN -Infinity é 9223372036854775808'
json_like = st.lists(st.sampled_from([*fragments.split(), " ", "\t", "\ufeff", "\0"]), max_size=12).map(
    lambda words: "".join(words).encode()
)


@given(json_like | st.binary(max_size=64))
@example(b'{"a":1,"a":1}')
@example(b'"\\ud800"')
def test_bytes_are_refused_or_mean_what_every_parser_reads(data: bytes) -> None:
    """encode(parse(x)) is x in meaning, or parse raises, and nothing but its own error."""
    try:
        value = gate(data)
    except InvalidInput:
        return
    assert same(json.loads(data.decode()), value) or data.lstrip().startswith(b"-0")
    assert same(gate(msgspec.json.encode(value)), value)


@given(values)
def test_a_repeated_key_never_passes(value: Any) -> None:
    inner = json.dumps(value).encode()
    with pytest.raises(InvalidJson, match="occurs twice"):
        gate(b'[{"x":%b,"k":1,"k":%b}]' % (inner, inner))
