"""End-to-end hostnames: TLS ends in this process, by a server that another distribution brings.

The edge passes their bytes on as streams. What decrypts and reads them is the edge's own front, in
``asgi_tunnel_edge.home``, and is imported when the edge first names such a hostname: an app without
one needs nothing of it. Called by ``connector``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from .errors import TunnelError
from .protocol.codes import ResetCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .asgi.origin import Origin
    from .asgi.types import StreamHandler, StreamLink
    from .config import EndToEndConfig
    from .protocol.events import StreamOpened

__all__ = ["EndToEnd", "HomeServer"]

_log = logging.getLogger("asgi_tunnel.end_to_end")

_MISSING = (
    "end-to-end hostnames need more than asgi-tunnel alone, and are not served: "
    'pip install "asgi-tunnel[end-to-end]"'
)


class HomeServer(Protocol):
    """What ``asgi_tunnel_edge.home`` makes."""

    def expect(self, hostnames: Sequence[str]) -> None:
        """Make ready for hostnames: certificates are made or renewed for them."""

    def serve(self, link: StreamLink, event: StreamOpened) -> StreamHandler:
        """Begin with a connection; return the handler of its stream."""

    def shut_down(self) -> None:
        """The app ends: close what is idle."""

    def stop(self) -> None:
        """End everything."""


class EndToEnd:
    """Serves the byte streams of one process.

    Args:
        config: Where certificates come from.
        origin: The app's driver; it hands byte streams to this.
    """

    def __init__(self, config: EndToEndConfig, origin: Origin) -> None:
        self._config = config
        self._origin = origin
        self._server: HomeServer | None = None
        self._has_failed = False

    def expect(self, hostnames: Sequence[str]) -> None:
        """The edge serves these end to end; what is missing for them is logged."""
        server = self._load() if hostnames else None
        if server is not None:
            server.expect(hostnames)

    def serve(self, link: StreamLink, event: StreamOpened) -> StreamHandler | None:
        """Begin with a connection; None, and the stream reset, when it cannot be served."""
        server = self._load()
        if server is None:
            link.reset_stream(event.stream_id, ResetCode.REFUSED, "end to end is not served here")
            return None
        return server.serve(link, event)

    def shut_down(self) -> None:
        """The app ends: connections close once they are idle."""
        if self._server is not None:
            self._server.shut_down()

    def stop(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        self._has_failed = True

    def _load(self) -> HomeServer | None:
        if self._server is None and not self._has_failed:
            try:
                self._server = load_server(self._config, self._origin)
            except TunnelError as error:
                self._has_failed = True  # once is enough in a log
                _log.error("%s", error)
        return self._server


def load_server(config: EndToEndConfig, origin: Origin) -> HomeServer:
    """Import and make the server.

    Raises:
        TunnelError: It is not installed, or its settings or files cannot be used.
    """
    import importlib

    try:
        home = importlib.import_module("asgi_tunnel_edge.home")
    except ImportError as error:
        raise TunnelError(_MISSING) from error
    server: HomeServer = home.HomeServer.open(config, origin)
    return server
