"""Which graphs the verdict refuses: those of which no run could be trusted to end, and no others.

What is tested, for random graphs with at most one edge from one node to another:

- An *endless cycle* is a loop of which every iteration takes an edge back, whatever its conditions say each time they are
  tested, if no step fails. The naive criterion tries every outcome of every condition, in loops inside of each other too.
- A join is *unsatisfiable* if it asks for more edges than its sources can take, success or failure, each looked at alone.
- The other types follow their one-sentence rules.

Endless cycles and joins are looked at only in graphs without other faults, and then it is compared whether there are any: what
a cycle does depends on whether its joins ever run.
"""

from hypothesis import assume, given

from runtime.graph.checks import judge
from tests.support.graphs import Source, planned
from tests.support.naive import interpret
from tests.support.naive_verdict import Runs, faults
from tests.support.player import play
from tests.support.random_graphs import INITIAL, SEEDS, build_raw, script_of
from tests.support.settings import costly, thorough
from tests.support.tools import FakeTools

DEEP = {"endless_cycle", "unsatisfiable_join"}


def refusal(source: Source) -> set[str]:
    return {problem.type for problem in judge(source, FakeTools()).errors}


def comparable(ours: set[str], theirs: set[str]) -> tuple[set[str], set[str]]:
    """Leave out what graver faults hide; of cycles and joins, say only whether anything is wrong with them."""
    if (ours | theirs) - DEEP:
        return ours - DEEP, theirs - DEEP
    if ours & theirs:
        return set(), set()
    return ours, theirs


@thorough
@given(SEEDS)
def test_a_graph_is_refused_if_and_only_if_something_is_wrong_with_it(seed: int) -> None:
    source = build_raw(seed)
    ours, theirs = comparable(faults(source), refusal(source))
    assert ours == theirs


@thorough
@given(SEEDS)
def test_nothing_else_is_refused(seed: int) -> None:
    source = build_raw(seed)
    ours, theirs = comparable(faults(source), refusal(source))
    assert theirs <= ours


@costly
@given(SEEDS)
def test_a_run_never_completes_once_it_has_entered_an_endless_cycle(seed: int) -> None:
    source = build_raw(seed)
    assume(faults(source) == {"endless_cycle"})
    runs = Runs(source)
    headers = {source["nodes"][loop.header]["name"] for loop in runs.loops if runs.is_endless(loop)}
    frame, status = interpret(source, script_of(seed, failing=0), INITIAL, 100)
    if headers & {node for _, node, _ in frame.world.started}:
        assert status == "failed"


@thorough
@given(SEEDS)
def test_a_run_of_an_accepted_graph_never_gets_stuck(seed: int) -> None:
    source = build_raw(seed)
    assume(not refusal(source))
    play(planned(source | {"limits": {"max_steps": 200}}), script_of(seed), initial=INITIAL, seed=seed)
