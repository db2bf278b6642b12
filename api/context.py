"""What every route and socket can reach: the engine, the tools, the shutdown and the log, made once by the lifespan."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection
from structlog.typing import FilteringBoundLogger

from api.files import FileThreads
from api.shutdown import Shutdown
from runtime import Engine
from tools import Registry
from tools.artifact_store import ArtifactStore
from tools.data_quality.datasets.store import DatasetStore


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of a running server."""

    engine: Engine
    tools: Registry
    shutdown: Shutdown
    log: FilteringBoundLogger
    files: FileThreads
    datasets: DatasetStore | None = None
    artifacts: ArtifactStore | None = None


def context_of(connection: HTTPConnection) -> Context:
    """Return the context of the application that serves `connection`."""
    context: Context = connection.app.state.context
    return context
