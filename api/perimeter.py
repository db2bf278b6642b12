"""The outermost layer, around every request and WebSocket: who may ask, what no answer may lack, what no answer may tell.

One plain ASGI middleware, for each further layer costs every request. It refuses foreign hosts, web pages of other sites, and
what would be too much at once, before any code of ours runs, adds the security headers to each HTTP answer, and turns an
unforeseen exception into a problem document that says nothing of it.
"""

from traceback import format_exc
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from api.buffers import INTAKE
from api.errors import InternalError, UntrustedHost, UntrustedOrigin, problem_response
from api.settings import is_loopback
from runtime.errors import EngineError

_ALWAYS_ANSWERED: Final = ("/livez", "/readyz", "/health")

_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'"),
)


class Perimeter:
    """ASGI middleware; see the module.

    Args:
        app: What it protects.
        local_only: Whether every `Host` must be a loopback name. A server that only this machine can reach is still
            reached by web pages in this machine's browser, through a name that they let point here (DNS rebinding).
        log: Where an unforeseen exception is told, with its traceback.
    """

    def __init__(self, app: ASGIApp, *, local_only: bool, log: FilteringBoundLogger) -> None:
        self._app = app
        self._local_only = local_only
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = False

        async def send_protected(message: Message) -> None:
            nonlocal started
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message.setdefault("headers", [])
                chosen = {name for name, _ in message["headers"]}  # downloads have a policy and a caching of their own
                added = [header for header in _SECURITY_HEADERS if header[0] not in chosen]
                message["headers"] = [*message["headers"], *added]
            started = True
            await send(message)

        if (refusal := self._refusal(Headers(scope=scope)) or _overload(scope)) is not None:
            await problem_response(refusal)(scope, receive, send_protected)
            return
        try:
            with INTAKE.visit(scope["type"]):
                await self._app(scope, receive, send_protected)
        except ClientDisconnect:
            return  # gone while it sent its body: nobody is left to answer
        except Exception:
            self._log.error("request_failed", path=scope["path"], exception=format_exc())
            if not started:
                await problem_response(InternalError())(scope, receive, send_protected)
            elif scope["type"] == "http":
                raise  # half an answer is out: only the server can cut the connection

    def _refusal(self, headers: Headers) -> EngineError | None:
        hosts = headers.getlist("host")
        if self._local_only and not (len(hosts) == 1 and is_loopback(_hostname(f"//{hosts[0]}"))):
            shown = ", ".join(hosts)[:100]
            return UntrustedHost(f"This server answers to localhost and loopback addresses only (got Host {shown!r}).")
        origins = headers.getlist("origin")
        if all(is_loopback(_hostname(origin)) or _authority(origin) in hosts for origin in origins):
            return None
        return UntrustedOrigin(f"Web pages of {', '.join(origins)[:100]!r} may not use this server.")


def _overload(scope: Scope) -> EngineError | None:
    """Return why one more request or socket is refused; never one that asks how the server is."""
    if scope["path"] in _ALWAYS_ANSWERED:
        return None
    try:
        INTAKE.check_room(scope["type"])
    except EngineError as refusal:
        return refusal
    return None


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _authority(origin: str) -> str:
    return origin.partition("://")[2]
