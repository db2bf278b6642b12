"""Whatever JSON stands wherever in a graph: the verdict answers, and never breaks."""

import json
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from runtime.graph.checks import judge
from runtime.graph.plan import compile_plan
from tests.support.graphs import Source, edge, graph, leaf, loop, node, when
from tests.support.settings import thorough
from tests.support.tools import FakeTools

KEYS: Final = ["n", "name", "field", "value", "operator", "all", "not", "expr", "a/b~"]
JUNK: Final = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=3),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    ),
    max_leaves=5,
)


def whole() -> Source:
    """Return a graph that uses every key there is."""
    condition = {"any": [leaf("x", ">", 1), {"not": {"all": [leaf("y.0", "in", [1, "a"])]}}]}
    return graph(
        [
            node("a", retry={"max_attempts": 3, "retry_on": ["X"], "budget_s": 2.5}, on_error="route", timeout_s=5),
            node("b", type="conditional", tool=None, route="first", on_unmatched="fail", description="b"),
            node("c", tool="threshold@1.2", config={"limit": 1}, join={"n": 1}),
            node("d", type="loop", join="any"),
        ],
        edge("a > b"),
        edge("a > d", on="error"),
        edge("b > c", condition=condition),
        edge("b > d", default=True),
        edge("c > d"),
        edge("c > b", **when("x", "exists", None)),
        loops=[loop("d", max_iterations=4, on_max="fail")],
        reducers={"log": "append"},
        limits={"max_steps": 50, "timeout_s": 9.5},
        input_schema={"type": "object", "properties": {"x": {"type": "integer"}}},
        description="all of it",
    )


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path to every value inside."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


PLACES: Final = [path for path in places(whole()) if path]


def replaced(value: Any, path: tuple[str | int, ...], junk: Any) -> Any:
    if not path:
        return junk
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], junk)
    return copy


def test_the_graph_with_every_key_is_accepted() -> None:
    verdict = judge(whole(), FakeTools())
    assert verdict.errors == []


@thorough
@given(st.lists(st.tuples(st.sampled_from(PLACES), JUNK), min_size=1, max_size=1))
def test_any_json_at_any_place_is_judged(changes: list[tuple[tuple[str | int, ...], Any]]) -> None:
    source = whole()
    for path, junk in changes:
        source = replaced(source, path, junk)
    verdict = judge(source, FakeTools())
    for problem in (*verdict.errors, *verdict.warnings):
        assert problem.detail
        assert problem.type
        assert problem.pointer == "" or problem.pointer.startswith("/")
    if not verdict.errors:
        assert verdict.definition is not None
        compile_plan(verdict.definition, "g")
        json.dumps(verdict.definition.model_dump(mode="json"))


@thorough
@given(JUNK)
def test_any_json_as_a_graph_is_judged(source: Any) -> None:
    verdict = judge(source, FakeTools())
    assert verdict.errors
    assert verdict.definition is None
