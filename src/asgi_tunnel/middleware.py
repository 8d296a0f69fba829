"""``Tunnel``: wraps an app and opens its tunnel when the app is ready.

Nothing happens when it is made: servers import apps in processes that never serve (reloaders,
masters that fork).  What happens on lifespan is here; frames are not.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from .asgi.lifespan import OWNED
from .asgi.types import ASGIApp, Message, Receive, Send
from .config import TOKEN, TunnelConfig
from .errors import ConfigError
from .logs import ensure_handler

if TYPE_CHECKING:
    from .connector import Connector

__all__ = ["Tunnel", "TunnelMiddleware"]

_log = logging.getLogger("asgi_tunnel.middleware")


class Tunnel:
    """An ASGI app that serves another one, locally as ever and through its tunnel.

    Use it as ``app = Tunnel(app)``, or ``app.add_middleware(TunnelMiddleware)``.

    Args:
        app: The app to wrap.
        token: The tunnel's token; by default ``ASGI_TUNNEL_TOKEN``, or the file that
            ``ASGI_TUNNEL_TOKEN_FILE`` names.
        enabled: False never opens a tunnel.  By default it is opened when there is a token,
            except under pytest.  True opens it there as well.
        required: Without a token, or with one that is refused, the app does not start.  By default
            it starts and serves locally, and the log says what is wrong.
        connections: Connections kept to the edge, 1 to 8.
        grace: Seconds that requests in progress get when the app ends.
        root_path: Put before each path, when the app is mounted below one.
        plaintext_host: The one host, besides loopback, that may be dialed without TLS.
        spec_version: "2.3", or "2.4" to make ``send()`` raise after an HTTP disconnect.

    Raises:
        ConfigError: On the lifespan's startup, when ``required`` and the configuration is wrong.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None = None,
        enabled: bool | None = None,
        required: bool = False,
        connections: int | None = None,
        grace: float | None = None,
        root_path: str | None = None,
        plaintext_host: str | None = None,
        spec_version: str = "2.3",
    ) -> None:
        self.app = app
        self._enabled = enabled
        self._required = required
        self._settings: dict[str, Any] = {
            "token": token,
            "connections": connections,
            "grace": grace,
            "root_path": root_path,
            "plaintext_host": plaintext_host,
            "spec_version": spec_version,
        }
        self._has_lifespan = False
        self._connector: Connector | None = None
        if _is_server_without_lifespan():
            from .thread import start_in_thread

            self._has_lifespan = True
            start_in_thread(self.app, name=_name(app), **self._settings)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one call: the lifespan with the tunnel around it, everything else as it is."""
        if scope["type"] == "lifespan":
            self._has_lifespan = True
            await self._lifespan(scope, receive, send)
            return
        if not self._has_lifespan:
            self._has_lifespan = True
            await self._start_late()
        await self.app(scope, receive, send)

    # -- lifespan ----------------------------------------------------------------------------

    async def _lifespan(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        try:
            # A runner of ours that serves the app has opened the tunnel already.
            config = None if OWNED in scope.get("extensions", ()) else self._config()
        except ConfigError as error:
            await _refuse_startup(receive, send, str(error))
            return
        if config is None:
            await _serve_lifespan(self.app, scope, receive, send)
            return
        if "state" not in scope:
            scope = {**scope, "state": {}}  # Starlette raises when a stateful lifespan has none
        state = scope["state"]
        origin_app = scope.get("app") or self.app

        async def receive_and_stop() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._stop()
            return message

        async def start_and_send(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._start(config, origin_app, state)
            await send(message)

        try:
            await _serve_lifespan(self.app, scope, receive_and_stop, start_and_send)
        finally:
            # The server cancelled the lifespan, or the app left it early: nothing may stay.
            connector, self._connector = self._connector, None
            if connector is not None:
                connector.abort()

    async def _start(self, config: TunnelConfig, app: ASGIApp, state: dict[str, Any] | None) -> None:
        from .asgi.origin import Origin
        from .connector import Connector

        ensure_handler()
        if config.connections and not _is_asyncio():
            _log.error("the tunnel needs asyncio; this server runs another event loop")
            return
        # Relayed requests go to the outermost app (Starlette names it in the scope): the wrapped
        # one is only the inner part of the stack when middleware was added later.
        origin = Origin(
            app,
            state=state,
            root_path=config.root_path,
            spec_version=config.spec_version,
        )
        self._connector = Connector(config, origin, name=_name(app))
        self._connector.start()

    async def _stop(self) -> None:
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.stop()

    async def _start_late(self) -> None:
        """The first request came and there was no lifespan: a server, or a mount, without one."""
        config = self._config()
        if config is None:
            return
        ensure_handler()
        _log.warning(
            "this server sent no lifespan, or the app is mounted below another one; the tunnel is "
            "opened with the first request. Wrap the outermost app, or use `asgi-tunnel run`"
        )
        await self._start(config, self.app, None)

    def _config(self) -> TunnelConfig | None:
        """Return the settings, or None when no tunnel is wanted.

        Raises:
            ConfigError: The configuration is wrong and a tunnel is required.
        """
        if self._enabled is False or (self._enabled is None and "pytest" in sys.modules):
            return None
        try:
            config = TunnelConfig.from_env(**self._settings)
            if config is None and (self._required or self._enabled):
                raise ConfigError(
                    TOKEN, "is not set", "create one with `asgi-tunnel-edge token create`"
                )
        except ConfigError as error:
            if self._required:
                raise
            ensure_handler()
            _log.error("no tunnel: %s", error)
            return None
        if config is None:
            ensure_handler()
            _log.info("no tunnel: %s is not set; the app is served locally only", TOKEN)
        return config


TunnelMiddleware = Tunnel


async def _serve_lifespan(
    app: ASGIApp, scope: MutableMapping[str, Any], receive: Receive, send: Send
) -> None:
    """Call the app's lifespan; answer in its place when it has none.

    Django and Channels raise on the scope, others return.  As long as the app has sent nothing,
    that means it takes no part.
    """
    has_sent = False
    received: Message | None = None

    async def noted_receive() -> Message:
        nonlocal received
        received = await receive()
        return received

    async def noted_send(message: Message) -> None:
        nonlocal has_sent
        has_sent = True
        await send(message)

    try:
        await app(scope, noted_receive, noted_send)
    except Exception as error:
        if has_sent:
            raise
        _log.debug("the app has no lifespan: %s: %s", type(error).__name__, error)
    if has_sent:
        return
    message = received or await receive()
    if message["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _refuse_startup(receive: Receive, send: Send, why: str) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": f"asgi-tunnel: {why}"})


def _is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_server_without_lifespan() -> bool:
    """Daphne imports the app in the process that serves it, and never sends a lifespan."""
    program = sys.argv[0].replace("\\", "/").rsplit("/", 1)[-1] if sys.argv else ""
    return program == "daphne" or program.endswith("daphne/__main__.py")


def _name(app: object) -> str:
    title = getattr(app, "title", None)
    return title if isinstance(title, str) and title else type(app).__name__
