"""Opens a connection to an edge: address, TCP, TLS, and the WebSocket handshake.

What is said over it, HELLO first, is left to :mod:`.connector`.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from ipaddress import ip_address
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import anyio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from ._version import __version__
from .edge_tls import PinError, explain, is_pinned, tls_context
from .errors import (
    AuthenticationError,
    HandshakeError,
    HostnameUnavailableError,
    VersionMismatchError,
)
from .protocol.codes import RefuseCode
from .protocol.handshake import SUBPROTOCOL, TUNNEL_PATH
from .proxy import Proxy, connect_socks, open_way, unreached
from .tls import TLSLayer
from .transport import WebSocketTransport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from websockets.http11 import Response

DIAL_TIMEOUT: Final = 10.0
"""Seconds for everything up to the WebSocket handshake."""

HAPPY_EYEBALLS_DELAY: Final = 0.25
"""Seconds before the next address is tried beside the last one (RFC 8305 section 5)."""

PATIENCE: Final = 1.0
"""Seconds before all addresses are tried once more beside the tries that still hang.  A SYN that
was lost is repeated after 1, 3 and 7 s; a fresh one finds a network that is back within 1 s."""

MAX_TRIES: Final = 16
"""Tries that may hang at one time."""

_MAX_REASON: Final = 512
_MAX_LOCATION: Final = 128  # characters of a redirect that are shown

_REFUSALS: Final = {
    401: (RefuseCode.UNAUTHENTICATED, AuthenticationError),
    403: (RefuseCode.HOSTNAME, HostnameUnavailableError),
    426: (RefuseCode.VERSION, VersionMismatchError),
}


class Way(NamedTuple):
    """Where one of several edges is."""

    host: str  # without brackets
    port: int
    is_public: bool = False  # no address of a private network will do


async def dial(  # noqa: PLR0913 - one argument for each thing that a dial depends on
    url: str,
    authorization: str,
    *,
    pins: Sequence[str] = (),
    ca_file: Path | None = None,
    first: int = 0,
    proxy: Proxy | None = None,
    way: Way | None = None,
) -> WebSocketTransport:
    """Open a connection whose WebSocket handshake is done.

    Args:
        url: ``wss://host[:port]`` or ``ws://host[:port]``.
        authorization: The token, for the Authorization field.
        pins: ``sha256:<hex>`` of each certificate to accept; none: CAs are asked.
        ca_file: PEM of the CAs to ask; None: the system's.
        first: Which of the addresses to begin with, counted around: the connections of one app go
            to different ones where there are several.
        proxy: Leads to the edge, and resolves its name; None to dial it directly.
        way: Leads to one of several edges; None: what the URL names is dialed. TLS is checked for
            the URL's host in any case.

    Raises:
        HandshakeError: The edge refused, with its own sentence.
        PinError: The certificate is another one; nothing was sent.
        ProxyError: The proxy could not be reached, or refused.
        EdgeTLSError: No TLS, or a certificate that cannot be trusted; nothing was sent.
        OSError: The edge could not be reached.
        TimeoutError: It took longer than ``DIAL_TIMEOUT``.

    Every address that the name has now is tried.  Cancelling it closes the socket.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    host = parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    uri = WebSocketURI(secure, host, port, TUNNEL_PATH, "")
    context = tls_context(is_pinned=bool(pins), ca_file=ca_file) if secure else None
    if way is None:
        way = Way(host, port)
    addresses: list[Address] = []
    async with asyncio.timeout(DIAL_TIMEOUT):
        if proxy is None:
            addresses = await _resolve(way.host, way.port)
            if way.is_public:
                addresses = _public(addresses)
            turn = first % max(len(addresses), 1)
            addresses = addresses[turn:] + addresses[:turn]
        while True:
            if proxy is None:
                sock, address = await _race(addresses)
                addresses.remove(address)
            else:
                sock = await _pass_proxy(proxy, way.host, way.port)
            try:
                transport = await _shake_hands(
                    sock, _Dialer(uri, authorization, pins), context, host
                )
            except OSError as error:
                if addresses:
                    continue
                if context is not None and (isinstance(error, ssl.SSLError) or not str(error)):
                    raise explain(error, f"{way.host}:{way.port}") from error
                raise
            break
    is_private = secure or (proxy is None and _is_local(transport))
    carrier = WebSocketTransport(is_masking=True, is_private=is_private)
    transport.set_protocol(carrier.as_protocol())
    carrier.connection_made(transport)
    return carrier


async def _shake_hands(
    sock: socket.socket, dialer: _Dialer, context: ssl.SSLContext | None, host: str
) -> asyncio.Transport:
    """Do the handshakes of TLS, where there is a context, and of the WebSocket."""
    loop = asyncio.get_running_loop()
    protocol: asyncio.Protocol = dialer
    if context is not None:
        layer = TLSLayer(context, lambda: dialer, b"", dialer.end_tls, dialed=host)
        protocol = layer.as_protocol()
    try:
        transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
    except BaseException:
        dialer.forget()
        raise
    try:
        return await dialer.done
    except BaseException:
        transport.abort()
        raise


async def _pass_proxy(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Return a socket that leads through a proxy to the edge."""
    if proxy.scheme != "http":
        return await connect_socks(proxy, host, port)
    try:
        sock, _ = await _race(await _resolve(proxy.host, proxy.port))
    except OSError as error:
        raise unreached(proxy, error) from error
    try:
        await open_way(sock, proxy, host, port)
    except BaseException:
        sock.close()
        raise
    return sock


Address = tuple[int, Any]
"""Family, and what ``connect`` takes."""


async def _resolve(host: str, port: int) -> list[Address]:
    """Return the addresses that a name has now, the two families in turn."""
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = ask(flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # a name
        # Not in a thread of the app's pools: they may all wait for what the network has lost.
        limiter = anyio.CapacityLimiter(1)
        found = await anyio.to_thread.run_sync(ask, limiter=limiter, abandon_on_cancel=True)
    families: dict[int, list[Address]] = {}
    for family, _, _, _, address in found:
        families.setdefault(family, []).append((family, address))
    return [one for turn in zip_longest(*families.values()) for one in turn if one]


async def _race(addresses: list[Address]) -> tuple[socket.socket, Address]:
    """Connect to whichever address answers first, each tried a moment after the last one.

    asyncio can do this itself, uvloop cannot; and neither dials again while a try hangs.
    """
    running: dict[asyncio.Task[socket.socket], Address] = {}
    left = list(addresses)
    error: Exception = OSError("the name of the edge has no address")
    try:
        while left or running:
            if left:
                address = left.pop(0)
                running[asyncio.ensure_future(_connect(address))] = address
            done, _ = await asyncio.wait(
                running,
                timeout=HAPPY_EYEBALLS_DELAY if left else PATIENCE,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                address = running.pop(task)
                failure = task.exception()
                if failure is None:
                    return task.result(), address
                error = OSError(f"{failure}") if not isinstance(failure, OSError) else failure
            if not done and not left and len(running) < MAX_TRIES:
                left = list(addresses)
        raise error
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        for task in running:
            if not task.cancelled() and task.exception() is None:
                task.result().close()


async def _connect(address: Address) -> socket.socket:
    family, target = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return sock


def _public(addresses: list[Address]) -> list[Address]:
    """Leave out private networks: an edge on the internet leads no app into the network at home.

    Raises:
        OSError: None is left.
    """
    found = [one for one in addresses if ip_address(one[1][0].partition("%")[0]).is_global]
    if addresses and not found:
        raise OSError(
            "the edge's address is one of a private network, and was named by an edge on the "
            "internet; correct edge_address there"
        )
    return found


def _is_local(transport: asyncio.Transport) -> bool:
    """Whether the other end of the socket is on this machine."""
    try:
        return ip_address(transport.get_extra_info("peername")[0]).is_loopback
    except (TypeError, ValueError):  # no address: no network address either, or already gone
        return False


class _Dialer(asyncio.Protocol):
    """Does the WebSocket handshake, by the I/O-free client of ``websockets``."""

    def __init__(self, uri: WebSocketURI, authorization: str, pins: Sequence[str]) -> None:
        self.done: asyncio.Future[asyncio.Transport]
        self.done = asyncio.get_running_loop().create_future()
        self._pins = pins
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol(SUBPROTOCOL)])
        self._request = self._protocol.connect()
        self._request.headers["Authorization"] = f"Bearer {authorization}"
        self._request.headers["User-Agent"] = f"asgi-tunnel/{__version__}"
        self._transport: asyncio.Transport | None = None

    def end_tls(self, error: Exception | None) -> None:
        """TLS is there, or has failed; of a lost connection :func:`.edge_tls.explain` knows why."""
        if error is not None:
            self._fail(error if isinstance(error, ssl.SSLError) else ConnectionResetError())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        self._transport = transport = cast(asyncio.Transport, transport)
        if self._pins and not is_pinned(transport, self._pins):
            self._fail(PinError())
            transport.abort()
            return
        self._protocol.send_request(self._request)
        self._write()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        self._settle()

    def eof_received(self) -> bool:
        self._protocol.receive_eof()
        self._settle()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("the edge closed during the handshake"))

    def _settle(self) -> None:
        protocol = self._protocol
        if protocol.state is State.OPEN and self._transport is not None:
            if not self.done.done():
                self.done.set_result(self._transport)
        elif protocol.handshake_exc is not None:
            error = protocol.handshake_exc
            if isinstance(error, InvalidStatus):
                self._fail(_refusal(error.response))
            else:
                self._fail(ConnectionError(f"no tunnel edge answers there: {error}"))

    def _write(self) -> None:
        if self._transport is not None:
            for data in self._protocol.data_to_send():
                if data:
                    self._transport.write(data)

    def forget(self) -> None:
        """Nobody waits for it: a connection lost from now on is no error to report."""
        if not self.done.cancel():
            self.done.exception()

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


def _refusal(response: Response) -> Exception:
    """Turn the edge's HTTP answer into the error it stands for."""
    status = response.status_code
    body = bytes(response.body or b"")[:_MAX_REASON].decode("utf-8", "replace").strip()
    body = body.removeprefix(f"{status} {response.reason_phrase}: ")  # the sentence is enough
    retry: float | None = None
    given = response.headers.get("Retry-After", "")
    if given.isdigit():
        retry = float(given)
    if status in _REFUSALS:
        code, kind = _REFUSALS[status]
        return kind(code, body or response.reason_phrase, retry_after=retry)
    if 300 <= status < 400:
        return ConnectionError(_redirected(status, response.headers.get("Location", "")))
    if status in (429, 503):
        return HandshakeError(RefuseCode.OVERLOAD, body or "the edge is busy", retry_after=retry)
    return ConnectionError(f"the edge answered {status}; is this the URL of an asgi-tunnel edge?")


def _redirected(status: int, location: str) -> str:
    shown = "".join(one if one.isprintable() else "?" for one in location[:_MAX_LOCATION])
    return (
        f"the edge's URL answers {status} and leads to {shown or 'no other URL'}; no token is sent "
        "after a redirect: correct public_url in edge.toml and create a new token, or take the "
        "redirect of the tunnel's path out of the proxy in front of the edge"
    )
