"""What the demo asks of the server, over the documented HTTP and WebSocket API."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

import httpx2
from httpx2.websockets import HTTPXWSException, WebSocketDisconnect

from api.demo.server import DemoFailed

_TIMEOUT_S: Final = 60.0
_MESSAGE_BYTES: Final = 64 * 1_048_576


class Client:
    """Stores a graph, starts a run and follows it. What the server refuses is a `DemoFailed` in the server's words."""

    def __init__(self, url: str) -> None:
        # A proxy from the environment would not find a server on this machine.
        self._http = httpx2.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)
        self._socket_url = url.replace("http:", "ws:", 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def create_graph(self, definition: dict[str, Any]) -> str:
        graph_id: str = self._post("/api/graph/create", {"graph": definition})["graph_id"]
        return graph_id

    def submit(self, graph_id: str, initial_state: dict[str, Any]) -> str:
        """Start a run and return its id; the run goes on by itself."""
        run_id: str = self._post("/api/graph/run-async", {"graph_id": graph_id, "initial_state": initial_state})[
            "run_id"
        ]
        return run_id

    def follow(self, run_id: str) -> Iterator[dict[str, Any]]:
        """Yield each message about the run as it arrives, the first record first; ends when the run has ended."""
        url = f"{self._socket_url}/ws/monitor/{run_id}"
        try:
            with self._http.websocket(url, max_message_size_bytes=_MESSAGE_BYTES) as socket:
                while True:
                    yield socket.receive_json(timeout=_TIMEOUT_S)
        except WebSocketDisconnect as closed:
            if closed.code != 1000:
                raise DemoFailed(f"The server closed the stream of the run with code {closed.code}.") from closed
        except TimeoutError as error:
            raise DemoFailed(f"The run said nothing for {_TIMEOUT_S:g} seconds.") from error
        except (HTTPXWSException, httpx2.HTTPError) as error:
            raise DemoFailed(f"The stream of the run broke: {str(error) or type(error).__name__}.") from error

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = self._http.post(path, json=body)
            answer: dict[str, Any] = response.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise DemoFailed(f"POST {path} got no usable answer: {str(error) or type(error).__name__}.") from error
        if response.is_error:
            raise DemoFailed(f"POST {path} was refused ({response.status_code}): {answer.get('detail', answer)}")
        return answer
