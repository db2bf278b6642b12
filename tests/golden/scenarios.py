"""What the runs of a golden journal do: every type of node, every way to end, and every place to be cut off at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.testing import scripted
from tests.support.graphs import Source, edge, graph, leaf, loop, when

ONE_TRY: Final = {"max_attempts": 1}
ASK: Final = {"prompt": "May it be shipped?", "answer_schema": {"type": "boolean"}, "into": "answer"}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run to be made.

    Attributes:
        graph: What it follows. Graphs inside that are stored on their own are named by `stored`.
        state: Its initial state.
        signals: Names of signals to send, in this order, each when a node waits for one, with their data.
        answers: Question → answer.
        command: What else is done with it, see `make.py`.
    """

    graph: Source
    state: Mapping[str, Any] = field(default_factory=dict)
    signals: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""


def does(
    name: str, deed: Any = "ok", *, tool: str = "pure", node: Mapping[str, Any] | None = None, **config: Any
) -> Source:
    """Return a node whose scripted tool does `deed`; `node` has further keys of the node."""
    return {"name": name, **scripted(deed, tool=tool, node=node, **config)}


def only_routes(name: str, **keys: Any) -> Source:
    return {"name": name, "type": "conditional", **keys}


def waits(name: str, **keys: Any) -> Source:
    return {"name": name, "type": "wait", "wait": keys}


def asks(name: str, **keys: Any) -> Source:
    return {"name": name, "type": "approval", "approval": {**ASK, **keys}}


def each(name: str, inner: Source, *, node: Mapping[str, Any] | None = None, **keys: Any) -> Source:
    """Return a map whose items do what the node `inner` does."""
    return {**inner, "name": name, "type": "map", "map": {"items": "items", **keys}, **(node or {})}


INNER: Final = graph([does("twice", "count", key="n"), does("again", "count", key="n")], "twice > again", name="inner")

STORED: Final = {"inner": INNER}
"""Graphs that others refer to by their id: `{"stored": "inner"}` stands for the id."""

_SPLIT: Final = ("split > left", "split > right", "left > meet", "right > meet")

ENDED: Final[Mapping[str, Scenario]] = {
    "chain": Scenario(
        graph(
            [
                does("a", "count", key="n"),
                does("b", "log", times=2, tool="idempotent"),
                does("c", "count", key="n", tool="once"),
            ],
            "a > b",
            "b > c",
            reducers={"n": "max"},
        ),
        {"n": 1, "text": "ä 𝄞 \n", "list": [1, 2.5, None, {"deep": [True]}]},
    ),
    "branches": Scenario(
        graph(
            [
                only_routes("split"),
                does("high", update={"way": "high"}),
                does("low", update={"way": "low"}),
                does("end"),
            ],
            edge("split > high", **when("n", ">", 5)),
            edge("split > low", default=True),
            "high > end",
            "low > end",
        ),
        {"n": 7},
    ),
    "parallel": Scenario(
        graph(
            [only_routes("split"), does("left", update={"seen": 1}), does("right", update={"seen": 2}), does("meet")],
            *_SPLIT,
            reducers={"seen": "append"},
        )
    ),
    "first_come": Scenario(
        graph(
            [
                only_routes("split"),
                does("left"),
                waits("right", for_s=5),
                does("meet", node={"join": "any"}),
                does("last"),
            ],
            *_SPLIT,
            "meet > last",
        )
    ),
    "cancel_losers": Scenario(
        graph(
            [
                only_routes("split"),
                does("left"),
                waits("right", for_s=3600),
                does("meet", node={"join": "any", "cancel_losers": True}),
            ],
            *_SPLIT,
        )
    ),
    "unmatched": Scenario(graph([only_routes("a"), does("b")], edge("a > b", **when("n", "==", 1))), {"n": 2}),
    "loop": Scenario(
        graph(
            [does("count", "count", key="n"), does("check"), does("out")],
            "count > check",
            "check > count",
            "check > out",
            loops=[loop("check", leaf("n", ">=", 3))],
        )
    ),
    "loop_of_edges": Scenario(
        graph(
            [does("count", "count", key="n"), does("out")],
            edge("count > count", **when("n", "<", 3)),
            edge("count > out", default=True),
        )
    ),
    "exhausted": Scenario(
        graph([{**does("count", "count", key="n"), "type": "loop"}], loops=[loop("count", max_iterations=2)])
    ),
    "retries": Scenario(
        graph([does("a", "fail_times", times=2, node={"retry": {"max_attempts": 3, "initial_s": 1, "jitter": "none"}})])
    ),
    "failed": Scenario(graph([does("a", update={"x": 1}), does("b", "fail", node={"retry": ONE_TRY})], "a > b")),
    "error_route": Scenario(
        graph(
            [does("a", "fail", node={"retry": ONE_TRY, "on_error": "route"}), does("b"), does("c", update={"c": 1})],
            "a > b",
            edge("a > c", on="error"),
        )
    ),
    "error_continue": Scenario(
        graph(
            [does("a", "raise", error="ValueError", node={"retry": ONE_TRY, "on_error": "continue"}), does("b")],
            "a > b",
        )
    ),
    "waits": Scenario(
        graph(
            [
                waits("time", for_s=600),
                waits("signal", signal="paid", into="paid"),
                waits("late", signal="no", timeout_s=5, timeout_data=0),
            ],
            "time > signal",
            "signal > late",
        ),
        signals={"paid": {"amount": 40}, "unused": None},
    ),
    "approval": Scenario(graph([asks("review"), does("ship")], "review > ship"), answers={"review#1": True}),
    "approval_timed_out": Scenario(graph([asks("review", timeout_s=60, timeout_answer=False)])),
    "map": Scenario(
        graph([each("tax", does("one", "count", key="item"), into="out", concurrency=2)]), {"items": [1, 2, 3]}
    ),
    "map_collects": Scenario(
        graph([each("try", does("one", "fail", node={"retry": ONE_TRY}), into="out", mode="collect")]),
        {"items": ["x", "y"]},
    ),
    "map_fails": Scenario(
        graph(
            [
                each(
                    "try",
                    {
                        "graph": graph(
                            [
                                only_routes("split"),
                                does("bad", "fail", node={"retry": ONE_TRY}),
                                waits("long", for_s=99),
                            ],
                            edge("split > bad", **when("item", "==", 1)),
                            edge("split > long", default=True),
                        )
                    },
                )
            ]
        ),
        {"items": [0, 1]},
    ),
    "map_until": Scenario(
        graph(
            [
                each(
                    "search",
                    does("one", update={"found": 1}),
                    into="out",
                    concurrency=1,
                    until=leaf("completed", ">=", 2),
                )
            ]
        ),
        {"items": [1, 2, 3, 4]},
    ),
    "map_by_signal": Scenario(
        graph([each("search", {"graph": graph([waits("long", for_s=3600)])}, into="out", finish_on="enough")]),
        {"items": [1, 2]},
        signals={"enough": None},
    ),
    "inside": Scenario(
        graph(
            [
                {
                    "name": "one",
                    "type": "graph",
                    "graph": {"stored": "inner"},
                    "input": {"n": "start"},
                    "output": {"x": "n"},
                },
                {
                    "name": "two",
                    "type": "graph",
                    "graph": graph([waits("long", for_s=99)]),
                    "timeout_s": 5,
                    "on_error": "continue",
                },
            ],
            "one > two",
        ),
        {"start": 5},
    ),
    "mutex": Scenario(
        graph(
            [
                only_routes("split"),
                does("left", update={"seen": 1}, node={"mutex": "printer"}),
                does("right", update={"seen": 2}, node={"mutex": "printer"}),
                only_routes("meet"),
            ],
            *_SPLIT,
            reducers={"seen": "append"},
        )
    ),
    "end": Scenario(
        graph(
            [only_routes("split"), does("a"), {"name": "done", "type": "end"}, waits("long", for_s=3600)],
            "split > a",
            "a > done",
            "split > long",
        )
    ),
    "finally": Scenario(
        graph(
            [does("a", "fail", node={"retry": ONE_TRY}), does("clean", update={"clean": True})],
            **{"finally": ["clean"]},
        )
    ),
    "cancelled": Scenario(graph([does("a", "wait", gate="never")]), command="cancel"),
    "timed_out": Scenario(graph([waits("a", for_s=3600)], limits={"timeout_s": 30})),
    "paused": Scenario(graph([waits("a", signal="go")]), signals={"go": None}, command="pause and resume"),
    "retried": Scenario(
        graph([does("a", "fail_times", times=1, node={"retry": ONE_TRY}), does("b")], "a > b"), command="retry"
    ),
    "forked": Scenario(graph([does("a", "count", key="n"), does("b", "count", key="n")], "a > b"), command="fork b"),
    "flood": Scenario(graph([does("a", "log", times=9)])),
    "keyed": Scenario(graph([does("a", update={"a": 1})]), command="key"),
    "poisoned": Scenario(graph([does("a", "wait", gate="poison")]), command="break"),
    "missed": Scenario(graph([does("a", "wait", tool="idempotent", gate="missed")]), command="miss its tool"),
}

UNFINISHED: Final[Mapping[str, Scenario]] = {
    "in_a_chain": Scenario(
        graph([does("a", "count", key="n"), does("b", "wait", update={"b": 1}), does("c")], "a > b", "b > c")
    ),
    "in_a_call_that_must_not_repeat": Scenario(
        graph(
            [does("a", "wait", tool="once", node={"on_error": "route"}), does("b"), does("c", update={"lost": True})],
            "a > b",
            edge("a > c", on="error"),
        )
    ),
    "before_a_retry": Scenario(
        graph([does("a", "fail_times", node={"retry": {"max_attempts": 2, "initial_s": 60, "jitter": "none"}})])
    ),
    "in_a_wait": Scenario(graph([waits("a", for_s=3600), does("b", update={"late": True})], "a > b")),
    "before_a_signal": Scenario(graph([waits("a", signal="go", into="go")]), signals={"go": [1]}),
    "before_an_answer": Scenario(graph([asks("review"), does("ship")], "review > ship"), answers={"review#1": True}),
    "in_a_map": Scenario(
        graph(
            [
                each(
                    "tax",
                    {
                        "graph": graph(
                            [only_routes("split"), does("go", update={"x": 1}), does("stay", "wait", update={"x": 2})],
                            edge("split > stay", **when("item", "==", 2)),
                            edge("split > go", default=True),
                        )
                    },
                    into="out",
                    concurrency=3,
                )
            ]
        ),
        {"items": [0, 1, 2, 3]},
    ),
    "inside": Scenario(
        graph(
            [
                {
                    "name": "outer",
                    "type": "graph",
                    "graph": graph([does("a", "count", key="n"), does("b", "wait", update={"b": 1})], "a > b"),
                },
                does("after"),
            ],
            "outer > after",
        )
    ),
    "in_a_loop": Scenario(
        graph(
            [does("count", "count", key="n"), only_routes("split"), does("hold", "wait"), does("out")],
            "count > split",
            edge("split > hold", **when("n", "==", 2)),
            edge("split > out", **when("n", ">", 3)),
            edge("split > count", default=True),
            "hold > count",
        )
    ),
    "at_a_join": Scenario(
        graph(
            [
                only_routes("split"),
                does("left", update={"seen": 1}),
                does("right", "wait", update={"seen": 2}),
                does("meet"),
            ],
            *_SPLIT,
            reducers={"seen": "append"},
        )
    ),
    "behind_a_mutex": Scenario(
        graph(
            [
                only_routes("split"),
                does("left", "wait", node={"mutex": "printer"}),
                does("right", node={"mutex": "printer"}),
                only_routes("meet"),
            ],
            *_SPLIT,
        )
    ),
    "in_finally": Scenario(
        graph(
            [does("a", "fail", node={"retry": ONE_TRY}), does("clean", "wait", update={"clean": 1})],
            **{"finally": ["clean"]},
        )
    ),
    "failing": Scenario(
        graph(
            [
                only_routes("split"),
                does("left", "fail", node={"retry": ONE_TRY}),
                does("right", "wait"),
                only_routes("meet"),
            ],
            *_SPLIT,
        )
    ),
    "being_cancelled": Scenario(graph([does("a", "ignore_cancel"), does("b")], "a > b"), command="cancel"),
    "paused": Scenario(graph([does("a", "wait"), does("b", update={"b": 1})], "a > b"), command="pause"),
    "again": Scenario(
        graph([does("a", "fail_times", node={"retry": ONE_TRY}), does("b", "wait", update={"b": 1})], "a > b"),
        command="retry",
    ),
    "blocked": Scenario(graph([does("a", "wait", tool="undeclared", update={"a": 1})]), command="miss its tool"),
    "pending": Scenario(graph([does("a", update={"a": 1})])),
}
