"""The one example that reaches the network, switched off until the operator lists hosts in `WFE_HTTP_ALLOW`.

A graph must not become a way into the operator's own network. Hence: the host must be on the list; its name is resolved
once and the connection goes to an address that was checked, so that a name cannot change its address in between; only
public addresses pass, unless the list names the address itself or `localhost`; no redirects, no proxies, no
decompression; 1 MiB and 10 seconds at most. Every port of a listed host is open to graphs.
"""

import os
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Annotated, Any, Final

import anyio
import httpx2
import msgspec
from pydantic import Field

from tools.contract import ToolError, tool

_LIMIT_BYTES: Final = 1024 * 1024
_TIMEOUT_S: Final = 10.0
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # leaves out mapped, NAT64 and other forms that hide an IPv4 address
_METADATA: Final = IPv4Address("168.63.129.16")  # Azure's, the one metadata service on an otherwise public address

Url = Annotated[str, Field(pattern="^https?://", max_length=2048, description="Absolute http or https address.")]
Key = Annotated[str, Field(min_length=1, description="Top-level key of the state for the answer.")]


@tool(effect="idempotent")
async def http_get(state: dict[str, Any], url: Url, key: Key = "response") -> dict[str, Any]:
    """Fetch `url` and write `{status, content_type, body}` to `key`; works for the hosts in WFE_HTTP_ALLOW only.

    `body` is the parsed JSON of an answer of that type, else UTF-8 text. Redirects are not followed. An answer of 500
    or above fails the step, so that it is tried again.
    """
    target = _checked_url(url)
    try:
        with anyio.fail_after(_TIMEOUT_S):
            return {key: await _fetch(target, await _resolve(target))}
    except TimeoutError as error:
        raise ToolError(f"{target.host} gave no answer within {_TIMEOUT_S:g} s", code="HTTP_TIMEOUT") from error
    except (httpx2.HTTPError, OSError) as error:
        raise ToolError(f"cannot fetch from {target.host}: {error}", code="HTTP_FAILED") from error


def _checked_url(url: str) -> httpx2.URL:
    allowed = {host.strip().lower() for host in os.environ.get("WFE_HTTP_ALLOW", "").split(",")} - {""}
    if not allowed:
        raise _refusal("http_get is off; set WFE_HTTP_ALLOW to a comma list of hosts to switch it on", "HTTP_DISABLED")
    try:
        target = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise _refusal(f"not a usable address: {error}", "HTTP_BAD_URL") from error
    if target.scheme not in ("http", "https"):
        raise _refusal(f"only http and https are allowed, not {target.scheme!r}", "HTTP_BAD_URL")
    if _host(target) not in allowed:
        raise _refusal(f"host {target.host!r} is not listed in WFE_HTTP_ALLOW", "HTTP_HOST_REFUSED")
    return target


async def _resolve(url: httpx2.URL) -> list[str]:
    """Return the addresses of the host that may be connected to, in the system's order of preference."""
    host = _host(url)
    answers = await anyio.getaddrinfo(host, url.port, type=socket.SOCK_STREAM)
    known = dict.fromkeys(str(socket_address[0]) for *_, socket_address in answers)  # in order, each once
    addresses = [address for address in known if _may_use(host, address)]
    if not addresses:
        message = f"host {host!r} has no public address; list the address itself in WFE_HTTP_ALLOW to allow it"
        raise _refusal(message, "HTTP_ADDRESS_REFUSED")
    return addresses


def _may_use(host: str, address: str) -> bool:
    parsed = ip_address(address)
    return host == address or (host == "localhost" and parsed.is_loopback) or _is_public(parsed)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (address not in _GLOBAL_UNICAST or address.sixtofour is not None):
        return False
    return address.is_global and not address.is_multicast and address != _METADATA


async def _fetch(url: httpx2.URL, addresses: list[str]) -> dict[str, Any]:
    """Return the answer of the first address that accepts a connection."""
    async with httpx2.AsyncClient(trust_env=False, timeout=None, follow_redirects=False) as client:
        for address in addresses[:-1]:
            try:
                return await _get(client, url, address)
            except httpx2.ConnectError:
                continue
        return await _get(client, url, addresses[-1])


async def _get(client: httpx2.AsyncClient, url: httpx2.URL, address: str) -> dict[str, Any]:
    """Fetch from `address`; header, certificate check and SNI still name the host of `url`."""
    headers = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
    pinned = url.copy_with(host=address)
    async with client.stream("GET", pinned, headers=headers, extensions={"sni_hostname": _host(url)}) as response:
        if response.status_code >= 500:
            raise ToolError(f"{url.host} answered {response.status_code}", code="HTTP_STATUS")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _refusal(f"{url.host} sent a compressed answer, unasked", "HTTP_BAD_ANSWER")
        body = bytearray()
        with anyio.CancelScope() as reading:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _LIMIT_BYTES:
                    reading.cancel()  # unlike leaving the loop, this also ends the client's own nested generators
    if len(body) > _LIMIT_BYTES:
        raise _refusal(f"the answer of {url.host} is larger than {_LIMIT_BYTES} bytes", "HTTP_TOO_LARGE")
    content_type = response.headers.get("content-type", "")
    return {"status": response.status_code, "content_type": content_type, "body": _parsed(bytes(body), content_type)}


def _parsed(body: bytes, content_type: str) -> Any:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return msgspec.json.decode(body)
        except (ValueError, RecursionError):
            pass  # labelled as JSON, but none: the text says more than an error would
    return body.decode("utf-8", errors="replace")


def _host(url: httpx2.URL) -> str:
    return url.raw_host.decode("ascii").lower()


def _refusal(message: str, code: str) -> ToolError:
    return ToolError(message, code=code, retryable=False)
