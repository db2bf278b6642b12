"""What may change a value, and what must hold after it did."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tools.data_quality.conftest import Lines
from tools.contract import ToolContext, ToolError
from tools.data_quality import apply_rules, generate_rules, identify_anomalies, profile_data

Runner = Callable[..., dict[str, Any]]

DIRTY = st.one_of(
    st.none(),
    st.integers(-50, 50),
    st.floats(-1e3, 1e3, allow_nan=False),
    st.sampled_from(
        [9999, -999, 10**6, -0.0, True, "", " ", "N/A", "-", "x", " x", "x ", "1,234", " 7", "7", "3,5", "007"]
    ),
)
BARE = st.lists(DIRTY, max_size=60)
TABLE = st.lists(st.fixed_dictionaries({"a": DIRTY, "b": st.integers(0, 3)}), max_size=40)
POLICY = st.fixed_dictionaries(
    {
        "missing": st.sampled_from(["auto", "keep", "median", "drop"]),
        "outliers": st.sampled_from(["auto", "keep", "clip"]),
    }
)


def rules_of(dataset: object, **config: Any) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = generate_rules({"dataset": dataset}, **config)["rules"]
    return rules


@settings(deadline=None)
@given(dataset=st.one_of(BARE, TABLE), policy=POLICY)
def test_a_pass_never_leaves_more_anomalies(dataset: list[Any], policy: dict[str, Any]) -> None:
    before = identify_anomalies({"dataset": dataset})
    after = apply_rules({"dataset": dataset, "rules": rules_of(dataset, **policy)})
    assert after["anomaly_count"] <= before["anomaly_count"]
    again = identify_anomalies({"dataset": after["dataset"]})
    assert {key: after[key] for key in again} == again, "the verdict is that of the cleaned data"


@settings(deadline=None)
@given(dataset=st.one_of(BARE, TABLE), policy=POLICY)
def test_what_no_rule_names_stays_as_it_was(dataset: list[Any], policy: dict[str, Any]) -> None:
    unarmed = [rule | {"repair": None} for rule in rules_of(dataset, **policy)]
    assert repr(apply_rules({"dataset": dataset, "rules": unarmed})["dataset"]) == repr(dataset)
    rules = rules_of(dataset, **policy)
    after = apply_rules({"dataset": dataset, "rules": rules})
    changes = {(change["row"], change["column"]): change for change in after["patch"]["sample"]}
    assert {change["rule_id"] for change in changes.values()} <= {rule["rule_id"] for rule in rules if rule["repair"]}
    if after["patch"]["total"] > len(changes):
        return
    removed = {row for row, column in changes if column is None}
    expected = []
    for row, item in enumerate(dataset):
        if row in removed:
            continue
        if isinstance(item, dict):
            new = {name: changes.get((row, name), {"new": value})["new"] for name, value in item.items()}
            expected.append(new)
        else:
            expected.append(changes.get((row, "value"), {"new": item})["new"])
    if dataset and not all(row in removed for row in range(len(dataset))):
        assert repr(after["dataset"]) == repr(expected)


@settings(deadline=None)
@given(dataset=st.one_of(BARE, TABLE), policy=POLICY)
def test_every_rule_holds_on_its_own_share_of_the_data(dataset: list[Any], policy: dict[str, Any]) -> None:
    rules = rules_of(dataset, **policy)
    json.dumps(rules, allow_nan=False)
    for rule in rules:
        assert rule["support"] > 0
        assert 0 <= rule["violations"] <= rule["support"]
        assert rule["mostly"] * rule["support"] <= rule["support"] - rule["violations"] + 1e-9
    assert len({rule["rule_id"] for rule in rules}) == len(rules)
    order = [rule["repair"] is None for rule in rules]
    assert order == sorted(order)


def test_a_bare_list_is_filled_and_clipped(one_pass: Runner) -> None:
    state = one_pass({"dataset": [*range(1, 101), None, 5000]})
    assert state["dataset"][-2] == 51
    assert 150 < state["dataset"][-1] < 400
    assert state["anomaly_count"] <= 1


def test_a_table_keeps_gaps_and_outliers_unless_told_otherwise(one_pass: Runner) -> None:
    dataset = {"id": list(range(102)), "size": [*range(1, 101), None, 5000]}
    kept = one_pass({"dataset": dataset})
    assert kept["dataset"] == dataset
    assert kept["anomalies"]["by_kind"] == {"missing": 1, "outlier": 1}
    changed = one_pass({"dataset": dataset}, missing="median", outliers="clip")
    assert changed["dataset"]["size"][-2] == 51
    assert changed["dataset"]["size"][-1] < 400
    dropped = one_pass({"dataset": dataset}, missing="drop")
    assert dropped["dataset"]["id"] == [*range(100), 101]
    assert dropped["patch"]["sample"][0] | {"rule_id": ""} == {
        "row": 100,
        "column": None,
        "old": None,
        "new": None,
        "rule_id": "",
    }


def test_a_list_can_be_left_alone(one_pass: Runner) -> None:
    dataset = [*range(1, 101), None, 5000]
    assert one_pass({"dataset": dataset}, missing="keep", outliers="keep")["dataset"] == dataset
    assert one_pass({"dataset": dataset}, missing="drop", outliers="keep")["dataset"] == [*range(1, 101), 5000]


def test_a_placeholder_that_became_null_is_still_one_anomaly(one_pass: Runner) -> None:
    state = one_pass({"dataset": {"id": list(range(41)), "name": [*(f"n {row}" for row in range(40)), "N/A"]}})
    assert state["dataset"]["name"][-1] is None
    assert state["anomalies"]["by_kind"] == {"missing": 1}


def test_rows_that_become_equal_are_one(one_pass: Runner) -> None:
    rows = [{"id": row, "name": f"name {row}"} for row in range(20)]
    state = one_pass({"dataset": [*rows, {"id": 3, "name": " name 3"}, rows[4]]})
    assert state["dataset"] == rows
    assert state["modifications_made"] == 2
    assert state["anomaly_count"] == 0


def test_a_pass_that_would_raise_the_count_is_rolled_back(context: ToolContext, lines: Lines) -> None:
    dataset = {"id": list(range(40)), "size": list(range(40))}
    harmful = {
        "version": 1,
        "rule_id": "harmful",
        "type": "placeholder",
        "columns": ["size"],
        "params": {"words": ["7"]},
        "mostly": 0.9,
        "support": 40,
        "violations": 1,
        "confidence": 0.9,
        "repair": {"action": "set_null", "value": None},
    }
    state = {"dataset": dataset, "rules": [harmful], "modifications_made": 3}
    update = apply_rules(state, context=context)
    assert update["dataset"] == dataset
    assert (update["modifications_made"], update["patch"], update["anomaly_count"]) == (
        3,
        {"total": 0, "sample": []},
        0,
    )
    assert next((level, fields) for level, _, fields in lines.written) == ("warning", {"before": 0, "after": 1})


def test_modifications_and_iterations_add_up(one_pass: Runner) -> None:
    first = one_pass({"dataset": [*range(100), None, None, 500]})
    second = one_pass(first)
    assert (first["iteration"], second["iteration"]) == (1, 2)
    assert first["modifications_made"] == 3
    assert second["modifications_made"] == 3 + second["patch"]["total"]


@pytest.mark.parametrize("rules", [None, {}, [{"version": 2}], [1]])
def test_rules_of_another_form_are_refused(rules: object) -> None:
    with pytest.raises(ToolError) as caught:
        apply_rules({"dataset": [1], "rules": rules})
    assert caught.value.code == "RULES_INVALID"


def test_rules_with_missing_params_are_refused() -> None:
    rules = rules_of([*range(20), 5000])
    broken = [rule | {"params": {}} for rule in rules if rule["type"] == "range"]
    with pytest.raises(ToolError, match="has invalid params"):
        apply_rules({"dataset": [1], "rules": broken})


def test_the_policy_is_checked_when_a_graph_is_made() -> None:
    assert generate_rules.arguments({"missing": "drop"}) == {"missing": "drop", "outliers": "auto"}
    with pytest.raises(ValueError, match="missing"):
        generate_rules.arguments({"missing": "guess"})


def test_without_a_context_inline_data_still_works(context: ToolContext) -> None:
    assert profile_data({"dataset": [1]}) == profile_data({"dataset": [1]}, context=replace(context, datasets_dir=None))


def test_clipping_does_not_reorder_numbers(one_pass: Runner) -> None:
    dataset = [*range(100), 700, 900, -800]
    cleaned = one_pass({"dataset": dataset})["dataset"]
    ranked = [new for _, new in sorted(zip(dataset, cleaned, strict=True))]
    assert all(low <= high for low, high in pairwise(ranked))
