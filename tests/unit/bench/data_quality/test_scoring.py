"""How flags and repairs are counted."""

from dataclasses import replace

import pytest

from bench.data_quality.injector import Injected, Table
from bench.data_quality.scoring import Result, Score, Share, false_alarms, scored, total

CLEAN: Table = {"city": ["Oslo", "Bergen", "Oslo", "Bodø", "Oslo"], "zip": ["0150", "5003", "0150", "", "0150"]}
DIRTY: Table = {"city": ["Olso", "Bergen", " Oslo ", "Bodø", "Oslo"], "zip": ["0150", "?", "0150", "", "0150"]}
INJECTED = Injected(
    DIRTY,
    CLEAN,
    {(0, "city"): "Oslo", (1, "zip"): "5003"},
    {(0, "city"): "typo", (1, "zip"): "placeholder"},
    {4: 2},
)
SILENT = Result({}, frozenset(), DIRTY, DIRTY)


def with_cells(table: Table, **cells: tuple[int, str]) -> Table:
    changed = {name: list(values) for name, values in table.items()}
    for name, (row, value) in cells.items():
        changed[name][row] = value
    return changed


def test_a_perfect_result_has_full_marks() -> None:
    flags = {(0, "city"): "typo", (1, "zip"): "placeholder"}
    score = scored(INJECTED, Result(flags, frozenset({4}), CLEAN, CLEAN))
    assert score.detection == score.repair == score.auto == Share(2, 2, 2)
    assert score.rows == Share(1, 1, 1)
    assert (score.broken, score.broken_by_auto, score.right_cells) == (0, 0, 8)


def test_silence_finds_nothing_and_is_never_wrong() -> None:
    score = scored(INJECTED, SILENT)
    assert score.detection == score.repair == score.auto == Share(0, 0, 2)
    assert (score.detection.precision, score.detection.recall, score.detection.f1) == (1, 0, 0)


def test_white_space_alone_is_no_error_and_its_repair_no_change() -> None:
    tidy = with_cells(DIRTY, city=(2, "Oslo"))
    score = scored(INJECTED, replace(SILENT, repaired=tidy, proposed=tidy))
    assert score.repair == Share(0, 0, 2)
    assert scored(INJECTED, replace(SILENT, flags={(2, "city"): "format"})).detection == Share(0, 1, 2)


def test_a_right_cell_that_is_changed_is_broken() -> None:
    worse = with_cells(DIRTY, zip=(0, "0155"))
    score = scored(INJECTED, replace(SILENT, repaired=worse, proposed=worse))
    assert (score.broken, score.broken_by_auto) == (1, 1)
    assert score.broken_percent == pytest.approx(100 / 8)
    assert scored(INJECTED, replace(SILENT, proposed=worse)).broken_by_auto == 0


def test_a_wrong_cell_with_another_wrong_value_is_neither_repaired_nor_broken() -> None:
    other = with_cells(DIRTY, city=(0, "Bergen"))
    score = scored(INJECTED, replace(SILENT, proposed=other))
    assert (score.repair, score.broken) == (Share(0, 1, 2), 0)


def test_a_placeholder_that_is_emptied_is_no_right_repair_and_no_wrong_value() -> None:
    emptied = with_cells(DIRTY, zip=(1, ""), city=(0, "Oslo"))
    score = scored(INJECTED, replace(SILENT, repaired=emptied, proposed=emptied))
    assert (score.auto, score.emptied_by_auto, score.broken) == (Share(1, 2, 2), 1, 0)
    assert (score.auto.precision, score.auto_precision_of_values) == (0.5, 1)


def test_either_of_two_repeated_rows_may_be_the_one_flagged() -> None:
    assert scored(INJECTED, replace(SILENT, flagged_rows=frozenset({2}))).rows == Share(1, 1, 1)
    assert scored(INJECTED, replace(SILENT, flagged_rows=frozenset({2, 4}))).rows == Share(1, 1, 1)
    assert scored(INJECTED, replace(SILENT, flagged_rows=frozenset({0}))).rows == Share(0, 1, 1)


def test_only_rows_that_are_not_repeated_are_removed_wrongly() -> None:
    assert scored(INJECTED, replace(SILENT, removed=frozenset({1, 2}))).rows_removed_wrongly == 1


def test_kinds_are_counted_by_what_was_injected_and_by_what_was_reported() -> None:
    flags = {(0, "city"): "typo", (3, "city"): "typo"}
    score = scored(INJECTED, replace(SILENT, flags=flags, proposed=with_cells(DIRTY, city=(0, "Oslo"))))
    counts = {key: count for key, count in score.of_kind.items() if count}
    assert counts == {("typo", "wrong"): 1, ("typo", "found"): 1, ("typo", "repaired"): 1, ("placeholder", "wrong"): 1}
    assert score.by_kind == {("typo", "flags"): 2, ("typo", "right"): 1}


def test_a_missing_value_that_is_missing_is_no_false_alarm() -> None:
    flags = {(3, "zip"): "missing", (0, "zip"): "missing", (0, "city"): "typo"}
    assert false_alarms(CLEAN, replace(SILENT, flags=flags)) == 2


def test_scores_add_up() -> None:
    score = scored(INJECTED, replace(SILENT, flags={(0, "city"): "typo"}))
    both = total([score, score])
    assert both.detection == Share(2, 2, 4)
    assert both.right_cells == 16
    assert both.of_kind["typo", "found"] == 2
    assert total([]) == Score()


def test_shares_of_nothing_are_whole() -> None:
    assert (Share().precision, Share().recall, Share().f1) == (1, 1, 1)
    assert Share(3, 4, 6).f1 == pytest.approx(0.6)
