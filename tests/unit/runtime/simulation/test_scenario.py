"""Reading scenarios: what may be said, and where each mistake is."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runtime.errors import InvalidInput
from runtime.simulation.scenario import START, read_scenario


def test_everything_has_a_default() -> None:
    scenario = read_scenario({})
    assert (scenario.seed, scenario.seeds, scenario.initial_state, scenario.starts_at) == (0, 1, {}, START)
    assert read_scenario(scenario) is scenario


def test_everything_can_be_said() -> None:
    scenario = read_scenario(
        {
            "initial_state": {"n": 1},
            "seed": -5,
            "seeds": 1_000,
            "mocks": [
                {
                    "node": "a*",
                    "tool": "echo",
                    "path": "sub#?",
                    "iteration": 2,
                    "attempt": 1,
                    "item": 0,
                    "value": {"x": None},
                },
                {"values": [{}, {"x": 1}], "duration_s": 3},
                {"fail": {"code": "DOWN", "message": "…", "retryable": False}, "fail_chance": 0.5, "value": {"x": 2}},
                {"duration_s": [0, 1.5]},
            ],
            "allow_unknown_tools": True,
            "signals": [{"at_s": 5, "name": "paid", "data": {"amount": 1}}, {"at_s": 0, "name": "go"}],
            "answers": [{"node": "review", "iteration": 1, "answer": None, "after_s": 2.5}],
            "cancel_at_s": 9,
            "starts_at": "2026-01-31T12:00:00+01:00",
        }
    )
    assert scenario.mocks[1].duration_s == (3, 3)
    assert scenario.mocks[2].fail is not None
    assert scenario.starts_at == datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert scenario.answers[0].answer is None


def test_null_for_an_optional_key_leaves_it_out() -> None:
    scenario = read_scenario(
        {"initial_state": None, "cancel_at_s": None, "mocks": [{"node": None, "duration_s": None}]}
    )
    assert scenario == read_scenario({"mocks": [{}]})


@pytest.mark.parametrize(
    ("source", "pointer"),
    [
        ({"sed": 1}, "/sed"),
        ({"seed": "1"}, "/seed"),
        ({"seed": True}, "/seed"),
        ({"seed": 2**53 + 1}, "/seed"),
        ({"seeds": 0}, "/seeds"),
        ({"seeds": 1_001}, "/seeds"),
        ({"initial_state": []}, "/initial_state"),
        ({"mocks": {}}, "/mocks"),
        ({"mocks": [{}] * 1_001}, "/mocks"),
        ({"mocks": [{}, {"nod/e": 1}]}, "/mocks/1/nod~1e"),
        ({"mocks": [{"node": 1}]}, "/mocks/0/node"),
        ({"mocks": [{"iteration": 0}]}, "/mocks/0/iteration"),
        ({"mocks": [{"item": -1}]}, "/mocks/0/item"),
        ({"mocks": [{"value": 1}]}, "/mocks/0/value"),
        ({"mocks": [{"values": []}]}, "/mocks/0/values"),
        ({"mocks": [{"values": [{}, 1]}]}, "/mocks/0/values/1"),
        ({"mocks": [{"value": {}, "values": [{}]}]}, "/mocks/0"),
        ({"mocks": [{"fail": {}, "value": {}}]}, "/mocks/0"),
        ({"mocks": [{"fail": {"code": "down"}}]}, "/mocks/0/fail/code"),
        ({"mocks": [{"fail_chance": 0.5}]}, "/mocks/0"),
        ({"mocks": [{"fail": {}, "fail_chance": 1.5}]}, "/mocks/0/fail_chance"),
        ({"mocks": [{"duration_s": -1}]}, "/mocks/0/duration_s"),
        ({"mocks": [{"duration_s": True}]}, "/mocks/0/duration_s"),
        ({"mocks": [{"duration_s": float("nan")}]}, "/mocks/0/duration_s"),
        ({"mocks": [{"duration_s": [1]}]}, "/mocks/0/duration_s"),
        ({"mocks": [{"duration_s": [2, 1]}]}, "/mocks/0/duration_s"),
        ({"signals": [{"at_s": 1}]}, "/signals/0/name"),
        ({"signals": [{"at_s": 1, "name": "a", "id": "b"}]}, "/signals/0/id"),
        ({"answers": [{"node": "a"}]}, "/answers/0/answer"),
        ({"cancel_at_s": float("inf")}, "/cancel_at_s"),
        ({"starts_at": 0}, "/starts_at"),
        ({"starts_at": "2026-01-31T12:00:00"}, "/starts_at"),
        ({"starts_at": "9999-12-31T23:59:59Z"}, "/starts_at"),
    ],
    ids=str,
)
def test_a_mistake_is_refused_with_its_place(source: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_scenario(source)
    assert {problem.pointer for problem in refused.value.problems} == {pointer}


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_scenario({"seeds": 0, "mocks": [{"x": 1}], "signals": [{"at_s": 1}]})
    assert [(problem.pointer, problem.type) for problem in refused.value.problems] == [
        ("/seeds", "greater_than_equal"),
        ("/mocks/0/x", "unknown_key"),
        ("/signals/0/name", "missing_key"),
    ]
