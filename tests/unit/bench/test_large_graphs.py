"""Large graphs: what is measured is right, and a held-up event loop is seen."""

import dataclasses
import time

import anyio
import anyio.lowlevel
import pytest

from bench.large_graphs import NAP_S, Phase, run_by_hand, run_in_engine, show, watched, wide
from bench.scenarios import Scenario, chain


class Phases(dict[str, Phase]):
    def __call__(self, what: str) -> Phase:
        return self.setdefault(what, Phase())


def block(seconds: float) -> None:
    """Keep the event loop from everything else."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def test_the_lag_is_how_long_others_waited() -> None:
    phase = Phase()
    for _ in range(2):
        async with watched(phase):
            block(0.1)
    assert len(phase.seconds) == len(phase.worst_ms) == 2
    assert min(phase.seconds) >= 0.1
    assert min(phase.worst_ms) >= (0.1 - NAP_S) * 1000
    assert max(phase.late_ms) == max(phase.worst_ms)


async def test_a_region_that_gives_way_holds_nobody_up() -> None:
    slow, polite = Phase(), Phase()
    async with watched(slow):
        block(0.1)
    async with watched(polite):
        for _ in range(100):
            block(0.001)
            await anyio.lowlevel.checkpoint()
    assert polite.seconds[0] >= 0.1
    assert len(polite.late_ms) > 2
    assert sum(polite.late_ms) / len(polite.late_ms) < slow.worst_ms[0] / 2


@pytest.mark.parametrize("scenario", [chain(20, "L1"), wide(20, "L2")], ids=["chain", "wide"])
@pytest.mark.parametrize(
    ("journal", "phases"), [("memory", ["create", "run"]), ("sqlite", ["create", "run", "accept"])]
)
async def test_an_engine_is_measured_phase_by_phase(scenario: Scenario, journal: str, phases: list[str]) -> None:
    found = Phases()
    await run_in_engine(scenario, journal, found)
    assert list(found) == phases
    assert all(len(phase.seconds) == 1 for phase in found.values())


@pytest.mark.parametrize("scenario", [chain(20, "L1"), wide(20, "L2")], ids=["chain", "wide"])
async def test_the_control_ends_as_the_engine_does(scenario: Scenario) -> None:
    found = Phases()
    await run_by_hand(scenario, found)
    assert list(found) == ["idle", "run"]


async def test_a_wrong_end_state_ends_the_bench(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = dataclasses.replace(wide(20, "L2"), expected_state={"n": 2})
    with pytest.raises(SystemExit, match="1"):
        await run_in_engine(wrong, "memory", Phases())
    with pytest.raises(SystemExit, match="1"):
        await run_by_hand(wrong, Phases())
    assert capsys.readouterr().err.count("Wrong result") == 2


def test_each_phase_has_figures_of_its_time_and_its_lag() -> None:
    phases = {
        ("L1", "control", "idle"): Phase([0.5], [0.1, 0.3], [0.3]),
        ("L1", "memory", "run"): Phase([2.0], [7.0], [7.0]),
    }
    table, figures = show(phases, {"L1": 1_000})
    assert table.row_count == 2
    by_name = {(one.name, one.unit): one.median for one in figures}
    assert by_name["L1, memory, run", "ms"] == 2_000
    assert by_name["L1, memory, run", "lag max ms"] == 7
    assert not [name for name, _ in by_name if "control" in name]
