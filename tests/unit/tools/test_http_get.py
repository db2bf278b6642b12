"""`http_get` against a real server on this machine, and everything it must refuse to fetch."""

import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, ClassVar

import anyio
import pytest
import trio.testing
from pydantic import ValidationError

from tools import ToolError
from tools import http_get as http_module
from tools.http_get import http_get

JSON = "application/json; charset=utf-8"
ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/json": (200, {"Content-Type": JSON}, b'{"a": [1, 2.5, null]}'),
    "/text": (200, {"Content-Type": "text/plain"}, "grün \xff".encode("latin-1") + "ü".encode()),
    "/not-json": (200, {"Content-Type": JSON}, b"NaN"),
    "/infinite": (200, {"Content-Type": JSON}, b"1e999"),
    "/empty": (204, {}, b""),
    "/missing": (404, {"Content-Type": "application/problem+json"}, b'{"status": 404}'),
    "/moved": (302, {"Location": "/json"}, b""),
    "/broken": (503, {}, b"later"),
    "/limit": (200, {}, b"x" * 1024 * 1024),
    "/large": (200, {}, b"x" * (64 * 1024 * 1024)),
    "/packed": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
}


class Handler(BaseHTTPRequestHandler):
    """Answers from the table; keeps the request's headers."""

    seen: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append({"path": self.path, **dict(self.headers)})
        status, headers, body = ANSWERS[self.path.partition("?")[0]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None: ...  # a client that hangs up at the limit


@pytest.fixture
def port() -> Iterator[int]:
    Handler.seen.clear()
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda hosts: monkeypatch.setenv("WFE_HTTP_ALLOW", hosts)


@pytest.fixture(autouse=True)
def _switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WFE_HTTP_ALLOW", raising=False)


class Names:
    """A name service that gives each name its addresses, and counts."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = {name.replace("_", "."): values for name, values in addresses.items()}
        self.asked: list[str] = []

    async def getaddrinfo(self, host: str, port: int | None, **_: Any) -> list[Any]:
        self.asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses[host]]


async def get(url: str) -> Any:
    return (await http_get({}, **http_get.arguments({"url": url})))["response"]


async def refused(url: str) -> str:
    """Return the code that `http_get` refuses `url` with, for good."""
    with pytest.raises(ToolError) as caught:
        await http_get({}, url)
    assert not caught.value.retryable
    return caught.value.code


# --- what it fetches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/json?q=1", 200, {"a": [1, 2.5, None]}),
        ("/text", 200, "gr\ufffdn \ufffdü"),
        ("/not-json", 200, "NaN"),
        ("/infinite", 200, "1e999"),
        ("/empty", 204, ""),
        ("/missing", 404, {"status": 404}),
        ("/moved", 302, ""),
        ("/limit", 200, "x" * 1024 * 1024),
    ],
)
async def test_answer_becomes_json(port: int, allow: Any, path: str, status: int, body: Any) -> None:
    allow("127.0.0.1")
    answer = await get(f"http://127.0.0.1:{port}{path}")
    assert (answer["status"], answer["body"]) == (status, body)
    assert [request["path"] for request in Handler.seen] == [path]


async def test_answer_goes_to_the_key_of_the_config(port: int, allow: Any) -> None:
    allow("127.0.0.1")
    arguments = http_get.arguments({"url": f"http://127.0.0.1:{port}/json", "key": "page"})
    assert await http_get({}, **arguments) == {
        "page": {"status": 200, "content_type": JSON, "body": {"a": [1, 2.5, None]}}
    }


async def test_localhost_may_be_listed_by_name_among_others(port: int, allow: Any) -> None:
    allow("example.org, LocalHost ,")
    assert (await get(f"http://LOCALHOST:{port}/json"))["status"] == 200


async def test_name_is_resolved_once_and_the_checked_address_is_connected_to(
    port: int, allow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name exists in our name service only: anything that resolved it again would fail."""
    names = Names(service_test=["127.0.0.1"])
    monkeypatch.setattr(anyio, "getaddrinfo", names.getaddrinfo)
    monkeypatch.setattr(http_module, "_is_public", lambda address: True)
    allow("service.test")
    assert (await get(f"http://service.test:{port}/json"))["status"] == 200
    assert names.asked == ["service.test"]
    assert Handler.seen[0]["Host"] == f"service.test:{port}"


async def test_next_address_is_tried_when_the_first_refuses_the_connection(
    port: int, allow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(service_test=["127.0.0.99", "127.0.0.1"])
    monkeypatch.setattr(anyio, "getaddrinfo", names.getaddrinfo)
    monkeypatch.setattr(http_module, "_is_public", lambda address: True)
    allow("service.test")
    assert (await get(f"http://service.test:{port}/json"))["status"] == 200


async def test_tls_handshake_names_the_host_and_not_the_address(allow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without a certificate: it still hears which name the client asks for."""
    heard: list[str | None] = []
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.sni_callback = lambda _, name, __: heard.append(name)

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, pytest.raises(ssl.SSLError):
            server_context.wrap_socket(connection, server_side=True)

    monkeypatch.setattr(anyio, "getaddrinfo", Names(service_test=["127.0.0.1"]).getaddrinfo)
    monkeypatch.setattr(http_module, "_is_public", lambda address: True)
    allow("service.test")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        with pytest.raises(ToolError) as caught:
            await get(f"https://service.test:{listener.getsockname()[1]}/")
        thread.join()
    assert (caught.value.code, caught.value.retryable) == ("HTTP_FAILED", True)
    assert heard == ["service.test"]


async def test_proxy_of_the_environment_is_not_used(port: int, allow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    allow("127.0.0.1")
    assert (await get(f"http://127.0.0.1:{port}/json"))["status"] == 200


# --- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hosts", ["", " , "])
async def test_tool_is_off_until_hosts_are_listed(port: int, allow: Any, hosts: str) -> None:
    assert await refused(f"http://127.0.0.1:{port}/json") == "HTTP_DISABLED"
    allow(hosts)
    assert await refused(f"http://127.0.0.1:{port}/json") == "HTTP_DISABLED"
    assert Handler.seen == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "127.1",
        "localhost.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "evil.example.org",
        "example.org.evil",
        "example.org@127.0.0.1",
        "xample.org",
    ],
)
async def test_host_that_is_not_listed_is_refused(allow: Any, host: str) -> None:
    allow("example.org,localhost")
    assert await refused(f"http://{host}/") == "HTTP_HOST_REFUSED"


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "file:///etc/passwd", "/etc/passwd", "", "http://example.org:x/", "http://0177.0.0.1/"],
)
async def test_address_that_is_not_http_is_refused(allow: Any, url: str) -> None:
    allow("example.org")
    assert await refused(url) == "HTTP_BAD_URL"


@pytest.mark.parametrize("url", ["ftp://example.org/", "example.org", "http://" + "x" * 2048, 1])
def test_config_with_an_unusable_url_is_refused_when_the_graph_is_created(url: Any) -> None:
    with pytest.raises(ValidationError):
        http_get.arguments({"url": url})


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104  an address to refuse
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
async def test_listed_name_with_an_inside_address_is_refused(
    allow: Any, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(anyio, "getaddrinfo", Names(example_org=[address]).getaddrinfo)
    allow(f"example.org,{address}")
    assert await refused("http://example.org/") == "HTTP_ADDRESS_REFUSED"


async def test_localhost_that_is_not_this_machine_is_refused(allow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anyio, "getaddrinfo", Names(localhost=["10.0.0.1"]).getaddrinfo)
    allow("localhost")
    assert await refused("http://localhost/") == "HTTP_ADDRESS_REFUSED"


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1"])
def test_public_address_is_allowed(address: str) -> None:
    assert http_module._is_public(ip_address(address))


@pytest.mark.parametrize(("path", "code"), [("/large", "HTTP_TOO_LARGE"), ("/packed", "HTTP_BAD_ANSWER")])
async def test_answer_beyond_the_limits_fails_for_good(port: int, allow: Any, path: str, code: str) -> None:
    allow("127.0.0.1")
    assert await refused(f"http://127.0.0.1:{port}{path}") == code


# --- what may work next time -----------------------------------------------------------------------------------------


async def test_server_error_may_be_retried(port: int, allow: Any) -> None:
    allow("127.0.0.1")
    with pytest.raises(ToolError, match="answered 503") as caught:
        await get(f"http://127.0.0.1:{port}/broken")
    assert (caught.value.code, caught.value.retryable) == ("HTTP_STATUS", True)


async def test_refused_connection_may_be_retried(allow: Any) -> None:
    allow("127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but nobody listens
        with pytest.raises(ToolError, match=r"cannot fetch from 127\.0\.0\.1") as caught:
            await get(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert (caught.value.code, caught.value.retryable) == ("HTTP_FAILED", True)


async def test_name_that_does_not_resolve_may_be_retried(allow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "temporary failure")

    monkeypatch.setattr(anyio, "getaddrinfo", fail)
    allow("example.org")
    with pytest.raises(ToolError, match="temporary failure") as caught:
        await get("http://example.org/")
    assert (caught.value.code, caught.value.retryable) == ("HTTP_FAILED", True)


@pytest.mark.parametrize(
    "anyio_backend", [("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})], ids=["trio"]
)
async def test_server_that_stays_silent_is_given_up_after_ten_seconds(allow: Any) -> None:
    allow("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        start = anyio.current_time()
        with pytest.raises(ToolError, match="no answer within 10 s") as caught:
            await get(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert anyio.current_time() - start == pytest.approx(10)
    assert (caught.value.code, caught.value.retryable) == ("HTTP_TIMEOUT", True)
