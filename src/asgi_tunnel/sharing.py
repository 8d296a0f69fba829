"""``await share(app)``: a tunnel in a running event loop, for notebooks and consoles.

Nothing is wrapped and no signal is handled: the cell that calls it goes on, and running the cell
again replaces what it has shared before.
"""

from __future__ import annotations

import asyncio
import contextvars
import html
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from .asgi.lifespan import Lifespan, LifespanError
from .asgi.origin import Origin
from .asgi.types import ASGIApp
from .config import TunnelConfig
from .connector import Connector, example_url
from .errors import ConfigError, TunnelError
from .inbox import rules_of
from .inspector.settings import GivenInspect
from .loading import display_name
from .logs import ensure_handler
from .middleware import Tunnel, abort_at_end, wait_connected
from .names import names_of
from .policy.collect import collect
from .protocol.codes import DrainReason
from .request_log import RequestLog

__all__ = ["Share", "share"]

_log = logging.getLogger("asgi_tunnel.share")

DEFAULT_GRACE: Final = 5.0
"""Seconds for requests in progress at the end: a person waits for the cell."""

_shares: Final[dict[tuple[str, tuple[str, ...]], Share]] = {}
"""What is shared in this process, by token and hostnames: a cell that is run again does not have
the handle of before."""


class Share:
    """An app that is shared; made by :func:`share`.

    Attributes:
        urls: Where visitors find it; a wildcard as it is registered.
    """

    def __init__(self, config: TunnelConfig, origin: Origin, life: Lifespan, connector: Connector):
        self.urls = connector.urls
        self._key = _key(config)
        self._origin = origin
        self._life = life
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Task[None] | None = None
        self._guard = self._loop.create_task(
            abort_at_end(connector), name="asgi-tunnel guard", context=contextvars.Context()
        )

    @property
    def url(self) -> str:
        """Where visitors find it: the first of its URLs; of a wildcard an example."""
        return example_url(self.urls[0]) if self.urls else ""

    @property
    def is_open(self) -> bool:
        """Whether it was not closed; while the edge is out of reach it is dialed for ever."""
        return self._closing is None and not self._loop.is_closed()

    async def aclose(self) -> None:
        """Let requests in progress finish, end the tunnel, and run the app's shutdown.

        A second call waits for the first one.  Cancelling it ends this wait, and not the end.
        """
        if self._loop is not asyncio.get_running_loop():
            # Of a program that runs one event loop after another, or several.
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._connector.abort)
            _forget(self)
            return
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name="asgi-tunnel share")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            await self._connector.stop(reason=DrainReason.RESTART)
        finally:
            self._guard.cancel()  # aborts what is left of the tunnel
            _forget(self)
            await self._origin.finish(0)
            try:
                await self._life.shutdown()
            except LifespanError as error:
                _log.error("the app's shutdown failed: %s", error)

    async def __aenter__(self) -> Self:
        """Return itself; closed at the end of the block."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    def __repr__(self) -> str:
        return f"<asgi-tunnel: {', '.join(self.urls)}{'' if self.is_open else ' (closed)'}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the URL as a link."""
        if not self.is_open:
            return html.escape(repr(self))
        links = [
            f'<a href="{html.escape(url)}" target="_blank" rel="noopener">{html.escape(url)}</a>'
            for url in map(example_url, self.urls)
        ]
        return "asgi-tunnel: " + ", ".join(links)


async def share(  # noqa: PLR0913 - one argument for each setting
    app: ASGIApp,
    *,
    token: str | None = None,
    connections: int | None = None,
    grace: float | None = DEFAULT_GRACE,
    root_path: str | None = None,
    hostnames: Sequence[str] | None = None,
    inbox: Sequence[str] | None = None,
    plaintext_host: str | None = None,
    inspect: GivenInspect | None = None,
    spec_version: str = "2.3",
    access_log: bool = False,
) -> Share:
    """Open the app's tunnel in the running event loop, and return when it is live.

    What was shared before with the same token and hostnames is closed first; its visitors wait for
    the new app.

    Args:
        app: An ASGI app; its lifespan runs here.
        token: As :class:`asgi_tunnel.Tunnel`, and so are the next eight.
        connections: Connections kept to the edge.
        grace: Seconds for requests in progress at the end.
        root_path: Put before each path.
        hostnames: Those of the token's that are served.
        inbox: Routes whose requests the edge keeps while the app is away.
        plaintext_host: The one host that may be dialed without TLS.
        inspect: What is recorded of exchanges, to be looked at.
        spec_version: Of ASGI HTTP.
        access_log: Log a line for each request.

    Raises:
        ConfigError: A setting is wrong, or there is no token.
        TunnelError: The app's startup failed, the edge refuses the token, or it was not reached.

    Cancelling it before it returns opens none.
    """
    config = TunnelConfig.required(
        token=token,
        connections=connections,
        grace=grace,
        root_path=root_path,
        hostnames=hostnames,
        inbox=inbox,
        plaintext_host=plaintext_host,
        inspect=inspect,
        spec_version=spec_version,
    )
    ensure_handler()
    before = _shares.get(_key(config))
    if before is not None:
        await before.aclose()
    target = app.app if isinstance(app, Tunnel) else app
    life = Lifespan(target)
    try:
        await life.startup()
    except LifespanError as error:
        raise TunnelError(f"the app did not start: {error}") from error
    try:
        policy = collect(app, sends_routes=config.sends_routes)
    except ConfigError:
        await life.shutdown()
        raise
    origin = Origin(
        RequestLog(target) if access_log else target,
        state=life.state,
        root_path=config.root_path,
        spec_version=config.spec_version,
    )
    connector = Connector(
        config,
        origin,
        name=display_name(target),
        served=names_of(target),
        inbox=rules_of(target, config.inbox),
        policy=policy,
    )
    try:
        connector.start()
        await wait_connected(connector)
    except BaseException:
        connector.abort()
        await life.shutdown()
        raise
    shared = _shares[_key(config)] = Share(config, origin, life, connector)
    return shared


def _key(config: TunnelConfig) -> tuple[str, tuple[str, ...]]:
    return config.token.id, config.hostnames


def _forget(shared: Share) -> None:
    key = shared._key  # noqa: SLF001 - its own module
    if _shares.get(key) is shared:
        del _shares[key]
