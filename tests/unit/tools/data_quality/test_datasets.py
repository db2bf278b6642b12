"""Inline datasets: every shape goes in and comes out as it was, and nothing else is a dataset."""

from collections.abc import Callable
from typing import Any

import pytest

from tools.contract import ToolError
from tools.data_quality import identify_anomalies, profile_data
from tools.data_quality.datasets import limits

Runner = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    "dataset",
    [
        [],
        [1, 1.0, -0.0, 10**400, 3],
        [{}],
        [{"a": 1, "b": None}, {"b": "x"}, {}],
        {"a": []},
        {"a": [1, 1.0, True, "1", None], "b": ["x", "y", "z", "", " w"]},
    ],
)
def test_a_dataset_without_repairs_comes_back_as_it_was(dataset: object, one_pass: Runner) -> None:
    state = one_pass({"dataset": dataset}, missing="keep", outliers="keep")
    if state["modifications_made"] == 0:
        assert repr(state["dataset"]) == repr(dataset)
    else:
        assert [list(row.values())[1] for row in state["patch"]["sample"]] == ["b"], (
            "only the untrimmed text is changed"
        )


def test_row_objects_come_back_as_row_objects(one_pass: Runner) -> None:
    rows: list[dict[str, Any]] = [{"id": row, "name": f"name {row}", "size": row % 5} for row in range(40)]
    dirty = [*rows, {"id": 40, "name": " name 4 ", "size": "N/A"}, {"size": "1,234", "id": 41, "other": 1}]
    cleaned = one_pass({"dataset": dirty})["dataset"]
    assert cleaned == [*rows, {"id": 40, "name": "name 4", "size": "N/A"}, {"size": 1234, "id": 41, "other": 1}]
    assert list(cleaned[-1]) == ["size", "id", "other"]


def test_columns_come_back_as_columns(one_pass: Runner) -> None:
    dataset = {"id": list(range(41)), "size": [*range(40), " 7 "]}
    assert one_pass({"dataset": dataset})["dataset"] == {"id": list(range(41)), "size": [*range(40), 7]}


def test_texts_in_a_list_of_numbers_are_dirty_cells(one_pass: Runner) -> None:
    state = one_pass({"dataset": [*range(20), "abc", " 7 ", "n/a"]})
    assert state["dataset"] == [*range(20), 9, 7, 9]


@pytest.mark.parametrize(
    "dataset",
    [
        None,
        "table.csv",
        {},
        {"a": 1},
        {"path": "a.csv", "more": 1},
        {"a": [1], "b": [1, 2]},
        {"a": [[1]]},
        [1, [2]],
        [{"a": {"b": 1}}],
        [{"a": 1}, 2],
        [float("nan")],
        [float("inf")],
    ],
)
def test_anything_else_is_invalid(dataset: object) -> None:
    with pytest.raises(ToolError) as caught:
        profile_data({"dataset": dataset})
    assert caught.value.code == "DATASET_INVALID"
    assert not caught.value.retryable


def test_a_missing_dataset_is_named() -> None:
    with pytest.raises(ToolError, match="no 'dataset'"):
        identify_anomalies({})


@pytest.mark.parametrize(
    "dataset",
    [
        [0] * (limits.INLINE_NUMBERS + 1),
        [{}] * (limits.INLINE_ROWS + 1),
        {"a": [0] * (limits.INLINE_ROWS + 1)},
        {f"c{index}": [1] for index in range(limits.COLUMNS + 1)},
        [{f"c{index}": 1 for index in range(limits.COLUMNS + 1)}],
        ["é" * (limits.CELL_BYTES // 2 + 1)],
    ],
)
def test_inline_data_has_limits(dataset: object) -> None:
    with pytest.raises(ToolError, match="the limit is") as caught:
        profile_data({"dataset": dataset})
    assert caught.value.code == "DATASET_TOO_LARGE"
