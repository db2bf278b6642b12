"""The whole pipeline: on a list, on the demo table, in a loop, in another process, and as a graph."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tools.data_quality
from tests.unit.tools.data_quality.conftest import Lines
from tools.contract import Tool
from tools.data_quality import get_data_quality_graph_definition

Runner = Callable[..., dict[str, Any]]

DEMO = Path(tools.data_quality.__file__).parent / "demo" / "airports.csv"
NUMBERS = [
    *(20 + (row * 37) % 61 + row % 10 / 10 for row in range(94)),
    *[None] * 5,
    900,
    -700,
    1200,
    850,
    "N/A",
    "x",
    "1,234",
]

SCRIPT = """
import json, sys
from tools.data_quality import *
state = {"dataset": json.load(sys.stdin)}
for tool in (profile_data, identify_anomalies, generate_rules, apply_rules):
    state |= tool(state)
print(json.dumps(state))
"""


@pytest.fixture
def airports(tmp_path: Path) -> dict[str, Any]:
    shutil.copy(DEMO, tmp_path / "airports.csv")
    return {"dataset": {"path": "airports.csv"}}


def found(state: dict[str, Any]) -> set[tuple[int, str, str]]:
    return {(anomaly["row"], anomaly["column"], anomaly["kind"]) for anomaly in state["anomalies"]["sample"]}


def test_a_list_of_106_numbers_ends_with_few_anomalies(one_pass: Runner) -> None:
    assert len(NUMBERS) == 106
    state: dict[str, Any] = {"dataset": NUMBERS}
    for _ in range(5):
        state = one_pass(state)
        if state["anomaly_count"] < 5:
            break
    assert state["anomaly_count"] < 5
    assert state["iteration"] <= 2
    assert [new for old, new in zip(NUMBERS, state["dataset"], strict=True) if old in NUMBERS[:94]] == NUMBERS[:94]


def test_a_list_of_106_numbers_takes_milliseconds(one_pass: Runner) -> None:
    one_pass({"dataset": NUMBERS})
    times = []
    for _ in range(5):
        started = time.perf_counter()
        one_pass({"dataset": NUMBERS})
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05


def test_the_demo_shows_its_known_faults_and_spares_the_rest(airports: dict[str, Any], one_pass: Runner) -> None:
    dvt, een, myf, sya = 396, 417, 942, 1290
    outliers = {(row, "lon", "outlier") for row in (dvt, een, myf, sya)} | {
        (row, "tz", "outlier") for row in (dvt, myf)
    }
    gaps = {(row, "tzone") for row in (een, 815, 1434)}
    state = one_pass(airports)
    assert found(state) == outliers | {(*gap, "missing") for gap in gaps}
    assert state["anomaly_count"] == 9
    assert state["quality_score"] == 99.92
    changes = {(change["row"], change["column"], change["old"], change["new"]) for change in state["patch"]["sample"]}
    assert changes == {(*gap, "NA", None) for gap in gaps}


def test_the_demo_loses_nothing_but_three_words(airports: dict[str, Any], one_pass: Runner, tmp_path: Path) -> None:
    first = one_pass(airports)
    second = one_pass(first)
    assert (tmp_path / first["dataset"]["path"]).read_text() == DEMO.read_text().replace(",NA\n", ",\n")
    assert second["dataset"] == first["dataset"], "nothing is left that a rule may change"
    assert (second["modifications_made"], second["iteration"]) == (3, 2)
    assert json.loads((tmp_path / first["rules_path"]).read_text()) == first["rules"]


@pytest.mark.parametrize("threads", ["1", "4"])
def test_another_process_comes_to_the_same_result(one_pass: Runner, threads: str) -> None:
    rows = [
        {"id": row % 90, "name": f" n{row % 7}" if row % 31 == 0 else f"n{row % 7}", "size": row % 13}
        for row in range(99)
    ]
    dataset = [*rows, {"id": 1, "name": "N/A", "size": 5000}]
    environment = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": threads}
    root = Path(tools.data_quality.__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(dataset),
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert result.stdout == json.dumps(one_pass({"dataset": dataset})) + "\n", result.stderr


def test_the_state_is_small_json(airports: dict[str, Any], one_pass: Runner) -> None:
    state = one_pass(airports)
    assert len(json.dumps(state, allow_nan=False)) < 20_000
    assert json.loads(json.dumps(state)) == state


def test_every_tool_writes_one_line_and_only_the_keys_it_declares(
    airports: dict[str, Any], one_pass: Runner, lines: Lines
) -> None:
    state = one_pass(airports)
    assert [(level, message) for level, message, _ in lines.written] == [
        ("info", "profiled"),
        ("info", "identified anomalies"),
        ("info", "generated rules"),
        ("info", "applied rules"),
    ]
    assert all(fields["rows"] == 1458 and fields["columns"] == 8 for _, _, fields in lines.written)
    tool_objects = [tool for tool in vars(tools.data_quality).values() if isinstance(tool, Tool)]
    assert {tool.name for tool in tool_objects} == {
        "profile_data",
        "identify_anomalies",
        "generate_rules",
        "apply_rules",
    }
    assert set(state) == {key for tool in tool_objects for key in tool.writes}


def test_the_graph_is_a_loop_of_the_four_tools() -> None:
    names = ["profile_data", "identify_anomalies", "generate_rules", "apply_rules"]
    graph = get_data_quality_graph_definition()
    assert graph == {
        "name": "data_quality_pipeline",
        "description": graph["description"],
        "nodes": [
            {"name": name, "type": "loop" if name == "apply_rules" else "standard", "tool": name, "config": {}}
            for name in names
        ],
        "edges": [
            {"from_node": "profile_data", "to_node": "identify_anomalies"},
            {"from_node": "identify_anomalies", "to_node": "generate_rules"},
            {"from_node": "generate_rules", "to_node": "apply_rules"},
            {"from_node": "apply_rules", "to_node": "profile_data"},
        ],
        "loops": [
            {
                "node": "apply_rules",
                "condition": {"field": "anomaly_count", "operator": "<", "value": 5},
                "max_iterations": 5,
            }
        ],
        "entry_point": "profile_data",
    }
    assert json.loads(json.dumps(graph)) == graph
    loop = get_data_quality_graph_definition(threshold=1, max_iterations=9)["loops"][0]
    assert (loop["condition"]["value"], loop["max_iterations"]) == (1, 9)
