"""What holds for every run, whatever its graph, its schedule and its commands."""

from itertools import pairwise

from runtime.graph.plan import ROOT
from runtime.run.apply import apply
from runtime.run.model import EdgeStatus, Frame, new_run
from runtime.run.records import LoopCompleted, LoopIteration, RunStatus
from tests.support.driver import Driver
from tests.support.ledger import Ledger
from tests.support.naive_loops import reachable
from tests.support.player import Player, path_of


def check_invariants(driver: Driver | Player) -> None:
    """Assert everything that the records of an ended run promise."""
    records = driver.records
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert records[-1].terminal is driver.run.status
    for record, following in pairwise(records):
        assert record.terminal is None or following.event == "run_retried"
    started = driver.started()
    assert len(started) == len(set(started)), "a step was started twice"
    Ledger(driver.plan).read(records)
    run = driver.run
    assert not run.active
    assert run.frames == {"": run}
    assert (run.waiting, run.working) == (0, 0)
    assert driver.is_idle
    if run.status is RunStatus.COMPLETED and "end_reached" not in {r.event for r in records if not path_of(r)}:
        assert [scope.tokens for scope in run.scopes] == [0] * len(run.scopes)
        assert run.held == 0
        assert all(scope.entered == 0 for scope in run.scopes)
        assert_all_decided(run, ROOT)
    _check_loops(driver)


def _check_loops(driver: Driver | Player) -> None:
    """Fold the records again, and look at each loop where an iteration ends."""
    run = new_run(driver.plan, driver.run.run_id, driver.policies)
    for record in driver.records:
        if isinstance(record, (LoopIteration, LoopCompleted)):
            frame = run.frames[path_of(record)]
            assert frame.scopes[record.scope].tokens == 0, "an iteration ended that holds a token"
            assert_all_decided(frame, record.scope)
        apply(run, record)


def assert_all_decided(frame: Frame, scope: int) -> None:
    """Assert that every forward edge that lies directly in the scope is taken or dead."""
    alive = reachable([(edge.source, edge.target) for edge in frame.plan.edges], frame.plan.entry)
    for edge in frame.plan.edges:
        if edge.scope == scope and edge.back_to is None and edge.source in alive:
            assert frame.edges[edge.index] is not EdgeStatus.UNDECIDED, f"edge {edge.index} is undecided"
