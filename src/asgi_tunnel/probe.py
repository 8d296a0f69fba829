"""Asks an edge about a token without opening a session: no visitor is sent here, no app displaced.

HELLO with the capability ``probe`` gets the WELCOME that a session would get, and the edge closes
(docs/protocol.md section 6). Called by the commands ``doctor``, ``token`` and ``url``.
"""

from __future__ import annotations

import asyncio
import platform
import secrets
from typing import TYPE_CHECKING

from ._version import __version__
from .dial import dial
from .greeting import HELLO_TIMEOUT, greet, no_end_to_end
from .pins import KnownPins
from .protocol.handshake import PROBE, Hello, Welcome
from .proxy import find_proxy

if TYPE_CHECKING:
    from .config import TunnelConfig
    from .dial import Way
    from .proxy import Proxy
    from .transport import WebSocketTransport

__all__ = ["ask", "connect", "probe"]


async def connect(
    config: TunnelConfig, proxy: Proxy | None, way: Way | None = None
) -> WebSocketTransport:
    """Open a connection to the edge, as a tunnel does, up to its WebSocket handshake.

    Args:
        config: Which edge, and as whom.
        proxy: Leads there; None: it is dialed directly.
        way: To one of several edges; None: where the token's URL leads.

    Raises:
        TunnelError: Of :func:`.dial.dial`: the edge refuses the token, or is not the right one.
        OSError: It cannot be reached.
        TimeoutError: It does not reply in time.

    Cancelling it closes the socket.
    """
    token = config.token
    known = None if token.pin is None else KnownPins(token, config.pins_folder)
    return await dial(
        token.edge,
        config.text,
        pins=() if known is None else await known.accepted(),
        ca_file=config.ca_file,
        proxy=proxy,
        way=way,
    )


async def ask(transport: WebSocketTransport) -> Welcome:
    """Return what the edge says of the token; the connection is closed after that.

    ``shared`` has those of its hostnames that an app serves now, ``time`` the edge's clock.

    Raises:
        HandshakeError: It refuses.
        OSError: The connection broke.
        TimeoutError: It does not reply in time.

    Cancelling it closes the connection.
    """
    hello = Hello(
        instance=secrets.token_hex(8),
        agent=f"asgi-tunnel/{__version__} python/{platform.python_version()}",
        capabilities=(PROBE,),
    )
    try:
        async with asyncio.timeout(HELLO_TIMEOUT):
            welcome, _ = await greet(transport, hello, no_end_to_end)
    finally:
        transport.abort()
    return welcome


async def probe(config: TunnelConfig) -> Welcome:
    """Both of them, through the proxy that the environment names.

    Raises:
        TunnelError: The edge refuses, or is not the right one.
        OSError: It cannot be reached.
        TimeoutError: It does not reply in time.
    """
    return await ask(await connect(config, find_proxy(config.token.edge)))
