"""Counting what simulated runs came to."""

from typing import Any

import msgspec
import pytest

from runtime.simulation.report import Conflict, End, Finding, Outcome, Simulation, Spread, Tally


def line(event: str, at: str = "00.000000", **keys: Any) -> bytes:
    return msgspec.json.encode({"event": event, "seq": 1, "timestamp": f"2030-01-01T00:00:{at}Z", **keys})


def run(status: str, state: Any, *lines: bytes, seconds: str = "01.500000", error: Any = None) -> Outcome:
    keys = {"error": error} if error else {}
    encoded = (line("run_submitted"), *lines, line(f"run_{status}", seconds, **keys))
    return Outcome(status, None if state is None else msgspec.json.encode(state), encoded)


def tally(*outcomes: Outcome, first: int = 10) -> Simulation:
    counted = Tally()
    for seed, outcome in enumerate(outcomes, start=first):
        counted.add(seed, outcome)
    return counted.result(stopped_by=None)


def ran(*nodes: str) -> list[bytes]:
    return [line("step_started", node=node, iteration=1, attempt=1) for node in nodes]


def test_ends_are_counted_by_status_and_error_the_most_frequent_first() -> None:
    down = {"code": "DOWN", "message": "…"}
    found = tally(
        run("failed", {}, error=down),
        *[run("completed", {})] * 7,
        run("failed", {}, error=down),
        run("failed", {}, error={"code": "LATE", "message": "…"}),
    )
    assert found.ends == (
        End("completed", None, 7, (11, 12, 13, 14, 15)),
        End("failed", "DOWN", 2, (10, 18)),
        End("failed", "LATE", 1, (19,)),
    )
    assert (found.seeds, found.complete, found.stopped_by) == (10, True, None)


def test_different_final_states_are_counted_and_their_keys_named() -> None:
    found = tally(
        run("completed", {"same": [1], "n": 1, "x": 0}),
        run("completed", {"n": 2, "same": [1], "x": 0}),
        run("completed", {"n": 1, "same": [1], "x": 0, "extra": None}),
        run("completed", {"x": 0, "same": [1], "n": 1}),
        run("failed", {"same": "other", "n": 1}),
    )
    assert found.final_states == {"completed": 3, "failed": 1}
    assert found.unstable_keys == ("extra", "n")


def test_nodes_that_did_not_run_everywhere_are_named() -> None:
    found = tally(
        run("completed", {}, *ran("a", "b")), run("completed", {}, *ran("a")), run("completed", {}, *ran("a", "a", "c"))
    )
    assert set(found.skipped_sometimes) == {Finding("b", 2, (11, 12)), Finding("c", 2, (10, 11))}


def test_a_node_inside_a_graph_stands_behind_those_around_it() -> None:
    inside = line("route_unmatched", node="inner", path="sub#1/e~1a#ch#2[7]", iteration=1, operands=[])
    found = tally(run("completed", {}, inside, inside))
    assert found.unmatched_routes == (Finding("sub/e~1a#ch/inner", 1, (10,)),)


def test_loops_that_ended_by_their_bound_are_named() -> None:
    found = tally(run("completed", {}, line("loop_exhausted", node="count")), run("completed", {}))
    assert found.exhausted_loops == (Finding("count", 1, (10,)),)


@pytest.mark.parametrize(
    ("key", "left", "right", "writers"),
    [
        ("'x'", "node 'a' (iteration 1, record 5)", "node 'b' (iteration 2, record 9)", ("a", "b")),
        ('"it\'s"', "the initial state", "node 'b' (iteration 2, record 9)", ("the initial state", "b")),
    ],
)
def test_a_conflict_is_named_once_for_each_run(key: str, left: str, right: str, writers: tuple[str, str]) -> None:
    told = f"Key {key} was written with different values by {left} and by {right}, neither of which came after the other. …"
    error = {"code": "STATE_CONFLICT", "message": told}
    lines = [
        line("step_failed", node="join", path="sub#1", error=error),
        line("step_failed", node="sub", error=error),
        line("step_failed", node="other", error={"code": "DOWN", "message": told}),
    ]
    found = tally(run("failed", {}, *lines, error=error), run("failed", {}, *lines, error=error))
    assert found.conflicts == (Conflict("x" if key == "'x'" else "it's", writers, "sub/join", 2, (10, 11)),)


def test_times_are_virtual_ones() -> None:
    found = tally(*(run("completed", {}, seconds=f"0{second}.250000") for second in (9, 1, 2)))
    assert found.virtual_s == Spread(1.25, 2.25, 9.25)


def test_the_first_run_is_shown_and_its_attempts_took_virtual_time() -> None:
    attempt = {"node": "a", "iteration": 1, "attempt": 2}
    lines = [
        line("step_started", "01.000000", **attempt),
        line("step_started", "01.000000", **{**attempt, "path": "sub#1"}),
        line("step_completed", "03.500000", **attempt, duration_ms=0.2, update={}),
        line("step_cancelled", "04.000000", **{**attempt, "path": "sub#1"}, duration_ms=0.2),
        line("step_failed", "05.000000", **{**attempt, "attempt": 3}, duration_ms=0.0),
    ]
    found = tally(run("completed", {"n": 1}, *lines), run("failed", {"n": 2}))
    assert (found.status, found.final_state) == ("completed", {"n": 1})
    assert [record.seq for record in found.records] == list(range(1, 8))
    assert [record.data.get("duration_ms") for record in found.records] == [None, None, None, 2500.0, 3000.0, 0.0, None]


def test_a_run_without_an_end_is_shown_if_it_is_the_first_and_never_counted() -> None:
    counted = Tally()
    counted.add(3, Outcome("running", None, (line("run_submitted"), *ran("a"))))
    found = counted.result(stopped_by="time")
    assert (found.seeds, found.complete, found.stopped_by, found.ends) == (0, False, "time", ())
    assert (found.status, found.final_state, len(found.records)) == ("running", None, 2)
    assert (found.virtual_s, counted.ran) == (None, {})


def test_nothing_at_all_is_an_answer_too() -> None:
    found = Tally().result(stopped_by="time")
    assert (found.seeds, found.status, found.records) == (0, "pending", ())
