"""Nodes that do the same for each item of a list."""

from time import perf_counter
from typing import Any

import pytest

from runtime.run.messages import Stopped
from tests.support.driver import fail
from tests.support.graphs import Source, edge, graph, leaf, node
from tests.support.hand import Hand, each, sub, wait


def over(items: Any, **keys: Any) -> Hand:
    """Return a run of a map over a tool."""
    return Hand(graph([each("m", **keys), "after"], "m > after")).begin(items=items)


def item(number: int) -> str:
    return f"m#1[{number}]/m"


def ended(hand: Hand) -> list[tuple[str, int]]:
    """Return what became of the items, in order of time."""
    records = [record for name in ("completed", "failed", "cancelled") for record in hand.of(f"item_{name}")]
    return [(r.event.removeprefix("item_"), r.item) for r in sorted(records, key=lambda record: record.seq)]


# --- items and results ------------------------------------------------------------------------------------------------


def test_every_item_is_called_with_itself_and_the_results_are_in_input_order() -> None:
    hand = over(["a", "b", "c"])
    assert hand.of("step_started", "m")[0].items == 3
    assert [hand.view(item(number)) for number in range(3)] == [
        {"items": ["a", "b", "c"], "item": value, "item_index": number} for number, value in enumerate("abc")
    ]
    for number in (2, 0, 1):
        hand.end(item(number), n=number)
    assert hand.view("after")["m"] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert ended(hand) == [("completed", 2), ("completed", 0), ("completed", 1)]
    assert hand.finish().status == "completed"


@pytest.mark.parametrize(
    ("keys", "state", "expected"),
    [
        ({"items": [7, None]}, {}, [{"item": 7, "item_index": 0}, {"item": None, "item_index": 1}]),
        (
            {"items": "deep.0.list", "as_": "row"},
            {"deep": [{"list": [1]}]},
            [{"deep": [{"list": [1]}], "row": 1, "row_index": 0}],
        ),
        (
            {"items": "list", "node_input": {"k": "item.id", "x": "x"}},
            {"list": [{"id": 5}], "x": 1},
            [{"k": 5, "x": 1, "item": {"id": 5}, "item_index": 0}],
        ),
    ],
)
def test_items_may_be_written_down_or_lie_deep_in_the_state(keys: Any, state: Any, expected: Any) -> None:
    hand = Hand(graph([each("m", **keys)])).begin(**state)
    assert [hand.view(name) for name in hand.calls()] == expected


def test_results_go_where_they_are_to_through_the_output() -> None:
    hand = over([1, 2], into="all", node_output={"r": "x.0", "i": "item", "none": "nowhere"})
    hand.finish(m={"x": [9]})
    assert hand.state["all"] == [{"r": 9, "i": 1}, {"r": 9, "i": 2}]
    assert "m" not in hand.state


@pytest.mark.parametrize("mode", ["fail_fast", "collect"])
def test_an_empty_map_completes_at_once(mode: str) -> None:
    hand = over([], mode=mode, until=leaf("completed", ">=", 0))
    assert hand.calls() == ["after"]
    assert hand.of("step_completed", "m")[0].update == ({"m": []} if mode == "fail_fast" else {"m": [], "m_errors": []})


@pytest.mark.parametrize(
    "items", [None, "text", {"a": 1}, 5, True, ..., list(range(10_001))], ids=lambda one: repr(one)[:9]
)
@pytest.mark.parametrize("on_error", ["fail_run", "continue"])
def test_what_is_no_list_or_too_long_a_one_fails_the_step(items: Any, on_error: str) -> None:
    hand = Hand(graph([each("m", node_on_error=on_error), "after"], "m > after"))
    hand.begin(**({} if items is ... else {"items": items}))
    [failed] = hand.of("step_failed")
    assert (failed.error.code, failed.attempt) == ("INVALID_ITEMS", 0)
    assert hand.calls() == ([] if on_error == "fail_run" else ["after"])


def test_ten_thousand_items_are_taken() -> None:
    hand = Hand(graph([each("m", concurrency=1_000, node_input={})], limits={"max_steps": 10_001}))
    hand.check = lambda: None  # type: ignore[method-assign]
    hand._take = lambda records: hand.records.extend(records)  # type: ignore[method-assign]
    before = perf_counter()
    hand.begin(items=list(range(10_000)))
    progress = hand.run.active[0].map
    assert progress is not None
    while progress.running:
        hand.end(item(next(iter(progress.running))), x=1)
    assert hand.status == "completed"
    assert hand.state["m"] == [{"x": 1}] * 10_000
    assert hand.run.steps == 10_001
    assert perf_counter() - before < 20


def test_no_more_run_at_once_than_may_and_they_start_in_order() -> None:
    hand = over(list(range(5)), concurrency=2)
    assert hand.calls() == [item(0), item(1)]
    hand.end(item(1))
    assert hand.calls() == [item(0), item(2)]
    hand.crash()
    assert len(hand.calls()) == 2
    hand.end(item(0))
    hand.end(item(2))
    hand.end(item(4))
    assert hand.calls() == [item(3)]
    assert [record.item for record in hand.of("item_started")] == [0, 1, 2, 3, 4]


def test_a_map_in_a_loop_goes_over_its_items_each_time() -> None:
    source = graph([each("m", [1, 2])], loops=[{"node": "m", "condition": leaf("m", "==", []), "max_iterations": 2}])
    hand = Hand(source).begin().finish()
    assert [
        record.path for record in hand.of("step_started") if record.node == "m" and isinstance(record.path, str)
    ] == [
        "m#1[0]",
        "m#1[1]",
        "m#2[0]",
        "m#2[1]",
    ]


def test_items_have_retries_of_their_own() -> None:
    hand = over([1, 2], node_retry={"max_attempts": 3, "jitter": "none", "initial_s": 5})
    hand.end(item(0), fail())
    hand.end(item(1), fail())
    assert (hand.calls(), hand.status) == ([], "running")
    hand.crash()
    hand.later(5)
    hand.end(item(0), x=1)
    hand.end(item(1), fail())
    hand.later(10)
    hand.end(item(1), x=2)
    assert hand.view("after")["m"] == [{"x": 1}, {"x": 2}]


# --- failing ----------------------------------------------------------------------------------------------------------


def test_the_first_item_that_fails_cancels_the_others_and_fails_the_step() -> None:
    hand = over([1, 2, 3, 4], concurrency=3)
    hand.end(item(1), fail("MINE"))
    assert [record.reason for record in hand.of("map_stopping")] == ["item_failed"]
    assert hand.calls() == [item(0), item(2)]
    hand.end(item(0), Stopped())
    hand.end(item(2), x=1)
    assert ended(hand)[:2] == [("failed", 1), ("cancelled", 0)]
    failed = hand.of("step_failed")[-1]
    assert (failed.node, failed.error.code) == ("m", "ITEM_FAILED")
    assert "1" in failed.error.message
    assert "MINE" in failed.error.message
    assert hand.status == "failed"
    assert [record.item for record in hand.of("item_started")] == [0, 1, 2]


@pytest.mark.parametrize("on_error", ["continue", "route"])
def test_what_the_node_says_about_errors_applies(on_error: str) -> None:
    edges = [edge("m > after", on="error")] if on_error == "route" else ["m > after"]
    hand = Hand(graph([each("m", [1, 2], node_on_error=on_error), "after"], *edges)).begin()
    hand.end(item(0), fail())
    hand.end(item(1), Stopped())
    assert hand.calls() == ["after"]
    assert hand.finish().state == {}


def test_several_that_fail_at_once_fail_it_once_by_the_first() -> None:
    hand = over([1, 2, 3])
    hand.end(item(2), fail("FIRST"))
    hand.end(item(0), fail("SECOND"))
    hand.end(item(1), fail("THIRD"))
    assert ended(hand)[0] == ("failed", 2)
    assert len(hand.of("map_stopping")) == 1
    assert "FIRST" in hand.of("step_failed")[-1].error.message
    assert hand.status == "failed"


def test_items_that_wait_for_a_retry_end_with_the_map() -> None:
    hand = over([1, 2], node_retry={"max_attempts": 2})
    hand.end(item(0), fail())
    hand.end(item(1), fail(retryable=False))
    assert hand.status == "failed"
    assert ended(hand) == [("failed", 1), ("cancelled", 0)]


def test_collect_takes_failures_as_results() -> None:
    hand = over([1, 2, 3], mode="collect", concurrency=1)
    hand.end(item(0), fail("MINE"))
    hand.end(item(1), x=1)
    hand.end(item(2), fail("OTHER"))
    view = hand.view("after")
    assert view["m"] == [None, {"x": 1}, None]
    assert [(error["index"], error["code"]) for error in view["m_errors"]] == [(0, "MINE"), (2, "OTHER")]
    assert set(view["m_errors"][0]) == {"index", "code", "message"}
    assert hand.of("map_stopping") == []


def test_collect_writes_the_errors_beside_into_also_when_there_are_none() -> None:
    hand = over([1], mode="collect", into="all")
    hand.end(item(0))
    assert {key: hand.view("after")[key] for key in ("all", "all_errors")} == {"all": [{}], "all_errors": []}


@pytest.mark.parametrize("mode", ["fail_fast", "collect"])
@pytest.mark.parametrize("code", ["MISSING_INPUT", "INVALID_INPUT"])
def test_items_that_cannot_begin_fail(mode: str, code: str) -> None:
    inner = graph("x", input_schema={"properties": {"id": {"type": "number"}}})
    hand = Hand(graph([each("m", inner=inner, mode=mode, concurrency=1, node_input={"id": "item.id"})]))
    hand.begin(items=[{"id": 1}, {} if code == "MISSING_INPUT" else {"id": "text"}, {"id": 3}])
    hand.end("m#1[0]/x", a=1)
    if mode == "fail_fast":
        assert (hand.status, hand.error) == ("failed", "ITEM_FAILED")
        assert code in hand.of("run_failed")[0].error.message
    else:
        hand.end("m#1[2]/x", a=3)
        assert hand.state["m"] == [{"a": 1}, None, {"a": 3}]
        assert [(error["index"], error["code"]) for error in hand.state["m_errors"]] == [(1, code)]


def test_when_no_item_can_begin_the_map_ends_at_once() -> None:
    hand = Hand(graph([each("m", [1, 2, 3], mode="collect", node_input={"id": "item.id"})])).begin()
    assert (hand.status, hand.state["m"], len(hand.state["m_errors"])) == ("completed", [None] * 3, 3)


@pytest.mark.parametrize("mode", ["fail_fast", "collect"])
def test_the_step_limit_holds_inside_items(mode: str) -> None:
    source = graph([each("m", [1, 2, 3, 4], mode=mode, concurrency=2), "after"], "m > after", limits={"max_steps": 3})
    hand = Hand(source).begin()
    hand.finish()
    assert hand.status == "failed"
    assert hand.error == "STEP_LIMIT"
    assert hand.run.steps <= 3


def test_a_result_that_is_too_large_fails_the_step() -> None:
    hand = over([1, 2])
    hand.end(item(0), x="x" * 600_000)
    hand.end(item(1), x="x" * 600_000)
    assert hand.error == "UPDATE_TOO_LARGE"


# --- until and signals ------------------------------------------------------------------------------------------------


def test_until_ends_the_map_with_what_is_there() -> None:
    hand = over([1, 2, 3, 4, 5], concurrency=3, until=leaf("completed", ">=", 2))
    hand.end(item(1), n=1)
    assert hand.of("map_stopping") == []
    hand.end(item(0), n=0)
    [stopping] = hand.of("map_stopping")
    assert (stopping.reason, stopping.operands[0]["actual"]) == ("until", 2)
    hand.end(item(2), Stopped())
    hand.end(item(3), Stopped())
    assert hand.view("after")["m"] == [{"n": 0}, {"n": 1}, None, None, None]
    assert [record.item for record in hand.of("item_started")] == [0, 1, 2, 3]


def test_an_item_that_until_stopped_has_no_result() -> None:
    hand = over([1, 2], until=leaf("last.good", "==", True))
    hand.end(item(0), good=True)
    hand.end(item(1), Stopped())
    assert hand.view("after")["m"] == [{"good": True}, None]
    assert ended(hand) == [("completed", 0), ("cancelled", 1)]


@pytest.mark.parametrize(
    ("until", "stops_after"),
    [
        (leaf("failed", ">=", 1), 1),
        (leaf("completed", ">=", 1), 2),
        (leaf("total", "==", 3), 1),
        (leaf("last", "==", {"n": 2}), 3),
        (leaf("last", "==", None), 1),
    ],
)
def test_until_counts_failures_apart(until: Any, stops_after: int) -> None:
    hand = (
        over([1, 2, 3, 4], concurrency=1, mode="collect", until=until)
        if until["field"] != "total"
        else over([1, 2, 3], concurrency=1, mode="collect", until=until)
    )
    hand.end(item(0), fail())
    for number in range(1, stops_after):
        hand.end(item(number), n=number)
    assert len(hand.of("map_stopping")) == 1
    assert hand.calls() == ["after"]


def test_until_that_compares_what_cannot_be_compared_fails_the_run() -> None:
    hand = over([1, 2], until=leaf("last.n", ">", 1))
    hand.end(item(0), n="text")
    assert hand.run.failing is not None
    hand.end(item(1), Stopped())
    assert (hand.status, hand.error) == ("failed", "CONDITION_ERROR")


def test_until_and_a_failure_of_the_same_item_the_failure_wins() -> None:
    hand = over([1, 2], concurrency=1, until=leaf("failed", ">=", 1))
    hand.end(item(0), fail())
    assert hand.error == "ITEM_FAILED"


def test_a_signal_ends_the_map_with_what_is_there() -> None:
    hand = over([1, 2, 3], concurrency=2, finish_on="enough")
    hand.end(item(0), n=0)
    hand.signal("other")
    hand.signal("enough", identity="s")
    assert (hand.of("signal_delivered")[0].node, hand.of("map_stopping")[0].reason) == ("m", "signal")
    hand.end(item(1), Stopped())
    hand.end(item(2), n=2)
    assert hand.view("after")["m"][:2] == [{"n": 0}, None]
    assert hand.run.signals[0].name == "other"


def test_a_signal_that_came_before_the_map_ends_it_at_once() -> None:
    hand = Hand(graph(["a", each("m", finish_on="enough")], "a > m")).begin(items=[1, 2])
    hand.signal("enough")
    hand.end("a")
    assert (hand.status, hand.state["m"]) == ("completed", [None, None])


def test_a_map_that_stops_already_takes_no_signal_away_from_others() -> None:
    hand = over([1, 2], finish_on="enough", until=leaf("completed", ">=", 1))
    hand.end(item(0))
    assert hand.calls() == [item(1)]
    hand.signal("enough")
    assert (len(hand.run.signals), hand.of("signal_delivered")) == (1, [])


def test_a_wait_and_a_map_share_signals_in_the_order_they_began() -> None:
    source = graph(["s", each("m", finish_on="go"), wait("w", signal="go")], "s > m", "s > w")
    hand = Hand(source).begin(items=[1, 2])
    hand.end("s")
    hand.signal("go")
    assert [record.node for record in hand.of("signal_delivered")] == ["m"]
    hand.signal("go")
    assert [record.node for record in hand.of("signal_delivered")] == ["m", "w"]


# --- ends of other things ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["cancel", "deadline"])
def test_what_ends_the_run_ends_the_items(command: str) -> None:
    hand = over([1, 2, 3], concurrency=2)
    getattr(hand, command)()
    hand.end(item(0), x=1)
    hand.end(item(1), Stopped())
    assert hand.run.status.is_final
    assert ended(hand) == [("cancelled", 0), ("cancelled", 1)]
    assert next(record.path for record in hand.of("step_cancelled")) == "m#1[1]"
    assert "m" not in hand.state


def test_a_failure_beside_the_map_lets_items_that_run_end_and_starts_none() -> None:
    hand = Hand(graph(["s", each("m", concurrency=2), "b"], "s > m", "s > b")).begin(items=[1, 2, 3])
    hand.end("s")
    hand.end("b", fail())
    hand.end(item(0), x=0)
    hand.end(item(1), x=1)
    assert (hand.status, hand.error) == ("failed", "BROKEN")
    assert [record.item for record in hand.of("item_started")] == [0, 1]
    hand.retry()
    assert sorted(hand.calls()) == ["b", item(2)]
    hand.end("b")
    hand.end(item(2), x=2)
    assert (hand.status, hand.state["m"]) == ("completed", [{"x": 0}, {"x": 1}, {"x": 2}])


def test_a_map_over_graphs_that_takes_too_long_fails_once_its_items_stopped() -> None:
    hand = Hand(graph([each("m", [1, 2, 3], inner=graph("a"), concurrency=2, node_timeout_s=10)])).begin()
    hand.later(10)
    assert [record.reason for record in hand.of("step_cancel_requested")] == ["timeout"]
    hand.end("m#1[0]/a")
    hand.end("m#1[1]/a", Stopped())
    assert (hand.status, hand.error) == ("failed", "TIMEOUT")
    hand.later(1_000)
    hand.retry()
    assert len(hand.calls()) == 2
    hand.finish()
    assert hand.status == "completed"


def test_a_time_out_counts_while_nothing_of_the_map_runs_because_of_a_pause() -> None:
    hand = Hand(graph([each("m", [1, 2], inner=graph("a"), concurrency=1, node_timeout_s=10)])).begin()
    hand.pause()
    hand.end("m#1[0]/a")
    assert hand.calls() == []
    hand.later(20)
    hand.resume()
    assert (hand.status, hand.error) == ("failed", "TIMEOUT")


def test_a_pause_starts_no_item_and_a_resume_does() -> None:
    hand = over([1, 2, 3], concurrency=2)
    hand.pause()
    hand.end(item(0), x=0)
    assert hand.calls() == [item(1)]
    hand.crash()
    hand.end(item(1), x=1)
    assert (hand.calls(), hand.status) == ([], "paused")
    hand.resume()
    hand.end(item(2), x=2)
    assert hand.view("after")["m"] == [{"x": 0}, {"x": 1}, {"x": 2}]


def test_signals_and_until_count_while_paused() -> None:
    for how in ("signal", "until"):
        hand = over([1, 2, 3], concurrency=2, finish_on="enough", until=leaf("completed", ">=", 1))
        hand.pause()
        if how == "signal":
            hand.signal("enough")
            hand.end(item(0), Stopped())
        else:
            hand.end(item(0))
        hand.end(item(1), Stopped())
        assert (hand.status, hand.calls()) == ("paused", [])
        hand.resume()
        assert hand.calls() == ["after"]
        assert hand.view("after")["m"] == [None if how == "signal" else {}, None, None]


# --- retries ----------------------------------------------------------------------------------------------------------


def test_a_retry_goes_on_with_failed_and_cancelled_items_and_those_that_never_started() -> None:
    hand = over([0, 1, 2, 3], concurrency=3)
    hand.end(item(0), x=0)
    hand.end(item(1), fail())
    hand.end(item(2), Stopped())
    hand.end(item(3), Stopped())
    assert hand.error == "ITEM_FAILED"
    hand.retry()
    hand.crash()
    assert sorted(hand.calls()) == [item(1), item(2), item(3)]
    assert hand.of("step_started", "m")[-1].attempt > 1
    hand.finish(m={"x": 9})
    assert hand.state["m"] == [{"x": 0}, {"x": 9}, {"x": 9}, {"x": 9}]


def test_two_retries_in_a_row() -> None:
    hand = over([0, 1, 2], concurrency=1)
    hand.end(item(0), x=0)
    hand.end(item(1), fail())
    for _ in range(2):
        hand.retry()
        assert hand.calls() == [item(1)]
        hand.end(item(1), fail("AGAIN"))
        assert hand.error == "ITEM_FAILED"
    hand.retry()
    hand.end(item(1), x=1)
    hand.end(item(2), x=2)
    assert hand.view("after")["m"] == [{"x": 0}, {"x": 1}, {"x": 2}]


def test_a_retry_deep_inside_an_item_goes_on_there() -> None:
    inner = graph([sub("g", graph([each("n", [1, 2], inner=graph("a b", "a > b"))]))])
    hand = Hand(graph([each("m", [1, 2], inner=inner)])).begin()
    deep = "m#1[1]/g#1/n#1[0]"
    for name in hand.calls():
        hand.end(name, a=name)
    hand.end(f"{deep}/b", fail("DEEP"))
    for name in hand.calls():
        hand.end(name, Stopped() if "m#1[0]" in name else None)
    assert (hand.status, hand.error) == ("failed", "ITEM_FAILED")
    hand.retry()
    hand.crash()
    assert f"{deep}/b" in hand.calls()
    assert all(name.endswith("b") for name in hand.calls())
    hand.finish(b={"b": 1})
    assert hand.status == "completed"
    assert len(hand.state["m"]) == 2


def test_a_retry_does_not_try_collected_failures_again() -> None:
    hand = Hand(graph(["s", each("m", [1, 2], mode="collect"), "b"], "s > m", "s > b")).begin()
    hand.end("s")
    hand.end(item(0), fail("KEPT"))
    hand.end("b", fail())
    hand.end(item(1), Stopped())
    assert hand.status == "failed"
    hand.retry()
    assert sorted(hand.calls()) == ["b", item(1)]
    hand.finish(m={"x": 1})
    assert hand.state["m"] == [None, {"x": 1}]
    assert [error["code"] for error in hand.state["m_errors"]] == ["KEPT"]


def test_a_retry_of_a_map_that_was_enough_already_keeps_it_so() -> None:
    hand = Hand(graph(["s", each("m", [1, 2, 3], until=leaf("completed", ">=", 1)), "b"], "s > m", "s > b")).begin()
    hand.end("s")
    hand.end(item(0), x=0)
    hand.end("b", fail())
    hand.end(item(1), Stopped())
    hand.end(item(2), Stopped())
    hand.retry()
    assert hand.calls() == ["b"]
    hand.end("b")
    assert (hand.status, hand.state["m"]) == ("completed", [{"x": 0}, None, None])


def test_two_maps_over_the_same_graph_keep_apart() -> None:
    inner: Source = graph("a")
    hand = Hand(graph(["s", each("x", [1, 2], inner=inner), each("y", [3], inner=inner)], "s > x", "s > y")).begin()
    hand.end("s")
    assert sorted(hand.calls()) == ["x#1[0]/a", "x#1[1]/a", "y#1[0]/a"]
    hand.finish(a={"r": 1})
    assert {key: hand.state[key] for key in "xy"} == {"x": [{"r": 1}, {"r": 1}], "y": [{"r": 1}]}


def test_maps_of_maps() -> None:
    hand = Hand(graph([each("o", inner=graph([each("i", "item")]))])).begin(items=[[1, 2], [], [3]])
    hand.finish(i={"r": 1})
    assert hand.state["o"] == [{"i": [{"r": 1}, {"r": 1}]}, {"i": []}, {"i": [{"r": 1}]}]


def test_a_tool_that_must_not_run_twice_fails_its_item_after_a_crash() -> None:
    hand = Hand(graph([node("m", tool="fragile", type="map", map={"items": [1, 2], "mode": "collect"})])).begin()
    hand.end(item(0), x=1)
    hand.crash()
    assert hand.status == "completed"
    assert hand.state["m"] == [{"x": 1}, None]
    assert hand.state["m_errors"][0]["code"] == "OUTCOME_UNKNOWN"
