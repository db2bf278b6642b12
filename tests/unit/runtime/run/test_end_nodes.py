"""Nodes of type `end`: they end their run, or their sub-graph, at once."""

import pytest

from runtime.run.decision import Refused
from runtime.run.messages import Stopped
from tests.support.driver import fail
from tests.support.graphs import edge, graph, loop, node, when
from tests.support.hand import Hand, approval, bare, each, sub, wait

END = bare("e", "end")


def test_a_run_that_reaches_it_is_completed() -> None:
    hand = Hand(graph(["a", END], "a > e")).begin()
    hand.end("a", x=1)
    assert hand.events[-4:] == ["step_started", "step_completed", "end_reached", "run_completed"]
    assert (hand.status, hand.state) == ("completed", {"x": 1})


def test_a_graph_may_be_nothing_else() -> None:
    assert Hand(graph([END])).begin().status == "completed"


def test_what_else_runs_is_cancelled_and_nothing_starts() -> None:
    nodes = ["s", "a", END, "b", "after", wait("w", signal="x"), approval("q"), node("r", retry={"max_attempts": 2})]
    hand = Hand(graph(nodes, "s > a", "a > e", "s > b", "b > after", "s > w", "s > q", "s > r")).begin()
    hand.end("s")
    hand.end("r", fail())
    hand.end("a")
    assert sorted(record.node for record in hand.of("step_cancelled")) == ["q", "r", "w"]
    assert (hand.calls(), hand.status) == (["b"], "running")
    assert hand.of("step_cancel_requested") == []
    hand.end("b", Stopped())
    assert hand.status == "completed"
    assert "after" not in hand.names()


@pytest.mark.parametrize("outcome", [{"x": 1}, fail()])
def test_what_ends_by_itself_after_it_counts_as_it_is(outcome: object) -> None:
    hand = Hand(graph(["s", "a", END, "b", "after"], "s > a", "a > e", "s > b", "b > after")).begin()
    hand.end("s")
    hand.end("a")
    hand.finish(b=outcome)  # type: ignore[arg-type]
    assert (hand.status, hand.state) == ("completed", {"x": 1} if outcome == {"x": 1} else {})
    assert "after" not in hand.names()


def test_commands_that_come_after_it_change_nothing() -> None:
    hand = Hand(graph(["s", "a", END, "b"], "s > a", "a > e", "s > b")).begin()
    hand.end("s")
    hand.end("a")
    assert [hand.cancel(), hand.deadline(), hand.pause()] == [[], [], []]
    hand.crash()
    assert hand.status == "completed"
    with pytest.raises(Refused):
        hand.retry()


def test_two_of_them_end_it_once() -> None:
    hand = Hand(graph(["s", END, bare("f", "end")], "s > e", "s > f")).begin()
    hand.end("s")
    assert hand.events.count("end_reached") == 1
    assert hand.status == "completed"


def test_a_run_that_fails_already_does_not_reach_it() -> None:
    hand = Hand(graph(["s", "a", "b", END], "s > a", "s > b", "b > e")).begin()
    hand.end("s")
    hand.end("a", fail())
    hand.end("b")
    assert (hand.status, hand.of("end_reached")) == ("failed", [])
    hand.retry()
    assert hand.of("end_reached") != []
    hand.end("a", Stopped())
    assert hand.status == "completed"


def test_one_that_is_not_reached_ends_nothing() -> None:
    hand = Hand(graph(["a", END, "b"], edge("a > e", **when("x", "exists", None)), edge("a > b", default=True))).begin()
    hand.end("a")
    assert [record.node for record in hand.of("step_skipped")] == ["e"]
    assert hand.finish().names() == ["a", "b"]


def test_it_ends_a_loop_in_the_middle() -> None:
    source = graph(
        ["h", "c", END],
        edge("h > e", **when("n", "==", 2)),
        edge("h > c", default=True),
        "c > h",
        loops=[loop("c", max_iterations=9)],
    )
    hand = Hand(source).begin()
    for number in (1, 2):
        hand.end("h", n=number)
        if number == 1:
            hand.end("c")
    # the edge leaves the loop, so it is held until the loop is over, which it is: nothing else runs in it
    assert (hand.status, hand.state) == ("completed", {"n": 2})


def test_in_a_sub_graph_it_ends_that_alone() -> None:
    inner = graph(["s", "a", END, "b"], "s > a", "a > e", "s > b")
    hand = Hand(graph([sub("g", inner), "after"], "g > after")).begin()
    hand.end("g#1/s")
    hand.end("g#1/a", x=1)
    assert hand.of("end_reached")[0].path == "g#1"
    hand.crash()
    assert hand.calls() == ["after"]
    assert hand.of("step_cancelled", "b") != []
    assert hand.view("after") == {"x": 1}
    assert hand.finish().status == "completed"


def test_in_an_item_it_ends_that_item_alone() -> None:
    inner = graph(["s", "a", END, "b"], "s > a", "a > e", "s > b")
    hand = Hand(graph([each("m", [1, 2], inner=inner)])).begin()
    for item in (0, 1):
        hand.end(f"m#1[{item}]/s")
    hand.end("m#1[0]/a", x=1)
    hand.end("m#1[0]/b", Stopped())
    assert sorted(hand.calls()) == ["m#1[1]/a", "m#1[1]/b"]
    hand.end("m#1[1]/b", y=1)
    hand.end("m#1[1]/a")
    assert (hand.status, hand.state) == ("completed", {"m": [{"x": 1}, {"y": 1}]})


def test_at_the_top_it_ends_what_runs_inside() -> None:
    inner = graph([each("m", [1, 2, 3], concurrency=2)])
    hand = Hand(graph(["s", sub("g", inner), "a", END], "s > g", "s > a", "a > e")).begin()
    hand.end("s")
    hand.end("a")
    assert sorted(hand.calls()) == ["g#1/m#1[0]/m", "g#1/m#1[1]/m"]
    hand.end("g#1/m#1[0]/m")
    hand.end("g#1/m#1[1]/m", Stopped())
    assert hand.status == "completed"
    assert [record.node for record in hand.of("step_cancelled")] == ["m", "m", "g"]


def test_an_end_counts_as_a_step() -> None:
    hand = Hand(graph(["a", END], "a > e", limits={"max_steps": 1})).begin()
    hand.end("a")
    assert (hand.status, hand.error) == ("failed", "STEP_LIMIT")
