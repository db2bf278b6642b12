"""A whole application in this process, on the memory journal, with a tool that the test lets go on."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import ServerSettings
from runtime.settings import Settings
from tools import Registry, default_registry, tool

BASE_URL = "http://127.0.0.1:8000"


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Set it to let every `hold` tool return."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def registry(released: threading.Event) -> Registry:
    @tool(effect="pure")
    async def hold(state: dict[str, Any]) -> dict[str, Any]:
        """Wait until the test lets go."""
        while not released.is_set():  # noqa: ASYNC110  # the test is in another thread
            await anyio.sleep(0.002)
        return {"held": True}

    registry = default_registry()
    registry.add(hold)
    return registry


@pytest.fixture
def client(registry: Registry) -> Iterator[TestClient]:
    settings = ServerSettings(engine=Settings(journal="memory:", log_format="none", close_grace_s=0.1))
    with TestClient(create_app(settings, tools=registry), base_url=BASE_URL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def definition() -> Callable[..., dict[str, Any]]:
    """Makes the definition of a chain of tools, each a name or a (name, config) pair."""

    def chain(*tools: str | tuple[str, dict[str, Any]], name: str = "chain") -> dict[str, Any]:
        pairs = [(one, {}) if isinstance(one, str) else one for one in tools]
        nodes = [{"name": f"n{i}", "tool": tool, "config": config} for i, (tool, config) in enumerate(pairs)]
        edges = [{"from_node": f"n{i}", "to_node": f"n{i + 1}"} for i in range(len(nodes) - 1)]
        return {"name": name, "nodes": nodes, "edges": edges, "entry_point": "n0"}

    return chain


@pytest.fixture
def stored(client: TestClient, definition: Callable[..., dict[str, Any]]) -> Callable[..., str]:
    """Stores a chain of tools and returns its graph id."""

    def store(*tools: str | tuple[str, dict[str, Any]], name: str = "chain") -> str:
        response = client.post("/api/graph/create", json={"graph": definition(*tools, name=name)})
        assert response.status_code == 200, response.text
        graph_id: str = response.json()["graph_id"]
        return graph_id

    return store


@pytest.fixture
def echo_graph(stored: Callable[..., str]) -> str:
    return stored(("echo", {"message": "hi"}), name="echo")


@pytest.fixture
def hold_graph(stored: Callable[..., str]) -> str:
    return stored("hold", name="hold")
