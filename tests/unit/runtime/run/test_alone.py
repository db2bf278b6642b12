"""A write made while a stopped or other view may still come back is not cut off from what it replaced."""

from tests.support.driver import fail
from tests.support.graphs import graph
from tests.support.hand import Hand

DIAMOND = ("s > a", "s > b", "b > j", "a > j")


def test_a_retry_joins_with_what_was_written_after_the_failure() -> None:
    hand = Hand(graph("s a b j", *DIAMOND)).begin()
    hand.end("s", x=1)
    hand.end("a", fail(retryable=False))
    hand.end("b", x=2)
    assert hand.status == "failed"
    hand.retry()
    hand.end("a")
    assert hand.view("j") == {"x": 2}


def test_a_retry_counts_nothing_twice() -> None:
    hand = Hand(graph("s a b j", *DIAMOND, reducers={"x": "add"})).begin()
    hand.end("s", x=1)
    hand.end("a", fail(retryable=False))
    hand.end("b", x=10)
    hand.retry()
    hand.end("a", x=100)
    assert hand.view("j") == {"x": 111}


def test_a_fork_beside_one_other_branch_joins_with_it() -> None:
    hand = Hand(graph("s a b c j", "s > a", "s > b", "a > c", "c > j", "b > j")).begin()
    hand.end("s", x=1)
    hand.end("a")
    hand.end("c")
    hand.end("b")
    hand.end("j")
    new = hand.fork("c", state={"x": 5})
    new.end("c")
    new.end("b")
    assert new.view("j") == {"x": 5}


def test_a_finally_node_before_a_retry() -> None:
    source = graph("s a b j f", *DIAMOND, reducers={"x": "add"}, **{"finally": ["f"]})
    hand = Hand(source).begin()
    hand.end("s", x=1)
    hand.end("b", x=10)
    hand.end("a", fail(retryable=False))
    hand.end("f", x=1000)
    hand.retry()
    hand.end("a", x=100)
    hand.end("j")
    assert hand.view("f") == {"x": 1111}
