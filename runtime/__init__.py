"""The workflow engine: graphs run as durable actors. Knows no HTTP and no concrete tool.

`open_engine` opens one; the rest are the types that its methods take and return.
"""

from runtime.engine import Engine
from runtime.errors import EngineError, Problem
from runtime.opening import open_engine
from runtime.run.explain import Explanation
from runtime.run.records import RunStatus
from runtime.run.state import Writer
from runtime.settings import Settings
from runtime.simulation import Simulation, SimulationScenario
from runtime.views import (
    AcceptedRun,
    Approval,
    EngineStatistics,
    GraphCreated,
    GraphSummary,
    GraphView,
    LogRecord,
    Page,
    RunSummary,
    RunView,
    SignalReceipt,
)

__all__ = [
    "AcceptedRun",
    "Approval",
    "Engine",
    "EngineError",
    "EngineStatistics",
    "Explanation",
    "GraphCreated",
    "GraphSummary",
    "GraphView",
    "LogRecord",
    "Page",
    "Problem",
    "RunStatus",
    "RunSummary",
    "RunView",
    "Settings",
    "SignalReceipt",
    "Simulation",
    "SimulationScenario",
    "Writer",
    "open_engine",
]
