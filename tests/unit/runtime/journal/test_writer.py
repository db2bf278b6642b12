"""Group commit: what queues during one commit shares the next; order kept; nothing told before it is durable."""

from collections.abc import AsyncIterator

import anyio
import pytest

from runtime.errors import JournalUnavailable
from runtime.journal import JournalReader, JournalWriter, MemoryJournal, RunAppender
from runtime.journal.base import check_chain
from runtime.journal.writer import MAX_BACKLOG_BYTES, MAX_BACKLOG_ENTRIES
from runtime.testing import GatedJournal


@pytest.fixture
def memory() -> MemoryJournal:
    memory = MemoryJournal()
    memory.open()
    return memory


@pytest.fixture
def journal(memory: MemoryJournal) -> GatedJournal:
    return GatedJournal(memory)


@pytest.fixture
async def writer(journal: GatedJournal) -> AsyncIterator[JournalWriter]:
    writer = JournalWriter(journal, epoch=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        yield writer
        journal.release()
        await writer.aclose()


class Lines:
    """Appends single records of one run, and keeps which of them are committed."""

    def __init__(self, writer: JournalWriter, number: int = 1) -> None:
        self.committed: list[int] = []
        self._appender = RunAppender(writer, number, f"run-{number}")
        self._seq = 0
        self._changed = anyio.Event()

    def append(self, body: bytes = b"x") -> None:
        self._seq = seq = self._seq + 1
        self._appender.append(seq, [body], None, lambda: self._is_committed(seq))

    def _is_committed(self, seq: int) -> None:
        self.committed.append(seq)
        self._changed.set()

    async def wait(self, count: int) -> None:
        while len(self.committed) < count:
            self._changed = anyio.Event()
            await self._changed.wait()


async def test_a_single_entry_is_committed_without_waiting_for_more(
    writer: JournalWriter, journal: GatedJournal
) -> None:
    lines = Lines(writer)
    for number in range(1, 4):
        lines.append()
        await lines.wait(number)
    assert journal.batches == [1, 1, 1]


async def test_what_queues_during_a_commit_shares_the_next_one(writer: JournalWriter, journal: GatedJournal) -> None:
    lines = Lines(writer)
    journal.hold()
    lines.append()
    await journal.wait_begun()
    for _ in range(50):
        lines.append()
    await anyio.wait_all_tasks_blocked()
    assert lines.committed == []
    journal.release()
    await lines.wait(51)
    assert journal.batches == [1, 50]


async def test_entries_are_stored_and_told_in_the_order_they_were_appended(
    writer: JournalWriter, memory: MemoryJournal
) -> None:
    first, second = Lines(writer, 1), Lines(writer, 2)
    for _ in range(20):
        first.append()
        second.append()
    await second.wait(20)
    assert first.committed == second.committed == list(range(1, 21))
    for number in (1, 2):
        assert check_chain(f"run-{number}", memory.entries(number, after=0, limit=99))
        assert {entry.epoch for entry in memory.entries(number, after=0, limit=99)} == {1}


async def test_after_a_commit_that_fails_nothing_is_told_and_nothing_is_stored(
    journal: GatedJournal, memory: MemoryJournal
) -> None:
    writer = JournalWriter(journal, epoch=1)
    lines = Lines(writer)
    with pytest.RaisesGroup(JournalUnavailable):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            lines.append()
            await lines.wait(1)
            journal.hold()
            lines.append()
            await journal.wait_begun()
            lines.append()
            journal.fail(JournalUnavailable("gone"))
            await anyio.sleep_forever()
    assert writer.has_failed
    lines.append()
    with anyio.fail_after(1):
        await writer.aclose()
    assert lines.committed == [1]
    assert len(memory.entries(1, after=0, limit=99)) == 1


async def test_closing_commits_what_is_queued(journal: GatedJournal, memory: MemoryJournal) -> None:
    writer = JournalWriter(journal, epoch=1)
    lines = Lines(writer)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        for _ in range(10):
            lines.append()
        await writer.aclose()
    assert lines.committed == list(range(1, 11))


async def test_closing_a_writer_with_nothing_to_do_ends_at_once(journal: GatedJournal) -> None:
    writer = JournalWriter(journal, epoch=1)
    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await writer.aclose()


@pytest.mark.parametrize(
    ("entries", "body"), [(MAX_BACKLOG_ENTRIES + 1, b"x"), (9, b"x" * (MAX_BACKLOG_BYTES // 8))], ids=["many", "large"]
)
async def test_a_backlog_over_its_bound_has_no_room_until_it_is_taken_up(
    writer: JournalWriter, journal: GatedJournal, entries: int, body: bytes
) -> None:
    lines = Lines(writer)
    journal.hold()
    lines.append()
    await journal.wait_begun()
    assert not writer.is_full
    for _ in range(entries):
        lines.append(body)
    assert writer.is_full
    passed = anyio.Event()

    async def wait_for_room() -> None:
        await writer.room()
        passed.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_room)
        await anyio.wait_all_tasks_blocked()
        assert not passed.is_set()
        journal.let_through()
        await passed.wait()
        journal.release()


async def test_calls_happen_between_commits_and_never_beside_one(writer: JournalWriter, journal: GatedJournal) -> None:
    lines, called = Lines(writer), anyio.Event()
    journal.hold()
    lines.append()
    await journal.wait_begun()

    async def call() -> None:
        assert await writer.call(journal.last_run_number) == 0
        called.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        assert not called.is_set()
        journal.release()


async def test_a_reader_answers_while_a_commit_is_on_its_way(writer: JournalWriter, journal: GatedJournal) -> None:
    journal.hold()
    Lines(writer).append()
    await journal.wait_begun()
    with anyio.fail_after(5):
        assert await JournalReader(journal).call(journal.counts) == (0, 0)
