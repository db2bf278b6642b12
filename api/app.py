"""The application: one place that knows every part, and puts them together when the server starts.

The lifespan is the composition root: it loads the tools and opens the engine, and closes it when the server stops.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import errors, openapi
from api.context import Context
from api.files import FileThreads
from api.perimeter import Perimeter
from api.routes import artifacts as artifact_routes
from api.routes import commands, explain, graphs, health, runs, simulate
from api.routes import datasets as dataset_routes
from api.routes import tools as tool_routes
from api.settings import VERSION, ServerSettings
from api.shutdown import Shutdown
from api.websockets import execute, monitor
from runtime import open_engine
from runtime.log.pipeline import LogPipeline
from tools import Registry, default_registry
from tools.artifact_store import ArtifactStore
from tools.data_quality.datasets.store import DatasetStore


def create_app(settings: ServerSettings, *, tools: Registry | None = None) -> FastAPI:
    """Return the application; nothing is opened before its lifespan starts.

    Args:
        settings: What the operator chose.
        tools: The tools to offer; by default the built-in ones, those of installed packages and `settings.tool_files`.
    """
    shutdown = Shutdown()
    log = LogPipeline(settings.engine).for_engine()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        registry = default_registry(settings.tool_files) if tools is None else tools
        for plugin in registry.broken:
            log.warning("tool_plugin_broken", plugin=plugin.name, error=plugin.error)
        async with open_engine(settings.engine, registry) as engine:
            chosen = settings.engine
            datasets = None if chosen.datasets_dir is None else DatasetStore(chosen.datasets_dir)
            artifacts = None
            if chosen.artifacts_dir is not None:
                artifacts = ArtifactStore(chosen.artifacts_dir, chosen.max_artifact_bytes)
            app.state.context = Context(engine, registry, shutdown, log, FileThreads(), datasets, artifacts)
            yield

    app = FastAPI(
        title="Workflow Engine",
        version=VERSION,
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # both pages load their scripts from elsewhere; this server reaches nothing outside
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.shutdown = shutdown
    errors.install(app)
    openapi.install(app)
    app.add_middleware(Perimeter, local_only=settings.is_local, log=log)
    for module in (
        graphs,
        runs,
        simulate,
        commands,
        explain,
        artifact_routes,
        dataset_routes,
        tool_routes,
        health,
        execute,
        monitor,
    ):
        # `include_router` would match each router in turn, for 75 µs a request; nothing it adds is used here.
        app.router.routes.extend(module.router.routes)
    return app
