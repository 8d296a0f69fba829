"""Put an ASGI app on the internet from behind NAT, in-process: no open port, no daemon.

Names are imported when they are first used, so that ``import asgi_tunnel`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .config import TunnelConfig
    from .errors import (
        AuthenticationError,
        ClientDisconnectedError,
        ConfigError,
        HandshakeError,
        HostnameUnavailableError,
        LocalProtocolError,
        ProtocolError,
        StreamResetError,
        TunnelError,
        VersionMismatchError,
    )
    from .identity import Visitor, visitor
    from .inspector.settings import Inspect
    from .middleware import Tunnel, TunnelMiddleware
    from .runner import run, serve
    from .services.app import Services
    from .sharing import Share, share
    from .thread import start_in_thread

__all__ = [
    "AuthenticationError",
    "ClientDisconnectedError",
    "ConfigError",
    "HandshakeError",
    "HostnameUnavailableError",
    "Inspect",
    "LocalProtocolError",
    "ProtocolError",
    "Services",
    "Share",
    "StreamResetError",
    "Tunnel",
    "TunnelConfig",
    "TunnelError",
    "TunnelMiddleware",
    "VersionMismatchError",
    "Visitor",
    "__version__",
    "run",
    "serve",
    "share",
    "start_in_thread",
    "visitor",
]

_MODULES = {
    "Inspect": "inspector.settings",
    "Services": "services.app",
    "Share": "sharing",
    "Tunnel": "middleware",
    "TunnelConfig": "config",
    "TunnelMiddleware": "middleware",
    "Visitor": "identity",
    "run": "runner",
    "serve": "runner",
    "share": "sharing",
    "start_in_thread": "thread",
    "visitor": "identity",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'asgi_tunnel' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
