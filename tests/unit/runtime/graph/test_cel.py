"""Expressions in CEL: what they mean, what is refused when a graph is created, what bounds them, and life without the package."""

import importlib.util
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import open_engine
from runtime.errors import InvalidGraph, Problem
from runtime.graph import cel
from runtime.graph.conditions import (
    MAX_LEAVES,
    ConditionError,
    Operands,
    Test,
    compile_accepted,
    compile_condition,
    json_equal,
)
from runtime.graph.paths import MISSING
from tests.conftest import settings
from tests.support.graphs import Source, edge, graph, leaf, loop, node
from tools import default_registry


def compiled(source: Source) -> Test:
    problems: list[Problem] = []
    test = compile_condition(source, "/c", problems)
    assert problems == []
    assert test is not None
    return test


def evaluated(text: str, state: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Return whether the expression holds, and what it leaves for the log."""
    operands: Operands = []
    holds = compiled({"expr": text})(lambda key: state.get(key, MISSING), operands)
    assert len(operands) == 1
    return holds, operands[0]


def holds(text: str, **state: Any) -> bool:
    return evaluated(text, state)[0]


def failure(text: str, **state: Any) -> str:
    with pytest.raises(ConditionError) as caught:
        evaluated(text, state)
    assert caught.value.operands[-1]["expr"] == text
    assert "holds" not in caught.value.operands[-1]
    return str(caught.value)


def faults(source: Any) -> list[Problem]:
    problems: list[Problem] = []
    assert (compile_condition(source, "/c", problems) is None) is bool(problems)
    return problems


# --- what an expression means -----------------------------------------------------------------------------------------

STATE: Final[dict[str, Any]] = {
    "score": 0.9,
    "limit": 1,
    "status": "ok",
    "word": "Grüße",
    "none": None,
    "yes": True,
    "rows": [{"id": 1, "rate": 0.01}, {"id": 2, "rate": 0.2}],
    "by_name": {"a-b": [1, 2], "plain": {"n": 3}},
    "least": -(1 << 63),
    "greatest": (1 << 63) - 1,
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("true", True),
        ("score >= 0.8 && status == 'ok'", True),
        ("score > 1.0 || status == 'new'", False),
        ("!(score > double(limit))", True),
        ("score < limit", True),
        ("limit == 1.0", True),
        ("limit + 1 == 2", True),
        ("yes", True),
        ("yes == dyn(1)", False),
        ("none == null", True),
        ("word == 'Grüße' && word.size() == 5", True),
        ("status in ['new', 'ok']", True),
        ("status.startsWith('o') && status.contains('k')", True),
        ("rows[1].rate > rows[0].rate", True),
        ("rows.all(r, r.rate < 0.1)", False),
        ("rows.exists(r, r.rate < 0.1)", True),
        ("rows.exists_one(r, r.id == limit)", True),
        ("by_name.plain.n == 3", True),
        ("'plain' in by_name", True),
        ("by_name.exists(name, name == 'plain')", True),
        ("dyn(by_name['a-b']).all(n, n > 0)", True),
        ("has(by_name.plain) && !has(by_name.other)", True),
        ("by_name.other == 1 || yes", True),
        ("size(rows) == 2 ? yes : none == 1", True),
        ("least < greatest && greatest == 9223372036854775807", True),
        ("type(limit) == int", True),
        ("timestamp('2030-01-01T00:00:00Z') < timestamp('2030-01-01T00:00:01Z')", True),
    ],
)
def test_an_expression_is_tested_on_the_state(text: str, wanted: bool) -> None:
    assert holds(text, **STATE) is wanted


TEXT: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53), 1 << 53)  # CEL compares larger ones with floating-point numbers after rounding them
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_equality_is_that_of_the_other_conditions(left: Any, right: Any) -> None:
    assert holds("a == b", a=left, b=right) is json_equal(left, right)
    assert holds("a == b", a=left, b=left)


@pytest.mark.parametrize("text", ["n > 1", "n > 1 || true", "true || n > 1", "!(n > 1)", "has(n.x)", "k == 1 && n > 1"])
def test_a_missing_key_makes_the_whole_expression_false(text: str) -> None:
    state = {"k": 1}
    false, seen = evaluated(text, state)
    assert false is False
    assert seen == {
        "expr": text,
        "operands": {"k": 1} if "k" in text else {},
        "missing": ["n"],
        "holds": False,
    }
    assert compiled({"not": {"expr": text}})(lambda key: state.get(key, MISSING), [])


def test_only_keys_that_the_expression_names_are_looked_up() -> None:
    asked: list[str] = []

    def lookup(key: str) -> Any:
        asked.append(key)
        return {"rows": [{"x": 1}], "a": {"b": 2}, "int": 3}.get(key, MISSING)

    assert compiled({"expr": "rows.all(x, x.x < a.b && int(x.x) == 1) && {'c': a}.c == .a && 'd' != 'e'"})(lookup, [])
    assert asked == ["a", "rows"]


def test_the_variable_of_a_predicate_hides_a_key_of_its_name() -> None:
    assert holds("rows.all(x, x == 1)", rows=[1, 1])
    assert holds("rows.all(x, x == 1) && x == 2", rows=[1], x=2)
    assert holds("rows.all(x, x == 1 && .x == 2)", rows=[1], x=2)
    assert evaluated("rows.all(x, .x == 2)", {"rows": [1]})[1]["missing"] == ["x"]


def test_what_an_expression_saw_is_summarised() -> None:
    state = {"big": "x" * 5_000, "rows": [1, 2, 3], "object": {"a": 1}, "n": None}
    _, seen = evaluated("big != '' && rows != [] && object != {} && n == null", state)
    assert seen == {
        "expr": "big != '' && rows != [] && object != {} && n == null",
        "operands": {
            "big": f"{'x' * 200}… (5000 characters)",
            "n": None,
            "object": "object of 1",
            "rows": "list of 3",
        },
        "holds": True,
    }


def test_expressions_combine_with_leaves_and_are_tested_only_as_far_as_needed() -> None:
    yes, no, wrong = {"expr": "n == 1"}, {"expr": "n == 2"}, {"expr": "n == 1 / 0"}
    cases: list[tuple[Source, bool, int]] = [
        ({"all": [yes, leaf("n", "==", 1)]}, True, 2),
        ({"all": [leaf("n", "==", 2), wrong]}, False, 1),
        ({"any": [no, yes, wrong]}, True, 2),
        ({"not": {"any": [no, {"not": yes}]}}, True, 2),
    ]
    for source, wanted, count in cases:
        operands: Operands = []
        assert compiled(source)({"n": 1}.__getitem__, operands) is wanted
        assert len(operands) == count
    for source in ({"any": [wrong, yes]}, {"not": wrong}):
        with pytest.raises(ConditionError):
            compiled(source)({"n": 1}.__getitem__, [])


# --- answers that are neither true nor false --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        ("x", 1, "it gives INT, and a condition is true or false"),
        ("x", "true", "it gives STRING"),
        ("x", None, "it gives NULL"),
        ("x", [True], "it gives LIST"),
        ("x > 1", "a", "No matching overloads found : _>_(string, int64)"),
        ("x > 1", None, "No matching overloads"),
        ("x && true", 1, "No matching overloads"),
        ("x + 1.0 > 1.0", 1, "No matching overloads found : _+_(int64, double)"),
        ("x.gone == 1", {}, 'Key not found in map : "gone"'),
        ("x[3] == 1", [1], "index=3"),
        ("x[-1] == 1", [1], "index=-1"),
        ("x['0'] == 1", [1], "Index error"),
        ("1 / x == 1", 0, "divide by zero"),
        ("x + 1 > 0", (1 << 63) - 1, "integer overflow"),
        ("x.all(c, c == 'a')", "aa", "No matching overloads"),
        ("timestamp(x) > timestamp(0)", "soon", "INVALID_ARGUMENT"),
    ],
)
def test_anything_but_true_or_false_is_an_error_with_the_words_of_cel(text: str, value: Any, message: str) -> None:
    assert message in failure(text, x=value)


def test_too_many_iterations_are_an_error() -> None:
    assert "Iteration budget exceeded" in failure("a.all(x, x >= 0) && a.all(x, x < 5000)", a=list(range(5_000)))


def test_the_message_of_an_error_is_no_way_for_data_into_the_log() -> None:
    message = failure("x[key] == 1", x={}, key="secret " * 5_000)
    assert len(message) < 400
    assert "secret" in message


# --- what is refused when the graph is created ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 + 'a' == 2", "no matching overload for '_+_' applied to '(int, string)' (column 3)"),
        ("'a' > 1", "no matching overload"),
        ("a + 1", "gives INT"),
        ("[a]", "gives LIST"),
        ("1", "gives INT"),
        ("'true'", "gives STRING"),
        ("", "Syntax error"),
        ("a ==", "Syntax error"),
        ("a = 1", "Syntax error"),
        ("a == 'b", "Syntax error"),
        ("é > 1", "Syntax error"),
        ("a == '\ud800'", "surrogates not allowed"),
        ("a == 1\0 || true", "Syntax error"),
        ("while == 1", "reserved identifier: while"),
        ("type == 'x'", "no matching overload for '_==_'"),
        ("now() > a", "undeclared reference to 'now'"),
        ("a.shout() == 'A'", "undeclared reference to 'shout'"),
        ("Row{id: 1} == a", "undeclared reference to 'Row'"),
        ("has(a)", "has() argument must be a field selection"),
        ("{'a': 1, 'a': b}.a == " + "(" * 100 + "1" + ")" * 100, "recursion"),
        ("a == 9223372036854775808", "invalid int literal"),
        ("__import__('os') == 1", "undeclared reference to '__import__'"),
        ("a.matches('(x+)+')", "Regular expressions"),
        ("matches(a, b)", "Regular expressions"),
        ("a.map(x, x + 1) == b", "Of the macros for lists"),
        ("a.filter(x, x > 1).size() > 1", "Of the macros for lists"),
        ("a.all(x, x.all(y, y))", "cannot stand inside one another"),
        ("a.all(x, b.exists(y, x == y))", "cannot stand inside one another"),
        ("[a, b].all(x, x > 1)", "go over a value of the state"),
        ("(a + b).exists(x, x > 1)", "go over a value of the state"),
        ("{'k': a}.k.all(x, x)", "go over a value of the state"),
        (" && ".join(f"n{i}" for i in range(cel.MAX_NAMES + 1)), "at most 64 keys, got 65"),
        ("a == '" + "x" * cel.MAX_LENGTH + "'", "at most 2,048 characters"),
    ],
)
def test_what_is_no_condition_is_refused_at_its_place(text: str, message: str) -> None:
    for source, pointer in (
        ({"expr": text}, "/c/expr"),
        ({"all": [leaf("a", "==", 1), {"not": {"expr": text}}]}, "/c/all/1/not/expr"),
    ):
        (problem,) = faults(source)
        assert (problem.pointer, problem.type) == (pointer, "invalid_expression")
        assert message in problem.detail
        assert len(problem.detail) < 400


@pytest.mark.parametrize("text", [None, 1, True, ["a > 1"], {"a": 1}])
def test_an_expression_that_is_no_text_is_refused(text: Any) -> None:
    assert [(p.pointer, p.type) for p in faults({"expr": text})] == [("/c/expr", "invalid_expression")]


def test_an_expression_stands_alone() -> None:
    found = faults({"expr": "1", "field": "x", "value~": 1})
    assert [(problem.pointer, problem.type) for problem in found] == [
        ("/c/field", "unknown_key"),
        ("/c/value~0", "unknown_key"),
        ("/c/expr", "invalid_expression"),
    ]


def test_expressions_are_as_long_and_name_as_much_as_allowed() -> None:
    text = "a == '" + "x" * (cel.MAX_LENGTH - 7) + "'"
    assert len(text) == cel.MAX_LENGTH
    assert not holds(text, a="b")
    names = {f"n{i}": True for i in range(cel.MAX_NAMES)}
    assert holds(" && ".join(names), **names)


def test_an_expression_counts_as_a_leaf() -> None:
    yes: Source = {"expr": "a == 1"}
    assert faults({"any": [yes] * MAX_LEAVES}) == []
    assert [problem.type for problem in faults({"any": [yes] * (MAX_LEAVES + 1)})] == ["condition_too_large"]


def test_the_first_three_faults_are_named_and_the_source_is_not_repeated() -> None:
    (problem,) = faults({"expr": "f(1) && g(2) && h(3) && i(4)"})
    assert problem.detail == (
        "The expression is not valid: undeclared reference to 'f' (column 2); "
        "undeclared reference to 'g' (column 10); undeclared reference to 'h' (column 18)."
    )


@given(st.text(st.sampled_from("ab.()[]{}'\"!&|=+-<>?:,x01 \n\\é\x00"), max_size=30))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    assert {problem.type for problem in faults({"expr": text})} <= {"invalid_expression"}


# --- bounds of an evaluation ------------------------------------------------------------------------------------------


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


INSIDE: Final = {
    "itself": lambda value: value,
    "in a list": lambda value: [1, value],
    "in an object": lambda value: {"k": {"l": value}},
}


@pytest.mark.parametrize("inside", INSIDE.values(), ids=INSIDE)
@pytest.mark.parametrize(
    ("allowed", "refused", "message"),
    [
        ([0] * cel.MAX_ITEMS, [0] * (cel.MAX_ITEMS + 1), "'x' has 5,001 items in a list, and at most 5,000"),
        (
            dict.fromkeys(map(str, range(cel.MAX_ITEMS)), 0),
            dict.fromkeys(map(str, range(cel.MAX_ITEMS + 1)), 0),
            "'x' has 5,001 keys in an object",
        ),
        ("a" * cel.MAX_TEXT, "a" * (cel.MAX_TEXT + 1), "'x' has a text of 65,537 bytes, and at most 65,536"),
        ("é" * (cel.MAX_TEXT // 2), "é" * (cel.MAX_TEXT // 2 + 1), "'x' has a text of 65,538 bytes"),
        ({"a" * cel.MAX_TEXT: 1}, {"a" * (cel.MAX_TEXT + 1): 1}, "'x' has a text of 65,537 bytes"),
        ([[0] * 4_990] * 8, [[0] * 5_000] * 8, "with 'x', its operands are larger than 40,000"),
        (["a" * 100] * 3_000, ["a" * 100] * 3_100, "with 'x', its operands are larger than 40,000"),
        ("a\1b", "a\0b", "'x' has a text with a null character"),
        ({"a\1b": 1}, {"a\0b": 1}, "'x' has a text with a null character"),
        ("\ud7ff", "\ud800", "x != null"),
        (deep(60), deep(64), "'x' is nested more than 64 deep"),
        (deep(60), deep(100_000), "'x' is nested more than 64 deep"),
    ],
)
def test_what_an_expression_is_given_is_bounded_at_any_depth(
    inside: Any, allowed: Any, refused: Any, message: str
) -> None:
    assert holds("x != null", x=inside(allowed))
    assert message in failure("x != null", x=inside(refused))
    assert holds("y == 1", x=inside(refused), y=1)


def test_the_operands_are_bounded_together() -> None:
    half = [[0] * 4_000] * 5
    assert holds("a != null", a=half)
    assert "with 'b', its operands are larger than 40,000" in failure("a != null && b != null", a=half, b=half)


def test_the_work_of_an_expression_is_bounded() -> None:
    numbers = list(range(5_000))
    assert holds("a.all(x, x >= 0)", a=numbers)
    assert holds("a.all(x, x >= low && x < high)", a=numbers, low=0, high=5_000)
    assert holds("a.all(x, x in b)", a=numbers[:100], b=numbers[:100])
    for text in ("a.all(x, x in a)", "a.all(x, a == a)", "a.exists(x, a.exists_one == x)", "a.all(x, b.contains('y'))"):
        assert "it could take too long" in failure(text, a=numbers, b="x" * 60_000)
    assert "it could take too long" in failure("&&".join(["a == a"] * 100), a=numbers)


@pytest.mark.parametrize(
    ("cheap", "costly"),
    [
        ("a.contains('x')", "a.contains(b)"),
        ("n != " + " || n != ".join("n" * 25), "n + " + " + ".join("n" * 25) + " != []"),
        ("n.all(x, " + " && ".join(["x >= 0"] * 15) + ")", "n.all(x, x in [" + ", ".join("x" * 45) + "])"),
        ("n.all(x, " + " && ".join(["x >= 0"] * 15) + ")", "n.all(x, {" + ", ".join(["x: 1"] * 23) + "} != {})"),
        ("n.all(x, 'short' != '')", "n.all(x, '" + "long" * 400 + "' != '')"),
    ],
)
def test_what_costs_more_counts_more(cheap: str, costly: str) -> None:
    state = {"a": "x" * 60_000, "b": "x" * 60_000, "n": list(range(5_000))}
    assert holds(cheap, **state) in (True, False)
    assert "it could take too long" in failure(costly, **state)


def test_objects_count_twice() -> None:
    assert holds("x != null", x=[[[]] * 4_990] * 5)
    assert "larger than 40,000" in failure("x != null", x=[[{}] * 4_990] * 5)


def test_what_is_too_large_is_refused_before_all_of_it_is_seen() -> None:
    state = {"x": [[0] * 5_000] * 5_000}
    began = time.perf_counter()
    assert "larger than 40,000" in failure("x != null", **state)
    assert time.perf_counter() - began < 0.05


WORST: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "objects": ("a.all(r, r == r && r == r && r == r)", {"a": [{"i": i, "s": str(i)} for i in range(4_500)]}),
    "sums": ("+".join("a" * 25) + " != []", {"a": list(range(700))}),
    "searches": ("a.contains(b)", {"a": "x" * 50_000, "b": "x" * 25_000 + "y"}),
    "conversions": ("a.all(x, " + "&&".join(["string(x) != ''"] * 50) + ")", {"a": [i / 7 for i in range(1_500)]}),
    "errors": ("a.exists(x, " + "||".join(["x.b == 1"] * 80) + ") || true", {"a": list(range(900))}),
    "values": ("a != b", {"a": [[{"k": {}}] * 1_000] * 3, "b": [[{"k": {}}] * 1_000]}),
}


@pytest.mark.parametrize(("text", "state"), WORST.values(), ids=WORST)
def test_nothing_that_is_allowed_takes_long(text: str, state: dict[str, Any]) -> None:
    """About 50 ms at most; what is refused takes seconds to hours. The limit here leaves room for a busy machine."""
    test = compiled({"expr": text})
    best = 60.0
    for _ in range(3):
        began = time.perf_counter()
        test(state.__getitem__, [])
        best = min(best, time.perf_counter() - began)
    assert best < 0.25


# --- without the package ----------------------------------------------------------------------------------------------


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_an_expression_is_refused_with_what_to_install() -> None:
    (problem,) = faults({"all": [leaf("a", "==", 1), {"expr": "a > 1"}]})
    assert (problem.pointer, problem.type) == ("/c/all/1/expr", "extra_missing")
    assert "pip install 'workflow-engine[cel]'" in problem.detail
    assert faults({"all": [leaf("a", "==", 1)]}) == []


@pytest.mark.usefixtures("without_extra")
def test_an_accepted_condition_whose_extra_is_gone_is_named_and_never_has_an_answer() -> None:
    missing: set[str] = set()
    leaves = compile_accepted(leaf("a", "==", 1), missing)
    assert leaves({"a": 1}.__getitem__, [])
    assert missing == set()
    gone = compile_accepted({"any": [leaf("a", "==", 1), {"expr": "a == 1"}]}, missing)
    assert missing == {"the extra 'cel' (pip install 'workflow-engine[cel]')"}
    with pytest.raises(ConditionError, match="needs the extra 'cel'"):
        gone({"a": 1}.__getitem__, [])


def test_a_condition_that_cannot_have_been_accepted_is_a_fault() -> None:
    sources: list[Source] = [{"expr": "1"}, {"all": []}]
    for source in sources:
        with pytest.raises(ValueError, match=r"true or false|at least one"):
            compile_accepted(source, set())


@pytest.mark.usefixtures("without_extra")
def test_the_package_is_imported_only_for_an_expression() -> None:
    spec = importlib.util.find_spec("runtime.graph.cel")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


# --- in a run ---------------------------------------------------------------------------------------------------------

GRAPH: Final = graph(
    [
        node("count", tool="increment", config={"key": "n"}),
        node("route", type="conditional", tool=None),
        node("many", tool="echo", config={"message": "many", "key": "verdict"}),
        node("few", tool="echo", config={"message": "few", "key": "verdict"}),
    ],
    "count > route",
    edge("route > many", condition={"expr": "n * 2 > limit.high && has(limit.low)"}),
    edge("route > few", default=True),
    loops=[loop("count", {"expr": "n >= limit.low"})],
)


async def test_a_run_routes_and_loops_by_expressions() -> None:
    async with open_engine(settings(journal="memory:"), default_registry()) as engine:
        graph_id = (await engine.create_graph(GRAPH)).graph_id
        for high, verdict in ((5, "many"), (6, "few")):
            view = await engine.run(graph_id, {"n": 0, "limit": {"low": 3, "high": high}})
            assert (view.status, view.state["n"], view.state["verdict"]) == ("completed", 3, verdict)
            (decided,) = [
                record.data["operands"]
                for record in await engine.log(view.run_id)
                if record.event in ("edge_taken", "edge_dead") and record.data["to_node"] == "many"
            ]
            assert decided == [
                {
                    "expr": "n * 2 > limit.high && has(limit.low)",
                    "operands": {"limit": "object of 2", "n": 3},
                    "holds": verdict == "many",
                }
            ]


async def test_an_expression_without_an_answer_fails_the_run() -> None:
    async with open_engine(settings(journal="memory:"), default_registry()) as engine:
        graph_id = (await engine.create_graph(GRAPH)).graph_id
        view = await engine.run(graph_id, {"n": 0, "limit": {"low": 3}})
        assert view.status == "failed"
        (error,) = [record.data["error"] for record in await engine.log(view.run_id) if record.event == "run_failed"]
        assert error["code"] == "CONDITION_ERROR"
        assert 'Key not found in map : "high"' in error["message"]


@pytest.mark.usefixtures("without_extra")
async def test_without_the_extra_only_graphs_with_expressions_are_refused() -> None:
    async with open_engine(settings(journal="memory:"), default_registry()) as engine:
        with pytest.raises(InvalidGraph) as caught:
            await engine.create_graph(GRAPH)
        assert [(problem.pointer, problem.type) for problem in caught.value.problems] == [
            ("/edges/1/condition/expr", "extra_missing"),
            ("/loops/0/condition/expr", "extra_missing"),
        ]
        plain = {**GRAPH, "edges": [edge("count > few")], "loops": []}
        created = await engine.create_graph({**plain, "nodes": [GRAPH["nodes"][0], GRAPH["nodes"][3]]})
        assert (await engine.run(created.graph_id, {"n": 0})).status == "completed"
