"""Progress is told by the share of the work that is done, and a cancelled call ends where its tool asks."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.tools.conftest import ListLog
from tools import CallCancelled, ToolContext
from tools.progress import STEPS, Pace


def told(reports: list[tuple[int, int]], message: str = "profile") -> list[int]:
    """What is done in those of the reports that are told."""
    pace = Pace()
    return [done for done, total in reports if pace.is_due(done, total, "columns", message)]


def stage(total: int) -> list[tuple[int, int]]:
    return [(done, total) for done in range(1, total + 1)]


def test_of_much_work_the_first_report_the_last_and_one_in_twenty_are_told() -> None:
    assert told(stage(500)) == [1, *range(25, 501, 25)]


@pytest.mark.parametrize("total", [1, 2, 19, 20])
def test_of_little_work_every_report_is_told(total: int) -> None:
    assert told(stage(total)) == list(range(1, total + 1))


@pytest.mark.parametrize("total", [0, 1, 3, 20, 21, 39, 41, 500, 123_457])
def test_a_stage_has_no_more_reports_than_its_steps_and_one_and_always_the_last(total: int) -> None:
    reports = told([(0, total), *stage(total)])
    assert len(reports) <= STEPS + 1
    assert (reports[0], reports[-1]) == (0, total)


def test_every_stage_is_told_from_its_first_report_to_its_last() -> None:
    assert told([*stage(40), *stage(40), *stage(2)]) == [1, *range(2, 41, 2)] * 2 + [1, 2]


def test_stages_of_one_piece_of_work_are_told_apart_by_their_names_and_repetitions_are_not_told() -> None:
    pace = Pace()
    said = [pace.is_due(1, 1, "tables", name) for name in ("read", "read", "profile", "write", "write")]
    assert said == [True, False, True, True, False]


def test_another_message_for_each_piece_does_not_flood_the_log() -> None:
    pace = Pace()
    assert sum(pace.is_due(done, 500, "columns", f"column {done}") for done in range(1, 501)) == STEPS + 1


@pytest.mark.parametrize(("done", "total"), [(-1, 3), (4, 3), (1, 0)])
def test_more_than_all_and_less_than_nothing_are_refused(done: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"progress is {done} of {total} columns"):
        Pace().is_due(done, total, "columns", "profile")


def test_progress_is_a_line_with_the_numbers_among_its_fields(
    make_context: Callable[..., ToolContext], log: ListLog
) -> None:
    make_context().progress(3, 12, "columns", "profile")
    make_context().progress(1, 2)
    assert log.lines == [
        ("info", "profile", {"done": 3, "total": 12, "unit": "columns"}),
        ("info", "progress", {"done": 1, "total": 2, "unit": "items"}),
    ]


def test_a_call_that_nobody_waits_for_ends_where_its_tool_asks_or_tells_its_progress(
    make_context: Callable[..., ToolContext], log: ListLog
) -> None:
    context = make_context()
    context.check_cancelled()
    replace(context, node="the same call").control.is_cancelled = True
    with pytest.raises(CallCancelled):
        context.check_cancelled()
    with pytest.raises(CallCancelled):
        context.progress(1, 2)
    assert log.lines == []
    assert not issubclass(CallCancelled, Exception)  # or tools would catch it by mistake
    make_context().check_cancelled()
