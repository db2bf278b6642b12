"""The HTTP and WebSocket service around the engine: wire formats, limits and process, and no decision about any run."""

from api.app import create_app
from api.settings import ServerSettings

__all__ = ["ServerSettings", "create_app"]
