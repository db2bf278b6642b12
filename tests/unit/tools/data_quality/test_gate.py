"""A short run of the gate, large tables thinned: no table of it may fall below its floor. `make dq-gate` runs all of it.

The floors stand in `bench/data_quality/floors.json`; null is a mark that no floor was set for yet.
"""

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bench.data_quality import scenarios as gate_scenarios
from bench.data_quality.gate import Marks, run_gate
from bench.data_quality.running import by_function
from bench.data_quality.scenarios import GATE_MIXES, Scenario
from bench.data_quality.subject import Subject
from bench.data_quality.subjects import GATE

FLOORS: dict[str, dict[str, float | None]] = json.loads(
    Path(gate_scenarios.__file__).with_name("floors.json").read_text(encoding="utf-8")
)
CEILINGS = ("broken", "alarms")
MIX = "everything"
MOST_CELLS = 12_000


def below(marks: Marks, floors: dict[str, float | None]) -> list[str]:
    """Return the marks that are on the wrong side of their floor, or of their ceiling, each as a sentence."""
    failures = []
    for name, bound in floors.items():
        mark: Any = getattr(marks, name)
        if bound is not None and (mark > bound if name in CEILINGS else mark < bound):
            failures.append(f"{name} is {mark:.4f}, and may be {bound} at {'most' if name in CEILINGS else 'least'}")
    return failures


@pytest.mark.parametrize("subject", GATE, ids=lambda subject: subject.name)
def test_a_table_of_the_gate_keeps_its_floors(subject: Subject) -> None:
    everything = Scenario(subject, MIX, GATE_MIXES[MIX])
    tables, _ = run_gate([everything], range(1, 2), by_function, lambda line: None, MOST_CELLS)
    assert not below(tables[subject.name], FLOORS[subject.name])


def test_every_table_has_an_entry_of_known_marks() -> None:
    assert list(FLOORS) == [subject.name for subject in GATE]
    assert all(floors.keys() <= {field.name for field in fields(Marks)} for floors in FLOORS.values())


def test_floors_are_for_what_should_be_high_and_ceilings_for_what_should_be_low() -> None:
    marks = Marks(0.9, 0.8, 0.85, 0.9, 0.7, 0.79, 0.95, 0.1, 2.0)
    assert not below(marks, {"detection_f1": 0.85, "repair_f1": None, "broken": 0.1, "alarms": 2.0})
    assert below(marks, {"detection_f1": 0.86}) == ["detection_f1 is 0.8500, and may be 0.86 at least"]
    assert below(marks, {"alarms": 1.9, "broken": math.inf}) == ["alarms is 2.0000, and may be 1.9 at most"]
