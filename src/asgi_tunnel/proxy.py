"""Which HTTP proxy leads to the edge, and asking it for a way there (RFC 9110 section 9.3.6).

Used by :mod:`.dial`, which connects to the proxy, and by :mod:`.connector`, which logs it. The
variables are those that curl and most programs read: ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import importlib
import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from ._version import __version__

MAX_HEAD: Final = 16 * 1024
"""Bytes of the proxy's response head: as much as servers take of a request's."""

_PORTS: Final = {"http": 80, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_STATUS: Final = {
    401: "it wants a user and a password: write them as http://USER:PASSWORD@HOST:PORT",
    403: "it does not allow this; ask who runs it, or name the edge in NO_PROXY",
    405: "it knows no CONNECT; name another one, or the edge in NO_PROXY",
    407: "it wants a user and a password, or others: write them as http://USER:PASSWORD@HOST:PORT",
    502: "it does not reach the edge",
    503: "it does not reach the edge",
    504: "it does not reach the edge in time",
}


class ProxyError(ConnectionError):
    """The proxy cannot be used, or does not open a way to the edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One proxy; ``str()`` shows it without user and password."""

    scheme: str  # "http", or one of SOCKS
    host: str  # without brackets
    port: int
    variable: str = ""  # which named it
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def find_proxy(edge: str, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """Return the proxy for the URL of an edge; None where it is dialed directly.

    Args:
        edge: ``wss://host[:port]`` or ``ws://host[:port]``.
        environ: The environment; the process's own by default.

    Raises:
        ProxyError: The variable is set and names no proxy that can be used.
    """
    env = os.environ if environ is None else environ
    parts = urlsplit(edge)
    host = parts.hostname or ""
    secure = parts.scheme == "wss"
    if _is_loopback(host) or _is_excluded(host, parts.port or (443 if secure else 80), env):
        return None
    # In a CGI process HTTP_PROXY is a visitor's field `Proxy`, so only the lower form counts there.
    scheme = "https_proxy" if secure else "http_proxy"
    names = [scheme, scheme.upper(), "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in env:
        names = [name for name in names if name != "HTTP_PROXY"]
    for name in names:
        if name in env:  # one that is empty switches off those that follow
            text = env[name].strip()
            return parse_proxy(text, name) if text else None
    return None


def parse_proxy(text: str, variable: str) -> Proxy:
    """Take ``http://USER:PASSWORD@HOST:PORT`` apart; ``HOST:PORT`` is HTTP.

    Raises:
        ProxyError: It is something else; the sentence does not repeat it, for it may hold a secret.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
        user, password = parts.username, parts.password
    except ValueError:
        host, port, user, password = "", None, None, None
        parts = urlsplit("")
    if parts.scheme == "https":
        raise ProxyError(
            f"{variable} names a proxy that is spoken to by TLS (https://), which is not "
            "supported; write http:// if it takes that too, or name the edge in NO_PROXY"
        )
    if not host or parts.scheme not in _PORTS or parts.path.strip("/") or parts.query:
        raise ProxyError(
            f"{variable} names no proxy; write http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT "
            "with characters like / and @ as %2F and %40"
        )
    return Proxy(
        scheme=parts.scheme,
        host=host,
        port=port or _PORTS[parts.scheme],
        variable=variable,
        user=None if user is None else unquote(user),
        password=unquote(password or ""),
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_excluded(host: str, port: int, env: Mapping[str, str]) -> bool:
    """Whether NO_PROXY names a host: itself, a domain above it, a network, or everything."""
    text = env.get("no_proxy", env.get("NO_PROXY", ""))
    return any(
        _is_named(one, host, port) for one in text.lower().replace(",", " ").split() if one != "."
    )


def _is_named(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    name, _, number = entry.rpartition(":")
    if number.isdigit() and name and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        host, entry = host.rstrip("."), entry.removeprefix("*").strip(".")
        return host == entry or host.endswith("." + entry)
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


async def open_way(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Ask an HTTP proxy, to which ``sock`` is connected, for a connection to the edge.

    Raises:
        ProxyError: It refuses; the sentence says why and what to do.
        OSError: The connection broke.

    Cancelling it leaves the socket, which is the caller's, in an unknown state.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, _request(proxy, host, port))
    head = b""
    while b"\r\n\r\n" not in head:
        data = await loop.sock_recv(sock, 4096)
        if not data:
            raise ProxyError(f"the proxy {proxy} closed the connection; is it an HTTP proxy?")
        head += data
        if len(head) > MAX_HEAD:
            raise ProxyError(f"the proxy {proxy} sent a head of more than {MAX_HEAD} bytes")
    version, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or not code.isdigit():
        raise ProxyError(f"the proxy {proxy} sent no HTTP response; is it an HTTP proxy?")
    status = int(code)
    if not 200 <= status < 300:
        why = _STATUS.get(status, "it opens no way to the edge")
        raise ProxyError(f"the proxy {proxy} replied {status}: {why}")
    if not head.endswith(b"\r\n\r\n"):
        # An edge is silent until it has been asked, so these are no bytes of it.
        raise ProxyError(f"the proxy {proxy} sent bytes behind its head; is it an HTTP proxy?")


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [
        f"CONNECT {target} HTTP/1.1",
        f"Host: {target}",
        f"User-Agent: asgi-tunnel/{__version__}",
    ]
    if proxy.user is not None:
        pair = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {pair}")
    return "\r\n".join([*lines, "", ""]).encode()


def unreached(proxy: Proxy, error: OSError) -> ProxyError:
    """Return the error of a proxy that cannot be connected to."""
    found = ProxyError(
        f"the proxy {proxy} cannot be reached: {error.strerror or error}; "
        f"start it, or change {proxy.variable}"
    )
    # A name that is not found means what it does without a proxy: no network, for the moment.
    found.errno = errno.ENETUNREACH if isinstance(error, socket.gaierror) else error.errno
    return found


async def connect_socks(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Return a socket that leads to the edge through a SOCKS proxy, by the package python-socks.

    Raises:
        ProxyError: The package is not installed, or the proxy refuses.

    Cancelling it closes the socket.
    """
    try:
        socks = importlib.import_module("python_socks.async_.asyncio")
        kinds = importlib.import_module("python_socks")
    except ImportError as error:
        raise ProxyError(
            f"{proxy.variable} names a SOCKS proxy, which needs the package python-socks: "
            "pip install 'python-socks[asyncio]', or name an HTTP proxy"
        ) from error
    is_4 = proxy.scheme.startswith("socks4")
    client = socks.Proxy(
        proxy_type=kinds.ProxyType.SOCKS4 if is_4 else kinds.ProxyType.SOCKS5,
        host=proxy.host,
        port=proxy.port,
        username=proxy.user,
        password=proxy.password or None,
        rdns=proxy.scheme in ("socks4a", "socks5h"),
    )
    try:
        sock = await client.connect(host, port)
    except (kinds.ProxyError, kinds.ProxyTimeoutError, kinds.ProxyConnectionError) as error:
        raise ProxyError(f"the proxy {proxy} opens no way to the edge: {error}") from error
    assert isinstance(sock, socket.socket)
    return sock
