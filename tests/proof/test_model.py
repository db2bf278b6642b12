"""Random sequences of requests, crashes, restarts and leaps of time: the engine answers as the model, and comes to the same."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from runtime.journal import MemoryJournal, SqliteJournal
from tests.proof.model.engine import RealEngine, opened
from tests.proof.model.model import Model
from tests.support.bugs import acknowledge_before_commit, skipped_deduplication
from tests.support.settings import costly, few

pytestmark = pytest.mark.timeout(180)

Operation = tuple[str, *tuple[Any, ...]]

RUN: Final = st.integers(0, 7)
DATA: Final = st.integers(0, 9)
OPERATIONS: Final[st.SearchStrategy[list[Operation]]] = st.lists(
    st.one_of(
        st.tuples(
            st.just("submit"),
            st.sampled_from(["quick", "signals", "asks", "timer"]),
            st.sampled_from([None, "key-a", "key-b", "key-c"]),
        ),
        st.tuples(st.sampled_from(["cancel", "pause", "resume"]), RUN),
        st.tuples(st.just("signal"), RUN, st.sampled_from(["s1", "s2", "s3"]), DATA),
        st.tuples(st.just("answer"), RUN, DATA),
        st.tuples(st.just("advance"), st.sampled_from([1.0, 59.0, 100.0])),
        st.sampled_from([("crash",), ("restart",)]),
    ),
    max_size=25,
)


async def play(operations: list[Operation], make_journal: Any, clock: trio.testing.MockClock) -> None:
    """Let engine and model do the same, and compare each answer, and what the runs come to."""
    model = Model()
    async with opened(make_journal, clock) as engine:
        for name, *arguments in operations:
            if name in ("crash", "restart"):  # no rest before: what was answered must be safe already
                await getattr(engine, name)()
                continue
            await compare(engine, model)
            if name == "advance":
                model.advance(*arguments)
                await engine.advance(*arguments)
            elif name == "submit":
                expected, answered = model.submit(*arguments), await engine.submit(*arguments)
                assert answered == expected or (answered[0] == expected[0] and answered[1] == -1), (answered, expected)
            elif model.runs:
                index = arguments[0] % len(model.runs)
                word = getattr(model, name)(index, *arguments[1:])
                assert await getattr(engine, name)(index, *arguments[1:]) == word
        await compare(engine, model)


async def compare(engine: RealEngine, model: Model) -> None:
    statuses = [run.status for run in model.runs]
    assert await engine.settle(statuses) == statuses
    assert await engine.listed() == engine.run_ids
    for index, run in enumerate(model.runs):
        if run.ended == "completed":
            assert await engine.state(index) == run.state
    await engine.check_logs()


def play_in_memory(operations: list[Operation]) -> None:
    memory, clock = MemoryJournal(), trio.testing.MockClock()
    trio.run(partial(play, operations, lambda: memory, clock), clock=clock)


@costly
@given(OPERATIONS)
def test_the_engine_does_what_the_model_says(operations: list[Operation]) -> None:
    play_in_memory(operations)


@few
@given(OPERATIONS)
def test_it_does_so_on_a_real_file(operations: list[Operation]) -> None:
    clock = trio.testing.MockClock()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "work.db"
        trio.run(partial(play, operations, lambda: SqliteJournal(path), clock), clock=clock)


def test_the_model_finds_a_key_that_is_not_looked_up() -> None:
    operations: list[Operation] = [("submit", "quick", "key-a"), ("submit", "quick", "key-a")]
    play_in_memory(operations)
    with skipped_deduplication(), pytest.raises(BaseExceptionGroup):
        play_in_memory(operations)


def test_the_model_finds_an_answer_that_was_given_too_early() -> None:
    operations: list[Operation] = [("submit", "quick", None), ("crash",)]
    play_in_memory(operations)
    with acknowledge_before_commit(), pytest.raises(BaseExceptionGroup):
        play_in_memory(operations)
