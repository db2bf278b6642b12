"""The tools step by step repair, propose and approve what the loop without a server does: the state and the report agree."""

from functools import cache
from typing import Any

from bench.data_quality import make_demo
from tools.data_quality import apply_rules, generate_rules, propose_repairs
from tools.data_quality.datasets.dataset import of_file
from tools.data_quality.outcome import Outcome
from tools.data_quality.pipeline import accepted, clean

State = dict[str, Any]
Cells = dict[tuple[int, str], Any]


@cache
def table() -> dict[str, list[str]]:
    """The demo's table, some of whose errors are only seen once others are repaired."""
    return make_demo.made().dirty


@cache
def looped() -> State:
    """The state after the loop of the graph, inline."""
    state: State = {"dataset": table()}
    for _ in range(5):
        state |= generate_rules(state)
        state |= apply_rules(state)
        if state["settled"]:
            break
    return state


@cache
def outcome() -> Outcome:
    return clean(of_file(make_demo.files()["flights.csv"], "flights.csv"))


def changes(after: dict[str, list[Any]]) -> Cells:
    return {
        (row, name): new or None
        for name, cells in table().items()
        for row, (old, new) in enumerate(zip(cells, after[name], strict=True))
        if old != (new or "")
    }


def test_the_loop_of_the_graph_changes_what_the_report_says_was_repaired_at_once() -> None:
    state = looped()
    assert state["iteration"] > 1, "the table has no errors that hide others, so this shows nothing"
    assert state["stopped"] == "unchanged"
    patch = {(change.row, change.column): change.new for change in outcome().patch if change.tier == "auto"}
    assert changes(state["dataset"]) == patch


def test_no_pass_is_made_only_to_find_that_nothing_is_left() -> None:
    state = looped()
    assert state["patch"]["total"] > 0
    assert apply_rules(state | generate_rules(state))["patch"]["total"] == 0


def test_what_is_proposed_by_rule_is_what_an_approval_changes_in_state_and_report() -> None:
    state = dict(looped())
    state |= propose_repairs(state)
    proposed = state["proposals"]["by_rule"]
    assert len(proposed) > 1
    approved = [proposed[0]["rule_id"]]
    before = changes(state["dataset"])
    after = changes(apply_rules(state | {"decision": {"approve": approved}}, mode="approved")["dataset"])
    assert len(after.items() - before.items()) == proposed[0]["cells"]
    told = accepted(outcome(), approved).patch
    assert after == {(change.row, change.column): change.new for change in told if change.tier == "auto"}


def test_nothing_is_changed_where_nothing_is_approved() -> None:
    state = dict(looped())
    state |= propose_repairs(state)
    update = apply_rules(state | {"decision": {"approve": "none"}}, mode="approved")
    assert (update["dataset"], update["patch"]["total"]) == (state["dataset"], 0)


def test_proposing_keeps_the_rules_that_the_owner_has_decided_about() -> None:
    state: State = {"dataset": table()}
    state |= generate_rules(state, duplicates="drop")
    proposed = propose_repairs(state)
    (rule,) = [rule for rule in proposed["rules"] if rule["type"] == "duplicate_rows"]
    assert rule["params"] == {"drop": True}
