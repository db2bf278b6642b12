"""Joins that cancel what can lead to nothing but themselves, once they have what they need."""

from typing import Any

import pytest

from runtime.run.messages import Stopped
from tests.support.driver import fail, ok
from tests.support.graphs import Source, edge, graph, loop, node, when
from tests.support.hand import Hand, approval, bare, each, sub, wait


def race(
    *losers: Source | str, edges: tuple[Any, ...] = (), join: Any = "any", direct: bool = True, **keys: Any
) -> Hand:
    """Return a run in which `fast` races `losers` to the join `j`, and `end` comes after it."""
    names = [one if isinstance(one, str) else one["name"] for one in losers]
    arrows = [*(f"s > {name}" for name in names), *(f"{name} > j" for name in names)] if direct else []
    nodes = ["s", "fast", *losers, node("j", join=join, cancel_losers=True), "end"]
    hand = Hand(graph(nodes, "s > fast", "fast > j", "j > end", *arrows, *edges, **keys)).begin()
    hand.end("s")
    return hand


def cancelled(hand: Hand) -> list[str]:
    return [record.node for record in hand.of("step_cancelled")]


def skipped(hand: Hand) -> list[str]:
    return [record.node for record in hand.of("step_skipped")]


def test_a_loser_that_runs_is_cancelled_and_the_join_does_not_wait_for_it() -> None:
    hand = race("slow")
    hand.end("fast")
    assert sorted(hand.calls()) == ["j", "slow"]
    [requested] = hand.of("step_cancel_requested")
    assert (requested.node, requested.reason) == ("slow", "join")
    assert cancelled(hand) == []
    hand.end("j")
    hand.end("end")
    assert hand.status == "running"
    hand.end("slow", Stopped(abandoned=True))
    assert hand.of("step_cancelled")[0].abandoned is True
    assert hand.status == "completed"


@pytest.mark.parametrize("outcome", [{"x": 1}, fail()])
def test_whatever_a_loser_still_returns_counts_for_nothing(outcome: Any) -> None:
    hand = race("slow")
    hand.end("fast")
    hand.finish(slow=outcome)
    assert (hand.status, hand.state, cancelled(hand)) == ("completed", {}, ["slow"])


def test_a_join_without_the_key_cancels_nothing() -> None:
    hand = Hand(
        graph(["s", "fast", "slow", node("j", join="any")], "s > fast", "s > slow", "fast > j", "slow > j")
    ).begin()
    hand.end("s")
    hand.end("fast")
    assert hand.of("step_cancel_requested") == []
    hand.finish(slow={"x": 1})
    assert hand.state == {"x": 1}


def test_losers_that_wait_end_at_once() -> None:
    hand = race(
        node("retrying", retry={"max_attempts": 2}),
        wait("time", for_s=9),
        wait("signal", signal="go"),
        approval("question"),
    )
    hand.end("retrying", fail())
    hand.end("fast")
    assert sorted(cancelled(hand)) == ["question", "retrying", "signal", "time"]
    assert hand.calls() == ["j"]
    hand.signal("go")
    hand.finish()
    assert hand.status == "completed"
    assert len(hand.run.signals) == 1


def test_chains_of_losers_are_skipped_as_far_as_they_did_not_run() -> None:
    hand = race("x", "y", "z", direct=False, edges=("s > x", "x > y", "y > z", "z > j"))
    hand.end("fast")
    assert cancelled(hand) == []
    hand.end("x", Stopped())
    assert skipped(hand) == ["y", "z"]
    assert "x" in cancelled(hand)
    hand.finish()
    assert hand.status == "completed"


def test_whoever_leads_elsewhere_too_is_no_loser() -> None:
    hand = race("both", "elsewhere", direct=False, edges=("s > both", "both > j", "both > elsewhere"))
    hand.end("fast")
    assert hand.of("step_cancel_requested") == []
    hand.finish(both={"x": 1})
    assert hand.names().count("elsewhere") == 1
    assert hand.state == {"x": 1}


def test_whoever_leads_nowhere_is_none_either() -> None:
    hand = race("slow", "aside", direct=False, edges=("s > slow", "slow > j", "s > aside"))
    hand.end("fast")
    assert [record.node for record in hand.of("step_cancel_requested")] == ["slow"]
    assert hand.finish().status == "completed"


def test_error_edges_count_as_ways_on() -> None:
    hand = race(
        node("slow", on_error="route"),
        "clean",
        direct=False,
        edges=("s > slow", "slow > j", edge("slow > clean", on="error")),
    )
    hand.end("fast")
    assert hand.of("step_cancel_requested") == []
    hand.finish(slow=fail())
    assert "clean" in hand.names()


@pytest.mark.parametrize("winners", [("fast", "a"), ("a", "b")])
def test_a_join_of_two_waits_for_two(winners: tuple[str, str]) -> None:
    hand = race("a", "b", "c", join={"n": 2})
    hand.end(winners[0])
    assert hand.of("step_cancel_requested") == []
    hand.end(winners[1])
    losers = {"fast", "a", "b", "c"} - set(winners)
    assert {record.node for record in hand.of("step_cancel_requested")} == losers
    hand.finish()
    assert hand.status == "completed"


def test_a_loop_among_the_losers_does_not_go_on() -> None:
    hand = race("h", "b", direct=False, edges=("s > h", "h > b", "b > h", "b > j"), loops=[loop("b", max_iterations=9)])
    for _ in range(2):
        hand.end("h")
        hand.end("b")
    hand.end("h")
    hand.end("fast")
    hand.end("b", Stopped())
    hand.end("j")
    hand.end("end")
    assert (hand.status, hand.names().count("h")) == ("completed", 3)
    assert len(hand.of("loop_completed")) == 1


def test_a_loop_of_one_node_that_loses_ends() -> None:
    for outcome in (Stopped(), {"x": 1}):
        hand = race("h", loops=[loop("h", max_iterations=9)])
        hand.end("h")
        hand.end("fast")
        hand.finish(h=outcome)
        assert (hand.status, hand.names().count("h"), hand.state) == ("completed", 2, {})


def test_a_loop_that_is_left_by_an_edge_taken_before_leads_nowhere_after_the_join() -> None:
    source = ("s > h", "h > x", "x > j", "h > b", "b > h")
    hand = race("h", "b", "x", direct=False, edges=source, loops=[loop("b", max_iterations=9)])
    hand.end("h")
    assert hand.calls() == ["fast", "b"]
    hand.end("fast")
    hand.end("b", Stopped())
    assert skipped(hand) == ["x"]
    hand.finish()
    assert hand.status == "completed"


def test_nested_loops_among_the_losers_end() -> None:
    hand = race(
        "o",
        "i",
        "t",
        direct=False,
        edges=("s > o", "o > i", "i > t", "t > o", "t > j"),
        loops=[loop("i", max_iterations=3), loop("t", max_iterations=3)],
    )
    hand.end("o")
    hand.end("i")
    hand.end("fast")
    hand.end("i", Stopped())
    hand.finish()
    assert hand.status == "completed"
    assert hand.names().count("i") == 2


def test_a_join_in_a_loop_races_in_every_iteration() -> None:
    source = graph(
        ["s", "fast", "slow", node("j", join="any", cancel_losers=True), "end"],
        "s > fast",
        "s > slow",
        "fast > j",
        "slow > j",
        "j > s",
        "j > end",
        loops=[loop("j", max_iterations=3)],
    )
    hand = Hand(source).begin()
    for number in range(3):
        hand.end("s")
        winner, loser = ("fast", "slow") if number % 2 == 0 else ("slow", "fast")
        hand.end(winner, ok(**{f"won{number}": winner}))
        hand.end("j")
        assert hand.calls() == [loser]
        hand.end(loser, Stopped())
    hand.end("end")
    assert (hand.status, hand.state) == ("completed", {"won0": "fast", "won1": "slow", "won2": "fast"})
    assert cancelled(hand) == ["slow", "fast", "slow"]


def test_graphs_and_maps_that_lose_are_cancelled_as_a_whole() -> None:
    inner = graph(["a", "b", wait("w", signal="x"), "c"], "a > b", "a > w", "b > c")
    hand = race(sub("g", inner), each("m", [1, 2, 3], inner=inner, concurrency=2))
    hand.end("g#1/a")
    hand.end("m#1[0]/a")
    hand.end("fast")
    assert sorted(hand.calls()) == ["g#1/b", "j", "m#1[0]/b", "m#1[1]/a"]
    assert cancelled(hand) == ["w", "w"]
    hand.crash()
    assert hand.calls() == ["j"]
    assert sorted(cancelled(hand)) == ["a", "b", "b", "g", "m", "w", "w"]
    hand.finish()
    assert (hand.status, hand.names().count("m#1[2]/a")) == ("completed", 0)


def test_a_graph_that_loses_and_has_nothing_left_to_stop_is_cancelled_at_once() -> None:
    hand = race(sub("g", graph([wait("w", signal="x")])), each("m", [1, 2], inner=graph([wait("w", signal="x")])))
    hand.end("fast")
    assert {"g", "m"} <= set(cancelled(hand))
    assert hand.calls() == ["j"]


def test_races_may_stand_in_sub_graphs_and_items() -> None:
    inner = graph(
        ["s", "fast", "slow", node("j", join="any", cancel_losers=True)], "s > fast", "s > slow", "fast > j", "slow > j"
    )
    hand = Hand(graph([each("m", [1, 2], inner=graph([sub("g", inner)]))])).begin()
    for item in (0, 1):
        hand.end(f"m#1[{item}]/g#1/s")
        hand.end(f"m#1[{item}]/g#1/{'fast' if item else 'slow'}", who=item)
    hand.crash()
    hand.finish()
    assert (hand.status, hand.state) == ("completed", {"m": [{"who": 0}, {"who": 1}]})


def test_a_loser_may_be_a_join_with_losers_of_its_own() -> None:
    hand = race(
        "a",
        "b",
        node("k", join="any", cancel_losers=True),
        direct=False,
        edges=("s > a", "s > b", "a > k", "b > k", "k > j"),
    )
    hand.end("a")
    assert [record.node for record in hand.of("step_cancel_requested")] == ["b"]
    hand.end("fast")
    assert [record.node for record in hand.of("step_cancel_requested")] == ["b", "k"]
    hand.finish()
    assert hand.status == "completed"


def test_both_at_once_one_wins_and_the_join_runs_once() -> None:
    hand = race("slow")
    hand.end("fast", x=1)
    hand.end("slow", x=2)
    hand.end("j")
    hand.end("end")
    assert (hand.status, hand.names().count("j"), hand.state) == ("completed", 1, {"x": 1})


def test_a_failure_elsewhere_while_a_loser_stops_fails_the_run() -> None:
    hand = race("slow")
    hand.end("fast")
    hand.end("j", fail("MINE"))
    hand.end("slow", Stopped())
    assert (hand.status, hand.error) == ("failed", "MINE")
    hand.retry()
    assert hand.calls() == ["j"]
    hand.finish()
    assert hand.status == "completed"
    assert hand.names().count("slow") == 1


def test_a_loser_that_fails_before_the_join_fails_the_run_and_one_that_fails_after_it_does_not() -> None:
    hand = race("slow")
    hand.end("slow", fail())
    assert hand.run.failing is not None
    hand.end("fast")
    assert hand.status == "failed"
    hand.retry()
    assert hand.calls() == ["slow", "j"] or hand.calls() == ["j"]


def test_a_pause_between_the_last_edge_and_the_join_lets_losers_go_on_until_it_starts() -> None:
    hand = race("slow", "slower")
    hand.pause()
    hand.end("fast")
    assert hand.of("step_cancel_requested") == []
    hand.end("slow", x=1)
    hand.crash()
    hand.resume()
    assert [record.node for record in hand.of("step_cancel_requested")] == ["slower"]
    assert hand.view("j") == {"x": 1}
    hand.finish()
    assert hand.status == "completed"


def test_a_fork_from_behind_the_join_does_not_run_losers_again() -> None:
    hand = race("slow")
    hand.end("fast")
    hand.end("j")
    new = hand.fork("end")
    assert new.calls() == ["end"]
    assert cancelled(new) == ["slow"]
    new.end("end")
    assert new.status == "completed"


def test_a_join_that_fails_before_it_starts_goes_on_as_it_says() -> None:
    source = graph(
        ["s", "a", "b", "slow", node("j", join={"n": 2}, cancel_losers=True, on_error="continue"), "end"],
        "s > a",
        "s > b",
        "s > slow",
        "a > j",
        "b > j",
        "slow > j",
        "j > end",
    )
    hand = Hand(source).begin()
    hand.end("s")
    hand.end("a", x=1)
    hand.end("b", x=2)
    assert hand.of("step_failed")[0].error.code == "STATE_CONFLICT"
    hand.finish()
    assert hand.status == "completed"


def test_routes_into_the_race_that_are_not_taken_stay_so() -> None:
    hand = race("a", direct=False, edges=(edge("s > a", **when("x", "exists", None)), "a > j"))
    assert skipped(hand) == ["a"] or hand.calls() == ["fast"]
    assert hand.finish().status == "completed"


def test_an_unreachable_loser_leaves_no_trace() -> None:
    hand = race("ghost", direct=False, edges=("ghost > j",))
    hand.finish()
    assert "ghost" not in skipped(hand)
    assert hand.status == "completed"


def test_a_conditional_among_the_losers_is_passed_over() -> None:
    hand = race("a", bare("c", "conditional"), direct=False, edges=("s > a", "a > c", "c > j"))
    hand.end("fast")
    hand.end("a", Stopped())
    assert skipped(hand) == ["c"]
    assert hand.finish().status == "completed"
