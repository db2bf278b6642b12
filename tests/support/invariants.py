"""What holds for every run, whatever its graph, its schedule and its commands."""

from runtime.graph.plan import ROOT
from runtime.run.apply import apply
from runtime.run.model import EdgeStatus, Run, new_run
from runtime.run.records import LoopCompleted, LoopIteration, RunStatus
from tests.support.driver import Driver
from tests.support.naive_loops import reachable

STOPPING = ("run_failing", "run_cancel_requested", "run_deadline_passed")


def check_invariants(driver: Driver) -> None:
    """Assert everything that the records of an ended run promise."""
    records = driver.records
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert [record.seq for record in records if record.terminal is not None] == [len(records)]
    assert records[-1].terminal is driver.run.status
    first_attempts = driver.started()
    assert len(first_attempts) == len(set(first_attempts)), "a step was started twice"
    stops = [record.seq for record in records if record.event in STOPPING]
    for record in records if stops else ():
        assert record.event != "step_started" or record.seq < stops[0], "a step started in a run that is stopping"
    assert not driver.run.active
    assert not driver.open
    assert not driver.timers
    if driver.run.status is RunStatus.COMPLETED:
        assert [scope.tokens for scope in driver.run.scopes] == [0] * len(driver.run.scopes)
        assert driver.run.held == 0
        assert all(scope.entered == 0 for scope in driver.run.scopes)
        assert_all_decided(driver.run, ROOT)
    _check_loops(driver)


def _check_loops(driver: Driver) -> None:
    """Fold the records again, and look at each loop where an iteration ends."""
    run = new_run(driver.plan, driver.run.run_id, driver.policies)
    for record in driver.records:
        if isinstance(record, (LoopIteration, LoopCompleted)):
            assert run.scopes[record.scope].tokens == 0, "an iteration ended that holds a token"
            assert_all_decided(run, record.scope)
        apply(run, record)


def assert_all_decided(run: Run, scope: int) -> None:
    """Assert that every forward edge that lies directly in the scope is taken or dead."""
    alive = reachable([(edge.source, edge.target) for edge in run.plan.edges], run.plan.entry)
    for edge in run.plan.edges:
        if edge.scope == scope and edge.back_to is None and edge.source in alive:
            assert run.edges[edge.index] is not EdgeStatus.UNDECIDED, f"edge {edge.index} is undecided"
