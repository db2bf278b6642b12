"""The channel of a live run: by number, without gaps, or an honest None."""

import anyio
import pytest

from runtime.log.channel import LogChannel
from runtime.views import LogRecord


def filled(recent: int, count: int) -> LogChannel:
    channel = LogChannel(recent)
    for seq in range(1, count + 1):
        channel.publish(LogRecord(seq, b"%d" % seq))
    return channel


@pytest.mark.parametrize("recent", [0, 1, 2, 5, 100])
@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_a_reader_gets_all_records_behind_its_place_or_none_at_all(recent: int, count: int) -> None:
    channel = filled(recent, count)
    for after in range(count + 3):
        found = channel.after(after)
        missing = list(range(after + 1, count + 1))
        if found is None:
            assert len(missing) > recent
        else:
            assert [record.seq for record in found] == missing
            assert len(missing) <= recent


def test_a_channel_of_a_run_that_was_rebuilt_has_only_what_came_since() -> None:
    channel = LogChannel(10, last_seq=5)
    assert channel.after(5) == []
    assert channel.after(4) is None
    channel.publish(LogRecord(6, b"6"))
    assert channel.after(5) == [LogRecord(6, b"6")]
    assert channel.after(4) is None


async def test_everybody_who_waits_is_woken(anyio_backend_name: str) -> None:
    channel, woken = LogChannel(10), 0

    async def wait(seq: int) -> None:
        nonlocal woken
        await channel.wait_beyond(seq)
        woken += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(wait, 0)
        tasks.start_soon(wait, 1)
        await anyio.wait_all_tasks_blocked()
        channel.publish(LogRecord(1, b"1"))
        channel.notify()
        await anyio.wait_all_tasks_blocked()
        assert woken == 100
        channel.publish(LogRecord(2, b"2"))
        channel.notify()
    assert woken == 101


async def test_waiting_for_what_is_there_ends_at_once() -> None:
    channel = filled(1, 3)
    with anyio.fail_after(1):
        await channel.wait_beyond(2)


async def test_closing_wakes_everybody_and_nobody_waits_any_more() -> None:
    channel, ended = LogChannel(10), 0

    async def wait(*, for_the_end: bool) -> None:
        nonlocal ended
        await (channel.wait_closed() if for_the_end else channel.wait_beyond(0))
        ended += 1

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(lambda odd: wait(for_the_end=odd), number % 2 == 1)
        await anyio.wait_all_tasks_blocked()
        assert ended == 0
        channel.close()
    assert ended == 10
    with anyio.fail_after(1):
        await channel.wait_beyond(99)
        await channel.wait_closed()


async def test_who_waits_for_the_end_is_not_ended_by_a_record() -> None:
    channel = LogChannel(10)
    with anyio.move_on_after(0.01) as scope:
        channel.publish(LogRecord(1, b"1"))
        channel.notify()
        await channel.wait_closed()
    assert scope.cancelled_caught
