"""The 43 control-flow patterns by number and name, their graphs, and the runs that show what a pattern does."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

NAMES: Final = dict(
    enumerate(
        (
            "Sequence",
            "Parallel Split",
            "Synchronization",
            "Exclusive Choice",
            "Simple Merge",
            "Multi-Choice",
            "Structured Synchronizing Merge",
            "Multi-Merge",
            "Structured Discriminator",
            "Arbitrary Cycles",
            "Implicit Termination",
            "Multiple Instances without Synchronization",
            "Multiple Instances with a Priori Design-Time Knowledge",
            "Multiple Instances with a Priori Run-Time Knowledge",
            "Multiple Instances without a Priori Run-Time Knowledge",
            "Deferred Choice",
            "Interleaved Parallel Routing",
            "Milestone",
            "Cancel Task",
            "Cancel Case",
            "Structured Loop",
            "Recursion",
            "Transient Trigger",
            "Persistent Trigger",
            "Cancel Region",
            "Cancel Multiple Instance Activity",
            "Complete Multiple Instance Activity",
            "Blocking Discriminator",
            "Cancelling Discriminator",
            "Structured Partial Join",
            "Blocking Partial Join",
            "Cancelling Partial Join",
            "Generalized AND-Join",
            "Static Partial Join for Multiple Instances",
            "Cancelling Partial Join for Multiple Instances",
            "Dynamic Partial Join for Multiple Instances",
            "Local Synchronizing Merge",
            "General Synchronizing Merge",
            "Critical Section",
            "Interleaved Routing",
            "Thread Merge",
            "Thread Split",
            "Explicit Termination",
        ),
        start=1,
    )
)

GRAPHS: Final = {int(path.stem[-2:]): path for path in sorted((Path(__file__).parent / "graphs").glob("wcp_*.json"))}


def graph_of(pattern: int) -> dict[str, Any]:
    """Return the graph that expresses the pattern."""
    graph: dict[str, Any] = json.loads(GRAPHS[pattern].read_text(encoding="utf-8"))
    return graph


@dataclass(frozen=True)
class Run:
    """One run of a pattern's graph.

    Attributes:
        pattern: Its number.
        shows: What the run shows, in some words.
        goes: What became of each step, and of the run, with the seconds since it began: `a 0-2, b 2-3, run completed 3`.
        state: What it begins with.
        sends: Signals, as `(second, name, data)` or `(second, name)`; the name `cancel` cancels the run.
        leaves: Keys of the final state.
    """

    pattern: int
    shows: str
    goes: str
    state: dict[str, Any]
    sends: tuple[tuple[Any, ...], ...]
    leaves: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.pattern:02}-{self.shows.replace(' ', '_')}"


def run(
    pattern: int,
    shows: str,
    goes: str,
    *,
    sends: tuple[tuple[Any, ...], ...] = (),
    leaves: dict[str, Any] | None = None,
    **state: Any,
) -> Run:
    return Run(pattern, shows, goes, state, sends, leaves or {})


RUNS: Final = (
    run(1, "one after another", "a 0-1, b 1-3, c 3-4, run completed 4"),
    run(2, "both begin when the one before has ended", "a 0-1, b 1-3, c 1-4, run completed 4"),
    run(3, "waits for the slower branch", "split 0, a 0-1, b 0-3, c 3-4, run completed 4"),
    run(
        4,
        "two conditions hold and the first counts",
        "choose 0, small 0-1, middle skipped, large skipped, run completed 1",
        amount=99,
    ),
    run(4, "one holds", "choose 0, small skipped, middle 0-2, large skipped, run completed 2", amount=100),
    run(4, "none holds", "choose 0, small skipped, middle skipped, large 0-3, run completed 3", amount=1000),
    run(5, "the one way", "choose 0, small 0-1, large skipped, merge 1-2, run completed 2", amount=99),
    run(5, "the other way", "choose 0, small skipped, large 0-2, merge 2-3, run completed 3", amount=100),
    run(
        6,
        "two of three",
        "call 0, police 0-1, fire skipped, ambulance 0-3, run completed 3",
        crime=True,
        injured=True,
    ),
    run(6, "one of three", "call 0, police skipped, fire 0-2, ambulance skipped, run completed 2", smoke=True),
    run(6, "all", "call 0, police 0-1, fire 0-2, ambulance 0-3, run completed 3", crime=True, smoke=True, injured=True),
    run(
        7,
        "waits for the two that were chosen",
        "call 0, police 0-1, fire 0-2, ambulance skipped, report 2-3, run completed 3",
        crime=True,
        smoke=True,
    ),
    run(
        7,
        "waits for no other if one was chosen",
        "call 0, police 0-1, fire skipped, ambulance skipped, report 1-2, run completed 2",
        crime=True,
    ),
    run(
        7,
        "waits for all three",
        "call 0, police 0-1, fire 0-2, ambulance 0-3, report 3-4, run completed 4",
        crime=True,
        smoke=True,
        injured=True,
    ),
    run(
        8,
        "what follows runs once for each branch that arrives and for each at once",
        "branches 0-4, branches[0]/split 0, branches[0]/frontend 0-1, branches[0]/backend skipped, "
        "branches[0]/merge 1-3, branches[1]/split 0, branches[1]/frontend skipped, branches[1]/backend 0-2, "
        "branches[1]/merge 2-4, run completed 4",
        branches=["frontend", "backend"],
    ),
    run(
        8,
        "one branch",
        "branches 0-4, branches[0]/split 0, branches[0]/frontend skipped, branches[0]/backend 0-2, "
        "branches[0]/merge 2-4, run completed 4",
        branches=["backend"],
    ),
    run(
        9,
        "the first passes and the second resets",
        "split 0, a 0-1, b 0-3, first 1, next 1-2, check 2, "
        "split#2 3, a#2 3-4, b#2 3-6, first#2 4, next#2 4-5, check#2 5, after 6-7, run completed 7",
    ),
    run(
        10,
        "in by writing and out by publishing",
        "enter 0, write 0, give_up skipped, review 0, enter#2 0, write#2 0, review#2 0, publish 0-1, run completed 1",
    ),
    run(
        10,
        "in by reviewing",
        "enter 0, write skipped, review 0, enter#2 0, write#2 0, review#2 0, publish 0-1, give_up skipped, "
        "run completed 1",
        draft="a text",
    ),
    run(
        10,
        "out by giving up",
        "enter 0, write 0, review skipped, give_up 0-1, publish skipped, run completed 1",
        written=2,
    ),
    run(11, "ends when nothing is left to do", "split 0, a 0-1, b 1-3, c 0-4, run completed 4"),
    run(
        12,
        "nobody waits for the instances",
        "a 0-1, next 1-2, each 1-4, each[0]/each 1-4, each[1]/each 1-4, run completed 4",
        orders=["x", "y"],
    ),
    run(
        13,
        "three instances whatever the state",
        "each 0-2, each[0]/each 0-2, each[1]/each 0-2, each[2]/each 0-2, next 2-3, run completed 3",
    ),
    run(
        14,
        "as many as there are orders",
        "each 0-2, each[0]/each 0-2, each[1]/each 0-2, next 2-3, run completed 3",
        orders=["x", "y"],
    ),
    run(14, "one", "each 0-2, each[0]/each 0-2, next 2-3, run completed 3", orders=["x"]),
    run(14, "none", "each 0, next 0-1, run completed 1", orders=[]),
    run(
        15,
        "instances are added while others run until no more are wanted",
        "add_1 0-1, do_1 1-4, do_1[0]/do_1 1-4, do_1[1]/do_1 1-4, add_2 1-3, do_2 3-6, do_2[0]/do_2 3-6, "
        "add_3 3-5, do_3 skipped, next 6-7, run completed 7",
        sends=((1, "add", ["x", "y"]), (3, "add", ["z"]), (5, "add", [])),
    ),
    run(
        15,
        "the last link ends the adding by itself",
        "add_1 0-1, do_1 1-4, do_1[0]/do_1 1-4, add_2 1-2, do_2 2-5, do_2[0]/do_2 2-5, add_3 2-3, do_3 3-6, "
        "do_3[0]/do_3 3-6, next 6-7, run completed 7",
        sends=((1, "add", ["x"]), (2, "add", ["y"]), (3, "add", ["z"])),
    ),
    run(
        15,
        "the end may come after all instances have ended",
        "add_1 0-1, do_1 1-4, do_1[0]/do_1 1-4, add_2 1-9, do_2 skipped, add_3 skipped, do_3 skipped, next 9-10, "
        "run completed 10",
        sends=((1, "add", ["x"]), (9, "add", [])),
    ),
    run(
        16,
        "the first event chooses and the others are withdrawn",
        "offer 0-1, accepted 1-4, declined 1-4 cancelled, too_late 1-4 cancelled, choice 4, order 4-6, file skipped, "
        "run completed 6",
        sends=((4, "accepted", {"yes": True}), (5, "declined", {"yes": False})),
        leaves={"answer": {"yes": True}},
    ),
    run(
        16,
        "the other event",
        "offer 0-1, accepted 1-4 cancelled, declined 1-4, too_late 1-4 cancelled, choice 4, order skipped, file 4-5, "
        "run completed 5",
        sends=((4, "declined", {"yes": False}),),
    ),
    run(
        16,
        "no event",
        "offer 0-1, accepted 1-11 cancelled, declined 1-11 cancelled, too_late 1-11, choice 11, order skipped, "
        "file 11-12, run completed 12",
    ),
    run(
        16,
        "only one is taken when both were there already",
        "offer 0-1, accepted 1, declined skipped, too_late skipped, choice 1, order 1-3, file skipped, run completed 3",
        sends=((0.2, "declined", {"yes": False}), (0.4, "accepted", {"yes": True})),
        leaves={"answer": {"yes": True}},
    ),
    run(
        17,
        "c between a and b",
        "split 0, a_free 0-1, a 1-3, c_free 0-2, c 3-5, b 5-6, after 6-7, run completed 7",
        sends=((1, "a"), (2, "c")),
    ),
    run(
        17,
        "c first",
        "split 0, a_free 0-2, c_free 0-1, c 1-3, a 3-5, b 5-6, after 6-7, run completed 7",
        sends=((1, "c"), (2, "a")),
    ),
    run(
        17,
        "c last",
        "split 0, a_free 0-1, a 1-3, b 3-4, c_free 0-6, c 6-8, after 8-9, run completed 9",
        sends=((1, "a"), (6, "c")),
    ),
    run(
        18,
        "reached after it was wanted",
        "split 0, wanted 0-1, a 0-2, c 2-5, close 2-4, leave 5, b 5-6, run completed 6",
        sends=((1, "wanted"), (4, "close")),
    ),
    run(
        18,
        "wanted while it holds",
        "split 0, wanted 0-3, a 0-2, c 3-6, close 2-7, leave 7, b 7-8, run completed 8",
        sends=((3, "wanted"), (7, "close")),
    ),
    run(
        18,
        "wanted too late",
        "split 0, wanted 0-3 cancelled, a 0-2, c skipped, close 2-3, leave 3, b 3-4, run completed 4",
        sends=((3, "close"), (3.5, "wanted")),
    ),
    run(
        19,
        "withdrawn",
        "split 0, task 0-3 cancelled, withdrawn 0-3, after 3-4, run completed 4",
        sends=((3, "withdraw"),),
    ),
    run(19, "left alone", "split 0, task 0-10, withdrawn 0-10 cancelled, after 10-11, run completed 11"),
    run(
        20,
        "everything ends",
        "split 0, a 0-1, b 1-3 cancelled, c 0-3 cancelled, run cancelled 3",
        sends=((3, "cancel"),),
    ),
    run(
        21,
        "tested before and tested after",
        "while 0, body 0, while#2 0, body#2 0, while#3 0, body#3 0, while#4 0, body#4 skipped, repeat 0, repeat#2 0, after 0-1, "
        "run completed 1",
        leaves={"n": 3, "m": 2},
        n=0,
    ),
    run(
        21,
        "never and once",
        "while 0, body skipped, repeat 0, after 0-1, run completed 1",
        leaves={"n": 3, "m": 2},
        n=3,
        m=1,
    ),
    run(
        23,
        "lost if nobody waits",
        "busy 0-3, go 3-8, run completed 8",
        sends=((1, "go", "early"),),
        leaves={"went": "unheard"},
    ),
    run(
        23,
        "heard while somebody waits",
        "busy 0-3, go 3-4, run completed 4",
        sends=((1, "go", "early"), (4, "go", "in time")),
        leaves={"went": "in time"},
    ),
    run(
        24,
        "kept until somebody waits",
        "busy 0-3, go 3, again 3, run completed 3",
        sends=((1, "go", "one"), (2, "go", "two")),
        leaves={"went": "one", "went_again": "two"},
    ),
    run(
        25,
        "what runs in the region is cancelled and what is outside goes on",
        "split 0, a 0-2, b 2-3 cancelled, c 0-3 cancelled, done skipped, stopped 0-3, after 3-4, outside 0-6, "
        "run completed 6",
        sends=((3, "stop"),),
    ),
    run(
        25,
        "what has not begun never does",
        "split 0, a 0-1 cancelled, b skipped, c 0-1 cancelled, done skipped, stopped 0-1, after 1-2, outside 0-6, "
        "run completed 6",
        sends=((1, "stop"),),
    ),
    run(
        25,
        "left alone",
        "split 0, a 0-2, b 2-6, c 0-9, done 9, stopped 0-9 cancelled, after 9-10, outside 0-6, run completed 10",
    ),
    run(
        26,
        "running instances are cancelled and the others never begin",
        "split 0, each 0-3 cancelled, each[0]/each 0-2, each[1]/each 0-2, each[2]/each 2-3 cancelled, "
        "each[3]/each 2-3 cancelled, withdrawn 0-3, after 3-4, run completed 4",
        sends=((3, "withdraw"),),
    ),
    run(
        27,
        "running instances are cancelled and the run goes on with what is there",
        "each 0-3, each[0]/by 0, each[0]/phone 0-1, each[0]/letter skipped, each[1]/by 0, each[1]/phone skipped, "
        "each[1]/letter 0-3 cancelled, next 3-4, run completed 4",
        sends=((3, "enough"),),
        ways=["phone", "letter"],
    ),
    run(
        28,
        "a second a waits until b has come",
        "open 0, a 0-1, first 1, next 1-2, check 2, b 0-4, "
        "open#2 4, a#2 4, first#2 4, next#2 4-5, check#2 5, b#2 4-6, after 6-7, run completed 7",
        sends=((1, "a"), (2, "a"), (4, "b"), (6, "b")),
    ),
    run(
        29,
        "the first passes and the second is cancelled",
        "split 0, a 0-1, b 0-1 cancelled, first 1, next 1-2, check 2, "
        "split#2 2, a#2 2-3, b#2 2-3 cancelled, first#2 3, next#2 3-4, check#2 4, after 4-5, run completed 5",
    ),
    run(
        30,
        "the second passes and the third resets",
        "split 0, a 0-1, b 0-2, c 0-5, first 2, next 2-3, check 3, "
        "split#2 5, a#2 5-6, b#2 5-7, c#2 5-10, first#2 7, next#2 7-8, check#2 8, after 10-11, run completed 11",
    ),
    run(
        31,
        "further ones wait until all three have come",
        "open 0, a 0-1, b 0-3, first 3, next 3-4, check 4, c 0-6, "
        "open#2 6, a#2 6, b#2 6, first#2 6, next#2 6-7, check#2 7, c#2 6-8, after 8-9, run completed 9",
        sends=((1, "a"), (2, "a"), (3, "b"), (4, "b"), (6, "c"), (8, "c")),
    ),
    run(
        32,
        "the second passes and the third is cancelled",
        "split 0, a 0-1, b 0-2, c 0-2 cancelled, first 2, next 2-3, check 3, "
        "split#2 3, a#2 3-4, b#2 3-5, c#2 3-5 cancelled, first#2 5, next#2 5-6, check#2 6, after 6-7, "
        "run completed 7",
    ),
    run(
        33,
        "triggers that came too early count later",
        "open 0, a 0-1, b 0-4, fire 4, open#2 4, a#2 4, b#2 4-6, fire#2 6, open#3 6, a#3 6, b#3 6-8, fire#3 8, "
        "after 8-9, run completed 9",
        sends=((1, "a"), (2, "a"), (3, "a"), (4, "b"), (6, "b"), (8, "b")),
    ),
    run(
        34,
        "two of three pass and the third goes on",
        "split 0, ask_0 0-3, ask_1 0-1, ask_2 0-2, ask_3 skipped, next 2-3, run completed 3",
        suppliers=["x", "y", "z"],
    ),
    run(
        34,
        "two of four",
        "split 0, ask_0 0-3, ask_1 0-1, ask_2 0-2, ask_3 0-4, next 2-3, run completed 4",
        suppliers=["x", "y", "z", "z"],
    ),
    run(
        35,
        "two of four pass and the others are cancelled or never begin",
        "each 0-2, each[0]/by 0, each[0]/phone skipped, each[0]/letter 0-2 cancelled, "
        "each[1]/by 0, each[1]/phone 0-1, each[1]/letter skipped, "
        "each[2]/by 0, each[2]/phone skipped, each[2]/letter 0-2 cancelled, "
        "each[3]/by 1, each[3]/phone 1-2, each[3]/letter skipped, next 2-3, run completed 3",
        ways=["letter", "phone", "letter", "phone", "letter"],
    ),
    run(
        37,
        "waits for a branch as long as it may come",
        "split 0, a 0-1, b 0-2, b2 2-5, elsewhere skipped, c skipped, merge 5-6, run completed 6",
        a=True,
        b=True,
    ),
    run(
        37,
        "and no longer when it has gone elsewhere",
        "split 0, a 0-1, b 0-2, b2 skipped, elsewhere 2-6, c skipped, merge 2-3, run completed 6",
        a=True,
        b=True,
        astray=True,
    ),
    run(
        37,
        "all of them",
        "split 0, a 0-1, b 0-2, b2 2-5, elsewhere skipped, c 0-1, merge 5-6, run completed 6",
        a=True,
        b=True,
        c=True,
    ),
    run(
        38,
        "waits for the loop to end",
        "split 0, a 0-1, try 0-1, count 1, try#2 1-2, count#2 2, try#3 2-3, count#3 3, give_up skipped, merge 3-4, "
        "run completed 4",
    ),
    run(
        38,
        "and no longer when it has ended elsewhere",
        "split 0, a 0-1, try 0-1, count 1, try#2 1-2, count#2 2, give_up 2-3, merge 2-3, run completed 3",
        hopeless=True,
    ),
    run(
        39,
        "one section after the other and the rest beside them",
        "split 0, deposit 0-2, deposit/read 0-1, deposit/write 1-2, withdrawal 2-4, withdrawal/read 2-3, "
        "withdrawal/write 3-4, letter 0-3, after 4-5, run completed 5",
    ),
    run(
        40,
        "b c a",
        "split 0, b_free 0-1, b 1-3, c_free 0-2, c 3-5, a_free 0-4, a 5-7, after 7-8, run completed 8",
        sends=((1, "b"), (2, "c"), (4, "a")),
    ),
    run(
        40,
        "a b c",
        "split 0, a_free 0-1, a 1-3, b_free 0-2, b 3-5, c_free 0-6, c 6-8, after 8-9, run completed 9",
        sends=((1, "a"), (2, "b"), (6, "c")),
    ),
    run(
        41,
        "many threads become one",
        "threads 0-5, threads[0]/by 0, threads[0]/phone 0-1, threads[0]/letter skipped, threads[1]/by 0, "
        "threads[1]/phone skipped, threads[1]/letter 0-5, threads[2]/by 0, threads[2]/phone 0-1, "
        "threads[2]/letter skipped, merged 5-6, run completed 6",
        ways=["phone", "letter", "phone"],
    ),
    run(
        42,
        "one thread becomes three",
        "before 0-1, threads 1-4, threads[0]/a 1-2, threads[0]/b 2-4, threads[1]/a 1-2, threads[1]/b 2-4, "
        "threads[2]/a 1-2, threads[2]/b 2-4, run completed 4",
    ),
    run(43, "what still runs is cancelled", "split 0, a 0-1, done 1, b 0-1 cancelled, run completed 1"),
)
