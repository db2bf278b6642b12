"""The log of a tool: JSON whatever it is given, bounded in rate and length, from any thread."""

import threading
import tracemalloc
from typing import Any

import anyio
import pytest
from anyio import to_thread

from runtime.actors.tool_log import (
    BURST,
    MAX_LINE_BYTES,
    MAX_LOG_BYTES,
    MAX_RECORDS,
    RATE,
    Home,
    LogBudget,
    StepLog,
)
from runtime.clock import LoopClock
from runtime.run.messages import DropLogs, Message, WriteLog
from tests.conftest import START


class Clock(LoopClock):
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.time = 0.0
        super().__init__(START, lambda: self.time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sent() -> list[Message]:
    return []


@pytest.fixture
async def log(sent: list[Message], clock: Clock) -> StepLog:
    return StepLog(sent.append, LogBudget(clock), Home(), (3, 2, 1, ""))


def only(sent: list[Message]) -> WriteLog:
    assert len(sent) == 1
    assert isinstance(sent[0], WriteLog)
    return sent[0]


async def test_a_line_names_its_step_its_level_and_its_fields(log: StepLog, sent: list[Message]) -> None:
    log.debug("d")
    log.info("i", a=1, b=[None])
    log.warning("w")
    log.error("e")
    assert sent == [
        WriteLog(3, 2, 1, "debug", "d", {}),
        WriteLog(3, 2, 1, "info", "i", {"a": 1, "b": [None]}),
        WriteLog(3, 2, 1, "warning", "w", {}),
        WriteLog(3, 2, 1, "error", "e", {}),
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({1}, "{1}"),
        (float("nan"), "nan"),
        (b"x", "b'x'"),
        ({1: 2}, "{1: 2}"),
        ("a\ud800", "'a\\ud800'"),
        ((1,), "(1,)"),
    ],
)
async def test_a_field_that_is_no_json_is_shown_by_its_repr(
    log: StepLog, sent: list[Message], value: Any, shown: str
) -> None:
    log.info("line", value=value)
    assert only(sent).fields == {"value": shown}


async def test_a_field_is_copied_when_the_line_is_written(log: StepLog, sent: list[Message]) -> None:
    value = [1]
    log.info("line", value=value)
    value.append(2)
    assert only(sent).fields == {"value": [1]}


async def test_a_long_line_is_cut_and_says_how_long_it_was(log: StepLog, sent: list[Message]) -> None:
    log.info("x" * 50_000_000)
    message = only(sent).message
    assert len(message) < MAX_LINE_BYTES + 50
    assert "50000000 characters" in message


async def test_fields_that_are_too_large_are_left_out_by_name(log: StepLog, sent: list[Message]) -> None:
    log.info("line", big="x" * MAX_LINE_BYTES, small=1)
    fields = only(sent).fields
    assert list(fields) == ["omitted"]
    assert "big, small" in fields["omitted"]


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "nul\x00", "a\ud800b", ""])
async def test_any_text_is_a_line(log: StepLog, sent: list[Message], text: str) -> None:
    log.info(text)
    only(sent).message.encode()


async def test_lines_beyond_the_burst_are_dropped_and_counted(log: StepLog, sent: list[Message], clock: Clock) -> None:
    for _ in range(BURST + 20):
        log.info("line")
    assert len(sent) == BURST
    clock.time += 1 / RATE * 1.5
    log.info("after")
    assert sent[BURST:] == [DropLogs(20), WriteLog(3, 2, 1, "info", "after", {})]


async def test_the_rate_refills_to_the_burst_and_not_beyond(clock: Clock) -> None:
    budget = LogBudget(clock)
    assert sum(budget.admit() for _ in range(BURST + 1)) == BURST
    clock.time += 2.0
    assert sum(budget.admit() for _ in range(BURST)) == 2 * RATE
    clock.time += 1_000_000
    assert sum(budget.admit() for _ in range(2 * BURST)) == BURST


async def test_dropped_lines_are_told_once(clock: Clock) -> None:
    budget = LogBudget(clock)
    for _ in range(BURST + 7):
        budget.admit()
    assert [budget.take_dropped(), budget.take_dropped()] == [DropLogs(7), None]


async def test_a_flood_is_told_of_once_a_second(log: StepLog, sent: list[Message], clock: Clock) -> None:
    for _ in range(10_000):  # ten seconds of ten times the rate, behind the burst
        for _ in range(10):
            log.info("line")
        clock.time += 1 / RATE
    dropped = [message.count for message in sent if isinstance(message, DropLogs)]
    assert 8 <= len(dropped) <= 11
    assert sum(dropped) == pytest.approx(100_000 - BURST - 10_000, abs=10 * RATE)


async def test_a_full_log_takes_no_line_and_says_so_once(sent: list[Message], clock: Clock) -> None:
    records = MAX_RECORDS - 3
    log = StepLog(sent.append, budget := LogBudget(clock, lambda: records), Home(), (0, 1, 1, ""))
    for _ in range(5):
        log.info("line")
    assert [type(message) for message in sent] == [WriteLog] * 3 + [DropLogs]
    assert sent[-1] == DropLogs(1, "run_limit")
    assert budget.take_dropped() == DropLogs(1, "run_limit")


async def test_other_records_count_towards_a_full_log(sent: list[Message], clock: Clock) -> None:
    records = 0
    log = StepLog(sent.append, LogBudget(clock, lambda: records), Home(), (0, 1, 1, ""))
    log.info("line")
    records = MAX_RECORDS
    log.info("line")
    assert sent[1:] == [DropLogs(1, "run_limit")]


async def test_the_bytes_of_a_runs_lines_are_bounded(log: StepLog, sent: list[Message], clock: Clock) -> None:
    line = "x" * (MAX_LINE_BYTES - 100)
    for _ in range(20_000):
        clock.time += 1 / RATE
        log.info(line, more="y" * 50)
    kept = sum(len(message.message) for message in sent if isinstance(message, WriteLog))
    assert MAX_LOG_BYTES - MAX_LINE_BYTES < kept * 1.01 < MAX_LOG_BYTES * 1.01
    assert sent[-1] == DropLogs(1, "run_limit")


async def test_a_line_is_cut_by_its_bytes(log: StepLog, sent: list[Message]) -> None:
    log.info("ä" * 8_000)
    message = only(sent).message
    assert len(message.encode()) < MAX_LINE_BYTES + 50
    assert "8000 characters" in message


async def test_a_name_of_a_field_may_be_any_text(log: StepLog, sent: list[Message]) -> None:
    log.info("line", **{"a\ud800": 1})
    assert only(sent).fields == {"a\\ud800": 1}


async def test_a_huge_line_is_not_copied(log: StepLog) -> None:
    line = "x" * 50_000_000
    tracemalloc.start()
    try:
        log.info(line, field=line)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


async def test_lines_from_many_threads_all_arrive_in_the_event_loop(sent: list[Message], clock: Clock) -> None:
    home, threads = Home(), set()

    def send(message: Message) -> None:
        threads.add(threading.get_ident())
        sent.append(message)

    log = StepLog(send, LogBudget(clock), home, (0, 1, 1, ""))

    def write(worker: int) -> None:
        for number in range(50):
            log.info("line", worker=worker, number=number)

    async with anyio.create_task_group() as tasks:
        for worker in range(4):
            tasks.start_soon(to_thread.run_sync, write, worker)
    assert threads == {home.thread}
    for worker in range(4):
        lines = [m.fields["number"] for m in sent if isinstance(m, WriteLog) and m.fields["worker"] == worker]
        assert lines == list(range(50))
