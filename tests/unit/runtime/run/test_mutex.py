"""Nodes with the same `mutex` never run at the same time."""

import pytest

from runtime.run.messages import Stopped
from tests.support.driver import fail
from tests.support.graphs import graph, loop, node
from tests.support.hand import Hand, approval, bare, each, sub, wait


def side_by_side(*nodes: object, **keys: object) -> Hand:
    """Return a run in which all the nodes might run at once, the ones first that stand first."""
    names = [one["name"] if isinstance(one, dict) else one for one in nodes]
    return Hand(graph(["s", *nodes], *(f"s > {name}" for name in names), **keys)).begin()


def locked(name: str, **keys: object) -> dict[str, object]:
    return node(name, mutex="m", **keys)


def test_one_runs_at_a_time_in_the_order_of_the_nodes() -> None:
    hand = side_by_side(locked("c"), locked("a"), "free", locked("b"))
    hand.end("s")
    assert hand.calls() == ["c", "free"]
    hand.end("c")
    assert hand.calls() == ["free", "a"]
    hand.end("a")
    hand.end("b")
    hand.end("free")
    assert hand.status == "completed"


def test_different_words_do_not_touch_each_other() -> None:
    hand = side_by_side(locked("a"), node("b", mutex="other"), node("c", mutex="other"))
    hand.end("s")
    assert hand.calls() == ["a", "b"]


@pytest.mark.parametrize("how", ["continue", "retry", "wait", "approval", "graph", "map", "end_of_time"])
def test_it_is_held_until_the_step_is_over_whatever_that_takes(how: str) -> None:
    holder = {
        "continue": locked("a", on_error="continue"),
        "retry": locked("a", retry={"max_attempts": 2}),
        "wait": wait("a", for_s=10, node_keys={"mutex": "m"}),
        "approval": approval("a", node_keys={"mutex": "m"}),
        "graph": sub("a", graph("x y", "x > y"), mutex="m"),
        "map": each("a", [1, 2], node_mutex="m"),
        "end_of_time": sub("a", graph("x"), mutex="m", timeout_s=5, on_error="continue"),
    }[how]
    hand = side_by_side(holder, locked("b"))
    hand.end("s")
    assert "b" not in hand.calls()
    if how == "continue":
        hand.end("a", fail())
    elif how == "retry":
        hand.end("a", fail())
        assert hand.calls() == []
        hand.ring("a")
        hand.end("a")
    elif how == "wait":
        hand.later(10)
    elif how == "approval":
        hand.answer("a#1", 1)
    elif how == "end_of_time":
        hand.later(5)
        assert "b" not in hand.calls()
        hand.end("a#1/x", Stopped())
    else:
        for name in hand.calls():
            hand.end(name)
        for name in hand.calls():
            if name != "b":
                hand.end(name)
    assert hand.calls() == ["b"]
    assert hand.finish().status == "completed"


def test_the_word_counts_in_one_graph_only() -> None:
    inner = graph([locked("x")])
    hand = side_by_side(locked("a"), sub("g", inner), sub("h", inner))
    hand.end("s")
    assert hand.calls() == ["a", "g#1/x", "h#1/x"]


def test_items_hold_none_against_each_other() -> None:
    hand = Hand(graph([each("m", [1, 2, 3], inner=graph([locked("x")]))])).begin()
    assert len(hand.calls()) == 3


def test_one_that_waits_is_not_skipped_and_one_that_is_skipped_does_not_wait() -> None:
    source = graph(
        ["s", locked("a"), bare("r", "conditional", on_unmatched="end"), locked("b"), locked("c")],
        "s > a",
        "s > r",
        {"from_node": "r", "to_node": "b", "condition": {"field": "x", "operator": "exists"}},
        "s > c",
    )
    hand = Hand(source).begin()
    hand.end("s")
    assert [record.node for record in hand.of("step_skipped")] == ["b"]
    hand.end("a")
    hand.end("c")
    assert hand.status == "completed"


@pytest.mark.parametrize("held_by", ["header", "other"])
def test_loops_take_turns_with_others(held_by: str) -> None:
    source = graph(
        ["s", locked("h"), "body", locked("o"), "after"],
        "s > h",
        "s > o",
        "h > body",
        "body > h",
        "body > after",
        loops=[loop("body", max_iterations=3)],
    )
    hand = Hand(source).begin()
    hand.end("s")
    assert hand.calls() == ["h"]
    hand.end("h")
    assert hand.calls() == ["o", "body"] or hand.calls() == ["body", "o"]
    if held_by == "other":
        hand.end("body")
        assert hand.calls() == ["o"]
        hand.crash()
        hand.pause()
        hand.end("o")
        assert hand.calls() == []
        hand.resume()
        assert hand.calls() == ["h"]
    hand.finish()
    assert hand.status == "completed"
    assert hand.names().count("h") == 3


def test_a_loop_of_one_node_lets_go_between_its_iterations() -> None:
    source = graph(
        ["s", locked("x"), locked("y")],
        "s > x",
        "s > y",
        loops=[loop("x", max_iterations=2), loop("y", max_iterations=2)],
    )
    hand = Hand(source).begin()
    hand.finish()
    assert sorted(hand.names()[1:]) == ["x", "x", "y", "y"]
    assert hand.status == "completed"


def test_nodes_inside_one_loop_iteration_share_it_too() -> None:
    source = graph(
        ["h", locked("a"), locked("b"), "j"],
        "h > a",
        "h > b",
        "a > j",
        "b > j",
        "j > h",
        loops=[loop("j", max_iterations=2)],
    )
    hand = Hand(source).begin()
    for _ in range(2):
        hand.end("h")
        assert hand.calls() == ["a"]
        hand.end("a")
        assert hand.calls() == ["b"]
        hand.end("b")
        hand.end("j")
    assert hand.status == "completed"


def test_one_that_waits_does_not_start_in_a_run_that_stops_and_does_after_a_retry() -> None:
    hand = side_by_side(locked("a"), locked("b"))
    hand.end("s")
    hand.end("a", fail())
    assert (hand.status, hand.names()) == ("failed", ["s", "a"])
    hand.retry()
    assert hand.calls() == ["a"]
    hand.end("a")
    assert hand.calls() == ["b"]
    hand.end("b")
    assert hand.status == "completed"


def test_one_that_waits_starts_after_a_crash() -> None:
    hand = side_by_side(locked("a"), locked("b"))
    hand.end("s")
    hand.crash()
    assert hand.calls() == ["a"]
    hand.end("a")
    hand.crash()
    assert hand.calls() == ["b"]


def test_a_loser_lets_go_once_it_stopped() -> None:
    source = graph(
        ["s", "fast", locked("slow"), node("j", join="any", cancel_losers=True), locked("next")],
        "s > fast",
        "s > slow",
        "fast > j",
        "slow > j",
        "j > next",
    )
    hand = Hand(source).begin()
    hand.end("s")
    hand.end("fast")
    hand.end("j")
    assert hand.calls() == ["slow"]
    hand.end("slow", Stopped())
    assert hand.calls() == ["next"]
    hand.end("next")
    assert hand.status == "completed"


def test_a_loser_that_waits_for_it_is_skipped() -> None:
    source = graph(
        ["s", "fast", locked("other"), locked("slow"), node("j", join="any", cancel_losers=True)],
        "s > fast",
        "s > other",
        "s > slow",
        "fast > j",
        "slow > j",
    )
    hand = Hand(source).begin()
    hand.end("s")
    assert hand.calls() == ["fast", "other"]
    hand.end("fast")
    assert [record.node for record in hand.of("step_skipped")] == ["slow"]
    hand.end("other")
    hand.end("j")
    assert hand.status == "completed"


def test_a_loop_header_that_waits_for_it_and_loses_ends_its_loop() -> None:
    source = graph(
        ["s", locked("h"), locked("other"), "fast", node("j", join="any", cancel_losers=True)],
        "s > h",
        "s > other",
        "s > fast",
        "h > j",
        "fast > j",
        loops=[loop("h", max_iterations=5)],
    )
    hand = Hand(source).begin()
    hand.end("s")
    hand.end("h")
    assert hand.calls() == ["fast", "other"]
    hand.end("fast")
    assert hand.of("loop_completed") != []
    hand.end("other")
    hand.end("j")
    assert (hand.status, hand.names().count("h")) == ("completed", 1)


def test_nodes_without_a_tool_take_it_in_passing() -> None:
    hand = side_by_side(locked("a"), bare("r", "conditional", mutex="m"))
    hand.end("s")
    assert hand.names() == ["s", "a"]
    hand.end("a")
    assert (hand.status, hand.names()) == ("completed", ["s", "a", "r"])
