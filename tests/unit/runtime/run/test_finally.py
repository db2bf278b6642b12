"""Nodes that run at the end of a run or a sub-graph, however it ends."""

from typing import Any

import pytest

from runtime.run.decision import Refused
from runtime.run.messages import AttemptEnded, Start, Stopped, Submit
from tests.support.driver import fail, ok
from tests.support.graphs import Source, graph, leaf, node
from tests.support.hand import Hand, bare, each, sub, wait


def ending(*edges: str, nodes: Any = ("a",), last: Any = ("f", "g"), **keys: Any) -> Source:
    names = [one if isinstance(one, str) else one["name"] for one in last]
    return graph([*nodes, *last], *edges, **{"finally": names, **keys})


def test_they_run_one_after_another_when_all_else_has_ended_and_see_all_that_was_written() -> None:
    hand = Hand(ending("a > b", "a > c", nodes=("a", "b", "c"))).begin(x=0)
    hand.end("a", a=1)
    hand.end("b", b=1)
    assert hand.calls() == ["c"]
    hand.end("c", c=1)
    assert hand.calls() == ["f"]
    [finishing] = hand.of("run_finishing")
    assert finishing.status == "completed"
    assert hand.view("f") == {"x": 0, "a": 1, "b": 1, "c": 1}
    hand.end("f", f=1)
    assert hand.view("g") == {"x": 0, "a": 1, "b": 1, "c": 1, "f": 1}
    hand.end("g", g=1)
    assert (hand.status, hand.state) == ("completed", {"x": 0, "a": 1, "b": 1, "c": 1, "f": 1, "g": 1})
    assert hand.started()[-2:] == [("f", 1), ("g", 1)]


def ended(how: str, **keys: Any) -> Hand:
    """Return a run of `a` that is about to end in that way."""
    hand = Hand(ending(**keys)).begin()
    if how == "failed":
        hand.end("a", fail("MINE"))
    elif how == "completed":
        hand.end("a")
    else:
        hand.cancel() if how == "cancelled" else hand.deadline()
        assert hand.calls() == ["a"]
        hand.end("a", Stopped())
    return hand


ENDS = ["completed", "failed", "cancelled", "timed_out"]


@pytest.mark.parametrize("how", ENDS)
def test_they_run_however_the_run_ends(how: str) -> None:
    hand = ended(how)
    assert hand.of("run_finishing")[0].status == how
    assert hand.calls() == ["f"]
    hand.end("f")
    hand.end("g")
    assert hand.run.status == how
    assert hand.events[-1] == f"run_{how}"


@pytest.mark.parametrize("how", ENDS)
def test_one_that_fails_lets_the_others_run_and_only_a_run_that_would_have_completed_fails(how: str) -> None:
    hand = ended(how)
    hand.end("f", fail("LATE"))
    hand.end("g", fail("LATER"))
    expected = "failed" if how == "completed" else how
    assert hand.run.status == expected
    if expected == "failed":
        assert hand.error == ("LATE" if how == "completed" else "MINE")


def test_a_failure_that_one_passes_over_is_none() -> None:
    hand = Hand(ending(last=[node("f", on_error="continue"), "g"])).begin()
    hand.end("a")
    hand.end("f", fail())
    hand.end("g")
    assert hand.status == "completed"


@pytest.mark.parametrize("how", ENDS)
def test_their_retries_and_time_outs_work_in_every_ending(how: str) -> None:
    hand = ended(how, last=[node("f", retry={"max_attempts": 3, "initial_s": 5, "jitter": "none"}), "g"])
    hand.end("f", fail())
    assert hand.calls() == []
    hand.later(5)
    hand.end("f", fail())
    hand.crash()
    hand.later(10)
    hand.end("f")
    hand.end("g")
    assert hand.run.status == how


@pytest.mark.parametrize("how", ENDS)
def test_a_crash_starts_the_one_that_ran_again(how: str) -> None:
    hand = ended(how)
    hand.crash()
    assert hand.calls() == ["f"]
    hand.end("f")
    hand.crash()
    hand.end("g")
    assert hand.run.status == how
    assert hand.names()[-2:] == ["f", "g"]


@pytest.mark.parametrize("how", ENDS)
def test_who_cancels_a_run_at_its_end_or_lets_its_time_pass_changes_nothing(how: str) -> None:
    hand = ended(how)
    assert (hand.cancel(), hand.deadline()) == ([], [])
    hand.end("f")
    hand.end("g")
    assert hand.run.status == how


def test_a_run_that_never_started_runs_none() -> None:
    hand = Hand(ending())
    hand.send(Submit({}, {}))
    hand.cancel()
    assert hand.events == ["run_submitted", "run_cancel_requested", "run_cancelled"]
    assert hand.send(Start()) == []


def test_they_run_after_the_step_limit_too() -> None:
    hand = Hand(ending("a > b", nodes=("a", "b"), limits={"max_steps": 1})).begin()
    hand.end("a")
    assert hand.calls() == ["f"]
    hand.finish()
    assert (hand.status, hand.error) == ("failed", "STEP_LIMIT")
    assert hand.names() == ["a", "f", "g"]


def test_they_run_at_the_step_limit_of_a_run_that_completes() -> None:
    hand = Hand(ending(limits={"max_steps": 1})).begin()
    hand.finish()
    assert hand.status == "completed"


def test_they_run_after_an_end_node_and_fail_the_run_that_it_would_have_completed() -> None:
    for outcome, status in (({}, "completed"), (fail("LATE"), "failed")):
        hand = Hand(ending("a > e", nodes=("a", bare("e", "end")))).begin()
        hand.end("a")
        assert hand.calls() == ["f"]
        hand.finish(f=outcome)
        assert hand.status == status


def test_a_run_without_any_has_no_record_of_finishing() -> None:
    assert Hand(graph("a")).begin().finish().of("run_finishing") == []


def test_a_pause_holds_them_back() -> None:
    for outcome, status in ((ok(), "completed"), (fail(), "failed")):
        hand = Hand(ending()).begin()
        hand.pause()
        hand.end("a", outcome)
        assert (hand.calls(), hand.status) == ([], "paused")
        hand.crash()
        assert hand.calls() == []
        hand.resume()
        assert hand.calls() == ["f"]
        hand.pause()
        hand.end("f")
        assert (hand.calls(), hand.status) == ([], "paused")
        hand.resume()
        hand.end("g")
        assert hand.status == status


def test_an_engine_that_closes_starts_none_and_the_next_one_does() -> None:
    hand = Hand(ending()).begin()
    hand.send(AttemptEnded(0, 1, 1, fail(), 1.0), hold=True)
    assert hand.calls() == []
    hand.crash()
    assert hand.calls() == ["f"]
    assert hand.finish().status == "failed"


# --- kinds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ENDS)
def test_graphs_and_maps_run_at_the_end_of_any_run(how: str) -> None:
    inner = graph([wait("w", signal="go", into="got"), "x"], "w > x")
    last = [sub("f", inner, timeout_s=100), each("g", [1, 2, 3], concurrency=2)]
    hand = ended(how, last=last)
    assert hand.status == "waiting"
    hand.crash()
    hand.signal("go", 1)
    assert hand.calls() == ["f#1/x"]
    hand.end("f#1/x", y=2)
    hand.finish(g={"z": 1})
    assert hand.run.status == how
    assert hand.state == {"got": 1, "y": 2, "g": [{"z": 1}] * 3}


@pytest.mark.parametrize("how", ENDS)
def test_a_map_at_the_end_can_be_finished_by_a_signal(how: str) -> None:
    hand = ended(how, last=[each("f", [1, 2, 3], concurrency=1, finish_on="enough"), "g"])
    hand.end("f#1[0]/f", x=1)
    hand.signal("enough")
    hand.end("f#1[1]/f", Stopped())
    hand.end("g")
    assert (hand.run.status, hand.state) == (how, {"f": [{"x": 1}, None, None]})


@pytest.mark.parametrize("how", ENDS)
def test_a_graph_at_the_end_that_takes_too_long_fails(how: str) -> None:
    hand = ended(how, last=[sub("f", graph([wait("w", signal="go")]), timeout_s=100), "g"])
    hand.later(100)
    hand.end("g")
    assert hand.run.status == ("failed" if how == "completed" else how)


def test_items_that_are_none_fail_one_of_them_before_it_starts() -> None:
    hand = ended("completed", last=[each("f", "items"), "g"])
    assert hand.calls() == ["g"]
    hand.end("g")
    assert (hand.status, hand.error) == ("failed", "INVALID_ITEMS")
    assert hand.of("step_failed")[0].attempt == 0


def test_a_mutex_word_that_one_shares_with_other_nodes_does_not_skip_it() -> None:
    hand = Hand(
        ending("s > a", "s > b", nodes=("s", node("a", mutex="m"), node("b", mutex="m")), last=[node("f", mutex="m")])
    )
    hand.begin().finish()
    assert hand.names() == ["s", "a", "b", "f"]
    assert hand.of("step_skipped") == []


# --- sub-graphs -------------------------------------------------------------------------------------------------------


def inside(inner: Source | None = None, **keys: Any) -> Source:
    return graph(["s", sub("sub", inner or ending(), **keys), "other"], "s > sub", "s > other")


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "deadline", "sibling"])
def test_those_of_a_sub_graph_run_however_it_ends(how: str) -> None:
    hand = Hand(inside()).begin()
    hand.end("s")
    if how == "completed":
        hand.end("sub#1/a")
    elif how == "failed":
        hand.end("sub#1/a", fail())
    else:
        if how == "sibling":
            hand.end("other", fail())
        else:
            hand.cancel() if how == "cancelled" else hand.deadline()
        hand.end("sub#1/a", Stopped())
    assert "sub#1/f" in hand.calls()
    [finishing] = hand.of("run_finishing")
    assert finishing.path == "sub#1"
    hand.crash()
    hand.end("sub#1/f")
    hand.end("sub#1/g")
    hand.finish()
    expected = {"cancelled": "cancelled", "completed": "completed", "deadline": "timed_out"}
    assert hand.run.status == expected.get(how, "failed")
    assert hand.of("step_completed", "sub") != [] if how == "completed" else hand.of("step_completed", "sub") == []


def test_a_run_that_is_cancelled_while_they_run_lets_them_end() -> None:
    hand = Hand(inside()).begin()
    hand.end("s")
    hand.end("sub#1/a", x=1)
    hand.cancel()
    hand.end("other", Stopped())
    assert hand.calls() == ["sub#1/f"]
    hand.end("sub#1/f")
    hand.end("sub#1/g")
    assert hand.status == "cancelled"
    assert len(hand.of("run_finishing")) == 1


def test_one_that_fails_in_a_sub_graph_fails_its_step() -> None:
    hand = Hand(inside(on_error="continue")).begin()
    hand.end("s")
    hand.end("sub#1/a")
    hand.end("sub#1/f", fail("LATE"))
    hand.end("sub#1/g")
    assert [(record.node, record.error.code) for record in hand.of("step_failed")] == [("f", "LATE"), ("sub", "LATE")]
    assert hand.finish().status == "completed"


def test_those_of_a_loser_and_of_one_that_takes_too_long_run() -> None:
    source = graph(
        ["s", "fast", sub("slow", ending()), node("j", join="any", cancel_losers=True)],
        "s > fast",
        "s > slow",
        "fast > j",
        "slow > j",
    )
    hand = Hand(source).begin()
    hand.end("s")
    hand.end("fast")
    hand.end("slow#1/a", Stopped())
    hand.end("slow#1/f")
    hand.end("slow#1/g", fail())
    assert hand.of("step_cancelled", "slow") != []
    assert hand.finish().status == "completed"
    hand = Hand(graph([sub("sub", ending(), timeout_s=5)])).begin()
    hand.later(5)
    hand.end("sub#1/a", Stopped())
    hand.finish()
    assert (hand.error, hand.names()[-2:]) == ("TIMEOUT", ["sub#1/f", "sub#1/g"])


def test_those_of_every_item_run() -> None:
    hand = Hand(graph([each("m", [1, 2], inner=ending(last=["f"]), until=leaf("completed", ">=", 1))])).begin()
    hand.end("m#1[1]/a")
    hand.end("m#1[1]/f")
    hand.end("m#1[0]/a", Stopped())
    hand.end("m#1[0]/f")
    assert hand.status == "completed"
    assert hand.state == {"m": [None, {}]}


def test_they_stand_in_graphs_that_run_at_the_end() -> None:
    for how in ENDS:
        hand = ended(how, last=[sub("f", ending(nodes=("a",), last=["h"]), timeout_s=60)])
        hand.end("f#1/a")
        hand.crash()
        hand.end("f#1/h")
        assert hand.run.status == how


# --- retries ----------------------------------------------------------------------------------------------------------


def test_they_run_again_after_a_retry_and_are_numbered_on() -> None:
    hand = Hand(ending("a > b", nodes=("a", "b"))).begin()
    hand.end("a", fail())
    hand.end("f", f=1)
    hand.end("g", fail())
    hand.retry()
    assert hand.calls() == ["a"]
    hand.end("a", fail())
    hand.crash()
    hand.finish()
    hand.retry()
    hand.end("a")
    hand.end("b")
    hand.crash()
    hand.finish()
    assert hand.status == "completed"
    assert [one for one in hand.started() if one[0] in "fg"] == [(n, i) for i in (1, 2, 3) for n in "fg"]
    assert [record.status for record in hand.of("run_finishing")] == ["failed", "failed", "completed"]


def test_a_run_that_failed_by_one_of_them_has_nothing_to_retry() -> None:
    hand = Hand(ending()).begin()
    hand.finish(f=fail())
    assert hand.status == "failed"
    with pytest.raises(Refused):
        hand.retry()


def test_those_of_a_sub_graph_run_again_after_a_retry() -> None:
    hand = Hand(graph([sub("sub", ending())])).begin()
    hand.finish(a=fail())
    hand.retry()
    hand.finish()
    assert hand.status == "completed"
    assert hand.started()[-4:] == [("sub#1/f", 1), ("sub#1/g", 1), ("sub#1/f", 2), ("sub#1/g", 2)]


def test_a_fork_can_begin_at_one_of_them_with_another_state() -> None:
    hand = Hand(ending()).begin()
    hand.finish(a={"x": 1})
    new = hand.fork("g", state={"x": 2})
    assert new.view("g")["x"] == 2
    assert new.finish().status == "completed"


def test_what_branches_wrote_that_nothing_joined_is_merged_for_them() -> None:
    source = ending("a > b", "a > c", nodes=("a", "b", "c"), reducers={"sum": "add", "seen": "append"})
    hand = Hand(source).begin(sum=1)
    hand.finish(
        b={"x": "b", "sum": 10, "seen": "b"},
        c={"x": "c", "sum": 100, "seen": "c"},
        f={"x": "f", "sum": 1_000, "seen": "f"},
        g={"sum": 10_000},
    )
    assert hand.state == {"sum": 11_111, "x": "f", "seen": ["b", "c", "f"]}
