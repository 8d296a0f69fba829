"""Test an ASGI app behind a tunnel that breaks on demand: no socket, no edge to install.

:class:`LocalEdge` serves an app through the real protocol over a line in memory; its ``link`` cuts,
stalls and slows that line.  With ``pytest_plugins = ["asgi_tunnel.testing"]`` the fixture
``local_edge`` is there as well.  :func:`replay` sends what a HAR has recorded to an app.  See
docs/howto/testing.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..identity import Visitor
from ..protocol.limits import Timing
from .edge import LocalEdge
from .har import replay
from .link import MemoryLink
from .visitor import (
    Headers,
    Response,
    ResponseStream,
    WebSocket,
    WebSocketClosedError,
    WebSocketDeniedError,
)

if TYPE_CHECKING:
    from .fixture import ServeLocally, local_edge

__all__ = [
    "Headers",
    "LocalEdge",
    "MemoryLink",
    "Response",
    "ResponseStream",
    "ServeLocally",
    "Timing",
    "Visitor",
    "WebSocket",
    "WebSocketClosedError",
    "WebSocketDeniedError",
    "local_edge",
    "replay",
]


def __getattr__(name: str) -> object:
    # Late, because these two need pytest.
    if name not in ("ServeLocally", "local_edge"):
        raise AttributeError(f"module 'asgi_tunnel.testing' has no attribute {name!r}")
    from . import fixture

    return getattr(fixture, name)


def __dir__() -> list[str]:
    # pytest looks here for fixtures; whoever has no pytest must not stumble over them.
    import sys

    late = set() if "pytest" in sys.modules else {"ServeLocally", "local_edge"}
    return sorted(set(__all__) - late)
