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
    """Uploads a table, starts a run, follows and answers it. What is refused is a `DemoFailed`, in the server's words."""

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

    def upload(self, name: str, data: bytes) -> dict[str, Any]:
        """Store a dataset; return what the server read in it, with the reference for a state as `dataset`."""
        answer: dict[str, Any] = self._ask("PUT", f"/api/datasets/{name}", content=data).json()
        return answer

    def create_graph(self, definition: dict[str, Any]) -> str:
        graph_id: str = self._ask("POST", "/api/graph/create", json={"graph": definition}).json()["graph_id"]
        return graph_id

    def submit(self, graph_id: str, initial_state: dict[str, Any]) -> str:
        """Start a run and return its id; the run goes on by itself."""
        body = {"graph_id": graph_id, "initial_state": initial_state}
        run_id: str = self._ask("POST", "/api/graph/run-async", json=body).json()["run_id"]
        return run_id

    def answer(self, run_id: str, approval: str, answer: dict[str, Any]) -> None:
        self._ask("POST", f"/api/runs/{run_id}/answer", json={"approval": approval, "answer": answer, "by": "demo"})

    def artifacts(self, run_id: str) -> list[str]:
        """Return the names of the files that the run has left so far."""
        listed = self._ask("GET", f"/api/runs/{run_id}/artifacts").json()
        return [artifact["name"] for artifact in listed["artifacts"]]

    def artifact(self, run_id: str, name: str) -> bytes:
        content: bytes = self._ask("GET", f"/api/runs/{run_id}/artifacts/{name}").content
        return content

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

    def _ask(self, method: str, path: str, **body: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, path, **body)
            refusal = response.json() if response.is_error else {}
        except (httpx2.HTTPError, ValueError) as error:
            raise DemoFailed(f"{method} {path} got no usable answer: {str(error) or type(error).__name__}.") from error
        if response.is_error:
            raise DemoFailed(f"{method} {path} was refused ({response.status_code}): {refusal.get('detail', refusal)}")
        return response
