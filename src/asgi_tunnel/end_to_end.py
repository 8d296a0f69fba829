"""End-to-end hostnames: TLS ends in this process, by a server that another distribution brings.

The edge passes their bytes on as streams. What decrypts and reads them is the edge's own front, in
``asgi_tunnel_edge.home``, and is imported when the edge first names such a hostname: an app without
one needs nothing of it. Called by ``connector``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

import anyio.to_thread

from ._version import __version__
from .errors import TunnelError
from .protocol.codes import ResetCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .asgi.origin import Origin
    from .asgi.types import StreamHandler, StreamLink
    from .config import EndToEndConfig
    from .protocol.events import StreamOpened

__all__ = ["EndToEnd", "HomeServer"]

_log = logging.getLogger("asgi_tunnel.end_to_end")

_INSTALL: Final = 'pip install "asgi-tunnel[end-to-end]"'
_MISSING: Final = (
    "end-to-end hostnames are not served, for they need more than asgi-tunnel alone ({}); "
    f"install it: {_INSTALL}"
)
_OTHER: Final = (
    "end-to-end hostnames are not served, for asgi-tunnel-edge is of version {} here and "
    f"asgi-tunnel of {{}}; install both of one version: {_INSTALL}"
)


class HomeServer(Protocol):
    """What ``asgi_tunnel_edge.home`` makes."""

    async def expect(self, hostnames: Sequence[str]) -> None:
        """Make ready for these hostnames and no others; the log says what is missing for them."""

    def serve(self, link: StreamLink, event: StreamOpened) -> StreamHandler | None:
        """Begin with a connection; return the handler of its stream, or None when it is reset."""

    def drain(self, link: StreamLink) -> None:
        """A session is to end: close what is idle of it, and the rest once it is."""

    def shut_down(self) -> None:
        """The app ends: the same for all."""

    def stop(self) -> None:
        """End everything."""


class EndToEnd:
    """Serves the byte streams of one process.

    Args:
        config: Where the certificate is, or comes from.
        origin: The app's driver; it hands byte streams to this.
    """

    def __init__(self, config: EndToEndConfig, origin: Origin) -> None:
        self._config = config
        self._origin = origin
        self._server: HomeServer | None = None
        self._expected: tuple[str, ...] = ()
        self._is_over = False  # stopped, or it cannot be had

    async def expect(self, hostnames: tuple[str, ...]) -> None:
        """The edge serves these end to end: make ready before the first visitor comes.

        What is missing for them is logged, and the app goes on without. Cancelling it leaves that
        to the next call.
        """
        if self._is_over or hostnames == self._expected:
            return
        server = self._server or await self._load()
        if server is not None:
            self._expected = hostnames
            await server.expect(hostnames)

    def serve(self, link: StreamLink, event: StreamOpened) -> StreamHandler | None:
        """Begin with a connection; None, and the stream reset, when it cannot be served."""
        if self._server is None:
            link.reset_stream(event.stream_id, ResetCode.REFUSED, "end to end is not served here")
            return None
        return self._server.serve(link, event)

    def drain(self, link: StreamLink) -> None:
        """The edge wants a session to end: its connections close once they are idle."""
        if self._server is not None:
            self._server.drain(link)

    def shut_down(self) -> None:
        """The app ends: connections close once they are idle."""
        if self._server is not None:
            self._server.shut_down()

    def stop(self) -> None:
        """End all connections."""
        self._is_over = True
        if self._server is not None:
            self._server.stop()
            self._server = None

    async def _load(self) -> HomeServer | None:
        try:
            # In a thread: an import reads many files, and the app may be serving already.
            make = await anyio.to_thread.run_sync(find_server, limiter=anyio.CapacityLimiter(1))
        except TunnelError as error:
            self._is_over = True  # once is enough in a log
            _log.error("%s", error)
            return None
        if self._server is None and not self._is_over:  # as it may be meanwhile
            self._server = make(self._config, self._origin)
        return self._server


def find_server() -> Callable[[EndToEndConfig, Origin], HomeServer]:
    """Import the server; it may take half a second.

    Raises:
        TunnelError: It is not installed, or of another version.
    """
    import importlib

    try:
        edge = importlib.import_module("asgi_tunnel_edge")
        if edge.__version__ != __version__:
            raise TunnelError(_OTHER.format(edge.__version__, __version__))
        home = importlib.import_module("asgi_tunnel_edge.home")
    except ImportError as error:
        raise TunnelError(_MISSING.format(error)) from error
    make: Callable[[EndToEndConfig, Origin], HomeServer] = home.HomeServer
    return make
