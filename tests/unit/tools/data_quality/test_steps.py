"""The tools one by one and in turns, and the graphs that run them."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tools.data_quality
from tests.support.quality_tables import Columns, changed, scattered, sites, swapped, table_of, words
from tests.unit.tools.data_quality.conftest import Lines
from tools.contract import Tool, ToolContext, ToolError
from tools.data_quality import (
    apply_rules,
    generate_rules,
    get_data_quality_graph_definition,
    identify_anomalies,
    profile_data,
    propose_repairs,
)
from tools.data_quality.judging import judge
from tools.data_quality.rules.model import RULE_TYPES, RuleType, make_rule

Runner = Callable[..., dict[str, Any]]

SITES = sites(20, 10)
DIRTY = changed(
    SITES, town=scattered(SITES, "town", 9, swapped, 1), name=scattered(SITES, "name", 4, lambda cell: "N/A", 2)
)
KEYS = (
    *("map", "words", "min", "max", "values", "unit", "spellings", "pattern", "shape", "fill", "drop", "clip", "type"),
    *("format", "operator", "sign", "from", "to", "determinants", "agreement", "offset", "foreign_only", "source"),
)
NUMBERS = [
    *(20 + (row * 37) % 61 + row % 10 / 10 for row in range(94)),
    *[None] * 5,
    *(900, -700, 1200, 850, "N/A", "x", "1,234"),
]


def test_a_list_of_106_numbers_ends_with_few_anomalies(one_pass: Runner) -> None:
    assert len(NUMBERS) == 106
    state: dict[str, Any] = {"dataset": NUMBERS}
    for _ in range(5):
        state = one_pass(state)
        if state["anomaly_count"] < 5:
            break
    assert state["iteration"] == 1
    assert state["anomaly_count"] < 5
    assert state["dataset"][:94] == NUMBERS[:94]


def test_a_list_of_106_numbers_takes_milliseconds(one_pass: Runner) -> None:
    one_pass({"dataset": NUMBERS})
    times = []
    for _ in range(5):
        started = time.perf_counter()
        one_pass({"dataset": NUMBERS})
        times.append(time.perf_counter() - started)
    assert min(times) < 0.1


def test_each_tool_writes_one_line_and_only_the_keys_it_declares(context: ToolContext, lines: Lines) -> None:
    state: dict[str, Any] = {"dataset": DIRTY}
    steps = (profile_data, identify_anomalies, generate_rules, apply_rules, propose_repairs)
    for step in steps:
        update = step(state, context=context)
        declared = next(tool for tool in vars(tools.data_quality).values() if tool is step)
        assert isinstance(declared, Tool)
        assert set(update) <= set(declared.writes)
        state |= update
        assert json.loads(json.dumps(state, allow_nan=False)) == state
    said = [(level, message) for level, message, fields in lines.written if "rows" in fields]
    assert said == [
        ("info", message)
        for message in (*("profiled", "identified anomalies", "generated rules", "applied rules", "proposed repairs"),)
    ]


def test_passes_add_up_and_say_when_another_one_would_not_help(one_pass: Runner) -> None:
    first = one_pass({"dataset": DIRTY})
    assert (first["iteration"], first["modifications_made"], first["patch"]["total"]) == (1, 9, 9)
    assert first["dataset"] == DIRTY | {"town": SITES["town"]}
    second = one_pass(first)
    assert (second["iteration"], second["modifications_made"], second["patch"]["total"]) == (2, 9, 0)
    assert (second["settled"], second["stopped"]) == (True, "unchanged")
    assert second["dataset"] == first["dataset"]
    assert second["anomaly_count"] == 4, "what waits for a person"


def test_a_dry_run_says_what_would_change_and_changes_nothing(one_pass: Runner, context: ToolContext) -> None:
    state: dict[str, Any] = {"dataset": DIRTY}
    state |= generate_rules(state)
    update = apply_rules(state, mode="dry_run", context=context)
    assert set(update) == {"patch"}
    assert update["patch"] == apply_rules(state)["patch"]


def proposed() -> dict[str, Any]:
    state: dict[str, Any] = {"dataset": DIRTY}
    for step in (generate_rules, apply_rules, propose_repairs):
        state |= step(state)
    return state


def test_what_waits_for_a_person_is_proposed_by_rule() -> None:
    proposals = proposed()["proposals"]
    assert proposals["total"] == 4
    [rule] = proposals["by_rule"]
    assert (rule["type"], rule["columns"][0], rule["cells"]) == ("dependency", "name", 4)
    assert len(rule["examples"]) == 3
    assert {example["old"] for example in rule["examples"]} == {"N/A"}


@pytest.mark.parametrize(("approve", "repaired"), [("all", True), ("none", False), ([], False), (["other"], False)])
def test_only_what_is_approved_is_done(approve: object, repaired: bool) -> None:
    state = proposed() | {"decision": {"approve": approve}}
    update = apply_rules(state, mode="approved")
    assert (update["dataset"] == SITES) == repaired
    assert update["patch"]["total"] == (4 if repaired else 0)
    rule_id = state["proposals"]["by_rule"][0]["rule_id"]
    assert apply_rules(state | {"decision": {"approve": [rule_id]}}, mode="approved")["dataset"] == SITES


@pytest.mark.parametrize("decision", [None, "all", {}, {"approve": 1}, {"approve": [1]}, {"approve": "yes"}])
def test_a_decision_of_another_form_is_refused(decision: object) -> None:
    with pytest.raises(ToolError) as caught:
        apply_rules(proposed() | {"decision": decision}, mode="approved")
    assert caught.value.code == "DECISION_INVALID"


def test_a_pass_that_helps_nothing_is_rolled_back_and_said(context: ToolContext, lines: Lines) -> None:
    content: Columns = {"id": words(102), "size": [*map(str, range(100)), "5000", None]}
    harmful = make_rule("placeholder", ["size"], {"words": ["7"]}, tier="auto", repair="empties the cell")
    state = {"dataset": content, "rules": [harmful.model_dump()], "modifications_made": 3}
    update = apply_rules(state, context=context)
    kept = ("dataset", "modifications_made", "patch", "settled", "stopped")
    assert [update[key] for key in kept] == [content, 3, {"total": 0, "sample": []}, True, "not_fewer"]
    assert [fields for level, _, fields in lines.written if level == "warning"] == [{"before": 1, "after": 1}]


@pytest.mark.parametrize(
    "rules",
    [
        None,
        {},
        [{"version": 1}],
        [1],
        ["x"],
        [make_rule("unique", ["a"]).model_dump() | {"columns": []}],
        [{"type": "unique"}],
    ],
)
def test_rules_of_another_form_are_refused(rules: object) -> None:
    with pytest.raises(ToolError) as caught:
        apply_rules({"dataset": [1], "rules": rules})
    assert caught.value.code == "RULES_INVALID"
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("type_", "params"),
    [
        ("range", {}),
        ("range", {"min": "a", "max": 3}),
        ("regex", {"pattern": "(", "shape": "A"}),
        ("set", {"values": 4}),
        ("typo_map", {"map": [["a"]]}),
        ("unit", {"unit": "kg"}),
        ("dependency", {"determinants": [["a"]]}),
        (
            "dependency",
            {
                "determinants": [[]],
                "agreement": [0.9],
                "lift": [1],
                "offset": [0],
                "foreign_only": [False],
                "source": None,
            },
        ),
    ],
)
def test_rules_with_wrong_params_are_refused_by_name(type_: RuleType, params: dict[str, Any]) -> None:
    rule = make_rule(type_, ["a", "b"] if type_ == "dependency" else ["a"], params)
    content = {"a": [*map(str, range(30)), "x", "3 kg"] * 2, "b": ["u", "v"] * 32}
    with pytest.raises(ToolError) as caught:
        apply_rules({"dataset": content, "rules": [rule.model_dump()]})
    assert caught.value.code == "RULES_INVALID"
    assert rule.rule_id in str(caught.value)


@settings(deadline=None, max_examples=80)
@given(
    type_=st.sampled_from(RULE_TYPES),
    names=st.lists(st.sampled_from("abc"), min_size=1, max_size=3),
    params=st.dictionaries(
        st.sampled_from(KEYS),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-5, 5)
            | st.floats(allow_nan=False)
            | st.sampled_from(["a", "b", "", "(", "%Y"]),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=6,
        ),
    ),
)
def test_rules_written_by_hand_work_or_are_refused(type_: RuleType, names: list[str], params: dict[str, Any]) -> None:
    rule = make_rule(type_, names, params)
    content = table_of(
        a=[*map(str, range(20)), "x", None], b=["u", "v"] * 11, c=[f"2020-01-{day + 1:02}" for day in range(22)]
    )
    with suppress(ToolError):
        judge(content, [rule])


def test_a_pattern_that_would_keep_a_backtracking_matcher_busy_takes_no_time() -> None:
    rule = make_rule("regex", ["a"], {"pattern": "(a+)+b", "shape": "a"})
    started = time.perf_counter()
    judge(table_of(a=["a" * 40 + str(row) for row in range(50)]), [rule])
    assert time.perf_counter() - started < 5


def test_the_policy_is_checked_when_a_graph_is_made() -> None:
    assert generate_rules.arguments({"missing": "drop"})["missing"] == "drop"
    with pytest.raises(ValueError, match="missing"):
        generate_rules.arguments({"missing": "guess"})


def test_a_tool_ends_when_its_run_is_over(context: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*args: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(ToolContext, "progress", end)
    for step in (profile_data, identify_anomalies, generate_rules):
        with pytest.raises(TimeoutError):
            step({"dataset": DIRTY}, context=context)


@pytest.mark.parametrize("review", [False, True])
def test_the_graph_is_a_loop_that_ends_when_clean_or_settled(review: bool) -> None:
    graph = get_data_quality_graph_definition(threshold=3, max_iterations=9, review=review)
    assert json.loads(json.dumps(graph)) == graph
    [loop] = graph["loops"]
    assert (loop["node"], loop["max_iterations"]) == ("apply_rules", 9)
    assert loop["condition"] == {
        "any": [
            {"field": "anomaly_count", "operator": "<", "value": 3},
            {"field": "settled", "operator": "==", "value": True},
        ]
    }
    names = [node["name"] for node in graph["nodes"]]
    assert graph["entry_point"] == names[0]
    assert {edge[end] for edge in graph["edges"] for end in ("from_node", "to_node")} == set(names)
    known = {tool.name for tool in vars(tools.data_quality).values() if isinstance(tool, Tool)}
    assert {node["tool"] for node in graph["nodes"] if "tool" in node} <= known | {"report_quality"}
    assert ("review" in names) == review
