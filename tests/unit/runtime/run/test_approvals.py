"""Steps that wait for a person's answer."""

from datetime import timedelta
from typing import Any

import pytest

from runtime.run.decision import Refused
from runtime.run.messages import Answer, TimerDue
from tests.support.driver import NOON, fail
from tests.support.graphs import graph, loop
from tests.support.hand import Hand, approval, each, sub

YES_NO = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


def asked(**keys: Any) -> Hand:
    return Hand(graph([approval("review", **keys), "a"], "review > a")).begin()


def open_ids(hand: Hand) -> list[str]:
    return [
        step.approval.approval for frame in hand.frames() for step in frame.active.values() if step.approval is not None
    ]


def test_an_answer_ends_the_step_and_goes_under_the_nodes_name() -> None:
    hand = asked()
    assert hand.status == "waiting"
    [question] = hand.of("approval_requested")
    assert (question.approval, question.prompt, question.node, question.iteration) == (
        "review#1",
        "review?",
        "review",
        1,
    )
    hand.answer("review#1", {"ok": True}, by="ada")
    [answered] = hand.of("approval_answered")
    assert (answered.answer, answered.by) == ({"ok": True}, "ada")
    assert hand.view("a") == {"review": {"ok": True}}
    assert hand.finish().status == "completed"


@pytest.mark.parametrize("given", [None, False, 0, "", [], {}])
def test_any_json_is_an_answer(given: Any) -> None:
    hand = asked(into="key")
    hand.answer("review#1", given)
    assert hand.view("a") == {"key": given}


def test_only_the_first_answer_counts() -> None:
    hand = asked()
    hand.answer("review#1", 1)
    with pytest.raises(Refused) as refused:
        hand.answer("review#1", 2)
    assert refused.value.code == "UNKNOWN_APPROVAL"
    assert hand.view("a") == {"review": 1}


@pytest.mark.parametrize("name", ["review", "review#2", "a#1", "other#1", "review#1/x#1", ""])
def test_what_is_not_asked_cannot_be_answered(name: str) -> None:
    hand = asked()
    with pytest.raises(Refused) as refused:
        hand.answer(name, 1)
    assert refused.value.code == "UNKNOWN_APPROVAL"
    assert hand.status == "waiting"


def test_an_answer_has_to_fit_the_schema_and_one_that_does_not_leaves_the_question_open() -> None:
    hand = asked(answer_schema=YES_NO)
    with pytest.raises(Refused) as refused:
        hand.answer("review#1", {"ok": "maybe"})
    assert [problem.pointer for problem in refused.value.problems] == ["/answer/ok"]
    assert open_ids(hand) == ["review#1"]
    hand.answer("review#1", {"ok": False})
    assert hand.view("a") == {"review": {"ok": False}}


@pytest.mark.parametrize("answer", [False, {"ok": False}])
def test_a_time_out_with_an_answer_answers(answer: Any) -> None:
    hand = asked(timeout_s=60, timeout_answer=answer)
    assert hand.of("approval_requested")[0].due == NOON + timedelta(seconds=60)
    hand.later(60)
    [answered] = hand.of("approval_answered")
    assert (answered.answer, answered.timed_out) == (answer, True)
    assert hand.view("a") == {"review": answer}


def test_a_time_out_without_an_answer_fails_the_step_and_nothing_is_asked_any_more() -> None:
    hand = Hand(
        graph([approval("review", timeout_s=60, node_keys={"on_error": "continue"}), "a"], "review > a")
    ).begin()
    hand.later(60)
    assert [record.error.code for record in hand.of("step_failed")] == ["TIMEOUT"]
    assert (hand.calls(), open_ids(hand)) == (["a"], [])
    with pytest.raises(Refused):
        hand.answer("review#1", 1)


def test_what_comes_first_at_one_instant_wins() -> None:
    for first in ("answer", "timer"):
        hand = asked(timeout_s=60, timeout_answer="late")
        hand.now += timedelta(seconds=60)
        if first == "answer":
            hand.send(Answer("review#1", "in time", None))
            assert hand.send(TimerDue(0, 1)) == []
        else:
            hand.send(TimerDue(0, 1))
            with pytest.raises(Refused):
                hand.answer("review#1", "in time")
        assert hand.view("a") == {"review": "in time" if first == "answer" else "late"}


def test_a_question_in_a_loop_is_another_one_each_time() -> None:
    hand = Hand(graph([approval("q")], loops=[loop("q", max_iterations=3)])).begin()
    for number in (1, 2, 3):
        assert open_ids(hand) == [f"q#{number}"]
        hand.answer(f"q#{number}", number)
    assert (hand.status, hand.state) == ("completed", {"q": 3})


def test_ids_of_questions_inside_have_the_whole_path() -> None:
    inner = graph([approval("q/~", into="q")])
    hand = Hand(
        graph(["s", sub("sub", graph([each("m", [1, 2], inner=inner)])), sub("a/b", inner)], "s > sub", "s > a/b")
    )
    hand.begin().end("s")
    assert sorted(open_ids(hand)) == ["a~1b#1/q~1~0#1", "sub#1/m#1[0]/q~1~0#1", "sub#1/m#1[1]/q~1~0#1"]
    assert hand.of("approval_requested")[0].approval in open_ids(hand)
    for name in open_ids(hand):
        hand.answer(name, name)
    assert hand.status == "completed"
    assert hand.state["m"] == [{"q": "sub#1/m#1[0]/q~1~0#1"}, {"q": "sub#1/m#1[1]/q~1~0#1"}]
    assert hand.state["q"] == "a~1b#1/q~1~0#1"


def test_a_question_stays_open_across_a_crash_and_a_pause() -> None:
    hand = asked()
    hand.crash()
    hand.pause()
    hand.crash()
    hand.answer("review#1", 1)
    assert (hand.calls(), hand.status) == ([], "paused")
    hand.resume()
    assert hand.calls() == ["a"]


def test_no_question_is_open_in_a_run_that_ends() -> None:
    hand = Hand(graph(["s", approval("q"), "a", "b"], "s > q", "s > a", "s > b")).begin()
    hand.end("s")
    hand.end("a", fail())
    assert open_ids(hand) == []
    with pytest.raises(Refused):
        hand.answer("q#1", 1)


def test_a_question_is_asked_again_after_a_retry_with_its_whole_time() -> None:
    hand = asked(timeout_s=60)
    hand.later(60)
    assert hand.error == "TIMEOUT"
    hand.later(500)
    hand.retry()
    assert (hand.status, open_ids(hand)) == ("waiting", ["review#1"])
    hand.later(59)
    hand.answer("review#1", 1)
    assert hand.finish().state == {"review": 1}


def test_an_answer_that_its_reducer_refuses_can_be_given_again_after_a_retry() -> None:
    hand = Hand(graph([approval("q", into="n")], reducers={"n": "add"})).begin(n=1)
    hand.answer("q#1", "text")
    assert hand.error == "REDUCER_ERROR"
    hand.retry()
    hand.answer("q#1", 5)
    assert (hand.status, hand.state) == ("completed", {"n": 6})


def test_a_question_that_was_stopped_with_the_run_is_open_again_after_a_retry() -> None:
    hand = Hand(graph(["s", approval("q"), "a"], "s > q", "s > a")).begin()
    hand.end("s")
    hand.end("a", fail())
    assert hand.status == "failed"
    hand.retry()
    assert open_ids(hand) == ["q#1"]
    hand.answer("q#1", 1)
    assert hand.finish().status == "completed"
