"""Simulation: the real engine with mocks for tools, on virtual time, once for each of many seeds.

A seed decides how long every attempt takes and so what ends first; the same seed always gives the same log. Over many seeds
the ends show what a graph can come to before it is run for the first time.
"""

from runtime.simulation.report import Conflict, End, Finding, Simulation, Spread
from runtime.simulation.scenario import SimulationScenario

__all__ = ["Conflict", "End", "Finding", "Simulation", "SimulationScenario", "Spread"]
