"""What was examined last is not examined again, and nothing else follows from that."""

from collections.abc import Iterator

import pytest

from tests.support.quality_tables import Columns, changed, dataset_of, sites
from tools.data_quality import pipeline
from tools.data_quality.columns.column import encode
from tools.data_quality.columns.table import Table
from tools.data_quality.judging import Judgement
from tools.data_quality.pipeline import examine
from tools.data_quality.recent import Recent
from tools.data_quality.rules.policies import Policies

SITES = sites()


class Judge:
    """Judges nothing, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.asked = 0

    def of(self, recent: Recent, columns: Columns, asked: str = "") -> Judgement:
        encoded = [encode(name, cells) for name, cells in columns.items()]

        def judge() -> Judgement:
            self.asked += 1
            return Judgement(Table(encoded), [], [], [])

        return recent.of(encoded, asked, judge)


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def empty() -> Iterator[None]:
    pipeline.RECENT.forget()
    yield
    pipeline.RECENT.forget()


def test_the_same_question_about_an_equal_table_is_answered_once(judge: Judge) -> None:
    recent = Recent(1_000)
    first = judge.of(recent, {"a": [1, 2], "b": ["x", None]})
    assert judge.of(recent, {"a": [1, 2], "b": ["x", None]}) is first
    assert judge.asked == 1
    recent.forget()
    judge.of(recent, {"a": [1, 2], "b": ["x", None]})
    assert judge.asked == 2


@pytest.mark.parametrize(
    ("columns", "asked"),
    [
        ({"a": [1, 2], "b": ["x", None]}, "more"),
        ({"a": [2, 1], "b": ["x", None]}, ""),
        ({"a": [1, 2], "c": ["x", None]}, ""),
        ({"b": ["x", None], "a": [1, 2]}, ""),
        ({"a": [1.0, 2], "b": ["x", None]}, ""),
        ({"a": [True, 2], "b": ["x", None]}, ""),
        ({"a": ["1", 2], "b": ["x", None]}, ""),
        ({"a": [1, 2], "b": ["x", ""]}, ""),
        ({"a": [1, 2, 2], "b": ["x", None, None]}, ""),
        ({"a": [1, 2], "b": ["\udcff", None]}, ""),
    ],
)
def test_what_differs_anywhere_is_another_question(judge: Judge, columns: Columns, asked: str) -> None:
    recent = Recent(1_000)
    judge.of(recent, {"a": [1, 2], "b": ["x", None]})
    judge.of(recent, columns, asked)
    assert judge.asked == 2


def test_the_least_recently_used_is_forgotten_first_and_a_large_table_is_not_kept(judge: Judge) -> None:
    recent = Recent(6)
    tables: list[Columns] = [{"a": [number, number]} for number in range(4)]
    for table in (tables[0], tables[1], tables[2], tables[0], tables[3]):
        judge.of(recent, table)
    assert judge.asked == 4
    judge.of(recent, tables[0])
    judge.of(recent, tables[2])
    assert judge.asked == 4, "1 went, when 3 came"
    judge.of(recent, tables[1])
    assert judge.asked == 5
    judge.of(recent, {"a": list(range(7))})
    judge.of(recent, {"a": list(range(7))})
    assert judge.asked == 7


@pytest.mark.usefixtures("empty")
def test_a_table_is_examined_again_for_other_policies_or_rules_of_passes_before() -> None:
    dirty = changed(SITES, town={3: "Nowhere"}, score={5: None})
    first = examine(dataset_of(dirty))
    assert examine(dataset_of(dirty), Policies()) is first
    assert examine(dataset_of(dirty), Policies("median")) is not first
    assert examine(dataset_of(dirty), known=first.rules) is not first
    assert examine(dataset_of(SITES)) is not first


@pytest.mark.usefixtures("empty")
def test_whoever_watches_sees_the_end_and_may_end_it() -> None:
    examine(dataset_of(SITES))
    seen = []
    examine(dataset_of(SITES), visit=lambda what, done, total: seen.append((what, done, total)))
    assert seen == [("anomalies", 8, 8)]

    def end(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine(dataset_of(SITES), visit=end)
