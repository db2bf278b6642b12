"""What every journal promises. An implementation joins by a line in `journal`."""

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from runtime.errors import JournalDamaged
from runtime.journal import Entry, Journal, RunFilter
from runtime.journal.base import check_chain
from tests.conformance.entries import NOON, chained, row, stored
from tests.conftest import Store


@pytest.fixture
def journal(store: Store) -> Iterator[Journal]:
    journal = store.journal()
    journal.open()
    yield journal
    journal.close()


def numbers(journal: Journal, **wanted: object) -> list[int]:
    return [found.number for found in journal.runs(RunFilter(**wanted))]  # type: ignore[arg-type]


def id_of(graph: str) -> str:
    return stored(graph).graph_id


def firsts(entries: list[Entry]) -> list[int]:
    return [entry.first_seq for entry in entries]


# --- entries ----------------------------------------------------------------------------------------------------------


def test_an_entry_comes_back_as_it_was_committed(journal: Journal) -> None:
    committed = chained(1, 2)
    journal.commit(committed)
    assert [replace(entry, row=None) for entry in journal.entries(1, after=0, limit=10)] == [
        replace(entry, row=None) for entry in committed
    ]
    assert journal.entries(1, after=0, limit=10)[0].lines == [b'{"seq":1}', b'{"seq":2}']


def test_entries_of_a_run_come_in_their_order_however_runs_interleave(journal: Journal) -> None:
    ours, theirs = chained(1, 1, 1, 1), chained(2, 1, 1, 1)
    for pair in zip(ours, theirs, strict=True):
        journal.commit(pair)
    assert firsts(journal.entries(1, after=0, limit=10)) == [1, 2, 3]
    assert firsts(journal.entries(2, after=0, limit=10)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("after", "expected"),
    [(0, [1, 4, 6]), (1, [1, 4, 6]), (2, [1, 4, 6]), (3, [4, 6]), (4, [4, 6]), (5, [6]), (6, []), (7, []), (99, [])],
)
def test_entries_are_those_that_hold_a_record_behind_after(journal: Journal, after: int, expected: list[int]) -> None:
    journal.commit(chained(1, 3, 2, 1))
    assert firsts(journal.entries(1, after=after, limit=10)) == expected


@pytest.mark.parametrize(("after", "limit", "expected"), [(0, 1, [1]), (2, 2, [1, 4]), (3, 1, [4]), (3, 9, [4, 6])])
def test_at_most_limit_entries_come_and_the_oldest_first(
    journal: Journal, after: int, limit: int, expected: list[int]
) -> None:
    journal.commit(chained(1, 3, 2, 1))
    assert firsts(journal.entries(1, after=after, limit=limit)) == expected


def test_a_run_that_is_not_there_has_no_entries(journal: Journal) -> None:
    assert journal.entries(7, after=0, limit=10) == []


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 300])
def test_a_commit_of_any_number_of_entries_stores_each_once(journal: Journal, count: int) -> None:
    journal.commit([entry for number in range(1, count + 1) for entry in chained(number, 2)])
    assert journal.counts() == (0, count)
    assert numbers(journal, limit=1_000) == list(range(count, 0, -1))
    assert all(firsts(journal.entries(number, after=0, limit=5)) == [1] for number in range(1, count + 1))


def test_an_empty_commit_stores_nothing(journal: Journal) -> None:
    journal.commit([])
    assert journal.counts() == (0, 0)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_comes_back_whole_with_its_times_and_its_final_state(journal: Journal) -> None:
    whole = row(1, "completed", started_at=NOON, last_seq=12, error="X: é\n", final_state='{"a":"é\\n"}'.encode())
    journal.commit([replace(chained(1, 1)[0], row=whole)])
    assert journal.run("run-1") == whole
    assert journal.runs(RunFilter()) == [replace(whole, final_state=None)]


def test_of_several_rows_in_a_commit_the_newest_counts(journal: Journal) -> None:
    first, second = chained(1, 1, 1)
    journal.commit([first, replace(second, row=row(1, "completed"))])
    found = journal.run("run-1")
    assert found is not None
    assert found.status == "completed"


def test_an_entry_without_a_row_leaves_the_row_as_it_is(journal: Journal) -> None:
    first, second = chained(1, 1, 1)
    journal.commit([first])
    journal.commit([second])
    assert journal.run("run-1") == row(1)


def test_a_run_that_is_not_there_has_no_row(journal: Journal) -> None:
    assert journal.run("run-9") is None


@pytest.fixture
def five(journal: Journal) -> Journal:
    """Runs 1 to 5: odd ones of `graph-a`, 2 and 3 completed."""
    for number in range(1, 6):
        status = "completed" if number in (2, 3) else "running"
        line = row(number, status, graph_id="graph-a" if number % 2 else "graph-b")
        journal.commit([replace(chained(number, 1)[0], row=line)])
    return journal


def test_runs_are_listed_newest_first_and_page_by_page(five: Journal) -> None:
    assert numbers(five) == [5, 4, 3, 2, 1]
    assert numbers(five, limit=2) == [5, 4]
    assert numbers(five, limit=2, before=4) == [3, 2]
    assert numbers(five, limit=2, before=2) == [1]
    assert numbers(five, before=1) == []


def test_runs_are_filtered_by_graph_and_by_status_and_by_both(five: Journal) -> None:
    assert numbers(five, graph_id="graph-a") == [5, 3, 1]
    assert numbers(five, status="completed") == [3, 2]
    assert numbers(five, graph_id="graph-a", status="completed") == [3]
    assert numbers(five, graph_id="graph-a", status="running", before=5, limit=1) == [1]
    assert numbers(five, graph_id="graph-c") == []


def test_unfinished_runs_are_listed_oldest_first(five: Journal) -> None:
    assert [found.number for found in five.unfinished()] == [1, 4, 5]


def test_the_last_run_number_is_the_highest_there_is(five: Journal) -> None:
    assert five.last_run_number() == 5


def test_the_number_of_a_run_that_was_deleted_is_not_used_again(store: Store) -> None:
    journal = store.journal()
    journal.open()
    for number in (1, 2):
        journal.commit([replace(chained(number, 1)[0], row=row(number, "completed"))])
    journal.delete_runs([2])
    assert journal.last_run_number() == 2
    journal.delete_runs([1])
    journal.close()
    again = store.journal()
    again.open()
    assert again.last_run_number() == 2
    again.close()


def test_an_empty_journal_has_no_runs(journal: Journal) -> None:
    assert journal.last_run_number() == 0
    assert journal.unfinished() == []
    assert journal.runs(RunFilter()) == []


# --- graphs -----------------------------------------------------------------------------------------------------------


def test_a_graph_comes_back_whole_with_a_number(journal: Journal) -> None:
    added = journal.add_graph(stored("a"))
    assert added == dataclasses.replace(stored("a"), number=added.number)
    assert added.number > 0
    assert journal.graph(id_of("a")) == added


def test_adding_a_graph_again_leaves_the_first_one(journal: Journal) -> None:
    first = journal.add_graph(stored("a"))
    assert journal.add_graph(dataclasses.replace(stored("a"), created_at=NOON.replace(year=2031))) == first
    assert journal.counts() == (1, 0)


def test_a_deleted_graph_is_only_found_by_who_asks_for_deleted_ones(journal: Journal) -> None:
    added = journal.add_graph(stored("a"))
    journal.delete_graph(id_of("a"))
    assert journal.graph(id_of("a")) is None
    assert journal.graph(id_of("a"), deleted=True) == added
    assert journal.graphs(before=None, limit=10) == []
    assert journal.counts() == (0, 0)


def test_a_deleted_graph_that_is_added_again_appears_again(journal: Journal) -> None:
    added = journal.add_graph(stored("a"))
    journal.delete_graph(id_of("a"))
    assert journal.add_graph(stored("a")) == added
    assert journal.graph(id_of("a")) == added
    assert journal.counts() == (1, 0)


def test_deleting_a_graph_that_is_not_there_changes_nothing(journal: Journal) -> None:
    journal.add_graph(stored("a"))
    journal.delete_graph(id_of("b"))
    assert journal.counts() == (1, 0)
    journal.add_graph(stored("b"))
    assert journal.counts() == (2, 0)


def test_graphs_are_listed_newest_first_and_page_by_page(journal: Journal) -> None:
    added = [journal.add_graph(stored(name)) for name in "abcd"]
    journal.delete_graph(id_of("c"))
    a, b, _, d = added
    assert journal.graphs(before=None, limit=10) == [d, b, a]
    assert journal.graphs(before=None, limit=2) == [d, b]
    assert journal.graphs(before=b.number, limit=2) == [a]


# --- opening and closing ----------------------------------------------------------------------------------------------


def test_each_opening_has_a_higher_epoch_and_finds_everything(store: Store) -> None:
    epochs = []
    for number in (1, 2, 3):
        journal = store.journal()
        epochs.append(journal.open())
        journal.add_graph(stored(f"g{number}"))
        journal.commit(chained(number, 2, epoch=epochs[-1]))
        assert journal.counts() == (number, number)
        assert check_chain("run-1", journal.entries(1, after=0, limit=10))
        journal.close()
    assert epochs == sorted(set(epochs))


def test_closing_twice_is_closing_once(store: Store) -> None:
    journal = store.journal()
    journal.open()
    journal.close()
    journal.close()


# --- the hash chain ---------------------------------------------------------------------------------------------------


def test_entries_as_they_were_committed_fit_their_chain(journal: Journal) -> None:
    committed = chained(1, 2, 1, 3)
    journal.commit(committed)
    assert check_chain("run-1", journal.entries(1, after=0, limit=10)) == committed[-1].hash


def test_an_altered_body_breaks_the_chain() -> None:
    entries = chained(1, 2, 1, 3)
    entries[1] = replace(entries[1], body=b'{"seq":4}')
    with pytest.raises(JournalDamaged, match="altered at record 3"):
        check_chain("run-1", entries)


def test_a_missing_entry_breaks_the_chain() -> None:
    entries = chained(1, 2, 1, 3)
    with pytest.raises(JournalDamaged, match="record 4 where record 3 belongs"):
        check_chain("run-1", [entries[0], entries[2]])


def test_a_missing_first_entry_breaks_the_chain() -> None:
    with pytest.raises(JournalDamaged, match="record 3 where record 1 belongs"):
        check_chain("run-1", chained(1, 2, 1)[1:])


def test_exchanged_entries_break_the_chain() -> None:
    first, second, third = chained(1, 1, 1, 1)
    with pytest.raises(JournalDamaged):
        check_chain("run-1", [first, third, second])
    moved = [first, replace(third, first_seq=2), replace(second, first_seq=3)]
    with pytest.raises(JournalDamaged, match="altered at record 2"):
        check_chain("run-1", moved)


def test_entries_of_another_run_break_the_chain() -> None:
    with pytest.raises(JournalDamaged, match="altered at record 1"):
        check_chain("run-2", chained(1, 1))


# --- keys, ends, retention --------------------------------------------------------------------------------------------


def test_a_run_is_found_by_its_key_without_its_final_state(journal: Journal) -> None:
    whole = row(1, "completed", key="order 7", request=b"\x00digest", final_state=b"{}")
    journal.commit([replace(chained(1, 1)[0], row=whole), *chained(2, 1)])
    assert journal.run_of_key("order 7") == replace(whole, final_state=None)
    assert journal.run("run-1") == whole
    assert journal.run_of_key("order 8") is None


@pytest.fixture
def ended(journal: Journal) -> Journal:
    """Runs 1 to 5: 3 goes on; the others ended in the order 4, 1, 5, 2, an hour apart, the first one at noon."""
    for number, hour in ((1, 1), (2, 3), (3, None), (4, 0), (5, 2)):
        end = None if hour is None else NOON.replace(microsecond=hour) + timedelta(hours=hour)
        line = row(number, "failed", completed_at=end, key=f"key-{number}", final_state=b"{}", last_seq=3)
        first, second = chained(number, 1, 2)
        journal.commit([first, replace(second, row=line)])
    return journal


@pytest.mark.parametrize(
    ("before", "beyond", "limit", "expected"),
    [
        (None, None, 9, []),
        (NOON + timedelta(hours=1.5), None, 9, [4, 1]),
        (NOON + timedelta(hours=9), None, 3, [4, 1, 5]),
        (NOON.replace(microsecond=0), None, 9, []),
        (None, 0, 9, [4, 1, 5, 2]),
        (None, 3, 9, [4]),
        (None, 4, 9, []),
        (NOON + timedelta(hours=0.5), 2, 9, [4, 1]),
        (NOON + timedelta(hours=2.5), 3, 9, [4, 1, 5]),
    ],
)
def test_ended_runs_are_those_too_old_or_too_many_and_the_earliest_end_comes_first(
    ended: Journal, before: datetime | None, beyond: int | None, limit: int, expected: list[int]
) -> None:
    found = ended.ended_runs(before=before, beyond=beyond, limit=limit)
    assert [run.number for run in found] == expected
    assert all(run.final_state is None and run.key for run in found)


def test_a_time_in_another_zone_means_the_same_moment(ended: Journal) -> None:
    moment = (NOON + timedelta(hours=1.5)).astimezone(timezone(timedelta(hours=-7)))
    assert [run.number for run in ended.ended_runs(before=moment, beyond=None, limit=9)] == [4, 1]


def test_deleted_runs_are_gone_with_their_entries_and_their_keys(ended: Journal) -> None:
    ended.delete_runs([1, 4, 99])
    assert numbers(ended) == [5, 3, 2]
    assert ended.counts() == (0, 3)
    assert ended.run("run-1") is None
    assert ended.run_of_key("key-4") is None
    assert ended.entries(1, after=0, limit=9) == []
    assert firsts(ended.entries(2, after=0, limit=9)) == [1, 2]
    ended.delete_runs([])
    assert [run.number for run in ended.unfinished()] == [3]


def test_after_deleting_runs_the_journal_opens_again_and_takes_new_ones(store: Store) -> None:
    journal = store.journal()
    journal.open()
    journal.commit([*chained(1, 2, 1), *chained(2, 1)])
    journal.delete_runs([1])
    journal.close()
    again = store.journal()
    again.open()
    again.commit(chained(3, 1))
    assert numbers(again) == [3, 2]
    again.close()


def test_who_comes_after_a_close_was_not_preceded_by_a_kill(store: Store) -> None:
    for _ in range(2):
        journal = store.journal()
        journal.open()
        assert not journal.was_killed
        journal.commit(chained(journal.last_run_number() + 1, 1))
        journal.close()


def test_who_comes_after_an_owner_that_never_closed_knows_it(store: Store) -> None:
    """The copy is what the disk has at the moment of the kill; a journal in memory outlives it in this process."""
    journal = store.journal()
    journal.open()
    journal.commit(chained(1, 1))
    following = (store if store.kind == "memory" else store.copied("killed")).journal()
    following.open()
    assert following.was_killed
    following.close()
    journal.close()
