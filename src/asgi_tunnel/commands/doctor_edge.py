"""The way from here to the edge: proxy, name, TCP, TLS, WebSocket, token, version, clocks.

Called by ``doctor``. Each step is a finding of its own, and the first that fails ends the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .._version import __version__
from ..edge_tls import EdgeTLSError, PinError
from ..edges import Edges
from ..errors import HandshakeError, TunnelError, VersionMismatchError
from ..findings import Finding, ok, problem, problem_of, skipped, warning
from ..probe import ask, connect
from ..protocol.codes import RefuseCode
from ..protocol.limits import PROTOCOL_VERSION
from ..proxy import Proxy, ProxyError, find_proxy
from .options import why_unreached

if TYPE_CHECKING:
    from ..config import TunnelConfig
    from ..protocol.handshake import Welcome
    from ..transport import WebSocketTransport

__all__ = ["check_edges", "check_way"]

STEP_TIMEOUT: Final = 10.0
"""Seconds for the name, and for TCP: as long as a dial may take in all."""

CLOCK_DIFFERENCE: Final = 60.0
"""Seconds that this clock may differ from the edge's; certificates that were just made, and tokens
that end soon, are refused beyond some minutes."""

_NO_TUNNEL: Final = "the app opens no tunnel, and dials again and again"


async def check_way(config: TunnelConfig) -> tuple[list[Finding], Welcome | None]:
    """Go the way that a tunnel goes.

    Returns:
        The findings in the order of the way, and what the edge says; None where it was not reached.

    Takes half a minute at the most. Cancelling it leaves nothing open.
    """
    url = urlsplit(config.token.edge)
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "wss" else 80)
    try:
        proxy = find_proxy(config.token.edge)
    except ProxyError as error:
        return [problem("proxy", str(error), why=_NO_TUNNEL, fix="correct the variable")], None
    if proxy is None:
        found = [ok("proxy", "none: the edge is dialed directly")]
        failed = await _check_name(host, port, found) or await _check_tcp(host, port, found)
        if failed:
            return found, None
    else:
        found = [
            skipped("name", f"{host} is looked up by the proxy"),
            skipped("tcp", f"{host}:{port} is dialed by the proxy {proxy} ({proxy.variable})"),
        ]
    try:
        transport = await connect(config, proxy)
    except (OSError, TunnelError) as error:
        return found + _why_not_connected(error, config, proxy), None
    found += _passed(config, proxy)
    found.append(ok("upgrade", "the edge speaks WebSocket there"))
    peer = transport.peer
    found, welcome = await _ask(transport, found)
    if welcome is not None:
        found += await check_edges(config, welcome, peer)
    return found, welcome


async def check_edges(config: TunnelConfig, welcome: Welcome, peer: str) -> list[Finding]:
    """Look whether each edge can be reached alone, where there are several.

    Args:
        config: As whom.
        welcome: Has their URLs.
        peer: Address and port of the edge that named them.
    """
    edges = Edges(config, "doctor")
    edges.reached(0, config.token.edge, welcome.edges, peer=peer)
    if len(edges.known) < 2:
        return []

    async def check(url: str) -> Finding:
        try:
            transport = await connect(config, find_proxy(url), edges.way(url))
        except (OSError, TunnelError) as error:
            what = f"{url} cannot be reached ({why_unreached(error)})"
            why = "apps have no connection there, and all of them go to the other edges"
            fix = "open its port in its firewall, or correct edge_address in its edge.toml"
            return warning("edges", what, why=why, fix=fix)
        transport.abort()
        return ok("edges", f"{url} takes tunnels")

    return await asyncio.gather(*map(check, edges.known))


async def _check_name(host: str, port: int, found: list[Finding]) -> bool:
    """Whether the edge's name has no address."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(STEP_TIMEOUT):
            addresses = await loop.getaddrinfo(host, port)
    except (OSError, TimeoutError) as error:
        what = f"{host} has no address ({why_unreached(error)})"
        fix = "make its DNS records, or look at this machine's network and resolver"
        found.append(problem("name", what, why=_NO_TUNNEL, fix=fix))
        return True
    shown = ", ".join(dict.fromkeys(str(one[4][0]) for one in addresses))
    found.append(ok("name", f"{host} is at {shown}"))
    return False


async def _check_tcp(host: str, port: int, found: list[Finding]) -> bool:
    """Whether nothing takes a connection there."""
    try:
        async with asyncio.timeout(STEP_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        said = "no reply in time" if isinstance(error, TimeoutError) else str(error)
        what = f"{host}:{port} takes no connection ({said})"
        fix = "start the edge, open the port in its firewall, or use another network"
        found.append(problem("tcp", what, why=_NO_TUNNEL, fix=fix))
        return True
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    found.append(ok("tcp", f"{host}:{port} takes connections"))
    return False


def _why_not_connected(
    error: Exception, config: TunnelConfig, proxy: Proxy | None
) -> list[Finding]:
    """The step that failed, and those before it."""
    said = why_unreached(error)
    if isinstance(error, ProxyError):
        fix = "ask who runs the proxy, or name the edge in NO_PROXY"
        return [problem("proxy", said, why=_NO_TUNNEL, fix=fix)]
    if isinstance(error, PinError | EdgeTLSError):
        return [problem_of("tls", said, why="no token was sent, and no tunnel is opened")]
    passed = _passed(config, proxy)
    if isinstance(error, VersionMismatchError) or not isinstance(error, HandshakeError):
        fix = (
            "let what stands between pass Upgrade and Connection on (nginx: proxy_set_header), or "
            "correct the edge's URL and create a new token"
        )
        return [*passed, problem("upgrade", said, why=_NO_TUNNEL, fix=fix)]
    passed.append(ok("upgrade", "the edge answers there"))
    return [*passed, _refused(error)]


def _passed(config: TunnelConfig, proxy: Proxy | None) -> list[Finding]:
    """The steps before the WebSocket handshake, once that was reached."""
    found = []
    if proxy is not None:
        found.append(ok("proxy", f"{proxy} opens a way to the edge"))
    if config.token.pin is not None:
        found.append(ok("tls", "the edge shows the certificate that the token names"))
    elif config.token.edge.startswith("ws://"):
        found.append(skipped("tls", "the token leads to an edge without TLS"))
    elif config.ca_file is not None:
        found.append(ok("tls", f"a CA in {config.ca_file} vouches for the edge"))
    else:
        found.append(ok("tls", "a CA that this machine knows vouches for the edge"))
    return found


def _refused(error: HandshakeError) -> Finding:
    if error.code == RefuseCode.OVERLOAD:
        fix = "try again in a minute; where it lasts, raise the limit that it names"
        return warning("accepted", str(error), why="the edge takes no tunnel now", fix=fix)
    return problem_of("accepted", str(error), why="the app opens no tunnel")


async def _ask(
    transport: WebSocketTransport, found: list[Finding]
) -> tuple[list[Finding], Welcome | None]:
    try:
        welcome = await ask(transport)
    except VersionMismatchError as error:
        found.append(problem_of("version", str(error), why="the app opens no tunnel"))
        return found, None
    except HandshakeError as error:
        return [*found, _refused(error)], None
    except (OSError, TunnelError) as error:
        fix = "see the edge's log; a proxy between may close WebSockets"
        found.append(problem("upgrade", why_unreached(error), why=_NO_TUNNEL, fix=fix))
        return found, None
    found.append(ok("accepted", "the edge takes the token"))
    found.append(
        ok(
            "version",
            f"protocol {welcome.version} of {PROTOCOL_VERSION}; {welcome.agent}, and "
            f"asgi-tunnel/{__version__} here",
        )
    )
    found.append(_clock(welcome))
    return found, welcome


def _clock(welcome: Welcome) -> Finding:
    if not welcome.time:
        return skipped("clock", "the edge does not say what time it is")
    difference = time.time() - welcome.time
    if abs(difference) <= CLOCK_DIFFERENCE:
        return ok("clock", "as the edge's")
    way = "ahead of" if difference > 0 else "behind"
    return problem(
        "clock",
        f"this machine's clock is {abs(difference):.0f} s {way} the edge's",
        why="certificates and times are judged wrongly",
        fix="set it, `timedatectl set-ntp true`, or the edge's",
    )
