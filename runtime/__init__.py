"""The workflow engine: graphs run as durable actors. Knows no HTTP and no concrete tool.

`open_engine` opens one; the rest are the types that its methods take and return.
"""

from runtime.engine import Engine
from runtime.errors import EngineError, Problem
from runtime.opening import open_engine
from runtime.run.records import RunStatus
from runtime.settings import Settings
from runtime.views import (
    EngineStatistics,
    GraphCreated,
    GraphSummary,
    GraphView,
    LogRecord,
    Page,
    RunSummary,
    RunView,
)

__all__ = [
    "Engine",
    "EngineError",
    "EngineStatistics",
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
    "open_engine",
]
