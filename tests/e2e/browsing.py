"""Visitors of an edge: HTTP, WebSocket, and bytes as they are. Names need no DNS."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from websockets.sync.client import ClientConnection, connect

from .harness import NO_TLS, Edge

if TYPE_CHECKING:
    from websockets.typing import Subprotocol

TIMEOUT = 20.0
"""Seconds for one step of a visitor, on a loaded machine."""

ROOT = Path(__file__).parents[2]
APPS = "tests.e2e.apps"
"""Where the apps of these tests are, from ``ROOT``."""


def browse(edge: Edge, hostname: str) -> httpx.Client:
    """A client whose requests go to ``hostname`` on this edge."""
    return httpx.Client(
        base_url=edge.url(hostname),
        headers={"host": f"{hostname}:{edge.port}"},
        timeout=TIMEOUT,
        verify=NO_TLS,
    )


def open_websocket(
    edge: Edge,
    hostname: str,
    path: str,
    *,
    subprotocols: list[Subprotocol] | None = None,
    tls: ssl.SSLContext | None = None,
) -> ClientConnection:
    """A WebSocket to ``hostname`` on this edge."""
    scheme = "ws" if tls is None else "wss"
    return connect(
        f"{scheme}://{hostname}:{edge.port}{path}",
        sock=socket.create_connection(("127.0.0.1", edge.port), TIMEOUT),
        ssl=tls,
        subprotocols=subprotocols,
        open_timeout=TIMEOUT,
        proxy=None,
    )


def trust(edge: Edge) -> ssl.SSLContext:
    """A visitor who trusts the certificate of this edge and no other."""
    return ssl.create_default_context(cafile=str(edge.folder / "tls" / "certificate.pem"))
